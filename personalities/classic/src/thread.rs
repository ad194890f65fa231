//! A thread: what runs. What it shares with the other threads of its process stands in [`crate::process`].

use crate::fs::Progress;
use crate::machine::{Fault, FpRegisters, Registers};
use crate::signal::{AltStack, Pending, SigSet};
use crate::turns::Serial;
use alloc::boxed::Box;
use alloc::vec::Vec;

/// What a thread waits to do in its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// A system call.
    Call {
        /// Its number.
        number: u64,
        /// x0 to x5.
        args: [u64; 6],
    },
    /// A fault.
    Fault(Fault),
}

/// A thread.
#[derive(Debug)]
pub struct Thread {
    /// Its serial; that of the first thread names the process.
    pub serial: Serial,
    /// Its process.
    pub process: Serial,
    /// Its id; the first thread's is the pid.
    pub tid: u32,
    /// comm.
    pub name: Vec<u8>,
    /// Registers.
    pub registers: Registers,
    /// FP registers, unless the machine holds them.
    pub fp: Box<FpRegisters>,
    /// Calls made.
    pub calls: u64,
    /// Cleared at its end, and a futex there woken.
    pub clear_child_tid: u64,
    /// set_robust_list's head.
    pub robust_list: u64,

    /// Signals for this thread alone.
    pub pending: Pending,
    /// Blocked signals.
    pub mask: SigSet,
    /// The mask to go back to when the call that replaced it ends.
    pub saved_mask: Option<SigSet>,
    /// Alternate stack.
    pub altstack: AltStack,

    /// What it wants its turn for.
    pub want: Option<Want>,
    /// The want was tried before: it blocked, or is half done.
    pub repeated: bool,
    /// What a repeated call remembers.
    pub progress: Progress,
    /// Of a repeated call: the call number at which it was last made.
    pub made_at: u64,
    /// The vfork child that its call is about.
    pub vfork_child: Option<Serial>,
    /// Its wait for a futex was ended by FUTEX_WAKE.
    pub came: bool,
    /// It asked to rejoin.
    pub asked_rejoin: bool,
    /// A memory digest is due since this sync point.
    pub digest_due: Option<u64>,
}

impl Thread {
    /// The first thread of process `process`.
    pub fn first(process: Serial, tid: u32) -> Thread {
        Thread {
            serial: process,
            process,
            tid,
            name: Vec::new(),
            registers: Registers::default(),
            fp: Box::default(),
            calls: 0,
            clear_child_tid: 0,
            robust_list: 0,
            pending: Pending::default(),
            mask: SigSet::default(),
            saved_mask: None,
            altstack: AltStack::default(),
            want: None,
            repeated: false,
            progress: Progress::default(),
            made_at: 0,
            vfork_child: None,
            came: false,
            asked_rejoin: false,
            digest_due: None,
        }
    }

    /// A child as clone makes it; its registers return 0. Another process' first thread, or one more of the same.
    pub fn clone_as(&self, serial: Serial, process: Serial, tid: u32) -> Thread {
        let mut registers = self.registers;
        registers.x[0] = 0;
        Thread {
            serial,
            registers,
            fp: self.fp.clone(),
            name: self.name.clone(),
            mask: self.mask,
            altstack: self.altstack,
            ..Thread::first(process, tid)
        }
    }

    /// Of a wait for a futex: the bits that wake it.
    pub fn futex_bits(&self) -> u32 {
        const WAIT_BITSET: u64 = 9;
        match self.want {
            Some(Want::Call { args, .. }) if args[1] & 0x7f == WAIT_BITSET => args[5] as u32,
            _ => u32::MAX,
        }
    }

    /// The result of its call: the call is done.
    pub fn finish_call(&mut self, result: i64) {
        self.registers.x[0] = result as u64;
        self.end_call();
    }

    /// The call is over, whatever became of its result.
    pub fn end_call(&mut self) {
        self.want = None;
        self.repeated = false;
        self.progress = Progress::default();
        self.vfork_child = None;
        self.came = false;
        if let Some(mask) = self.saved_mask.take() {
            self.mask = mask;
        }
    }
}
