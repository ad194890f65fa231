//! The personality `lazy`: everything on demand. A kernel for arm64 Linux programs under the turn rule, written apart from the others from `abi/`
//! and `docs/` alone.
//!
//! This library is pure: no I/O, no `unsafe`, the machine behind [`hw::Hardware`]. `main.rs` and `arch/` put it on the board.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod calls;
pub mod digest;
pub mod elf;
pub mod end;
pub mod errno;
pub mod exec;
pub mod files;
pub mod fp;
pub mod frame;
pub mod hw;
pub mod kernel;
pub mod memory;
pub mod monitor;
pub mod open;
pub mod outermost;
pub mod pending;
pub mod pipe;
pub mod process;
pub mod radix;
pub mod sched;
pub mod signal;
pub mod slab;
pub mod snapshot;
pub mod stack;
pub mod step;
pub mod terminal;
pub mod threads;
pub mod turn;
pub mod user;
