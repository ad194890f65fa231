//! The file server: nodes and names, handles (open file descriptions), and each process' table of descriptors. Pipes and the terminal are
//! others' business; it only knows who has them open.

pub mod cpio;
pub mod data;
pub mod dentry;
mod digest;
pub mod flags;
mod list;
mod make;
pub mod node;
mod open;
mod rename;
mod restore;
mod snapshot;
mod stat;
pub mod table;
#[cfg(test)]
mod test;
mod transfer;
pub mod virtuals;
pub mod walk;

use crate::error::{Res, e};
use crate::memory::Source;
use crate::turns::Serial;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::collections::BTreeMap;
use alloc::rc::Weak;
use alloc::vec::Vec;
pub use dentry::{Dentry, Told};
pub use digest::Numbering;
use node::{Body, Directory, Node, NodeId, ROOT, S_IFDIR, S_IFLNK, S_IFMT, S_IFREG, Stamp};
pub use open::Opened;
pub use open::What;
pub use stat::{Attributes, Inode, SetTime};
pub use table::{Handle, HandleId, Target};
pub use virtuals::{Device, Text};
pub use walk::Follow;

/// The server's state.
pub struct Files {
    nodes: BTreeMap<NodeId, Node>,
    next_node: NodeId,
    /// What the image has, by number from ROOT on: the bytes of regular files, and the time of all.
    members: Vec<(Option<&'static [u8]>, Stamp)>,
    /// Numbers from here on were made since the start.
    first_made: NodeId,
    /// Pages counted against FILE_PAGES.
    pages: u64,
    /// Nodes made and not gone.
    made: u64,
    handles: BTreeMap<HandleId, Handle>,
    next_handle: HandleId,
    tables: BTreeMap<Serial, table::Table>,
    /// Who is in /proc.
    people: BTreeMap<u32, Serial>,
    /// The clock, as the turn server said last.
    now: Stamp,
    /// Times of /dev and /proc.
    boot: Stamp,
}

impl Files {
    /// The file system of a root image.
    pub fn new(image: &'static [u8], boot_us: u64) -> Files {
        let boot = Stamp::from_us(boot_us);
        let mut files = Files {
            nodes: BTreeMap::new(),
            next_node: ROOT + 1,
            members: alloc::vec![(None, boot)],
            first_made: 0,
            pages: 0,
            made: 0,
            handles: BTreeMap::new(),
            next_handle: 1,
            tables: BTreeMap::new(),
            people: BTreeMap::new(),
            now: boot,
            boot,
        };
        let mut root = Directory::new(ROOT);
        root.dentry = Dentry::root();
        files.nodes.insert(
            ROOT,
            Node {
                mode: S_IFDIR | 0o755,
                uid: 0,
                gid: 0,
                links: 2,
                times: [boot; 3],
                body: Body::Directory(root),
                changed: false,
                holds: 1,
            },
        );
        cpio::members(image).for_each(|m| files.add_member(&m));
        files.first_made = files.next_node;
        files
    }

