//! Pages as grants: a page belongs to whoever holds a [`Grant`] of it. Copies of a grant share the page until one of them writes.
//!
//! The kernel's own map is one to one, so the address of a page's bytes is what a translation table needs: no module has to turn numbers into
//! memory, and this stays safe code. On the board the allocator serves pages from a pool of frames of their own (`arch::memory`).

use alloc::boxed::Box;
use alloc::rc::Rc;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Bytes of a page.
pub const PAGE: u64 = abi::layout::PAGE;
/// The same as a length.
pub const SIZE: usize = PAGE as usize;

/// A page's bytes, where a translation table can point at them.
#[repr(C, align(4096))]
#[derive(Clone)]
pub struct Page(pub [u8; SIZE]);

/// All zero, shared by everybody who has not written yet.
static ZERO: Page = Page([0; SIZE]);

/// The page at `memory::TRAMPOLINE` of every program: `mov x8, #139; svc #0`, the rest zero.
static TRAMPOLINE: Page = {
    let mut page = Page([0; SIZE]);
    let code = [0x68, 0x11, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4];
    let mut i = 0;
    while i < code.len() {
        page.0[i] = code[i];
        i += 1;
    }
    page
};

/// Where the trampoline lies in memory.
pub fn trampoline() -> u64 {
    TRAMPOLINE.0.as_ptr() as u64
}

/// Pages that may still be taken; the allocator on the board keeps it, on the host there is no end.
pub static FREE: AtomicUsize = AtomicUsize::new(usize::MAX);

/// So many pages are kept for what cannot be refused: translation tables and pages that the charge has promised.
pub const RESERVE: usize = 512;

/// Whether `pages` more pages that nobody was promised may be taken.
pub fn room_for(pages: usize) -> bool {
    FREE.load(Ordering::Relaxed) > pages.saturating_add(RESERVE)
}

/// The right to a page.
#[derive(Clone)]
pub enum Grant {
    /// A page of memory, with all who share it.
    Own(Rc<Box<Page>>),
    /// A page that never changes: of the root image, or the zero page.
    Still(&'static [u8]),
}

impl Grant {
    /// The zero page.
    pub fn zero() -> Grant {
        Grant::Still(&ZERO.0)
    }

    /// Its bytes.
    pub fn zeros() -> &'static [u8] {
        &ZERO.0
    }

    /// A new page that starts as `bytes` (at most a page; the rest is zero). `None`: no page is left.
    pub fn new(bytes: &[u8]) -> Option<Grant> {
        if FREE.load(Ordering::Relaxed) < 4 {
            return None;
        }
        let mut page = Box::new(Page([0; SIZE]));
        let n = bytes.len().min(SIZE);
        page.0[..n].copy_from_slice(&bytes[..n]);
        Some(Grant::Own(Rc::new(page)))
    }

    /// A page of an image: itself if it is whole and aligned, else a copy.
    pub fn of_image(bytes: &'static [u8]) -> Option<Grant> {
        if bytes.len() == SIZE && (bytes.as_ptr() as usize).is_multiple_of(SIZE) {
            return Some(Grant::Still(bytes));
        }
        Grant::new(bytes)
    }

    /// The page's bytes.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Grant::Own(page) => &page.0,
            Grant::Still(bytes) => bytes,
        }
    }

    /// Where the page lies.
    pub fn address(&self) -> u64 {
        self.bytes().as_ptr() as u64
    }

    /// Whether a write would not need a page of its own first.
    pub fn is_own(&self) -> bool {
        matches!(self, Grant::Own(page) if Rc::strong_count(page) == 1)
    }

    /// The bytes to write to; a shared page is replaced by a copy first. `None`: no page is left.
    pub fn write(&mut self) -> Option<&mut [u8]> {
        if !self.is_own() {
            *self = Grant::new(self.bytes())?;
        }
        match self {
            Grant::Own(page) => Rc::get_mut(page).map(|p| &mut p.0[..]),
            Grant::Still(_) => None,
        }
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn a_shared_page_is_copied_by_who_writes() {
        let mut a = Grant::new(b"abc").unwrap();
        let b = a.clone();
        let before = a.address();
        a.write().unwrap()[0] = b'x';
        assert_eq!((&a.bytes()[..3], &b.bytes()[..3]), (&b"xbc"[..], &b"abc"[..]));
        assert!(a.address() != before && b.address() == before && b.is_own());
    }

    #[test]
    fn the_zero_page_stays_zero() {
        let mut a = Grant::zero();
        a.write().unwrap().fill(7);
        assert!(Grant::zero().bytes().iter().all(|b| *b == 0));
    }
}
