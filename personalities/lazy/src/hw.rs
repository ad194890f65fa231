//! What this kernel needs of its machine, as a trait: the board implements it in `arch/`, the host tests over vectors.

use abi::monitor::Monitor;
use core::fmt::Arguments;

/// Bytes of a page.
pub const PAGE: usize = 4096;

/// A page of physical memory, by its number (intermediate physical address / 4096).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Frame(pub u32);

impl Frame {
    /// Its address.
    pub fn address(self) -> u64 {
        u64::from(self.0) * PAGE as u64
    }

    /// The frame at `address`.
    pub fn at(address: u64) -> Frame {
        Frame((address / PAGE as u64) as u32)
    }
}

/// A program's general registers. `arch/vectors.s` knows this layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// SPSR_EL1.
    pub pstate: u64,
    /// TPIDR_EL0.
    pub tls: u64,
}

/// A program's FP and SIMD registers. `arch/vectors.s` knows this layout.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct FpState {
    /// q0 to q31.
    pub v: [u128; 32],
    /// FPSR.
    pub fpsr: u64,
    /// FPCR.
    pub fpcr: u64,
}

/// Why user code stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    /// `svc`.
    Call,
    /// The timer, or a doorbell.
    Interrupt,
    /// The one instruction of a step is done.
    Step,
    /// An access that the page tables do not allow (yet).
    Access {
        /// The address.
        address: u64,
        /// What was tried.
        access: Access,
    },
    /// Anything else: it becomes a signal.
    Exception(Exception),
}

/// A kind of access to memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Instruction fetch.
    Execute,
}

/// An exception that is no access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exception {
    /// An instruction that EL0 may not execute.
    Illegal,
    /// `brk`.
    Breakpoint,
    /// A misaligned access, stack or program counter at this address.
    Alignment(u64),
}

/// Decodes ESR_EL1 and FAR_EL1 of an exception from EL0 (Arm ARM, D17.2.37).
pub fn decode(esr: u64, far: u64, pc: u64) -> Trap {
    let status = esr & 0x3f;
    let alignment = status == 0b10_0001;
    match esr >> 26 & 0x3f {
        0x15 => Trap::Call,
        0x20 => Trap::Access { address: far, access: Access::Execute },
        0x24 if alignment => Trap::Exception(Exception::Alignment(far)),
        0x24 => {
            // A cache operation counts as a write here, but needs read rights only.
            let write = esr >> 6 & 1 == 1 && esr >> 8 & 1 == 0;
            Trap::Access { address: far, access: if write { Access::Write } else { Access::Read } }
        }
        0x22 => Trap::Exception(Exception::Alignment(pc)),
        0x26 => Trap::Exception(Exception::Alignment(far)),
        0x32 => Trap::Step,
        0x3c => Trap::Exception(Exception::Breakpoint),
        _ => Trap::Exception(Exception::Illegal),
    }
}

/// Something that a person who follows a session wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A process began: its pid, its parent's serial.
    Forked(u32, u64),
    /// It runs another program.
    Executes(u32, &'a [u8]),
    /// It ended, with a status as wait4 gives it.
    Ended(u32, i32),
    /// A handler of it begins for a signal.
    Handles(u32, u32),
    /// A signal stops it.
    Stops(u32, u32),
    /// A thread holds the turn and makes no call: the call number.
    Stuck(u64, u64),
    /// A thread leaves the round.
    Skipped(u64, u64),
    /// An outside thread wants to come back.
    WantsBack(u64),
    /// It comes back.
    Rejoins(u64),
    /// A sync point was passed, before this call.
    Passed(u64, u64),
}

/// The machine.
pub trait Hardware {
    /// Frames that are this kernel's to give out, and from which of them on the memory is still zero as it was at boot.
    fn pool(&self) -> core::ops::Range<u32>;
    /// The bytes of a frame.
    fn page(&self, frame: Frame) -> &[u8; PAGE];
    /// The bytes of a frame of the pool, to change.
    fn page_mut(&mut self, frame: Frame) -> &mut [u8; PAGE];
    /// Entry `index` of the page table in `frame`.
    fn entry(&self, frame: Frame, index: usize) -> u64;
    /// Sets it; what translation needs of barriers comes before `run`.
    fn set_entry(&mut self, frame: Frame, index: usize, value: u64);
    /// New bytes in `frame` are about to be executed.
    fn make_executable(&mut self, frame: Frame);
    /// Forgets translations of one page.
    fn invalidate_page(&mut self, asid: u16, address: u64);
    /// Forgets all translations of a space.
    fn invalidate_space(&mut self, asid: u16);
    /// The root image.
    fn image(&self) -> &'static [u8];
    /// The frame in which the root image begins.
    fn image_frame(&self) -> Frame;
    /// Microseconds since some moment.
    fn now_us(&self) -> u64;
    /// Runs user code until something happens, at the latest `until_us`.
    fn run(&mut self, registers: &mut Registers, root: Frame, asid: u16, until_us: Option<u64>) -> Trap;
    /// Runs one instruction of user code; no interrupt comes in between.
    fn step(&mut self, registers: &mut Registers, root: Frame, asid: u16) -> Trap;
    /// No further step follows.
    fn end_stepping(&mut self);
    /// Takes the FP registers as user code left them.
    fn fp_save(&mut self, state: &mut FpState);
    /// Sets them.
    fn fp_load(&mut self, state: &FpState);
    /// The next record of the agreed log, its length; what is wrong with the ring as an error.
    fn log(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, &'static str>;
    /// The next fault on demand, if any.
    fn control(&mut self, buffer: &mut [u8]) -> Option<usize>;
    /// Posts a vote.
    fn post(&mut self, record: &[u8]);
    /// Whether there is a channel for snapshots.
    fn takes_snapshots(&self) -> bool;
    /// Puts a record into it.
    fn snapshot(&self, record: &[u8]);
    /// The snapshot that this kernel begins with.
    fn beginning(&self) -> Option<&'static [u8]>;
    /// Rings whoever reads votes, if any were posted since the last time.
    fn ring(&mut self);
    /// Sleeps until a doorbell or `until_us`.
    fn wait(&mut self, until_us: Option<u64>);
    /// The table for whoever watches this kernel, if there is one.
    fn monitor(&self) -> Option<Monitor<'static>>;
    /// A record in the log of this image.
    fn note(&mut self, event: Event<'_>);
    /// A line for the operator.
    fn say(&mut self, line: Arguments<'_>);
    /// The end of this kernel, with a reason for people.
    fn fail(&mut self, reason: &str) -> !;
    /// Bytes of the kernel's own heap that calls may make objects of; a reserve for the one in progress is not counted.
    fn heap_room(&self) -> usize;
}
