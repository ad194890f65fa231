//! What a regular file holds: the image's bytes until the first change, then pages of its own.
//!
//! A page counts once it lies below the file's size and was written; a hole has no page. An image member that is changed takes all
//! its pages at once. The caller says how many pages are left to take; how many a file has is [`Content::pages`].

use abi::digest::{Digest, Encoder};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

/// Bytes of a page.
pub const PAGE: u64 = 4096;

/// A file page and its digest, where that was asked for since the last change.
#[derive(Debug)]
struct Page {
    bytes: Box<[u8; PAGE as usize]>,
    digest: Option<Digest>,
}

/// Contents of a regular file.
#[derive(Debug)]
pub enum Content {
    /// The image's own.
    Image(&'static [u8]),
    /// Changed or made.
    Own {
        /// Bytes.
        size: u64,
        /// Written pages below the size; bytes at and beyond the size are zero.
        pages: Pages,
    },
}

/// Pages by number.
#[derive(Debug, Default)]
pub struct Pages(BTreeMap<u64, Page>);

impl Content {
    /// An empty file.
    pub fn new() -> Content {
        Content::Own { size: 0, pages: Pages::default() }
    }

    /// Its size, bytes.
    pub fn size(&self) -> u64 {
        match self {
            Content::Image(bytes) => bytes.len() as u64,
            Content::Own { size, .. } => *size,
        }
    }

    /// Pages it counts for.
    pub fn pages(&self) -> u64 {
        match self {
            Content::Image(_) => 0,
            Content::Own { pages, .. } => pages.0.len() as u64,
        }
    }

    /// Copies bytes from `offset`; returns how many there were.
    pub fn read(&self, offset: u64, out: &mut [u8]) -> usize {
        let len = (out.len() as u64).min(self.size().saturating_sub(offset)) as usize;
        let out = &mut out[..len];
        if len == 0 {
            return 0;
        }
        match self {
            Content::Image(bytes) => out.copy_from_slice(&bytes[offset as usize..offset as usize + len]),
            Content::Own { pages, .. } => pages.read(offset, out),
        }
        len
    }

    /// Page `number` while the contents are the image's, if it is aligned there and only zero bytes stand behind the file's end in it.
    pub fn image_page(&self, image: &'static [u8], number: u64) -> Option<&'static [u8]> {
        let Content::Image(bytes) = *self else { return None };
        let start = usize::try_from(number.checked_mul(PAGE)?).ok()?;
        let rest = bytes.get(start..).filter(|rest| !rest.is_empty())?;
        let at = (bytes.as_ptr() as usize).checked_sub(image.as_ptr() as usize)?.checked_add(start)?;
        let page = image.get(at..at.checked_add(PAGE as usize)?)?;
        let tail = page.get(rest.len()..).unwrap_or_default();
        (at % PAGE as usize == 0 && tail.iter().all(|b| *b == 0)).then_some(page)
    }

    /// Makes an image member's pages its own, those below `size` only; `left` pages may be taken. Returns false, changing nothing, if
    /// that does not do.
    fn own(&mut self, size: u64, left: u64) -> bool {
        let Content::Image(bytes) = *self else { return true };
        let bytes = &bytes[..bytes.len().min(size.min(usize::MAX as u64) as usize)];
        if (bytes.len() as u64).div_ceil(PAGE) > left {
            return false;
        }
        let mut pages = Pages::default();
        for (number, chunk) in bytes.chunks(PAGE as usize).enumerate() {
            pages.entry(number as u64)[..chunk.len()].copy_from_slice(chunk);
        }
        *self = Content::Own { size: bytes.len() as u64, pages };
        true
    }

    /// Writes at `offset` what fits when `left` pages may be taken; returns how many bytes that was. `offset + bytes.len()` is at most the
    /// greatest size of a file.
    pub fn write(&mut self, offset: u64, bytes: &[u8], left: u64) -> usize {
        if bytes.is_empty() {
            return 0;
        }
        let before = self.pages();
        if !self.own(u64::MAX, left) {
            return 0;
        }
        let mut left = left - (self.pages() - before).min(left);
        let Content::Own { size, pages } = self else { return 0 };
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let (number, start) = (at / PAGE, (at % PAGE) as usize);
            if !pages.0.contains_key(&number) {
                if left == 0 {
                    break;
                }
                left -= 1;
            }
            let n = (bytes.len() - done).min(PAGE as usize - start);
            pages.entry(number)[start..start + n].copy_from_slice(&bytes[done..done + n]);
            done += n;
        }
        if done > 0 {
            *size = (*size).max(offset + done as u64);
        }
        done
    }

