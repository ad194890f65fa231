//! Leaving a view and beginning the next.
//!
//! View changes are signed and carry claims (P and Q of the TOCS paper); a new view names 2f+1 of them by digest, and [`select`] says what follows. P and Q hold one
//! claim for each sequence number. They can, because the beginning of a view w refutes: if (n, d, v) had been committed in any v < w, every valid
//! beginning of w would have chosen d for n. So whoever knows a valid beginning of w drops its claims of earlier views that w did not choose, and renews Q where it did. Beginnings
//! are signed and handed on to whoever lacks them, so all correct replicas come to know the latest. `docs/consensus.md` has the argument in full.

use super::change::{CHECKPOINTS, Change, StateId};
use super::select::{Changes, Chosen, Selection, select};
use super::slot::Vote;
use super::{Application, Note, Output, Replica};
use crate::auth::Authenticator;
use crate::digest::Aligned;
use crate::seeded::{self, Bug};
use crate::wire::{BODY, HEADER, Kind, Message, Reader, Trailer};
use crate::{Digest, QUORUM, REPLICAS, ReplicaId, Ticks, WEAK};

/// Bytes of a new view's body at most: a replica and a digest each.
const LIST_MAX: usize = REPLICAS * 33;

/// Bytes of a digest that a status has room for.
pub(super) type Tag = [u8; 15];

fn tag(header: &[u8; HEADER]) -> Tag {
    core::array::from_fn(|i| header[32 + i])
}

/// A new view as its primary sent it, with the view changes that it names as far as they are here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Beginning<const W: usize> {
    pub view: u64,
    named: [Option<Digest>; REPLICAS],
    changes: Changes<W>,
    header: [u8; HEADER],
    signature: Trailer,
}

impl<const W: usize> Beginning<W> {
    fn is_complete(&self) -> bool {
        self.named.iter().zip(&self.changes).all(|(n, c)| n.is_none() == c.is_none())
    }

    /// Takes a view change that this new view names.
    fn take(&mut self, change: &Change<W>) -> bool {
        let i = usize::from(change.sender);
        let named = change.view == self.view && self.named.get(i) == Some(&Some(change.digest));
        if let Some(slot) = self.changes.get_mut(i).filter(|slot| named && slot.is_none()) {
            *slot = Some(change.clone());
        }
        named
    }

    /// The beginning of its digest: tells two beginnings of one view apart.
    fn tag(&self) -> Tag {
        tag(&self.header)
    }

    fn body(&self) -> ([u8; LIST_MAX], usize) {
        let mut bytes = [0; LIST_MAX];
        let mut length = 0;
        for (i, digest) in self.named.iter().enumerate() {
            if let Some(digest) = digest {
                bytes[length] = i as u8;
                bytes[length + 1..length + 33].copy_from_slice(digest);
                length += 33;
            }
        }
        (bytes, length)
    }
}

impl<A: Authenticator, P: Application, const W: usize, const M: usize> Replica<A, P, W, M> {
    /// Leaves all views below `view`. The timers do; so may whoever has another reason to distrust the primary.
    pub fn start_view_change(&mut self, view: u64, now: Ticks, out: &mut impl Output) {
        if view <= self.view || self.recovering {
            return;
        }
        out.note(Note::LeavesView { view: self.view, wanted: view });
        self.view = view;
        self.normal = false;
        self.new_view_due = None;
        self.attempts = self.attempts.saturating_add(1);
        let change = self.change();
        let mut record = [0; M];
        if let Some(length) = change.record(&mut record) {
            out.broadcast(&record[..length]);
        }
        let me = usize::from(self.config.me);
        self.changes[me] = Some(change);
        self.arm_new_view_timer(now);
        self.try_begin(now, out);
    }

