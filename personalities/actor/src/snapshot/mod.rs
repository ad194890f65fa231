//! Snapshots (`docs/snapshot.md`): each server writes and reads its own part of the abstract program; here is what they have in common.

pub mod read;
mod view;

use crate::machine::Machine;
use crate::turns::Serial;
use abi::digest::Digest;
use abi::snapshot::{DATA_MAX, RECORD_MAX, Record, Root};
use alloc::boxed::Box;
use alloc::collections::VecDeque;
pub use view::{View, charge};

/// Takes the records of a snapshot, one after the other.
pub type Out<'a> = dyn FnMut(&Record<'_>) + 'a;

/// Why a snapshot is not begun with: the number of the record that shows it, and what is wrong with it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wrong {
    /// Records before it.
    pub record: u64,
    /// What is wrong.
    pub what: &'static str,
}

/// What reading gives.
pub type Read<T = ()> = Result<T, Wrong>;

/// `what` is wrong with record number `record` unless `good`.
pub fn check(good: bool, record: u64, what: &'static str) -> Read {
    if good { Ok(()) } else { Err(Wrong { record, what }) }
}

/// Counters, sizes and moments stay below this, so that no sum of two of them overflows.
pub const NUMBERS: u64 = 1 << 60;

/// A snapshot that is being taken.
pub struct Taking {
    pub s: u64,
    pub calls: u64,
    pub effects: u64,
    /// Threads of the round whose own part is still to come.
    pub left: VecDeque<Serial>,
    root: Root,
    buffer: Box<[u8]>,
    /// What did not fit its record.
    spoilt: Option<&'static str>,
}

impl Taking {
    /// Of sync point `s`, with the counters as they are there.
    pub fn new(s: u64, calls: u64, effects: u64, left: VecDeque<Serial>) -> Taking {
        let buffer = alloc::vec![0; RECORD_MAX].into_boxed_slice();
        Taking { s, calls, effects, left, root: Root::default(), buffer, spoilt: None }
    }

    /// Writes a record.
    pub fn put<M: Machine>(&mut self, machine: &mut M, record: &Record<'_>) {
        if self.spoilt.is_some() {
            return;
        }
        match postcard::to_slice(record, &mut self.buffer) {
            Ok(bytes) => {
                self.root.push(bytes);
                machine.write_snapshot(bytes);
            }
            Err(_) => self.spoilt = Some(what_is(record)),
        }
    }

    /// What is too long for a record, so that there is no snapshot.
    pub fn spoilt(&self) -> Option<&'static str> {
        self.spoilt
    }

    /// Writes the last record; the root of all.
    pub fn end<M: Machine>(&mut self, machine: &mut M) -> Digest {
        self.put(machine, &Record::End(self.root.records()));
        self.root.digest()
    }
}

/// What a record speaks of. Those that are named have a text or a list that may be too long for one.
fn what_is(record: &Record<'_>) -> &'static str {
    match record {
        Record::Head(_) => "the head",
        Record::Terminal(_) => "the terminal",
        Record::Process(_) => "a process",
        Record::OpenFile(_) => "an open file",
        Record::Mapping(_) => "a mapping",
        _ => "a record of another kind",
    }
}

/// Data as records of at most DATA_MAX bytes.
pub fn pieces<'a>(bytes: &'a [u8], out: &mut Out<'_>, record: impl Fn(&'a [u8]) -> Record<'a>) {
    bytes.chunks(DATA_MAX).for_each(|piece| out(&record(piece)));
}

/// Without the zeros at the end.
pub fn trimmed(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    &bytes[..length]
}
