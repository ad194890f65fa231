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
    /// A record did not fit.
    spoilt: bool,
}

impl Taking {
    /// Of sync point `s`, with the counters as they are there.
    pub fn new(s: u64, calls: u64, effects: u64, left: VecDeque<Serial>) -> Taking {
        let buffer = alloc::vec![0; RECORD_MAX].into_boxed_slice();
        Taking { s, calls, effects, left, root: Root::default(), buffer, spoilt: false }
    }

    /// Writes a record.
    pub fn put<M: Machine>(&mut self, machine: &mut M, record: &Record<'_>) {
        match postcard::to_slice(record, &mut self.buffer) {
            Ok(bytes) if !self.spoilt => {
                self.root.push(bytes);
                machine.write_snapshot(bytes);
            }
            _ => self.spoilt = true,
        }
    }

    /// Writes the last record; the root of all. `None`: a record was too long, and there is no snapshot.
    pub fn end<M: Machine>(&mut self, machine: &mut M) -> Option<Digest> {
        self.put(machine, &Record::End(self.root.records()));
        (!self.spoilt).then(|| self.root.digest())
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
