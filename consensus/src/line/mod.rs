//! The agreed log's own rules: inputs and proposals in, entries of [`abi::log`] out.
//!
//! An item is a record of an input ring (an encoded [`Event`]), or a [`Proposal`] of the primary. What a backup accepts follows from what it
//! knows itself: each replica's shell watches the voters' rings and says with [`Line::permit`] what may be proposed now; time must be near its own
//! clock. What comes out follows from the agreed items alone: whatever a faulty primary gets through, there is one Boot, first; then each Sync once, in
//! order, with a time that never falls; one decision for each call; voters' epochs without a gap.

mod agreed;
mod proposal;
mod recording;

pub use proposal::{Proposal, Voters};
pub use recording::Recording;

use crate::Ticks;
use crate::batch::{Batch, BatchWriter, Item, Run};
use crate::inputs::Full;
use crate::intake::Intake;
use crate::replica::{Application, Check, Output, Rekey};
use crate::seeded::{self, Bug};
use crate::wire::{Reader, Writer};
use abi::log::{EVENTS_MAX, Event};
use agreed::Agreed;
use proposal::same;

/// Origin of proposals; below are inputs.
pub const PROPOSALS: u8 = 255;
/// Permissions that wait at a time.
const PERMITS: usize = 32;
/// Longest encoded proposal, bytes.
const PROPOSAL_MAX: usize = 96;

/// Parameters, alike on all replicas but for the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules<'a> {
    /// Wall clock at tick 0, µs.
    pub start_time_us: u64,
    /// A proposed time may be so far ahead of a backup's clock, µs.
    pub ahead_us: u64,
    /// And so far behind it: a proposal may have been on its way for long.
    pub behind_us: u64,
    /// See [`abi::log::Boot::digest_interval`].
    pub digest_interval: u32,
    /// A snapshot is taken at every sync point divisible by this; 0: only where a voter leaves.
    pub snapshot_interval: u32,
    /// An encoded [`abi::log::Program`].
    pub program: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Permit {
    what: Proposal,
    since: Ticks,
    proposed: bool,
}

/// The line's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line<'a, const ORIGINS: usize, const COUNT: usize, const BYTES: usize> {
    rules: Rules<'a>,
    /// Entries come out of this instead of what is proposed.
    recording: Option<Recording<'a>>,
    intake: Intake<ORIGINS, COUNT, BYTES>,
    agreed: Agreed,
    permits: heapless::Vec<Permit, PERMITS>,
    /// Input was ordered for which the next Sync had no room: it waits for the one after.
    postponed: bool,
}

impl<'a, const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Line<'a, ORIGINS, COUNT, BYTES> {
    /// Nothing has happened yet.
    pub fn new(rules: Rules<'a>, voters: Voters) -> Self {
        Line {
            rules,
            recording: None,
            intake: Intake::default(),
            agreed: Agreed::new(voters),
            permits: heapless::Vec::new(),
            postponed: false,
        }
    }

    /// The same, but what comes out is `recording`, the same on all replicas: a Sync is issued when it is ordered, but as it was then.
    pub fn replaying(mut self, recording: Recording<'a>) -> Self {
        self.recording = Some(recording);
        self
    }

    /// Takes record `number` of input ring `origin`. One that is no input event, or is too long, is ordered like the others and has no effect: all
    /// replicas read the same, and numbers have no gaps.
    pub fn push(&mut self, origin: u8, number: u64, event: &[u8], now: Ticks) -> Result<(), Full> {
        let event = if is_input(event) { event } else { &[] };
        self.intake.push(origin, number, event, now)
    }

    /// `what` may be proposed from now on, as far as this replica knows; its time does not matter. One that is not ordered in time changes the view.
    /// Permits beyond the bound are dropped; the caller says it again.
    pub fn permit(&mut self, what: Proposal, now: Ticks) {
        if !self.agreed.is_done(&what) && !self.permits.iter().any(|p| same(&p.what, &what)) {
            let _ = self.permits.push(Permit { what, since: now, proposed: false });
        }
    }

