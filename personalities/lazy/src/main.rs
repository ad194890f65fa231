//! The kernel on the board. On the host there is nothing to run.
#![cfg_attr(target_os = "none", no_std, no_main)]

extern crate alloc;

#[cfg(target_os = "none")]
mod arch;

#[cfg(test)]
#[path = "arch/copy.rs"]
mod copy;

#[cfg(not(target_os = "none"))]
fn main() {}
