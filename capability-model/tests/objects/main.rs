//! Tests by object, one file each: what sel4test asserts of it, what this model adds, and where they differ on purpose. One program, so that
//! it is built once.

#[path = "../common/mod.rs"]
mod common;

mod cnode;
mod core;
mod derivation;
mod domain;
mod endpoint;
mod fast;
mod frame;
mod gate;
mod irq;
mod lease;
mod lent_core;
mod mapped;
mod messages;
mod notification;
mod reply;
mod space;
mod table;
mod untyped;
