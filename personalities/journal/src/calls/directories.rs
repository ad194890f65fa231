//! Names: listing, making, removing, renaming; the working directory.

use super::{Args, Outcome, done, ok};
use crate::errno::*;
use crate::fs::node::Node;
use crate::fs::opened::Name;
use crate::fs::path::{HERE, Last, PATH_MAX, Walked};
use crate::fs::{CHARACTER, DIRECTORY, FIFO, REGULAR, SYMLINK, TYPE, device};
use crate::state::{Leads, State};
use alloc::vec::Vec;

const REMOVE_DIRECTORY: u32 = 0x200;
const SYMLINK_FOLLOW: u64 = 0x400;
const EMPTY_PATH: u64 = 0x1000;
const BLOCK: u32 = 0o060000;
const SOCKET: u32 = 0o140000;

impl State {
    /// getdents64.
    pub fn getdents(&mut self, s: u64, fd: u64, at: u64, room: u64) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        let Leads::Directory(dir) = open.leads else { return Err(ENOTDIR) };
        if let Node::File(n) = dir {
            self.files.lives(n)?;
        }
        // Linux' room is an int: nothing fits into 2^31 bytes or more.
        let room = (room as i32).max(0) as u64;
        let (mut out, mut position) = (Vec::new(), open.offset);
        let own = self.stat(dir)?.inode;
        let above = self.stat(self.above(dir))?.inode;
        let dots = [(1, own, DIRECTORY, &b"."[..]), (2, above, DIRECTORY, &b".."[..])];
        let listed = self.list(dir, position.saturating_sub(2));
        let entries = listed.iter().map(|(slot, inode, mode, name)| (slot + 3, *inode, *mode, &name[..]));
        for (next, inode, mode, name) in dots.into_iter().chain(entries).filter(|e| e.0 > open.offset) {
            let size = (19 + name.len() + 1).next_multiple_of(8);
            if (out.len() + size) as u64 > room {
                if out.is_empty() {
                    return Err(EINVAL);
                }
                break;
            }
            let start = out.len();
            out.extend_from_slice(&inode.to_le_bytes());
            out.extend_from_slice(&next.to_le_bytes());
            out.extend_from_slice(&(size as u16).to_le_bytes());
            out.push(((mode & TYPE) >> 12) as u8);
            out.extend_from_slice(name);
            out.resize(start + size, 0);
            position = next;
        }
        self.space(s).put(at, &out)?;
        if let Some(o) = self.opens.get_mut(&number) {
            o.offset = position;
        }
        done(out.len())
    }

    /// getcwd.
    pub fn getcwd(&mut self, s: u64, at: u64, size: u64) -> Result<Outcome> {
        let mut path = self.path_of(self.process(s).cwd).ok_or(ENOENT)?;
        if path.len() > PATH_MAX {
            return Err(ENAMETOOLONG);
        }
        path.push(0);
        if path.len() as u64 > size {
            return Err(ERANGE);
        }
        self.space(s).put(at, &path)?;
        done(path.len())
    }

    fn enter(&mut self, s: u64, node: Node, name: Name) -> Result<Outcome> {
        if !self.is_directory(node) {
            return Err(ENOTDIR);
        }
        if let Node::File(new) = node {
            self.files.hold(new);
        }
        self.process_mut(s).cwd_name = name;
        let old = core::mem::replace(&mut self.process_mut(s).cwd, node);
        if let Node::File(old) = old {
            self.files.release(old);
        }
        ok()
    }

    /// chdir.
    pub fn chdir(&mut self, s: u64, path: u64) -> Result<Outcome> {
        let path = self.path_argument(s, path)?;
        let walked = self.walk(s, HERE as u64, &path, Last::Follow)?;
        let node = walked.there()?;
        let name = self.name_of(&walked, node);
        self.enter(s, node, name)
    }

    /// fchdir.
    pub fn fchdir(&mut self, s: u64, fd: u64) -> Result<Outcome> {
        let (_, open) = self.open_of(s, fd & 0xffff_ffff)?;
        let (node, name) = (open.node, open.name.clone());
        self.enter(s, node, name)
    }

    fn walk_new(&mut self, s: u64, dirfd: u64, path: u64) -> Result<Walked> {
        let path = self.path_argument(s, path)?;
        // What stands there already is EEXIST whatever it is: a slash at the end says only what is to be made.
        let end = path.iter().rposition(|&b| b != b'/').map_or(path.len(), |i| i + 1);
        let mut walked = self.walk(s, dirfd, &path[..end], Last::Keep)?;
        walked.slash = end < path.len();
        Ok(walked)
    }

    /// mkdirat.
    pub fn mkdirat(&mut self, s: u64, dirfd: u64, path: u64, mode: u32) -> Result<Outcome> {
        let walked = self.walk_new(s, dirfd, path)?;
        let dir = self.place_for(&walked)?;
        self.make_named(s, dir, &walked.name, DIRECTORY | mode & 0o1777)?;
        ok()
    }

    pub(super) fn make_named(&mut self, s: u64, dir: u64, name: &[u8], mode: u32) -> Result<u64> {
        let now = self.now_ns();
        let masked = if mode & TYPE == SYMLINK { mode } else { mode & !self.process(s).umask };
        let inode = self.files.make(masked, now)?;
        self.files.inherit(dir, inode);
        self.files.name_new(dir, name, inode, now);
        Ok(inode)
    }

    /// mknodat.
    pub fn mknodat(&mut self, s: u64, dirfd: u64, path: u64, mode: u32, dev: u64) -> Result<Outcome> {
        let kind = match mode & TYPE {
            0 => REGULAR,
            k @ (REGULAR | CHARACTER | BLOCK | FIFO | SOCKET) => k,
            DIRECTORY => return Err(EPERM),
            _ => return Err(EINVAL),
        };
        let walked = self.walk_new(s, dirfd, path)?;
        if walked.slash && walked.node.is_none() {
            return Err(ENOENT);
        }
        let dir = self.place_for(&walked)?;
        let inode = self.make_named(s, dir, &walked.name, kind | mode & 0o7777)?;
        if kind == CHARACTER || kind == BLOCK {
            self.files.change(inode, |i| i.rdev = dev & 0xffff_ffff);
        }
        ok()
    }

    /// symlinkat.
    pub fn symlinkat(&mut self, s: u64, target: u64, dirfd: u64, path: u64) -> Result<Outcome> {
        let target = self.path_argument(s, target)?;
        if target.is_empty() {
            return Err(ENOENT);
        }
        let walked = self.walk_new(s, dirfd, path)?;
        if walked.slash && walked.node.is_none() {
            return Err(ENOENT);
        }
        let dir = self.place_for(&walked)?;
        let inode = self.make_named(s, dir, &walked.name, SYMLINK | 0o777)?;
        self.files.change(inode, |i| {
            i.size = target.len() as u64;
            i.target = Some(target.into());
        });
        ok()
    }

    /// linkat.
    pub fn linkat(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [from_fd, from, to_fd, to, flags, _] = *a;
        let flags = flags & 0xffff_ffff;
        if flags & !(SYMLINK_FOLLOW | EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let last = if flags & SYMLINK_FOLLOW != 0 { Last::Follow } else { Last::Keep };
        let path = self.path_argument(s, from)?;
        let node = if path.is_empty() && flags & EMPTY_PATH != 0 {
            self.start(s, from_fd, &path)?
        } else {
            self.walk(s, from_fd, &path, last)?.there()?
        };
        let walked = self.walk_new(s, to_fd, to)?;
        if walked.slash && walked.node.is_none() {
            return Err(ENOENT);
        }
        // What can't be made in the new directory shows before that the file lies elsewhere.
        let dir = self.place_for(&walked)?;
        let Node::File(inode) = node else { return Err(EXDEV) };
        if self.files.is_directory(inode) {
            return Err(EPERM);
        }
        self.files.lives(inode)?;
        let now = self.now_ns();
        self.files.link(dir, &walked.name, inode, now);
        ok()
    }

    /// unlinkat.
    pub fn unlinkat(&mut self, s: u64, dirfd: u64, path: u64, flags: u32) -> Result<Outcome> {
        if flags & !REMOVE_DIRECTORY != 0 {
            return Err(EINVAL);
        }
        let whole = flags & REMOVE_DIRECTORY != 0;
        let path = self.path_argument(s, path)?;
        let trimmed: &[u8] = match path.iter().rposition(|&b| b != b'/') {
            Some(i) => &path[..=i],
            None => &path,
        };
        let walked = self.walk(s, dirfd, if trimmed.is_empty() { &path } else { trimmed }, Last::Later)?;
        let slash = trimmed.len() < path.len();
        match &walked.name[..] {
            b"" => return Err(if whole { EBUSY } else { EISDIR }),
            b"." => return Err(if whole { EINVAL } else { EISDIR }),
            b".." => return Err(if whole { ENOTEMPTY } else { EISDIR }),
            _ => {}
        }
        let Node::File(dir) = walked.dir else { return Err(EROFS) };
        self.files.lives(dir)?;
        let node = walked.there()?;
        if State::is_mount(node) {
            return Err(if whole { EBUSY } else { EISDIR });
        }
        let Node::File(inode) = node else { return Err(EROFS) };
        let is_dir = self.files.is_directory(inode);
        if !whole && is_dir {
            return Err(EISDIR);
        }
        if (whole || slash) && !is_dir {
            return Err(ENOTDIR);
        }
        if whole && !self.files.is_empty(inode) {
            return Err(ENOTEMPTY);
        }
        let now = self.now_ns();
        self.files.unlink(dir, &walked.name, now);
        ok()
    }

    /// renameat and renameat2.
    pub fn renameat(&mut self, s: u64, a: &Args, flags: u32) -> Result<Outcome> {
        const NOREPLACE: u32 = 1;
        if flags & !NOREPLACE != 0 {
            return Err(EINVAL);
        }
        let trim = |p: &[u8]| -> Vec<u8> {
            p[..p.iter().rposition(|&b| b != b'/').map_or(p.len().min(1), |i| i + 1)].to_vec()
        };
        // As Linux: the old path is walked before what is wrong with the new one is said.
        let from_path = self.path_argument(s, a[1])?;
        let from = self.walk(s, a[0], &trim(&from_path), Last::Later)?;
        let to_path = self.path_argument(s, a[3])?;
        let to = self.walk(s, a[2], &trim(&to_path), Last::Later)?;
        let special = |w: &Walked| w.name.is_empty() || w.name == b"." || w.name == b"..";
        let mounts = |n: Node| !matches!(n, Node::File(_));
        if mounts(from.dir) != mounts(to.dir)
            || core::mem::discriminant(&from.dir) != core::mem::discriminant(&to.dir)
        {
            return Err(EXDEV);
        }
        if special(&from) {
            return Err(EBUSY);
        }
        if special(&to) {
            return Err(if flags & NOREPLACE != 0 { EEXIST } else { EBUSY });
        }
        let (Node::File(from_dir), Node::File(to_dir)) = (from.dir, to.dir) else { return Err(EROFS) };
        // In a directory that was removed nothing is looked up. Only here it shows that a name is too long.
        self.files.lives(from_dir)?;
        let node = from.there()?;
        self.files.lives(to_dir)?;
        to.fits()?;
        if flags & NOREPLACE != 0 && to.node.is_some() {
            return Err(EEXIST);
        }
        let directory = self.is_directory(node);
        let slash = |p: &[u8]| p.last() == Some(&b'/');
        if !directory && (slash(&from_path) || slash(&to_path)) {
            return Err(ENOTDIR);
        }
        if let Node::File(inode) = node
            && directory
            && self.files.is_above(inode, to_dir)
        {
            return Err(EINVAL);
        }
        if let Some(Node::File(target)) = to.node
            && self.files.is_directory(target)
            && self.files.is_above(target, from_dir)
        {
            return Err(ENOTEMPTY);
        }
        if node == to.there().unwrap_or(Node::Device(None)) {
            return ok();
        }
        if State::is_mount(node) || to.node.is_some_and(State::is_mount) {
            return Err(EBUSY);
        }
        if let Some(Node::File(target)) = to.node {
            match (directory, self.files.is_directory(target)) {
                (true, false) => return Err(ENOTDIR),
                (false, true) => return Err(EISDIR),
                (true, true) if !self.files.is_empty(target) => return Err(ENOTEMPTY),
                _ => {}
            }
        }
        let now = self.now_ns();
        self.files.rename((from_dir, &from.name), (to_dir, &to.name), now);
        ok()
    }

    /// The device that a node is, if any.
    pub fn device_of(&self, node: Node) -> Option<usize> {
        match node {
            Node::Device(i) => i,
            Node::File(n) => device::find(self.files.inode(n)?.rdev),
            _ => None,
        }
    }
}
