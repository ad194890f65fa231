//! The normal case: pre-prepare, prepare, commit (OSDI 1999, section 4.2), and execution in order.

use super::change::index;
use super::slot::{Cast, Vote};
use super::{Application, Check, Note, Output, Replica};
use crate::auth::Authenticator;
use crate::batch::{Batch, BatchWriter};
use crate::digest::{Aligned, same};
use crate::seeded::{self, Bug};
use crate::wire::{Kind, Message};
use crate::{QUORUM, ReplicaId, Ticks};

impl<A: Authenticator, P: Application, const W: usize, const M: usize> Replica<A, P, W, M> {
    /// Proposes what waits, as far as the window and the pipeline allow. Only the primary does.
    pub(super) fn propose(&mut self, now: Ticks, out: &mut impl Output) {
        while self.normal && self.is_primary() && self.ending.is_none() && self.target.is_none() {
            let n = self.proposed + 1;
            // What others committed meanwhile stays what it is: they are in a later view.
            let taken = self.in_window(n) && self.slot(n).committed;
            if taken || !self.in_window(n) || n > self.executed.saturating_add(self.config.pipeline) {
                return;
            }
            let (items_max, slot) = (self.config.items_max, &mut self.slots[index::<W>(n)]);
            let mut batch = BatchWriter::new(slot.record.space(), items_max);
            self.application.propose(now, &mut batch);
            if batch.is_empty() {
                return;
            }
            let length = batch.length();
            self.propose_written(n, length, now, out);
        }
    }

    /// The batch of `length` bytes in the slot's record becomes proposal `n`.
    fn propose_written(&mut self, n: u64, length: usize, now: Ticks, out: &mut impl Output) {
        let view = self.view;
        let Some(bytes) = self.slot_mut(n).record.space().get(..length) else { return };
        let digest = A::digest(bytes);
        let mut header = self.header(Kind::PrePrepare, view, n, digest);
        header.length = length as u32;
        let trailer = self.keys.seal(&header.encode());
        let vote = Vote { view, digest };
        self.note_proposal(n, now);
        let slot = self.slot_mut(n);
        slot.record.finish(&header, &trailer);
        slot.held = Some(Aligned(digest));
        slot.proposal = Some(vote);
        slot.endorsed = Some(vote);
        out.broadcast(slot.record.get());
        self.try_prepare(n, now, out);
    }

    /// `n` is proposed in this view.
    pub(super) fn note_proposal(&mut self, n: u64, now: Ticks) {
        if self.proposed <= self.executed {
            self.progress_at = now;
        }
        self.proposed = self.proposed.max(n);
    }

    /// A proposal of the primary; or, from whomever, a batch that is wanted.
    pub(super) fn on_pre_prepare(
        &mut self,
        from: ReplicaId,
        m: &Message<'_>,
        now: Ticks,
        out: &mut impl Output,
    ) {
        let (h, n) = (&m.header, m.header.sequence);
        if !self.in_window(n) && !seeded::has(Bug::WatermarkSkipped) {
            return;
        }
        if self.slot(n).wanted().is_some_and(|wanted| same(&wanted, &h.digest)) {
            return self.supply(m, now, out);
        }
        let by_primary = h.sender == self.primary(h.view) || seeded::has(Bug::AnyoneProposes);
        let stale = h.view != self.view && !(seeded::has(Bug::OldViewAccepted) && h.view < self.view);
        let mute = !self.normal && !seeded::has(Bug::PreparesDuringChange);
        if mute || stale || !by_primary || h.sender != from {
            return;
        }
        let vote = Vote { view: self.view, digest: h.digest };
        // What is committed stays what it is, though this replica may never have seen its proposal.
        if self.slot(n).committed && !self.slot(n).holds(&h.digest) && !seeded::has(Bug::CommittedReplaced) {
            return;
        }
        if let Some(known) = self.slot(n).proposal
            && (!seeded::has(Bug::SecondProposalReplaces) || self.slot(n).committed)
        {
            if known != vote && self.authentic(m, out) {
                out.note(Note::Equivocates { sender: h.sender, kind: h.kind, view: h.view, sequence: n });
            }
            return;
        }
        let whole = |body: &[u8]| same(&A::digest(body), &h.digest) || seeded::has(Bug::BatchDigestUnchecked);
        if !self.authentic(m, out) || !whole(m.body) {
            return;
        }
        if Batch::parse(m.body).is_none() {
            return out.note(Note::InvalidProposal { primary: h.sender, view: h.view, sequence: n });
        }
        self.note_proposal(n, now);
        let slot = self.slot_mut(n);
        if slot.record.set(m.record) {
            slot.held = Some(Aligned(h.digest));
            slot.proposal = Some(vote);
            slot.chosen = false;
            self.try_endorse(n, now, out);
        }
    }

