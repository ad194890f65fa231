//! Calls that make, remove and rename; directories listed and entered.

use super::content::Content;
use super::dev;
use super::dir::Dir;
use super::file::Kind;
use super::inode::{Body, Inode, Time, d_type};
use super::linux::*;
use super::path::{Ending, Found, Last, read_nonempty, read_path};
use super::proc;
use super::stat::mount;
use super::syscalls::{Answer, Call};
use super::tree::ROOT;
use super::{Fs, Ino};
use crate::errno::*;
use alloc::vec::Vec;

impl Fs {
    /// The place for something new: EEXIST, ENOENT for a slash behind what is no directory, EROFS.
    fn new_name(
        &self,
        call: &Call<'_, '_>,
        dirfd: i32,
        path: &[u8],
        is_dir: bool,
    ) -> Result<(Ino, Vec<u8>), Errno> {
        let found = self.walk(call.caller, dirfd, path, Last::Name)?;
        let Ending::Name(name) = found.ending.clone() else { return Err(EEXIST) };
        if found.checked()?.is_some() {
            return Err(EEXIST);
        }
        if found.slash && !is_dir {
            return Err(ENOENT);
        }
        self.writable_mount(found.dir)?;
        Ok((found.dir, name))
    }

    pub(super) fn mkdirat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let path = read_nonempty(call.user, call.args[1])?;
        let (dir, name) = self.new_name(call, call.fd(0), &path, true)?;
        let mode = S_IFDIR | call.u32(2) & (0o777 | S_ISVTX) & !*call.caller.umask;
        let now = Time::from_us(call.caller.now_us);
        self.tree.make(dir, &name, mode, Body::Directory(Dir::new(dir)), now)?;
        Ok(0)
    }

    pub(super) fn mknodat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let mode = call.u32(2);
        let number = u64::from(call.u32(3));
        let (kind, body) = match mode & S_IFMT {
            0 | S_IFREG => (S_IFREG, Body::Regular(Content::new())),
            S_IFIFO => (S_IFIFO, Body::Fifo),
            S_IFSOCK => (S_IFSOCK, Body::Socket),
            S_IFCHR => (S_IFCHR, Body::Device(number)),
            S_IFBLK => (S_IFBLK, Body::Device(number)),
            S_IFDIR => return Err(EPERM.into()),
            _ => return Err(EINVAL.into()),
        };
        let path = read_nonempty(call.user, call.args[1])?;
        let (dir, name) = self.new_name(call, call.fd(0), &path, false)?;
        let now = Time::from_us(call.caller.now_us);
        self.tree.make(dir, &name, kind | mode & 0o7777 & !*call.caller.umask, body, now)?;
        Ok(0)
    }

    pub(super) fn symlinkat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let target = read_nonempty(call.user, call.args[0])?;
        let path = read_nonempty(call.user, call.args[2])?;
        let (dir, name) = self.new_name(call, call.fd(1), &path, false)?;
        let now = Time::from_us(call.caller.now_us);
        self.tree.make(dir, &name, S_IFLNK | 0o777, Body::Link(target), now)?;
        Ok(0)
    }

    pub(super) fn linkat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(4);
        if flags & !(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL.into());
        }
        let old = read_path(call.user, call.args[1])?;
        let follow = if flags & AT_SYMLINK_FOLLOW != 0 { 0 } else { AT_SYMLINK_NOFOLLOW };
        let node = self.resolve(call.caller, call.fd(0), &old, flags & AT_EMPTY_PATH | follow)?;
        let path = read_nonempty(call.user, call.args[3])?;
        let (dir, name) = self.new_name(call, call.fd(2), &path, false)?;
        if mount(node) != mount(dir) {
            return Err(EXDEV.into());
        }
        if self.is_dir(node) {
            return Err(EPERM.into());
        }
        self.tree.link(node, dir, &name, Time::from_us(call.caller.now_us))?;
        Ok(0)
    }

    pub(super) fn unlinkat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(2);
        if flags & !AT_REMOVEDIR != 0 {
            return Err(EINVAL.into());
        }
        let path = read_nonempty(call.user, call.args[1])?;
        let found = self.walk(call.caller, call.fd(0), &path, Last::Name)?;
        let remove_dir = flags & AT_REMOVEDIR != 0;
        let name = match &found.ending {
            Ending::Name(name) => name,
            _ if !remove_dir => return Err(EISDIR.into()),
            Ending::Dot => return Err(EINVAL.into()),
            Ending::DotDot => return Err(ENOTEMPTY.into()),
            Ending::Root => return Err(EBUSY.into()),
        };
        self.writable_mount(found.dir)?;
        let node = found.node()?;
        match (self.is_dir(node), remove_dir) {
            (true, false) => return Err(EISDIR.into()),
            (false, false) if found.slash => return Err(ENOTDIR.into()),
            (false, true) => return Err(ENOTDIR.into()),
            (true, true) if is_mount_point(node) => return Err(EBUSY.into()),
            (true, true) if !self.is_empty(node) => return Err(ENOTEMPTY.into()),
            _ => (),
        }
        self.tree.unlink(found.dir, name, Time::from_us(call.caller.now_us));
        Ok(0)
    }

    fn is_empty(&self, node: Ino) -> bool {
        self.tree.get(node).and_then(Inode::dir).is_none_or(|dir| dir.len() == 0)
    }

    pub(super) fn renameat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.rename(call, 0)
    }

    pub(super) fn renameat2(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(4);
        self.rename(call, flags)
    }

    fn rename(&mut self, call: &mut Call<'_, '_>, flags: u32) -> Answer {
        const NOREPLACE: u32 = 1;
        if flags & !NOREPLACE != 0 {
            return Err(EINVAL.into());
        }
        let old = read_nonempty(call.user, call.args[1])?;
        let from = self.walk(call.caller, call.fd(0), &old, Last::Name)?;
        let new = read_nonempty(call.user, call.args[3])?;
        let to = self.walk(call.caller, call.fd(2), &new, Last::Name)?;
        if mount(from.dir) != mount(to.dir) {
            return Err(EXDEV.into());
        }
        let Ending::Name(old) = &from.ending else { return Err(EBUSY.into()) };
        let Ending::Name(new) = &to.ending else {
            return Err(if flags & NOREPLACE != 0 { EEXIST } else { EBUSY }.into());
        };
        self.writable_mount(from.dir)?;
        let node = from.node()?;
        if to.checked()?.is_some() && flags & NOREPLACE != 0 {
            return Err(EEXIST.into());
        }
        self.may_rename(&from, &to, node)?;
        // The new name may be the longer one.
        if !self.tree.has_room_for_name() {
            return Err(ENOSPC.into());
        }
        if to.node != Some(node) {
            self.tree.rename((from.dir, old), (to.dir, new), Time::from_us(call.caller.now_us));
        }
        Ok(0)
    }

    /// What forbids a rename, in Linux' order.
    fn may_rename(&self, from: &Found, to: &Found, node: Ino) -> Result<(), Errno> {
        let is_dir = self.is_dir(node);
        if !is_dir && (from.slash || to.slash) {
            return Err(ENOTDIR);
        }
        if is_dir && self.tree.is_within(to.dir, node) {
            return Err(EINVAL);
        }
        if to.node.is_some_and(|target| target != node && self.tree.is_within(from.dir, target)) {
            return Err(ENOTEMPTY);
        }
        match to.node {
            Some(target) if target == node => return Ok(()),
            Some(target) if is_dir && !self.is_dir(target) => return Err(ENOTDIR),
            Some(target) if !is_dir && self.is_dir(target) => return Err(EISDIR),
            _ => (),
        }
        if is_mount_point(node) || to.node.is_some_and(is_mount_point) {
            return Err(EBUSY);
        }
        if to.node.is_some_and(|target| is_dir && !self.is_empty(target)) {
            return Err(ENOTEMPTY);
        }
        Ok(())
    }

    pub(super) fn chdir(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let path = read_nonempty(call.user, call.args[0])?;
        let node = self.resolve(call.caller, AT_FDCWD, &path, 0)?;
        self.enter_dir(call, node)
    }

    pub(super) fn fchdir(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let node = self.file(call.caller.fds, call.fd(0))?.node;
        self.enter_dir(call, node)
    }

    /// Makes `node` the working directory and holds it.
    fn enter_dir(&mut self, call: &mut Call<'_, '_>, node: Ino) -> Answer {
        if !self.is_dir(node) {
            return Err(ENOTDIR.into());
        }
        self.tree.hold(node);
        self.tree.release(call.caller.fds.cwd);
        call.caller.fds.cwd = node;
        *call.caller.cwd = node;
        Ok(0)
    }

    pub(super) fn getdents64(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (id, open) = self.real_file(call.caller.fds, call.fd(0))?;
        if open.kind != Kind::Directory {
            return Err(ENOTDIR.into());
        }
        let (node, position) = (open.node, open.offset);
        if self.tree.get(node).is_some_and(|dir| dir.links == 0) {
            return Err(ENOENT.into());
        }
        if self.lists_what_is_missing(call.caller, node) {
            return Err(ENOENT.into());
        }
        // As Linux, whose count is an int: no entry fits into a negative one, but the end is the end.
        let count = i32::try_from(call.u32(2)).unwrap_or(0) as usize;
        let room = call.user.writable(call.args[1], count);
        let mut out = Vec::new();
        let mut last = position;
        let mut refused = None;
        for (offset, name, ino, kind) in self.list(call, node, position) {
            let len = (19 + name.len() + 1).next_multiple_of(8);
            if out.len() + len > room {
                // As Linux, which asks whether an entry fits before it touches the buffer.
                refused = Some(if out.len() + len > count { EINVAL } else { EFAULT });
                break;
            }
            let end = out.len() + len;
            out.extend_from_slice(&ino.to_le_bytes());
            out.extend_from_slice(&offset.to_le_bytes());
            out.extend_from_slice(&(len as u16).to_le_bytes());
            out.push(kind);
            out.extend_from_slice(&name);
            out.resize(end, 0);
            last = offset;
        }
        if out.is_empty() {
            return refused.map_or(Ok(0), |e| Err(e.into()));
        }
        call.put(1, &out)?;
        if let Some(open) = self.files.get_mut(id) {
            open.offset = last;
        }
        Ok(out.len() as i64)
    }

    /// Entries of a directory behind `position`: d_off, name, inode, type.
    fn list(&self, call: &Call<'_, '_>, node: Ino, position: u64) -> Vec<(u64, Vec<u8>, Ino, u8)> {
        let from = position.saturating_sub(2);
        let listed: Vec<(u64, Vec<u8>, Ino)> = if let Some(place) = proc::place(node) {
            self.proc_list(call.caller, place)
        } else if node == dev::DEV {
            dev::ENTRIES.iter().zip(0..).map(|((name, _), i)| (i, name.to_vec(), dev::DEV + 1 + i)).collect()
        } else {
            let dir = self.tree.get(node).and_then(Inode::dir);
            dir.map_or(Vec::new(), |d| {
                d.entries(from).map(|(i, name, ino)| (i, name.to_vec(), ino)).collect()
            })
        };
        let dots = [(1, b".".to_vec(), node), (2, b"..".to_vec(), self.parent(node).unwrap_or(ROOT))];
        dots.into_iter()
            .chain(listed.into_iter().map(|(i, name, ino)| (i + 3, name, ino)))
            .filter(|(offset, ..)| *offset > position)
            .map(|(offset, name, ino)| (offset, name, ino, d_type(self.mode(ino))))
            .collect()
    }
}

/// Whether a file system is mounted there.
fn is_mount_point(node: Ino) -> bool {
    matches!(node, ROOT | dev::DEV | proc::PROC)
}
