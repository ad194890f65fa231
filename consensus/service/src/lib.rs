//! One replica of the agreed log, in a flat domain on the core of a personality.
//!
//! `consensus` agrees; here stands what it agrees *on*: what each replica knows of the voters and of the gate, and so what it lets be ordered now.
//! Four replicas know the same sooner or later, and what one of them says alone has no effect. The parts without I/O:
//!
//! | module | what |
//! |---|---|
//! | [`clerk`] | what is due: the next Sync, a Skip or Go, a Rejoin, other voters |
//! | [`hello`], [`start`] | how replicas learn each other's keys, and who begins |
//! | [`snapshots`] | which snapshots are believed |
//! | [`places`] | where each kernel was lost, and its successor begins if it is to execute that again |
//! | [`liar`] | equivocation on demand, for tests |
//! | [`restarts`] | who may begin anew: what this replica endorses at the gates |
//!
//! `shell_main.rs` has the rings.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod clerk;
mod due;
pub mod hello;
mod hung;
pub mod liar;
pub mod places;
mod points;
mod rejoin;
pub mod restarts;
pub mod snapshots;
pub mod spare;
pub mod start;
mod stuck;
mod voter;

use abi::vote::{INPUT_BYTES_MAX, INPUTS_MAX};
use consensus::line::Line;

/// The line as it is on a board: one origin of input, the console.
pub type Board<'a> = Line<'a, 1, INPUTS_MAX, INPUT_BYTES_MAX>;
