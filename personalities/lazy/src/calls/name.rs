//! Calls on names: open, make, remove, rename, and what a path's inode says and takes.

use super::*;
use crate::files::walk::{AT_FDCWD, Last, Node, Walked};
use crate::files::{Body, Directory, S_IFDIR, S_IFMT, S_IFREG, S_IFSOCK, Time, device, procfs};
use crate::open::{Kind, O_PATH};

const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_REMOVEDIR: u64 = 0x200;
const AT_EACCESS: u64 = 0x200;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const AT_NO_AUTOMOUNT: u64 = 0x800;
const AT_EMPTY_PATH: u64 = 0x1000;
const AT_STATX_SYNC: u64 = 0x6000;

impl<H: Hardware> Kernel<H> {
    pub(super) fn now(&self) -> Time {
        Time::of_us(self.clock())
    }

    /// What (dirfd, path, flags) names; with AT_EMPTY_PATH and no path the descriptor itself.
    fn node_at(&mut self, serial: u64, dirfd: u64, path: u64, flags: u64, follow: bool) -> Result<Node> {
        let empty = flags & AT_EMPTY_PATH != 0;
        let path = self.path(serial, path)?;
        if path.is_empty() && empty {
            if dirfd as i32 == AT_FDCWD {
                return Ok(Node::Inode(self.process(serial)?.cwd));
            }
            return Ok(Node::Open(self.any_file(serial, dirfd)?));
        }
        self.walk(serial, dirfd, &path, follow)?.found()
    }

