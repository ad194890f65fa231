//! The processor: entry, exceptions, system registers, what is one per core, and how cores share a word.
#![allow(unsafe_code)] // This module and `memory` are where it lives; each block says why it is sound.

pub mod el1;
pub mod entry;
pub mod float;
pub mod log;
pub mod percpu;
pub mod registers;
pub mod sync;
