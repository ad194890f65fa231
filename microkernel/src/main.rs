//! EL2: a small kernel that owns the hardware and gives each personality its cores and memory.
//!
//! One instance per core, nothing shared but what was fixed before the other cores started ([`plan`]) and a few atomic
//! words by which cores knock on each other's door ([`shared`]). What only the start needs is the loader's. `boot` reads from top to bottom; `core` is one core's
//! whole state; `calls` is the dispatcher. `unsafe` lives in `arch` and `memory` only.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
mod arch;
#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod calls;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod core_local;
#[cfg(target_os = "none")]
mod crash;
#[cfg(target_os = "none")]
mod domain;
#[cfg(target_os = "none")]
mod fast;
#[cfg(target_os = "none")]
mod gic;
#[cfg(target_os = "none")]
mod hole;
#[cfg(target_os = "none")]
mod interrupts;
#[cfg(target_os = "none")]
mod invoke;
#[cfg(target_os = "none")]
mod mail;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod plan;
#[cfg(target_os = "none")]
mod ready;
#[cfg(target_os = "none")]
mod restart;
#[cfg(target_os = "none")]
mod root;
#[cfg(target_os = "none")]
mod shared;
#[cfg(target_os = "none")]
mod stage1;
#[cfg(target_os = "none")]
mod stage2;
#[cfg(target_os = "none")]
mod tables;
#[cfg(target_os = "none")]
mod traps;
#[cfg(target_os = "none")]
mod waiting;

/// The host has no EL2; the stub lets `cargo test --workspace` build.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("microkernel is an image for EL2: build it for aarch64-unknown-none-softfloat");
}
