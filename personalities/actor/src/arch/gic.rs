//! The virtual CPU interface (GICv2): two interrupts, doorbell and timer, taken only while a program runs.

use abi::bootinfo::CPU_INTERFACE_IPA;
use abi::hypercall::{DOORBELL_INTID, TIMER_INTID};
use core::arch::asm;

const CTLR: u64 = 0x0;
const PMR: u64 = 0x4;
const IAR: u64 = 0xc;
const EOIR: u64 = 0x10;
const INTID: u32 = 0x3ff;
/// No interrupt is pending.
const SPURIOUS: u32 = 1020;

fn register(offset: u64) -> *mut u32 {
    (CPU_INTERFACE_IPA + offset) as *mut u32
}

/// Lets interrupts through.
pub fn start() {
    // SAFETY: EL2 maps the interface there, the kernel's tables as device memory; both registers are this core's own.
    unsafe {
        register(PMR).write_volatile(0xff);
        register(CTLR).write_volatile(1);
    }
}

/// Takes all pending interrupts; whether the doorbell was among them.
pub fn drain() -> bool {
    let mut bell = false;
    loop {
        // SAFETY: acknowledging is what an interrupt handler does.
        let value = unsafe { register(IAR).read_volatile() };
        match value & INTID {
            SPURIOUS.. => return bell,
            DOORBELL_INTID => bell = true,
            TIMER_INTID => stop_timer(),
            _ => {}
        }
        // SAFETY: ends the interrupt that was acknowledged.
        unsafe { register(EOIR).write_volatile(value) };
    }
}

/// The virtual timer fires when the counter reaches `at`.
pub fn set_timer(at: u64) {
    // SAFETY: this kernel's own timer.
    unsafe {
        asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", in(reg) at, in(reg) 1u64, options(nostack))
    };
}

/// It does not fire.
pub fn stop_timer() {
    // SAFETY: this kernel's own timer.
    unsafe { asm!("msr cntv_ctl_el0, xzr", options(nostack)) };
}
