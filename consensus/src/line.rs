//! The agreed log's own rules: inputs and proposals in, entries of [`abi::log`] out.
//!
//! An item is a record of an input ring (an encoded [`Event`]), or a [`Proposal`] of the primary. What a backup accepts follows from what it
//! knows itself: each replica's shell watches the voters' rings and says with [`Line::permit`] what may be proposed now; time must be near its own
//! clock. What comes out follows from the agreed items alone: whatever a faulty primary gets through, there is one Boot, first; then each Sync once, in
//! order, with a time that never falls; one decision for each call; voters' epochs without a gap.

use crate::auth::Identity;
use crate::batch::{Batch, BatchWriter, Item};
use crate::inputs::Full;
use crate::intake::Intake;
use crate::replica::{Application, Channel, Check, Output, Rekey};
use crate::seeded::{self, Bug};
use crate::wire::{Reader, Writer};
use crate::{REPLICAS, ReplicaId, Ticks};
use abi::log::{Boot, ENTRY_MAX, EVENTS_MAX, Entry, Event, Sync, VERSION};
use serde::{Deserialize, Serialize};

/// Origin of proposals; below are inputs.
pub const PROPOSALS: u8 = 255;
/// Permissions that wait at a time.
const PERMITS: usize = 32;
/// So many decided calls are remembered; below the oldest forgotten one nothing is decided any more.
const CALLS: usize = 64;
/// Longest encoded proposal, bytes.
const PROPOSAL_MAX: usize = 96;

/// What the primary may propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Proposal {
    /// The beginning, with the run's seed.
    Boot {
        /// All chance comes from here.
        seed: [u8; 32],
        /// Wall clock, µs.
        time_us: u64,
    },
    /// The entry of sync point `s`.
    Sync {
        /// Sync point.
        s: u64,
        /// Wall clock, µs.
        time_us: u64,
    },
    /// See [`Entry::Skip`].
    Skip {
        /// The call.
        call: u64,
    },
    /// See [`Entry::Go`].
    Go {
        /// The call.
        call: u64,
    },
    /// See [`Event::Rejoin`].
    Rejoin {
        /// Serial number of the thread.
        thread: u64,
        /// The call at which it was skipped.
        call: u64,
    },
    /// The voters change.
    Voters(Voters),
    /// Replica `replica` was restarted with these public keys (Ed25519, X25519).
    Member {
        /// Which.
        replica: ReplicaId,
        /// Ed25519.
        sign: [u8; 32],
        /// X25519.
        exchange: [u8; 32],
    },
}

/// Who executes and votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voters {
    /// Counts the changes.
    pub epoch: u64,
    /// A bit a domain.
    pub set: u64,
    /// Equal votes that decide.
    pub quorum: u32,
}

impl Voters {
    /// Why this cannot follow `old`; an error says what is wrong.
    pub fn check_after(&self, old: &Voters) -> Result<(), &'static str> {
        let (n, k) = (self.set.count_ones(), self.quorum);
        if self.epoch != old.epoch + 1 {
            Err("the epochs of voters follow each other without a gap")
        } else if k == 0 || k > n {
            Err("the quorum is zero, or larger than the set")
        } else if n > 1 && 2 * k <= n {
            Err("two disjoint quorums are possible")
        } else if (self.set ^ old.set).count_ones() > 1 && old.epoch != 0 {
            Err("more than one voter joins or leaves at a time")
        } else {
            Ok(())
        }
    }
}

/// Parameters, alike on all replicas but for the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules<'a> {
    /// Wall clock at tick 0, µs.
    pub start_time_us: u64,
    /// A proposed time may be so far ahead of a backup's clock, µs.
    pub ahead_us: u64,
    /// And so far behind it: a proposal may have been on its way for long.
    pub behind_us: u64,
    /// See [`Boot::digest_interval`].
    pub digest_interval: u32,
    /// An encoded [`abi::log::Program`].
    pub program: &'a [u8],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Permit {
    what: Proposal,
    since: Ticks,
    proposed: bool,
}

