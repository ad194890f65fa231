//! Who lacks what, and gets it again (TOCS 2002, section 5.2: status messages instead of a timer for each message); timers.
//!
//! A status has no body; the 32 bytes of its digest are: low watermark u64, installed view u64, in its view u8, which beginnings of the installed view it
//! knows [u8; 15].

use super::change::{StateId, index};
use super::view::Tag;
use super::{Application, Output, Replica};
use crate::auth::Authenticator;
use crate::digest::Aligned;
use crate::seeded::{self, Bug};
use crate::wire::{Kind, Message};
use crate::{QUORUM, ReplicaId, Ticks};

/// So many numbers are helped with in answer to one status.
const HELP: u64 = 8;
/// So many statuses without progress, and a replica asks for a state that others vouch for.
const PATIENCE: u8 = 3;
/// The timeout doubles so often at most.
const DOUBLINGS: u32 = 10;

/// What a status says.
struct Status {
    from: ReplicaId,
    view: u64,
    normal: bool,
    installed: u64,
    executed: u64,
    stable: u64,
    begun: Tag,
}

impl Status {
    fn read(m: &Message<'_>) -> Self {
        let (h, digest) = (&m.header, &m.header.digest);
        let word =
            |at: usize| digest.get(at..).and_then(|d| d.first_chunk()).map_or(0, |b| u64::from_le_bytes(*b));
        let (from, view, executed) = (h.sender, h.view, h.sequence);
        let begun = core::array::from_fn(|i| digest[17 + i]);
        Status { from, view, executed, stable: word(0), installed: word(8), normal: digest[16] != 0, begun }
    }
}

impl<A: Authenticator, P: Application, const W: usize, const M: usize> Replica<A, P, W, M> {
    pub(super) fn send_status(&self, out: &mut impl Output) {
        let mut digest = [0; 32];
        digest[..8].copy_from_slice(&self.stable.sequence.to_le_bytes());
        digest[8..16].copy_from_slice(&self.installed.to_le_bytes());
        digest[16] = u8::from(self.normal);
        digest[17..].copy_from_slice(&self.begun());
        out.broadcast(&self.sealed(Kind::Status, self.view, self.executed, digest));
    }

    pub(super) fn on_status(&mut self, m: &Message<'_>, out: &mut impl Output) {
        if !self.authentic(m, out) {
            return;
        }
        let s = Status::read(m);
        let other = s.installed == self.installed && s.begun != self.begun();
        if s.installed < self.installed || other {
            self.send_beginning(s.from, out);
        }
        if !self.normal && (!s.normal || s.view <= self.view) {
            self.send_change(s.from, out);
        }
        self.help_to_states(&s, out);
        self.help_with_votes(&s, out);
    }

    fn help_to_states(&self, s: &Status, out: &mut impl Output) {
        let ids = self.snapshots.iter().filter(|k| !k.bytes().is_empty()).map(|k| k.id);
        let lacks = |id: &StateId| id.sequence > s.stable.min(s.executed) || self.ends_with(id.sequence);
        for id in ids.filter(lacks) {
            let own = &self.claims[usize::from(self.config.me)];
            if let Some(claim) = own.of(&id) {
                self.tell(id, claim.signature, out);
            }
        }
    }

    fn help_with_votes(&self, s: &Status, out: &mut impl Output) {
        let first = s.executed.max(self.stable.sequence).saturating_add(1);
        for n in (first..first.saturating_add(HELP)).filter(|n| self.in_window(*n)) {
            let slot = &self.slots[index::<W>(n)];
            let together = self.normal && s.normal && s.view == self.view;
            let useful = slot.proposal.is_some_and(|p| slot.holds(&p.digest)) || slot.committed;
            // Anyone helps with a batch that was prepared: its primary may be gone.
            if useful && (slot.prepared.is_some() || self.is_primary()) {
                out.send(s.from, slot.record.get());
            }
            if let Some(v) = slot.prepares.of(self.config.me).filter(|v| together && v.view == self.view) {
                out.send(s.from, &self.sealed(Kind::Prepare, v.view, n, v.digest));
            }
            if let Some(Aligned(digest)) = slot.held.filter(|_| slot.committed) {
                out.send(s.from, &self.sealed(Kind::Committed, 0, n, digest));
            }
            if let Some(v) = slot.prepared {
                out.send(s.from, &self.sealed(Kind::Commit, v.view, n, v.digest));
            }
        }
    }

    /// Everything that follows from the time and from what was handed in. Call it after messages and input, and at [`Replica::wake_at`].
    pub fn poll(&mut self, now: Ticks, out: &mut impl Output) {
        if now >= self.status_due {
            self.status_due = now.saturating_add(self.config.status_every);
            self.send_status(out);
            if let Some(target) = self.target {
                match self.vouched() {
                    // Others have gone on, and may have forgotten what was asked for.
                    Some(id) if target.epoch.is_none() && id.sequence > target.id.sequence => {
                        self.fetch(id, None, out)
                    }
                    _ => self.ask(out),
                }
            } else if !self.recovering && self.idle_statuses >= PATIENCE {
                // What was sent again did not help: what others vouch for is the way on.
                if let Some(id) = self.vouched() {
                    self.fetch(id, None, out);
                }
            }
            let idle = self.executed == self.executed_at_status;
            self.idle_statuses = if idle { self.idle_statuses.saturating_add(1) } else { 0 };
            self.executed_at_status = self.executed;
        }
        if self.recovering {
            return;
        }
        self.retry_checks(now, out);
        self.propose(now, out);
        if self.view_due().is_some_and(|due| now >= due) {
            self.start_view_change(self.view + 1, now, out);
        }
    }

    /// When this view is given up.
    fn view_due(&self) -> Option<Ticks> {
        let doublings = if seeded::has(Bug::TimeoutNotDoubled) { 0 } else { self.attempts.min(DOUBLINGS) };
        let patience = self.config.timeout << doublings;
        if !self.normal {
            return self.new_view_due;
        }
        if self.target.is_some() {
            return None;
        }
        let input = if seeded::has(Bug::OldInputIgnored) { None } else { self.application.oldest() };
        let open = (self.proposed > self.executed).then_some(self.progress_at);
        let since = input.into_iter().chain(open).min()?;
        Some(since.max(self.view_began).saturating_add(patience))
    }

    /// With 2f+1 view changes to this view or later, its primary gets so long to begin it.
    pub(super) fn arm_new_view_timer(&mut self, now: Ticks) {
        let there = self.changes.iter().flatten().filter(|c| c.view >= self.view).count();
        if !self.normal && self.new_view_due.is_none() && there >= QUORUM {
            let doublings =
                if seeded::has(Bug::TimeoutNotDoubled) { 0 } else { self.attempts.min(DOUBLINGS) };
            self.new_view_due = Some(now.saturating_add(self.config.timeout << doublings));
        }
    }

    /// When to call [`Replica::poll`] again though nothing has arrived.
    pub fn wake_at(&self) -> Ticks {
        let view = if self.recovering { None } else { self.view_due() };
        view.map_or(self.status_due, |due| due.min(self.status_due))
    }
}
