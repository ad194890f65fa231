//! Inodes of the root file system.

use super::content::Content;
use super::dir::Dir;
use super::linux::*;
use alloc::vec::Vec;

/// A point in time as files keep it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Time {
    /// Seconds since 1970.
    pub sec: i64,
    /// Nanoseconds, below 10^9.
    pub nsec: u32,
}

impl Time {
    /// From the program's clock.
    pub fn from_us(us: u64) -> Time {
        Time { sec: (us / 1_000_000) as i64, nsec: (us % 1_000_000) as u32 * 1000 }
    }
}

/// What files of every kind have.
#[derive(Clone, Copy, Debug)]
pub struct Meta {
    /// Kind and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last read, as utimensat set it: reading never changes it.
    pub atime: Time,
    /// Last change of the contents.
    pub mtime: Time,
    /// Last change of anything.
    pub ctime: Time,
}

impl Meta {
    /// Root's file, made at `time`.
    pub fn new(mode: u32, time: Time) -> Meta {
        Meta { mode, uid: 0, gid: 0, atime: time, mtime: time, ctime: time }
    }
    /// The contents change at `time`.
    pub fn touch(&mut self, time: Time) {
        self.mtime = time;
        self.ctime = time;
    }
}

/// What is special to each kind.
#[derive(Debug)]
pub enum Body {
    /// A regular file.
    Regular(Content),
    /// A directory.
    Directory(Dir),
    /// A symbolic link's target.
    Link(Vec<u8>),
    /// A FIFO; its bytes are a pipe's.
    Fifo,
    /// A character or block device.
    Device(u64),
    /// A socket's name.
    Socket,
}

/// One file of the root file system.
#[derive(Debug)]
pub struct Inode {
    /// Mode, owner, times.
    pub meta: Meta,
    /// Names (for a directory: 1 while it has its name).
    pub links: u32,
    /// Open file descriptions and working directories that hold it.
    pub holds: u32,
    /// By kind.
    pub body: Body,
    /// Whether a call changed it since the start (mode, owner, names, contents or entries; times alone do not count).
    pub changed: bool,
    /// Whether it was made after the start.
    pub made: bool,
}

impl Inode {
    /// `st_nlink`.
    pub fn nlink(&self) -> u32 {
        match &self.body {
            Body::Directory(dir) if self.links > 0 => 2 + dir.subdirectories,
            _ => self.links,
        }
    }

    /// `st_size`.
    pub fn size(&self) -> u64 {
        match &self.body {
            Body::Regular(content) => content.size(),
            Body::Directory(_) => 4096,
            Body::Link(target) => target.len() as u64,
            _ => 0,
        }
    }

    /// `st_rdev`.
    pub fn rdev(&self) -> u64 {
        if let Body::Device(rdev) = self.body { rdev } else { 0 }
    }

    /// Its directory, if it is one.
    pub fn dir(&self) -> Option<&Dir> {
        if let Body::Directory(dir) = &self.body { Some(dir) } else { None }
    }

    /// Its directory, if it is one.
    pub fn dir_mut(&mut self) -> Option<&mut Dir> {
        if let Body::Directory(dir) = &mut self.body { Some(dir) } else { None }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        self.dir().is_some()
    }
}

/// `d_type` of a mode.
pub fn d_type(mode: u32) -> u8 {
    ((mode & S_IFMT) >> 12) as u8
}
