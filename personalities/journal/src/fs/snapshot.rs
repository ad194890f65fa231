//! Bytes of the image as pages, and files as they are at one moment.

use super::Files;
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

    /// The file as it is now, to be mapped.
    pub fn shot(&self, number: u64) -> Result<Shot> {
        let inode = self.inode(number).ok_or(ENOENT)?;
        let mut pages = Map::new();
        let Some(base) = inode.base else {
            for (index, page) in self.counted(number) {
                pages.insert_mut(index, page.clone());
            }
            return Ok(Shot { pages, base: None, size: inode.size });
        };
        let whole = inode.size / PAGE;
        let aligned = base.is_multiple_of(PAGE);
        for index in if aligned { whole } else { 0 }..inode.size.div_ceil(PAGE) {
            pages.insert_mut(index, self.lift(base, inode.size, index).ok_or(ENOMEM)?);
        }
        Ok(Shot { pages, base: aligned.then(|| self.image + (base / PAGE) as u32), size: inode.size })
    }
}
