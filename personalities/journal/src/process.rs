//! A process as a value. What it waits for, and how far its call got, are values too: nothing of a process is on a stack of the kernel.

use crate::Map;
use crate::fs::opened::Name;
use crate::machine::User;
use crate::signals::Signals;
use abi::vote::NO_DEADLINE;
use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Things that can be waited for, each with a FIFO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Thing {
    /// Bytes in a pipe, or the end of its writers.
    PipeReaders(u64),
    /// Room in a pipe, or the end of its readers.
    PipeWriters(u64),
    /// The other end of a FIFO.
    Opening(u64),
    /// Input of the terminal.
    Terminal,
    /// A child's end or stop.
    Children(u64),
    /// The vfork child's exec or end.
    Vfork(u64),
    /// A futex: nobody can wake it yet.
    Futex(u64),
}

/// How far a call got before it blocked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// It blocked or was cut into steps before: what is made now is a repetition.
    pub begun: bool,
    /// Number of the call at which it was last made, if begun.
    pub at: u64,
    /// Bytes that were written.
    pub done: u64,
    /// When a sleep ends.
    pub deadline: Option<u64>,
    /// The vfork child: its serial, and the pid that vfork returns.
    pub child: Option<(u64, u32)>,
    /// A FIFO end that counts already: inode, read, write, and generations of the other ends.
    pub opening: Option<Opening>,
}

/// A FIFO that is being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    /// The pipe.
    pub pipe: u64,
    /// To read; else to write.
    pub read: bool,
    /// How many ends of the other kind there had been.
    pub seen: u64,
}

/// What a thread stands before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// User code.
    Nothing,
    /// A call.
    Call {
        /// Linux' number.
        number: u64,
        /// x0 to x5.
        args: [u64; 6],
        /// How far it got.
        progress: Progress,
    },
    /// A fault that is a call.
    Fault(crate::faults::Fault),
    /// A page that the stack needs, beyond the charge.
    Growth(u64),
}

/// What a blocked call waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// In order.
    pub things: Vec<Thing>,
    /// On the program's clock, or [`NO_DEADLINE`].
    pub deadline: u64,
}

impl Wait {
    /// For one thing, however long.
    pub fn on(thing: Thing) -> Wait {
        Wait { things: alloc::vec![thing], deadline: NO_DEADLINE }
    }
}

/// Where a thread is, by the turn rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the round.
    Round,
    /// In a call that blocked.
    Waiting(Wait),
    /// Stopped by this signal; `bool`: the parent was told by wait4.
    Stopped(u8),
    /// Skipped at this call; whether it asked to rejoin.
    Outside(u64, bool),
    /// Ended.
    Zombie,
}

/// A descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fd {
    /// The open file description.
    pub open: u64,
    /// FD_CLOEXEC.
    pub cloexec: bool,
}

/// What was executed.
#[derive(Clone, Debug)]
pub struct Program {
    /// The inode of its file, which may be gone; 0: it is not known.
    pub inode: u64,
    /// The name by which it was executed.
    pub name: Name,
}

/// A process with its one thread.
#[derive(Clone)]
pub struct Process {
    /// Serial number, of process and thread.
    pub serial: u64,
    /// Process id.
    pub pid: u32,
    /// Serial of the parent; 0: none.
    pub parent: u64,
    /// Process group.
    pub group: u32,
    /// Session.
    pub session: u32,
    /// Name, at most 15 bytes.
    pub name: Vec<u8>,
    /// Where it is.
    pub place: Place,
    /// What it stands before.
    pub wanted: Wanted,
    /// Its registers.
    pub user: Box<User>,
    /// Its address space.
    pub space: u64,
    /// Its descriptors.
    pub fds: Map<u32, Fd>,
    /// Working directory.
    pub cwd: crate::fs::node::Node,
    /// What the link to it shows.
    pub cwd_name: Name,
    /// File mode creation mask.
    pub umask: u32,
    /// Signals.
    pub signals: Signals,
    /// Calls made.
    pub calls: u64,
    /// Calls made by children that were waited for.
    pub child_calls: u64,
    /// Scheduling priority.
    pub nice: i32,
    /// Wait status of a zombie.
    pub status: i32,
    /// A stop or continuation that wait4 may report.
    pub news: Option<i32>,
    /// Position in its random stream.
    pub random: u64,
    /// Clock at its start.
    pub started: u64,
    /// What the link to its program leads to and shows.
    pub exe: Program,
    /// Its argv, strings ended by zeros.
    pub arguments: Rc<[u8]>,
    /// The parent waits in vfork until this one execs or ends.
    pub vfork: bool,
    /// It execed since it was forked (setpgid).
    pub execed: bool,
    /// Soft and hard limits that were set, by resource.
    pub limits: Map<u32, (u64, u64)>,
    /// ITIMER_REAL: next expiry and interval, µs; 0: off.
    pub timer: (u64, u64),
    /// PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS.
    pub controls: [u64; 3],
    /// Where a zero is written at its end.
    pub clear_tid: u64,
    /// set_robust_list's head.
    pub robust: u64,
    /// A handler began outside a turn, or its place is looked for: its memory is not compared.
    pub unagreed: bool,
    /// It looks for the place where a handler begins.
    pub search: Option<crate::outermost::Search>,
    /// A memory digest is due since this sync point.
    pub digest_due: Option<u64>,
}

impl Process {
    /// Whether it is in the round or outside, before user code.
    pub fn runs(&self) -> bool {
        matches!(self.place, Place::Round | Place::Outside(..)) && self.wanted == Wanted::Nothing
    }

    /// Whether it has ended.
    pub fn is_zombie(&self) -> bool {
        self.place == Place::Zombie
    }

    /// State letter of /proc.
    pub fn letter(&self) -> char {
        match self.place {
            Place::Round | Place::Outside(..) => 'R',
            Place::Waiting(_) => 'S',
            Place::Stopped(_) => 'T',
            Place::Zombie => 'Z',
        }
    }
}
