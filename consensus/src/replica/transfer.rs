//! States for who is behind: after a restart, after it lost messages that others have forgotten, or after it found its own state to be wrong.
//!
//! The digest is vouched for by f+1 checkpoint claims, by a new view, or by the signatures at an epoch's end; so the state itself may come from anyone.

use super::change::StateId;
use super::checkpoint::{EpochEnd, certified};
use super::{Application, Note, Output, Rekey, Replica};
use crate::auth::{Authenticator, Identity};
use crate::seeded::{self, Bug};
use crate::wire::{BODY, HEADER, Header, Kind, Message, Reader, TRAILER, Writer};
use crate::{QUORUM, REPLICAS, ReplicaId, Ticks};

/// A state that this replica wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target {
    pub id: StateId,
    /// Why it is believed, when it ends an epoch.
    pub epoch: Option<EpochEnd>,
}

/// Bytes of a certificate at most: a byte and a signature for each replica.
const CERTIFICATE_MAX: usize = REPLICAS * (1 + TRAILER);

impl<A: Authenticator, P: Application, const W: usize, const M: usize> Replica<A, P, W, M> {
    /// Asks for a state.
    pub(super) fn fetch(&mut self, id: StateId, epoch: Option<EpochEnd>, out: &mut impl Output) {
        if self.target.is_none_or(|t| t.id != id) {
            out.note(Note::Fetches { sequence: id.sequence });
        }
        self.target = Some(Target { id, epoch });
        self.ask(out);
    }

    /// Asks again.
    pub(super) fn ask(&self, out: &mut impl Output) {
        if let Some(Target { id, .. }) = self.target {
            let mut record = [0; BODY];
            let header = self.header(Kind::FetchState, 0, id.sequence, id.digest);
            record[..HEADER].copy_from_slice(&header.encode());
            out.broadcast(&record);
        }
    }

    /// A state is vouched for that this replica cannot reach by what it still gets.
    pub(super) fn consider_fetching(&mut self, out: &mut impl Output) {
        if let Some(id) = self.vouched()
            && id.sequence > self.stable.sequence + W as u64
            && self.target.is_none_or(|t| t.epoch.is_none() && t.id.sequence < id.sequence)
        {
            self.fetch(id, None, out);
        }
    }

    pub(super) fn on_fetch_state(&mut self, from: ReplicaId, m: &Message<'_>, out: &mut impl Output) {
        let id = StateId { sequence: m.header.sequence, digest: m.header.digest };
        let held = self.snapshots.iter().chain([&self.end_state]);
        let Some(snapshot) = held.filter(|s| !s.bytes().is_empty()).find(|s| s.id == id) else { return };
        let state = snapshot.bytes();
        let mut record = [0; M];
        let mut header = self.header(Kind::State, 0, snapshot.id.sequence, snapshot.id.digest);
        header.length = state.len() as u32;
        if let Some(space) = record.get_mut(BODY..BODY + state.len()) {
            space.copy_from_slice(state);
            record[..HEADER].copy_from_slice(&header.encode());
            out.send(from, &record[..BODY + state.len()]);
        }
    }

    pub(super) fn on_state(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let Some(target) = self.target else { return };
        let id = StateId { sequence: m.header.sequence, digest: m.header.digest };
        let whole = A::digest(m.body) == id.digest || seeded::has(Bug::StateUnchecked);
        if target.id != id || !whole {
            return;
        }
        self.target = None;
        if !self.restore(&target, m.body, now, out) {
            out.note(Note::BadState { sequence: id.sequence });
        }
    }

