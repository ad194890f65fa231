//! Instructions of a piece of code (see `rings.rs`): the least mean of a few batches, as interrupts only ever add.

use core::hint::black_box;
use core::sync::atomic::Ordering;
use runtime::{Channel, calls};

/// Runs in a batch, and batches.
pub const TURNS: u64 = 100;
const BATCHES: u64 = 5;

/// Nanoseconds of one turn, which are instructions.
pub fn time(hz: u64, mut turn: impl FnMut()) -> u64 {
    let mut least = u64::MAX;
    for _ in 0..BATCHES {
        // So that the batch begins with a whole budget.
        calls::wait(calls::now() + hz / 50);
        turn();
        let start = calls::now();
        for _ in 0..TURNS {
            turn();
        }
        least = least.min((calls::now() - start) * (1_000_000_000 / hz) / TURNS);
    }
    least
}

/// What the loop itself costs.
pub fn empty(hz: u64) -> u64 {
    time(hz, || {
        black_box(0);
    })
}

/// The word by which a domain tells how far it is.
const STEP: usize = 600;

/// Says that this domain has reached `step`.
pub fn tell(own: &Channel, step: u64) {
    own.words()[STEP].store(step, Ordering::Release);
    own.ring();
}

/// Waits until the writer of `other` has reached `step`.
pub fn until(other: &Channel, step: u64) {
    while other.words()[STEP].load(Ordering::Acquire) < step {
        calls::wait(u64::MAX);
    }
}
