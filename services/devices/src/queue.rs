//! Input events that wait for the replicas to order earlier ones.

use abi::log::Event;

/// Bytes of events held here before what is typed is lost.
const QUEUE: usize = 16 * 1024;
/// Longest encoded event.
pub const EVENT_MAX: usize = crate::LINE_MAX + 16;
const LENGTH: usize = 2;

/// The events, each preceded by its length.
#[derive(Default)]
pub struct Queue {
    bytes: heapless::Vec<u8, QUEUE>,
}

impl Queue {
    /// Appends `event`. `false`: no room, it is lost.
    pub fn push(&mut self, event: &Event<'_>) -> bool {
        let mut buf = [0; EVENT_MAX];
        let Ok(encoded) = postcard::to_slice(event, &mut buf) else { return false };
        let Ok(length) = u16::try_from(encoded.len()) else { return false };
        if self.bytes.len() + LENGTH + encoded.len() > QUEUE {
            return false;
        }
        let frame = [&length.to_le_bytes()[..], encoded];
        frame.iter().all(|part| self.bytes.extend_from_slice(part).is_ok())
    }

    /// The oldest event, encoded.
    pub fn front(&self) -> Option<&[u8]> {
        let (length, rest) = self.bytes.split_first_chunk::<LENGTH>()?;
        rest.get(..usize::from(u16::from_le_bytes(*length)))
    }

    /// Drops the oldest event.
    pub fn pop(&mut self) {
        let Some(taken) = self.front().map(|e| e.len() + LENGTH) else { return };
        let held = self.bytes.len();
        self.bytes.rotate_left(taken.min(held));
        self.bytes.truncate(held.saturating_sub(taken));
    }

    /// Drops all.
    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}
