//! Skip or go: what becomes of a thread that holds its turn without a call.
//!
//! A promise for call c is answered by *Go* as soon as one live voter is known to be beyond c, whoever that is (c is not decided, so that
//! voter made it): had it been skipped, that voter would be off the course of the others. It is answered by *Skip* when every live
//! voter promised, or a quorum did and the rest got no further for the grace. The race left: a silent voter may have made c
//! and not said so yet; then it is one against a quorum, which is what a quorum is for.

use crate::clerk::{Agreed, Clerk, Sink};
use abi::vote::Progress;
use consensus::line::Proposal;

impl Clerk {
    /// Permits the answers to promises that can be given now.
    pub(crate) fn decide_stuck(&mut self, now_us: u64, log: &mut impl Agreed, sink: &mut impl Sink) {
        self.forget_promises(log);
        for i in 0..self.voters.len() {
            // One that returns may promise what the others did long ago.
            let Some(call) = self.voters.get(i).filter(|v| v.heard()).and_then(|v| v.promise) else {
                continue;
            };
            let (skip, go) = (Proposal::Skip { call }, Proposal::Go { call });
            if log.is_decided(call) {
                // The voter finds the answer in the log.
                if self.skipping == Some(call) {
                    self.skipping = None;
                    sink.progress(Progress::Skipped { call });
                }
                for v in self.voters.iter_mut().filter(|v| v.promise == Some(call)) {
                    v.promise = None;
                }
            } else if self.voters.iter().any(|v| v.live() && v.made > call) || self.config.recorded.is_some()
            {
                // In a replay, what the recording skipped is in the log already; all else was made.
                log.forbid(&skip);
                log.permit(go, now_us);
                self.skipping.take_if(|c| *c == call);
            } else if self.skip_at(call).is_some_and(|at| now_us >= at) {
                log.permit(skip, now_us);
                self.skipping = Some(call);
            }
        }
    }

    /// Of one that is gone, or is heard no more, each replica may have read another promise last: an answer that this one alone permits nobody would agree to,
    /// and each view in which it is proposed would be left.
    fn forget_promises(&mut self, log: &mut impl Agreed) {
        for v in self.voters.iter_mut().filter(|v| !v.heard()) {
            if let Some(call) = v.promise.take() {
                let _room = self.unanswered.push(call);
            }
        }
        while let Some(call) = self.unanswered.pop() {
            if !self.voters.iter().any(|v| v.promise == Some(call)) {
                log.forbid(&Proposal::Skip { call });
                log.forbid(&Proposal::Go { call });
            }
        }
    }

    /// When `call` may be skipped if nothing more is heard; `None`: not as things stand.
    fn skip_at(&self, call: u64) -> Option<u64> {
        let (mut promised, mut promised_at, mut silent_since) = (0, 0, None);
        for v in self.voters.iter().filter(|v| v.live()) {
            if v.promise == Some(call) {
                promised += 1;
                promised_at = promised_at.max(v.heard_at_us);
            } else {
                silent_since = silent_since.max(Some(v.heard_at_us));
            }
        }
        if promised < self.quorum {
            return None;
        }
        let Some(silent_since) = silent_since else { return Some(0) };
        Some(silent_since.max(promised_at).saturating_add(self.config.grace_us))
    }

    /// When a promise may be answered by the lapse of time.
    pub(crate) fn stuck_wake_at(&self) -> Option<u64> {
        let promises = self.voters.iter().filter(|v| v.live()).filter_map(|v| v.promise);
        promises.filter_map(|call| self.skip_at(call)).min()
    }
}
