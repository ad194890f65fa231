//! Calls on names: open, make, remove, rename, and what a path's inode says and takes.

use super::*;
use crate::files::walk::{AT_FDCWD, Last, Node, Walked};
use crate::files::{Body, Directory, S_IFDIR, S_IFMT, S_IFREG, S_IFSOCK, Time, device, procfs};

pub(super) const AT_SYMLINK_NOFOLLOW: u64 = 0x100;
const AT_REMOVEDIR: u64 = 0x200;
const AT_EACCESS: u64 = 0x200;
const AT_SYMLINK_FOLLOW: u64 = 0x400;
const AT_NO_AUTOMOUNT: u64 = 0x800;
pub(super) const AT_EMPTY_PATH: u64 = 0x1000;
const AT_STATX_SYNC: u64 = 0x6000;

impl<H: Hardware> Kernel<H> {
    pub(super) fn now(&self) -> Time {
        Time::of_us(self.clock())
    }

    /// What (dirfd, path, flags) names; with AT_EMPTY_PATH and no path the descriptor itself.
    pub(super) fn node_at(
        &mut self,
        serial: u64,
        dirfd: u64,
        path: u64,
        flags: u64,
        follow: bool,
    ) -> Result<Node> {
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
        // Only the text of a link of /proc can be.
        if text.len() > PATH_LONGEST {
            return Err(ENAMETOOLONG);
        }
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
        let special = matches!(stat.mode & S_IFMT, crate::files::S_IFCHR | crate::files::S_IFIFO);
        if mode & 2 != 0 && matches!(stat.dev, 2 | 3) && !special {
            return Err(EROFS);
        }
        done(0)
    }

    /// Walks to the place where a name is to be made.
    fn place_for(
        &mut self,
        serial: u64,
        dirfd: u64,
        path: u64,
        directory: bool,
    ) -> Result<(Walked, Vec<u8>)> {
        let path = self.path(serial, path)?;
        let w = self.walk_last(serial, dirfd, &path)?;
        let Last::Name(name) = w.last.clone() else { return Err(EEXIST) };
        if w.node.is_some() {
            return Err(EEXIST);
        }
        if w.slash && !directory {
            return Err(ENOENT);
        }
        read_only(w.dir)?;
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
        let (w, name) = self.place_for(serial, a[0], a[1], true)?;
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
        let (w, name) = self.place_for(serial, a[0], a[1], false)?;
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
        let (w, name) = self.place_for(serial, a[1], a[2], false)?;
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
        let (w, name) = self.place_for(serial, a[2], a[3], false)?;
        // A directory that was removed takes no entries: Linux finds this when it looks the name up.
        if self.files.inode(w.dir)?.nlink == 0 {
            return Err(ENOENT);
        }
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
        read_only(w.dir)?;
        let Node::Inode(ino) = w.found()? else { return Err(EPERM) };
        let directory = self.mode_of(ino)? & S_IFMT == S_IFDIR;
        if !rmdir && w.slash {
            return Err(if directory { EISDIR } else { ENOTDIR });
        }
        if matches!(ino, device::DEV | procfs::PROC) {
            return Err(if rmdir { EBUSY } else { EISDIR });
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
}

/// /dev and /proc are mounted read-only.
pub(super) fn read_only(dir: u64) -> Result<()> {
    if dir >= device::DEV { Err(EROFS) } else { Ok(()) }
}
