//! EL2's own end: a record at a known symbol, one line, and this core stops. The other cores go on.

use crate::arch::registers;
use crate::{say, shared};
use core::fmt::Write;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// What a tool reads out of a dead machine.
#[repr(C)]
pub struct CrashRecord {
    /// "TETRDEAD" once the rest is valid.
    magic: AtomicU64,
    /// The core.
    core: AtomicU64,
    /// Vector, ESR_EL2, ELR_EL2, FAR_EL2; all zero for a panic.
    cause: [AtomicU64; 4],
    /// Text, padded with zeros.
    message: [AtomicU8; 256],
}

/// The record of the first crash; a known symbol for debuggers.
#[unsafe(no_mangle)]
#[allow(unsafe_code)] // A fixed symbol name is the point; no other symbol of the image has it.
pub static EL2_CRASH_RECORD: CrashRecord = CrashRecord {
    magic: AtomicU64::new(0),
    core: AtomicU64::new(0),
    cause: [const { AtomicU64::new(0) }; 4],
    message: [const { AtomicU8::new(0) }; 256],
};

struct Message(usize);

impl Write for Message {
    fn write_str(&mut self, s: &str) -> core::fmt::Result {
        for b in s.bytes() {
            if let Some(cell) = EL2_CRASH_RECORD.message.get(self.0) {
                cell.store(b, Ordering::Relaxed);
                self.0 += 1;
            }
        }
        Ok(())
    }
}

fn record(cause: [u64; 4], message: core::fmt::Arguments<'_>) {
    let r = &EL2_CRASH_RECORD;
    if r.magic.load(Ordering::Acquire) != 0 {
        return;
    }
    r.core.store(registers::core_number() as u64, Ordering::Relaxed);
    r.cause.iter().zip(cause).for_each(|(cell, v)| cell.store(v, Ordering::Relaxed));
    let _ = Message(0).write_fmt(message);
    r.magic.store(u64::from_le_bytes(*b"TETRDEAD"), Ordering::Release);
}

/// Marks the domains of this core as crashed: nobody else will. Those who wait for news find it when they next look.
fn mark_domains(pc: u64, address: u64) {
    let core = registers::core_number();
    for (domain, _) in crate::boot::plan().into_iter().flat_map(|p| p.on_core(core)) {
        shared::set_crashed(domain, 0, pc, address);
    }
}

/// Stops this core.
pub fn stop() -> ! {
    loop {
        registers::sleep();
    }
}

/// An exception of EL2 itself.
pub fn unexpected(vector: u64, syndrome: u64, pc: u64, address: u64) -> ! {
    record([vector, syndrome, pc, address], format_args!("unexpected exception"));
    mark_domains(pc, address);
    let core = registers::core_number();
    say!(
        "el2: CRASH on core {core}: exception {vector} syndrome {syndrome:#x} pc {pc:#x} address {address:#x}"
    );
    stop()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    record([0; 4], format_args!("{info}"));
    mark_domains(0, 0);
    say!("el2: CRASH on core {}: {}", registers::core_number(), info.message());
    if let Some(at) = info.location() {
        say!("el2: at {}:{}", at.file(), at.line());
    }
    stop()
}
