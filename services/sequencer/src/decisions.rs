//! Which calls were decided; a skip uses its call's number up as a call does, so each has one decision, and never another.

/// So many calls are remembered. Below the oldest forgotten one nothing is decided any more: a voter that stands there has been
/// told long ago, in the log.
const HISTORY: usize = 1024;

/// What was decided so far.
pub struct Decisions {
    calls: [u64; HISTORY],
    used: usize,
    next: usize,
    /// Calls below this number are forgotten.
    floor: u64,
}

impl Decisions {
    pub fn new() -> Self {
        Decisions { calls: [0; HISTORY], used: 0, next: 0, floor: 0 }
    }

    /// Whether `call` may still be decided.
    pub fn open(&self, call: u64) -> bool {
        call >= self.floor && !self.calls.iter().take(self.used).any(|c| *c == call)
    }

    /// Notes that `call` was decided, either way.
    pub fn close(&mut self, call: u64) {
        if let Some(slot) = self.calls.get_mut(self.next) {
            if self.used == HISTORY {
                self.floor = self.floor.max(slot.saturating_add(1));
            }
            *slot = call;
        }
        self.next = (self.next + 1) % HISTORY;
        self.used = (self.used + 1).min(HISTORY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_decided_and_forgotten_stays_decided() {
        let mut d = Decisions::new();
        d.close(5);
        assert!(!d.open(5) && d.open(6));
        for call in 10..10 + HISTORY as u64 {
            d.close(call);
        }
        assert!(!d.open(5) && d.open(6) && !d.open(10));
        d.close(5000);
        assert!(!d.open(6) && !d.open(10) && d.open(4999));
    }
}
