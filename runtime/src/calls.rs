//! The calls of `abi::hypercall`, safe to use: each passes numbers, or the address of a text that lives until it returns.

use crate::capability::Registers;
use abi::hypercall::{Call, Error, Inject, TEXT_MAX};
use core::sync::atomic::{AtomicU64, Ordering};

/// Virtual address minus intermediate physical address of this image's memory; 0 while it is mapped one to one.
static OFFSET: AtomicU64 = AtomicU64::new(0);

/// A kernel that maps its image at `virtual = ipa + offset` says so, once its MMU is on, so that texts are found.
pub fn set_virtual_offset(offset: u64) {
    OFFSET.store(offset, Ordering::Relaxed);
}

/// Address of `bytes` as EL2 needs it. They must lie in the image's memory (bss, stack, heap at the same offset).
fn ipa(bytes: &[u8]) -> u64 {
    (bytes.as_ptr() as u64).wrapping_sub(OFFSET.load(Ordering::Relaxed))
}

#[cfg(target_os = "none")]
fn raw(call: u64, a: u64, b: u64) -> (i64, u64) {
    use core::arch::asm;
    let (mut x0, mut x1) = (a, b);
    /// One call by the given instruction.
    macro_rules! by {
        ($instruction:literal) => {
            // SAFETY: (1) EL2 changes x0 and x1 only (abi::hypercall); (2) it reads our memory in Text and Crash, of bytes that the
            // caller borrows, and writes none.
            unsafe { asm!($instruction, in("x8") call, inout("x0") x0, inout("x1") x1, options(nostack)) }
        };
    }
    if kernel() {
        by!("hvc #0")
    } else {
        by!("svc #0")
    }
    (x0 as i64, x1)
}

#[cfg(all(target_os = "none", feature = "kernel", not(feature = "service")))]
pub(crate) fn kernel() -> bool {
    true
}

#[cfg(all(target_os = "none", not(feature = "kernel")))]
pub(crate) fn kernel() -> bool {
    false
}

#[cfg(all(target_os = "none", feature = "kernel", feature = "service"))]
pub(crate) fn kernel() -> bool {
    unsafe extern "C" {
        safe static __tetrarch_kernel_main: u64;
    }
    __tetrarch_kernel_main != 0
}

/// The host has no EL2.
#[cfg(not(target_os = "none"))]
fn raw(_: u64, _: u64, _: u64) -> (i64, u64) {
    (Error::UnknownCall as i64, 0)
}

/// A call with a number of one's own choice: for tests of EL2. Returns x0 and x1.
pub fn any(call: u64, a: u64, b: u64) -> (i64, u64) {
    let mut registers = Registers::new(a, &[b]);
    crate::capability::raw(call, &mut registers);
    (registers.status(), registers.x[1])
}

fn call(call: Call, a: u64, b: u64) -> Result<u64, Error> {
    match raw(call as u64, a, b) {
        (0.., x1) => Ok(x1),
        (e, _) => Err(known(e)),
    }
}

fn known(e: i64) -> Error {
    use Error::*;
    let all = [UnknownCall, BadArgument, BadAddress, Denied, Exhausted];
    all.into_iter().find(|k| *k as i64 == e).unwrap_or(UnknownCall)
}

/// Does nothing.
pub fn null() -> Result<(), Error> {
    call(Call::Null, 0, 0).map(|_| ())
}

/// Prints one line on the operator's console; what is longer than `TEXT_MAX` is cut.
pub fn print(text: &[u8]) -> Result<(), Error> {
    let text = text.get(..TEXT_MAX as usize).unwrap_or(text);
    call(Call::Text, ipa(text), text.len() as u64).map(|_| ())
}

/// Rings channel `channel`.
pub fn signal(channel: usize) -> Result<(), Error> {
    call(Call::Signal, channel as u64, 0).map(|_| ())
}

/// Takes the notification word, waiting for it until the counter reaches `deadline` (`u64::MAX`: no limit).
pub fn wait(deadline: u64) -> u64 {
    call(Call::Wait, deadline, 0).unwrap_or(0)
}

/// Takes the notification word.
pub fn poll() -> u64 {
    call(Call::Poll, 0, 0).unwrap_or(0)
}

/// Lets a device interrupt come again.
pub fn irq_ack(intid: u32) -> Result<(), Error> {
    call(Call::IrqAck, u64::from(intid), 0).map(|_| ())
}

/// The end, with a message.
pub fn crash(message: &[u8]) -> ! {
    let message = message.get(..TEXT_MAX as usize).unwrap_or(message);
    loop {
        // It does not return; should it, there is nothing better to do than to ask again.
        let _ = call(Call::Crash, ipa(message), message.len() as u64);
    }
}

/// Manager only: a fault in domain `domain`.
pub fn inject(domain: usize, kind: Inject) -> Result<(), Error> {
    call(Call::Inject, domain as u64, kind as u64).map(|_| ())
}

/// Manager only: the end of the machine.
pub fn power_off() -> Result<(), Error> {
    call(Call::PowerOff, 0, 0).map(|_| ())
}

/// Gives the rest of the slice away.
pub fn yield_now() {
    let _ = call(Call::Yield, 0, 0);
}

/// The virtual counter (`BootInfo::counter_hz`), the same for all domains.
pub fn now() -> u64 {
    #[cfg(target_os = "none")]
    {
        let count;
        // SAFETY: reading the counter has no effect; EL2 lets EL0 and EL1 do it.
        unsafe { core::arch::asm!("isb", "mrs {}, cntvct_el0", out(reg) count, options(nomem, nostack)) };
        count
    }
    #[cfg(not(target_os = "none"))]
    0
}
