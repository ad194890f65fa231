//! The loader: what only the start needs at EL2. It reads the device tree, the bundle and the manifest in it, refuses in one line what
//! cannot start, fills the domains' memory, and leaves one plain structure ([`abi::handover`]) for the microkernel, which never sees the
//! rest.
//!
//! An image of its own, within EL2's: it lies and works in what will be the microkernel's zeroed data, so that nothing of it is left when
//! that begins, neither code nor secrets. `boot` reads from top to bottom. `unsafe` lives in `entry` and `memory` only.
#![cfg_attr(target_os = "none", no_std, no_main)]
#![deny(unsafe_code)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod console;
#[cfg(target_os = "none")]
mod entry;
#[cfg(target_os = "none")]
mod image;
#[cfg(target_os = "none")]
mod info;
#[cfg(target_os = "none")]
mod map;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod plan;
#[cfg(target_os = "none")]
mod regions;

/// The host has no EL2; the stub lets `cargo test --workspace` build.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("loader is an image for EL2: build it for aarch64-unknown-none-softfloat");
}
