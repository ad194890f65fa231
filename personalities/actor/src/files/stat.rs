//! What stat, statx and statfs tell, and what chmod, chown and utimensat change.

use super::Files;
use super::node::{Body, NodeId, PIPES, Realm, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, Stamp, realm};
use crate::bytes::Out;
use crate::error::{Res, e};
use crate::page::PAGE;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::vec::Vec;

/// st_dev of /proc.
const PROC_DEV: u64 = 2;

/// Attributes of a node.
#[derive(Clone, Copy, Debug)]
pub struct Attributes {
    pub dev: u64,
    pub ino: u64,
    pub mode: u32,
    pub links: u32,
    pub uid: u32,
    pub gid: u32,
    pub rdev: u64,
    pub size: u64,
    pub times: [Stamp; 3],
}

/// A time that utimensat sets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    Omit,
    Now,
    To(Stamp),
}

/// What chmod and its kin change of anything that has no place in a directory: of a pipe without a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inode {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub times: [Stamp; 3],
}

impl Inode {
    /// A pipe's, made now.
    pub fn of_pipe(made: Stamp) -> Inode {
        Inode { mode: S_IFIFO | 0o600, uid: 0, gid: 0, times: [made; 3] }
    }

    pub fn chmod(&mut self, mode: u32, now: Stamp) {
        self.mode = self.mode & S_IFMT | mode & 0o7777;
        self.times[2] = now;
    }

    pub fn chown(&mut self, uid: u32, gid: u32, now: Stamp) {
        self.uid = if uid == u32::MAX { self.uid } else { uid };
        self.gid = if gid == u32::MAX { self.gid } else { gid };
        self.mode = mode_after_chown(self.mode);
        self.times[2] = now;
    }

    pub fn set_times(&mut self, times: [SetTime; 2], now: Stamp) {
        self.times = times_after(self.times, times, now);
    }
}

/// A change of the owner takes S_ISUID away, and S_ISGID from what the group may execute; not from directories.
fn mode_after_chown(mode: u32) -> u32 {
    match mode & S_IFMT {
        S_IFDIR => mode,
        _ if mode & 0o2010 == 0o2010 => mode & !0o6000,
        _ => mode & !0o4000,
    }
}

fn times_after(old: [Stamp; 3], set: [SetTime; 2], now: Stamp) -> [Stamp; 3] {
    let one = |old, set| match set {
        SetTime::Omit => old,
        SetTime::Now => now,
        SetTime::To(stamp) => stamp,
    };
    [one(old[0], set[0]), one(old[1], set[1]), now]
}

impl Attributes {
    /// Of a pipe without a name.
    pub fn of_pipe(ino: u64, inode: &Inode) -> Attributes {
        let Inode { mode, uid, gid, times } = *inode;
        Attributes { dev: 4, ino, mode, links: 1, uid, gid, rdev: 0, size: 0, times }
    }

    /// Execute permission for uid 0: any x bit.
    pub fn executable(&self) -> bool {
        self.mode & S_IFMT == S_IFDIR || self.mode & 0o111 != 0
    }

    /// st_blocks, of 512 bytes each.
    fn blocks(&self) -> u64 {
        match self.mode & S_IFMT {
            S_IFDIR => 8,
            // Nothing is stored there: a descriptor's link has a size, but no page.
            _ if self.dev == PROC_DEV => 0,
            S_IFREG => self.size.div_ceil(PAGE) * 8,
            S_IFLNK if self.size >= 60 => self.size.div_ceil(PAGE) * 8,
            _ => 0,
        }
    }

    /// `struct stat` (asm-generic).
    pub fn stat(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.u64(self.dev).u64(self.ino).u32(self.mode).u32(self.links).u32(self.uid).u32(self.gid);
        out.u64(self.rdev).u64(0).u64(self.size).u32(PAGE as u32).u32(0).u64(self.blocks());
        for t in self.times {
            out.u64(t.seconds as u64).u64(t.nanoseconds.into());
        }
        out.u64(0);
        out.0
    }

