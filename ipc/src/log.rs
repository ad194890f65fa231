//! A log record under construction: what `defmt` gives piece by piece, as one record of a ring. Both EL2 and the images below it log so;
//! they differ in whose turn it is to write, which is theirs to say.
//!
//! A record is the image's tag (the first four bytes of its build id, so that no other image's texts are taken), the counter, and the
//! frame. What is longer than `MAX` is cut, and the host says so.

use crate::BroadcastWriter;
use core::sync::atomic::AtomicU64;
use defmt::Encoder;

/// One writer's record and ring. Without a ring nothing is logged.
pub struct LogRecord<const MAX: usize> {
    writer: Option<BroadcastWriter<'static>>,
    bytes: [u8; MAX],
    length: usize,
    encoder: Encoder,
}

impl<const MAX: usize> LogRecord<MAX> {
    /// Without a ring.
    pub const fn new() -> Self {
        LogRecord { writer: None, bytes: [0; MAX], length: 0, encoder: Encoder::new() }
    }

    /// From now on records go into `ring`.
    pub fn start(&mut self, ring: &'static [AtomicU64]) {
        self.writer = BroadcastWriter::new(ring);
    }

    /// Begins a record.
    pub fn begin(&mut self, tag: [u8; 4], ticks: u64) {
        self.length = 0;
        self.put(|_, put| {
            put(&tag);
            put(&ticks.to_le_bytes());
        });
        self.put(|encoder, put| encoder.start_frame(put));
    }

    /// Goes on with it.
    pub fn add(&mut self, bytes: &[u8]) {
        self.put(|encoder, put| encoder.write(bytes, put));
    }

    /// Ends it and writes it.
    pub fn end(&mut self) {
        self.put(|encoder, put| encoder.end_frame(put));
        if let Some(writer) = &mut self.writer {
            // A ring takes every record of this length.
            let _ = writer.write(self.bytes.get(..self.length).unwrap_or_default());
        }
    }

    fn put(&mut self, act: impl FnOnce(&mut Encoder, &mut dyn FnMut(&[u8]))) {
        let LogRecord { bytes, length, encoder, .. } = self;
        act(encoder, &mut |piece| {
            for &b in piece {
                if let Some(slot) = bytes.get_mut(*length) {
                    *slot = b;
                    *length += 1;
                }
            }
        });
    }
}

impl<const MAX: usize> Default for LogRecord<MAX> {
    fn default() -> Self {
        Self::new()
    }
}
