//! What this replica knows of voters and gate, and so what it permits to be ordered.
//!
//! Votes, verdicts and the time go in, permits come out. What is promised, by three of four such clerks:
//!
//! - *Safety.* No Sync before a quorum has passed the one before the last; no Skip of a call that a live voter is known to have made. A value
//!   that a voter reports is believed when f + 1 voters report it. (That there is one Boot, one Sync for each s and one decision for each call is the line's doing.)
//! - *Liveness.* A voter that is slow costs the others its grace once, then it is *lagging* and nobody waits for it; one that hangs leaves the voters;
//!   one that crashed, was found wrong by the gate, or says what no correct kernel says costs nothing.
//!
//! `due.rs` says when an entry is due, `hung.rs` who hangs, `stuck.rs` when a call is skipped.

use crate::places::Places;
use crate::points::{Points, Report};
use crate::rejoin::{Rejoins, Request};
use crate::snapshots::{Decided, Snapshots};
use crate::voter::{Implausible, Voter};
use abi::bootinfo::DOMAINS_MAX;
use abi::vote::{Progress, Verdict, Vote};
use consensus::Ticks;
use consensus::line::{Line, Proposal, Voters};

/// What the clerk sees of the agreed log, and where its permits go.
pub trait Agreed {
    /// See [`Line::next`].
    fn next(&self) -> u64;
    /// See [`Line::voters`].
    fn voters(&self) -> Voters;
    /// See [`Line::has_input`].
    fn has_input(&self) -> bool;
    /// See [`Line::is_decided`].
    fn is_decided(&self, call: u64) -> bool;
    /// See [`Line::is_done`].
    fn is_done(&self, what: &Proposal) -> bool;
    /// See [`Line::permit`].
    fn permit(&mut self, what: Proposal, now: Ticks);
    /// See [`Line::forbid`].
    fn forbid(&mut self, what: &Proposal);
    /// See [`Line::forbid_all`].
    fn forbid_all(&mut self);
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Agreed
    for Line<'_, ORIGINS, COUNT, BYTES>
{
    fn next(&self) -> u64 {
        Line::next(self)
    }
    fn voters(&self) -> Voters {
        Line::voters(self)
    }
    fn has_input(&self) -> bool {
        Line::has_input(self)
    }
    fn is_decided(&self, call: u64) -> bool {
        Line::is_decided(self, call)
    }
    fn is_done(&self, what: &Proposal) -> bool {
        Line::is_done(self, what)
    }
    fn permit(&mut self, what: Proposal, now: Ticks) {
        Line::permit(self, what, now);
    }
    fn forbid(&mut self, what: &Proposal) {
        Line::forbid(self, what);
    }
    fn forbid_all(&mut self) {
        Line::forbid_all(self);
    }
}

/// Where the clerk tells people how things stand.
pub trait Sink {
    /// Tells the manager.
    fn progress(&mut self, progress: Progress);
    /// A snapshot is believed, and rings hold it: newcomers may begin there.
    fn decided(&mut self, snapshot: &Decided);
}

/// The parameters of a run, alike on all replicas.
#[derive(Clone, Copy, Debug)]
pub struct Config {
    /// Bit k: domain k is a voter at the beginning.
    pub voters: u64,
    /// Equal votes that decide at the beginning.
    pub quorum: u32,
    /// How long the others wait for a late voter.
    pub grace_us: u64,
    /// Who gets no further for so long, though the others do, hangs.
    pub hang_us: u64,
    /// Wall clock at tick 0.
    pub start_time_us: u64,
    /// The program's chance.
    pub seed: [u8; 32],
    /// A recorded log is issued again: the number of its last sync.
    pub recorded: Option<u64>,
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken, or dropped for good.
    Yes,
    /// It speaks of an entry that this replica has not executed yet: offer it again afterwards, and nothing else of that voter before.
    Later,
}

/// The clerk's state.
pub struct Clerk {
    pub(crate) config: Config,
    pub(crate) voters: [Voter; DOMAINS_MAX],
    pub(crate) points: Points,
    pub(crate) rejoins: Rejoins,
    pub(crate) snapshots: Snapshots,
    /// Where each was lost.
    pub(crate) places: Places,
    /// Whom the gate proved wrong, in its order: they are to leave the voters.
    pub(crate) leaving: heapless::Vec<u32, DOMAINS_MAX>,
    /// Equal votes that decide now.
    pub(crate) quorum: u32,
    /// Effects that have left the gate.
    pub(crate) released: u64,
    /// The call whose skip was permitted last and is not decided yet.
    pub(crate) skipping: Option<u64>,
    /// Promises of kernels that are gone: their answers are to be permitted no more.
    pub(crate) unanswered: heapless::Vec<u64, { 2 * DOMAINS_MAX }>,
    /// The program or the output has ended: nothing is ordered any more.
    pub(crate) ended: bool,
    /// Next of the last `Progress::Issued`.
    pub(crate) told: u64,
    /// A quorum has passed all sync points below this number.
    pub(crate) come_to: u64,
    /// When it was last looked who gets no further.
    pub(crate) watched_at_us: u64,
}

impl Clerk {
    /// Knows nothing yet. `None`: there are no voters, or fewer than the quorum, or the quorum is zero.
    pub fn new(config: Config) -> Option<Self> {
        if config.quorum == 0 || config.voters.count_ones() < config.quorum {
            return None;
        }
        let mut voters = [Voter::default(); DOMAINS_MAX];
        for (i, voter) in voters.iter_mut().enumerate() {
            voter.member = config.voters >> i & 1 == 1;
        }
        Some(Clerk {
            points: Points::new(config.quorum),
            rejoins: Rejoins::new(),
            snapshots: Snapshots::default(),
            places: Places::default(),
            leaving: heapless::Vec::new(),
            quorum: config.quorum,
            config,
            voters,
            released: 0,
            skipping: None,
            unanswered: heapless::Vec::new(),
            ended: false,
            told: 0,
            come_to: 0,
            watched_at_us: 0,
        })
    }

