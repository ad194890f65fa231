//! Entry and exit: the assembly round everything else.
#![allow(unsafe_code)]

use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

/// Bytes of the stack, on which the manifest is read and the bundle's digest is checked.
const STACK_SIZE: usize = 256 * 1024;

#[repr(C, align(4096))]
struct Stack(UnsafeCell<[u8; STACK_SIZE]>);

// SAFETY: no Rust code names the contents; one core runs here, and the assembly gives it the stack.
unsafe impl Sync for Stack {}

static STACK: Stack = Stack(UnsafeCell::new([0; STACK_SIZE]));

global_asm!(
    include_str!("entry.s"),
    stack = sym STACK,
    stack_size = const STACK_SIZE,
    wrong_level = sym wrong_level,
    early = sym early,
    primary = sym primary,
    unexpected = sym unexpected,
);

extern "C" fn wrong_level(tree: u64, image: u64) -> ! {
    crate::boot::wrong_level(tree, image)
}

extern "C" fn early(tree: u64, start: u64, end: u64) -> u64 {
    crate::boot::early(tree, start, end)
}

extern "C" fn primary(tree: u64, start: u64, end: u64, area: u64) {
    crate::boot::primary(tree, start, end, area);
}

extern "C" fn unexpected(syndrome: u64, pc: u64, address: u64) -> ! {
    crate::boot::unexpected(syndrome, pc, address)
}

/// Stops this core; the others have not been started.
pub fn stop() -> ! {
    loop {
        // SAFETY: waiting changes nothing.
        unsafe { asm!("wfi", options(nomem, nostack)) };
    }
}
