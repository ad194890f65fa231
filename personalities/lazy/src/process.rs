//! Processes and threads, and what belongs to which. How they find each other: `threads.rs`.

use crate::files::names::Entry;
use crate::hw::{Access, Exception, FpState, Registers};
use crate::sched::Entity;
use crate::turn::Key;
use abi::turn::{FDS_MAX, PROCESSES_MAX};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Where a thread is, for the turn rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the round.
    Round,
    /// In a call that blocked.
    Waiting,
    /// Stopped.
    Stopped,
    /// Skipped.
    Outside {
        /// The call at which it was skipped.
        call: u64,
        /// It has asked to rejoin.
        asked: bool,
    },
    /// Another sharer of its memory is outside.
    Held,
    /// Nothing of it goes on; its entry stays for its process.
    Ended,
}

/// Where a thread stands in its own program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// In user code.
    User,
    /// Before a call that takes a turn.
    Call,
    /// Before a fault that takes a turn.
    Fault(Fault),
}

/// A fault that is a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An access that needs a further chunk of charge, or raises a signal.
    Access(u64, Access),
    /// Anything else.
    Exception(Exception),
}

/// What a blocked call goes on from. It stands in place of a kernel stack: between two attempts nothing else of the call exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuation {
    /// From the beginning.
    Again,
    /// So many bytes are written already.
    Written(u64),
    /// It waits until this moment.
    Until(u64),
    /// It waits, perhaps until some moment, under a mask of its own.
    Poll(Option<u64>),
    /// Under a mask of its own, for a signal.
    Suspended,
    /// For a vfork child: its serial, and its pid, which is kept here because the child may be gone already.
    Vfork(u64, u32),
    /// In a FIFO's open, as one of its ends: the pipe, and how it opens.
    Opening {
        /// The FIFO's pipe.
        pipe: u32,
        /// How many had opened its other end before.
        seen: u64,
        /// It opens to write.
        write: bool,
    },
    /// A futex wait.
    Futex,
    /// A futex wait that a WAKE has ended.
    Woken,
}

/// Who sent a signal and why.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// si_code.
    pub code: i32,
    /// First and second u32 behind the common part, and the third (pid, uid, status).
    pub fields: [u32; 3],
    /// A fault's address, in place of the fields.
    pub address: Option<u64>,
}

/// What a signal does, as rt_sigaction sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// 0 default, 1 ignore, else an address.
    pub handler: u64,
    /// SA_ flags.
    pub flags: u64,
    /// SA_RESTORER's.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: u64,
}

/// sigaltstack's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AltStack {
    /// Lowest address.
    pub base: u64,
    /// SS_ flags.
    pub flags: u32,
    /// Bytes.
    pub size: u64,
}

/// A thread.
pub struct Thread {
    /// Its number.
    pub serial: u64,
    /// Serial of its process.
    pub process: u64,
    /// Its number to programs; a first thread's is the pid.
    pub tid: u32,
    /// Name (15 bytes).
    pub comm: Vec<u8>,
    /// Pending signals that are for it alone, of a process with several threads.
    pub pending: u64,
    /// Their infos.
    pub infos: BTreeMap<u32, Info>,
    /// Registers.
    pub registers: Registers,
    /// FP registers, as of the last time somebody else used them.
    pub fp: Box<FpState>,
    /// For the turn rule.
    pub place: Place,
    /// In its program.
    pub stand: Stand,
    /// A blocked call's.
    pub continuation: Option<Continuation>,
    /// What it waits for.
    pub keys: Vec<Key>,
    /// When its wait ends.
    pub deadline: Option<u64>,
    /// Blocked signals.
    pub mask: u64,
    /// The mask to come back to after a call with a mask of its own.
    pub saved_mask: Option<u64>,
    /// Alternate stack.
    pub alt: AltStack,
    /// set_tid_address' and CLONE_CHILD_CLEARTID's.
    pub clear_child_tid: u64,
    /// set_robust_list's head.
    pub robust_list: u64,
    /// Calls made.
    pub calls: u64,
    /// Number of the call at which the one that it is in was last made.
    pub made: u64,
    /// For the scheduler between calls.
    pub entity: Entity,
}

