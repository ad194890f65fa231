//! When the next entry is due: flow, back pressure, a reason.

use crate::clerk::{Agreed, Clerk, Config, Sink, flow_point};
use crate::hung::without;
use crate::spare::with;
use crate::voter::Voter;
use abi::vote::{NO_DEADLINE, Progress};
use consensus::line::{Proposal, Voters};

/// The manager hears of every so manieth entry, and when the program falls idle.
const TELL_EVERY: u64 = 256;

impl Clerk {
    /// Permits what is due now. Call it when all that has arrived was handed in, when something was executed, and when [`Clerk::wake_at`] has come.
    pub fn poll(&mut self, now_us: u64, log: &mut impl Agreed, sink: &mut impl Sink) {
        self.follow(&log.voters(), now_us, sink);
        if self.ended {
            return log.forbid_all();
        }
        let next = log.next();
        if self.recording_ended(next) {
            // Who is slower here than in the recording still waits for an answer, and what was recorded may need what it does then.
            return self.decide_stuck(now_us, log, sink);
        }
        if next == 0 {
            let Config { voters: set, quorum, seed, .. } = self.config;
            log.permit(Proposal::Voters(Voters { epoch: 1, set, quorum }), now_us);
            return log.permit(Proposal::Boot { seed, time_us: 0 }, now_us);
        }
        self.watch(now_us, log, sink);
        if !self.permit_leave(now_us, log) {
            self.permit_snapshot(now_us, log);
        }
        self.decide_snapshots(next, now_us, sink);
        self.permit_join(now_us, log);
        self.decide_stuck(now_us, log, sink);
        self.permit_rejoins(now_us, log);
        self.permit_next(now_us, log, sink);
        self.tell(next, sink);
    }

    /// The voters of now are those that were agreed.
    fn follow(&mut self, agreed: &Voters, now_us: u64, sink: &mut impl Sink) {
        if agreed.epoch > 0 {
            self.quorum = agreed.quorum;
            for (i, v) in self.voters.iter_mut().enumerate() {
                let member = agreed.set >> i & 1 == 1;
                // Of all others who leave, somebody else has said why.
                if v.member && !member && v.hangs && v.live() {
                    self.places.hangs(i as u32, v.passed);
                    sink.progress(Progress::Hangs { voter: i as u32, s: v.passed });
                }
                if member && !v.member {
                    v.stands_for = None;
                    self.places.joins(i as u32);
                }
                v.member = member;
                let returns = v.returning.is_some();
                v.returning = v.returning.filter(|epoch| !v.member || agreed.epoch <= *epoch);
                if returns && v.live() {
                    v.counts_since_us = now_us;
                }
            }
        }
    }

    /// Who was begun anew joins when it has passed the sync point that the others would be waited for at, and says of it what they say, or stands just behind
    /// the snapshot that is believed.
    fn permit_join(&mut self, now_us: u64, log: &mut impl Agreed) {
        let (next, now, seats) = (log.next(), log.voters(), self.config.voters.count_ones());
        for (i, v) in self.voters.iter_mut().enumerate().filter(|(_, v)| v.returning.is_some() && !v.member) {
            let join = with(&now, i as u32, v.stands_for, seats);
            if v.out {
                join.iter().for_each(|join| log.forbid(join));
                v.returning = None;
            } else if let Some(join) = join
                && (v.confirmed && !v.lost || self.snapshots.confirm(i, v.passed))
                && v.passed > flow_point(next)
            {
                log.permit(join, now_us);
            }
        }
    }

    /// Whom the gate proved wrong, whom EL2 began anew though it voted, and who hangs, leaves the voters, one at a time, as long as two are left.
    /// Whether somebody does.
    fn permit_leave(&mut self, now_us: u64, log: &mut impl Agreed) -> bool {
        let now = log.voters();
        let votes = |d: &u32| now.set.checked_shr(*d).unwrap_or(0) & 1 == 1;
        let begun = |(_, v): &(usize, &Voter)| v.returning.is_some() && v.member;
        let begun = self.voters.iter().enumerate().filter(begun).map(|(i, _)| i as u32);
        let leaving = self.leaving.iter().copied().chain(begun).chain(self.hung()).find(votes);
        let leaving = leaving.filter(|_| now.set.count_ones() > 2);
        if let Some(leaving) = leaving {
            log.permit(without(&now, leaving), now_us);
        }
        leaving.is_some()
    }

    fn permit_rejoins(&mut self, now_us: u64, log: &mut impl Agreed) {
        let (quorum, voters) = (self.quorum, &self.voters);
        self.rejoins.settle(|r| log.is_done(&Proposal::Rejoin { thread: r.thread, call: r.call }));
        for r in self.rejoins.agreed(quorum, voters) {
            log.permit(Proposal::Rejoin { thread: r.thread, call: r.call }, now_us);
        }
    }

    /// Whether a recording is issued again, and its last Sync was before entry `next`.
    fn recording_ended(&self, next: u64) -> bool {
        self.config.recorded.is_some_and(|last| next > last)
    }

