//! Snapshots: the abstract program at a sync point as bytes that every kernel writes alike, and the way back. `docs/snapshot.md` is the
//! specification. `take` and `own` write; `begin` and the others
//! read, check and build up.

mod begin;
mod layer;
mod memory;
mod names;
mod open;
mod own;
mod processes;
pub mod read;
mod take;
mod waits;

use crate::hw::Hardware;
use abi::snapshot::{DATA_MAX, RECORD_MAX, Record, Root};
use alloc::boxed::Box;
use alloc::collections::VecDeque;

/// A record that no ring holds: there is no snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GivenUp;

/// A snapshot that is being taken.
pub struct Taking {
    /// Sync point.
    s: u64,
    /// Calls before it.
    call: u64,
    /// Effects before it.
    effects: u64,
    /// Threads of the round whose own parts are still to come, in order.
    left: VecDeque<u64>,
    root: Root,
    buffer: Box<[u8]>,
}

impl Taking {
    fn put<H: Hardware>(&mut self, hw: &H, record: &Record<'_>) -> Result<(), GivenUp> {
        let bytes = postcard::to_slice(record, &mut self.buffer).map_err(|_| GivenUp)?;
        self.root.push(bytes);
        hw.snapshot(bytes);
        Ok(())
    }

    /// Data in pieces of `DATA_MAX` bytes.
    fn pieces<H: Hardware>(
        &mut self,
        hw: &H,
        bytes: &[u8],
        record: impl Fn(&[u8]) -> Record<'_>,
    ) -> Result<(), GivenUp> {
        bytes.chunks(DATA_MAX).try_for_each(|piece| self.put(hw, &record(piece)))
    }
}

fn buffer() -> Box<[u8]> {
    alloc::vec![0; RECORD_MAX].into_boxed_slice()
}

/// Without the zeros at the end.
fn trimmed(bytes: &[u8]) -> &[u8] {
    let length = bytes.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    bytes.get(..length).unwrap_or(bytes)
}
