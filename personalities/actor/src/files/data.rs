//! The bytes of a regular file: an image member's own until it is changed, then pages by number. What is counted against FILE_PAGES are the pages
//! in the table.

use crate::memory::Source;
use crate::page::{Grant, PAGE};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;

/// Largest file, bytes.
pub const SIZE_MAX: u64 = 1 << 40;

/// A file's contents.
#[derive(Default)]
pub struct Data {
    pub size: u64,
    image: Option<&'static [u8]>,
    pages: Rc<BTreeMap<u64, Grant>>,
}

impl Data {
    pub fn of_image(bytes: &'static [u8]) -> Data {
        Data { size: bytes.len() as u64, image: Some(bytes), pages: Rc::default() }
    }

    /// A file that was made or changed, with the pages that count.
    pub fn of_pages(size: u64, pages: BTreeMap<u64, Grant>) -> Data {
        Data { size, image: None, pages: Rc::new(pages) }
    }

    /// Pages counted.
    pub fn counted(&self) -> u64 {
        self.pages.len() as u64
    }

    /// Pages counted, by number.
    pub fn pages(&self) -> impl Iterator<Item = (u64, &Grant)> {
        self.pages.iter().map(|(n, g)| (*n, g))
    }

    /// The contents now, for who keeps them.
    pub fn source(&self) -> Source {
        match self.image {
            Some(bytes) => Source::Still(bytes),
            None => Source::Pages { size: self.size, pages: self.pages.clone() },
        }
    }

    /// Bytes from `at` on.
    pub fn read(&self, at: u64, out: &mut [u8]) -> usize {
        match self.image {
            Some(bytes) => Source::Still(bytes).read(at, out),
            None => {
                let n = (out.len() as u64).min(self.size.saturating_sub(at)) as usize;
                let mut done = 0;
                while done < n {
                    let (page, from) = ((at + done as u64) / PAGE, ((at + done as u64) % PAGE) as usize);
                    let len = (PAGE as usize - from).min(n - done);
                    match self.pages.get(&page) {
                        Some(g) => out[done..done + len].copy_from_slice(&g.bytes()[from..from + len]),
                        None => out[done..done + len].fill(0),
                    }
                    done += len;
                }
                n
            }
        }
    }

    /// As they lie in one piece: at most `most` bytes from `at` on.
    pub fn piece(&self, at: u64, most: u64) -> &[u8] {
        let n = most.min(self.size.saturating_sub(at));
        if n == 0 {
            return &[];
        }
        if let Some(bytes) = self.image {
            return bytes.get(at as usize..(at + n) as usize).unwrap_or(&[]);
        }
        let from = (at % PAGE) as usize;
        let page = self.pages.get(&(at / PAGE)).map_or(Grant::zeros(), |g| g.bytes());
        &page[from..from + n.min(PAGE - at % PAGE) as usize]
    }

    /// Makes an image member one that can be changed, keeping pages below `keep`. `false`: more than `left` pages would be counted.
    fn thaw(&mut self, keep: u64, left: u64) -> bool {
        let Some(bytes) = self.image else { return true };
        let needed = self.size.div_ceil(PAGE).min(keep.div_ceil(PAGE));
        if needed > left {
            return false;
        }
        let page = |n: u64| {
            let rest = &bytes[(n * PAGE) as usize..];
            Some((n, Grant::of_image(&rest[..rest.len().min(PAGE as usize)])?))
        };
        let pages: Option<BTreeMap<u64, Grant>> = (0..needed).map(page).collect();
        let Some(pages) = pages else { return false };
        self.pages = Rc::new(pages);
        self.image = None;
        true
    }

    /// The table to change; a snapshot that shares it keeps the old one.
    fn table(&mut self) -> &mut BTreeMap<u64, Grant> {
        Rc::make_mut(&mut self.pages)
    }

    /// Writes what fits when `left` more pages may be counted; bytes written. The file ends within [`SIZE_MAX`] by the caller's care.
    pub fn write(&mut self, at: u64, bytes: &[u8], left: u64) -> usize {
        let before = self.counted();
        if bytes.is_empty() || !self.thaw(u64::MAX, left) {
            return 0;
        }
        let left = left - (self.counted() - before);
        let mut more = 0;
        let mut done = 0;
        while done < bytes.len() {
            let (page, from) = ((at + done as u64) / PAGE, ((at + done as u64) % PAGE) as usize);
            let len = (PAGE as usize - from).min(bytes.len() - done);
            if !self.pages.contains_key(&page) {
                if more == left {
                    break;
                }
                more += 1;
            }
            let grant = self.table().entry(page).or_insert_with(Grant::zero);
            let Some(to) = grant.write() else { break };
            to[from..from + len].copy_from_slice(&bytes[done..done + len]);
            done += len;
        }
        if done > 0 {
            self.size = self.size.max(at + done as u64);
        }
        done
    }

    /// Truncates or extends. `false`: more than `left` pages would be counted.
    pub fn truncate(&mut self, size: u64, left: u64) -> bool {
        if !self.thaw(size, left) {
            return false;
        }
        if size < self.size {
            let first_gone = size.div_ceil(PAGE);
            drop(self.table().split_off(&first_gone));
            let tail = (size % PAGE) as usize;
            if let Some(grant) = self.table().get_mut(&(size / PAGE)).filter(|_| tail > 0) {
                match grant.write() {
                    Some(bytes) => bytes[tail..].fill(0),
                    None => return false,
                }
            }
        }
        self.size = size;
        true
    }
}
