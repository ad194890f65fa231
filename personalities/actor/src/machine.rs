//! What this kernel wants of the hardware: everything else is safe code that runs on the host as well.

pub use crate::memory::{Access, Rights, SpaceId};
use abi::monitor::Monitor;
use abi::vote::{Control, Vote};
use alloc::boxed::Box;

/// Floating-point registers.
#[repr(C, align(16))]
#[derive(Clone)]
pub struct Fp {
    /// v0 to v31.
    pub v: [u128; 32],
    /// FPCR.
    pub fpcr: u64,
    /// FPSR.
    pub fpsr: u64,
}

/// A thread's registers.
#[repr(C)]
#[derive(Clone)]
pub struct User {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// Condition flags, as in SPSR_EL1.
    pub pstate: u64,
    /// TPIDR_EL0.
    pub tls: u64,
    /// Floating point; in the processor while the thread was the last to run.
    pub fp: Box<Fp>,
}

impl User {
    /// As at exec.
    pub fn new(pc: u64, sp: u64) -> User {
        let fp = Box::new(Fp { v: [0; 32], fpcr: 0, fpsr: 0 });
        User { x: [0; 31], sp, pc, pstate: 0, tls: 0, fp }
    }
}

/// A fault that a program made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An address could not be used so.
    Page {
        /// The address.
        address: u64,
        /// How it was to be used.
        access: Access,
    },
    /// PC or SP is not aligned.
    Alignment {
        /// The address.
        address: u64,
    },
    /// No such instruction for programs.
    Instruction,
    /// BRK.
    Breakpoint,
}

/// Why a program stopped running.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trap {
    /// `svc`; pc stands behind it.
    Call,
    /// A fault; pc stands at the instruction.
    Fault(Fault),
    /// A timer or doorbell interrupt.
    Interrupt,
    /// One instruction was carried out, as asked.
    Step,
}

/// How far a program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Until something happens, at most so many microseconds.
    Free(u64),
    /// One instruction.
    Step,
}

/// The hardware, and what lies below this kernel.
pub trait Machine {
    /// Microseconds since some moment, for measuring how long a program has run.
    fn now_us(&self) -> u64;
    /// Runs a program's code.
    fn run(&mut self, user: &mut User, space: SpaceId, pace: Pace) -> Trap;
    /// Takes the floating-point registers out of the processor.
    fn save_fp(&mut self, fp: &mut Fp);
    /// Puts floating-point registers into the processor.
    fn load_fp(&mut self, fp: &Fp);
    /// Caches a translation: the page with address `page` at `at` in `space`.
    fn map(&mut self, space: SpaceId, at: u64, page: u64, rights: Rights);
    /// Forgets the translations of a range.
    fn forget(&mut self, space: SpaceId, start: u64, end: u64);
    /// Forgets a space.
    fn forget_space(&mut self, space: SpaceId);
    /// Posts a statement.
    fn post(&mut self, vote: &Vote<'_>);
    /// The next record of the log, copied into `buffer`; its length.
    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize>;
    /// An order of the operator's.
    fn control(&mut self) -> Option<Control>;
    /// Waits for a doorbell, or until `until_us` on the clock of [`Machine::now_us`].
    fn sleep(&mut self, until_us: Option<u64>);
    /// This kernel's domain.
    fn domain(&self) -> u32;
    /// The table for debuggers.
    fn monitor(&self) -> Option<Monitor<'static>>;
    /// Whether somebody may read snapshots of this kernel's.
    fn keeps_snapshots(&self) -> bool;
    /// Writes a record of a snapshot, encoded.
    fn write_snapshot(&mut self, record: &[u8]);
    /// Tells the readers of snapshots that there are records.
    fn ring_snapshot(&mut self);
    /// Bytes of heap that nobody has.
    fn heap_left(&self) -> usize;
    /// A line in the kernel's log.
    fn tell(&mut self, event: Event);
}

/// What the kernel's log tells of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A process has ended.
    Ended {
        /// Who.
        pid: u32,
        /// Wait status.
        status: i32,
    },
    /// A process executes a program.
    Executed {
        /// Who.
        pid: u32,
    },
    /// A call that this kernel does not have, the first time.
    Unknown {
        /// Its number.
        number: u64,
    },
    /// A thread was skipped.
    Skipped {
        /// Who.
        serial: u64,
        /// At which call.
        call: u64,
    },
    /// No page was left for a process, which is killed for it.
    NoPage {
        /// Who.
        pid: u32,
    },
    /// A snapshot is given up: something does not fit its record.
    NoSnapshot {
        /// The sync point.
        s: u64,
        /// What it is.
        what: &'static str,
    },
}
