//! Logs: `defmt::info!` and its like write one record each into the domain's own ring, channel `log-NAME`. Only what varies is written;
//! the texts stay in the ELF file, and the host puts them together again (`make logs`).

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;
use ipc::LogRecord;

/// Longest record.
const RECORD_MAX: usize = 256;
/// Where the id stands in an ELF note: behind its header and the name "GNU".
const ID_AT: usize = 16;

struct Log(UnsafeCell<LogRecord<RECORD_MAX>>);

// SAFETY: a domain has one core and one flow of control: a service has no signals, a kernel logs with its interrupts masked. So nobody else
// is inside while one is.
unsafe impl Sync for Log {}

static LOG: Log = Log(UnsafeCell::new(LogRecord::new()));

fn with(act: impl FnOnce(&mut LogRecord<RECORD_MAX>)) {
    // SAFETY: (1) see `Log`; (2) `act` does not log.
    act(unsafe { &mut *LOG.0.get() })
}

/// From now on logs go into `ring`.
pub fn start(ring: &'static [AtomicU64]) {
    with(|log| log.start(ring));
}

fn tag() -> [u8; 4] {
    unsafe extern "C" {
        /// The ELF note that the linker made (`image.ld`).
        static __build_id: [u8; ID_AT + 4];
    }
    // SAFETY: the linker script keeps the note, which is longer than that, in read-only data.
    let [.., a, b, c, d] = unsafe { __build_id };
    [a, b, c, d]
}

#[defmt::global_logger]
struct Logger;

// SAFETY: frames do not mix: between `acquire` and `release` nobody else runs (see `Log`).
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        with(|log| log.begin(tag(), crate::calls::now()));
    }
    unsafe fn flush() {}
    unsafe fn release() {
        with(LogRecord::end);
    }
    unsafe fn write(bytes: &[u8]) {
        with(|log| log.add(bytes));
    }
}
