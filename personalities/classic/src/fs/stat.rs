//! What files are: the stat family, statfs, access checks.

use super::dev::{self, DEV};
use super::file::{PIPE, is_anonymous_pipe};
use super::inode::{Meta, Time};
use super::linux::*;
use super::path::read_path;
use super::proc::{self, PROC, Place};
use super::syscalls::{Answer, Call};
use super::tree::ROOT;
use super::{Fs, Ino};
use crate::errno::*;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::vec::Vec;

/// `st_dev` of the four file systems.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mount {
    /// The root.
    Root = 1,
    /// /proc.
    Proc = 2,
    /// /dev.
    Dev = 3,
    /// Pipes.
    Pipes = 4,
}

/// The file system that a file belongs to.
pub fn mount(node: Ino) -> Mount {
    if is_anonymous_pipe(node) {
        Mount::Pipes
    } else if proc::place(node).is_some() {
        Mount::Proc
    } else if node == DEV || dev::entry(node).is_some() {
        Mount::Dev
    } else {
        Mount::Root
    }
}

/// What the stat family tells of a file.
struct Attributes {
    ino: u64,
    meta: Meta,
    nlink: u32,
    rdev: u64,
    size: u64,
    blocks: u64,
}

impl Fs {
    /// Kind and permissions of a file; 0 if it is gone.
    pub(super) fn mode(&self, node: Ino) -> u32 {
        if let Some(place) = proc::place(node) {
            return proc::mode(place);
        }
        match dev::entry(node) {
            Some((_, dev::Entry::Node(_, mode))) => S_IFCHR | mode,
            Some((_, dev::Entry::Link(_))) => S_IFLNK | 0o777,
            None if node == DEV => S_IFDIR | 0o755,
            None => self.meta(node).map_or(0, |meta| meta.mode),
        }
    }

    /// Whether it is a directory.
    pub(super) fn is_dir(&self, node: Ino) -> bool {
        self.mode(node) & S_IFMT == S_IFDIR
    }

    /// What can be changed about a file: the root file system's and pipes'.
    pub(super) fn meta(&self, node: Ino) -> Option<&Meta> {
        match self.pipes.get(&node) {
            Some(pipe) if is_anonymous_pipe(node) => Some(&pipe.meta),
            _ => self.tree.get(node).map(|inode| &inode.meta),
        }
    }

    /// EROFS for files of /proc and /dev.
    pub(super) fn writable_mount(&self, node: Ino) -> Result<(), Errno> {
        if matches!(mount(node), Mount::Proc | Mount::Dev) { Err(EROFS) } else { Ok(()) }
    }

    fn attributes(&self, call: &Call<'_, '_>, node: Ino) -> Result<Attributes, Errno> {
        let boot = Meta::new(self.mode(node), Time::from_us(self.boot_us));
        let fixed = |ino, nlink, rdev, size| Attributes { ino, meta: boot, nlink, rdev, size, blocks: 0 };
        let directory = |ino, subdirectories: usize| Attributes {
            blocks: 8,
            ..fixed(ino, 2 + subdirectories as u32, 0, 4096)
        };
        if let Some(place) = proc::place(node) {
            return Ok(match place {
                Place::Top => directory(node, call.caller.system.processes().len()),
                Place::Process(_) => directory(node, 1),
                Place::Entry(_, b"fd") => directory(node, 0),
                Place::Fd(..) => fixed(node, 1, 0, 64),
                _ => fixed(node, 1, 0, 0),
            });
        }
        match dev::entry(node) {
            Some((_, dev::Entry::Node(rdev, _))) => return Ok(fixed(node, 1, *rdev, 0)),
            Some((_, dev::Entry::Link(target))) => return Ok(fixed(node, 1, 0, target.len() as u64)),
            None if node == DEV => return Ok(directory(node, 0)),
            None => (),
        }
        if is_anonymous_pipe(node) {
            let meta = *self.meta(node).ok_or(ENOENT)?;
            return Ok(Attributes { ino: node - PIPE, meta, nlink: 1, rdev: 0, size: 0, blocks: 0 });
        }
        let inode = self.tree.get(node).ok_or(ENOENT)?;
        let size = inode.size();
        let blocks = match inode.meta.mode & S_IFMT {
            S_IFREG | S_IFDIR => size.div_ceil(4096) * 8,
            S_IFLNK if size >= 60 => 8,
            _ => 0,
        };
        Ok(Attributes { ino: node, meta: inode.meta, nlink: inode.nlink(), rdev: inode.rdev(), size, blocks })
    }

