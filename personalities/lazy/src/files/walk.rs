//! Paths: from a string to an inode, through directories, links, /dev and /proc.

use super::procfs::{self, PROC};
use super::{Body, NAME_MAX, ROOT, S_IFDIR, S_IFLNK, S_IFMT, device};
use crate::errno::*;
use crate::hw::Hardware;
use crate::kernel::Kernel;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Most symbolic links in one walk.
const LINKS_MAX: u32 = 40;
/// AT_FDCWD as a program passes it.
pub const AT_FDCWD: i32 = -100;

/// What a walk leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// An inode.
    Inode(u64),
    /// An open file description, by a link of the caller's own /proc/self/fd.
    Open(u32),
}

/// The last component of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name.
    Name(Vec<u8>),
    /// "."
    Dot,
    /// ".."
    DotDot,
    /// There is none: the path is "/".
    Root,
}

/// What a walk does at its last name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// A link is followed.
    pub follow: bool,
    /// What is not there is to be made, as a file: a slash behind the last name, be it the path's or that of the link followed last, is EISDIR,
    /// whatever is there.
    pub create: bool,
}

/// Where a walk ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Walked {
    /// The directory of the last component.
    pub dir: u64,
    /// The last component.
    pub last: Last,
    /// What it is; none if it does not exist.
    pub node: Option<Node>,
    /// The path ends with a slash.
    pub slash: bool,
}

impl Walked {
    /// It exists.
    pub fn found(&self) -> Result<Node> {
        self.node.ok_or(ENOENT)
    }

    /// The last component, if it is a name.
    pub fn name(&self) -> Option<&[u8]> {
        match &self.last {
            Last::Name(n) => Some(n),
            _ => None,
        }
    }
}

/// The components of a path.
fn parts(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|b| *b == b'/').filter(|c| !c.is_empty()).map(<[u8]>::to_vec).collect()
}

impl<H: Hardware> Kernel<H> {
    /// The mode of inode `ino`, wherever it lies.
    pub fn mode_of(&self, ino: u64) -> Result<u32> {
        Ok(self.stat_inode(ino)?.mode)
    }

    /// Whether inode `ino` is a directory, wherever it lies.
    pub fn is_directory(&self, ino: u64) -> bool {
        self.mode_of(ino).is_ok_and(|m| m & S_IFMT == S_IFDIR)
    }

    /// `name` in directory `dir`.
    pub fn lookup(&self, dir: u64, name: &[u8]) -> Result<u64> {
        if name.len() > NAME_MAX {
            // A directory that was removed is asked for no name, however long.
            let removed = self.stat_inode(dir).is_ok_and(|s| s.nlink == 0);
            return Err(if removed { ENOENT } else { ENAMETOOLONG });
        }
        match dir {
            ROOT if name == b"dev" => Ok(device::DEV),
            ROOT if name == b"proc" => Ok(PROC),
            device::DEV => {
                let i = device::ENTRIES.iter().position(|(n, _)| *n == name).ok_or(ENOENT)?;
                Ok(device::DEV + 1 + i as u64)
            }
            PROC.. => self.proc_lookup(dir, name).ok_or(ENOENT),
            _ => self.files.directory(dir)?.find(name).ok_or(ENOENT),
        }
    }

    /// The directory above `dir`.
    pub fn above(&self, dir: u64) -> u64 {
        match dir {
            device::DEV | PROC => ROOT,
            PROC.. => match procfs::node(dir) {
                Some(procfs::Node::Entry(pid, _)) => PROC + 1024 * u64::from(pid),
                _ => PROC,
            },
            _ => self.files.directory(dir).map_or(ROOT, |d| d.parent),
        }
    }

    /// The path of a directory of /dev or /proc; none if its process is gone.
    pub fn path_of_mounted(&self, dir: u64) -> Option<Vec<u8>> {
        let (mut at, mut parts, mut path) = (dir, Vec::new(), Vec::new());
        while at != ROOT {
            let above = self.above(at);
            parts.push(match at {
                device::DEV => b"dev".to_vec(),
                PROC => b"proc".to_vec(),
                _ => self.proc_list(above).into_iter().find(|e| e.2 == at)?.1,
            });
            at = above;
        }
        for part in parts.iter().rev() {
            path.push(b'/');
            path.extend_from_slice(part);
        }
        Some(path)
    }

    /// Where symbolic link `ino` leads, as text; `None`: it is no link.
    pub fn link_text(&self, serial: u64, ino: u64) -> Result<Option<Vec<u8>>> {
        if let Some(n) = procfs::node(ino) {
            return if n.is_link() { self.proc_link(serial, n)?.map(Some).ok_or(ENOENT) } else { Ok(None) };
        }
        if device::is_dev(ino) {
            return Ok(match device::entry(ino) {
                Some(device::Entry::Link(to)) => Some(to.to_vec()),
                _ => None,
            });
        }
        Ok(match &self.files.inode(ino)?.body {
            Body::Link(to) => Some(to.clone()),
            _ => None,
        })
    }