    /// What this replica claims now.
    fn change(&mut self) -> Change<W> {
        let mut change = Change {
            sender: self.config.me,
            epoch: self.epoch,
            view: self.view,
            stable: self.stable.sequence,
            installed: self.installed,
            checkpoints: [None; CHECKPOINTS],
            prepared: core::array::from_fn(|i| self.slots[i].prepared),
            endorsed: core::array::from_fn(|i| self.slots[i].endorsed),
            digest: [0; 32],
            signature: [0; 64],
        };
        if seeded::has(Bug::PreparedNotClaimed) {
            change.prepared = [None; W];
        }
        if seeded::has(Bug::EndorsedNotClaimed) {
            change.endorsed = [None; W];
        }
        self.list_states(&mut change.checkpoints);
        let mut body = [0; M];
        if let Some(length) = change.encode(&mut body) {
            change.digest = A::digest(&body[..length]);
            change.signature = self.keys.sign(&change.header(length).encode());
        }
        change
    }

    /// The stable state, held or vouched for, then the later ones, in order.
    fn list_states(&self, list: &mut [Option<StateId>; CHECKPOINTS]) {
        let mut last = None;
        for slot in list {
            let held = self.snapshots.iter().filter(|s| !s.bytes().is_empty()).map(|s| s.id);
            let all = held.chain([self.stable]).filter(|id| id.sequence >= self.stable.sequence);
            *slot = all.filter(|id| Some(id.sequence) > last).min_by_key(|id| id.sequence);
            last = slot.map(|id| id.sequence).or(Some(u64::MAX));
        }
    }

    pub(super) fn send_change(&self, to: ReplicaId, out: &mut impl Output) {
        let mut record = [0; M];
        let own = self.changes[usize::from(self.config.me)].as_ref().filter(|c| c.view == self.view);
        if let Some(length) = own.and_then(|c| c.record(&mut record)) {
            out.send(to, &record[..length]);
        }
    }

    /// Hands on how the installed view began.
    pub(super) fn send_beginning(&self, to: ReplicaId, out: &mut impl Output) {
        let Some(beginning) = &self.beginning else { return };
        let (body, length) = beginning.body();
        let mut record = [0; BODY + LIST_MAX];
        record[..HEADER].copy_from_slice(&beginning.header);
        record[HEADER..BODY].copy_from_slice(&beginning.signature);
        record[BODY..BODY + length].copy_from_slice(&body[..length]);
        out.send(to, &record[..BODY + length]);
        for change in beginning.changes.iter().flatten() {
            let mut record = [0; M];
            if let Some(length) = change.record(&mut record) {
                out.send(to, &record[..length]);
            }
        }
    }

    /// A view change, from its sender or handed on.
    pub(super) fn on_view_change(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let h = &m.header;
        let i = usize::from(h.sender);
        let newer = self.changes[i].as_ref().is_none_or(|c| c.view < h.view) && h.view > self.installed;
        let lacks =
            |p: &Beginning<W>| p.view == h.view && p.named[i] == Some(h.digest) && p.changes[i].is_none();
        let named = self.pending.iter().flatten().any(lacks);
        if !newer && !named || !self.signed(m, out) {
            return;
        }
        let Some(change) = Change::decode(m) else {
            return out.note(Note::BadViewChange { sender: h.sender, view: h.view });
        };
        for primary in 0..REPLICAS {
            if self.pending[primary].as_mut().is_some_and(|p| p.take(&change)) {
                self.try_install(primary, now, out);
            }
        }
        if !newer {
            return;
        }
        self.changes[i] = Some(change);
        self.join(now, out);
        self.arm_new_view_timer(now);
        self.try_begin(now, out);
    }

    /// f+1 want later views: one of them is correct, so this one is lost. The least of them is joined.
    fn join(&mut self, now: Ticks, out: &mut impl Output) {
        let later =
            self.changes.iter().flatten().filter(|c| c.sender != self.config.me && c.view > self.view);
        let need = if seeded::has(Bug::JoinsOne) { 1 } else { WEAK };
        if !seeded::has(Bug::NeverJoins)
            && later.clone().count() >= need
            && let Some(view) = later.map(|c| c.view).min()
        {
            self.start_view_change(view, now, out);
        }
    }

