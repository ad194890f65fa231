//! Skip or go: what becomes of a thread that holds its turn without a call.
//!
//! A promise for call c is answered by *Go* as soon as one live voter is known to have made c, whoever that is: had it been skipped,
//! that voter would be off the course of the others. It is answered by *Skip* when every live voter promised, or a quorum did and
//! the rest got no further for the grace. The race left: a silent voter may have made c and not said so yet; then it is one
//! against a quorum, which is what a quorum is for.

use crate::voter::Promise;
use crate::{Sequencer, Sink};
use abi::log::Entry;
use abi::vote::Progress;

impl Sequencer<'_> {
    pub(crate) fn skip(&mut self, call: u64, sink: &mut impl Sink) {
        self.decisions.skip(call);
        sink.log(&Entry::Skip { call });
    }

    pub(crate) fn go(&mut self, call: u64, sink: &mut impl Sink) {
        self.decisions.go(call);
        sink.log(&Entry::Go { call });
    }

    /// Answers the promises that can be answered now. Bounded: each answer closes at least one promise.
    pub(crate) fn decide_stuck(&mut self, now_us: u64, sink: &mut impl Sink) {
        for i in 0..self.voters.len() {
            let Some(promise) = self.voters.get(i).filter(|v| v.live()).and_then(|v| v.promise) else {
                continue;
            };
            let call = promise.call;
            if !self.decisions.open(call) {
                self.close(call, u32::MAX);
            } else if self.made(call) || self.replay.is_some() {
                // In a replay, what the recording skipped is in the log already; all else was made.
                self.go(call, sink);
                self.close(call, u32::MAX);
            } else if self.may_skip(call, now_us) {
                let nth = self.decisions.skips(call);
                self.skip(call, sink);
                self.close(call, nth);
                sink.progress(Progress::Skipped { call });
            }
        }
    }

    /// Forgets the promises for `call` up to the `nth`.
    fn close(&mut self, call: u64, nth: u32) {
        for v in &mut self.voters {
            if v.promise.is_some_and(|p| p.call == call && p.nth <= nth) {
                v.promise = None;
            }
        }
    }

    fn made(&self, call: u64) -> bool {
        self.voters.iter().any(|v| v.live() && v.made > call)
    }

    /// Who promised not to make `call`, this time: not for a thread that was skipped at it before.
    fn promised(&self, promise: Option<Promise>, call: u64) -> bool {
        promise.is_some_and(|p| p.call == call && p.nth >= self.decisions.skips(call))
    }

    fn may_skip(&self, call: u64, now_us: u64) -> bool {
        match self.skip_at(call) {
            Some(at) => now_us >= at,
            None => false,
        }
    }

    /// When `call` may be skipped if nothing more is heard; `None`: not as things stand.
    fn skip_at(&self, call: u64) -> Option<u64> {
        let (mut promised, mut promised_at, mut silent_since) = (0, 0, None);
        for v in self.voters.iter().filter(|v| v.live()) {
            if self.promised(v.promise, call) {
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
        promises.filter_map(|p| self.skip_at(p.call)).min()
    }
}