    /// Takes one vote of `voter`; `next` is the log's. Votes of a voter that does not count are dropped.
    pub fn on_vote(
        &mut self,
        voter: u32,
        vote: &Vote<'_>,
        next: u64,
        now_us: u64,
        sink: &mut impl Sink,
    ) -> Taken {
        let Some(v) = self.voters.get_mut(voter as usize).filter(|v| v.heard()) else { return Taken::Yes };
        if let Vote::Stuck { call } = *vote
            && v.promise.is_some_and(|unanswered| unanswered != call)
        {
            // A correct kernel has its answer before it promises another: it is in an entry that this replica has not executed yet.
            return Taken::Later;
        }
        let (at, returning) = (v.passed, v.returning.is_some());
        let taken = match *vote {
            Vote::Passed { s, .. } if s >= next => return Taken::Later,
            Vote::Passed { s, call, effects, runnable, deadline_us, .. } => {
                let report = Report { call, effects, runnable, deadline_us };
                let passed = v.pass(s, call, now_us);
                if passed.is_ok() && !returning {
                    self.passed(voter, s, report, next, now_us, sink);
                } else if let (Ok(()), Some(equal)) =
                    (passed, self.points.compare(s, report).or(self.places.compare(voter, s, report)))
                {
                    v.confirmed = equal;
                    if !equal {
                        self.contradicts(voter, s, sink);
                    }
                }
                passed
            }
            Vote::Effect { call, .. } | Vote::Took { call } => v.has_made(call.saturating_add(1), now_us),
            Vote::Stuck { call } => v.promises(call, now_us),
            // The others ask themselves for what is still to come.
            Vote::Rejoin { .. } if returning => Ok(()),
            Vote::Rejoin { thread, call } => {
                self.rejoins.ask(voter, Request { thread, call });
                Ok(())
            }
            Vote::Snapshot { s, call, root, .. } => {
                if returning || self.config.recorded.is_some() {
                    v.begins(s, call);
                }
                self.snapshots.vote(voter, s, root);
                if self.may_begin(s, &root) || !returning { Ok(()) } else { Err(Implausible) }
            }
            Vote::Memory { .. } => Ok(()),
        };
        self.tell_begun(voter, vote, sink);
        if taken == Err(Implausible) {
            self.contradicts(voter, at, sink);
        }
        Taken::Yes
    }

