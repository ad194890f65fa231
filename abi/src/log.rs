//! The agreed log: everything that reaches the abstract program from outside, in one order for all.
//!
//! An [`Entry`] stands in postcard's encoding (<https://postcard.jamesmunns.com/wire-format>). The first is
//! [`Entry::Boot`], which is also the entry of sync point 0; then exactly one [`Entry::Sync`] for each sync point 1, 2, 3, ..., in order,
//! with [`Entry::Skip`] and [`Entry::Go`] anywhere between them (they name a call, not a place in the log).
//!
//! Each replica writes what it holds to be the log into a channel of its own, `agreed-NAME`. A record there is the entry's number (0, 1, 2, ...;
//! `u64`, little-endian), then the entry. A kernel takes an entry when [`VOUCHERS`] rings hold the same bytes under the next number:
//! then one of their writers is correct. A replica that was restarted goes on at a later number.

use serde::{Deserialize, Serialize};

/// Version of the log's entries; part of [`Boot`].
pub const VERSION: u16 = 1;
/// Longest encoded entry, bytes.
pub const ENTRY_MAX: usize = 16 * 1024;
/// Replicas at most, 3f + 1.
pub const REPLICAS: usize = 4;
/// So many equal replica rings are believed: f + 1.
pub const VOUCHERS: usize = 2;
/// Bytes of the number before an entry in a replica's ring.
pub const NUMBER_SIZE: usize = 8;
/// Most bytes of encoded [`Event`]s in one sync entry.
pub const EVENTS_MAX: usize = 8 * 1024;

/// One entry of the agreed log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry<'a> {
    /// The beginning.
    #[serde(borrow)]
    Boot(Boot<'a>),
    /// What happens at a sync point.
    #[serde(borrow)]
    Sync(Sync<'a>),
    /// Call number `call` will not be made by the thread that holds the turn: the thread leaves the round, the turn ends.
    Skip {
        /// Number of the call (see `docs/turn-rule.md`).
        call: u64,
    },
    /// Call number `call` stays with the thread that holds the turn; promises made for it are void.
    Go {
        /// Number of the call.
        call: u64,
    },
}

/// What all kernels start from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot<'a> {
    /// [`VERSION`].
    pub version: u16,
    /// All chance of the abstract program comes from here ([`crate::layout`]).
    pub seed: [u8; 32],
    /// Wall clock, microseconds since 1970-01-01T00:00:00Z.
    pub time_us: u64,
    /// State digests are due at every sync point divisible by this; 0: never.
    pub digest_interval: u32,
    /// Rows of the terminal.
    pub rows: u16,
    /// Columns of the terminal.
    pub columns: u16,
    /// A [`Program`], encoded: what process 1 is.
    pub program: &'a [u8],
}

/// Process 1. Also the content of the bundle's module `program`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program<'a> {
    /// Path of the executable.
    pub path: &'a str,
    /// Arguments, each ended by a zero byte.
    pub argv: &'a [u8],
    /// Environment, each string ended by a zero byte.
    pub env: &'a [u8],
    /// Which calls it is offered ([`crate::tier`]).
    pub tier: u8,
}

/// The strings of [`Program::argv`] or [`Program::env`], without their zero bytes.
pub fn strings(list: &[u8]) -> impl Iterator<Item = &[u8]> + Clone {
    list.split_inclusive(|&b| b == 0).map(|s| s.strip_suffix(&[0]).unwrap_or(s))
}

/// The entry of one sync point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sync<'a> {
    /// Number of the sync point.
    pub s: u64,
    /// Wall clock, microseconds since 1970; the program's clock never runs backwards whatever stands here.
    pub time_us: u64,
    /// [`Event`]s, one encoded after the other.
    pub events: &'a [u8],
}

impl<'a> Sync<'a> {
    /// The events in order. Ends early, with an error as the last item, at bytes that are no event.
    pub fn events(&self) -> impl Iterator<Item = Result<Event<'a>, postcard::Error>> + use<'a> {
        let mut rest = self.events;
        core::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            match postcard::take_from_bytes(rest) {
                Ok((event, tail)) => {
                    rest = tail;
                    Some(Ok(event))
                }
                Err(e) => {
                    rest = &[];
                    Some(Err(e))
                }
            }
        })
    }
}

/// One thing that happens to the abstract program at a sync point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event<'a> {
    /// Bytes for the terminal's input queue, readable at once (typed while the terminal was not canonical).
    TtyData(&'a [u8]),
    /// A line typed while the terminal was canonical, with its terminator ('\n', VEOL); without one: ended by VEOF; empty: end of file.
    TtyLine(&'a [u8]),
    /// A signal character was typed: this signal goes to the foreground process group, the input queue is flushed (unless NOFLSH).
    TtySignal(u8),
    /// The terminal's size changed: SIGWINCH to the foreground process group.
    WindowSize {
        /// Rows.
        rows: u16,
        /// Columns.
        columns: u16,
    },
    /// A skipped thread enters the round again, at its end.
    Rejoin {
        /// Serial number of the thread.
        thread: u64,
        /// The call number at which it was skipped.
        call: u64,
    },
    /// A snapshot is taken at this sync point, when all that the entry says is done (`docs/snapshot.md`).
    Snapshot,
}
