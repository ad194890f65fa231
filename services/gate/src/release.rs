//! Letting out, and accusing.

use crate::history::Released;
use crate::states::{Key, ballot};
use crate::{Accused, End, Gate, Held, Sink, Voter};
use abi::digest::Digest;
use abi::vote::{EffectKind, Output, Verdict};
use consensus::verdict::{Ballot, Decision, EFFECT, Evidence, Subject};

/// A voter that is late is taken for dead when its ring has held nothing new for so many graces.
const SILENT_GRACES: u64 = 10;

impl Gate {
    /// Releases what can be released. Call it when a record was taken, a domain's state changed, the device made room, and when
    /// [`Gate::wake_at`] has come. `true`: something was released, so there may be more to read.
    pub fn poll(&mut self, now_us: u64, sink: &mut impl Sink) -> bool {
        self.begin();
        // One round at most: each voter holds one effect, and the next is only read after this returns.
        let released = self.end == End::Running && self.release(now_us, sink);
        for voter in &mut self.voters {
            if core::mem::take(&mut voter.heard.0) {
                voter.heard.1 = now_us;
            }
        }
        self.check_late(now_us, sink);
        let count = self.history.count();
        if core::mem::replace(&mut self.told, count) != count {
            sink.verdict(Verdict::Released { effects: count });
        }
        match self.end {
            End::Running if self.decide() == Decision::Impossible => {
                self.end = End::Over;
                sink.verdict(Verdict::NoQuorum { n: count });
                // Who is missing was accused before; if they differ, nobody is.
                let ballot = self.ballot();
                if ballot.digests().count() > 1 {
                    sink.evidence(&Evidence { ballot, members: self.slots(Voter::live) });
                }
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
        let missing = self.voters.iter().filter(|v| v.live());
        let due = missing.filter_map(|v| {
            let released = self.history.get(v.next_effect)?;
            Some(if v.late { self.silent_at(v, released) } else { self.late_at(v, released) })
        });
        due.filter(|at| *at > now_us).min()
    }

    /// When `voter`, who misses the effect `released`, is late.
    fn late_at(&self, voter: &Voter, released: &Released) -> u64 {
        released.at_us.max(voter.joined_us).saturating_add(self.grace_us)
    }

    /// When it is taken for dead, should nothing come.
    fn silent_at(&self, voter: &Voter, released: &Released) -> u64 {
        let since = released.at_us.max(voter.joined_us).max(voter.heard.1);
        since.saturating_add(self.grace_us.saturating_mul(SILENT_GRACES))
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
            // One that returns may have lost its place and be ahead.
            if let Some(held) = self.voters.get_mut(slot).and_then(|v| v.held.take_if(|h| h.n == n)) {
                self.compare(slot, held, sink);
            }
        }
        true
    }

    /// Holds a vote for a released effect against the quorum's.
    fn compare(&mut self, slot: usize, held: Held, sink: &mut impl Sink) {
        let n = held.n;
        let Some(voter) = self.voters.get_mut(slot) else { return };
        let accused = match voter.accused {
            Some(Accused::Effect(of, released)) if of == n => Some(released),
            _ => None,
        };
        let Some(released) = self.history.get(n).copied().or(accused) else { return };
        let domain = voter.domain;
        if held.is_for(&released.digest) {
            voter.next_effect = n.saturating_add(1);
            if accused.is_some() {
                voter.accused = None;
                sink.verdict(Verdict::Vanished { voter: domain });
            }
            return;
        }
        voter.accused.get_or_insert(Accused::Effect(n, released));
        if self.expel(domain, sink) {
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
            sink.evidence(&Evidence { ballot, members: self.slots(|v| v.member || v.returning) });
        }
    }

    /// A vote that comes after its effect was released.
    pub(crate) fn compare_late(&mut self, slot: usize, held: Held, position: u64, sink: &mut impl Sink) {
        let accused = self.voters.get(slot).and_then(|v| v.accused);
        let known = matches!(accused, Some(Accused::Effect(n, _)) if n == held.n);
        if known || self.history.get(held.n).is_some() {
            return self.compare(slot, held, sink);
        }
        match self.voters.get_mut(slot) {
            // Too long ago to be compared.
            Some(voter) if voter.returning => voter.next_effect = held.n.saturating_add(1),
            Some(&mut Voter { domain, .. }) => self.on_malformed(domain, position, sink),
            None => {}
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
        if self.compare_accused(slot, key, pid, digest, sink) {
            return;
        }
        let Some(agreed) = self.states.vote(slot, key, digest, &self.policy, live) else { return };
        for (slot, own) in agreed.votes.iter().enumerate() {
            let Some(own) = own.filter(|own| *own != agreed.digest) else { continue };
            let Some(voter) = self.voters.get_mut(slot) else { continue };
            voter.accused.get_or_insert(Accused::State(key, agreed.digest));
            let voter = voter.domain;
            if self.expel(voter, sink) {
                let quorum = agreed.digest;
                sink.verdict(Verdict::WrongState { voter, s: key.s, process: pid, own, quorum });
                let ballot = ballot(&agreed.votes, key, self.epoch);
                sink.evidence(&Evidence { ballot, members: self.slots(|v| v.member || v.returning) });
            }
        }
    }

    /// Holds a state that voter `slot` was accused of, or its predecessor, against what the quorum had said. `true`: it is wrong again.
    fn compare_accused(
        &mut self,
        slot: usize,
        key: Key,
        process: u32,
        own: Digest,
        sink: &mut impl Sink,
    ) -> bool {
        let Some(voter) = self.voters.get_mut(slot) else { return false };
        let Some(quorum) = voter.accused.and_then(|a| match a {
            Accused::State(of, quorum) if of == key => Some(quorum),
            _ => None,
        }) else {
            return false;
        };
        let domain = voter.domain;
        if own == quorum {
            voter.accused = None;
            sink.verdict(Verdict::Vanished { voter: domain });
        } else if self.expel(domain, sink) {
            sink.verdict(Verdict::WrongState { voter: domain, s: key.s, process, own, quorum });
        }
        own != quorum
    }

    fn check_late(&mut self, now_us: u64, sink: &mut impl Sink) {
        for slot in 0..self.voters.len() {
            let Some(voter) = self.voters.get(slot).filter(|v| v.live()) else { continue };
            let (domain, n, late) = (voter.domain, voter.next_effect, voter.late);
            let missing = self.history.get(n);
            let late_now = missing.is_some_and(|r| now_us >= self.late_at(voter, r));
            let silent = missing.is_some_and(|r| now_us >= self.silent_at(voter, r));
            if late && n >= self.history.count() {
                self.set_late(slot, false);
                sink.verdict(Verdict::CaughtUp { voter: domain });
            } else if !late && late_now {
                self.set_late(slot, true);
                sink.verdict(Verdict::Late { voter: domain, n });
            } else if late && silent && self.expel(domain, sink) {
                sink.verdict(Verdict::Silent { voter: domain, n });
            }
        }
    }

    fn set_late(&mut self, slot: usize, late: bool) {
        if let Some(voter) = self.voters.get_mut(slot) {
            voter.late = late;
        }
    }
}
