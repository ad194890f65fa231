//! The capability model of Tetrarch: the code that the microkernel runs, and that the host explores.
//!
//! Pure: no heap, no `unsafe`, no I/O; memory is reached through [`memory::Memory`]. The way of an invocation is [`Store::invoke`]:
//! decode and check by shared reference, then perform what cannot fail. `docs/capabilities.md` is the ten-minute picture.
//!
//! | For | See |
//! |---|---|
//! | what a slot holds | [`cap`] |
//! | who descends from whom | [`derivation`] |
//! | taking apart in steps | `delete` |
//! | lending to other cores | [`lease`] |
//! | acting on other cores | [`mailbox`] |
//! | acting only with a quorum | [`gate`] |
//! | what must always hold | `invariants` (feature `check`) |
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[cfg(feature = "check")]
extern crate std;

pub mod cap;
mod cnode;
mod delete;
pub mod derivation;
pub mod domain;
mod endpoint;
pub mod error;
pub mod fast;
pub mod faults;
pub mod gate;
#[cfg(feature = "check")]
pub mod invariants;
pub mod invoke;
pub mod layout;
pub mod lease;
mod lookup;
pub mod mailbox;
pub mod memory;
mod notification;
mod plan;
mod queue;
pub mod rights;
pub mod space;
pub mod store;
pub mod time;
pub mod untyped;
#[cfg(feature = "check")]
pub mod view;
mod words;

pub use cap::Cap;
pub use cnode::GUARD_BITS_SHIFT;
pub use error::{Error, ErrorKind, Outcome, Status};
pub use invoke::Label;
pub use lookup::Resolved;
pub use memory::{Memory, Slot};
pub use rights::Rights;
pub use store::Store;
