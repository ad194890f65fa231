//! Checkpoints: every half window a state is kept and its digest told; one that 2f+1 tell is stable, and what is below it is forgotten (OSDI
//! 1999, section 4.3). The last checkpoint of an epoch is signed by all, so that who comes later can check it.
//!
//! ```text
//! state:  epoch u64 · executed u64 · history [32] · members 4 x [64] · the application's state
//! ```

use super::change::{CHECKPOINTS, StateId, index};
use super::{Application, Note, Output, Rekey, Replica};
use crate::auth::{Authenticator, Identity, Members};
use crate::seeded::{self, Bug};
use crate::wire::{BODY, HEADER, Header, Kind, Message, TRAILER, Trailer, Writer};
use crate::{Digest, QUORUM, REPLICAS, Ticks, WEAK};

/// A state that is kept.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Snapshot<const M: usize> {
    pub id: StateId,
    bytes: [u8; M],
    length: usize,
}

impl<const M: usize> Snapshot<M> {
    pub const EMPTY: Self =
        Snapshot { id: StateId { sequence: 0, digest: [0; 32] }, bytes: [0; M], length: 0 };

    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or(&[])
    }

    pub fn forget(&mut self) {
        self.length = 0;
    }

    pub fn set(&mut self, id: StateId, bytes: &[u8]) -> bool {
        let Some(to) = self.bytes.get_mut(..bytes.len()) else { return false };
        to.copy_from_slice(bytes);
        (self.id, self.length) = (id, bytes.len());
        true
    }
}

impl<const M: usize> core::fmt::Debug for Snapshot<M> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "state after {}", self.id.sequence)
    }
}

/// What one replica says of states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Claim {
    pub id: StateId,
    pub signature: Option<Trailer>,
}

/// The newest claims of one replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Claims([Option<Claim>; CHECKPOINTS]);

impl Claims {
    /// Takes a claim. A second one for the same number does not replace the first, but may bring the signature. `false`: it contradicts.
    pub fn insert(&mut self, claim: Claim) -> bool {
        if let Some(old) = self.0.iter_mut().flatten().find(|c| c.id.sequence == claim.id.sequence) {
            if old.id == claim.id || seeded::has(Bug::SecondClaimReplaces) {
                old.id = claim.id;
                old.signature = old.signature.or(claim.signature);
                return true;
            }
            return false;
        }
        if let Some(oldest) = self.0.iter_mut().min_by_key(|c| c.map(|c| c.id.sequence))
            && oldest.is_none_or(|o| o.id.sequence < claim.id.sequence)
        {
            *oldest = Some(claim);
        }
        true
    }

    pub fn of(&self, id: &StateId) -> Option<&Claim> {
        self.0.iter().flatten().find(|c| c.id == *id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Claim> {
        self.0.iter().flatten()
    }
}

/// How an epoch ended: what a quorum of its members signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct EpochEnd {
    /// The epoch that ended.
    pub epoch: u64,
    pub id: StateId,
    pub signatures: [Option<Trailer>; REPLICAS],
}

/// The header that a checkpoint's signature is over.
pub(super) fn certified(sender: u8, epoch: u64, id: &StateId) -> [u8; HEADER] {
    let (sequence, digest) = (id.sequence, id.digest);
    Header { kind: Kind::Certified, sender, length: 0, epoch, view: 0, sequence, digest }.encode()
}

impl<A: Authenticator, P: Application, const W: usize, const M: usize> Replica<A, P, W, M> {
    pub(super) fn snapshot(&self, sequence: u64) -> Option<&Snapshot<M>> {
        self.snapshots.iter().find(|s| s.length > 0 && s.id.sequence == sequence)
    }

    /// Where a new state goes: into a free place, or over the oldest.
    fn place(&mut self, sequence: u64) -> &mut Snapshot<M> {
        let at = (0..CHECKPOINTS).min_by_key(|i| match &self.snapshots[*i] {
            s if s.length == 0 || s.id.sequence == sequence => 0,
            s => s.id.sequence + 1,
        });
        &mut self.snapshots[at.unwrap_or(0)]
    }

    pub(super) fn keep(&mut self, id: StateId, bytes: &[u8]) -> bool {
        self.place(id.sequence).set(id, bytes)
    }

