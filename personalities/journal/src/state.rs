//! The abstract program: one value. Its maps are persistent, so a copy of it is a checkpoint and costs a handful of references.

use crate::Map;
use crate::errno::*;
use crate::fs::Files;
use crate::fs::node::Node;
use crate::fs::opened::Name;
use crate::page::Pool;
use crate::pipe::Pipe;
use crate::process::{Fd, Process, Thing};
use crate::records::Record;
use crate::space::Space;
use crate::tty::Tty;
use abi::turn::{CLOCK_PER_CALL_US, FDS_MAX, OPEN_FILES_MAX};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What an open file description leads to.
#[derive(Clone)]
pub enum Leads {
    /// A regular file.
    File(u64),
    /// A directory.
    Directory(Node),
    /// A pipe: its number, whether it reads, whether it writes.
    Pipe(u64, bool, bool),
    /// The terminal.
    Terminal,
    /// Another device, by its place in /dev.
    Device(usize),
    /// A text of /proc, made when it was opened.
    Text(Rc<[u8]>),
    /// O_PATH.
    Path,
}

/// An open file description.
#[derive(Clone)]
pub struct Open {
    /// Where it leads.
    pub leads: Leads,
    /// The node that was opened.
    pub node: Node,
    /// F_GETFL.
    pub flags: u32,
    /// Position.
    pub offset: u64,
    /// Descriptors that name it.
    pub references: u32,
    /// What its link in /proc shows.
    pub name: Name,
    /// Of a FIFO's reader: writers that had come and gone when it opened without waiting.
    pub hangup_after: u64,
}

impl Open {
    /// Whether it was opened to read. Access mode 3 is neither, as on Linux: only what needs no access can be done by it.
    pub fn reads(&self) -> bool {
        matches!(self.flags & 3, 0 | 2)
    }

    /// Whether it was opened to write.
    pub fn writes(&self) -> bool {
        matches!(self.flags & 3, 1 | 2)
    }

    /// Its kind, as digests and snapshots have it (`docs/linux-abi.md`, "State digest").
    pub fn kind(&self) -> u8 {
        match self.leads {
            Leads::File(_) | Leads::Path => 0,
            Leads::Directory(_) => 1,
            Leads::Pipe(_, true, false) => 2,
            Leads::Pipe(..) => 3,
            Leads::Terminal => 4,
            Leads::Device(_) => 5,
            Leads::Text(_) => 6,
        }
    }
}

/// What the log's first entry said.
#[derive(Clone)]
pub struct Birth {
    /// Seed of all chance.
    pub seed: [u8; 32],
    /// Wall clock then, µs.
    pub time_us: u64,
    /// State digests at every so many sync points.
    pub digest_interval: u64,
    /// The calls that the run offers (`abi::tier`).
    pub tier: u8,
}

/// Who is woken at the end of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// All that wait for a thing.
    All(Thing),
    /// One thread, whatever it waits for.
    Thread(u64),
    /// A new or continued thread enters the round.
    Enter(u64),
}

/// Everything the programs can see.
#[derive(Clone)]
pub struct State {
    /// The beginning.
    pub birth: Birth,
    /// Processes by serial.
    pub processes: Map<u64, Process>,
    /// Address spaces.
    pub spaces: Map<u64, Space>,
    /// Next space's number.
    pub next_space: u64,
    /// Open file descriptions.
    pub opens: Map<u64, Open>,
    /// Next one's number.
    pub next_open: u64,
    /// The file system.
    pub files: Files,
    /// Pipes by number.
    pub pipes: Map<u64, Pipe>,
    /// Number of the next pipe.
    pub next_pipe: u64,
    /// Last inode number given to a pipe.
    pub pipe_inodes: u64,
    /// The terminal.
    pub tty: Tty,
    /// The round; its first holds the turn.
    pub round: VecDeque<u64>,
    /// FIFOs of waiting threads.
    pub queues: Map<Thing, Vec<u64>>,
    /// Calls made.
    pub call: u64,
    /// Calls since the last sync point.
    pub since: u64,
    /// Calls in this turn.
    pub in_turn: u64,
    /// Clock at the last sync point, µs.
    pub base: u64,
    /// Number of the next sync point.
    pub sync: u64,
    /// It is there.
    pub sync_due: bool,
    /// Execs so far.
    pub execs: u64,
    /// Last serial given.
    pub last_serial: u64,
    /// Last pid given.
    pub last_pid: u32,
    /// To be woken at the end of this step.
    pub wakes: Vec<Wake>,
    /// What happened since the shell looked.
    pub records: Vec<Record>,
    /// The entry that was taken last asked for a snapshot.
    pub snapshot_due: bool,
    /// Process 1 ended.
    pub halted: bool,
    /// Frames.
    pub pool: Rc<Pool>,
}