    /// `struct statx`.
    pub fn statx(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.u32(0x7ff).u32(PAGE as u32).u64(0).u32(self.links).u32(self.uid).u32(self.gid);
        out.u16(self.mode as u16).u16(0).u64(self.ino).u64(self.size).u64(self.blocks()).u64(0);
        let time = |out: &mut Out, t: Stamp| {
            out.u64(t.seconds as u64).u32(t.nanoseconds).u32(0);
        };
        time(&mut out, self.times[0]);
        time(&mut out, Stamp::default());
        time(&mut out, self.times[2]);
        time(&mut out, self.times[1]);
        for number in [self.rdev, self.dev] {
            let (major, minor) = (number >> 8 & 0xfff, number & 0xff | number >> 12 & 0xf_ff00);
            out.u32(major as u32).u32(minor as u32);
        }
        out.to(256);
        out.0
    }
}

impl Files {
    /// Attributes of any node but a nameless pipe.
    pub fn attributes(&self, id: NodeId) -> Res<Attributes> {
        match realm(id) {
            Realm::Root => {}
            Realm::Pipe => return Err(e::ENOENT),
            r => {
                let (mode, rdev, size, links) = self.virtual_attributes(id)?;
                let dev = if r == Realm::Proc { PROC_DEV } else { 3 };
                let times = [self.boot; 3];
                return Ok(Attributes { dev, ino: id, mode, links, uid: 0, gid: 0, rdev, size, times });
            }
        }
        let n = self.node(id)?;
        let (size, rdev) = match &n.body {
            Body::File(data) => (data.size, 0),
            Body::Directory(_) => (PAGE, 0),
            Body::Link(to) => (to.len() as u64, 0),
            Body::Device(number) => (0, *number),
            Body::Fifo(_) | Body::Socket => (0, 0),
        };
        let (mode, links, uid, gid, times) = (n.mode, n.links, n.uid, n.gid, n.times);
        Ok(Attributes { dev: 1, ino: id, mode, links, uid, gid, rdev, size, times })
    }

    /// A node whose attributes change now. (Those of a pipe without a name are the pipe server's.)
    fn touch(&mut self, id: NodeId) -> Res<&mut super::node::Node> {
        if realm(id) != Realm::Root {
            return Err(e::EROFS);
        }
        let now = self.now;
        let node = self.node_mut(id)?;
        node.times[2] = now;
        Ok(node)
    }

    pub fn chmod(&mut self, id: NodeId, mode: u32) -> Res {
        let node = self.touch(id)?;
        node.changed = true;
        node.mode = node.mode & S_IFMT | mode & 0o7777;
        Ok(())
    }

    /// `u32::MAX` leaves an id as it is.
    pub fn chown(&mut self, id: NodeId, uid: u32, gid: u32) -> Res {
        let node = self.touch(id)?;
        node.changed = true;
        node.uid = if uid == u32::MAX { node.uid } else { uid };
        node.gid = if gid == u32::MAX { node.gid } else { gid };
        node.mode = mode_after_chown(node.mode);
        Ok(())
    }

    /// Access and modification time.
    pub fn set_times(&mut self, id: NodeId, times: [SetTime; 2]) -> Res {
        let now = self.now;
        let node = self.touch(id)?;
        node.times = times_after(node.times, times, now);
        Ok(())
    }

    /// `struct statfs64` of the file system that holds a node.
    pub fn statfs(&self, id: NodeId) -> Vec<u8> {
        let (kind, counts) = match realm(id) {
            Realm::Root => {
                let (pages, nodes) = (self.pages_left(), self.nodes_left());
                (0x8584_58f6, [FILE_PAGES, pages, pages, INODES_MAX, nodes])
            }
            Realm::Proc => (0x9fa0, [0; 5]),
            Realm::Dev => (0x0102_1994, [0; 5]),
            Realm::Pipe => (0x5049_5045, [0; 5]),
        };
        let mut out = Out::default();
        out.u64(kind).u64(PAGE);
        counts.iter().for_each(|c| _ = out.u64(*c));
        out.u64(0).u64(255).u64(PAGE).u64(0).to(120);
        out.0
    }

    /// The inode number that programs see.
    pub fn inode(id: NodeId) -> u64 {
        if id >= PIPES { id - PIPES } else { id }
    }

    /// As [`Attributes::executable`].
    pub fn executable(&self, id: NodeId) -> bool {
        self.attributes(id).is_ok_and(|a| a.executable())
    }
}
