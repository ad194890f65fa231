//! EL2's own end: a record at a known symbol, one line, and this core stops. The other cores go on.

use crate::arch::{entry, registers};
use crate::{say, shared};
use abi::bootinfo::EL2_CRASHED;
use board::CORES_MAX;
use core::fmt::Write;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// Return addresses that are kept.
const CALLS_MAX: usize = 12;

/// What a tool reads out of a dead machine.
#[repr(C)]
pub struct CrashRecord {
    /// "TETRDEAD" once the rest is valid.
    magic: AtomicU64,
    /// The core.
    core: AtomicU64,
    /// Vector, ESR_EL2, ELR_EL2, FAR_EL2; all zero for a panic.
    cause: [AtomicU64; 4],
    /// What may be return addresses on the stack, innermost first, padded with zeros.
    calls: [AtomicU64; CALLS_MAX],
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
    calls: [const { AtomicU64::new(0) }; CALLS_MAX],
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

/// The words on the stack above `sp` that point into the text: return addresses, and some that only look like it. A walk by frame
/// pointers would be exact, and end at the first damaged one.
fn calls(sp: u64) -> heapless::Vec<u64, CALLS_MAX> {
    let [start, text_end, ..] = entry::image();
    let code = |w: &u64| w.is_multiple_of(4) && (start..text_end).contains(w);
    entry::words_above(registers::core_number(), sp).filter(code).take(CALLS_MAX).collect()
}

/// Addresses in a line, for `xtask`, which knows their names.
struct List<'a>(&'a [u64]);

impl core::fmt::Display for List<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.iter().try_for_each(|c| write!(f, " {c:#x}"))
    }
}

/// Writes the record, if there is none yet.
fn record(cause: [u64; 4], calls: &[u64], message: core::fmt::Arguments<'_>) {
    let r = &EL2_CRASH_RECORD;
    if r.magic.load(Ordering::Acquire) != 0 {
        return;
    }
    r.core.store(registers::core_number() as u64, Ordering::Relaxed);
    r.cause.iter().zip(cause).for_each(|(cell, v)| cell.store(v, Ordering::Relaxed));
    r.calls.iter().zip(calls).for_each(|(cell, c)| cell.store(*c, Ordering::Relaxed));
    let _ = Message(0).write_fmt(message);
    r.magic.store(u64::from_le_bytes(*b"TETRDEAD"), Ordering::Release);
}

/// Marks the domains of this core as crashed: nobody else will. Those who wait for news find it when they next look.
fn mark_domains(pc: u64, address: u64) {
    let core = registers::core_number();
    for (domain, _) in crate::boot::plan().into_iter().flat_map(|p| p.on_core(core)) {
        shared::set_crashed(domain, EL2_CRASHED, pc, address);
    }
}

/// Stops this core.
pub fn stop() -> ! {
    loop {
        registers::sleep();
    }
}

/// A core that crashes while it reports its crash says nothing more. Loads and stores only: the MMU may be off.
fn once() {
    static CRASHED: [AtomicU64; CORES_MAX] = [const { AtomicU64::new(0) }; CORES_MAX];
    let Some(mine) = CRASHED.get(registers::core_number()) else { stop() };
    if mine.load(Ordering::Relaxed) != 0 {
        stop()
    }
    mine.store(1, Ordering::Relaxed);
}

/// An exception of EL2 itself.
pub fn unexpected(vector: u64, syndrome: u64, pc: u64, address: u64, sp: u64) -> ! {
    once();
    let calls = calls(sp);
    let what = if entry::is_guard(address & !0xfff) { "stack overflow" } else { "unexpected exception" };
    record([vector, syndrome, pc, address], &calls, format_args!("{what}"));
    let core = registers::core_number();
    say!(
        "el2: CRASH on core {core}: {what}, vector {vector} syndrome {syndrome:#x} pc {pc:#x} address {address:#x}"
    );
    say!("el2: return addresses: {pc:#x}{}", List(&calls));
    mark_domains(pc, address);
    say!("el2: core {core} stops");
    stop()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    once();
    let here = 0u64;
    let calls = calls(&raw const here as u64);
    record([0; 4], &calls, format_args!("{info}"));
    say!("el2: CRASH on core {}: {}", registers::core_number(), info.message());
    if let Some(at) = info.location() {
        say!("el2: at {}:{}", at.file(), at.line());
    }
    say!("el2: return addresses:{}", List(&calls));
    mark_domains(0, 0);
    say!("el2: core {} stops", registers::core_number());
    stop()
}

/// For the test of all this: a build that dies when asked.
#[cfg(feature = "crash-test")]
#[inline(never)] // The test looks for its name.
pub fn on_demand(number: u64) {
    #[inline(never)]
    fn deeper(n: u64) -> u64 {
        let room = core::hint::black_box([n; 64]);
        if n == 0 { 0 } else { deeper(n - 1).wrapping_add(core::hint::black_box(room)[1]) }
    }
    match number {
        1000 => assert!(deeper(u64::MAX) == 1),
        1001 => panic!("on demand"),
        _ => {}
    }
}
