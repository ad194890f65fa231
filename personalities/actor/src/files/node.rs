//! Nodes of the root file system: image members and what was made since stand in one table, by inode number.

use crate::files::data::Data;
use crate::files::dentry::Dentry;
use crate::pipes::PipeId;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;

/// An inode number. It also says of which file system: see [`Realm`].
pub type NodeId = u64;

/// `/`.
pub const ROOT: NodeId = 1;
/// `/dev`; its entries follow.
pub const DEV: NodeId = 1 << 32;
/// `/proc`; its fixed entries follow, then 1024 numbers for each pid.
pub const PROC: NodeId = 1 << 33;
/// Pipes that no directory holds, by their own number.
pub const PIPES: NodeId = 1 << 48;

pub const S_IFMT: u32 = 0o170000;
pub const S_IFIFO: u32 = 0o010000;
pub const S_IFCHR: u32 = 0o020000;
pub const S_IFDIR: u32 = 0o040000;
pub const S_IFBLK: u32 = 0o060000;
pub const S_IFREG: u32 = 0o100000;
pub const S_IFLNK: u32 = 0o120000;
pub const S_IFSOCK: u32 = 0o140000;

/// Which file system a node belongs to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Realm {
    Root,
    Dev,
    Proc,
    Pipe,
}

/// The file system of a node.
pub fn realm(node: NodeId) -> Realm {
    match node {
        ..DEV => Realm::Root,
        DEV..PROC => Realm::Dev,
        PROC..PIPES => Realm::Proc,
        PIPES.. => Realm::Pipe,
    }
}

/// A moment, seconds and nanoseconds since 1970.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Stamp {
    pub seconds: i64,
    pub nanoseconds: u32,
}

impl Stamp {
    /// Microseconds since 1970, of a moment on the program's clock.
    pub fn us(&self) -> u64 {
        self.seconds as u64 * 1_000_000 + u64::from(self.nanoseconds / 1000)
    }

    /// Nanoseconds since 1970; the nearest that there is, for what a program may set.
    pub fn ns(&self) -> i64 {
        self.seconds.saturating_mul(1_000_000_000).saturating_add(self.nanoseconds.into())
    }

    pub fn from_ns(ns: i64) -> Stamp {
        let nanoseconds = ns.rem_euclid(1_000_000_000) as u32;
        Stamp { seconds: ns.div_euclid(1_000_000_000), nanoseconds }
    }

    pub fn from_us(us: u64) -> Stamp {
        Stamp { seconds: (us / 1_000_000) as i64, nanoseconds: (us % 1_000_000 * 1000) as u32 }
    }
}

/// A directory's entries.
pub struct Directory {
    pub parent: NodeId,
    /// Its own.
    pub dentry: Rc<Dentry>,
    /// By sequence number within the directory.
    pub entries: BTreeMap<u64, (Vec<u8>, NodeId)>,
    index: BTreeMap<Vec<u8>, Place>,
    next: u64,
}

/// Where a name is among the entries, and its dentry, if somebody has it.
struct Place {
    sequence: u64,
    dentry: Weak<Dentry>,
}

impl Directory {
    /// Without entries; its own is to be made when it gets one.
    pub fn new(parent: NodeId) -> Directory {
        let (entries, index) = (BTreeMap::new(), BTreeMap::new());
        Directory { parent, dentry: Dentry::unknown(), entries, index, next: 0 }
    }

    /// The sequence number that the next entry gets.
    pub fn next(&self) -> u64 {
        self.next
    }

    pub fn find(&self, name: &[u8]) -> Option<NodeId> {
        self.entries.get(&self.index.get(name)?.sequence).map(|(_, node)| *node)
    }

    /// An entry of a snapshot. `false`: its name or number is taken.
    pub fn restore(&mut self, sequence: u64, name: &[u8], node: NodeId) -> bool {
        let new = self.entries.insert(sequence, (name.to_vec(), node)).is_none();
        new && self.index.insert(name.to_vec(), Place { sequence, dentry: Weak::new() }).is_none()
    }

    /// The next entry gets this sequence number.
    pub fn count_from(&mut self, next: u64) {
        self.next = next;
    }

    /// The dentry of an entry.
    pub fn dentry(&mut self, name: &[u8]) -> Option<Rc<Dentry>> {
        let place = self.index.get_mut(name)?;
        Some(place.dentry.upgrade().unwrap_or_else(|| {
            let made = Dentry::new(self.dentry.clone(), name);
            place.dentry = Rc::downgrade(&made);
            made
        }))
    }

    /// An entry's dentry is this one.
    pub fn set_dentry(&mut self, name: &[u8], dentry: &Rc<Dentry>) {
        if let Some(place) = self.index.get_mut(name) {
            place.dentry = Rc::downgrade(dentry);
        }
    }

    /// A new entry at the end, with the dentry that it had elsewhere.
    pub fn add(&mut self, name: &[u8], node: NodeId, dentry: Weak<Dentry>) {
        self.index.insert(name.to_vec(), Place { sequence: self.next, dentry });
        self.entries.insert(self.next, (name.to_vec(), node));
        self.next += 1;
    }

    /// Takes an entry out; its dentry.
    pub fn remove(&mut self, name: &[u8]) -> Weak<Dentry> {
        let Some(place) = self.index.remove(name) else { return Weak::new() };
        self.entries.remove(&place.sequence);
        place.dentry
    }
}

/// What a node is.
pub enum Body {
    File(Data),
    Directory(Directory),
    Link(Vec<u8>),
    /// With the pipe that is open on it.
    Fifo(Option<PipeId>),
    /// Device number as in st_rdev.
    Device(u64),
    Socket,
}

/// A node.
pub struct Node {
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub links: u32,
    /// Access, modification, change.
    pub times: [Stamp; 3],
    pub body: Body,
    /// It counts as a part of the writable layer's state.
    pub changed: bool,
    /// Open file descriptions and working directories that hold it.
    pub holds: u32,
}

impl Node {
    pub fn is_directory(&self) -> bool {
        matches!(self.body, Body::Directory(_))
    }
}
