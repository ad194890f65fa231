//! A process: one row of the process table. What runs is its threads ([`crate::thread`]).

use crate::fs::{Entry, FdTable, Ino};
use crate::signal::{Action, Disposition, Pending, SIG_DFL, SIG_IGN, SigSet, default_action};
use crate::turns::Serial;
use abi::turn::{FDS_MAX, PROCESSES_MAX};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// Index of an address space.
pub type SpaceId = u32;

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
    /// Its serial: that of its first thread.
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
    /// Its program's file, and by which entry it was executed. The file may be gone by now.
    pub exe: Option<(Ino, Entry)>,
    /// argv, each ended by a zero byte.
    pub cmdline: Vec<u8>,
    /// Clock at its start.
    pub start_us: u64,
    /// Calls made by all its threads.
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

    /// Signals for the process: the first thread that does not block one takes it.
    pub pending: Pending,
    /// Of a process that outlives its first thread: what that had blocked when it ended.
    pub first_mask: SigSet,
    /// Actions by signal.
    pub actions: Box<[Action; 65]>,

    /// Wait status once it is a zombie.
    pub status: i32,
    /// For `wait4`.
    pub news: News,
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
            fds,
            cwd: 1,
            umask: 0o22,
            random_offset: 0,
            name: Vec::new(),
            exe: None,
            cmdline: Vec::new(),
            start_us,
            calls: 0,
            child_calls: 0,
            nice: 0,
            limits: first_limits(),
            stored: Stored { death_signal: 0, dumpable: 1, no_new_privs: 0 },
            alarm: None,
            pending: Pending::default(),
            first_mask: SigSet::default(),
            actions: Box::new([Action::default(); 65]),
            status: 0,
            news: News::None,
            unagreed: false,
        }
    }

    /// A child as fork makes it.
    pub fn fork(&self, serial: Serial, pid: u32, space: SpaceId, fds: FdTable, start_us: u64) -> Process {
        Process {
            serial,
            pid,
            parent: self.serial,
            space,
            actions: self.actions.clone(),
            name: self.name.clone(),
            exe: self.exe.clone(),
            cmdline: self.cmdline.clone(),
            nice: self.nice,
            limits: self.limits,
            stored: Stored { death_signal: 0, ..self.stored },
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

    /// Whether it is told of its children at all: SIGCHLD is not even generated for one that ignores it explicitly.
    pub fn hears_of_children(&self) -> bool {
        self.action(crate::signal::SIGCHLD).handler != SIG_IGN
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
}
