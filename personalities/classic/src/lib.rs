//! `classic`: a table-driven UNIX monolith, one of Tetrarch's personalities.
#![cfg_attr(not(test), no_std)]

extern crate alloc;

pub mod errno;
pub mod fs;
pub mod user;