    /// Takes over a state whose digest was checked.
    fn restore(&mut self, target: &Target, state: &[u8], now: Ticks, out: &mut impl Output) -> bool {
        let mut r = Reader(state);
        let Some((epoch, sequence, history)) = (|| Some((r.u64()?, r.u64()?, r.array()?)))() else {
            return false;
        };
        let mut members = self.members;
        for member in &mut members {
            let Some(bytes) = r.array() else { return false };
            *member = Identity(bytes);
        }
        let ends_epoch = epoch > self.epoch;
        let proven = target.epoch.is_some();
        let fits = sequence == target.id.sequence && epoch >= self.epoch && (ends_epoch || !proven);
        if !fits || !self.application.restore(r.0) || state.len() > M - BODY {
            return false;
        }
        // What it held beyond came from the state that is replaced.
        let later = |s: &&mut super::Snapshot<M>| s.id.sequence >= sequence;
        self.snapshots.iter_mut().filter(later).for_each(super::Snapshot::forget);
        self.claims[usize::from(self.config.me)] = super::Claims::default();
        self.keep(target.id, state);
        self.executed = sequence;
        self.history = history;
        self.history_at = sequence;
        self.progress_at = now;
        self.make_stable(target.id, out);
        self.proposed = self.proposed.max(sequence);
        out.note(Note::Restored { sequence });
        self.ending = None;
        if ends_epoch && !proven && !self.recovering {
            // f+1 vouch for the epoch's last state, a quorum has not signed it yet: this replica's signature may be the one that is missing.
            let changed = (0..REPLICAS).find(|i| members[*i] != self.members[*i]).unwrap_or(0);
            self.ending =
                Some((sequence, Rekey { replica: changed as ReplicaId, identity: members[changed] }));
            self.claim(target.id, out);
            self.try_stable(target.id, now, out);
        } else if ends_epoch {
            self.epoch_end = target.epoch;
            self.stable = target.id;
            self.begin_epoch(epoch, &members, now, out);
        } else if !self.recovering {
            self.stable = target.id;
            self.claim(target.id, out);
        }
        self.execute(now, out);
        true
    }

    /// Tells `to` how the last epoch ended.
    pub(super) fn send_epoch_end(&self, to: ReplicaId, out: &mut impl Output) {
        let Some(end) = &self.epoch_end else { return };
        let mut record = [0; BODY + CERTIFICATE_MAX];
        let mut w = Writer::new(&mut record[BODY..]);
        for (i, signature) in end.signatures.iter().enumerate() {
            if let Some(signature) = signature {
                let _fits = w.bytes(&[i as u8]).and_then(|w| w.bytes(signature));
            }
        }
        let length = w.length();
        let header = Header {
            kind: Kind::Certificate,
            sender: self.config.me,
            length: length as u32,
            epoch: end.epoch,
            view: 0,
            sequence: end.id.sequence,
            digest: end.id.digest,
        };
        record[..HEADER].copy_from_slice(&header.encode());
        out.send(to, &record[..BODY + length]);
    }

    pub(super) fn on_certificate(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let h = &m.header;
        let id = StateId { sequence: h.sequence, digest: h.digest };
        let known = self.target.is_some_and(|t| t.id == id && t.epoch.is_some());
        if h.epoch < self.epoch || known || h.sequence < self.executed {
            return;
        }
        let mut end = EpochEnd { epoch: h.epoch, id, signatures: [None; REPLICAS] };
        let mut r = Reader(m.body);
        while let (Some(i), Some(signature)) = (r.u8(), r.array()) {
            let good = self.keys.verify(i, &certified(i, h.epoch, &id), &signature)
                || seeded::has(Bug::CertificateUnchecked);
            if let Some(slot) = end.signatures.get_mut(usize::from(i)).filter(|_| good) {
                *slot = Some(signature);
            }
        }
        let need = if seeded::has(Bug::CertificateByTooFew) { 1 } else { QUORUM };
        if end.signatures.iter().flatten().count() < need {
            return;
        }
        // Executed up to here already: only the others' signatures were missing.
        match self.snapshot(id.sequence).filter(|s| s.id == id && self.ending.is_some()) {
            Some(_) => self.finish_epoch(end, now, out),
            None => self.fetch(id, Some(end), out),
        }
    }

    /// This replica has executed the epoch's last number, and now has the proof that a quorum did.
    fn finish_epoch(&mut self, end: EpochEnd, now: Ticks, out: &mut impl Output) {
        let Some((_, rekey)) = self.ending else { return };
        let mut members = self.members;
        if let Some(member) = members.get_mut(usize::from(rekey.replica)) {
            *member = rekey.identity;
        }
        self.make_stable(end.id, out);
        self.epoch_end = Some(end);
        self.begin_epoch(end.epoch + 1, &members, now, out);
    }
}