/// Call numbers, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Calls {
    /// Numbers below are in it, or never will be.
    floor: u64,
    list: heapless::Vec<u64, CALLS>,
}

impl Calls {
    fn has(&self, call: u64) -> bool {
        call < self.floor || self.list.contains(&call)
    }

    fn add(&mut self, call: u64) {
        if self.list.is_full() {
            self.floor = self.floor.max(self.list.remove(0).saturating_add(1));
        }
        let _room = self.list.push(call);
    }

    fn write(&self, w: &mut Writer<'_>) -> Option<()> {
        w.u64(self.floor)?.u64(self.list.len() as u64)?;
        self.list.iter().try_for_each(|call| w.u64(*call).map(|_| ()))
    }

    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let mut calls = Calls { floor: r.u64()?, list: heapless::Vec::new() };
        for _ in 0..r.u64()? {
            calls.list.push(r.u64()?).ok()?;
        }
        Some(calls)
    }
}

/// The part that all replicas agree on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Agreed {
    /// Number of the next Sync; 0: Boot is still to come.
    next: u64,
    time_us: u64,
    voters: Voters,
    calls: Calls,
    /// Calls whose skipped threads have come back.
    rejoined: Calls,
    /// The last restart of each replica.
    restarted: [Option<[u8; 64]>; REPLICAS],
    /// Encoded events for the next Sync.
    events: heapless::Vec<u8, EVENTS_MAX>,
}

/// The line's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Line<'a, const ORIGINS: usize, const COUNT: usize, const BYTES: usize> {
    rules: Rules<'a>,
    intake: Intake<ORIGINS, COUNT, BYTES>,
    agreed: Agreed,
    permits: heapless::Vec<Permit, PERMITS>,
}

impl<'a, const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Line<'a, ORIGINS, COUNT, BYTES> {
    /// Nothing has happened yet.
    pub fn new(rules: Rules<'a>, voters: Voters) -> Self {
        let agreed = Agreed {
            next: 0,
            time_us: 0,
            voters,
            calls: Calls::default(),
            rejoined: Calls::default(),
            restarted: [None; REPLICAS],
            events: heapless::Vec::new(),
        };
        Line { rules, intake: Intake::default(), agreed, permits: heapless::Vec::new() }
    }

    /// Takes record `number` of input ring `origin`. What is no input event is dropped here, and refused in proposals.
    pub fn push(&mut self, origin: u8, number: u64, event: &[u8], now: Ticks) -> Result<(), Full> {
        self.intake.push(origin, number, event, now)
    }

    /// `what` may be proposed from now on, as far as this replica knows; its time does not matter. One that is not ordered in time changes the view.
    /// Permits beyond the bound are dropped; the caller says it again.
    pub fn permit(&mut self, what: Proposal, now: Ticks) {
        if !self.is_done(&what) && !self.permits.iter().any(|p| same(&p.what, &what)) {
            let _ = self.permits.push(Permit { what, since: now, proposed: false });
        }
    }

