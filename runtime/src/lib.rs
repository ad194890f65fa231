//! What every image below EL2 stands on: entry, calls, channels, the panic handler. Kernels and services use the same crate; the
//! features `kernel` and `service` choose the instruction that calls EL2 and the name of the main function:
//!
//! ```ignore
//! #[unsafe(no_mangle)]
//! extern "C" fn service_main(boot: &'static abi::bootinfo::BootInfo) -> ! { /* or kernel_main */ }
//! ```
//! and in the image's build script: `println!("cargo:rustc-link-arg-bins=-Timage.ld");`
//!
//! On the host only the types are there: calls answer `UnknownCall`.
#![cfg_attr(not(test), no_std)]

#[cfg(all(target_os = "none", target_feature = "neon"))]
core::arch::global_asm!(include_str!("bytes.s"));

pub mod agreed;
pub mod beginning;
pub mod calls;
pub mod capability;
pub mod channel;
#[cfg(target_os = "none")]
mod entry;
#[cfg(all(target_os = "none", feature = "log"))]
pub mod log;
mod partition;
pub mod root;
pub mod seal;
pub mod text;

pub use abi;
pub use agreed::AgreedLog;
pub use calls::{crash, inject, irq_ack, null, poll, power_off, signal, wait, yield_now};
pub use channel::Channel;
