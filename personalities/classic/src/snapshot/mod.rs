//! Snapshots (`docs/snapshot.md`): the abstract program at a sync point, written for any kernel and begun with from any kernel's.
//!
//! [`take`] writes what the kernel holds, [`own`] what processes change without a call, [`begin`] makes a kernel of what was written; the parts of files
//! and of address spaces stand in `fs::snapshot` and `space::snapshot`, beside the structures that they read and build.

mod begin;
mod own;
mod processes;
mod reader;
mod take;
#[cfg(test)]
mod tests;
mod waits;

pub(crate) use reader::{Reader, Wrong};

use crate::turns::Serial;
use abi::digest::Digest;
use abi::snapshot::{DATA_MAX, RECORD_MAX, Record, Root};
use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use ipc::BroadcastWriter;

/// Numbers in a snapshot are below this: what counts up from there never overflows.
pub(crate) const NUMBER_MAX: u64 = 1 << 60;

/// Where records go: the channel, and the digest of them all.
#[derive(Default)]
pub(crate) struct Writer {
    ring: Option<BroadcastWriter<'static>>,
    buffer: Vec<u8>,
    root: Root,
    /// Why a record could not be written: this snapshot is none.
    failed: Option<Wrong>,
    /// An entry asks for a snapshot at the sync point at hand.
    pub asked: bool,
    /// The one being written.
    current: Option<Current>,
}

/// A snapshot that is being written.
pub(crate) struct Current {
    /// Its sync point.
    pub s: u64,
    /// Calls made before it.
    pub call: u64,
    /// Effects posted before it.
    pub effects: u64,
    /// Threads of the round whose own part is still to come, in their order.
    pub left: VecDeque<Serial>,
}

impl Writer {
    /// Writes into the ring in `region`; without one nothing is written.
    pub fn new(region: Option<&'static [AtomicU64]>) -> Writer {
        let ring = region.and_then(BroadcastWriter::new);
        Writer { ring, buffer: vec![0; RECORD_MAX], ..Writer::default() }
    }

    /// Whether there is a channel.
    pub fn has_channel(&self) -> bool {
        self.ring.is_some()
    }

    /// Begins one; what was not finished is given up.
    pub fn begin(&mut self, current: Current) {
        self.root = Root::default();
        self.failed = None;
        self.current = Some(current);
    }

    /// What was not finished is given up.
    pub fn give_up(&mut self) {
        self.current = None;
    }

    /// The one being written.
    pub fn current(&mut self) -> Option<&mut Current> {
        self.current.as_mut()
    }

    /// Writes a record. One that is too long for any reader makes the snapshot none.
    pub fn put(&mut self, record: &Record<'_>) {
        if self.failed.is_some() {
            return;
        }
        let Ok(bytes) = postcard::to_slice(record, &mut self.buffer) else {
            self.failed = Some(too_long(record));
            return;
        };
        self.root.push(bytes);
        if self.ring.as_mut().is_some_and(|ring| ring.write(bytes).is_err()) {
            self.failed = Some("a record does not fit into the channel");
        }
    }

    /// Why there will be no snapshot, told once: it is given up.
    pub fn refused(&mut self) -> Option<Wrong> {
        let why = self.failed.take()?;
        self.give_up();
        Some(why)
    }

    /// Writes bytes in pieces as `piece` makes records of them.
    pub fn put_bytes<'a>(&mut self, bytes: &'a [u8], piece: impl Fn(&'a [u8]) -> Record<'a>) {
        for part in bytes.chunks(DATA_MAX) {
            self.put(&piece(part));
        }
    }

    /// The last record; what was written and its digest, if it is whole.
    pub fn end(&mut self) -> Option<(Current, Digest)> {
        let current = self.current.take()?;
        let records = self.root.records();
        self.put(&Record::End(records));
        self.failed.is_none().then(|| (current, self.root.digest()))
    }
}

/// What the operator is told of a record longer than [`RECORD_MAX`].
fn too_long(record: &Record<'_>) -> Wrong {
    match record {
        Record::Head(_) => "the log's first entry fits no record",
        Record::Terminal(_) => "the terminal's queue fits no record",
        Record::Process(_) => "a program's path fits no record",
        Record::OpenFile(_) => "an open file's path fits no record",
        Record::Mapping(_) => "a mapping's path fits no record",
        _ => "a record is too long",
    }
}

/// Bytes without the zeros at the end.
pub(crate) fn trimmed(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|&b| b != 0).map_or(0, |last| last + 1);
    bytes.get(..end).unwrap_or_default()
}