    /// A link of /proc that leads to a thing, not to a path. ENOENT: it leads to a program whose file is gone, and never where its text says; or its
    /// process has ended.
    fn magic(&self, serial: u64, ino: u64) -> Result<Option<Node>> {
        let Some(p) = self.process_of(serial) else { return Ok(None) };
        Ok(match procfs::node(ino) {
            Some(procfs::Node::Link(pid, fd)) if pid == p.pid => p.descriptor(fd).map(|d| Node::Open(d.file)),
            Some(procfs::Node::Entry(pid, b"cwd")) => Some(Node::Inode(self.living(pid).ok_or(ENOENT)?.cwd)),
            Some(procfs::Node::Entry(pid, b"exe")) => {
                let exe = self.living(pid).ok_or(ENOENT)?.exe.0;
                self.files.inode(exe)?;
                Some(Node::Inode(exe))
            }
            _ => None,
        })
    }

    /// The directory that paths of this call begin at.
    pub fn base(&self, serial: u64, dirfd: u64, path: &[u8]) -> Result<u64> {
        let p = self.process_of(serial).ok_or(ESRCH)?;
        if path.first() == Some(&b'/') {
            return Ok(ROOT);
        }
        if dirfd as i32 == AT_FDCWD {
            return Ok(p.cwd);
        }
        let file = p.descriptor(u64::from(dirfd as u32)).and_then(|d| self.open.get(d.file)).ok_or(EBADF)?;
        if self.is_directory(file.inode) { Ok(file.inode) } else { Err(ENOTDIR) }
    }

    /// Walks `path`. `follow`: a link at its end is followed.
    pub fn walk(&self, serial: u64, dirfd: u64, path: &[u8], follow: bool) -> Result<Walked> {
        self.walk_to(serial, dirfd, path, End { follow, create: false })
    }

    /// Walks `path` to such an end.
    pub fn walk_to(&self, serial: u64, dirfd: u64, path: &[u8], end: End) -> Result<Walked> {
        // The order of errors is Linux': an empty path before the descriptor.
        if path.is_empty() {
            return Err(ENOENT);
        }
        let mut dir = self.base(serial, dirfd, path)?;
        let mut todo = VecDeque::from(parts(path));
        let mut slash = path.last() == Some(&b'/');
        let mut links = 0;
        let mut last = Last::Root;
        let mut above = dir;
        while let Some(name) = todo.pop_front() {
            if !self.is_directory(dir) {
                return Err(ENOTDIR);
            }
            above = dir;
            if name == b"." || name == b".." {
                last = if name == b"." { Last::Dot } else { Last::DotDot };
                dir = if name == b"." { dir } else { self.above(dir) };
                continue;
            }
            last = Last::Name(name.clone());
            let at_end = todo.is_empty();
            let ino = match self.lookup(dir, &name) {
                _ if end.create && at_end && slash => return Err(EISDIR),
                Ok(ino) => ino,
                Err(ENOENT) if at_end => return Ok(Walked { dir, last, node: None, slash }),
                Err(e) => return Err(e),
            };
            let is_link = self.mode_of(ino)? & S_IFMT == S_IFLNK;
            if !is_link || at_end && !end.follow && !slash {
                if at_end {
                    let wrong = slash && !self.is_directory(ino);
                    let end = Walked { dir, last, node: Some(Node::Inode(ino)), slash };
                    return if wrong { Err(ENOTDIR) } else { Ok(end) };
                }
                dir = ino;
                continue;
            }
            links += 1;
            if links > LINKS_MAX {
                return Err(ELOOP);
            }
            if let Some(node) = self.magic(serial, ino)? {
                match node {
                    _ if at_end && !slash => return Ok(Walked { dir, last, node: Some(node), slash }),
                    Node::Inode(i) => dir = i,
                    Node::Open(f) => dir = self.open.get(f).ok_or(ENOENT)?.inode,
                }
                if at_end {
                    break;
                }
                continue;
            }
            let text = self.link_text(serial, ino)?.filter(|t| !t.is_empty()).ok_or(ENOENT)?;
            if text.first() == Some(&b'/') {
                dir = ROOT;
            }
            slash |= at_end && text.last() == Some(&b'/');
            let parts = parts(&text);
            if parts.is_empty() {
                last = Last::Root;
            }
            parts.into_iter().rev().for_each(|part| todo.push_front(part));
        }
        if !self.is_directory(dir) {
            return Err(ENOTDIR);
        }
        Ok(Walked { dir: above, last, node: Some(Node::Inode(dir)), slash })
    }
}