    /// Adds an image member; one without a parent in the image is left out, but keeps its number.
    fn add_member(&mut self, m: &cpio::Member) {
        let time = Stamp { seconds: m.mtime.into(), nanoseconds: 0 };
        let mut parts: Vec<&[u8]> =
            m.path.split(|b| *b == b'/').filter(|p| !p.is_empty() && *p != b".").collect();
        let Some(name) = parts.pop() else {
            if let Some(root) = self.nodes.get_mut(&ROOT) {
                root.mode = S_IFDIR | m.mode & 0o7777;
                (root.uid, root.gid, root.times) = (m.uid, m.gid, [time; 3]);
                self.members[0].1 = time;
            }
            return;
        };
        let id = self.next_node;
        self.next_node += 1;
        self.members.push(((m.mode & S_IFMT == S_IFREG).then_some(m.data), time));
        let mut parent = ROOT;
        for part in parts {
            match self.directory(parent).ok().and_then(|d| d.find(part)) {
                Some(next) => parent = next,
                None => return,
            }
        }
        let mut body = match m.mode & S_IFMT {
            S_IFDIR => Body::Directory(Directory::new(parent)),
            S_IFREG => Body::File(data::Data::of_image(m.data)),
            S_IFLNK => Body::Link(m.data.to_vec()),
            node::S_IFIFO => Body::Fifo(None),
            node::S_IFCHR | node::S_IFBLK => Body::Device(m.rdev),
            node::S_IFSOCK => Body::Socket,
            _ => return,
        };
        let is_directory = m.mode & S_IFMT == S_IFDIR;
        let Ok(directory) = self.directory_mut(parent) else { return };
        if directory.find(name).is_some() {
            return;
        }
        directory.add(name, id, Weak::new());
        if let Body::Directory(d) = &mut body {
            d.dentry = Dentry::new(directory.dentry.clone(), name);
            directory.set_dentry(name, &d.dentry);
        }
        if let Some(p) = self.nodes.get_mut(&parent).filter(|_| is_directory) {
            p.links += 1;
        }
        let links = if is_directory { 2 } else { 1 };
        let (mode, uid, gid) = (m.mode, m.uid, m.gid);
        let node = Node { mode, uid, gid, links, times: [time; 3], body, changed: false, holds: 0 };
        self.nodes.insert(id, node);
    }

    /// Message of the turn server: what time it is for the call that follows.
    pub fn set_time(&mut self, us: u64) {
        self.now = Stamp::from_us(us);
    }

    fn node(&self, id: NodeId) -> Res<&Node> {
        self.nodes.get(&id).ok_or(e::ENOENT)
    }

    fn node_mut(&mut self, id: NodeId) -> Res<&mut Node> {
        self.nodes.get_mut(&id).ok_or(e::ENOENT)
    }

    fn directory(&self, id: NodeId) -> Res<&Directory> {
        match &self.node(id)?.body {
            Body::Directory(d) => Ok(d),
            _ => Err(e::ENOTDIR),
        }
    }

    fn directory_mut(&mut self, id: NodeId) -> Res<&mut Directory> {
        match &mut self.node_mut(id)?.body {
            Body::Directory(d) => Ok(d),
            _ => Err(e::ENOTDIR),
        }
    }

    /// Pages that files may still take.
    pub fn pages_left(&self) -> u64 {
        FILE_PAGES - self.pages
    }

    /// Nodes that may still be made.
    pub fn nodes_left(&self) -> u64 {
        INODES_MAX - self.made
    }

    /// The contents of a regular file, to map or to load.
    pub fn source(&self, node: NodeId) -> Option<Source> {
        match &self.nodes.get(&node)?.body {
            Body::File(data) => Some(data.source()),
            _ => None,
        }
    }

    /// One holder more.
    fn hold(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(&node) {
            n.holds += 1;
        }
    }

    /// One holder less.
    fn let_go(&mut self, node: NodeId) {
        if let Some(n) = self.nodes.get_mut(&node) {
            n.holds -= 1;
        }
        self.bury(node);
    }

    /// A node without names and holders goes, and gives back what was counted for it.
    fn bury(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get(&id) else { return };
        if node.links > 0 || node.holds > 0 {
            return;
        }
        if let Body::File(data) = &node.body {
            self.pages -= data.counted();
        }
        if id >= self.first_made {
            self.made -= 1;
        }
        self.nodes.remove(&id);
    }

    /// Whether anybody has this FIFO's pipe open is the pipe server's knowledge; here is the pipe that stands for it.
    pub fn fifo(&mut self, node: NodeId) -> Option<&mut Option<crate::pipes::PipeId>> {
        match &mut self.nodes.get_mut(&node)?.body {
            Body::Fifo(pipe) => Some(pipe),
            _ => None,
        }
    }
}

impl Files {
    /// A FIFO's pipe has gone: nobody has it open.
    pub fn pipe_gone(&mut self, pipe: crate::pipes::PipeId) {
        for node in self.nodes.values_mut() {
            if let Body::Fifo(own) = &mut node.body
                && *own == Some(pipe)
            {
                *own = None;
            }
        }
    }
}
