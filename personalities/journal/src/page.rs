//! Pages as values. A page is a reference to bytes that nobody changes while it is shared; a change makes a new page unless the reference is the
//! only one. The alternative, frames with states that an owner keeps in step, was rejected: here the count of references is the state.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};

/// Bytes of a page.
pub const PAGE: u64 = 4096;
/// The same as a length.
pub const PAGE_SIZE: usize = 4096;

/// With less of its heap left the kernel makes no more objects that last: 8 MiB may go into pipes, 3 into pages that were paid for, 3 into
/// descriptors and signals, and the rest is for what single calls need for a while.
const RESERVE: u64 = 16 << 20;
/// With less left no names are made: unlike a process they stay, and whoever removes them needs processes.
const RESERVE_OF_NAMES: u64 = 32 << 20;

/// The machine's memory by page number (intermediate physical address / 4096).
pub trait Memory {
    /// Copies out of page `page`, from byte `at` on; `at + out.len() <= 4096`.
    fn read(&self, page: u32, at: usize, out: &mut [u8]);
    /// Copies into a page.
    fn write(&self, page: u32, at: usize, data: &[u8]);
    /// Word `index` (0..512), as the table walker sees it.
    fn word(&self, page: u32, index: usize) -> u64;
    /// Sets it.
    fn set_word(&self, page: u32, index: usize, word: u64);
    /// Copies `length` bytes from one page to another (or within one), from a place in each; both ranges stay in their pages.
    fn copy(&self, (from, at): (u32, usize), (to, place): (u32, usize), length: usize) {
        let mut bytes = [0; PAGE_SIZE];
        self.read(from, at, &mut bytes[..length]);
        self.write(to, place, &bytes[..length]);
    }
    /// Makes a page zero.
    fn zero(&self, page: u32) {
        self.write(page, 0, &[0; PAGE_SIZE]);
    }
    /// Bytes that are left of the kernel's heap; without bound on a host.
    fn heap_left(&self) -> u64 {
        u64::MAX
    }
}

/// The page frames of this kernel, and who has none.
pub struct Pool {
    memory: Box<dyn Memory>,
    free: RefCell<Vec<u32>>,
    fresh: Cell<u32>,
    end: u32,
    used: Cell<u64>,
}

/// One frame; it goes back when the last reference goes.
pub struct Frame {
    number: u32,
    pool: Rc<Pool>,
}

impl Pool {
    /// Over the frames `first..end`.
    pub fn new(memory: Box<dyn Memory>, first: u32, end: u32) -> Rc<Pool> {
        Rc::new(Pool {
            memory,
            free: RefCell::new(Vec::new()),
            fresh: Cell::new(first),
            end,
            used: Cell::new(0),
        })
    }

    /// A zeroed frame; `None`: there is none left.
    pub fn frame(self: &Rc<Pool>) -> Option<Rc<Frame>> {
        let number = self.any()?;
        self.memory.zero(number);
        Some(Rc::new(Frame { number, pool: self.clone() }))
    }

    fn any(&self) -> Option<u32> {
        let number = match self.free.borrow_mut().pop() {
            Some(n) => n,
            None if self.fresh.get() < self.end => self.fresh.replace(self.fresh.get() + 1),
            None => return None,
        };
        self.used.set(self.used.get() + 1);
        Some(number)
    }

    /// A frame with the bytes of `page`.
    pub fn copy(self: &Rc<Pool>, page: &Page) -> Option<Rc<Frame>> {
        let number = self.any()?;
        self.memory.copy((page.number(), 0), (number, 0), PAGE_SIZE);
        Some(Rc::new(Frame { number, pool: self.clone() }))
    }

    /// Bytes of any page.
    pub fn read(&self, page: &Page, at: usize, out: &mut [u8]) {
        self.memory.read(page.number(), at, out);
    }

    /// Whether the heap is too small for further objects that last.
    pub fn is_tight(&self) -> bool {
        self.memory.heap_left() < RESERVE
    }

    /// Whether it is too small for further names.
    pub fn is_tight_for_names(&self) -> bool {
        self.memory.heap_left() < RESERVE_OF_NAMES
    }

    /// Frames in use.
    pub fn used(&self) -> u64 {
        self.used.get()
    }

    /// Frames that are free.
    pub fn left(&self) -> u64 {
        u64::from(self.end - self.fresh.get()) + self.free.borrow().len() as u64
    }
}

impl Frame {
    /// Its number.
    pub fn number(&self) -> u32 {
        self.number
    }
    /// Copies into it; the caller holds the only reference, or the bytes were never seen.
    pub fn write(&self, at: usize, data: &[u8]) {
        self.pool.memory.write(self.number, at, data);
    }
    /// Copies out of it.
    pub fn read(&self, at: usize, out: &mut [u8]) {
        self.pool.memory.read(self.number, at, out);
    }
    /// Copies into it out of any page, or zeros; as `write`.
    pub fn fill(&self, at: usize, from: Option<&Page>, inside: usize, length: usize) {
        match from {
            Some(page) => self.pool.memory.copy((page.number(), inside), (self.number, at), length),
            None => self.pool.memory.write(self.number, at, &[0; PAGE_SIZE][..length]),
        }
    }
    /// As a table: word `index`.
    pub fn word(&self, index: usize) -> u64 {
        self.pool.memory.word(self.number, index)
    }
    /// As a table: sets word `index`.
    pub fn set_word(&self, index: usize, word: u64) {
        self.pool.memory.set_word(self.number, index, word);
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.pool.used.set(self.pool.used.get() - 1);
        self.pool.free.borrow_mut().push(self.number);
    }
}

/// A page of the root image, or of our own.
#[derive(Clone)]
pub enum Page {
    /// Read-only for ever.
    Image(u32),
    /// Ours.
    Own(Rc<Frame>),
}

impl Page {
    /// Where its bytes are.
    pub fn number(&self) -> u32 {
        match self {
            Page::Image(n) => *n,
            Page::Own(f) => f.number(),
        }
    }

    /// The frame, if this is the only reference to it.
    pub fn sole(&self) -> Option<&Rc<Frame>> {
        match self {
            Page::Own(f) if Rc::strong_count(f) == 1 => Some(f),
            _ => None,
        }
    }
}
