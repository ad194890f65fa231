//! Tests by area.

mod basic;
mod copy;
mod grid;
mod host;
mod limits;
mod long;
mod names;
mod order;
mod pipes;
mod random;
mod special;
mod sticky;
mod terminal;
