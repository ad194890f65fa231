//! What EL0 was stopped for: ESR_EL1 as a value (Arm ARM D24.2.39).

use crate::space::{EXECUTE, READ, Trouble, WRITE};

/// A reason that the exception's syndrome gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// `svc`.
    Call,
    /// An access to an address, with the right that it needs.
    Access(u64, u8),
    /// A fault that raises a signal whatever is mapped.
    Raise(Fault),
    /// One instruction was executed.
    Step,
}

/// A fault that raises a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The signal.
    pub signal: u8,
    /// si_code.
    pub code: i32,
    /// si_addr.
    pub address: u64,
    /// fault_address of the signal frame's sigcontext.
    pub far: u64,
}

const SIGILL: u8 = 4;
const SIGTRAP: u8 = 5;
const SIGBUS: u8 = 7;
const SIGSEGV: u8 = 11;

/// The cause of an exception at `pc`.
pub fn cause(esr: u64, far: u64, pc: u64) -> Cause {
    let raise = |signal, code, address, far| Cause::Raise(Fault { signal, code, address, far });
    let status = esr & 0x3f;
    match esr >> 26 & 0x3f {
        0x15 => Cause::Call,
        // Alignment fault.
        0x24 if status == 0x21 => raise(SIGBUS, 1, far, far),
        0x24 => Cause::Access(far, if esr & 1 << 6 != 0 && esr & 1 << 8 == 0 { WRITE } else { READ }),
        0x20 => Cause::Access(far, EXECUTE),
        0x22 => raise(SIGBUS, 1, far, far),
        0x26 => raise(SIGBUS, 1, far, far),
        0x3c => raise(SIGTRAP, 1, pc, 0),
        0x32 => Cause::Step,
        _ => raise(SIGILL, 1, pc, 0),
    }
}

impl Fault {
    /// Of an access that cannot be.
    pub fn of(trouble: Trouble, address: u64) -> Fault {
        let (signal, code) = match trouble {
            Trouble::Unmapped => (SIGSEGV, 1),
            Trouble::Forbidden => (SIGSEGV, 2),
            Trouble::BeyondFile => (SIGBUS, 2),
            // Frames ran out: no signal of Linux' says so; the process ends.
            Trouble::NoFrame => (9, 0x80),
        };
        Fault { signal, code, address, far: address }
    }
}
