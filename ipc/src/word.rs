//! What a region is made of: words that both sides reach by atomic accesses only.
//!
//! The rings are generic over the word, so that what ships is what the tests drive: the host's adversary changes words between two
//! accesses of one call (`tests/adversary`), and loom reorders them (`tests/model.rs`). The alternative, one type swapped by a `cfg`,
//! would make every test of that kind a build of its own.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// One shared word.
pub trait Word {
    /// As [`AtomicU64::load`].
    fn load(&self, order: Ordering) -> u64;
    /// As [`AtomicU64::store`].
    fn store(&self, value: u64, order: Ordering);
    /// As [`fence`].
    fn fence(order: Ordering);
}

impl Word for AtomicU64 {
    #[inline(always)]
    fn load(&self, order: Ordering) -> u64 {
        AtomicU64::load(self, order)
    }

    #[inline(always)]
    fn store(&self, value: u64, order: Ordering) {
        AtomicU64::store(self, value, order);
    }

    #[inline(always)]
    fn fence(order: Ordering) {
        fence(order);
    }
}
