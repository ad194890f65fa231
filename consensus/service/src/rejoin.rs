//! Skipped threads that want to come back: agreed when a quorum of voters asks for the same one.

use crate::voter::Voter;
use abi::bootinfo::DOMAINS_MAX;

/// Requests held.
const ROWS: usize = 256;
/// A voter may have opened so many that nobody else supports; beyond, its requests are dropped. A correct kernel has at
/// most as many skipped threads as the others, so only a liar gets there.
const OPEN_PER_VOTER: usize = 32;

/// A thread and the call at which it was skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// Serial number of the thread.
    pub thread: u64,
    /// The call.
    pub call: u64,
}

#[derive(Clone, Copy, Default)]
struct Row {
    request: Request,
    /// Who asked, a bit a domain; 0: the row is free.
    asked: u64,
    done: bool,
}

/// The requests.
pub struct Rejoins {
    rows: [Row; ROWS],
    /// Where the search for a row to give up begins, so that the oldest goes first.
    oldest: usize,
    /// Rows that are asked for and not done. Mostly none: then nobody looks at the rows, which are asked after again and again.
    open: usize,
}

impl Rejoins {
    pub fn new() -> Self {
        Rejoins { rows: [Row::default(); ROWS], oldest: 0, open: 0 }
    }

    /// `voter` asks.
    pub fn ask(&mut self, voter: u32, request: Request) {
        let bit = 1u64.checked_shl(voter).unwrap_or(0);
        if let Some(row) = self.rows.iter_mut().find(|r| r.asked != 0 && r.request == request) {
            row.asked |= bit;
            return;
        }
        if self.open_rows().filter(|r| r.asked == bit).count() >= OPEN_PER_VOTER {
            return;
        }
        if let Some(at) = self.free()
            && let Some(row) = self.rows.get_mut(at)
        {
            *row = Row { request, asked: bit, done: false };
        }
        self.count_open();
    }

    fn count_open(&mut self) {
        self.open = self.rows.iter().filter(|r| r.asked != 0 && !r.done).count();
    }

    fn open_rows(&self) -> impl Iterator<Item = &Row> {
        let rows = if self.open == 0 { &[][..] } else { &self.rows };
        rows.iter().filter(|r| r.asked != 0 && !r.done)
    }

    /// `voter` does not ask any more: it was another kernel.
    pub fn forget(&mut self, voter: u32) {
        let bit = 1u64.checked_shl(voter).unwrap_or(0);
        self.rows.iter_mut().for_each(|row| row.asked &= !bit);
        self.count_open();
    }

    /// A free row, else the oldest that is done: that one has been in the log for long.
    fn free(&mut self) -> Option<usize> {
        if let Some(at) = self.rows.iter().position(|r| r.asked == 0) {
            return Some(at);
        }
        let at = (0..ROWS)
            .map(|i| (self.oldest + i) % ROWS)
            .find(|at| self.rows.get(*at).is_some_and(|r| r.done))?;
        self.oldest = (at + 1) % ROWS;
        Some(at)
    }

    /// The requests that a quorum makes and that are not in the log yet.
    pub fn agreed(&self, quorum: u32, voters: &[Voter; DOMAINS_MAX]) -> impl Iterator<Item = Request> {
        let asked = move |row: &&Row| {
            let live = voters.iter().enumerate().filter(|(i, v)| v.live() && row.asked >> i & 1 == 1);
            live.count() >= quorum as usize
        };
        self.open_rows().filter(asked).map(|row| row.request)
    }

    /// Those that `is_done` says are in the log need not be asked for again.
    pub fn settle(&mut self, is_done: impl Fn(&Request) -> bool) {
        if self.open == 0 {
            return;
        }
        for row in self.rows.iter_mut().filter(|r| r.asked != 0 && !r.done) {
            row.done = is_done(&row.request);
        }
        self.count_open();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quorum_is_taken_once_and_a_flood_of_one_voter_hinders_nobody() {
        let voters = [Voter { member: true, ..Voter::default() }; DOMAINS_MAX];
        let mut r = Rejoins::new();
        for i in 0..10_000 {
            r.ask(7, Request { thread: i, call: 1 });
        }
        let request = Request { thread: 3, call: 99 };
        for voter in [4, 5, 6] {
            assert_eq!(r.agreed(3, &voters).count(), 0);
            r.ask(voter, request);
        }
        assert_eq!(r.agreed(3, &voters).collect::<Vec<_>>(), [request]);
        r.settle(|done| *done == request);
        r.ask(7, request);
        assert_eq!(r.agreed(3, &voters).count(), 0);
    }

    #[test]
    fn more_threads_than_rows_come_back_one_after_the_other() {
        let voters = [Voter { member: true, ..Voter::default() }; DOMAINS_MAX];
        let mut r = Rejoins::new();
        for thread in 0..1000 {
            for voter in [4, 5, 6] {
                r.ask(voter, Request { thread, call: thread });
            }
            let request = Request { thread, call: thread };
            assert_eq!(r.agreed(3, &voters).collect::<Vec<_>>(), [request]);
            r.settle(|done| *done == request);
        }
    }
}
