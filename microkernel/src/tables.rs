//! Pages that EL2 owns: translation tables, boot pages, position pages. Static and never freed; as arrays of atomic words they
//! need no `unsafe` to be filled by one core and walked by all.
//!
//! Tables for what the root task maps are retyped out of Untyped; these here are for boot pages, channels, devices and modules, and for all where nobody
//! builds.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// Pages in the pool: eight domains with the channels of `qemu-virt.dts` take about 140, each core's store 29.
const PAGES: usize = 900;

/// A page of 512 words.
#[repr(C, align(4096))]
pub struct Page(pub [AtomicU64; 512]);

impl Page {
    const fn new() -> Self {
        Page([const { AtomicU64::new(0) }; 512])
    }

    /// Its physical address: EL2 maps itself one to one.
    pub fn address(&self) -> u64 {
        self as *const Page as u64
    }

    /// Word `index`.
    pub fn get(&self, index: usize) -> u64 {
        self.0[index & 511].load(Ordering::Relaxed)
    }

    /// Sets word `index`.
    pub fn set(&self, index: usize, word: u64) {
        self.0[index & 511].store(word, Ordering::Relaxed);
    }
}

static POOL: [Page; PAGES] = [const { Page::new() }; PAGES];
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A zeroed page, or `None` when all are taken. Boot core only: no atomic exchange, which needs the MMU on hardware.
pub fn allocate() -> Option<&'static Page> {
    let next = NEXT.load(Ordering::Relaxed);
    NEXT.store(next + 1, Ordering::Relaxed);
    POOL.get(next)
}

/// So many zeroed pages one after the other, by address. As [`allocate`].
pub fn allocate_many(pages: u64) -> Option<u64> {
    let next = NEXT.load(Ordering::Relaxed);
    NEXT.store(next + pages as usize, Ordering::Relaxed);
    POOL.get(next..next + pages as usize)?.first().map(Page::address)
}

/// The page at `address`, which [`allocate`] gave.
pub fn at(address: u64) -> Option<&'static Page> {
    POOL.get(address.checked_sub(POOL[0].address())? as usize / 4096)
}

/// Pages taken, and pages there are.
pub fn usage() -> (usize, usize) {
    (NEXT.load(Ordering::Relaxed), PAGES)
}
