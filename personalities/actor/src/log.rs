//! The log client: takes records of the agreed log and keeps them until the kernel comes to them. The one place that knows where entries come from.

use abi::log::{Boot, Entry, VERSION};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Entries kept ahead; more is taken for a broken log.
const AHEAD_MAX: usize = 4096;

/// An entry of a sync point.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Sync {
    pub s: u64,
    pub time_us: u64,
    /// Encoded events.
    pub events: Vec<u8>,
}

/// What became of a promise.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Decision {
    Skip,
    Go,
}

/// Why a record is no part of a log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Broken {
    /// It is no entry, or not of this version.
    NotAnEntry,
    /// Its number is not the next.
    OutOfOrder,
    /// More wait than any correct log has.
    TooFarAhead,
}

/// Entries that wait.
#[derive(Default)]
pub(crate) struct Log {
    syncs: VecDeque<Sync>,
    last: u64,
    decisions: BTreeMap<u64, Decision>,
    /// Of a kernel that began with a snapshot: its sync point, and the calls made before it.
    passed: Option<(u64, u64)>,
}

/// The first record.
pub fn boot(record: &[u8]) -> Result<Boot<'_>, Broken> {
    match postcard::from_bytes(record) {
        Ok(Entry::Boot(boot)) if boot.version == VERSION => Ok(boot),
        _ => Err(Broken::NotAnEntry),
    }
}

impl Log {
    /// What stands before sync point `s`, and about calls below `calls`, is passed over.
    pub fn behind(s: u64, calls: u64) -> Log {
        Log { passed: Some((s, calls)), ..Log::default() }
    }

    /// Whether to read on: a kernel that begins late finds the whole log at once, and takes it in pieces.
    pub fn has_room(&self) -> bool {
        self.syncs.len() < AHEAD_MAX / 2
    }

    /// Takes a record.
    pub fn add(&mut self, record: &[u8]) -> Result<(), Broken> {
        let (passed, calls) = self.passed.unwrap_or((0, 0));
        match postcard::from_bytes(record).map_err(|_| Broken::NotAnEntry)? {
            Entry::Boot(_) if self.passed.is_some() && self.last == 0 => {}
            Entry::Boot(_) => return Err(Broken::OutOfOrder),
            Entry::Sync(sync) => {
                // What is passed over may be read from anywhere on.
                let is_passed = self.last < sync.s && sync.s <= passed;
                if sync.s != self.last + 1 && !is_passed {
                    return Err(Broken::OutOfOrder);
                }
                self.last = sync.s;
                if sync.s <= passed {
                    return Ok(());
                }
                self.syncs.push_back(Sync { s: sync.s, time_us: sync.time_us, events: sync.events.to_vec() });
            }
            Entry::Skip { call } | Entry::Go { call } if call < calls => {}
            Entry::Skip { call } => drop(self.decisions.insert(call, Decision::Skip)),
            Entry::Go { call } => drop(self.decisions.insert(call, Decision::Go)),
        }
        if self.syncs.len() + self.decisions.len() > AHEAD_MAX { Err(Broken::TooFarAhead) } else { Ok(()) }
    }

    /// The entry of sync point `s`, if it is here.
    pub fn take(&mut self, s: u64) -> Option<Sync> {
        if self.syncs.front()?.s == s { self.syncs.pop_front() } else { None }
    }

    /// Whether the entry after the one after sync point `s` is here. It is agreed once the voters have passed `s`: they have made the calls before it, and
    /// what was decided about those stands before it in the log. Nothing more will come.
    pub fn knows_beyond(&self, s: u64) -> bool {
        self.last >= s + 2
    }

    /// What is decided about call number `call`; about those before it nobody asks again.
    pub fn decision(&mut self, call: u64) -> Option<Decision> {
        while let Some(first) = self.decisions.first_entry().filter(|f| *f.key() < call) {
            first.remove();
        }
        self.decisions.get(&call).copied()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn record(entry: &Entry<'_>) -> Vec<u8> {
        let mut buffer = [0; 256];
        postcard::to_slice(entry, &mut buffer).unwrap().to_vec()
    }

    #[test]
    fn entries_come_in_order_and_decisions_by_number() {
        let mut log = Log::default();
        let sync = |s| record(&Entry::Sync(abi::log::Sync { s, time_us: 7, events: b"" }));
        assert_eq!(log.add(&sync(1)), Ok(()));
        assert_eq!(log.add(&sync(3)), Err(Broken::OutOfOrder));
        assert_eq!(log.add(&record(&Entry::Skip { call: 9 })), Ok(()));
        assert_eq!(log.add(&[200, 1, 2]), Err(Broken::NotAnEntry));
        assert!(log.take(2).is_none());
        assert_eq!(log.take(1).map(|e| e.s), Some(1));
        let mut behind = Log::behind(1, 10);
        assert_eq!((behind.add(&sync(1)), behind.add(&record(&Entry::Go { call: 9 }))), (Ok(()), Ok(())));
        assert_eq!((behind.take(1), behind.decision(9)), (None, None));
        assert_eq!((behind.add(&sync(2)), behind.take(2).map(|e| e.s)), (Ok(()), Some(2)));
        // The rings may hold the log from the snapshot's entry on only, and not less.
        let from = |s: u64| Log::behind(5, 10).add(&sync(s));
        assert_eq!((from(5), from(6), from(7)), (Ok(()), Err(Broken::OutOfOrder), Err(Broken::OutOfOrder)));
        assert_eq!((log.decision(8), log.decision(9), log.decision(10)), (None, Some(Decision::Skip), None));
    }
}
