//! Skip or go: what becomes of a thread that holds its turn without a call.
//!
//! A promise for call c is answered by *Go* as soon as one live voter is known to be beyond c, whoever that is (c is not decided, so that
//! voter made it): had it been skipped, that voter would be off the course of the others. It is answered by *Skip* when every live
//! voter promised, or a quorum did and the rest got no further for the grace. The race left: a silent voter may have made c
//! and not said so yet; then it is one against a quorum, which is what a quorum is for.

use crate::{Sequencer, Sink};
use abi::log::Entry;
use abi::vote::Progress;

impl Sequencer<'_> {
    pub(crate) fn skip(&mut self, call: u64, sink: &mut impl Sink) {
        self.decisions.close(call);
        sink.log(&Entry::Skip { call });
    }

    pub(crate) fn go(&mut self, call: u64, sink: &mut impl Sink) {
        self.decisions.close(call);
        sink.log(&Entry::Go { call });
    }

    /// Answers the promises that can be answered now.
    pub(crate) fn decide_stuck(&mut self, now_us: u64, sink: &mut impl Sink) {
        for i in 0..self.voters.len() {
            let Some(call) = self.voters.get(i).filter(|v| v.live()).and_then(|v| v.promise) else {
                continue;
            };
            if !self.decisions.open(call) {
                // The voter finds the answer in the log.
            } else if self.voters.iter().any(|v| v.live() && v.made > call) || self.replay.is_some() {
                // In a replay, what the recording skipped is in the log already; all else was made.
                self.go(call, sink);
            } else if self.skip_at(call).is_some_and(|at| now_us >= at) {
                self.skip(call, sink);
                sink.progress(Progress::Skipped { call });
            } else {
                continue;
            }
            for v in self.voters.iter_mut().filter(|v| v.promise == Some(call)) {
                v.promise = None;
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
        if promised < self.config.quorum {
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
