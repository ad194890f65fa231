//! Snapshots (`docs/snapshot.md`): what of the state is written, and a state made of what was.

pub mod begin;
pub mod memory;
pub mod own;
pub mod parse;
pub mod take;
pub mod waits;

use abi::snapshot::Record;

/// Takes the records of a snapshot, in their order.
pub type Sink<'a> = dyn FnMut(&Record<'_>) + 'a;