    /// Begins the view, if this replica is its primary and has what it takes.
    fn try_begin(&mut self, now: Ticks, out: &mut impl Output) {
        if self.normal || !self.is_primary() {
            return;
        }
        let changes: Changes<W> =
            core::array::from_fn(|i| self.changes[i].clone().filter(|c| c.view == self.view));
        let Some(selection) = select(&changes) else { return };
        let named = core::array::from_fn(|i| changes[i].as_ref().map(|c| c.digest));
        let mut beginning =
            Beginning { view: self.view, named, changes, header: [0; HEADER], signature: [0; 64] };
        let (body, length) = beginning.body();
        let mut header =
            self.header(Kind::NewView, self.view, selection.base.sequence, A::digest(&body[..length]));
        header.length = length as u32;
        beginning.header = header.encode();
        beginning.signature = self.keys.sign(&beginning.header);
        let mut record = [0; BODY + LIST_MAX];
        record[..HEADER].copy_from_slice(&beginning.header);
        record[HEADER..BODY].copy_from_slice(&beginning.signature);
        record[BODY..BODY + length].copy_from_slice(&body[..length]);
        out.broadcast(&record[..BODY + length]);
        self.install(beginning, &selection, now, out);
    }

    /// A new view, from its primary or handed on.
    pub(super) fn on_new_view(&mut self, m: &Message<'_>, now: Ticks, out: &mut impl Output) {
        let h = &m.header;
        // One place for each primary, the newest word counts: nobody can keep another's new view out for long.
        let Some(place) = self.pending.get(usize::from(h.sender)) else { return };
        let known = place.as_ref().is_some_and(|p| p.header == *m.bytes);
        let by_primary = h.sender == self.primary(h.view) || seeded::has(Bug::AnyoneBegins);
        let old = h.view < self.installed || h.view == 0 || self.begun.contains(&tag(m.bytes));
        let late = old && !seeded::has(Bug::OldNewViewAccepted);
        if late || known || !by_primary || !self.signed(m, out) {
            return;
        }
        let mut beginning = Beginning {
            view: h.view,
            named: [None; REPLICAS],
            changes: [const { None }; REPLICAS],
            header: *m.bytes,
            signature: *m.trailer,
        };
        let mut r = Reader(m.body);
        while let (Some(i), Some(digest)) = (r.u8(), r.array()) {
            if let Some(slot) = beginning.named.get_mut(usize::from(i)) {
                *slot = Some(digest);
            }
        }
        let need = if seeded::has(Bug::NewViewFromTooFew) { WEAK } else { QUORUM };
        if !r.0.is_empty() || beginning.named.iter().flatten().count() < need {
            return out.note(Note::BadNewView { primary: h.sender, view: h.view });
        }
        for change in self.changes.iter().flatten() {
            beginning.take(change);
        }
        let primary = usize::from(h.sender);
        self.pending[primary] = Some(beginning);
        self.try_install(primary, now, out);
    }

    /// Goes on with a new view once all its view changes are here.
    fn try_install(&mut self, primary: usize, now: Ticks, out: &mut impl Output) {
        let Some(beginning) = self.pending[primary].take_if(|p| p.is_complete()) else { return };
        if beginning.view < self.installed && !seeded::has(Bug::OldNewViewAccepted) {
            return;
        }
        let Some(selection) = select(&beginning.changes) else {
            let view = beginning.view;
            return out.note(Note::BadNewView { primary: self.primary(view), view });
        };
        if beginning.view == self.installed
            && self.beginning.is_some()
            && !seeded::has(Bug::OldNewViewAccepted)
        {
            // Its primary began the view in two ways. Both are valid, so both refute; without this, replicas that follow different ones hold claims that together
            // choose nothing.
            return self.absorb(&beginning, &selection);
        }
        if beginning.view >= self.view || seeded::has(Bug::OldNewViewAccepted) {
            self.install(beginning, &selection, now, out);
        } else {
            // It has left that view already; what it says of the past holds all the same.
            self.absorb(&beginning, &selection);
            self.beginning = Some(beginning);
        }
    }

