//! EL2's log: `defmt` frames, a ring a core, at a symbol that the host knows. As `runtime::log`, but each core has its own record and ring.

use super::registers;
use abi::handover::CORES_MAX;
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;
use ipc::LogRecord;

/// Words of a ring: a page of header and 32 KiB of records.
const RING_WORDS: usize = (4096 + 32768) / 8;
const RECORD_MAX: usize = 128;
const ID_AT: usize = 16;

/// The rings, for the host. `xtask` knows their size.
#[repr(C, align(4096))]
pub struct Rings([[AtomicU64; RING_WORDS]; CORES_MAX]);

#[unsafe(no_mangle)]
static EL2_LOG: Rings = Rings([const { [const { AtomicU64::new(0) }; RING_WORDS] }; CORES_MAX]);

struct Log([UnsafeCell<LogRecord<RECORD_MAX>>; CORES_MAX]);

// SAFETY: record i is reached by core i only, whose EL2 runs with interrupts masked and does not log while it logs.
unsafe impl Sync for Log {}

static LOG: Log = Log([const { UnsafeCell::new(LogRecord::new()) }; CORES_MAX]);

fn with(act: impl FnOnce(&mut LogRecord<RECORD_MAX>)) {
    if let Some(log) = LOG.0.get(registers::core_number()) {
        // SAFETY: (1) see `Log`; (2) `act` does not log.
        act(unsafe { &mut *log.get() });
    }
}

/// This core logs from now on. The MMU is on: rings are atomic words.
pub fn start() {
    if let Some(ring) = EL2_LOG.0.get(registers::core_number()) {
        with(|log| log.start(ring));
    }
}

fn tag() -> [u8; 4] {
    unsafe extern "C" {
        static __build_id: [u8; ID_AT + 4];
    }
    // SAFETY: the linker script keeps the note, which is longer than that, in read-only data.
    let [.., a, b, c, d] = unsafe { __build_id };
    [a, b, c, d]
}

#[defmt::global_logger]
struct Logger;

// SAFETY: frames do not mix: each core has its own state, and nobody interrupts it.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        with(|log| log.begin(tag(), registers::now()));
    }
    unsafe fn flush() {}
    unsafe fn release() {
        with(LogRecord::end);
    }
    unsafe fn write(bytes: &[u8]) {
        with(|log| log.add(bytes));
    }
}
