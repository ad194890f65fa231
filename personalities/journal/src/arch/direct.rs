//! Pages by number, through the kernel's map of all its memory.

use super::OFFSET;
use journal::page::{Memory, PAGE_SIZE};

/// All of this domain's memory and modules, at physical + `OFFSET`.
pub struct Direct;

fn at(page: u32, inside: usize) -> *mut u8 {
    ((u64::from(page) << 12) + OFFSET + inside as u64) as *mut u8
}

impl Memory for Direct {
    fn read(&self, page: u32, inside: usize, out: &mut [u8]) {
        assert!(inside <= PAGE_SIZE && out.len() <= PAGE_SIZE - inside);
        // SAFETY: (1) page numbers come from the pool or from the image's module, both mapped for ever; (2) the range stays in the page; (3) no
        // Rust reference to a page's bytes is ever made, and EL0 does not run meanwhile.
        unsafe { core::ptr::copy_nonoverlapping(at(page, inside), out.as_mut_ptr(), out.len()) };
    }

    fn write(&self, page: u32, inside: usize, data: &[u8]) {
        assert!(inside <= PAGE_SIZE && data.len() <= PAGE_SIZE - inside);
        // SAFETY: (1) to (3) as above; (4) only frames of the pool are written.
        unsafe { core::ptr::copy_nonoverlapping(data.as_ptr(), at(page, inside), data.len()) };
    }

    fn word(&self, page: u32, index: usize) -> u64 {
        assert!(index < PAGE_SIZE / 8);
        // SAFETY: (1) to (3) as above; aligned.
        unsafe { at(page, index * 8).cast::<u64>().read_volatile() }
    }

    fn copy(&self, (from, inside): (u32, usize), (to, place): (u32, usize), length: usize) {
        assert!(length <= PAGE_SIZE && inside <= PAGE_SIZE - length && place <= PAGE_SIZE - length);
        let (from_at, to_at) = (at(from, inside), at(to, place));
        if from == to {
            // SAFETY: (1) to (4) as above; within one page the ranges may overlap.
            unsafe { core::ptr::copy(from_at, to_at, length) };
        } else {
            // SAFETY: (1) to (4) as above, for both pages, which are apart.
            unsafe { core::ptr::copy_nonoverlapping(from_at, to_at, length) };
        }
    }

    fn zero(&self, page: u32) {
        // SAFETY: (1) to (4) as above.
        unsafe { core::ptr::write_bytes(at(page, 0), 0, PAGE_SIZE) };
    }

    fn heap_left(&self) -> u64 {
        super::heap::left()
    }

    fn set_word(&self, page: u32, index: usize, word: u64) {
        assert!(index < PAGE_SIZE / 8);
        // SAFETY: (1) to (4) as above; aligned.
        unsafe { at(page, index * 8).cast::<u64>().write_volatile(word) };
    }
}