    /// Sets the size. Returns false, changing nothing, if an image member's remaining pages are more than `left`.
    pub fn truncate(&mut self, new: u64, left: u64) -> bool {
        if !self.own(new, left) {
            return false;
        }
        let Content::Own { size, pages } = self else { return false };
        if new < *size {
            pages.0.split_off(&new.div_ceil(PAGE));
            if !new.is_multiple_of(PAGE)
                && let Some(page) = pages.0.get_mut(&(new / PAGE))
            {
                page.bytes[(new % PAGE) as usize..].fill(0);
                page.digest = None;
            }
        }
        *size = new;
        true
    }

    /// The pages that count, unless the contents are the image's.
    pub fn own_pages(&self) -> Option<&Pages> {
        if let Content::Own { pages, .. } = self { Some(pages) } else { None }
    }

    /// A further page of a file of a snapshot, its number behind the last one's; false: it lies beyond the file's size.
    pub fn begin_page(&mut self, number: u64, bytes: &[u8]) -> bool {
        let Content::Own { size, pages } = self else { return false };
        let last = pages.0.last_key_value().map(|(number, _)| *number);
        let start = number.checked_mul(PAGE).filter(|start| start < size);
        let Some(room) = start.map(|start| (*size - start).min(PAGE)) else { return false };
        if last.is_some_and(|last| last >= number) || bytes.len() as u64 > room {
            return false;
        }
        let page = pages.entry(number);
        page.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        true
    }

    /// The digest of the contents, as the state digest has it: number of pages, then each page's number and digest.
    pub fn digest(&mut self) -> Digest {
        let mut e = Encoder::new("file");
        let Content::Own { pages, .. } = self else { return e.u64(0).finish() };
        e.u64(pages.0.len() as u64);
        for (number, page) in &mut pages.0 {
            let digest = page.digest.get_or_insert_with(|| {
                let mut e = Encoder::new("page");
                e.raw(&page.bytes[..]);
                e.finish()
            });
            e.u64(*number).raw(digest);
        }
        e.finish()
    }
}

impl Pages {
    /// Number and bytes of each.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(number, page)| (*number, &page.bytes[..]))
    }

    /// The page, made if need be, to be changed.
    fn entry(&mut self, number: u64) -> &mut [u8; PAGE as usize] {
        let page = self
            .0
            .entry(number)
            .or_insert_with(|| Page { bytes: Box::new([0; PAGE as usize]), digest: None });
        page.digest = None;
        &mut page.bytes
    }

    fn read(&self, offset: u64, out: &mut [u8]) {
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let start = (at % PAGE) as usize;
            let n = (out.len() - done).min(PAGE as usize - start);
            match self.0.get(&(at / PAGE)) {
                Some(page) => out[done..done + n].copy_from_slice(&page.bytes[start..start + n]),
                None => out[done..done + n].fill(0),
            }
            done += n;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_cost_nothing_and_read_as_zero() {
        let mut c = Content::new();
        assert_eq!(c.write(3 * PAGE - 1, b"ab", 10), 2);
        assert_eq!((c.size(), c.pages()), (3 * PAGE + 1, 2));
        let mut out = [7; 4];
        assert_eq!(c.read(3 * PAGE - 2, &mut out), 3);
        assert_eq!(out, [0, b'a', b'b', 7]);
    }

    #[test]
    fn a_write_takes_what_fits() {
        let mut c = Content::new();
        assert_eq!(c.write(PAGE - 1, &[1; 8192], 2), 4097);
        assert_eq!(c.write(4 * PAGE, b"x", 0), 0);
        assert_eq!(c.size(), 2 * PAGE);
    }

    #[test]
    fn an_image_member_takes_all_its_pages_at_the_first_change() {
        let mut c = Content::Image(&[5; 10000]);
        assert_eq!(c.write(0, b"x", 2), 0);
        assert_eq!(c.pages(), 0);
        assert_eq!(c.write(0, b"x", 3), 1);
        assert_eq!(c.pages(), 3);
        let mut c = Content::Image(&[5; 10000]);
        assert!(c.truncate(0, 0));
        assert_eq!((c.size(), c.pages()), (0, 0));
    }

    #[test]
    fn what_truncation_cuts_does_not_come_back() {
        let mut c = Content::new();
        c.write(0, &[1; 5000], 10);
        assert!(c.truncate(10, 0) && c.truncate(5000, 0));
        let mut out = [9; 20];
        assert_eq!(c.read(0, &mut out), 20);
        assert_eq!(out[9..12], [1, 0, 0]);
        assert_eq!(c.pages(), 1);
    }

    #[test]
    fn digests_follow_changes() {
        let mut c = Content::new();
        c.write(0, &[1; 9000], 10);
        let a = c.digest();
        c.write(5000, &[2], 10);
        let b = c.digest();
        c.write(5000, &[1], 10);
        assert!(a != b && a == c.digest());
    }
}
