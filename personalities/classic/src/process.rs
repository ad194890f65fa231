//! A process: one row of the process table. Until threads come, a process is its only thread.

use crate::fs::{FdTable, Ino, Progress};
use crate::machine::{Fault, FpRegisters, Registers};
use crate::signal::{Action, AltStack, Disposition, Info, SIG_DFL, SIG_IGN, SigSet, default_action};
use crate::turns::Serial;
use abi::turn::{FDS_MAX, PROCESSES_MAX};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Index of an address space.
pub type SpaceId = u32;

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

/// What a process is up to, beyond what the round knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It lives.
    Alive,
    /// It is stopped.
    Stopped,
    /// It ended and nobody has waited for it yet.
    Zombie,
}

/// What `wait4` has not yet told the parent of a stop or a continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    /// Nothing.
    None,
    /// It was stopped by this signal.
    Stopped(u8),
    /// It was continued.
    Continued,
}

/// What a signal does to a process now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Ignored,
    /// A handler runs.
    Handled,
    /// The process stops.
    Stops,
    /// The process ends.
    Ends,
}

/// A soft and a hard limit.
pub type Limit = (u64, u64);
/// No limit.
pub const INFINITY: u64 = u64::MAX;
/// Number of resources.
pub const LIMITS: usize = 16;

/// The limits of process 1.
pub fn first_limits() -> [Limit; LIMITS] {
    let mut limits = [(INFINITY, INFINITY); LIMITS];
    limits[3].0 = abi::layout::STACK_MAX;
    limits[4].0 = 0;
    limits[6] = (PROCESSES_MAX as u64, PROCESSES_MAX as u64);
    limits[7] = (FDS_MAX as u64, FDS_MAX as u64);
    limits
}

/// A process.
#[derive(Debug)]
pub struct Process {
    /// Serial of process and thread.
    pub serial: Serial,
    /// Pid.
    pub pid: u32,
    /// Serial of its parent, 0 for process 1.
    pub parent: Serial,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// Whether it lives.
    pub life: Life,
    /// Its address space.
    pub space: SpaceId,
    /// It has executed a program since its fork.
    pub did_exec: bool,
    /// The space is its vfork parent's, by serial.
    pub vfork_parent: Option<Serial>,
    /// Registers.
    pub registers: Registers,
    /// FP registers, unless the machine holds them.
    pub fp: Box<FpRegisters>,

    /// Descriptors.
    pub fds: FdTable,
    /// Working directory.
    pub cwd: Ino,
    /// umask.
    pub umask: u32,
    /// How far its random stream was read.
    pub random_offset: u64,

    /// comm.
    pub name: Vec<u8>,
    /// Path of the executable.
    pub exe: Vec<u8>,
    /// argv, each ended by a zero byte.
    pub cmdline: Vec<u8>,
    /// Clock at its start.
    pub start_us: u64,
    /// Calls made.
    pub calls: u64,
    /// Calls made by children waited for.
    pub child_calls: u64,
    /// Nice value.
    pub nice: i8,
    /// Resource limits.
    pub limits: [Limit; LIMITS],
    /// prctl's stored values: parent death signal, dumpable, no_new_privs.
    pub stored: Stored,
    /// ITIMER_REAL: when it expires next and the interval, µs (0: never again).
    pub alarm: Option<(u64, u64)>,
    /// Cleared at its end.
    pub clear_child_tid: u64,
    /// set_robust_list's head: stored, and nobody looks.
    pub robust_list: u64,

    /// Pending signals.
    pub pending: SigSet,
    /// What is known of each.
    pub infos: Box<[Info; 65]>,
    /// Actions by signal.
    pub actions: Box<[Action; 65]>,
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
    /// It asked to rejoin.
    pub asked_rejoin: bool,
    /// Wait status once it is a zombie.
    pub status: i32,
    /// For `wait4`.
    pub news: News,
    /// A memory digest is due since this sync point.
    pub digest_due: Option<u64>,
    /// A handler interrupted its user code at a place that nobody agreed on: until it execs, its memory is not voted.
    pub unagreed: bool,
}

