//! EL2's log: `defmt` frames, a ring a core, at a symbol that the host knows. As `runtime::log`, but each core has its own state.

use super::registers;
use board::CORES_MAX;
use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU64;
use defmt::Encoder;
use ipc::BroadcastWriter;

/// Words of a ring: a page of header and 32 KiB of records.
const RING_WORDS: usize = (4096 + 32768) / 8;
const RECORD_MAX: usize = 128;
const ID_AT: usize = 16;

/// The rings, for the host. `xtask` knows their size.
#[repr(C, align(4096))]
pub struct Rings([[AtomicU64; RING_WORDS]; CORES_MAX]);

#[unsafe(no_mangle)]
static EL2_LOG: Rings = Rings([const { [const { AtomicU64::new(0) }; RING_WORDS] }; CORES_MAX]);

struct State {
    writer: Option<BroadcastWriter<'static>>,
    record: [u8; RECORD_MAX],
    length: usize,
    encoder: Encoder,
}

struct Log([UnsafeCell<State>; CORES_MAX]);

// SAFETY: state i is reached by core i only, whose EL2 runs with interrupts masked and does not log while it logs.
unsafe impl Sync for Log {}

static LOG: Log = Log([const {
    UnsafeCell::new(State { writer: None, record: [0; RECORD_MAX], length: 0, encoder: Encoder::new() })
}; CORES_MAX]);

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

fn with(act: impl FnOnce(&mut State)) {
    if let Some(state) = LOG.0.get(registers::core_number()) {
        // SAFETY: (1) see `Log`; (2) `act` does not log.
        act(unsafe { &mut *state.get() });
    }
}

/// This core logs from now on. The MMU is on: rings are atomic words.
pub fn start() {
    let ring = EL2_LOG.0.get(registers::core_number());
    with(|s| s.writer = ring.and_then(|r| BroadcastWriter::new(r.as_slice())));
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
        with(|s| {
            s.length = 0;
            s.put(&tag());
            s.put(&registers::now().to_le_bytes());
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

fn forward(act: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
    with(|s| {
        let mut encoder = core::mem::replace(&mut s.encoder, Encoder::new());
        act(&mut encoder, &mut |bytes| s.put(bytes));
        s.encoder = encoder;
    });
}