    /// Hashes the batches executed since the last checkpoint into the history.
    fn advance_history(&mut self, n: u64) {
        let mut bytes = [0; 32 * 129];
        let mut w = Writer::new(&mut bytes);
        let _fits = w.bytes(&self.history);
        for k in self.history_at + 1..=n {
            let _fits = w.bytes(&self.slots[index::<W>(k)].held.map_or([0; 32], |held| held.0));
        }
        let length = w.length();
        self.history = A::digest(bytes.get(..length).unwrap_or(&[]));
        self.history_at = n;
    }

    fn write_state(&self, n: u64, out: &mut [u8]) -> Option<usize> {
        let (mut epoch, mut members) = (self.epoch, self.members);
        if let Some((end, rekey)) = self.ending
            && end == n
        {
            epoch += 1;
            members[usize::from(rekey.replica)] = rekey.identity;
        }
        let mut w = Writer::new(out);
        w.u64(epoch)?.u64(n)?.bytes(&self.history)?;
        for member in &members {
            w.bytes(&member.0)?;
        }
        let length = w.length();
        Some(length + self.application.snapshot(out.get_mut(length..)?)?)
    }

    /// Keeps the state after `n`, which was just executed, and tells its digest.
    pub(super) fn take_checkpoint(&mut self, n: u64, now: Ticks, out: &mut impl Output) {
        self.advance_history(n);
        let mut bytes = [0; M];
        // Messages are longer than states by their header, so that a state fits into one.
        let room = M - BODY;
        let length = bytes.get_mut(..room).and_then(|b| self.write_state(n, b));
        let Some(state) = length.and_then(|l| bytes.get(..l)) else {
            // A configuration error: the state is larger than M. Without checkpoints the window closes and nothing false is said.
            return out.note(Note::BadState { sequence: n });
        };
        let id = StateId { sequence: n, digest: A::digest(state) };
        self.keep(id, state);
        self.target.take_if(|t| t.id == id);
        self.claim(id, out);
        self.try_stable(id, now, out);
    }

    /// Tells others that this replica holds state `id`.
    pub(super) fn claim(&mut self, id: StateId, out: &mut impl Output) {
        let ends = self.ends_with(id.sequence);
        let me = self.config.me;
        let signature = ends.then(|| self.keys.sign(&certified(me, self.epoch, &id)));
        self.claims[usize::from(me)].insert(Claim { id, signature });
        self.tell(id, signature, out);
    }

    /// `n` is the last number of this epoch.
    pub(super) fn ends_with(&self, n: u64) -> bool {
        self.ending.is_some_and(|(end, _)| end == n)
    }

    /// Sends a checkpoint message.
    pub(super) fn tell(&self, id: StateId, signature: Option<Trailer>, out: &mut impl Output) {
        let mut header = self.header(Kind::Checkpoint, 0, id.sequence, id.digest);
        header.length = if signature.is_some() { TRAILER as u32 } else { 0 };
        let header = header.encode();
        let mut record = [0; BODY + TRAILER];
        record[..HEADER].copy_from_slice(&header);
        record[HEADER..BODY].copy_from_slice(&self.keys.seal(&header));
        match signature {
            Some(signature) => {
                record[BODY..].copy_from_slice(&signature);
                out.broadcast(&record);
            }
            None => out.broadcast(&record[..BODY]),
        }
    }

    pub(super) fn on_checkpoint(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let h = &m.header;
        let id = StateId { sequence: h.sequence, digest: h.digest };
        let known = self.claims[usize::from(h.sender)]
            .of(&id)
            .is_some_and(|c| c.signature.is_some() || m.body.is_empty());
        let old = h.sequence <= self.stable.sequence.min(self.executed) && !self.ends_with(h.sequence);
        if old || known || !self.authentic(m, out) {
            return;
        }
        let signature = m.body.first_chunk().copied();
        if let Some(signature) = &signature
            && !self.keys.verify(h.sender, &certified(h.sender, h.epoch, &id), signature)
        {
            return out.note(Note::BadAuthenticator { sender: h.sender, kind: h.kind });
        }
        if !self.claims[usize::from(h.sender)].insert(Claim { id, signature }) {
            let (sender, sequence) = (h.sender, h.sequence);
            return out.note(Note::Equivocates { sender, kind: h.kind, view: 0, sequence });
        }
        self.try_stable(id, now, out);
    }

    /// How many claim state `id`.
    pub(super) fn claimed(&self, id: &StateId) -> usize {
        self.claims.iter().filter(|c| c.of(id).is_some()).count()
    }

