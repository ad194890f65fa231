//! Tests by area.

mod basic;