    /// A batch that a quorum or a new view asks for; its digest says all, whoever brings it.
    fn supply(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let (h, n) = (&m.header, m.header.sequence);
        let good = A::digest(m.body) == h.digest || seeded::has(Bug::SupplyUnchecked);
        if good && Batch::parse(m.body).is_some() {
            let slot = self.slot_mut(n);
            slot.held = slot.record.set(m.record).then_some(Aligned(h.digest));
            // Q is what it endorsed and holds; what it held lost against a quorum.
            slot.endorsed.take_if(|q| q.digest != h.digest);
            self.try_endorse(n, now, out);
            self.try_commit(n, now, out);
        }
    }

    /// Sends a prepare for proposal `n`, if it is held and acceptable.
    pub(super) fn try_endorse(&mut self, n: u64, now: Ticks, out: &mut impl Output) {
        let primary = self.primary(self.view);
        let slot = &self.slots[index::<W>(n)];
        let Some(vote) = slot.proposal else { return };
        if !self.normal || !slot.holds(&vote.digest) || self.is_past_the_end(n) {
            return;
        }
        // The primary's pre-prepare stands for its prepare; but of what a new view chose nobody has sent one. (A new view renews Q where it chose
        // what is held; the prepare is still to be sent.)
        let prepares = primary != self.config.me || slot.chosen && !seeded::has(Bug::PrimaryMutePrepared);
        let said = !prepares || slot.prepares.of(self.config.me) == Some(vote);
        if slot.endorsed != Some(vote) || !said {
            let known = slot.chosen || slot.is_vouched(primary) || seeded::has(Bug::ProposalUnchecked);
            let check = if known {
                Check::Valid
            } else {
                self.application.check(now, Batch::trusted(slot.record.body()))
            };
            match check {
                Check::Valid => {}
                Check::Later => return self.unchecked = true,
                Check::Invalid => {
                    return out.note(Note::InvalidProposal { primary, view: vote.view, sequence: n });
                }
            }
            self.slot_mut(n).endorsed = Some(vote);
            if prepares {
                let record = self.sealed(Kind::Prepare, vote.view, n, vote.digest);
                let me = self.config.me;
                self.slot_mut(n).prepares.cast(me, vote);
                out.broadcast(&record);
            }
        }
        self.try_prepare(n, now, out);
    }

    /// Looks again at the proposals that could not be accepted before.
    pub(super) fn retry_checks(&mut self, now: Ticks, out: &mut impl Output) {
        if core::mem::take(&mut self.unchecked) {
            for n in self.stable.sequence + 1..=self.proposed {
                self.try_endorse(n, now, out);
            }
        }
    }

    pub(super) fn on_prepare(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let (h, n) = (&m.header, m.header.sequence);
        let vote = Vote { view: h.view, digest: h.digest };
        if !self.in_window(n) || h.view < self.view {
            return;
        }
        // Dropped before the authenticator is looked at: a quorum is there without it.
        if self.slot(n).prepared == Some(vote) || !self.authentic(m, out) {
            return;
        }
        match self.slot_mut(n).prepares.cast(h.sender, vote) {
            Cast::Known => {}
            Cast::Contradicts => {
                out.note(Note::Equivocates { sender: h.sender, kind: h.kind, view: h.view, sequence: n });
            }
            Cast::New => self.try_endorse(n, now, out),
        }
    }