/// Values that prctl stores and nobody acts on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// PR_SET_PDEATHSIG.
    pub death_signal: u32,
    /// PR_SET_DUMPABLE.
    pub dumpable: u64,
    /// PR_SET_NO_NEW_PRIVS.
    pub no_new_privs: u64,
}

impl Process {
    /// Process 1, before its exec.
    pub fn first(fds: FdTable, space: SpaceId, start_us: u64) -> Process {
        Process {
            serial: 1,
            pid: 1,
            parent: 0,
            pgid: 1,
            sid: 1,
            life: Life::Alive,
            space,
            did_exec: false,
            vfork_parent: None,
            registers: Registers::default(),
            fp: Box::default(),
            fds,
            cwd: 1,
            umask: 0o22,
            random_offset: 0,
            name: Vec::new(),
            exe: Vec::new(),
            cmdline: Vec::new(),
            start_us,
            calls: 0,
            child_calls: 0,
            nice: 0,
            limits: first_limits(),
            stored: Stored { death_signal: 0, dumpable: 1, no_new_privs: 0 },
            alarm: None,
            clear_child_tid: 0,
            robust_list: 0,
            pending: SigSet::default(),
            infos: Box::new([Info::default(); 65]),
            actions: Box::new([Action::default(); 65]),
            mask: SigSet::default(),
            saved_mask: None,
            altstack: AltStack::default(),
            want: None,
            repeated: false,
            progress: Progress::default(),
            made_at: 0,
            vfork_child: None,
            asked_rejoin: false,
            status: 0,
            news: News::None,
            digest_due: None,
            unagreed: false,
        }
    }

    /// A child as fork makes it; its registers return 0.
    pub fn fork(&self, serial: Serial, pid: u32, space: SpaceId, fds: FdTable, start_us: u64) -> Process {
        let mut registers = self.registers;
        registers.x[0] = 0;
        Process {
            serial,
            pid,
            parent: self.serial,
            space,
            registers,
            fp: self.fp.clone(),
            infos: Box::new([Info::default(); 65]),
            actions: self.actions.clone(),
            name: self.name.clone(),
            exe: self.exe.clone(),
            cmdline: self.cmdline.clone(),
            nice: self.nice,
            limits: self.limits,
            stored: Stored { death_signal: 0, ..self.stored },
            mask: self.mask,
            altstack: self.altstack,
            cwd: self.cwd,
            umask: self.umask,
            unagreed: self.unagreed,
            pgid: self.pgid,
            sid: self.sid,
            ..Process::first(fds, space, start_us)
        }
    }

    /// The action for `signal`.
    pub fn action(&self, signal: u8) -> Action {
        self.actions.get(usize::from(signal)).copied().unwrap_or_default()
    }

    /// What `signal` does to it now.
    pub fn effect_of(&self, signal: u8) -> Effect {
        let action = self.action(signal);
        match action.handler {
            SIG_IGN => Effect::Ignored,
            SIG_DFL if self.serial == 1 => Effect::Ignored,
            SIG_DFL => match default_action(signal) {
                Disposition::End => Effect::Ends,
                Disposition::Stop => Effect::Stops,
                Disposition::Ignore | Disposition::Continue => Effect::Ignored,
            },
            _ => Effect::Handled,
        }
    }

    /// Pending signals that are not blocked.
    pub fn deliverable(&self) -> SigSet {
        self.pending.without(self.mask)
    }

    /// Whether the exit of a child leaves no zombie.
    pub fn disowns_children(&self) -> bool {
        let action = self.action(crate::signal::SIGCHLD);
        action.handler == SIG_IGN || action.flags & crate::signal::flags::NOCLDWAIT != 0
    }

    /// Whether it runs or wants to run.
    pub fn is_alive(&self) -> bool {
        self.life != Life::Zombie
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
        if let Some(mask) = self.saved_mask.take() {
            self.mask = mask;
        }
    }
}