    /// Makes `id` stable if a quorum claims it, this replica among them.
    pub(super) fn try_stable(&mut self, id: StateId, now: Ticks, out: &mut impl Output) {
        let ends = self.ends_with(id.sequence);
        let counts = |c: &Claim| !ends || c.signature.is_some();
        let claimed = self.claims.iter().filter(|c| c.of(&id).is_some_and(counts)).count();
        let need = if seeded::has(Bug::StableByTooFew) { WEAK - 1 } else { QUORUM };
        if id.sequence <= self.stable.sequence && !ends || claimed < need {
            return;
        }
        match self.snapshot(id.sequence).map(|s| s.id.digest) {
            Some(own) if own == id.digest || seeded::has(Bug::StableWithOtherDigest) => {}
            Some(own) => {
                out.note(Note::Diverged { sequence: id.sequence, own, quorum: id.digest });
                return self.fetch(id, None, out);
            }
            None if seeded::has(Bug::StableWithoutState) => {}
            None => return self.consider_fetching(out),
        }
        self.make_stable(id, out);
        if let Some((end, rekey)) = self.ending
            && end == id.sequence
        {
            self.end_epoch(id, rekey, now, out);
        }
    }

    /// Raises the low watermark and forgets what is below.
    pub(super) fn make_stable(&mut self, id: StateId, out: &mut impl Output) {
        let old = self.stable.sequence;
        if id.sequence <= old {
            return;
        }
        // Numbers above the old window have no slot; of those inside it, each at or below the new mark is cleared.
        let forget = if seeded::has(Bug::ForgetsTooMuch) { id.sequence + 1 } else { id.sequence };
        for n in old + 1..=forget.min(old + W as u64) {
            self.slot_mut(n).clear();
        }
        self.stable = id;
        self.proposed = self.proposed.max(id.sequence);
        for s in self.snapshots.iter_mut().filter(|s| s.id.sequence < id.sequence) {
            s.length = 0;
        }
        out.note(Note::Stable { sequence: id.sequence });
    }

    fn end_epoch(&mut self, id: StateId, rekey: Rekey, now: Ticks, out: &mut impl Output) {
        let signatures = core::array::from_fn(|i| self.claims[i].of(&id).and_then(|c| c.signature));
        self.epoch_end = Some(EpochEnd { epoch: self.epoch, id, signatures });
        let mut members = self.members;
        if let Some(member) = members.get_mut(usize::from(rekey.replica)) {
            *member = rekey.identity;
        }
        self.begin_epoch(self.epoch + 1, &members, now, out);
    }

    /// A new epoch: new keys, view 0, nothing on its way. What the old one proposed above its end was committed by nobody.
    pub(super) fn begin_epoch(&mut self, epoch: u64, members: &Members, now: Ticks, out: &mut impl Output) {
        self.epoch = epoch;
        self.members = *members;
        if let Some(state) = self.snapshot(self.executed) {
            self.end_state = state.clone();
        }
        self.keys.begin_epoch(epoch, members);
        self.view = 0;
        self.normal = true;
        self.installed = 0;
        if !seeded::has(Bug::EpochKeepsLog) {
            self.slots.iter_mut().for_each(super::Slot::clear);
        }
        self.changes = [const { None }; REPLICAS];
        self.pending = [const { None }; REPLICAS];
        self.beginning = None;
        self.begun.clear();
        self.ending = None;
        self.attempts = 0;
        self.new_view_due = None;
        self.proposed = self.executed;
        self.view_began = now;
        self.application.begin_view();
        let own: Option<&Identity> = members.get(usize::from(self.config.me));
        self.recovering &= own != Some(&self.identity);
        out.note(Note::BeganEpoch { epoch, sequence: self.executed });
    }

    /// The state that most recently is vouched for by f+1, beyond what was executed.
    pub(super) fn vouched(&self) -> Option<StateId> {
        let need = if seeded::has(Bug::StateFromOneClaim) { 1 } else { WEAK };
        let all = self.claims.iter().flat_map(|c| c.all()).map(|c| c.id);
        all.filter(|id| id.sequence > self.executed && self.claimed(id) >= need).max_by_key(|id| id.sequence)
    }

    /// The digest of no state.
    pub(super) const NO_STATE: Digest = [0; 32];
}
