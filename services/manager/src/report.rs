//! Verdicts and progress in words. One line each; it names the culprit, and what was found.

use crate::line::Short;
use crate::{Board, EPOCHS, Manager, Out};
use abi::bootinfo::{DomainStatus, EL2_CRASHED, ENDED_ITSELF, Iteration};
use abi::digest::Digest;
use abi::vote::{Progress, SNAPSHOT, Verdict as Told};
use consensus::verdict::{Decision, Evidence, History, Policy, Verdict};
use core::fmt;

/// The names of the domains in a set.
pub(crate) struct Names<'a>(pub &'a Manager, pub u64);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut space = "";
        for domain in (0..64).filter(|d| self.1 >> d & 1 == 1) {
            write!(f, "{space}{}", self.0.name(domain))?;
            space = " ";
        }
        Ok(())
    }
}

/// Why a domain ended.
pub struct Cause(pub DomainStatus);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DomainStatus { cause, pc, address, .. } = self.0;
        match cause {
            ENDED_ITSELF => write!(f, "it ended itself, pc {pc:#x}"),
            EL2_CRASHED => write!(f, "its core's EL2 crashed, pc {pc:#x}"),
            _ => write!(f, "exception class {cause:#x}, pc {pc:#x}, address {address:#x}"),
        }
    }
}

impl Manager {
    /// Takes what the gate says.
    pub fn on_verdict(&mut self, verdict: &Told, board: &mut impl Board) {
        let name = |d: u32| self.name(d);
        match *verdict {
            Told::Released { .. } => {}
            Told::WrongOutput { voter, n, call, own, quorum, agreed } => self.say(
                board,
                format_args!(
                    "verdict: {} wrong output: effect {n} (call {call}) differs: own {}, quorum {} by {}",
                    name(voter),
                    Short(&own),
                    Short(&quorum),
                    Names(self, agreed)
                ),
            ),
            Told::WrongState { voter, s, process, own, quorum } => {
                self.wrong_state(voter, s, process, [Short(&own), Short(&quorum)], board);
            }
            Told::Late { voter, n } => {
                let grace = self.config.grace_ms;
                self.say(
                    board,
                    format_args!(
                        "verdict: {} late: effect {n} is missing {grace} ms after the quorum's",
                        name(voter)
                    ),
                );
            }
            Told::CaughtUp { voter } => {
                self.say(board, format_args!("verdict: {} has caught up", name(voter)))
            }
            Told::Malformed { voter, position } => self.say(
                board,
                format_args!(
                    "verdict: {} malformed: no valid vote at byte {position} of its ring",
                    name(voter)
                ),
            ),
            Told::Crashed { voter } => self.crashed(voter, board),
            Told::Silent { voter, n } => self.say(
                board,
                format_args!(
                    "verdict: {} silent: effect {n} is missing, and nothing else has come for ten graces",
                    name(voter)
                ),
            ),
            Told::Contradicts { voter, s } => self.say(
                board,
                format_args!("verdict: {} contradicts the others at sync point {s}", name(voter)),
            ),
            // `watch` tells how that goes on.
            Told::Restarted { .. } => {}
            // `causes` makes something of them.
            Told::Stood { .. } | Told::Vanished { .. } => {}
            Told::NoQuorum { n } => self
                .say(board, format_args!("verdict: no quorum is possible for effect {n}: output stops here")),
            Told::Exit { status } => self.exit(status, board),
        }
        self.note_verdict(verdict, board);
    }

    pub(crate) fn note_verdict(&mut self, verdict: &Told, board: &mut impl Board) {
        let (voter, out) = match *verdict {
            Told::Released { effects } => {
                self.released = self.released.max(effects);
                return;
            }
            Told::Stood { voter, s } => return self.set_stood(voter, s),
            Told::Vanished { voter } => return self.has_vanished(voter),
            Told::WrongOutput { voter, n, own, .. } => {
                self.set_said(voter, own);
                (voter, Out::WrongOutput(n))
            }
            Told::WrongState { voter, s, own, .. } => {
                self.set_said(voter, own);
                (voter, Out::WrongState(s))
            }
            Told::Malformed { voter, .. } => (voter, Out::Malformed),
            Told::Crashed { voter } => (voter, Out::Crashed),
            Told::Silent { voter, .. } => (voter, Out::Silent),
            Told::Contradicts { voter, s } => (voter, Out::Contradicts(s)),
            Told::Late { voter, n } => return self.set_late(voter, Some(n)),
            Told::CaughtUp { voter } => return self.set_late(voter, None),
            Told::Restarted { .. } | Told::NoQuorum { .. } | Told::Exit { .. } => return,
        };
        self.lost(voter, out, board);
    }

    fn set_said(&mut self, voter: u32, own: Digest) {
        if let Some(row) = self.rows.get_mut(voter as usize) {
            row.said = Some(own);
        }
    }

    fn set_stood(&mut self, voter: u32, s: u64) {
        if let Some(row) = self.rows.get_mut(voter as usize) {
            row.stood = Some(s);
        }
    }

    fn set_late(&mut self, voter: u32, late: Option<u64>) {
        if let Some(row) = self.rows.get_mut(voter as usize) {
            row.late = late;
        }
    }

