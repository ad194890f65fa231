//! EL2's own end: a record at a known symbol, one line, and this core stops. The other cores go on.

use crate::arch::{entry, registers};
use crate::console::{self, Part};
use crate::{say, shared};
use abi::bootinfo::EL2_CRASHED;
use abi::handover::CORES_MAX;
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

/// The words on the stack above `sp` that point into the text: return addresses, and some that only look like it. A walk by frame
/// pointers would be exact, and end at the first damaged one.
fn calls(sp: u64) -> heapless::Vec<u64, CALLS_MAX> {
    let [start, text_end, ..] = entry::image();
    let code = |w: &u64| w.is_multiple_of(4) && (start..text_end).contains(w);
    entry::words_above(registers::core_number(), sp).filter(code).take(CALLS_MAX).collect()
}

/// Writes the record, if there is none yet.
fn record(cause: [u64; 4], calls: &[u64], message: &[Part<'_>]) {
    let r = &EL2_CRASH_RECORD;
    if r.magic.load(Ordering::Acquire) != 0 {
        return;
    }
    r.core.store(registers::core_number() as u64, Ordering::Relaxed);
    r.cause.iter().zip(cause).for_each(|(cell, v)| cell.store(v, Ordering::Relaxed));
    r.calls.iter().zip(calls).for_each(|(cell, c)| cell.store(*c, Ordering::Relaxed));
    let mut cells = r.message.iter();
    console::write(message, &mut |b| {
        cells.next().into_iter().for_each(|cell| cell.store(b, Ordering::Relaxed))
    });
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

/// The end of this core. `cause` as in the record, `sp` where its stack stood; a panic has a `place`.
fn end(cause: [u64; 4], sp: u64, what: &[Part<'_>], place: &[Part<'_>]) -> ! {
    once();
    let (calls, what) = (calls(sp), Part::Parts(what));
    let [_, _, pc, address] = cause;
    let (core, panics) = (registers::core_number(), !place.is_empty());
    record(cause, &calls, &[Part::Parts(place), if panics { " " } else { "" }.into(), what]);
    say!("el2: CRASH on core ", core, ": ", what);
    if panics {
        say!("el2: at ", Part::Parts(place));
    }
    let at: &[u64] = if panics { &[] } else { &[pc] };
    say!("el2: return addresses:", Part::Addresses(at), Part::Addresses(&calls));
    mark_domains(pc, address);
    say!("el2: core ", core, " stops");
    stop()
}

/// An exception of EL2 itself.
pub fn unexpected(vector: u64, syndrome: u64, pc: u64, address: u64, sp: u64) -> ! {
    let what = if entry::is_guard(address & !0xfff) { "stack overflow" } else { "unexpected exception" };
    let [of, at, about] = [syndrome, pc, address].map(Part::Hex);
    let what = [what.into(), ", vector ".into(), vector.into(), " syndrome ".into(), of];
    let what = [Part::Parts(&what), " pc ".into(), at, " address ".into(), about];
    end([vector, syndrome, pc, address], sp, &what, &[])
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let here = 0u64;
    // Formatted texts are left out: the place says more, and needs no formatting.
    let what = info.message().as_str().unwrap_or("panic").into();
    let (file, line) = info.location().map_or(("?", 0), |at| (at.file(), at.line()));
    end([0; 4], &raw const here as u64, &[what], &[file.into(), ":".into(), Part::Number(line.into())])
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
