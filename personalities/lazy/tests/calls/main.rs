//! What calls answer: scripts of calls, each with the result that it must have.

mod answers;
mod bytes;
mod links;
mod mappings;
mod names;
mod orders;
mod pipes;
mod polls;
#[path = "../program/mod.rs"]
mod program;
mod slashes;
mod sticky;
