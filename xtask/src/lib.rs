//! What `make` calls: builds every image, the root file system and the bundle, runs them on QEMU, records and replays sessions.
//! System tests use the same library, so that they boot what a user boots.

pub mod build;
pub mod bundle;
pub mod cpio;
pub mod debug;
pub mod demo;
pub mod header;
pub mod image;
pub mod kernels;
pub mod linux;
pub mod logs;
pub mod look;
pub mod machine;
pub mod operator;
mod overlay;
pub mod own;
pub mod packages;
pub mod raspberry_pi;
pub mod root;
pub mod sdcard;
pub mod session;
pub mod snapshot;
pub mod state;
pub mod symbols;
pub mod terminal;
