//! Rings between parties that do not trust each other; the bytes are laid down in [`abi::ring`].
//!
//! The idea: one party writes a region, others map it read-only. So a ring needs no lock and no trust: whatever the writer
//! does, a reader takes a copy, and only then looks at what it has. Each shared word is read once a step, its value
//! clamped before it is used, and no step takes longer than one record of [`abi::ring::RECORD_MAX`] bytes. The alternative, a queue
//! from a crate (heapless' spsc), was rejected because its reader believes its writer's indices.
//!
//! A region is `&[AtomicU64]` (or another [`Word`]), not bytes: every access to shared memory is then an atomic one, and there is no undefined
//! behaviour for a peer to cause. Nothing here needs `unsafe`; who maps the region does.
//!
//! | kind | writer | reader |
//! |---|---|---|
//! | broadcast | [`BroadcastWriter`], never waits | [`BroadcastReader`], any number; learns when it was lapped |
//! | stream | [`StreamWriter`], is told when there is no room | [`StreamReader`], one; publishes its position |
//!
//! Records are bytes; [`Send`] and [`Receive`] make values of them. All records lie in the ring, the smallest as the longest. A batch is several
//! records for one bell.
//!
//! Doorbells are not here: after a write, and after a [`StreamReader`] took something, the caller signals the channel.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

mod broadcast;
#[cfg(feature = "log")]
mod log;
mod region;
#[cfg(feature = "seeded-bugs")]
pub mod seeded;
#[cfg(not(feature = "seeded-bugs"))]
#[allow(dead_code, reason = "the faults are only named while none can be chosen")]
mod seeded;
mod stream;
mod typed;
mod word;

pub use broadcast::{BroadcastReader, BroadcastWriter};
#[cfg(feature = "log")]
pub use log::LogRecord;
pub use stream::{StreamReader, StreamWriter};
pub use typed::{Receive, ReceiveError, Send};
pub use word::Word;

/// Why a record could not be read. The writer is to blame, or the reader was too slow; never a reason to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadError {
    /// The writer went on beyond this reader's position (or began anew): records are lost. The reader stays where it is
    /// until it calls `skip_to_head`.
    Overrun,
    /// What stands there is not what a correct writer writes. The reader stays where it is until it calls `skip_to_head`.
    Fault,
    /// The record, of so many bytes, is longer than the caller's buffer; it was passed over.
    TooLong(usize),
    /// A new writer took over (the ring's epoch changed). Reported once; positions go on.
    NewEpoch,
}

/// Why a record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The payload is empty, longer than [`abi::ring::RECORD_MAX`], or does not fit in the ring at all.
    BadLength,
    /// A stream has no room now; the reader rings when it has taken something.
    Full,
    /// A stream's reader publishes a position that cannot be.
    PeerFault,
}