impl Thread {
    /// In the round, in user code; all else zero or empty.
    pub fn new(serial: u64, process: u64, tid: u32) -> Thread {
        Thread {
            serial,
            process,
            tid,
            comm: Vec::new(),
            pending: 0,
            infos: BTreeMap::new(),
            registers: Registers::default(),
            fp: Box::default(),
            place: Place::Round,
            stand: Stand::User,
            continuation: None,
            keys: Vec::new(),
            deadline: None,
            mask: 0,
            saved_mask: None,
            alt: AltStack::default(),
            clear_child_tid: 0,
            robust_list: 0,
            calls: 0,
            made: 0,
            entity: Entity::default(),
        }
    }
}

/// Soft and hard limit `resource` of process 1 at its start ("Processes" in `docs/linux-abi.md`).
pub fn limit_at_start(resource: u64) -> (u64, u64) {
    const INFINITE: u64 = u64::MAX;
    match resource {
        3 => (abi::layout::STACK_MAX, INFINITE),
        4 => (0, INFINITE),
        6 => (PROCESSES_MAX as u64, PROCESSES_MAX as u64),
        7 => (FDS_MAX as u64, FDS_MAX as u64),
        _ => (INFINITE, INFINITE),
    }
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Open file description.
    pub file: u32,
    /// FD_CLOEXEC.
    pub cloexec: bool,
}

/// A process.
pub struct Process {
    /// Its first thread's number.
    pub serial: u64,
    /// Process id.
    pub pid: u32,
    /// Serial of its parent; 0: none.
    pub parent: u64,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// It has exec'ed since its fork.
    pub execed: bool,
    /// Address space; none of a zombie.
    pub space: Option<u32>,
    /// The space is its parent's (vfork).
    pub borrowed: bool,
    /// The thread that waits in vfork for it.
    pub vfork_parent: Option<u64>,
    /// Ended, not waited for.
    pub zombie: bool,
    /// As wait4 gives it.
    pub status: i32,
    /// A stop or continuation that wait4 may still report.
    pub report: Option<i32>,
    /// Pending signals.
    pub pending: u64,
    /// Their infos.
    pub infos: BTreeMap<u32, Info>,
    /// Actions by number.
    pub actions: [Action; 65],
    /// Descriptors.
    pub descriptors: Vec<Option<Descriptor>>,
    /// Current directory.
    pub cwd: u64,
    /// umask.
    pub umask: u32,
    /// Arguments, each with its zero byte.
    pub cmdline: Vec<u8>,
    /// The executable: inode and entry.
    pub exe: (u64, Rc<Entry>),
    /// Calls made by threads that are gone.
    pub gone_calls: u64,
    /// Calls made by children that were waited for.
    pub child_calls: u64,
    /// Bytes of its random stream used.
    pub random: u64,
    /// Nice value.
    pub nice: i32,
    /// Limits that were set: number to (soft, hard).
    pub limits: BTreeMap<u64, (u64, u64)>,
    /// PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS.
    pub prctl: [u64; 3],
    /// ITIMER_REAL: when, and every.
    pub timer: Option<(u64, u64)>,
    /// A handler began at a place that nobody agreed on: its memory is not voted.
    pub unagreed: bool,
    /// A memory digest became due at this sync point.
    pub digest_due: Option<u64>,
    /// Clock at its fork.
    pub started: u64,
}

/// Which of a process' descriptors are open, from below.
impl Process {
    /// The descriptor `fd`.
    pub fn descriptor(&self, fd: u64) -> Option<Descriptor> {
        *self.descriptors.get(usize::try_from(fd).ok()?)?
    }

    /// The lowest free number from `from` on.
    pub fn free_descriptor(&self, from: usize) -> usize {
        let gap =
            (from..self.descriptors.len()).find(|i| self.descriptors.get(*i).is_some_and(Option::is_none));
        gap.unwrap_or(self.descriptors.len().max(from))
    }

    /// Puts `d` at `fd`; what was there.
    pub fn set_descriptor(&mut self, fd: usize, d: Option<Descriptor>) -> Option<Descriptor> {
        if self.descriptors.len() <= fd {
            self.descriptors.resize(fd + 1, None);
        }
        self.descriptors.get_mut(fd).and_then(|slot| core::mem::replace(slot, d))
    }
}
