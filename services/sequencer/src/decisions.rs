//! Which calls were skipped and which were let go; once said, never the other.
//!
//! A skip does not use the number of its call up (the next head may make that call, or be stuck at it too), so what is decided of one
//! call is a row: some skips, and at the end at most one go.

/// So many calls are remembered. Below the oldest forgotten one nothing is decided any more: a voter that stands there has been
/// told long ago, in the log.
const HISTORY: usize = 1024;

#[derive(Clone, Copy, Default)]
struct Row {
    call: u64,
    skips: u32,
    go: bool,
}

/// What was decided so far.
pub struct Decisions {
    rows: [Row; HISTORY],
    used: usize,
    next: usize,
    /// Calls below this number are forgotten.
    floor: u64,
}

impl Decisions {
    pub fn new() -> Self {
        Decisions { rows: [Row::default(); HISTORY], used: 0, next: 0, floor: 0 }
    }

    fn find(&self, call: u64) -> Option<&Row> {
        self.rows.iter().take(self.used).find(|r| r.call == call)
    }

    /// How often `call` was skipped.
    pub fn skips(&self, call: u64) -> u32 {
        self.find(call).map_or(0, |r| r.skips)
    }

    /// Whether there may still be a decision of `call`.
    pub fn open(&self, call: u64) -> bool {
        call >= self.floor && !self.find(call).is_some_and(|r| r.go)
    }

    pub fn skip(&mut self, call: u64) {
        if let Some(row) = self.row(call) {
            row.skips = row.skips.saturating_add(1);
        }
    }

    pub fn go(&mut self, call: u64) {
        if let Some(row) = self.row(call) {
            row.go = true;
        }
    }

    fn row(&mut self, call: u64) -> Option<&mut Row> {
        let at = match self.rows.iter().take(self.used).position(|r| r.call == call) {
            Some(at) => at,
            None => self.make(call),
        };
        self.rows.get_mut(at)
    }

    fn make(&mut self, call: u64) -> usize {
        let at = self.next;
        self.next = (self.next + 1) % HISTORY;
        if let Some(row) = self.rows.get_mut(at) {
            if self.used == HISTORY {
                self.floor = self.floor.max(row.call.saturating_add(1));
            }
            *row = Row { call, skips: 0, go: false };
        }
        self.used = (self.used + 1).min(HISTORY);
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_go_is_the_last_word_and_what_is_forgotten_stays_decided() {
        let mut d = Decisions::new();
        d.skip(5);
        d.skip(5);
        assert!(d.open(5) && d.skips(5) == 2);
        d.go(5);
        assert!(!d.open(5) && d.open(6));
        for call in 10..10 + HISTORY as u64 {
            d.skip(call);
        }
        assert!(!d.open(5) && d.open(6) && d.open(10));
        d.skip(5000);
        assert!(!d.open(6) && !d.open(10) && d.open(11));
    }
}
