//! What the kernel needs of the machine below it: frames, page tables, a way into user mode, and the four hypercalls.
//!
//! The idea: everything but `arch/` is written against this trait, forbids `unsafe` and runs on the host, where a test's
//! machine is a vector of pages. The alternative, calling `arch` directly, would leave only leaves to test.

/// A page frame of the kernel's own memory, owned by whoever holds its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame(pub u32);

/// A set of page tables for EL0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableId(pub u32);

/// Bytes of a page.
pub const PAGE_BYTES: usize = abi::layout::PAGE as usize;

/// What a page-table entry shows.
#[derive(Clone, Copy, Debug)]
pub enum Shown {
    /// A page of zero bytes that all share; never writable.
    Zero,
    /// A frame.
    Frame(Frame),
    /// A page of the root image, page-aligned; never writable.
    Image(&'static [u8]),
    /// The page of code that returns from signal handlers.
    Trampoline,
}

/// Rights of a mapping: ELF's PF_ flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights(pub u8);

impl Rights {
    /// May be executed.
    pub const EXECUTE: Rights = Rights(1);
    /// May be written.
    pub const WRITE: Rights = Rights(2);
    /// May be read.
    pub const READ: Rights = Rights(4);

    /// From PROT_ flags (READ 1, WRITE 2, EXEC 4).
    pub fn from_prot(prot: u64) -> Rights {
        Rights(((prot & 1) << 2 | prot & 2 | (prot & 4) >> 2) as u8)
    }

    /// What the hardware grants: what may be written or executed may be read too, as on Linux' arm64.
    pub fn effective(self) -> Rights {
        if self.0 & 7 == 0 { self } else { Rights(self.0 | 4) }
    }

    /// Whether all of `other` is in this.
    pub fn has(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }
}

/// No frame is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfFrames;

/// The general registers of a thread in user mode. `repr(C)`: the vectors store it.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer.
    pub sp: u64,
    /// Program counter.
    pub pc: u64,
    /// SPSR_EL1; only NZCV is the program's.
    pub pstate: u64,
    /// TPIDR_EL0.
    pub tpidr: u64,
    /// ESR_EL1 of the last exception.
    pub esr: u64,
    /// FAR_EL1 of the last exception.
    pub far: u64,
    /// Padding to a multiple of 16.
    pub reserved: u64,
}

/// Mask of the flags N, Z, C, V in pstate.
pub const NZCV: u64 = 0xf000_0000;

/// FP and SIMD registers of a thread.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(16))]
pub struct FpRegisters {
    /// v0 to v31.
    pub v: [u128; 32],
    /// FPSR.
    pub fpsr: u64,
    /// FPCR.
    pub fpcr: u64,
}

/// Why user mode was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// `svc #0`.
    Call,
    /// An access that the page tables do not allow, or any other synchronous exception.
    Fault(Fault),
    /// An interrupt; it has been answered.
    Interrupt,
    /// One instruction was carried out, as `step` asked.
    Step,
}

/// A synchronous fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Load from, store to or fetch from an address: which right it needed.
    Access {
        /// The address.
        address: u64,
        /// The right.
        needs: Rights,
    },
    /// A misaligned access, stack pointer or program counter.
    Alignment {
        /// The address.
        address: u64,
    },
    /// An instruction that does not exist for EL0.
    Instruction,
    /// `brk`.
    Breakpoint,
}

/// What a kernel's log tells.
#[derive(Clone, Copy, Debug)]
pub enum Trace<'a> {
    /// A process runs another program.
    Exec {
        /// Its pid.
        pid: u32,
        /// The program's name.
        name: &'a [u8],
    },
    /// A process ended, with this wait status.
    Ended {
        /// Its pid.
        pid: u32,
        /// As `wait4` shows it.
        status: i32,
    },
    /// A signal came into being for a process.
    Signal {
        /// Its pid.
        pid: u32,
        /// The signal.
        signal: u8,
    },
    /// This kernel promised not to make a call.
    Stuck {
        /// The call.
        call: u64,
    },
    /// A thread was skipped.
    Skipped {
        /// The thread.
        serial: u64,
        /// The call number that it used up.
        call: u64,
    },
    /// A sync point was passed.
    Passed {
        /// Its number.
        s: u64,
        /// Calls made.
        call: u64,
    },
}

/// The machine.
pub trait Machine {
    /// Logs.
    fn trace(&mut self, what: Trace<'_>);

    /// Takes a frame filled with zero bytes.
    fn alloc_frame(&mut self) -> Result<Frame, OutOfFrames>;
    /// Gives a frame back.
    fn free_frame(&mut self, frame: Frame);
    /// Frames in use.
    fn used_frames(&self) -> u64;
    /// Bytes of the kernel's own heap that are free: what a program does must not take the last of them.
    fn free_heap(&self) -> usize;
    /// The bytes of a frame.
    fn frame(&self, frame: Frame) -> &[u8; PAGE_BYTES];
    /// The bytes of a frame, to be changed.
    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_BYTES];
    /// Copies a whole frame.
    fn copy_frame(&mut self, from: Frame, to: Frame);

    /// Makes empty page tables.
    fn new_tables(&mut self) -> Result<TableId, OutOfFrames>;
    /// Drops page tables (not the frames that they show).
    fn drop_tables(&mut self, tables: TableId);
    /// Shows a page at `address`, in place of what was there.
    fn map(&mut self, tables: TableId, address: u64, shown: Shown, rights: Rights)
    -> Result<(), OutOfFrames>;
    /// Shows nothing at `address` any more.
    fn unmap(&mut self, tables: TableId, address: u64);
    /// Shows nothing between two addresses; its work is bounded by the tables there are.
    fn unmap_range(&mut self, tables: TableId, start: u64, end: u64);
    /// After a batch of `map` and `unmap`: no stale translation or instruction remains. `code`: executable pages changed.
    fn flush(&mut self, tables: TableId, code: bool);

    /// Runs user mode until an exception; the timer interrupts after `ticks`.
    fn run(&mut self, tables: TableId, registers: &mut Registers, ticks: u64) -> Exit;
    /// Carries out one instruction of user mode, interrupts masked; else as `run`.
    fn step(&mut self, tables: TableId, registers: &mut Registers) -> Exit;
    /// Loads the FP registers.
    fn load_fp(&mut self, from: &FpRegisters);
    /// Stores the FP registers.
    fn store_fp(&mut self, to: &mut FpRegisters);

    /// The counter.
    fn ticks(&self) -> u64;
    /// Ticks of a millisecond.
    fn ticks_per_ms(&self) -> u64;
    /// Sleeps until a doorbell rings, or some other reason to look again.
    fn wait(&mut self);
    /// Rings a channel.
    fn ring(&mut self, channel: u32);
    /// Prints a line for the operator.
    fn text(&mut self, line: &str);
    /// The kernel cannot go on.
    fn crash(&mut self, why: &str) -> !;
}
