//! Bytes of the image as pages, and files as they are at one moment.

use super::{Files, Inode, Key, Value};
use crate::Map;
use crate::errno::*;
use crate::page::{PAGE, PAGE_SIZE, Page};
use crate::space::Shot;

impl Files {
    /// Page `index` of image data: as it lies, or copied where it is cut or not aligned.
    pub(super) fn lift(&self, base: u64, size: u64, index: u64) -> Option<Page> {
        let left = size - index * PAGE;
        if base.is_multiple_of(PAGE) && left >= PAGE {
            return Some(Page::Image(self.image + (base / PAGE + index) as u32));
        }
        let frame = self.pool.frame()?;
        let mut bytes = [0; PAGE_SIZE];
        let bytes = &mut bytes[..left.min(PAGE) as usize];
        self.read_image(base + index * PAGE, bytes);
        frame.write(0, bytes);
        Some(Page::Own(frame))
    }

    /// The first change of an image's file: its first `size` bytes become pages of the writable layer.
    pub(super) fn copy_up(&mut self, number: u64, size: u64) -> Result<()> {
        let Some(Inode { base: Some(base), size: old, .. }) = self.inode(number).cloned() else {
            return Ok(());
        };
        let count = size.min(old).div_ceil(PAGE);
        if count > self.pages_left() {
            return Err(ENOSPC);
        }
        for index in 0..count {
            let page = self.lift(base, old, index).ok_or(ENOSPC)?;
            self.store.put(Key::Page(number, index), Value::Page(page));
        }
        self.pages += count;
        self.change(number, |i| (i.base, i.pages, i.touched) = (None, count, true));
        Ok(())
    }

    /// Where the byte at `offset` of a file lies: page (none: zeros) and place in it. The caller knows that the file is so long.
    pub fn place(&self, number: u64, offset: u64) -> (Option<Page>, usize) {
        match self.inode(number).and_then(|i| i.base) {
            Some(base) => {
                let at = base + offset;
                (Some(Page::Image(self.image + (at / PAGE) as u32)), (at % PAGE) as usize)
            }
            None => (self.page(number, offset / PAGE).cloned(), (offset % PAGE) as usize),
        }
    }

    /// The file as it is now, to be mapped.
    pub fn shot(&self, number: u64) -> Result<Shot> {
        let inode = self.inode(number).ok_or(ENOENT)?;
        let mut pages = Map::new();
        if let Some(base) = inode.base {
            return self.image_shot(base, inode.size);
        }
        for (index, page) in self.counted(number) {
            pages.insert_mut(index, page.clone());
        }
        Ok(Shot { pages, base: None, size: inode.size })
    }

    /// Writes into the newest version of a page, if that is ours and nobody else holds it (a mapping, a copy of the store).
    pub(super) fn write_in_place(&mut self, number: u64, at: u64, data: &[u8]) -> bool {
        let Some(Value::Page(page)) = self.store.sole(&Key::Page(number, at / PAGE)) else { return false };
        let Some(frame) = page.sole() else { return false };
        frame.write((at % PAGE) as usize, data);
        true
    }

    /// `size` bytes of the image from `base` on.
    pub(super) fn image_shot(&self, base: u64, size: u64) -> Result<Shot> {
        let mut pages = Map::new();
        let (whole, aligned) = (size / PAGE, base.is_multiple_of(PAGE));
        for index in if aligned { whole } else { 0 }..size.div_ceil(PAGE) {
            pages.insert_mut(index, self.lift(base, size, index).ok_or(ENOMEM)?);
        }
        Ok(Shot { pages, base: aligned.then(|| (self.image + (base / PAGE) as u32, whole)), size })
    }
}