impl State {
    /// The clock, µs since 1970.
    pub fn clock(&self) -> u64 {
        self.base + CLOCK_PER_CALL_US * self.since
    }

    /// The clock for file times.
    pub fn now_ns(&self) -> i64 {
        self.clock() as i64 * 1000
    }

    /// The monotonic clock, µs: one second at Boot.
    pub fn monotonic(&self) -> u64 {
        self.clock() - self.birth.time_us + 1_000_000
    }

    /// A process that is there.
    pub fn process(&self, serial: u64) -> &Process {
        self.processes.get(&serial).expect("a process that is named exists")
    }

    /// The same, to change it.
    pub fn process_mut(&mut self, serial: u64) -> &mut Process {
        self.processes.get_mut(&serial).expect("a process that is named exists")
    }

    /// Who has this pid.
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.processes.values().find(|p| p.pid == pid)
    }

    /// The space of a process.
    pub fn space(&mut self, serial: u64) -> &mut Space {
        let space = self.process(serial).space;
        self.spaces.get_mut(&space).expect("a process that lives has a space")
    }

    /// Chunks charged to all processes.
    pub fn chunks(&self) -> u64 {
        self.spaces.values().map(|s| s.chunks).sum()
    }

    /// An effect on the outside.
    pub fn effect(&mut self, kind: abi::vote::EffectKind, payload: Vec<u8>) {
        self.records.push(Record::Effect { call: self.call, kind, payload });
    }

    /// Wakes all that wait for `thing`, at the end of the step.
    pub fn wake(&mut self, thing: Thing) {
        self.wakes.push(Wake::All(thing));
    }

    /// The open file description of a descriptor.
    pub fn open_of(&self, serial: u64, fd: u64) -> Result<(u64, &Open)> {
        let fd = self.process(serial).fds.get(&(fd as u32)).ok_or(EBADF)?;
        Ok((fd.open, self.opens.get(&fd.open).ok_or(EBADF)?))
    }

    /// The lowest free descriptor from `from` on, below the limit.
    pub fn free_fd(&self, serial: u64, from: u32) -> Result<u32> {
        let p = self.process(serial);
        let limit = p.limits.get(&crate::calls::limits::NOFILE).map_or(FDS_MAX as u64, |l| l.0);
        (from..(limit.min(FDS_MAX as u64)) as u32).find(|fd| p.fds.get(fd).is_none()).ok_or(EMFILE)
    }

    /// A new open file description, not yet named by a descriptor.
    pub fn add_open(&mut self, open: Open) -> Result<u64> {
        if self.opens.size() >= OPEN_FILES_MAX {
            return Err(ENFILE);
        }
        let number = self.next_open;
        self.next_open += 1;
        if let Node::File(inode) = open.node {
            self.files.hold(inode);
        }
        self.opens.insert_mut(number, open);
        Ok(number)
    }

    /// Names an open file description by a descriptor that is free.
    pub fn set_fd(&mut self, serial: u64, fd: u32, open: u64, cloexec: bool) {
        if let Some(o) = self.opens.get_mut(&open) {
            o.references += 1;
        }
        self.process_mut(serial).fds.insert_mut(fd, Fd { open, cloexec });
    }

    /// Closes a descriptor.
    pub fn close_fd(&mut self, serial: u64, fd: u32) -> Result<()> {
        let open = self.process(serial).fds.get(&fd).ok_or(EBADF)?.open;
        self.process_mut(serial).fds.remove_mut(&fd);
        let Some(o) = self.opens.get_mut(&open) else { return Ok(()) };
        o.references -= 1;
        if o.references == 0 {
            self.drop_open(open);
        }
        Ok(())
    }

    /// An open file description that nothing names any more.
    pub fn drop_open(&mut self, open: u64) {
        let Some(o) = self.opens.get(&open).cloned() else { return };
        self.opens.remove_mut(&open);
        if let Leads::Pipe(pipe, read, write) = o.leads {
            self.close_pipe(pipe, read, write);
        }
        if let Node::File(inode) = o.node {
            self.files.release(inode);
        }
    }
}
