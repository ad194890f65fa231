//! The board, as the kernel needs it: one trait. Behind it are vectors, timer, interrupt controller and rings.

use abi::vote::{Control, Vote};

/// What EL0 has in registers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct User {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// Flags as in SPSR.
    pub pstate: u64,
    /// TPIDR_EL0.
    pub tpidr: u64,
    /// FPSR.
    pub fpsr: u64,
    /// FPCR.
    pub fpcr: u64,
    reserved: u64,
    /// v0 to v31.
    pub v: [u128; 32],
}

impl User {
    /// All zero.
    pub const fn new() -> User {
        User { x: [0; 31], sp: 0, pc: 0, pstate: 0, tpidr: 0, fpsr: 0, fpcr: 0, reserved: 0, v: [0; 32] }
    }
}

impl Default for User {
    fn default() -> Self {
        User::new()
    }
}

/// Why EL0 stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// A synchronous exception: ESR_EL1 and FAR_EL1.
    Exception(u64, u64),
    /// Timer or doorbell.
    Interrupt,
}

/// The board.
pub trait Machine {
    /// Runs EL0 with the tables `base` (TTBR0_EL1) until it traps, at most `slice_us`; `step`: one instruction.
    fn enter(&mut self, user: &mut User, base: u64, slice_us: u64, step: bool) -> Trap;
    /// Forgets translations of a page (`Some`) or of all of address space `asid`.
    fn flush(&mut self, asid: u16, page: Option<u64>);
    /// Makes what was written to a page visible to instruction fetches.
    fn sync_code(&mut self, page: u32);
    /// Posts a vote.
    fn post(&mut self, vote: &Vote<'_>);
    /// Writes a record to this kernel's channel of snapshots; `false`: there is none.
    fn snapshot(&mut self, record: &[u8]) -> bool;
    /// The next entry of the agreed log, copied into `out`.
    fn entry(&mut self, out: &mut [u8]) -> Option<usize>;
    /// What the operator asks of kernels.
    fn control(&mut self) -> Option<Control>;
    /// Sleeps until a doorbell rings, at most `us`.
    fn sleep(&mut self, us: u64);
    /// Microseconds since some moment.
    fn now_us(&self) -> u64;
    /// A line for the operator.
    fn say(&mut self, text: core::fmt::Arguments<'_>);
    /// Tells the monitor (abi::monitor).
    fn monitor(&mut self) -> Option<abi::monitor::Monitor<'_>>;
    /// Index of this domain.
    fn domain(&self) -> u32;
}
