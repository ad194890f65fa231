//! The image of the personality `classic`: its machine ([`arch`]) under the kernel of the library.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
extern crate alloc;

#[cfg(target_os = "none")]
mod arch;

/// The host only checks that it compiles.
#[cfg(not(target_os = "none"))]
fn main() {}
