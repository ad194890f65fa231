//! `mark`: a place in a script at which a QEMU plugin counts (`tests/guests/plugin/marks.c`).

use std::arch::asm;

fn main() {
    // SAFETY: (1) this hint does nothing.
    unsafe { asm!("hint #100") };
}
