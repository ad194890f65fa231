//! What a manager does that begins anew: its predecessor's rings say how things stand. It repeats none of what was told, and begins nobody anew
//! who was begun anew already; whoever was lost since then comes back by it.

use crate::iteration::Return;
use crate::{Board, Manager};
use abi::hypercall::{Error, Inject};
use abi::monitor::Monitor;
use abi::vote::{Control, Progress, Verdict};

/// Where nothing is heard. What is told again by `log` has the time at which it was read.
struct Quiet(u64);

impl Board for Quiet {
    fn text(&mut self, _: &[u8]) {}
    fn happened(&mut self, _: &[u8]) {}
    fn echo(&mut self, _: &[u8]) {}
    fn inject(&mut self, _: u32, _: Inject) -> Result<(), Error> {
        Ok(())
    }
    fn pace(&mut self, _: u32, _: Inject) -> Result<(), Error> {
        Ok(())
    }
    fn monitor(&self, _: u32) -> Option<Monitor<'static>> {
        None
    }
    fn now_us(&self) -> u64 {
        self.0
    }
    fn control(&mut self, _: Control) {}
    fn usurp(&mut self) -> [u64; 2] {
        [0; 2]
    }
    fn power_off(&mut self) {}
}

impl Manager {
    /// Takes what replica `from` said before; all of it comes before the first verdict.
    pub fn recall_progress(&mut self, from: usize, progress: &Progress, now_us: u64) {
        use Progress::*;
        // Who is lost the gate's later words say, and who votes.
        if !matches!(progress, Contradicts { .. } | FalseSnapshot { .. } | Hangs { .. }) {
            self.on_progress(from, progress, &mut Quiet(now_us));
        }
    }

    /// Takes what the gate said before, after all that the replicas said.
    pub fn recall_verdict(&mut self, verdict: &Verdict, now_us: u64) {
        match *verdict {
            Verdict::Restarted { voter, .. } => {
                if let (Some(r), Some(row)) =
                    (self.returns.get_mut(voter as usize), self.rows.get_mut(voter as usize))
                {
                    *r = Return::newcomer();
                    (row.out, row.late) = (None, None);
                }
            }
            // Nobody has turned the machine off, or this would not run.
            Verdict::Exit { status } => self.ended = Some(status),
            _ => {
                // Who votes decides `recalled`.
                let set = self.set.take();
                self.note_verdict(verdict, &mut Quiet(now_us));
                self.set = set;
            }
        }
    }

    /// That was all: says so, and goes on where the predecessor ended.
    pub fn recalled(&mut self, board: &mut impl Board) {
        self.say(board, format_args!("tetrarch: the manager began anew, by the replicas' word"));
        if let Some(status) = self.ended.take() {
            return self.on_verdict(&Verdict::Exit { status }, board);
        }
        let Some(set) = self.set else { return };
        let cold = self.cold();
        for (voter, r) in (0u32..).zip(&mut self.returns) {
            let votes = set >> voter & 1 == 1;
            if votes && r.has_begun() || cold >> voter & 1 == 1 {
                *r = Return::default();
            } else if !votes && self.config.kernels >> voter & 1 == 1 && cold >> voter & 1 == 0 {
                r.was_lost();
            }
        }
        self.on_voters(set, board);
    }
}
