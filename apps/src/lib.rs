//! What the test programs have in common.

use std::cell::Cell;

/// xorshift64*, the same everywhere.
pub struct Random(Cell<u64>);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(Cell::new(seed))
    }

    pub fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x >> 12;
        x ^= x << 25;
        x ^= x >> 27;
        self.0.set(x);
        x.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 8
    }

    pub fn below(&self, n: u64) -> u64 {
        self.next() % n
    }

    pub fn of(&self, list: &[u64]) -> u64 {
        list[self.below(list.len() as u64) as usize]
    }

    /// Up to three of them, together.
    pub fn bits(&self, list: &[u64]) -> u64 {
        (0..self.below(4)).fold(0, |v, _| v | self.of(list))
    }
}

/// A place at which a QEMU plugin counts (`tests/guests/plugin/marks.c`).
pub fn mark() {
    // SAFETY: (1) this hint does nothing.
    unsafe { std::arch::asm!("hint #100") };
}

/// A system call; -errno on failure.
///
/// # Safety
/// As the call's own: it may write where its arguments point.
pub unsafe fn raw(number: i64, a: [u64; 6]) -> i64 {
    // SAFETY: (1) the caller answers for the call.
    let r = unsafe { libc::syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]) };
    // SAFETY: (1) errno is this thread's own.
    if r == -1 { -i64::from(unsafe { *libc::__errno_location() }) } else { r }
}