    /// Takes a permission back: it no longer is so.
    pub fn forbid(&mut self, what: &Proposal) {
        self.permits.retain(|p| !same(&p.what, what));
    }

    /// Takes all permissions back.
    pub fn forbid_all(&mut self) {
        self.permits.clear();
    }

    /// Number of the next Sync entry; 0: Boot is still to come.
    pub fn next(&self) -> u64 {
        self.agreed.next
    }

    /// The voters of now.
    pub fn voters(&self) -> Voters {
        self.agreed.voters
    }

    /// Number of the last executed record of `origin`.
    pub fn done(&self, origin: u8) -> u64 {
        self.intake.done(origin)
    }

    /// Input waits, to be ordered or for the next Sync.
    pub fn has_input(&self) -> bool {
        self.intake.oldest().is_some() || self.agreed.has_events()
    }

    /// It is said already what becomes of `call`.
    pub fn is_decided(&self, call: u64) -> bool {
        self.agreed.is_decided(call)
    }

    /// Whether ordering `what` changes nothing any more.
    pub fn is_done(&self, what: &Proposal) -> bool {
        self.agreed.is_done(what)
    }

    fn clock(&self, now: Ticks) -> u64 {
        self.rules.start_time_us.saturating_add(now)
    }

    fn check_run(&self, now: Ticks, run: Run<'_>) -> Check {
        if run.origin != PROPOSALS {
            return self.intake.check(run);
        }
        let mut checks = run.items().map(|item| self.check_proposal(now, &item));
        checks.find(|c| *c != Check::Valid).unwrap_or(Check::Valid)
    }

    fn check_proposal(&self, now: Ticks, item: &Item<'_>) -> Check {
        let Ok((what, [])) = postcard::take_from_bytes::<Proposal>(item.payload) else {
            return Check::Invalid;
        };
        let known = self.permits.iter().any(|p| same(&p.what, &what)) || seeded::has(Bug::PermitIgnored);
        match what {
            _ if self.agreed.is_done(&what) => Check::Valid,
            _ if !known => Check::Later,
            Proposal::Boot { time_us, .. } | Proposal::Sync { time_us, .. } => self.check_time(now, time_us),
            Proposal::Voters(v) if v.epoch == self.agreed.voters.epoch + 1 => {
                if v.check_after(&self.agreed.voters).is_ok() { Check::Valid } else { Check::Invalid }
            }
            Proposal::Voters(_) => Check::Later,
            Proposal::Skip { .. }
            | Proposal::Go { .. }
            | Proposal::Rejoin { .. }
            | Proposal::Member { .. } => Check::Valid,
        }
    }

    /// A proposed time is near this replica's clock.
    fn check_time(&self, now: Ticks, time_us: u64) -> Check {
        let own = self.clock(now);
        if seeded::has(Bug::TimeUnchecked) {
            Check::Valid
        } else if time_us > own.saturating_add(self.rules.ahead_us) {
            Check::Later
        } else if time_us < own.saturating_sub(self.rules.behind_us) {
            Check::Invalid
        } else {
            Check::Valid
        }
    }

    fn execute_proposal(&mut self, n: u64, payload: &[u8], out: &mut impl Output) -> Option<Rekey> {
        let Ok((what, [])) = postcard::take_from_bytes::<Proposal>(payload) else { return None };
        let rules = self.rules;
        let rekey = self.agreed.execute(n, what, &rules, self.recording.as_mut(), out);
        if !self.agreed.has_events() && core::mem::take(&mut self.postponed) {
            // The Sync made room.
            self.intake.begin_view();
        }
        // What came too early is proposed again.
        self.permits.iter_mut().filter(|p| same(&p.what, &what)).for_each(|p| p.proposed = false);
        self.drop_done();
        rekey
    }

