//! What the microkernel keeps of a domain: the part of its page that the capability model leaves free.

use crate::arch::el1::El1;
use crate::arch::float;
use crate::arch::registers::Controls;
use crate::gic::Virtual;
use abi::capability::FAULT_SKIP;
use capability_model::layout::DOMAIN_RESERVED;
use capability_model::memory::{PAGE, Registers};

/// Registers of a domain. `entry.s` knows the layout.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer of EL0.
    pub sp_el0: u64,
    /// Where it continues.
    pub pc: u64,
    /// SPSR_EL2.
    pub state: u64,
}

impl Frame {
    /// Goes on after a fault as the handler's answer says; nothing else of it reaches these registers.
    pub fn answer_fault(&mut self, answer: u64) {
        if answer == FAULT_SKIP {
            self.pc = self.pc.wrapping_add(4);
        }
    }
}

const _: () = assert!(core::mem::offset_of!(Frame, sp_el0) == 248 && core::mem::offset_of!(Frame, pc) == 256);
const _: () = assert!(core::mem::offset_of!(Saved, frame) == 0);

/// SPSR_EL2 for a start: EL1h, and EL0t, D A I F masked (of no effect on interrupts that go to EL2).
pub const STATE_EL1: u64 = 0x3c5;
/// See [`STATE_EL1`].
const STATE_EL0: u64 = 0x3c0;

/// Why a domain does not run although its store would let it: bits of [`Saved::hold`].
pub mod hold {
    /// It waits for its notification word or a time (`Call::Wait`).
    pub const WAITS: u64 = 1;
    /// A kernel that sleeps (WFI) until an interrupt is pending.
    pub const ASLEEP: u64 = 2;
    /// It stands still until it is resumed.
    pub const PAUSED: u64 = 4;
    /// It never runs again.
    pub const DEAD: u64 = 8;
    /// It has not begun: its builder has still to say so, by Restart or by writing its registers.
    pub const NEW: u64 = 16;
    /// When its memory is taken back it stays dead, and cold.
    pub const COLD: u64 = 32;
}

/// What a blocked domain's registers get when its wait ends.
pub mod pending {
    /// It does not wait for an invocation.
    pub const NOTHING: u64 = 0;
    /// It waits for a message, a signal, or that its message is taken.
    pub const RESULT: u64 = 1;
    /// It faulted: its registers are nobody's business.
    pub const FAULT: u64 = 2;
}

/// The free part of a domain's page. Zero is valid, as Retype leaves it: a service without budget. Words only.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Saved {
    /// Its registers.
    pub frame: Frame,
    /// What of EL1 governs EL0, while another domain has the processor.
    pub controls: Controls,
    /// A kernel's registers and interrupts, while another kernel of its core has EL1.
    pub el1: El1,
    /// See `el1`.
    pub interrupts: Virtual,
    /// 1 for an EL1 kernel.
    pub kernel: u64,
    /// Why it does not run, see [`hold`].
    pub hold: u64,
    /// The counter at which a wait for the notification word ends.
    pub deadline: u64,
    /// Ticks of the counter that are left of its budget, and when it is refilled.
    pub left: u64,
    /// See `left`.
    pub refill_at: u64,
    /// Neighbours in a ready queue, and which queue (0: none).
    pub next: u64,
    /// See `next`.
    pub previous: u64,
    /// See `next`.
    pub queue: u64,
    /// Its class: lower runs first.
    pub class: u64,
    /// What it gets, see [`pending`].
    pub pending: u64,
    /// The words of its fault message: syndrome, pc, address.
    pub fault: [u64; 3],
    /// Intermediate physical address of its message buffer; 0 for none.
    pub buffer: u64,
    /// Place in the manifest, plus 1; 0: it came later.
    pub index: u64,
    /// The kernel of the bundle that it begins with, counted from 1; 0: the manifest's.
    pub image: u64,
    /// Bytes of text printed.
    pub text: u64,
    /// Entries into EL2.
    pub exits: u64,
    /// Its FP/SIMD registers, while the processor has not got them.
    pub float: float::Registers,
}

const _: () = assert!(size_of::<Saved>() as u64 <= PAGE - DOMAIN_RESERVED);

impl Saved {
    /// It begins with these registers, all else as at the boot: pc, stack pointer, x0 to x5. What ended it for good stays.
    pub fn begin(&mut self, &[pc, sp_el0, x0, x1, x2, x3, x4, x5]: &Registers) {
        let (state, controls) = match self.kernel {
            0 => (STATE_EL0, Controls::SERVICE),
            _ => (STATE_EL1, self.controls.anew()),
        };
        let mut x = [0; 31];
        x[..6].copy_from_slice(&[x0, x1, x2, x3, x4, x5]);
        self.frame = Frame { x, sp_el0, pc, state };
        (self.controls, self.float, self.el1, self.interrupts) =
            (controls, Default::default(), Default::default(), Default::default());
        (self.hold, self.pending, self.buffer) = (self.hold & hold::DEAD, pending::NOTHING, 0);
    }

    /// Whether nothing but its store and its budget can keep it from running.
    pub fn is_free(&self) -> bool {
        self.hold == 0
    }

    /// Whether it is an EL1 kernel.
    pub fn is_kernel(&self) -> bool {
        self.kernel != 0
    }
}
