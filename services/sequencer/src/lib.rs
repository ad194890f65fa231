//! Provisional: one trusted domain that orders all input into the agreed log, until the replicas of `consensus/` do.
//!
//! The core is sans-IO: votes, verdicts, input and the time go in, entries come out through a [`Sink`]. What it promises:
//!
//! - *Safety.* Boot first, then exactly one Sync for each s, in order; no Skip of a call that a live voter is known to have made; after Go of a
//!   call nothing more about it. A value that a voter reports is believed when f + 1 voters report it.
//! - *Liveness.* A voter that is slow costs the others its grace once, then it is *lagging* and nobody waits for it; one that crashed,
//!   was found wrong by the gate, or says what no correct kernel says costs nothing.
//!
//! `issue.rs` says when an entry is due, `stuck.rs` when a call is skipped.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod decisions;
mod issue;
mod points;
mod rejoin;
mod replay;
mod stuck;
mod voter;

use abi::bootinfo::DOMAINS_MAX;
use abi::log::{Boot, EVENTS_MAX, Entry, Event, Program, VERSION};
use abi::vote::{Progress, Verdict, Vote};
use decisions::Decisions;
use points::{Points, Report};
use rejoin::{Rejoins, Request};
use replay::Replay;
use voter::{Implausible, Voter};

/// Room for rejoins in an entry; the rest of [`EVENTS_MAX`] is for input.
const REJOINS_MAX: usize = 1024;
/// Most bytes of encoded input that wait for an entry.
pub const PENDING_MAX: usize = EVENTS_MAX - REJOINS_MAX;

/// Where the core's output goes.
pub trait Sink {
    /// Appends `entry` to the log.
    fn log(&mut self, entry: &Entry<'_>);
    /// Tells the manager.
    fn progress(&mut self, progress: Progress);
}

/// The parameters of a run.
#[derive(Clone, Copy, Debug)]
pub struct Config<'a> {
    /// Bit k: domain k is a voter.
    pub voters: u64,
    /// Equal votes that decide.
    pub quorum: u32,
    /// How long the others wait for a late voter.
    pub grace_us: u64,
    /// Wall clock at tick 0.
    pub start_time_us: u64,
    /// See [`Boot::digest_interval`].
    pub digest_interval: u32,
    /// The program's chance.
    pub seed: [u8; 32],
    /// Module `program`: an encoded [`Program`].
    pub program: &'a [u8],
    /// Module `replay`: a recorded log.
    pub replay: Option<&'a [u8]>,
}

/// Why there is nothing to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// Module `program` is no encoded [`Program`].
    BadProgram,
    /// Module `replay` does not begin with a Boot entry.
    BadReplay,
    /// There are no voters, or fewer than the quorum, or the quorum is zero.
    BadQuorum,
}

impl core::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::BadProgram => "module `program` is missing or damaged",
            Self::BadReplay => "module `replay` does not begin with a Boot entry",
            Self::BadQuorum => "the quorum is zero or larger than the number of personalities",
        })
    }
}

/// The sequencer's state.
pub struct Sequencer<'a> {
    config: Config<'a>,
    replay: Option<Replay<'a>>,
    voters: [Voter; DOMAINS_MAX],
    points: Points,
    decisions: Decisions,
    rejoins: Rejoins,
    pending: heapless::Vec<u8, PENDING_MAX>,
    /// Number of the next sync entry; 0: Boot is still to come.
    next: u64,
    /// Effects that have left the gate.
    released: u64,
    /// The program has ended: nothing is issued any more.
    ended: bool,
    /// Next of the last `Progress::Issued`.
    told: u64,
}

impl<'a> Sequencer<'a> {
    /// Checks the parameters; the first [`Sequencer::poll`] issues Boot.
    pub fn new(config: Config<'a>) -> Result<Self, ConfigError> {
        let replay = match config.replay {
            Some(recording) => Some(Replay::new(recording).ok_or(ConfigError::BadReplay)?),
            None => None,
        };
        if replay.is_none() && postcard::from_bytes::<Program>(config.program).is_err() {
            return Err(ConfigError::BadProgram);
        }
        let mut voters = [Voter::default(); DOMAINS_MAX];
        for (i, voter) in voters.iter_mut().enumerate() {
            voter.member = config.voters >> i & 1 == 1;
        }
        if config.quorum == 0 || voters.iter().filter(|v| v.member).count() < config.quorum as usize {
            return Err(ConfigError::BadQuorum);
        }
        Ok(Sequencer {
            points: Points::new(config.quorum),
            config,
            replay,
            voters,
            decisions: Decisions::new(),
            rejoins: Rejoins::new(),
            pending: heapless::Vec::new(),
            next: 0,
            released: 0,
            ended: false,
            told: 0,
        })
    }