    fn drop_done(&mut self) {
        let done: heapless::Vec<Proposal, PERMITS> =
            self.permits.iter().map(|p| p.what).filter(|w| self.agreed.is_done(w)).collect();
        self.permits.retain(|p| !done.contains(&p.what));
    }
}

/// An event that a device may send: not a Rejoin, and nothing after it.
fn is_input(payload: &[u8]) -> bool {
    match postcard::take_from_bytes::<Event>(payload) {
        Ok((Event::Rejoin { .. } | Event::Snapshot, _)) | Err(_) => false,
        Ok((_, rest)) => rest.is_empty() && payload.len() <= EVENTS_MAX,
    }
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Application
    for Line<'_, ORIGINS, COUNT, BYTES>
{
    fn propose(&mut self, now: Ticks, batch: &mut BatchWriter<'_>) {
        if !self.postponed {
            self.intake.propose(batch);
        }
        let time = self.clock(now).max(self.agreed.time_us);
        let next_voters = self.agreed.voters.epoch + 1;
        let early = |p: &Permit| matches!(p.what, Proposal::Voters(v) if v.epoch != next_voters);
        for permit in self.permits.iter_mut().filter(|p| !p.proposed && !early(p)) {
            let what = match permit.what {
                Proposal::Boot { seed, .. } => Proposal::Boot { seed, time_us: time },
                Proposal::Sync { s, .. } => Proposal::Sync { s, time_us: time },
                other => other,
            };
            let mut bytes = [0; PROPOSAL_MAX];
            let Ok(payload) = postcard::to_slice(&what, &mut bytes) else { continue };
            if !batch.push(PROPOSALS, 0, (payload, &[])) {
                return;
            }
            permit.proposed = true;
        }
    }

    fn check(&self, now: Ticks, batch: Batch<'_>) -> Check {
        let mut checks = batch.runs().map(|run| self.check_run(now, run));
        checks.find(|c| *c != Check::Valid).unwrap_or(Check::Valid)
    }

    fn execute(&mut self, n: u64, batch: Batch<'_>, out: &mut impl Output) -> Option<Rekey> {
        let mut rekey = None;
        for item in batch.items() {
            if item.origin == PROPOSALS {
                rekey = self.execute_proposal(n, item.payload, out).or(rekey);
                continue;
            }
            // Without room it stays where it is, on all replicas alike, and is proposed again after the next Sync.
            let event = is_input(item.payload);
            if event && !self.agreed.has_room(item.payload) {
                self.postponed = true;
            } else if self.intake.execute(&item) && event {
                self.agreed.add_event(item.payload);
            }
        }
        rekey
    }

    fn begin_view(&mut self) {
        self.postponed = false;
        self.intake.begin_view();
        self.permits.iter_mut().for_each(|p| p.proposed = false);
    }

    fn proposed(&mut self, batch: Batch<'_>) {
        for item in batch.items() {
            if item.origin != PROPOSALS {
                self.intake.proposed(&item);
            } else if let Ok(what) = postcard::from_bytes::<Proposal>(item.payload) {
                self.permits.iter_mut().filter(|p| same(&p.what, &what)).for_each(|p| p.proposed = true);
            }
        }
    }

    fn oldest(&self) -> Option<Ticks> {
        self.intake.oldest().into_iter().chain(self.permits.iter().map(|p| p.since)).min()
    }

    fn snapshot(&self, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(out);
        self.intake.snapshot(&mut w)?;
        self.agreed.write(&mut w)?;
        Some(w.length())
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        let mut r = Reader(state);
        let Some(done) = Intake::<ORIGINS, COUNT, BYTES>::read(&mut r) else { return false };
        let Some(agreed) = Agreed::read(&mut r) else { return false };
        self.intake.restore(done);
        self.agreed = agreed;
        if let Some(recording) = &mut self.recording {
            recording.seek(self.agreed.next);
        }
        self.drop_done();
        true
    }
}
