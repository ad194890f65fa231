//! A kernel whose state is an append-only log: (state, event) gives (state, records).
//!
//! Everything that the abstract program can see is one value, [`state::State`]; what happens to it is an [`event`](turns) of the log, a call or a
//! fault; what comes of it is a list of [`records::Record`]s. Maps are persistent: to fork, to map a file and to try a change that may be refused is to
//! keep one more reference to a root. A blocked call is a value that says what it waits for and how far it got; the kernel has one stack.
//!
//! Pure: the board is behind [`machine::Machine`].
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
#[cfg(test)]
extern crate std;

/// The persistent map of which everything is made.
pub type Map<K, V> = rpds::RedBlackTreeMap<K, V>;

pub mod calls;
pub mod cpio;
pub mod digest;
pub mod elf;
pub mod errno;
pub mod exec;
pub mod faults;
pub mod fs;
mod interrupted;
pub mod kernel;
pub mod machine;
pub mod outermost;
pub mod page;
pub mod pipe;
pub mod process;
pub mod records;
pub mod regions;
pub mod shadow;
pub mod sigframe;
pub mod signals;
pub mod snapshot;
pub mod space;
pub mod state;
pub mod store;
pub mod tty;
pub mod turns;