    /// Takes a permission back: it no longer is so.
    pub fn forbid(&mut self, what: &Proposal) {
        self.permits.retain(|p| !same(&p.what, what));
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

    fn clock(&self, now: Ticks) -> u64 {
        self.rules.start_time_us.saturating_add(now)
    }

    /// Ordering it now changes nothing.
    fn is_done(&self, what: &Proposal) -> bool {
        match what {
            Proposal::Boot { .. } => self.agreed.next > 0,
            Proposal::Sync { s, .. } => *s < self.agreed.next,
            Proposal::Skip { call } | Proposal::Go { call } => self.agreed.calls.has(*call),
            Proposal::Voters(v) => v.epoch <= self.agreed.voters.epoch,
            Proposal::Rejoin { call, .. } => self.agreed.rejoined.has(*call),
            Proposal::Member { replica, sign, exchange } => {
                self.agreed.restarted.get(usize::from(*replica)) == Some(&Some(both(sign, exchange)))
            }
        }
    }

    fn check_item(&self, now: Ticks, item: &Item<'_>) -> Check {
        if item.origin != PROPOSALS {
            return match self.intake.check(item) {
                Check::Valid if !is_input(item.payload) => Check::Invalid,
                check => check,
            };
        }
        let Ok((what, [])) = postcard::take_from_bytes::<Proposal>(item.payload) else {
            return Check::Invalid;
        };
        let known = self.permits.iter().any(|p| same(&p.what, &what)) || seeded::has(Bug::PermitIgnored);
        match what {
            _ if self.is_done(&what) => Check::Valid,
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
        let rekey = self.agreed.execute(n, what, &rules, out);
        // What came too early is proposed again.
        self.permits.iter_mut().filter(|p| same(&p.what, &what)).for_each(|p| p.proposed = false);
        self.drop_done();
        rekey
    }

    fn drop_done(&mut self) {
        let done: heapless::Vec<Proposal, PERMITS> =
            self.permits.iter().map(|p| p.what).filter(|w| self.is_done(w)).collect();
        self.permits.retain(|p| !done.contains(&p.what));
    }
}

impl Agreed {
    /// What `what` does now; nothing, when it comes too late or too early.
    fn execute(&mut self, n: u64, what: Proposal, rules: &Rules<'_>, out: &mut impl Output) -> Option<Rekey> {
        match what {
            Proposal::Boot { seed, time_us } if self.next == 0 => {
                (self.next, self.time_us) = (1, time_us);
                let (digest_interval, program) = (rules.digest_interval, rules.program);
                emit(
                    n,
                    out,
                    &Entry::Boot(Boot {
                        version: VERSION,
                        seed,
                        time_us,
                        digest_interval,
                        rows: 24,
                        columns: 80,
                        program,
                    }),
                );
            }
            Proposal::Sync { s, time_us }
                if s > 0 && (s == self.next || seeded::has(Bug::SyncNumberUnchecked)) =>
            {
                self.next = s.saturating_add(1);
                self.time_us =
                    if seeded::has(Bug::TimeMayFall) { time_us } else { self.time_us.max(time_us) };
                emit(n, out, &Entry::Sync(Sync { s, time_us: self.time_us, events: &self.events }));
                self.events.clear();
            }
            Proposal::Skip { call } | Proposal::Go { call }
                if !self.calls.has(call) || seeded::has(Bug::CallDecidedTwice) =>
            {
                self.calls.add(call);
                let skip = matches!(what, Proposal::Skip { .. });
                emit(n, out, &if skip { Entry::Skip { call } } else { Entry::Go { call } });
            }
            Proposal::Rejoin { thread, call } if !self.rejoined.has(call) => {
                self.rejoined.add(call);
                let mut bytes = [0; 32];
                if let Ok(event) = postcard::to_slice(&Event::Rejoin { thread, call }, &mut bytes) {
                    let _fits = self.events.extend_from_slice(event);
                }
            }
            Proposal::Voters(v)
                if v.check_after(&self.voters).is_ok() || seeded::has(Bug::VotersUnchecked) =>
            {
                self.voters = v;
                let mut bytes = [0; 32];
                if let Ok(record) = postcard::to_slice(&v, &mut bytes) {
                    out.deliver(n, Channel::Voters, record);
                }
            }
            Proposal::Member { replica, sign, exchange } if usize::from(replica) < REPLICAS => {
                let identity = both(&sign, &exchange);
                let last = self.restarted.get_mut(usize::from(replica))?;
                if last.replace(identity) == Some(identity) {
                    return None;
                }
                return Some(Rekey { replica, identity: Identity(identity) });
            }
            _ => {}
        }
        None
    }
}

fn both(sign: &[u8; 32], exchange: &[u8; 32]) -> [u8; 64] {
    let mut identity = [0; 64];
    identity[..32].copy_from_slice(sign);
    identity[32..].copy_from_slice(exchange);
    identity
}

fn emit(n: u64, out: &mut impl Output, entry: &Entry<'_>) {
    let mut bytes = [0; ENTRY_MAX];
    if let Ok(record) = postcard::to_slice(entry, &mut bytes) {
        out.deliver(n, Channel::Log, record);
    }
}

/// The same but for its time, which the primary chooses.
fn same(a: &Proposal, b: &Proposal) -> bool {
    match (a, b) {
        (Proposal::Boot { seed: a, .. }, Proposal::Boot { seed: b, .. }) => {
            a == b || seeded::has(Bug::SeedUnchecked)
        }
        (Proposal::Sync { s: a, .. }, Proposal::Sync { s: b, .. }) => a == b,
        _ => a == b,
    }
}

/// An event that a device may send: not a Rejoin, and nothing after it.
fn is_input(payload: &[u8]) -> bool {
    match postcard::take_from_bytes::<Event>(payload) {
        Ok((Event::Rejoin { .. }, _)) | Err(_) => false,
        Ok((_, rest)) => rest.is_empty(),
    }
}

impl<const ORIGINS: usize, const COUNT: usize, const BYTES: usize> Application
    for Line<'_, ORIGINS, COUNT, BYTES>
{
    fn propose(&mut self, now: Ticks, batch: &mut BatchWriter<'_>) {
        self.intake.propose(batch);
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
        batch
            .items()
            .map(|item| self.check_item(now, &item))
            .find(|c| *c != Check::Valid)
            .unwrap_or(Check::Valid)
    }

    fn execute(&mut self, n: u64, batch: Batch<'_>, out: &mut impl Output) -> Option<Rekey> {
        let mut rekey = None;
        for item in batch.items() {
            if item.origin == PROPOSALS {
                rekey = self.execute_proposal(n, item.payload, out).or(rekey);
                continue;
            }
            // Without room it stays where it is, on all replicas alike, and is proposed again after the next Sync.
            let room = self.agreed.events.capacity() - self.agreed.events.len() >= item.payload.len();
            if room && self.intake.execute(&item) {
                let _fits = self.agreed.events.extend_from_slice(item.payload);
            }
        }
        rekey
    }

    fn begin_view(&mut self) {
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
        let (mut w, a) = (Writer::new(out), &self.agreed);
        self.intake.snapshot(&mut w)?;
        w.u64(a.next)?.u64(a.time_us)?;
        w.u64(a.voters.epoch)?.u64(a.voters.set)?.u64(u64::from(a.voters.quorum))?;
        a.calls.write(&mut w)?;
        a.rejoined.write(&mut w)?;
        for identity in &a.restarted {
            w.bytes(&[u8::from(identity.is_some())])?.bytes(&identity.unwrap_or([0; 64]))?;
        }
        w.bytes(&a.events)?;
        Some(w.length())
    }

    fn restore(&mut self, state: &[u8]) -> bool {
        let mut r = Reader(state);
        let Some(done) = Intake::<ORIGINS, COUNT, BYTES>::read(&mut r) else { return false };
        let Some(agreed) = Agreed::read(&mut r) else { return false };
        self.intake.restore(done);
        self.agreed = agreed;
        self.drop_done();
        true
    }
}

impl Agreed {
    fn read(r: &mut Reader<'_>) -> Option<Self> {
        let (next, time_us) = (r.u64()?, r.u64()?);
        let voters = Voters { epoch: r.u64()?, set: r.u64()?, quorum: u32::try_from(r.u64()?).ok()? };
        let (calls, rejoined) = (Calls::read(r)?, Calls::read(r)?);
        let mut restarted = [None; REPLICAS];
        for identity in &mut restarted {
            *identity = if r.u8()? == 1 { Some(r.array()?) } else { r.bytes(64).map(|_| None)? };
        }
        let events = heapless::Vec::from_slice(r.0).ok()?;
        Some(Agreed { next, time_us, voters, calls, rejoined, restarted, events })
    }
}