    fn wrong_state(
        &self,
        voter: u32,
        s: u64,
        process: u32,
        [own, quorum]: [Short<'_>; 2],
        board: &mut impl Board,
    ) {
        let name = self.name(voter);
        match process {
            SNAPSHOT => self.say(
                board,
                format_args!("verdict: {name} wrong state: snapshot of sync point {s} differs: own {own}, quorum {quorum}"),
            ),
            0 => self.say(
                board,
                format_args!("verdict: {name} wrong state: kernel state at sync point {s} differs: own {own}, quorum {quorum}"),
            ),
            pid => self.say(
                board,
                format_args!("verdict: {name} wrong state: memory of process {pid} at sync point {s} differs: own {own}, quorum {quorum}"),
            ),
        }
    }

    fn crashed(&self, voter: u32, board: &mut impl Board) {
        let name = self.name(voter);
        match self.rows.get(voter as usize).filter(|r| r.crashed()).and_then(|r| r.status) {
            Some(status) => self.say(board, format_args!("verdict: {name} crashed ({})", Cause(status))),
            None => self.say(board, format_args!("verdict: {name} crashed")),
        }
    }

    /// The program has ended: so does the machine.
    fn exit(&mut self, status: i32, board: &mut impl Board) {
        if core::mem::replace(&mut self.over, true) {
            return;
        }
        match status & 0x7f {
            0 => self.say(board, format_args!("tetrarch: program exited with status {}", status >> 8 & 0xff)),
            signal => self.say(board, format_args!("tetrarch: program killed by signal {signal}")),
        }
        self.say(board, format_args!("tetrarch: power off"));
        board.power_off();
    }

    /// Takes what replica `from` says; it counts when another says the same.
    pub fn on_progress(&mut self, from: usize, progress: &Progress, board: &mut impl Board) {
        if !self.tally.hear(from, progress) {
            return;
        }
        match *progress {
            Progress::Issued { s, call, runnable, .. } => {
                (self.sync, self.call, self.runnable) = (s, call, runnable);
            }
            Progress::Lagging { voter, s } => {
                self.set_lagging(voter, Some(s));
                let name = self.name(voter);
                self.say(
                    board,
                    format_args!("progress: {name} lagging: the others go on, its last sync point was {s}"),
                );
            }
            Progress::CaughtUp { voter, s } => {
                self.set_lagging(voter, None);
                let name = self.name(voter);
                self.say(board, format_args!("progress: {name} has caught up at sync point {s}"));
            }
            Progress::Contradicts { voter, s } => {
                let name = self.name(voter);
                self.say(
                    board,
                    format_args!(
                        "progress: {name} contradicts the others at sync point {s}: not heard any more"
                    ),
                );
                self.lost(voter, Out::Contradicts(s), board);
            }
            Progress::Hangs { voter, s } => self.hangs(voter, s, board),
            Progress::Skipped { call } => self.say(
                board,
                format_args!("progress: a thread was skipped at call {call}: it computes without a call"),
            ),
            Progress::Ordered { .. } => {}
            Progress::Snapshot { .. }
            | Progress::NoSnapshot { .. }
            | Progress::FalseSnapshot { .. }
            | Progress::SnapshotMissing { .. }
            | Progress::Begun { .. } => {
                self.note_beginning(progress);
                self.on_snapshot(progress, board);
            }
            Progress::Voters { epoch, set, quorum } => {
                if self.policies.len() == EPOCHS
                    && let Some(oldest) = self.policies.keys().min().copied()
                {
                    self.policies.remove(&oldest);
                }
                let _room = self.policies.insert(epoch, Policy::Quorum { k: quorum });
                // The first are those of the manifest.
                if epoch > 1 {
                    self.say(
                        board,
                        format_args!(
                            "voters {epoch}: {} vote, {quorum} equal votes decide",
                            Names(self, set)
                        ),
                    );
                }
                self.on_voters(set, board);
            }
        }
    }

    /// Takes what an accusation rests on: judges it once more, by the policy that held, and tells the cause as far as it can be told.
    pub fn on_evidence(&mut self, record: &[u8], board: &mut impl Board) {
        let Some(Evidence { ballot, members }) = Evidence::decode(record) else { return };
        let Some(policy) = self.policies.get(&ballot.subject.epoch) else { return };
        let split = policy.decide(&ballot, members) == Decision::Impossible;
        let alike = if split { self.alike(&ballot) } else { 0 };
        let cause = History { alike, ..History::default() }.cause();
        // Of who is lost the cause is told when it is known: perhaps its turns are executed again.
        let told = split || self.config.iteration != Iteration::ReExecute;
        let verdict = Verdict::of(&ballot, members, policy, Some(cause).filter(|_| told));
        if split {
            self.causes.count(cause);
        }
        let name = |slot: u32| {
            let voters = (0..self.config.domains).filter(|d| self.voter(*d));
            voters.into_iter().nth(slot as usize).map_or("?", |d| self.name(d))
        };
        self.say(board, format_args!("evidence: {}", verdict.named(name)));
    }

    /// The voters are without `voter` already, or it was to be one of them; unless it is begun anew for something else, it is for that.
    fn hangs(&mut self, voter: u32, s: u64, board: &mut impl Board) {
        let (name, ms) = (self.name(voter), self.config.hang_ms);
        self.say(
            board,
            format_args!("verdict: {name} silent: it hangs: the others have passed sync point {s}, from it nothing came for {ms} ms"),
        );
        if self.returns.get(voter as usize).is_some_and(|r| r.votes() || r.follows()) {
            self.set_stood(voter, s);
            self.lost(voter, Out::Silent, board);
        }
    }

    fn set_lagging(&mut self, voter: u32, lagging: Option<u64>) {
        if let Some(row) = self.rows.get_mut(voter as usize) {
            row.lagging = lagging;
        }
    }

    /// Records of a channel were lost.
    pub fn on_lost(&mut self, channel: &str, board: &mut impl Board) {
        self.say(
            board,
            format_args!("tetrarch: records of channel {channel} were lost; going on with the newest"),
        );
    }
}
