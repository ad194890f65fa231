//! Tests by area.

mod basic;
mod host;
mod random;