    pub(super) fn sys_newfstatat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[3] & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC) != 0 {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, a[0], a[1], a[3], a[3] & AT_SYMLINK_NOFOLLOW == 0)?;
        let stat = self.stat_node(node)?;
        self.put(serial, a[2], &stat.encode())?;
        done(0)
    }

    pub(super) fn sys_fstat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let file = self.any_file(serial, a[0])?;
        let stat = self.stat_node(Node::Open(file))?;
        self.put(serial, a[1], &stat.encode())?;
        done(0)
    }

    pub(super) fn sys_statx(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC;
        if a[3] & 1 << 31 != 0 || a[2] & !known != 0 || a[2] & AT_STATX_SYNC == AT_STATX_SYNC {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, a[0], a[1], a[2], a[2] & AT_SYMLINK_NOFOLLOW == 0)?;
        let stat = self.stat_node(node)?;
        self.put(serial, a[4], &stat.encode_statx())?;
        done(0)
    }

    pub(super) fn sys_statfs(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let node = self.node_at(serial, AT_FDCWD as u64, a[0], 0, true)?;
        let dev = self.stat_node(node)?.dev;
        self.put(serial, a[1], &self.statfs(dev))?;
        done(0)
    }

    pub(super) fn sys_fstatfs(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let file = self.any_file(serial, a[0])?;
        let dev = self.stat_node(Node::Open(file))?.dev;
        self.put(serial, a[1], &self.statfs(dev))?;
        done(0)
    }

    pub(super) fn sys_readlinkat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[3] as i32 <= 0 {
            return Err(EINVAL);
        }
        let path = self.path(serial, a[1])?;
        let inode = if path.is_empty() {
            // Linux: an O_PATH descriptor of a link.
            let file =
                self.any_file(serial, a[0]).map_err(|e| if a[0] as i32 == AT_FDCWD { ENOENT } else { e })?;
            self.open.get(file).ok_or(EBADF)?.inode
        } else {
            match self.walk(serial, a[0], &path, false)?.found()? {
                Node::Inode(i) => i,
                Node::Open(_) => return Err(EINVAL),
            }
        };
        let missing = if path.is_empty() { ENOENT } else { EINVAL };
        let text = self.link_text(serial, inode)?.ok_or(missing)?;
        let n = text.len().min(a[3] as u32 as usize);
        self.put(serial, a[2], text.get(..n).unwrap_or(&[]))?;
        done(n as u64)
    }

    pub(super) fn sys_faccessat(&mut self, serial: u64, a: &[u64; 6], flags: u64) -> CallResult {
        let mode = a[2];
        if mode & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, a[0], a[1], flags, flags & AT_SYMLINK_NOFOLLOW == 0)?;
        let stat = self.stat_node(node)?;
        let directory = stat.mode & S_IFMT == S_IFDIR;
        if mode & 1 != 0 && !directory && stat.mode & 0o111 == 0 {
            return Err(EACCES);
        }
        if mode & 2 != 0 && matches!(stat.dev, 2 | 3) && stat.mode & S_IFMT == S_IFDIR && stat.dev == 3 {
            return Err(EROFS);
        }
        done(0)
    }

    /// Walks to the place where a name is to be made.
    fn to_make(&mut self, serial: u64, dirfd: u64, path: u64, directory: bool) -> Result<(Walked, Vec<u8>)> {
        let path = self.path(serial, path)?;
        let w = self.walk_last(serial, dirfd, &path)?;
        let Last::Name(name) = w.last.clone() else { return Err(EEXIST) };
        if w.node.is_some() {
            return Err(EEXIST);
        }
        if w.slash && !directory {
            return Err(ENOENT);
        }
        if w.dir >= procfs::PROC {
            return Err(ENOENT);
        }
        if device::is_dev(w.dir) {
            return Err(EROFS);
        }
        Ok((w, name))
    }

    /// As `walk` without following, but a trailing slash says nothing about the last component yet.
    fn walk_last(&self, serial: u64, dirfd: u64, path: &[u8]) -> Result<Walked> {
        let slashes = path.iter().rev().take_while(|b| **b == b'/').count();
        let bare = path.get(..path.len() - slashes).filter(|p| !p.is_empty());
        let Some(bare) = bare else { return self.walk(serial, dirfd, path, false) };
        let mut w = self.walk(serial, dirfd, bare, false)?;
        w.slash = slashes > 0;
        Ok(w)
    }

    fn umasked(&self, serial: u64, mode: u64) -> Result<u32> {
        Ok(mode as u32 & 0o7777 & !self.process(serial)?.umask)
    }

    pub(super) fn sys_mkdirat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let (w, name) = self.to_make(serial, a[0], a[1], true)?;
        let mode = S_IFDIR | self.umasked(serial, a[2])? & 0o1777;
        let body = Body::Directory(Directory::below(w.dir));
        let now = self.now();
        self.files.make(w.dir, &name, mode, body, now)?;
        done(0)
    }

    pub(super) fn sys_mknodat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let kind = a[2] as u32 & S_IFMT;
        match kind {
            0
            | S_IFREG
            | crate::files::S_IFIFO
            | S_IFSOCK
            | crate::files::S_IFCHR
            | crate::files::S_IFBLK => {}
            S_IFDIR => return Err(EPERM),
            _ => return Err(EINVAL),
        }
        let (w, name) = self.to_make(serial, a[0], a[1], false)?;
        let mode = if kind == 0 { S_IFREG } else { kind } | self.umasked(serial, a[2])?;
        let body = match mode & S_IFMT {
            S_IFREG => Body::File(Default::default()),
            crate::files::S_IFIFO => Body::Fifo(None),
            S_IFSOCK => Body::Device(0),
            _ => Body::Device(u64::from(a[3] as u32)),
        };
        let now = self.now();
        self.files.make(w.dir, &name, mode, body, now)?;
        done(0)
    }

    pub(super) fn sys_symlinkat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let target = self.path(serial, a[0])?;
        if target.is_empty() {
            return Err(ENOENT);
        }
        let (w, name) = self.to_make(serial, a[1], a[2], false)?;
        let now = self.now();
        self.files.make(w.dir, &name, crate::files::S_IFLNK | 0o777, Body::Link(target), now)?;
        done(0)
    }

    pub(super) fn sys_linkat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[4] & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, a[0], a[1], a[4], a[4] & AT_SYMLINK_FOLLOW != 0)?;
        let stat = self.stat_node(node)?;
        let (w, name) = self.to_make(serial, a[2], a[3], false)?;
        if stat.dev != 1 {
            return Err(EXDEV);
        }
        if stat.mode & S_IFMT == S_IFDIR {
            return Err(EPERM);
        }
        if stat.nlink == 0 {
            return Err(ENOENT);
        }
        let now = self.now();
        self.files.link(stat.ino, w.dir, &name, now)?;
        done(0)
    }

    pub(super) fn sys_unlinkat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[2] & !AT_REMOVEDIR != 0 {
            return Err(EINVAL);
        }
        let rmdir = a[2] & AT_REMOVEDIR != 0;
        let path = self.path(serial, a[1])?;
        let w = self.walk_last(serial, a[0], &path)?;
        let name = match (&w.last, rmdir) {
            (Last::Name(n), _) => n.clone(),
            (_, false) => return Err(EISDIR),
            (Last::Dot, true) => return Err(EINVAL),
            (Last::DotDot, true) => return Err(ENOTEMPTY),
            (Last::Root, true) => return Err(EBUSY),
        };
        let Node::Inode(ino) = w.found()? else { return Err(EPERM) };
        let directory = self.mode_of(ino)? & S_IFMT == S_IFDIR;
        if !rmdir && w.slash {
            return Err(if directory { EISDIR } else { ENOTDIR });
        }
        if matches!(ino, device::DEV | procfs::PROC) {
            return Err(if rmdir { EBUSY } else { EISDIR });
        }
        if w.dir >= procfs::PROC {
            return Err(EPERM);
        }
        if device::is_dev(w.dir) {
            return Err(EROFS);
        }
        match (rmdir, directory) {
            (true, false) => return Err(ENOTDIR),
            (false, true) => return Err(EISDIR),
            (true, true) if !self.files.directory(ino)?.entries.is_empty() => return Err(ENOTEMPTY),
            _ => {}
        }
        let now = self.now();
        self.files.unlink(&mut self.memory.physical, w.dir, &name, now)?;
        done(0)
    }

    pub(super) fn sys_renameat(&mut self, serial: u64, a: &[u64; 6], flags: u64) -> CallResult {
        const NOREPLACE: u64 = 1;
        if flags & !NOREPLACE != 0 {
            return Err(EINVAL);
        }
        let (old, new) = (self.path(serial, a[1])?, self.path(serial, a[3])?);
        let from = self.walk_to_parent(serial, a[0], &old)?;
        let to = self.walk_to_parent(serial, a[2], &new)?;
        let (Some(old_name), Some(new_name)) = (from.name(), to.name()) else { return Err(EBUSY) };
        if (from.dir >= device::DEV || to.dir >= device::DEV)
            && self.file_system(from.dir) != self.file_system(to.dir)
        {
            return Err(EXDEV);
        }
        let from = self.look_last(from.clone())?;
        let Node::Inode(source) = from.found()? else { return Err(EPERM) };
        let to = self.look_last(to.clone())?;
        let directory = self.mode_of(source)? & S_IFMT == S_IFDIR;
        if !directory && (from.slash || to.slash) {
            return Err(ENOTDIR);
        }
        if matches!(source, device::DEV | procfs::PROC)
            || matches!(to.node, Some(Node::Inode(device::DEV | procfs::PROC)))
        {
            return Err(EBUSY);
        }
        if from.dir >= device::DEV {
            return Err(if device::is_dev(from.dir) { EROFS } else { EPERM });
        }
        if to.node.is_some() && flags & NOREPLACE != 0 {
            return Err(EEXIST);
        }
        if directory && self.is_below(to.dir, source) {
            return Err(EINVAL);
        }
        let now = self.now();
        if let Some(Node::Inode(target)) = to.node {
            if self.is_below(from.dir, target) && target != source {
                return Err(ENOTEMPTY);
            }
            if target == source {
                return done(0);
            }
            let target_is_directory = self.mode_of(target)? & S_IFMT == S_IFDIR;
            match (directory, target_is_directory) {
                (true, false) => return Err(ENOTDIR),
                (false, true) => return Err(EISDIR),
                (true, true) if !self.files.directory(target)?.entries.is_empty() => return Err(ENOTEMPTY),
                _ => {}
            }
            self.files.unlink(&mut self.memory.physical, to.dir, new_name_of(&to), now)?;
        } else if self.files.inode(to.dir)?.nlink == 0 {
            return Err(ENOENT);
        }
        let (old_name, new_name) = (old_name.to_vec(), new_name.to_vec());
        self.files.rename((from.dir, &old_name), (to.dir, &new_name), now)?;
        self.moved((from.dir, &old_name), (to.dir, &new_name), source);
        done(0)
    }

    /// Open files go with their entry.
    fn moved(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), inode: u64) {
        for (_, f) in self.open.iter_mut().filter(|(_, f)| f.inode == inode) {
            if f.entry.as_ref().is_some_and(|(d, n)| *d == from.0 && n == from.1) {
                f.entry = Some((to.0, to.1.to_vec()));
            }
        }
    }

    fn file_system(&self, dir: u64) -> u64 {
        self.stat_inode(dir).map_or(0, |s| s.dev)
    }

    /// Whether `dir` is `above`, or lies below it.
    fn is_below(&self, dir: u64, above: u64) -> bool {
        let mut at = dir;
        loop {
            if at == above {
                return true;
            }
            if at == crate::files::ROOT {
                return false;
            }
            at = self.above(at);
        }
    }

    /// Walks to the directory of the last component only.
    fn walk_to_parent(&self, serial: u64, dirfd: u64, path: &[u8]) -> Result<Walked> {
        if path.is_empty() {
            return Err(ENOENT);
        }
        let slashes = path.iter().rev().take_while(|b| **b == b'/').count();
        let bare = path.get(..path.len() - slashes).unwrap_or(&[]);
        let start = bare.iter().rposition(|b| *b == b'/').map_or(0, |n| n + 1);
        let (above, name) = bare.split_at(start);
        let last = match name {
            b"" => Last::Root,
            b"." => Last::Dot,
            b".." => Last::DotDot,
            n => Last::Name(n.to_vec()),
        };
        let dir = if above.is_empty() {
            self.base(serial, dirfd, bare)?
        } else {
            match self.walk(serial, dirfd, above, true)?.found()? {
                Node::Inode(i) => i,
                Node::Open(f) => self.open.get(f).ok_or(ENOENT)?.inode,
            }
        };
        if self.mode_of(dir)? & S_IFMT != S_IFDIR {
            return Err(ENOTDIR);
        }
        Ok(Walked { dir, last, node: None, slash: slashes > 0 })
    }

    fn look_last(&self, mut w: Walked) -> Result<Walked> {
        if let Some(name) = w.name() {
            w.node = match self.lookup(w.dir, name) {
                Ok(i) => Some(Node::Inode(i)),
                Err(ENOENT) => None,
                Err(e) => return Err(e),
            };
        }
        Ok(w)
    }

    /// Changes an inode of the root file system.
    fn change_inode(&mut self, node: Node, change: impl FnOnce(&mut crate::files::Inode)) -> CallResult {
        let stat = self.stat_node(node)?;
        let now = self.now();
        match stat.dev {
            1 => {
                let i = self.files.inodes.get_mut(&stat.ino).ok_or(ENOENT)?;
                change(i);
                i.times[2] = now;
                i.changed = true;
                done(0)
            }
            2 => Err(EPERM),
            3 => Err(EROFS),
            _ => done(0),
        }
    }

    pub(super) fn sys_fchmod(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let file = self.file(serial, a[0])?;
        let mode = a[1] as u32 & 0o7777;
        self.change_inode(Node::Open(file), |i| i.mode = i.mode & S_IFMT | mode)
    }

    pub(super) fn sys_fchmodat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let node = self.node_at(serial, a[0], a[1], 0, true)?;
        let mode = a[2] as u32 & 0o7777;
        self.change_inode(node, |i| i.mode = i.mode & S_IFMT | mode)
    }

    fn chown(&mut self, node: Node, uid: u32, gid: u32) -> CallResult {
        self.change_inode(node, |i| {
            if uid != u32::MAX {
                i.uid = uid;
            }
            if gid != u32::MAX {
                i.gid = gid;
            }
            // As Linux: the set-id bits go, but for directories and a group bit without execution.
            if i.mode & S_IFMT != S_IFDIR {
                i.mode &= !0o4000;
                if i.mode & 0o10 != 0 {
                    i.mode &= !0o2000;
                }
            }
        })
    }

    pub(super) fn sys_fchown(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let file = self.file(serial, a[0])?;
        self.chown(Node::Open(file), a[1] as u32, a[2] as u32)
    }

    pub(super) fn sys_fchownat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[4] & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, a[0], a[1], a[4], a[4] & AT_SYMLINK_NOFOLLOW == 0)?;
        self.chown(node, a[2] as u32, a[3] as u32)
    }

    pub(super) fn sys_utimensat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const NOW: u64 = 0x3fff_ffff;
        const OMIT: u64 = 0x3fff_fffe;
        let now = self.now();
        let mut times = [Some(now), Some(now)];
        if a[2] != 0 {
            let space = self.space(serial)?;
            let mut words = [0; 4];
            for (i, w) in words.iter_mut().enumerate() {
                *w = self.memory.read_u64(space, a[2].wrapping_add(i as u64 * 8))?;
            }
            for (t, w) in times.iter_mut().zip(words.chunks_exact(2)) {
                *t = match w[1] {
                    NOW => Some(now),
                    OMIT => None,
                    n if n < 1_000_000_000 => Some(Time(w[0] as i64, n as u32)),
                    _ => return Err(EINVAL),
                };
            }
            if times == [None, None] {
                return done(0);
            }
        }
        let node = if a[1] == 0 && a[0] as i32 != AT_FDCWD {
            if a[3] != 0 {
                return Err(EINVAL);
            }
            Node::Open(self.file(serial, a[0])?)
        } else {
            if a[3] & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
                return Err(EINVAL);
            }
            self.node_at(serial, a[0], a[1], a[3], a[3] & AT_SYMLINK_NOFOLLOW == 0)?
        };
        let changed = match self.stat_node(node)? {
            s if s.dev == 1 => self.files.inode(s.ino)?.changed,
            _ => true,
        };
        let result = self.change_inode(node, |i| {
            for (slot, t) in i.times.iter_mut().zip(times) {
                if let Some(t) = t {
                    *slot = t;
                }
            }
            // "Times do not count" as a change.
            i.changed = changed;
        });
        result
    }

    pub(super) fn sys_truncate(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if (a[1] as i64) < 0 {
            return Err(EINVAL);
        }
        let Node::Inode(ino) = self.node_at(serial, AT_FDCWD as u64, a[0], 0, true)? else {
            return Err(EINVAL);
        };
        match self.mode_of(ino)? & S_IFMT {
            S_IFDIR => Err(EISDIR),
            S_IFREG => self.truncate_inode(ino, a[1]),
            _ => Err(EINVAL),
        }
    }

    pub(super) fn sys_ftruncate(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if (a[1] as i64) < 0 {
            return Err(EINVAL);
        }
        let id = self.any_file(serial, a[0])?;
        let f = self.open.get(id).ok_or(EBADF)?;
        if f.flags & O_PATH != 0 {
            return Err(EBADF);
        }
        if f.kind != Kind::File || !f.writable() {
            return Err(EINVAL);
        }
        self.truncate_inode(f.inode, a[1])
    }

    pub(super) fn truncate_inode(&mut self, ino: u64, size: u64) -> CallResult {
        if size > crate::files::SIZE_MAX {
            return Err(EFBIG);
        }
        if self.files.inode(ino).is_err() {
            return Err(EPERM);
        }
        let now = self.now();
        let kept = size.div_ceil(4096);
        self.files
            .change(&mut self.memory.physical, ino, kept, |c, p, _| c.truncate(p, size))?
            .map_err(|_| ENOSPC)?;
        if let Some(i) = self.files.inodes.get_mut(&ino) {
            i.times[1] = now;
            i.times[2] = now;
        }
        done(0)
    }
}

fn new_name_of(w: &Walked) -> &[u8] {
    w.name().unwrap_or(b"")
}
