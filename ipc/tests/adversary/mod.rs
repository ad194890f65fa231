//! Words whose other side acts between any two accesses of one call, and a record of what a call did with them.
//!
//! Deterministic: a seed gives a run. Interleavings are sequentially consistent here; weaker ones are for `model.rs`.

mod honest;
mod hostile;

pub use honest::{broadcast, stream};
pub use hostile::{reader, writer};
use ipc::Word;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU64, Ordering};

pub const HEADER_WORDS: usize = abi::ring::OFFSET_DATA / 8;
/// Small, so that everything collides: a quarter KiB of data.
pub const DATA_WORDS: usize = 32;
pub const WORDS: usize = HEADER_WORDS + DATA_WORDS;
pub const CAPACITY: u64 = (DATA_WORDS * 8) as u64;

/// What a campaign found. `Ok`: nothing, and how much was done.
pub type Found = Result<Report, Violation>;

#[derive(Clone, Copy, Debug, Default)]
pub struct Report {
    /// Stores of a hostile side and calls of either.
    pub operations: u64,
    /// Records accepted by a reader, or written by a writer.
    pub accepted: u64,
    /// Calls that ended in an error: nonsense noticed.
    pub refused: u64,
    /// Most accesses of one call.
    pub most: usize,
}

/// The named checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A call touched a word outside its region.
    Outside,
    /// A call made more accesses than its bound.
    Unbounded,
    /// A moving word was read twice and could change in between.
    ReadTwice,
    /// A length that no record has was reported.
    Unclamped,
    /// An accepted record is not what stood in the ring, word for word in order, when each word was read.
    Forged,
    /// An accepted record reaches beyond the head that was read, or was overwritten by what `reserve` said after the copy.
    BeyondHead,
    /// With a correct writer: a record that nobody wrote.
    Torn,
    /// With a correct writer: a record came twice, or out of order, or (stream) was lost.
    Order,
    /// With a correct writer: the reader blamed it.
    Accused,
    /// A position that cannot be was believed.
    Believed,
    /// After nonsense, a correct record was not found although the reader was sent to the head.
    Lost,
}

pub type Hook = Box<dyn FnMut()>;

thread_local! {
    static HOOK: Cell<Option<Hook>> = const { Cell::new(None) };
    static ACTING: Cell<bool> = const { Cell::new(false) };
    static TRACE: RefCell<Vec<Access>> = const { RefCell::new(Vec::new()) };
}

/// One access of the call under watch.
#[derive(Clone, Copy)]
pub struct Access {
    address: usize,
    pub value: u64,
}

/// A word under watch.
pub struct Watched(AtomicU64);

impl Watched {
    pub const fn new() -> Self {
        Watched(AtomicU64::new(0))
    }

    /// The other side's store, not watched.
    pub fn poke(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub fn peek(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }
}

impl Word for Watched {
    fn load(&self, _: Ordering) -> u64 {
        act();
        let value = self.peek();
        note(self, value);
        value
    }

    fn store(&self, value: u64, _: Ordering) {
        act();
        self.poke(value);
        note(self, value);
    }

    fn fence(_: Ordering) {}
}

fn act() {
    if ACTING.get() {
        return;
    }
    if let Some(mut hook) = HOOK.take() {
        ACTING.set(true);
        hook();
        ACTING.set(false);
        HOOK.set(Some(hook));
    }
}

fn note(word: &Watched, value: u64) {
    if !ACTING.get() {
        TRACE.with_borrow_mut(|t| {
            // A call without end is ended here: the check of the bound comes too late for it.
            assert!(t.len() < 200_000, "unbounded");
            t.push(Access { address: word.address(), value });
        });
    }
}

/// Runs `call` while `hook` acts before each of its accesses.
pub fn watch<T>(hook: &mut Option<Hook>, call: impl FnOnce() -> T) -> T {
    TRACE.with_borrow_mut(Vec::clear);
    HOOK.set(hook.take());
    let result = call();
    *hook = HOOK.take();
    result
}

/// The accesses of the call that was watched last.
pub fn trace<T>(look: impl FnOnce(&[Access]) -> T) -> T {
    TRACE.with_borrow(|t| look(t))
}

/// Where in `region` an access was; `None`: outside.
pub fn place(region: &[Watched], access: &Access) -> Option<usize> {
    let index = access.address.wrapping_sub(region.as_ptr().addr()) / 8;
    (index < region.len()).then_some(index)
}

/// Marsaglia's xorshift.
#[derive(Clone, Copy)]
pub struct Chance(u64);

impl Chance {
    pub fn new(seed: u64) -> Self {
        Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn word(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `n`.
    pub fn below(&mut self, n: u64) -> u64 {
        (self.word() >> 32) % n
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
