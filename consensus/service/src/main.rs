//! The service on the board: the core's shell. On the host there is nothing to run.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod outlets;
#[cfg(target_os = "none")]
mod peers;
#[cfg(target_os = "none")]
mod readers;
#[cfg(target_os = "none")]
mod shell_main;

#[cfg(not(target_os = "none"))]
fn main() {}