    /// `struct stat` of arm64.
    fn stat_bytes(&self, call: &Call<'_, '_>, node: Ino) -> Result<[u8; 128], Errno> {
        let a = self.attributes(call, node)?;
        let mut out = Bytes::new();
        out.u64(mount(node) as u64).u64(a.ino).u32(a.meta.mode).u32(a.nlink).u32(a.meta.uid).u32(a.meta.gid);
        out.u64(a.rdev).u64(0).u64(a.size).u32(4096).u32(0).u64(a.blocks);
        for time in [a.meta.atime, a.meta.mtime, a.meta.ctime] {
            out.u64(time.sec as u64).u64(u64::from(time.nsec));
        }
        out.finish()
    }

    /// `struct statx`: the basic fields; no birth time, no mount id, no attributes.
    fn statx_bytes(&self, call: &Call<'_, '_>, node: Ino) -> Result<[u8; 256], Errno> {
        let a = self.attributes(call, node)?;
        let mut out = Bytes::new();
        out.u32(0x7ff)
            .u32(4096)
            .u64(0)
            .u32(a.nlink)
            .u32(a.meta.uid)
            .u32(a.meta.gid)
            .u32(a.meta.mode & 0xffff);
        out.u64(a.ino).u64(a.size).u64(a.blocks).u64(0);
        for time in [a.meta.atime, Time::default(), a.meta.ctime, a.meta.mtime] {
            out.u64(time.sec as u64).u64(u64::from(time.nsec));
        }
        let (major, minor) = ((a.rdev >> 8 & 0xfff) as u32, (a.rdev & 0xff | a.rdev >> 12 & 0xf_ff00) as u32);
        out.u32(major).u32(minor).u32(0).u32(mount(node) as u32);
        out.finish()
    }

    /// `struct statfs` of arm64.
    fn statfs_bytes(&self, node: Ino) -> Result<[u8; 120], Errno> {
        let (kind, counts) = match mount(node) {
            Mount::Root => {
                let free = FILE_PAGES - self.tree.pages;
                (0x8584_58f6, [FILE_PAGES, free, free, INODES_MAX, INODES_MAX - self.tree.made])
            }
            Mount::Proc => (0x9fa0, [0; 5]),
            Mount::Dev => (0x0102_1994, [0; 5]),
            Mount::Pipes => (0x5049_5045, [0; 5]),
        };
        let mut out = Bytes::new();
        out.u64(kind).u64(4096);
        for n in counts {
            out.u64(n);
        }
        out.u64(0).u64(NAME_MAX as u64).u64(4096);
        out.finish()
    }

