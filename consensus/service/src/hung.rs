//! Who hangs, though nobody puts anything out: found by what the others have come to, and he has not.
//!
//! A voter hangs when a quorum has passed a sync point that it has not, and nothing came from it for the manifest's `hang-ms`: no sync point, no
//! call, no promise. That time is counted in steps, at most one each time this replica looks: while a busy host lets the replica stand still, nothing
//! is counted. One that comes on meanwhile, however slowly, begins to be counted anew; and three replicas must have counted to the end before it leaves.
//!
//! One that was begun anew and has said its first word is counted likewise, though it does not vote yet; the manager is told at once.
//!
//! A program that waits passes no sync points, so a few times in that time it gets an entry with nothing in it.

use crate::clerk::{Agreed, Clerk, Sink};
use crate::voter::Voter;
use abi::vote::Progress;
use consensus::line::{Proposal, Voters};

/// Microseconds of a step.
const STEP_US: u64 = 100_000;
/// So many entries come in the time of a hang though there is nothing to put into them.
const HEARTBEATS: u64 = 4;

impl Clerk {
    /// Counts a step, if it is over. Whom it does not find hanging any more is not to leave for that.
    pub(crate) fn watch(&mut self, now_us: u64, log: &mut impl Agreed, sink: &mut impl Sink) {
        // In a replay nobody is lost.
        if self.config.recorded.is_some() || now_us < self.watched_at_us.saturating_add(STEP_US) {
            return;
        }
        let since = core::mem::replace(&mut self.watched_at_us, now_us);
        let (come_to, steps) = (self.come_to, self.config.hang_us.div_ceil(STEP_US));
        for (i, v) in self.voters.iter_mut().enumerate() {
            let still = behind(v, come_to) && v.heard_at_us <= since;
            v.still = if still { v.still.saturating_add(1) } else { 0 };
            let hangs = v.still >= steps.max(1);
            match (core::mem::replace(&mut v.hangs, hangs), hangs) {
                (true, false) if !self.leaving.contains(&(i as u32)) => {
                    log.forbid(&without(&log.voters(), i as u32));
                }
                (false, true) if !v.member => {
                    self.places.hangs(i as u32, v.passed);
                    sink.progress(Progress::Hangs { voter: i as u32, s: v.passed });
                }
                _ => {}
            }
        }
    }

    /// Who is found to hang.
    pub(crate) fn hung(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.voters).filter(|(_, v)| v.hangs && v.member).map(|(i, _)| i)
    }

    /// When the next step is over, if that can matter.
    pub(crate) fn watch_wake_at(&self) -> Option<u64> {
        let matters = self.config.recorded.is_none() && self.voters.iter().any(|v| behind(v, self.come_to));
        matters.then(|| self.watched_at_us.saturating_add(STEP_US))
    }

    /// When entry `next` comes though there is nothing to put into it; `None`: not as things stand, or there is nobody whose loss could be found.
    pub(crate) fn heartbeat_at(&self, next: u64) -> Option<u64> {
        let since = self.points.quorum_at_us(next.saturating_sub(1))?;
        let live = self.voters.iter().filter(|v| v.live()).count();
        (live > self.quorum as usize).then(|| since.saturating_add(self.config.hang_us / HEARTBEATS))
    }
}

/// Whether `v` counts or is to, and has not come to where a quorum has.
fn behind(v: &Voter, come_to: u64) -> bool {
    (v.live() || v.heard() && v.begun) && v.passed < come_to
}

/// The voters without `voter`; of the rest a majority decides.
pub(crate) fn without(now: &Voters, voter: u32) -> Proposal {
    let set = now.set & !1u64.checked_shl(voter).unwrap_or(0);
    Proposal::Voters(Voters { epoch: now.epoch.saturating_add(1), set, quorum: set.count_ones() / 2 + 1 })
}
