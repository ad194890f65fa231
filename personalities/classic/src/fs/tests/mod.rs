//! Tests by area.

mod basic;
mod host;
mod limits;
mod pipes;
mod random;
mod special;
mod terminal;