    pub(super) fn fstat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let node = self.file(call.caller.fds, call.fd(0))?.node;
        let bytes = self.stat_bytes(call, node)?;
        call.put(1, &bytes)
    }

    pub(super) fn newfstatat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(3);
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE) != 0 {
            return Err(EINVAL.into());
        }
        let path = read_path(call.user, call.args[1])?;
        let node = self.resolve(call.caller, call.fd(0), &path, flags)?;
        let bytes = self.stat_bytes(call, node)?;
        call.put(2, &bytes)
    }

    pub(super) fn statx(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (flags, mask) = (call.u32(2), call.u32(3));
        let known = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
        if mask & 0x8000_0000 != 0 || flags & AT_STATX_SYNC_TYPE == AT_STATX_SYNC_TYPE || flags & !known != 0
        {
            return Err(EINVAL.into());
        }
        let path = read_path(call.user, call.args[1])?;
        let node = self.resolve(call.caller, call.fd(0), &path, flags)?;
        let bytes = self.statx_bytes(call, node)?;
        call.put(4, &bytes)
    }

    pub(super) fn statfs(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let path = read_path(call.user, call.args[0])?;
        let node = self.resolve(call.caller, AT_FDCWD, &path, 0)?;
        let bytes = self.statfs_bytes(node)?;
        call.put(1, &bytes)
    }

    pub(super) fn fstatfs(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let node = self.file(call.caller.fds, call.fd(0))?.node;
        let bytes = self.statfs_bytes(node)?;
        call.put(1, &bytes)
    }

    pub(super) fn faccessat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.access(call, 0)
    }

    pub(super) fn faccessat2(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(3);
        self.access(call, flags)
    }

    fn access(&mut self, call: &mut Call<'_, '_>, flags: u32) -> Answer {
        let wanted = call.u32(2);
        if wanted & !7 != 0 || flags & !(AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL.into());
        }
        let path = read_path(call.user, call.args[1])?;
        let node = self.resolve(call.caller, call.fd(0), &path, flags)?;
        let mode = self.mode(node);
        let special = !matches!(mode & S_IFMT, S_IFREG | S_IFDIR | S_IFLNK);
        if wanted & 1 != 0 && mode & S_IFMT != S_IFDIR && mode & 0o111 == 0 {
            return Err(EACCES.into());
        }
        if wanted & 2 != 0 && !special {
            self.writable_mount(node)?;
        }
        Ok(0)
    }

    pub(super) fn readlinkat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let size = call.args[3] as i32;
        if size <= 0 {
            return Err(EINVAL.into());
        }
        let path = read_path(call.user, call.args[1])?;
        // An empty path means a link opened with O_PATH|O_NOFOLLOW.
        let empty = path.is_empty();
        let node = self.resolve(call.caller, call.fd(0), &path, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)?;
        if self.mode(node) & S_IFMT != S_IFLNK {
            return Err(if empty { ENOENT } else { EINVAL }.into());
        }
        let text = self.link_text(call.caller, node).ok_or(ENOENT)?;
        // As Linux, which makes the texts of /proc in a page, with a zero byte behind.
        if text.len() >= PATH_MAX {
            return Err(ENAMETOOLONG.into());
        }
        let text = &text[..text.len().min(size as usize)];
        call.put(2, text)?;
        Ok(text.len() as i64)
    }

    pub(super) fn getcwd(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let cwd = *call.caller.cwd;
        if cwd != ROOT && mount(cwd) == Mount::Root && self.tree.get(cwd).is_none_or(|dir| dir.links == 0) {
            return Err(ENOENT.into());
        }
        let mut path = self.path_of(cwd);
        path.push(0);
        if path.len() > PATH_MAX {
            return Err(ENAMETOOLONG.into());
        }
        if path.len() as u64 > call.args[1] {
            return Err(ERANGE.into());
        }
        call.put(0, &path)?;
        Ok(path.len() as i64)
    }
}

/// Path of a place in /proc or of a device.
pub fn special_path(node: Ino) -> Option<Vec<u8>> {
    if let Some((name, _)) = dev::entry(node) {
        return Some([b"/dev/", *name].concat());
    }
    if node == DEV {
        return Some(b"/dev".to_vec());
    }
    let pid = |pid: u32| alloc::format!("/proc/{pid}").into_bytes();
    Some(match proc::place(node)? {
        Place::Top => b"/proc".to_vec(),
        Place::Fixed(name) => [b"/proc/", name].concat(),
        Place::Process(p) => pid(p),
        Place::Entry(p, name) => [&pid(p)[..], b"/", name].concat(),
        Place::Fd(p, fd) => [&pid(p)[..], b"/fd/", alloc::format!("{fd}").as_bytes()].concat(),
    })
}

/// A struct being put together; what is not filled in is zero.
struct Bytes(Vec<u8>);

impl Bytes {
    fn new() -> Bytes {
        Bytes(Vec::with_capacity(256))
    }
    fn u64(&mut self, v: u64) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    fn u32(&mut self, v: u32) -> &mut Self {
        self.0.extend_from_slice(&v.to_le_bytes());
        self
    }
    fn finish<const N: usize>(&self) -> Result<[u8; N], Errno> {
        let mut out = [0; N];
        out.get_mut(..self.0.len()).ok_or(EOVERFLOW)?.copy_from_slice(&self.0);
        Ok(out)
    }
}

const _: () = assert!(PROC < PIPE && DEV < PROC);