    /// With a pre-prepare and 2f prepares to it, or with 2f+1 prepares to what a new view chose, it is prepared.
    fn try_prepare(&mut self, n: u64, now: Ticks, out: &mut impl Output) {
        let (primary, me) = (self.primary(self.view), self.config.me);
        let slot = self.slot_mut(n);
        let Some(vote) = slot.proposal else { return };
        let (but, need) = match slot.chosen && !seeded::has(Bug::PrimaryMutePrepared) {
            true => (None, QUORUM),
            false if seeded::has(Bug::PrimaryPrepares) => (None, QUORUM - 1),
            false => (Some(primary), QUORUM - 1),
        };
        let need = if seeded::has(Bug::PreparedByTooFew) { need - 1 } else { need };
        if slot.endorsed != Some(vote)
            || slot.prepared == Some(vote)
            || slot.prepares.count(&vote, but) < need
        {
            return;
        }
        slot.prepared = Some(vote);
        slot.commits.cast(me, vote);
        let record = self.sealed(Kind::Commit, vote.view, n, vote.digest);
        out.broadcast(&record);
        self.try_commit(n, now, out);
    }

    pub(super) fn on_commit(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let (h, n) = (&m.header, m.header.sequence);
        if !self.in_window(n) || self.slot(n).committed || !self.authentic(m, out) {
            return;
        }
        match self.slot_mut(n).commits.cast(h.sender, Vote { view: h.view, digest: h.digest }) {
            Cast::Known => {}
            Cast::Contradicts => {
                out.note(Note::Equivocates { sender: h.sender, kind: h.kind, view: h.view, sequence: n });
            }
            Cast::New => self.try_commit(n, now, out),
        }
    }

    /// Somebody helps: it says that `n` is committed.
    pub(super) fn on_committed(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let (h, n) = (&m.header, m.header.sequence);
        if !self.in_window(n) || self.slot(n).committed || !self.authentic(m, out) {
            return;
        }
        match self.slot_mut(n).reported.cast(h.sender, Vote { view: 0, digest: h.digest }) {
            Cast::Known => {}
            Cast::Contradicts => {
                out.note(Note::Equivocates { sender: h.sender, kind: h.kind, view: h.view, sequence: n });
            }
            Cast::New => self.try_commit(n, now, out),
        }
    }

    /// With 2f+1 commits of one view to the batch that is held, it is committed, in whatever view this replica is.
    pub(super) fn try_commit(&mut self, n: u64, now: Ticks, out: &mut impl Output) {
        let need = match () {
            () if seeded::has(Bug::CommittedByTooFew) => QUORUM - 1,
            () if seeded::has(Bug::CommittedWhenPrepared) => 1,
            () => QUORUM,
        };
        let slot = self.slot_mut(n);
        let Some(vote) = slot.decided(need) else { return };
        if slot.committed || !slot.holds(&vote.digest) && !seeded::has(Bug::CommitsOtherDigest) {
            return;
        }
        slot.committed = slot.held.is_some();
        self.execute(now, out);
    }

    fn is_past_the_end(&self, n: u64) -> bool {
        self.ending.is_some_and(|(end, _)| n > end)
    }

    /// Executes what is committed, in order.
    pub(super) fn execute(&mut self, now: Ticks, out: &mut impl Output) {
        while self.target.is_none_or(|t| t.epoch.is_none()) && !self.is_past_the_end(self.executed + 1) {
            let mut n = self.executed + 1;
            if seeded::has(Bug::ExecutesOutOfOrder) && self.in_window(n + 1) && self.slot(n + 1).committed {
                n += 1;
            }
            let slot = &self.slots[index::<W>(n)];
            if !self.in_window(n) || !slot.committed {
                return;
            }
            let rekey = self.application.execute(n, Batch::trusted(slot.record.body()), out);
            self.executed = n;
            // It may have learned of `n` from others, who are in a later view.
            self.proposed = self.proposed.max(n);
            self.progress_at = now;
            if !seeded::has(Bug::TimeoutNeverReset) && self.normal {
                self.attempts = 0;
            }
            if let Some(rekey) = rekey.filter(|r| usize::from(r.replica) < self.members.len()) {
                self.ending = Some((n, rekey));
            }
            if self.ending.is_some() || n.is_multiple_of(Self::INTERVAL) {
                self.take_checkpoint(n, now, out);
            }
        }
    }
}
