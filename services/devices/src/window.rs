//! Input records on their way to be ordered: so many at a time as each replica has room for.

use abi::vote::{INPUT_BYTES_MAX, INPUTS_MAX};

/// What was sent and is not ordered yet.
pub struct Window {
    /// Lengths of the newest records, by number.
    lengths: [usize; INPUTS_MAX],
    sent: u64,
    ordered: u64,
}

impl Default for Window {
    fn default() -> Self {
        Window { lengths: [0; INPUTS_MAX], sent: 0, ordered: 0 }
    }
}

impl Window {
    /// The number under which a record of `length` bytes may go now; `None`: others are to be ordered first.
    pub fn next(&self, length: usize) -> Option<u64> {
        let open = (self.ordered..self.sent).map(|n| self.length(n));
        let room = self.sent - self.ordered < INPUTS_MAX as u64
            && open.sum::<usize>().saturating_add(length) <= INPUT_BYTES_MAX;
        room.then(|| self.sent.saturating_add(1))
    }

    fn length(&self, n: u64) -> usize {
        self.lengths.get((n % INPUTS_MAX as u64) as usize).copied().unwrap_or(0)
    }

    /// It went.
    pub fn sent(&mut self, length: usize) {
        if let Some(slot) = self.lengths.get_mut((self.sent % INPUTS_MAX as u64) as usize) {
            *slot = length;
        }
        self.sent = self.sent.saturating_add(1);
    }

    /// Records up to `n` are ordered, the replicas say; they cannot have ordered what was not sent.
    pub fn ordered(&mut self, n: u64) {
        self.ordered = self.ordered.max(n.min(self.sent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_and_bytes_are_bounded_and_make_room_when_they_are_ordered() {
        let mut w = Window::default();
        for n in 1..=INPUTS_MAX as u64 {
            assert_eq!(w.next(10), Some(n));
            w.sent(10);
        }
        assert_eq!(w.next(10), None);
        w.ordered(u64::MAX);
        assert_eq!(w.next(INPUT_BYTES_MAX), Some(65));
        w.sent(INPUT_BYTES_MAX - 5);
        assert_eq!((w.next(5), w.next(6)), (Some(66), None));
        w.ordered(3);
        assert_eq!(w.next(6), None);
        w.ordered(65);
        assert_eq!(w.next(6), Some(66));
    }
}
