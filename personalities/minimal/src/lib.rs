//! The least kernel that can vote: one process, one thread, no file but the terminal, the calls that a static program makes which computes and prints.
//!
//! It exists to show what a personality needs, and that nothing below changes for a new one (`docs/adding-a-personality.md`). What it does not have it
//! answers with ENOSYS, and says so on the operator's console; in a run with others it is therefore of tier 1. Everything that needs the machine goes through
//! [`Machine`], so that the kernel is tested on the host.
#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod calls;
mod digests;
mod image;
mod kernel;
mod log;
mod memory;
mod program;
mod space;
#[cfg(test)]
mod tests;

pub use kernel::{Ended, Kernel, Next};
pub use space::Space;

use abi::vote::Vote;
use core::fmt::Arguments;

/// The calls that this kernel offers (`abi::tier`).
pub const TIER: u8 = 1;

/// What a page allows a program, as ELF's PF_ flags.
pub mod rights {
    /// Execute.
    pub const X: u8 = 1;
    /// Write.
    pub const W: u8 = 2;
    /// Read.
    pub const R: u8 = 4;
}

/// A program's registers at a trap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter; of a call: behind its `svc`.
    pub pc: u64,
    /// SPSR: condition flags, level 0.
    pub state: u64,
    /// TPIDR_EL0.
    pub thread: u64,
}

/// v0 to v31, FPSR and FPCR.
pub type Float = ([u128; 32], u64, u64);

/// Why a program was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `svc`.
    Call,
    /// An access to memory.
    Page {
        /// Address.
        address: u64,
        /// [`rights`] it wanted.
        wanted: u8,
    },
    /// An instruction that there is not, a breakpoint, an unaligned access: the signal that says so.
    Fault(u8),
    /// An interrupt.
    Interrupt,
}

/// What the kernel needs of the machine.
pub trait Machine {
    /// A frame of zeros; `None`: there are no more.
    fn frame(&mut self) -> Option<u64>;
    /// Gives a frame back.
    fn free(&mut self, frame: u64);
    /// The bytes of a frame.
    fn bytes(&mut self, frame: u64) -> &mut [u8; 4096];
    /// The page at `address` is `frame` from now on, with these [`rights`]. False: there is no memory for tables.
    fn map(&mut self, address: u64, frame: u64, rights: u8) -> bool;
    /// Nothing is at `address` any more.
    fn unmap(&mut self, address: u64);
    /// Sets the FP/SIMD registers to zero, as at exec.
    fn clear_float(&mut self);
    /// The FP/SIMD registers.
    fn float(&mut self) -> Float;
    /// Posts a vote.
    fn post(&mut self, vote: &Vote<'_>);
    /// Tells the operator.
    fn say(&mut self, text: Arguments<'_>);
}