    fn passed(&mut self, voter: u32, s: u64, report: Report, next: u64, now_us: u64, sink: &mut impl Sink) {
        if self.quorum_passed(s) {
            self.points.quorum_passed(s, now_us);
            self.come_to = self.come_to.max(s.saturating_add(1));
        }
        let mut wrong = self.points.report(voter, s, report);
        while wrong != 0 {
            let who = wrong.trailing_zeros();
            wrong &= wrong - 1;
            self.contradicts(who, s, sink);
        }
        if let Some(v) = self.voters.get_mut(voter as usize)
            && v.live()
            && v.lagging
            && s >= flow_point(next)
        {
            v.lagging = false;
            sink.progress(Progress::CaughtUp { voter, s });
        }
    }

    /// The first word of one that was begun anew says where it stands.
    fn tell_begun(&mut self, voter: u32, vote: &Vote<'_>, sink: &mut impl Sink) {
        let Some(v) = self.voters.get_mut(voter as usize) else { return };
        let s = match vote {
            Vote::Snapshot { s, .. } => *s,
            Vote::Passed { s: 0, .. } => 0,
            _ => return,
        };
        if v.returning.is_some() && !core::mem::replace(&mut v.begun, true) {
            v.since = s;
            sink.progress(Progress::Begun { voter, s });
        }
    }

    /// `voter` says what cannot be: from now on it neither counts nor is waited for.
    fn contradicts(&mut self, voter: u32, s: u64, sink: &mut impl Sink) {
        if let Some(v) = self.voters.get_mut(voter as usize)
            && v.heard()
        {
            v.out = true;
            self.places.contradicts(voter, s, self.points.agreed(s));
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

    /// Takes what the gate says. Whom the gate found wrong does not count here either, and is to leave.
    pub fn on_verdict(&mut self, verdict: &Verdict) {
        self.places.on_verdict(verdict);
        match *verdict {
            Verdict::Released { effects } => self.released = self.released.max(effects),
            Verdict::WrongOutput { voter, .. }
            | Verdict::WrongState { voter, .. }
            | Verdict::Malformed { voter, .. }
            | Verdict::Silent { voter, .. }
            | Verdict::Contradicts { voter, .. }
            | Verdict::Crashed { voter } => self.accuse(voter),
            Verdict::Restarted { voter, epoch } => self.on_restarted(voter, epoch),
            Verdict::Exit { .. } | Verdict::NoQuorum { .. } => self.ended = true,
            Verdict::Late { .. }
            | Verdict::CaughtUp { .. }
            | Verdict::Stood { .. }
            | Verdict::Vanished { .. } => {}
        }
    }

    /// `voter` does not count any more, and is to leave.
    pub(crate) fn accuse(&mut self, voter: u32) {
        self.on_out(voter);
        if !self.leaving.contains(&voter) {
            let _room = self.leaving.push(voter);
        }
    }

    /// Verdicts were lost: whom we knew to be wrong may have been begun anew. The others know.
    pub fn on_verdicts_lost(&mut self) {
        self.leaving.clear();
    }

    /// `voter` is another kernel from now on. Votes of it may be lost: its ring is read from where it begins, or later.
    fn on_restarted(&mut self, voter: u32, epoch: u64) {
        let Some(v) = self.voters.get_mut(voter as usize) else { return };
        if let Some(call) = v.promise {
            let _room = self.unanswered.push(call);
        }
        // What was asked for it before it began is not asked for again.
        let (member, stands_for, asked) = (v.member, v.stands_for, v.asked.filter(|_| !v.begun));
        *v = Voter { member, stands_for, asked, returning: Some(epoch), lost: true, ..Voter::default() };
        self.leaving.retain(|d| *d != voter);
        self.points.forget(voter);
        self.rejoins.forget(voter);
        self.snapshots.forget(voter);
    }

    /// The sync point that `voter`'s successor must begin not after, to execute again what it was lost in; `None`: it was not lost, or this replica does not know where.
    pub fn begins_not_after(&self, voter: u32) -> Option<u64> {
        self.places.bound(voter)
    }
}

/// The sync point that voters must have passed before entry `next`.
pub(crate) fn flow_point(next: u64) -> u64 {
    next.saturating_sub(2)
}