    /// Permits the next Sync if (a) the voters have passed the sync point before the last, (b) what they put out before it has
    /// left the gate, (c) there is a reason.
    fn permit_next(&mut self, now_us: u64, log: &mut impl Agreed, sink: &mut impl Sink) {
        let next = log.next();
        // Of a recording's part that lies before the snapshot with which the voters began nobody reports.
        let before = self.config.recorded.is_some() && self.quorum_passed(flow_point(next));
        let report = self.points.agreed(flow_point(next));
        let Some(effects) = report.map(|r| r.effects).or(before.then_some(0)) else { return };
        let reason = self.config.recorded.is_some() || self.reason(now_us, log);
        if self.released >= effects && reason && self.flow(flow_point(next), now_us, sink) {
            log.permit(Proposal::Sync { s: next, time_us: 0 }, now_us);
        }
    }

    /// (a) Every live voter has passed `flow_point`, or a quorum has and the grace is over: then the others are lagging.
    fn flow(&mut self, flow_point: u64, now_us: u64, sink: &mut impl Sink) -> bool {
        if !self.waited_for(flow_point) {
            return self.quorum_passed(flow_point);
        }
        if !self.grace_over(flow_point, now_us) {
            return false;
        }
        for (i, v) in self.voters.iter_mut().enumerate() {
            if v.live() && !v.lagging && v.passed <= flow_point {
                v.lagging = true;
                sink.progress(Progress::Lagging { voter: i as u32, s: v.passed.saturating_sub(1) });
            }
        }
        true
    }

    /// Whether somebody whom the others wait for has not passed `s`.
    fn waited_for(&self, s: u64) -> bool {
        self.voters.iter().any(|v| v.live() && !v.lagging && v.passed <= s)
    }

    pub(crate) fn quorum_passed(&self, s: u64) -> bool {
        self.voters.iter().filter(|v| v.live() && v.passed > s).count() >= self.quorum as usize
    }

    fn grace_over(&self, s: u64, now_us: u64) -> bool {
        self.quorum_passed(s) && self.grace_ends(s).is_some_and(|at| at <= now_us)
    }

    /// Until when those who have not passed `s` are waited for: a grace since the quorum has passed it, and since they count.
    fn grace_ends(&self, s: u64) -> Option<u64> {
        let waited_for = self.voters.iter().filter(|v| v.live() && !v.lagging && v.passed <= s);
        let count_since = waited_for.map(|v| v.counts_since_us).max()?;
        Some(self.points.quorum_at_us(s)?.max(count_since).saturating_add(self.config.grace_us))
    }

    /// (c) The program runs, something is to be put in, a deadline has come, or nothing has for long. What is known of the last entry's sync point
    /// counts; until then, what is known of the one before.
    fn reason(&self, now_us: u64, log: &impl Agreed) -> bool {
        if log.has_input() || self.rejoins.agreed(self.quorum, &self.voters).next().is_some() {
            return true;
        }
        let next = log.next();
        match self.points.agreed(next.saturating_sub(1)) {
            Some(r) => {
                r.runnable
                    || (r.deadline_us != NO_DEADLINE && r.deadline_us <= self.time_us(now_us))
                    || self.heartbeat_at(next).is_some_and(|at| at <= now_us)
            }
            None => self.points.agreed(flow_point(next)).is_some_and(|r| r.runnable),
        }
    }

    /// The wall clock of entries.
    fn time_us(&self, now_us: u64) -> u64 {
        self.config.start_time_us.saturating_add(now_us)
    }

    /// When to call [`Clerk::poll`] again though nothing has arrived; `None`: not before something does. `next` is the log's.
    pub fn wake_at(&self, next: u64, now_us: u64) -> Option<u64> {
        if self.ended || self.recording_ended(next) {
            return None;
        }
        let flow_point = flow_point(next);
        let grace = self.grace_ends(flow_point).filter(|_| self.quorum_passed(flow_point));
        let deadline = self
            .points
            .agreed(next.saturating_sub(1))
            .filter(|r| !r.runnable && r.deadline_us != NO_DEADLINE)
            .map(|r| r.deadline_us.saturating_sub(self.config.start_time_us));
        // What is past already is not waited for again: it is only kept back by something that will ring.
        [grace, deadline, self.heartbeat_at(next), self.stuck_wake_at(), self.snapshot_wake_at()]
            .into_iter()
            .flatten()
            .filter(|at| *at > now_us)
            .chain(self.watch_wake_at())
            .min()
    }

    fn tell(&mut self, next: u64, sink: &mut impl Sink) {
        let last = next.saturating_sub(1);
        let due = last / TELL_EVERY > self.told.saturating_sub(1) / TELL_EVERY;
        let idle = self.points.agreed(last).is_some_and(|r| !r.runnable);
        if self.told == next || !(due || idle) {
            return;
        }
        self.told = next;
        // Of the sync point of an entry just issued nothing is known yet, nor perhaps of the one before.
        let report = (0..3).find_map(|back| self.points.agreed(last.checked_sub(back)?));
        let lagging = |mask: u64, (i, v): (usize, &crate::voter::Voter)| {
            if v.live() && v.lagging { mask | 1 << i } else { mask }
        };
        sink.progress(Progress::Issued {
            s: last,
            call: report.map_or(0, |r| r.call),
            runnable: report.is_some_and(|r| r.runnable),
            lagging: self.voters.iter().enumerate().fold(0, lagging),
        });
    }
}
