//! The contracts between Tetrarch's levels: what crosses a boundary, and in which bytes. No policy, no I/O, no `unsafe`.
//!
//! Everything a person needs to write a kernel for Tetrarch is here and in `docs/` (`linux-abi.md` for the program's
//! view, `turn-rule.md` for the order of effects, `interfaces.md` for what lies below a kernel).
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod bootinfo;
pub mod bundle;
pub mod capability;
pub mod digest;
pub mod handover;
pub mod hypercall;
pub mod layout;
pub mod linux;
pub mod log;
pub mod manifest;
pub mod monitor;
pub mod ring;
pub mod snapshot;
pub mod tier;
pub mod turn;
pub mod vote;
