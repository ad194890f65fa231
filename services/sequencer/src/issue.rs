//! When the next entry is due: flow, back pressure, a reason. See [`Sequencer::try_issue`].

use crate::replay::Decision;
use crate::{Sequencer, Sink};
use abi::log::{EVENTS_MAX, Entry, Event, Sync};
use abi::vote::{NO_DEADLINE, Progress};

/// The manager hears of every so manieth entry, and when the program falls idle.
const TELL_EVERY: u64 = 256;

impl Sequencer<'_> {
    /// Issues what is due now. Call it when all that has arrived was handed in, and when [`Sequencer::wake_at`] has come.
    pub fn poll(&mut self, now_us: u64, sink: &mut impl Sink) {
        if self.ended {
            return;
        }
        if self.next == 0 {
            sink.log(&Entry::Boot(self.boot(now_us)));
            self.replay_decisions(0, sink);
            self.next = 1;
        }
        self.decide_stuck(now_us, sink);
        // Bounded: an entry needs a sync point passed after the one before the last.
        while self.try_issue(now_us, sink) {}
        self.tell_idle(sink);
    }

    /// Issues the next entry if (a) the voters have passed the sync point before the last, (b) what they put out before it has
    /// left the gate, (c) there is a reason.
    fn try_issue(&mut self, now_us: u64, sink: &mut impl Sink) -> bool {
        let flow_point = self.flow_point();
        let Some(report) = self.points.agreed(flow_point) else { return false };
        let due = self.released >= report.effects && (self.replay.is_some() || self.reason(now_us));
        if !due || !self.flow(flow_point, now_us, sink) {
            return false;
        }
        let s = self.next;
        if self.replay.is_some() {
            self.replay_decisions(s, sink);
            let Some(sync) = self.replay.as_mut().and_then(|r| r.sync()) else {
                self.ended = true;
                return false;
            };
            sink.log(&Entry::Sync(sync));
        } else {
            self.issue_live(s, now_us, sink);
        }
        self.next = s.saturating_add(1);
        if s.is_multiple_of(TELL_EVERY) {
            self.tell(sink);
        }
        true
    }

    fn issue_live(&mut self, s: u64, now_us: u64, sink: &mut impl Sink) {
        let mut encoded = [0; 32];
        let mut room = crate::REJOINS_MAX;
        let mut events = heapless::Vec::<u8, EVENTS_MAX>::new();
        let _fits_by_size = events.extend_from_slice(&self.pending);
        while room >= encoded.len()
            && let Some(request) = self.rejoins.take(self.config.quorum, &self.voters)
        {
            let event = Event::Rejoin { thread: request.thread, call: request.call };
            if let Ok(bytes) = postcard::to_slice(&event, &mut encoded) {
                room = room.saturating_sub(bytes.len());
                let _fits_by_reserve = events.extend_from_slice(bytes);
            }
        }
        sink.log(&Entry::Sync(Sync { s, time_us: self.time_us(now_us), events: &events }));
        self.pending.clear();
    }

    /// Everything that the recording decided before Sync `k`+3, see `replay.rs`.
    fn replay_decisions(&mut self, k: u64, sink: &mut impl Sink) {
        while let Some(decision) = self.replay.as_mut().and_then(|r| r.decision(k)) {
            match decision {
                Decision::Skip(call) => self.skip(call, sink),
                Decision::Go(call) => self.go(call, sink),
            }
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

    fn quorum_passed(&self, s: u64) -> bool {
        self.voters.iter().filter(|v| v.live() && v.passed > s).count() >= self.config.quorum as usize
    }

    fn grace_over(&self, s: u64, now_us: u64) -> bool {
        self.quorum_passed(s)
            && self.points.quorum_at_us(s).is_some_and(|at| now_us >= at.saturating_add(self.config.grace_us))
    }

    /// (c) The program runs, something is to be put in, or a deadline has come. What is known of the last entry's sync point
    /// counts; until then, what is known of the one before.
    fn reason(&self, now_us: u64) -> bool {
        if !self.pending.is_empty() || self.rejoins.any(self.config.quorum, &self.voters) {
            return true;
        }
        match self.points.agreed(self.next.saturating_sub(1)) {
            Some(r) => r.runnable || (r.deadline_us != NO_DEADLINE && r.deadline_us <= self.time_us(now_us)),
            None => self.points.agreed(self.flow_point()).is_some_and(|r| r.runnable),
        }
    }

    /// When to call [`Sequencer::poll`] again though nothing has arrived; `None`: not before something does.
    pub fn wake_at(&self, now_us: u64) -> Option<u64> {
        if self.ended {
            return None;
        }
        let flow_point = self.flow_point();
        let grace = self
            .points
            .quorum_at_us(flow_point)
            .filter(|_| self.waited_for(flow_point) && self.quorum_passed(flow_point))
            .map(|at| at.saturating_add(self.config.grace_us));
        let deadline = self
            .points
            .agreed(self.next.saturating_sub(1))
            .filter(|r| !r.runnable && r.deadline_us != NO_DEADLINE)
            .map(|r| r.deadline_us.saturating_sub(self.config.start_time_us));
        // What is past already is not waited for again: it is only kept back by something that will ring.
        [grace, deadline, self.stuck_wake_at()].into_iter().flatten().filter(|at| *at > now_us).min()
    }

    fn tell_idle(&mut self, sink: &mut impl Sink) {
        let last = self.next.saturating_sub(1);
        if self.told != self.next && self.points.agreed(last).is_some_and(|r| !r.runnable) {
            self.tell(sink);
        }
    }

    fn tell(&mut self, sink: &mut impl Sink) {
        self.told = self.next;
        let last = self.next.saturating_sub(1);
        // Of the sync point of an entry just issued nothing is known yet, nor perhaps of the one before.
        let report = (0..3).find_map(|back| self.points.agreed(last.checked_sub(back)?));
        let lagging = |mask: u64, (i, v): (usize, &crate::Voter)| {
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
