//! Letting out, and accusing.

use crate::history::Released;
use crate::states::{Key, ballot};
use crate::{End, Gate, Held, Sink, Voter};
use abi::digest::Digest;
use abi::vote::{EffectKind, Output, Verdict};
use consensus::verdict::{Ballot, Decision, EFFECT, Evidence, Subject};

impl Gate {
    /// Releases what can be released. Call it when a record was taken, a domain's state changed, the device made room, and when
    /// [`Gate::wake_at`] has come. `true`: something was released, so there may be more to read.
    pub fn poll(&mut self, now_us: u64, sink: &mut impl Sink) -> bool {
        self.begin();
        // One round at most: each voter holds one effect, and the next is only read after this returns.
        let released = self.end == End::Running && self.release(now_us, sink);
        self.check_late(now_us, sink);
        let count = self.history.count();
        if core::mem::replace(&mut self.told, count) != count {
            sink.verdict(Verdict::Released { effects: count });
        }
        match self.end {
            End::Running if self.decide() == Decision::Impossible => {
                self.end = End::Over;
                sink.verdict(Verdict::NoQuorum { n: count });
            }
            End::Exited(status) if sink.drained() => {
                self.end = End::Over;
                sink.verdict(Verdict::Exit { status });
            }
            _ => {}
        }
        released
    }

    /// Where all voters began with a snapshot, the outputs before it left another gate.
    fn begin(&mut self) {
        let mut starts = self.voters.iter().filter(|v| v.live()).map(|v| v.next_effect);
        if self.history.count() == 0
            && let Some(first) = starts.next()
            && starts.all(|n| n == first)
        {
            self.history.begin(first);
        }
    }

    /// When to call [`Gate::poll`] again though nothing has arrived.
    pub fn wake_at(&self, now_us: u64) -> Option<u64> {
        let missing = self.voters.iter().filter(|v| v.live() && !v.late);
        let since = missing.filter_map(|v| self.history.get(v.next_effect));
        since.map(|r| r.at_us.saturating_add(self.grace_us)).filter(|at| *at > now_us).min()
    }

    /// The votes on the next effect, by slot.
    fn ballot(&self) -> Ballot {
        let subject = self.subject(self.history.count());
        let mut ballot = Ballot::new(subject);
        for (slot, voter) in self.voters.iter().enumerate().filter(|(_, v)| v.live()) {
            if let Some(held) = &voter.held {
                ballot.cast(slot as u8, &subject, held.vote());
            }
        }
        ballot
    }

    fn subject(&self, n: u64) -> Subject {
        Subject { epoch: self.epoch, turn: n, thread: 0, kind: EFFECT }
    }

    /// The slots for which `holds`, a bit each.
    fn slots(&self, holds: impl Fn(&Voter) -> bool) -> u64 {
        self.voters.iter().enumerate().fold(0, |mask, (i, v)| mask | u64::from(holds(v)) << i)
    }

    fn decide(&self) -> Decision {
        self.policy.decide(&self.ballot(), self.slots(Voter::live))
    }

    /// The slot of a voter whose held effect is decided, its digest, and who agree (a bit a domain).
    fn decided(&self) -> Option<(usize, Digest, u64)> {
        let Decision::Agreed { digest, by } = self.decide() else { return None };
        let agree = self.voters.iter().enumerate().filter(|(slot, _)| by >> slot & 1 == 1);
        Some((by.trailing_zeros() as usize, digest, agree.fold(0, |mask, (_, v)| mask | 1 << v.domain)))
    }

    fn release(&mut self, now_us: u64, sink: &mut impl Sink) -> bool {
        let Some((slot, digest, agreed)) = self.decided() else { return false };
        let n = self.history.count();
        let Some((call, kind, payload)) = self.voters.get(slot).and_then(|v| v.effect()) else {
            return false;
        };
        if kind == EffectKind::Exit {
            // Four bytes, or a quorum is out of its mind: then the status says that nobody knows.
            self.end = End::Exited(payload.try_into().map_or(-1, i32::from_le_bytes));
        } else if !sink.output(&Output { n, kind, payload }) {
            return false;
        }
        self.history.push(Released { digest, call, agreed, at_us: now_us });
        for slot in 0..self.voters.len() {
            if let Some(held) = self.voters.get_mut(slot).and_then(|v| v.held.take()) {
                self.compare(slot, held, n, sink);
            }
        }
        true
    }

    /// Holds a vote for the released effect `n` against the quorum's.
    fn compare(&mut self, slot: usize, held: Held, n: u64, sink: &mut impl Sink) {
        let Some(released) = self.history.get(n).copied() else { return };
        let Some(voter) = self.voters.get_mut(slot) else { return };
        if held.is_for(&released.digest) {
            voter.next_effect = n.saturating_add(1);
            return;
        }
        let domain = voter.domain;
        if self.expel(domain) {
            sink.verdict(Verdict::WrongOutput {
                voter: domain,
                n,
                call: released.call,
                own: held.accused(&released.digest),
                quorum: released.digest,
                agreed: released.agreed,
            });
            let subject = self.subject(n);
            let mut ballot = Ballot::new(subject);
            for (i, v) in self.voters.iter().enumerate().filter(|(_, v)| released.agreed >> v.domain & 1 == 1)
            {
                if v.member {
                    ballot.cast(i as u8, &subject, released.digest);
                }
            }
            ballot.cast(slot as u8, &subject, held.vote());
            sink.evidence(&Evidence { ballot, members: self.slots(|v| v.member) });
        }
    }

    /// A vote that comes after its effect was released.
    pub(crate) fn compare_late(
        &mut self,
        slot: usize,
        held: Held,
        n: u64,
        position: u64,
        sink: &mut impl Sink,
    ) {
        if self.history.get(n).is_some() {
            return self.compare(slot, held, n, sink);
        }
        if let Some(domain) = self.voters.get(slot).map(|v| v.domain) {
            self.on_malformed(domain, position, sink);
        }
    }

    pub(crate) fn compare_state(
        &mut self,
        slot: usize,
        key: Key,
        pid: u32,
        digest: Digest,
        sink: &mut impl Sink,
    ) {
        let live =
            self.voters.iter().enumerate().filter(|(_, v)| v.live()).fold(0, |mask, (i, _)| mask | 1 << i);
        let Some(agreed) = self.states.vote(slot, key, digest, &self.policy, live) else { return };
        for (slot, own) in agreed.votes.iter().enumerate() {
            let Some(own) = own.filter(|own| *own != agreed.digest) else { continue };
            let Some(voter) = self.voters.get(slot).map(|v| v.domain) else { continue };
            if self.expel(voter) {
                let quorum = agreed.digest;
                sink.verdict(Verdict::WrongState { voter, s: key.s, process: pid, own, quorum });
                let ballot = ballot(&agreed.votes, key, self.epoch);
                sink.evidence(&Evidence { ballot, members: self.slots(|v| v.member) });
            }
        }
    }

    fn check_late(&mut self, now_us: u64, sink: &mut impl Sink) {
        let (history, grace_us) = (&self.history, self.grace_us);
        for voter in self.voters.iter_mut().filter(|v| v.live()) {
            let n = voter.next_effect;
            let behind = n < history.count();
            let since = history.get(n).map_or(0, |r| r.at_us);
            if voter.late && !behind {
                voter.late = false;
                sink.verdict(Verdict::CaughtUp { voter: voter.domain });
            } else if !voter.late && behind && now_us >= since.saturating_add(grace_us) {
                voter.late = true;
                sink.verdict(Verdict::Late { voter: voter.domain, n });
            }
        }
    }
}