    /// Takes one vote of `voter`. Votes of a voter that does not count are dropped.
    pub fn on_vote(&mut self, voter: u32, vote: &Vote<'_>, now_us: u64, sink: &mut impl Sink) {
        let issued = self.next.saturating_sub(1);
        let Some(v) = self.voters.get_mut(voter as usize).filter(|v| v.live()) else { return };
        let at = v.passed;
        let taken = match *vote {
            Vote::Passed { s, call, effects, runnable, deadline_us, .. } => {
                let passed = v.pass(s, call, issued, now_us);
                if passed.is_ok() {
                    self.passed(voter, s, Report { call, effects, runnable, deadline_us }, now_us, sink);
                }
                passed
            }
            Vote::Effect { call, .. } | Vote::Took { call } => v.has_made(call.saturating_add(1), now_us),
            Vote::Stuck { call } => v.promises(call, now_us),
            Vote::Rejoin { thread, call } => {
                self.rejoins.ask(voter, Request { thread, call });
                Ok(())
            }
            Vote::Memory { .. } => Ok(()),
        };
        if taken == Err(Implausible) {
            self.contradicts(voter, at, sink);
        }
    }

    fn passed(&mut self, voter: u32, s: u64, report: Report, now_us: u64, sink: &mut impl Sink) {
        if self.voters.iter().filter(|v| v.live() && v.passed > s).count() >= self.config.quorum as usize {
            self.points.quorum_passed(s, now_us);
        }
        let mut wrong = self.points.report(voter, s, report);
        while wrong != 0 {
            let who = wrong.trailing_zeros();
            wrong &= wrong - 1;
            self.contradicts(who, s, sink);
        }
        let flow_point = self.flow_point();
        if let Some(v) = self.voters.get_mut(voter as usize)
            && v.live()
            && v.lagging
            && s >= flow_point
        {
            v.lagging = false;
            sink.progress(Progress::CaughtUp { voter, s });
        }
    }

    /// `voter` says what cannot be: from now on it neither counts nor is waited for.
    fn contradicts(&mut self, voter: u32, s: u64, sink: &mut impl Sink) {
        if let Some(v) = self.voters.get_mut(voter as usize)
            && v.live()
        {
            v.out = true;
            sink.progress(Progress::Contradicts { voter, s });
        }
    }

    /// Votes of `voter` were lost: its ring lapped us.
    pub fn on_lost(&mut self, voter: u32) {
        if let Some(v) = self.voters.get_mut(voter as usize) {
            v.lost = true;
        }
    }

    /// `voter` crashed, or its ring holds what is no vote.
    pub fn on_out(&mut self, voter: u32) {
        if let Some(v) = self.voters.get_mut(voter as usize) {
            v.out = true;
        }
    }

    /// Takes what the gate says. Whom the gate found wrong does not count here either.
    pub fn on_verdict(&mut self, verdict: &Verdict) {
        match *verdict {
            Verdict::Released { effects } => self.released = self.released.max(effects),
            Verdict::WrongOutput { voter, .. }
            | Verdict::WrongState { voter, .. }
            | Verdict::Malformed { voter, .. }
            | Verdict::Crashed { voter } => self.on_out(voter),
            Verdict::Exit { .. } | Verdict::NoQuorum { .. } => self.ended = true,
            Verdict::Late { .. } | Verdict::CaughtUp { .. } => {}
        }
    }

    /// Takes one encoded input event. `false`: no room now, offer it again after the next entry. What is no input event is dropped.
    pub fn on_input(&mut self, event: &[u8]) -> bool {
        if self.replay.is_some() {
            return true;
        }
        let input = match postcard::take_from_bytes::<Event>(event) {
            Ok((Event::Rejoin { .. }, _)) | Err(_) => false,
            Ok((_, rest)) => rest.is_empty() && event.len() <= PENDING_MAX,
        };
        !input || self.pending.extend_from_slice(event).is_ok()
    }

    /// Number of the last sync entry issued, as far as there is one.
    pub fn issued(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }

    /// Nothing is issued any more: the program, the output or the recording has ended.
    pub fn ended(&self) -> bool {
        self.ended
    }

    fn boot(&self, now_us: u64) -> Boot<'a> {
        match &self.replay {
            Some(replay) => replay.boot(),
            None => Boot {
                version: VERSION,
                seed: self.config.seed,
                time_us: self.time_us(now_us),
                digest_interval: self.config.digest_interval,
                rows: 24,
                columns: 80,
                program: self.config.program,
            },
        }
    }

    /// The wall clock of entries.
    fn time_us(&self, now_us: u64) -> u64 {
        self.config.start_time_us.saturating_add(now_us)
    }

    /// The sync point that voters must have passed before the next entry.
    fn flow_point(&self) -> u64 {
        self.next.saturating_sub(2)
    }
}
