//! Open file descriptions.

use crate::files::names::Entry;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// What is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory of the root file system, of /dev or /proc.
    Directory,
    /// A pipe's read end.
    PipeRead(u32),
    /// Its write end.
    PipeWrite(u32),
    /// Both ends of a FIFO.
    PipeBoth(u32),
    /// The terminal.
    Terminal,
    /// null, zero, full, random: the device's number.
    Device(u64),
    /// A text of /proc.
    Text(Vec<u8>),
    /// O_PATH.
    Path,
    /// O_PATH of a pipe without a name, by the link of one of its ends.
    PipePath(u32),
}

impl Kind {
    /// Its number in state digests and snapshots.
    pub fn number(&self) -> u8 {
        match self {
            Kind::File | Kind::Path | Kind::PipePath(_) => 0,
            Kind::Directory => 1,
            Kind::PipeRead(_) => 2,
            Kind::PipeWrite(_) | Kind::PipeBoth(_) => 3,
            Kind::Terminal => 4,
            Kind::Device(_) => 5,
            Kind::Text(_) => 6,
        }
    }

    /// Whether it was opened by O_PATH.
    pub fn is_path(&self) -> bool {
        matches!(self, Kind::Path | Kind::PipePath(_))
    }
}

/// What the link of an open file description in /proc shows, if that does not follow from what is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Name {
    /// Of directories and of pipes without a name: it follows.
    Own,
    /// The entry by which it was opened.
    Entry(Rc<Entry>),
    /// The path of this name in a directory of /dev or /proc.
    Mounted(u64, Vec<u8>),
}

/// An open file description.
pub struct OpenFile {
    /// What it is.
    pub kind: Kind,
    /// Its inode (0 of an anonymous pipe).
    pub inode: u64,
    /// Access mode and status flags.
    pub flags: u64,
    /// Position.
    pub offset: u64,
    /// Descriptors that lead here.
    pub refs: u32,
    /// What its link in /proc shows.
    pub name: Name,
    /// Opened with O_NONBLOCK while no writer had come yet: writers seen then.
    pub quiet_hangup: Option<u64>,
}

impl OpenFile {
    /// Whether it may be read.
    pub fn readable(&self) -> bool {
        matches!(self.flags & O_ACCMODE, 0 | O_RDWR) && !self.kind.is_path()
    }

    /// Whether it may be written.
    pub fn writable(&self) -> bool {
        matches!(self.flags & O_ACCMODE, O_WRONLY | O_RDWR) && !self.kind.is_path()
    }

    /// Whether its calls do not block.
    pub fn nonblocking(&self) -> bool {
        self.flags & O_NONBLOCK != 0
    }

    /// The pipe behind it: number, whether this end reads, whether it writes.
    pub fn pipe(&self) -> Option<(u32, bool, bool)> {
        match self.kind {
            Kind::PipeRead(p) => Some((p, true, false)),
            Kind::PipeWrite(p) => Some((p, false, true)),
            Kind::PipeBoth(p) => Some((p, true, true)),
            _ => None,
        }
    }

    /// The pipe without a name that it leads to, as an end of it or by O_PATH.
    pub fn nameless_pipe(&self) -> Option<u32> {
        match self.kind {
            Kind::PipePath(p) => Some(p),
            _ => self.pipe().map(|(p, ..)| p).filter(|_| self.inode == 0),
        }
    }
}

#[allow(missing_docs)] // arm64's open flags, each under its own name
mod flags {
    pub const O_ACCMODE: u64 = 3;
    pub const O_WRONLY: u64 = 1;
    pub const O_RDWR: u64 = 2;
    pub const O_CREAT: u64 = 0o100;
    pub const O_EXCL: u64 = 0o200;
    pub const O_NOCTTY: u64 = 0o400;
    pub const O_TRUNC: u64 = 0o1000;
    pub const O_APPEND: u64 = 0o2000;
    pub const O_NONBLOCK: u64 = 0o4000;
    pub const O_DIRECTORY: u64 = 0o40000;
    pub const O_NOFOLLOW: u64 = 0o100000;
    pub const O_DIRECT: u64 = 0o200000;
    pub const O_LARGEFILE: u64 = 0o400000;
    pub const O_CLOEXEC: u64 = 0o2000000;
    pub const O_PATH: u64 = 0o10000000;
    pub const O_TMPFILE: u64 = 0o20000000;
}
pub use flags::*;