    /// All beginnings of the installed view that are known here, as one word to compare: those of the others may be different ones.
    pub(super) fn begun(&self) -> Tag {
        self.begun.iter().fold([0; 15], |all, tag| core::array::from_fn(|i| all[i] ^ tag[i]))
    }

    /// What a valid beginning of a view says of earlier views' claims: not chosen there, never committed before.
    fn absorb(&mut self, beginning: &Beginning<W>, selection: &Selection<W>) {
        let view = beginning.view;
        if view > self.installed {
            self.begun.clear();
        }
        // More than the others follow is of no use: without room it is dropped.
        let _room = self.begun.push(beginning.tag());
        self.installed = self.installed.max(view);
        for n in self.stable.sequence + 1..=self.stable.sequence + W as u64 {
            let chosen = match selection.of(n) {
                Chosen::Below => continue,
                Chosen::Batch(digest) => Some(digest),
                Chosen::Null => Some(A::digest(&[])),
                Chosen::Open => None,
            };
            let slot = self.slot_mut(n);
            let keep_all = seeded::has(Bug::ClaimsNotRefuted);
            if slot.prepared.is_some_and(|p| p.view < view && Some(p.digest) != chosen) && !keep_all {
                slot.prepared = None;
            }
            if let Some(q) = slot.endorsed.filter(|q| q.view < view) {
                slot.endorsed = chosen.filter(|d| *d == q.digest).map(|digest| Vote { view, digest });
                if slot.endorsed.is_none() && !slot.committed {
                    slot.held = None;
                    slot.record.clear();
                }
            }
        }
    }

    /// Enters the view.
    fn install(
        &mut self,
        beginning: Beginning<W>,
        selection: &Selection<W>,
        now: Ticks,
        out: &mut impl Output,
    ) {
        let (view, base) = (beginning.view, selection.base);
        self.absorb(&beginning, selection);
        self.beginning = Some(beginning);
        self.view = view;
        self.normal = true;
        self.view_began = now;
        self.new_view_due = None;
        self.make_stable(base, out);
        self.proposed = selection.last.max(self.stable.sequence);
        let last = selection.last;
        out.note(Note::BeganView { view, base: base.sequence, last });
        if base.sequence > self.executed && base.digest != Self::NO_STATE {
            self.fetch(base, None, out);
        }
        self.application.begin_view();
        for n in self.stable.sequence + 1..=self.stable.sequence + W as u64 {
            self.repropose(n, view, selection.of(n));
        }
        for n in self.stable.sequence + 1..=last {
            self.try_endorse(n, now, out);
        }
    }

    /// What the new view says of `n` takes the place of what was proposed for it.
    fn repropose(&mut self, n: u64, view: u64, chosen: Chosen) {
        let mut header = self.header(Kind::PrePrepare, view, n, A::digest(&[]));
        header.sender = self.primary(view);
        let executed = self.executed;
        let slot = &mut self.slots[super::index::<W>(n)];
        let digest = match chosen {
            Chosen::Batch(digest) => digest,
            Chosen::Null => header.digest,
            Chosen::Open | Chosen::Below => {
                slot.proposal = None;
                slot.chosen = false;
                if n > executed && !slot.committed {
                    slot.held = None;
                    slot.record.clear();
                }
                return;
            }
        };
        slot.proposal = Some(Vote { view, digest });
        slot.chosen = true;
        if !slot.holds(&digest) {
            slot.committed = false;
            slot.held = None;
            slot.record.clear();
            if digest == header.digest {
                slot.record.finish(&header, &[0; 64]);
                slot.held = Some(Aligned(digest));
            }
        }
        if slot.held.is_some() && n > executed {
            self.application
                .proposed(crate::batch::Batch::trusted(self.slots[super::index::<W>(n)].record.body()));
        }
    }
}
