//! Logs: `defmt::info!` and its like write one record each into the domain's own ring, channel `log-NAME`. Only what varies is written;
//! the texts stay in the ELF file, and the host puts them together again (`make logs`).
//!
//! A record is the image's tag (the first four bytes of its build id, so that no other image's texts are taken), the counter, and the
//! frame. Without a ring nothing is logged.

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;
use defmt::Encoder;
use ipc::BroadcastWriter;

/// Longest record; what is longer is cut, and the host says so.
const RECORD_MAX: usize = 256;
/// Where the id stands in an ELF note: behind its header and the name "GNU".
const ID_AT: usize = 16;

struct State {
    writer: Option<BroadcastWriter<'static>>,
    record: [u8; RECORD_MAX],
    length: usize,
    encoder: Encoder,
}

impl State {
    fn put(&mut self, bytes: &[u8]) {
        for &b in bytes {
            if let Some(slot) = self.record.get_mut(self.length) {
                *slot = b;
                self.length += 1;
            }
        }
    }
}

struct Log(UnsafeCell<State>);

// SAFETY: a domain has one core and one flow of control: a service has no signals, a kernel logs with its interrupts masked. So nobody else
// is inside while one is.
unsafe impl Sync for Log {}

static LOG: Log =
    Log(UnsafeCell::new(State { writer: None, record: [0; RECORD_MAX], length: 0, encoder: Encoder::new() }));

fn with(act: impl FnOnce(&mut State)) {
    // SAFETY: (1) see `Log`; (2) `act` does not log.
    act(unsafe { &mut *LOG.0.get() })
}

/// From now on logs go into `ring`.
pub fn start(ring: &'static [AtomicU64]) {
    with(|s| s.writer = BroadcastWriter::new(ring));
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
        with(|s| {
            s.length = 0;
            s.put(&tag());
            s.put(&crate::calls::now().to_le_bytes());
        });
        forward(|encoder, put| encoder.start_frame(put));
    }
    unsafe fn flush() {}
    unsafe fn release() {
        forward(|encoder, put| encoder.end_frame(put));
        with(|s| {
            let State { writer: Some(writer), record, length, .. } = s else { return };
            // A ring takes every record of this length.
            let _ = writer.write(record.get(..*length).unwrap_or_default());
        });
    }
    unsafe fn write(bytes: &[u8]) {
        forward(|encoder, put| encoder.write(bytes, put));
    }
}

/// Lets the encoder put bytes into the record.
fn forward(act: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
    with(|s| {
        let mut encoder = core::mem::replace(&mut s.encoder, Encoder::new());
        act(&mut encoder, &mut |bytes| s.put(bytes));
        s.encoder = encoder;
    });
}
