//! The part of the line that all replicas agree on: it changes by agreed proposals alone, and is what a snapshot carries.

use super::proposal::{Proposal, Voters, both};
use super::{Recording, Rules};
use crate::REPLICAS;
use crate::auth::Identity;
use crate::replica::{Channel, Output, Rekey};
use crate::seeded::{self, Bug};
use crate::wire::{Reader, Writer};
use abi::log::{Boot, ENTRY_MAX, EVENTS_MAX, Entry, Event, NUMBER_SIZE, Sync, VERSION};

/// So many decided calls are remembered; below the oldest forgotten one nothing is decided any more.
const CALLS: usize = 128;

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

    /// The oldest that is forgotten raises the floor: what is decided stays decided.
    fn add(&mut self, call: u64) {
        if let Some(forgotten) = self.remember(call) {
            self.floor = self.floor.max(forgotten.saturating_add(1));
        }
    }

    /// Without a floor: numbers come in any order, and one that is forgotten may come again.
    fn remember(&mut self, call: u64) -> Option<u64> {
        let forgotten = self.list.is_full().then(|| self.list.remove(0));
        let _room = self.list.push(call);
        forgotten
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
pub(super) struct Agreed {
    /// Entries of the log so far: the number of the next.
    entries: u64,
    /// Number of the next Sync; 0: Boot is still to come.
    pub(super) next: u64,
    pub(super) time_us: u64,
    pub(super) voters: Voters,
    calls: Calls,
    /// Calls whose skipped threads have come back.
    rejoined: Calls,
    /// The last restart of each replica.
    restarted: [Option<[u8; 64]>; REPLICAS],
    /// The next Sync asks for a snapshot: a voter has left, or is to, and another kernel is to take its place.
    snapshot: bool,
    /// Encoded events for the next Sync.
    events: heapless::Vec<u8, EVENTS_MAX>,
}

impl Agreed {
    pub(super) fn new(voters: Voters) -> Self {
        Agreed {
            entries: 0,
            next: 0,
            time_us: 0,
            voters,
            calls: Calls::default(),
            rejoined: Calls::default(),
            restarted: [None; REPLICAS],
            snapshot: false,
            events: heapless::Vec::new(),
        }
    }

    /// Ordering it now changes nothing.
    pub(super) fn is_done(&self, what: &Proposal) -> bool {
        match what {
            Proposal::Boot { .. } => self.next > 0,
            Proposal::Sync { s, .. } => *s < self.next,
            Proposal::Skip { call } | Proposal::Go { call } => self.calls.has(*call),
            Proposal::Voters(v) => v.epoch <= self.voters.epoch,
            Proposal::Rejoin { call, .. } => self.rejoined.has(*call),
            Proposal::Member { replica, sign, exchange } => {
                self.restarted.get(usize::from(*replica)) == Some(&Some(both(sign, exchange)))
            }
        }
    }

    /// The next Sync can carry this event too.
    pub(super) fn has_room(&self, event: &[u8]) -> bool {
        self.events.capacity() - self.events.len() >= event.len()
    }

    /// Something waits for the next Sync to carry it.
    pub(super) fn has_events(&self) -> bool {
        self.snapshot || !self.events.is_empty()
    }

    /// It is said already what becomes of `call`.
    pub(super) fn is_decided(&self, call: u64) -> bool {
        self.calls.has(call)
    }

    /// The next Sync carries this event; without room it is dropped.
    pub(super) fn add_event(&mut self, event: &[u8]) {
        let _fits = self.events.extend_from_slice(event);
    }

    /// What `what` does now; nothing, when it comes too late or too early.
    pub(super) fn execute(
        &mut self,
        n: u64,
        what: Proposal,
        rules: &Rules<'_>,
        recording: Option<&mut Recording<'_>>,
        out: &mut impl Output,
    ) -> Option<Rekey> {
        match what {
            Proposal::Boot { seed, time_us } if self.next == 0 => {
                (self.next, self.time_us) = (1, time_us);
                self.boot(n, seed, rules, recording, out);
            }
            Proposal::Sync { s, time_us }
                if s > 0 && (s == self.next || seeded::has(Bug::SyncNumberUnchecked)) =>
            {
                self.sync(n, s, time_us, (rules, recording), out);
            }
            Proposal::Skip { call } if !self.calls.has(call) || seeded::has(Bug::CallDecidedTwice) => {
                self.decide(n, &Entry::Skip { call }, out);
            }
            Proposal::Go { call } if !self.calls.has(call) || seeded::has(Bug::CallDecidedTwice) => {
                self.decide(n, &Entry::Go { call }, out);
            }
            Proposal::Rejoin { thread, call } if !self.rejoined.has(call) => {
                let mut bytes = [0; 32];
                // Without room it is proposed again, after the next Sync.
                if let Ok(event) = postcard::to_slice(&Event::Rejoin { thread, call }, &mut bytes)
                    && self.has_room(event)
                {
                    self.rejoined.remember(call);
                    self.add_event(event);
                }
            }
            Proposal::Voters(v)
                if v.check_after(&self.voters).is_ok() || seeded::has(Bug::VotersUnchecked) =>
            {
                // Somebody has left, or the voters stay, and a kernel that is begun for one of them wants to know where.
                self.snapshot |= v.set & !self.voters.set == 0;
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

    fn boot(
        &mut self,
        n: u64,
        seed: [u8; 32],
        rules: &Rules<'_>,
        recording: Option<&mut Recording<'_>>,
        out: &mut impl Output,
    ) {
        let time_us = self.time_us;
        let (digest_interval, program) = (rules.digest_interval, rules.program);
        let now = Boot { version: VERSION, seed, time_us, digest_interval, rows: 24, columns: 80, program };
        let then = recording.as_ref().and_then(|r| r.boot());
        self.emit(n, out, &Entry::Boot(then.unwrap_or(now)));
        self.decide_as_recorded(n, 0, recording, out);
    }

    fn sync(
        &mut self,
        n: u64,
        s: u64,
        time_us: u64,
        (rules, mut recording): (&Rules<'_>, Option<&mut Recording<'_>>),
        out: &mut impl Output,
    ) {
        self.next = s.saturating_add(1);
        self.time_us = if seeded::has(Bug::TimeMayFall) { time_us } else { self.time_us.max(time_us) };
        self.decide_as_recorded(n, s, recording.as_deref_mut(), out);
        self.snapshot |= s.checked_rem(u64::from(rules.snapshot_interval)) == Some(0);
        if self.snapshot {
            self.ask_for_snapshot();
        }
        let events = core::mem::take(&mut self.events);
        let now = Sync { s, time_us: self.time_us, events: &events };
        let then = recording.and_then(Recording::sync);
        self.emit(n, out, &Entry::Sync(then.unwrap_or(now)));
    }

    /// Without room the Sync after this one asks.
    fn ask_for_snapshot(&mut self) {
        let mut bytes = [0; 8];
        if let Ok(event) = postcard::to_slice(&Event::Snapshot, &mut bytes)
            && self.has_room(event)
        {
            self.snapshot = false;
            self.add_event(event);
        }
    }

    /// All that the recording decided before Sync `s` + 3.
    fn decide_as_recorded(
        &mut self,
        n: u64,
        s: u64,
        recording: Option<&mut Recording<'_>>,
        out: &mut impl Output,
    ) {
        let Some(recording) = recording else { return };
        while let Some(decision) = recording.decision(s) {
            self.decide(n, &decision, out);
        }
    }

    /// Skip or Go.
    fn decide(&mut self, n: u64, decision: &Entry<'_>, out: &mut impl Output) {
        if let Entry::Skip { call } | Entry::Go { call } = decision {
            self.calls.add(*call);
        }
        self.emit(n, out, decision);
    }

    /// The next entry of the log, behind its number.
    fn emit(&mut self, n: u64, out: &mut impl Output, entry: &Entry<'_>) {
        let mut bytes = [0; ENTRY_MAX];
        let (number, rest) = bytes.split_at_mut(NUMBER_SIZE);
        number.copy_from_slice(&self.entries.to_le_bytes());
        self.entries = self.entries.saturating_add(1);
        if let Ok(length) = postcard::to_slice(entry, rest).map(|e| e.len()) {
            out.deliver(n, Channel::Log, bytes.get(..NUMBER_SIZE + length).unwrap_or(&[]));
        }
    }

    pub(super) fn write(&self, w: &mut Writer<'_>) -> Option<()> {
        w.u64(self.entries)?.u64(self.next)?.u64(self.time_us)?;
        w.u64(self.voters.epoch)?.u64(self.voters.set)?.u64(u64::from(self.voters.quorum))?;
        self.calls.write(w)?;
        self.rejoined.write(w)?;
        for identity in &self.restarted {
            w.bytes(&[u8::from(identity.is_some())])?.bytes(&identity.unwrap_or([0; 64]))?;
        }
        w.bytes(&[u8::from(self.snapshot)])?.bytes(&self.events)?;
        Some(())
    }

    pub(super) fn read(r: &mut Reader<'_>) -> Option<Self> {
        let (entries, next, time_us) = (r.u64()?, r.u64()?, r.u64()?);
        let voters = Voters { epoch: r.u64()?, set: r.u64()?, quorum: u32::try_from(r.u64()?).ok()? };
        let (calls, rejoined) = (Calls::read(r)?, Calls::read(r)?);
        let mut restarted = [None; REPLICAS];
        for identity in &mut restarted {
            *identity = if r.u8()? == 1 { Some(r.array()?) } else { r.bytes(64).map(|_| None)? };
        }
        let snapshot = r.u8()? == 1;
        let events = heapless::Vec::from_slice(r.0).ok()?;
        Some(Agreed { entries, next, time_us, voters, calls, rejoined, restarted, snapshot, events })
    }
}
