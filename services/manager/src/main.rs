//! The service on the board: the core's shell. On the host there is nothing to run.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod shell_main;
#[cfg(target_os = "none")]
mod usurper;

#[cfg(not(target_os = "none"))]
fn main() {}
