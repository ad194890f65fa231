//! From a path to a node.

use super::node::{Node, Proc};
use super::opened::Name;
use super::{ROOT, SYMLINK, TYPE};
use crate::errno::*;
use crate::state::{Leads, State};
use alloc::vec::Vec;

/// AT_FDCWD.
pub const HERE: i32 = -100;
/// Bytes of a path, without a zero at its end.
pub const PATH_MAX: usize = 4095;
const NAME_MAX: usize = 255;
const LINKS_MAX: u32 = 40;

/// Whether a link at the end of a path is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// It is.
    Follow,
    /// It is what is meant.
    Keep,
    /// Likewise, and it is looked up later: an overlong name is one that is not there ([`Walked::there`]).
    Later,
    /// For O_CREAT: as `Follow` (true) or `Keep`, and as Linux' open_last_lookups a name with a slash behind it is EISDIR before anybody looks whether it is
    /// there; of a link that is followed, the last name of its text.
    Create(bool),
}

impl Last {
    fn follows(self) -> bool {
        matches!(self, Last::Follow | Last::Create(true))
    }
}

/// Where a path led.
#[derive(Clone, Debug)]
pub struct Walked {
    /// The directory of the last name.
    pub dir: Node,
    /// The last name; empty, `.` or `..` where there is none of its own.
    pub name: Vec<u8>,
    /// What stands there.
    pub node: Option<Node>,
    /// The path ended in a slash.
    pub slash: bool,
    /// The name of the link of /proc that led there directly.
    pub led: Option<Name>,
}

impl Walked {
    /// The node, or ENOENT; of an overlong name ENAMETOOLONG.
    pub fn there(&self) -> Result<Node> {
        self.fits()?;
        self.node.ok_or(ENOENT)
    }

    /// Whether the last name is one that can be looked up.
    pub fn fits(&self) -> Result<()> {
        if self.name.len() > NAME_MAX { Err(ENAMETOOLONG) } else { Ok(()) }
    }
}

impl State {
    /// The node at which relative paths begin.
    pub fn start(&self, serial: u64, dirfd: u64, path: &[u8]) -> Result<Node> {
        if path.first() == Some(&b'/') {
            return Ok(Node::File(ROOT));
        }
        if dirfd as i32 == HERE {
            return Ok(self.process(serial).cwd);
        }
        let (_, open) = self.open_of(serial, dirfd & 0xffff_ffff)?;
        Ok(open.node)
    }

    /// Walks `path`. The last name may lack; all before it may not.
    pub fn walk(&self, serial: u64, dirfd: u64, path: &[u8], last: Last) -> Result<Walked> {
        if path.is_empty() {
            return Err(ENOENT);
        }
        let start = self.start(serial, dirfd, path)?;
        self.walk_from(serial, start, path, last, &mut 0)
    }

    fn walk_from(
        &self,
        serial: u64,
        start: Node,
        path: &[u8],
        last: Last,
        links: &mut u32,
    ) -> Result<Walked> {
        let mut dir = if path.first() == Some(&b'/') { Node::File(ROOT) } else { start };
        let parts: Vec<&[u8]> = path.split(|&b| b == b'/').filter(|p| !p.is_empty()).collect();
        let slash = path.last() == Some(&b'/');
        let Some((name, above)) = parts.split_last() else {
            return Ok(Walked { dir, name: Vec::new(), node: Some(dir), slash, led: None });
        };
        for part in above {
            dir = self.step(serial, dir, part, links)?;
        }
        if !self.is_directory(dir) {
            return Err(ENOTDIR);
        }
        if slash && matches!(last, Last::Create(_)) && !matches!(*name, b"." | b"..") {
            return Err(EISDIR);
        }
        if last != Last::Later {
            self.fits_in(dir, name)?;
        }
        let node = self.child(dir, name, serial);
        if let Some(n) = node
            && (last.follows() || slash)
            && self.is_link(n)
        {
            let last = if last.follows() { last } else { Last::Follow };
            let mut walked = self.follow(serial, dir, n, last, links)?;
            walked.slash |= slash;
            if walked.slash && walked.node.is_some_and(|n| !self.is_directory(n)) {
                return Err(ENOTDIR);
            }
            return Ok(walked);
        }
        if slash && node.is_some_and(|n| !self.is_directory(n)) {
            return Err(ENOTDIR);
        }
        Ok(Walked { dir, name: name.to_vec(), node, slash, led: None })
    }

    /// An overlong name; in a directory that was removed nothing is looked up, and nothing is there.
    fn fits_in(&self, dir: Node, name: &[u8]) -> Result<()> {
        match dir {
            _ if name.len() <= NAME_MAX => Ok(()),
            Node::File(n) => self.files.lives(n).and(Err(ENAMETOOLONG)),
            _ => Err(ENAMETOOLONG),
        }
    }

    /// Whether a node is a symbolic link.
    pub fn is_link(&self, node: Node) -> bool {
        self.stat(node).is_ok_and(|s| s.mode & TYPE == SYMLINK)
    }

    fn step(&self, serial: u64, dir: Node, name: &[u8], links: &mut u32) -> Result<Node> {
        if !self.is_directory(dir) {
            return Err(ENOTDIR);
        }
        self.fits_in(dir, name)?;
        let node = self.child(dir, name, serial).ok_or(ENOENT)?;
        if self.is_link(node) {
            self.follow(serial, dir, node, Last::Follow, links)?.there()
        } else {
            Ok(node)
        }
    }

    fn follow(&self, serial: u64, dir: Node, link: Node, last: Last, links: &mut u32) -> Result<Walked> {
        *links += 1;
        if *links > LINKS_MAX {
            return Err(ELOOP);
        }
        if let Some((node, name)) = self.magic(link, serial)? {
            let (dir, led) = (self.above(node), Some(name));
            return Ok(Walked { dir, name: b".".to_vec(), node: Some(node), slash: false, led });
        }
        let text = self.link_text(link, serial).ok_or(ENOENT)?;
        if text.is_empty() {
            return Err(ENOENT);
        }
        self.walk_from(serial, dir, &text, last, links)
    }

    /// For calls that make a name: its directory, if the name is new and may be made.
    pub fn place_for(&self, walked: &Walked) -> Result<u64> {
        if walked.node.is_some() {
            return Err(EEXIST);
        }
        match walked.dir {
            Node::File(dir) => self.files.lives(dir).map(|()| dir),
            Node::Proc(Proc::Root | Proc::Pid(_) | Proc::Entry(..)) => Err(EROFS),
            _ => Err(EROFS),
        }
    }

    /// The name of a node to which a path led.
    pub fn name_of(&mut self, walked: &Walked, node: Node) -> Name {
        match (&walked.led, walked.dir, node) {
            (Some(name), ..) => name.clone(),
            (None, Node::File(dir), Node::File(inode)) => self.files.name_of(dir, &walked.name, inode),
            _ => self.name_of_node(node),
        }
    }

    /// The name of a directory, or of what has no entry.
    pub fn name_of_node(&mut self, node: Node) -> Name {
        match node {
            Node::File(dir) => self.files.name_of_directory(dir),
            _ => Name::fixed(&self.path_of(node).unwrap_or_default()),
        }
    }

    /// What an open file reads and writes; EBADF for O_PATH.
    pub fn usable(&self, serial: u64, fd: u64) -> Result<(u64, crate::state::Open)> {
        let (number, open) = self.open_of(serial, fd & 0xffff_ffff)?;
        if matches!(open.leads, Leads::Path) { Err(EBADF) } else { Ok((number, open.clone())) }
    }
}
