//! `classic`: a table-driven UNIX monolith, one of Tetrarch's personalities.
//!
//! This library is the kernel without its machine: `arch` (in the binary) implements [`machine::Machine`], everything here is safe and runs on
//! the host. A call's way: `kernel` (the loop) - `step` (signals, call, signals) - `calls` (the table) - `fs`, `space`, `exec`,
//! `death`; `turns` decides order, `sync` lets the outside in, `votes` speaks.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod calls;
mod death;
mod deliver;
mod digests;
pub mod elf;
pub mod errno;
mod exec;
mod faults;
pub mod fs;
pub mod kernel;
mod log;
pub mod machine;
mod monitor;
mod outermost;
mod process;
mod rows;
pub mod sigframe;
pub mod signal;
mod snapshot;
pub mod space;
pub mod stack;
mod step;
mod sync;
pub mod thread;
mod threads;
pub mod turns;
pub mod user;
mod votes;
