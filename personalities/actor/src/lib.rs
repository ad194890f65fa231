//! The personality `actor`: a kernel made of servers that send each other messages. `post` says who talks to whom; `docs/personalities/actor.md`
//! tells the ideas. This library is pure: the board's part (`main.rs`, `arch/`) implements one trait, [`machine::Machine`], and so do the tests.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod bytes;
mod error;
mod files;
mod front;
pub mod kernel;
pub mod log;
pub mod machine;
mod memory;
pub mod page;
mod pipes;
mod post;
mod proc;
mod process;
mod snapshot;
mod terminal;
mod turns;
