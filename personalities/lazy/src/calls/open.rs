//! openat, by what is opened.

use super::*;
use crate::files::procfs::PROC;
use crate::files::walk::{End, Node, Walked};
use crate::files::{Body, S_IFDIR, S_IFIFO, S_IFLNK, S_IFMT, S_IFREG, device, procfs};
use crate::open::*;
use crate::pipe::Pipe;
use crate::process::Descriptor;
use abi::turn::{OPEN_FILES_MAX, PIPES_MAX};

/// Flags that stay with an open file description: access, O_APPEND, O_NONBLOCK, O_DSYNC, FASYNC, O_DIRECTORY, O_NOFOLLOW, O_LARGEFILE, O_NOATIME, O_SYNC.
const KEPT: u64 = O_ACCMODE
    | O_APPEND
    | O_NONBLOCK
    | 0o10000
    | 0o20000
    | O_DIRECTORY
    | O_NOFOLLOW
    | O_LARGEFILE
    | 0o1000000
    | 0o4000000;

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_openat(&mut self, serial: u64, a: &[u64; 6], from: Option<Continuation>) -> CallResult {
        let flags = a[2] & 0xffff_ffff;
        // Flags that exclude each other come before the path.
        let excluded = flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY
            || flags & O_TMPFILE != 0 && (flags & O_DIRECTORY == 0 || flags & O_ACCMODE == 0);
        if flags & O_PATH == 0 && excluded {
            return Err(EINVAL);
        }
        let path = self.path(serial, a[1])?;
        let fd = self.new_descriptor(serial, 0);
        let result = fd.and_then(|fd| self.open_at(serial, fd, a[0], &path, flags, a[3], from));
        if !matches!(result, Ok(Outcome::Block(_))) {
            self.close_opener(from);
        }
        result
    }

    /// The name by which `node` is opened or executed, which the walk `w` led to, or which was made there.
    pub fn name_of(&mut self, w: &Walked, node: Node) -> Name {
        let Some(name) = w.name() else { return Name::Own };
        match node {
            Node::Open(f) => self.open.get(f).map_or(Name::Own, |f| f.name.clone()),
            Node::Inode(i) if self.is_directory(i) => Name::Own,
            // The link `exe` leads to the program itself, and that keeps its name.
            Node::Inode(i) if w.dir >= PROC && i < PROC => {
                let link = self.lookup(w.dir, name).ok().and_then(procfs::node);
                let process = match link {
                    Some(procfs::Node::Entry(pid, b"exe")) => self.by_pid(pid),
                    _ => None,
                };
                process.map_or(Name::Own, |p| Name::Entry(p.exe.1.clone()))
            }
            Node::Inode(_) if w.dir >= device::DEV => Name::Mounted(w.dir, name.to_vec()),
            Node::Inode(_) => self.files.entry(w.dir, name).map_or(Name::Own, Name::Entry),
        }
    }

    /// A blocked opener counted as an end; now it is one, or gives up.
    pub fn close_opener(&mut self, from: Option<Continuation>) {
        if let Some(Continuation::Opening { pipe, write, .. }) = from {
            self.close_end(pipe, !write, write);
        }
    }

    #[allow(clippy::too_many_arguments)] // openat's
    pub(super) fn open_at(
        &mut self,
        serial: u64,
        fd: usize,
        dirfd: u64,
        path: &[u8],
        flags: u64,
        mode: u64,
        from: Option<Continuation>,
    ) -> CallResult {
        if flags & O_PATH == 0 {
            if flags & O_TMPFILE != 0 {
                return Err(EOPNOTSUPP);
            }
            if flags & O_DIRECT != 0 {
                return Err(EINVAL);
            }
        }
        if self.open.len() >= OPEN_FILES_MAX {
            return Err(ENFILE);
        }
        let create = flags & O_CREAT != 0 && flags & O_PATH == 0;
        let exclusive = create && flags & O_EXCL != 0;
        let follow = flags & O_NOFOLLOW == 0 && !exclusive;
        let w = self.walk_to(serial, dirfd, path, End { follow, create })?;
        let (node, made) = match w.node {
            Some(_) if exclusive => return Err(EEXIST),
            Some(n) if create => {
                self.may_create_in_sticky(w.dir, n)?;
                (n, false)
            }
            Some(n) => (n, false),
            None if !create => return Err(ENOENT),
            None => {
                let Some(name) = w.name() else { return Err(EISDIR) };
                if w.dir >= device::DEV {
                    return Err(EROFS);
                }
                let mode = S_IFREG | mode as u32 & 0o7777 & !self.process(serial)?.umask;
                let now = self.now();
                (Node::Inode(self.files.make(w.dir, name, mode, Body::File(Default::default()), now)?), true)
            }
        };
        let name = self.name_of(&w, node);
        let cloexec = flags & O_CLOEXEC != 0;
        if flags & O_PATH != 0 {
            return self.open_path(serial, fd, node, flags, cloexec, name);
        }
        // As Linux keeps them: all but what concerned the opening itself.
        let status = flags & KEPT | O_LARGEFILE;
        self.open_node(serial, fd, node, flags, status, cloexec, name, made, create, from)
    }

    /// Linux' `may_create_in_sticky`: whether O_CREAT may be given for `node`, which is there already in directory `dir`. Who may write a sticky
    /// directory could have put a device there in place of the file that is meant. (What is a directory is EISDIR later.)
    fn may_create_in_sticky(&self, dir: u64, node: Node) -> Result<()> {
        const STICKY_FOR_ALL: u32 = 0o1002;
        let stat = self.stat_node(node)?;
        if matches!(stat.mode & S_IFMT, S_IFREG | S_IFDIR | S_IFIFO) {
            return Ok(());
        }
        let dir = self.stat_inode(dir)?;
        // Who calls is uid 0.
        let foreign = stat.uid != dir.uid && stat.uid != 0;
        if dir.mode & STICKY_FOR_ALL == STICKY_FOR_ALL && foreign { Err(EACCES) } else { Ok(()) }
    }

    /// O_PATH.
    fn open_path(
        &mut self,
        serial: u64,
        fd: usize,
        node: Node,
        flags: u64,
        cloexec: bool,
        name: Name,
    ) -> CallResult {
        if flags & O_DIRECTORY != 0 && self.stat_node(node)?.mode & S_IFMT != S_IFDIR {
            return Err(ENOTDIR);
        }
        let (inode, pipe) = match node {
            Node::Inode(i) => (i, None),
            Node::Open(f) => self.open.get(f).map(|f| (f.inode, f.nameless_pipe())).ok_or(ENOENT)?,
        };
        let mut kind = Kind::Path;
        if let Some(pipe) = pipe {
            self.pipes.get_mut(pipe).ok_or(ENXIO)?.paths += 1;
            kind = Kind::PipePath(pipe);
        }
        let status = flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW);
        self.install(serial, fd, kind, inode, status, cloexec, name)
    }

    #[allow(clippy::too_many_arguments)] // what open has found out
    pub(super) fn open_node(
        &mut self,
        serial: u64,
        fd: usize,
        node: Node,
        flags: u64,
        status: u64,
        cloexec: bool,
        name: Name,
        made: bool,
        create: bool,
        from: Option<Continuation>,
    ) -> CallResult {
        let write = flags & O_ACCMODE != 0;
        let inode = match node {
            Node::Open(f) => {
                let f = self.open.get(f).ok_or(ENOENT)?;
                if let Some(pipe) = f.nameless_pipe() {
                    return self.reopen_pipe(serial, fd, pipe, status, cloexec);
                }
                f.inode
            }
            Node::Inode(i) => i,
        };
        let mode = self.mode_of(inode)?;
        match mode & S_IFMT {
            kind if kind != S_IFDIR && flags & O_DIRECTORY != 0 => return Err(ENOTDIR),
            S_IFLNK => return Err(ELOOP),
            S_IFDIR if create || write || flags & O_TRUNC != 0 => return Err(EISDIR),
            S_IFDIR => {
                return self.install(
                    serial,
                    fd,
                    Kind::Directory,
                    inode,
                    status | flags & O_DIRECTORY,
                    cloexec,
                    name,
                );
            }
            _ => {}
        }
        if let Some(n) = procfs::node(inode) {
            if write || flags & O_TRUNC != 0 {
                return Err(EROFS);
            }
            let text = self.proc_text(n)?;
            return self.install(serial, fd, Kind::Text(text), inode, status, cloexec, name);
        }
        if device::is_dev(inode) {
            let number = self.stat_inode(inode)?.rdev;
            return self.open_device(serial, fd, number, inode, flags, status, cloexec, name);
        }
        match &self.files.inode(inode)?.body {
            Body::Fifo(_) => self.open_fifo(serial, fd, inode, flags, status, cloexec, name, from),
            Body::Device(n) if mode & S_IFMT == crate::files::S_IFCHR && device::known(*n) => {
                let n = *n;
                self.open_device(serial, fd, n, inode, flags, status, cloexec, name)
            }
            Body::Device(_) => Err(ENXIO),
            _ => {
                if flags & O_TRUNC != 0 && !made {
                    self.truncate_inode(inode, 0)?;
                }
                self.install(serial, fd, Kind::File, inode, status, cloexec, name)
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // what open has found out
    pub(super) fn open_device(
        &mut self,
        serial: u64,
        fd: usize,
        number: u64,
        inode: u64,
        flags: u64,
        status: u64,
        cloexec: bool,
        name: Name,
    ) -> CallResult {
        let p = self.process(serial)?;
        let (session, leads) = (p.session, p.session == p.pid);
        match number {
            device::TTY_NUMBER if self.terminal.session != session => return Err(ENXIO),
            device::SERIAL_NUMBER => {
                let reads = flags & O_ACCMODE != O_WRONLY;
                if leads && reads && flags & O_NOCTTY == 0 && self.terminal.session == 0 {
                    self.terminal.session = session;
                    self.terminal.foreground = self.process(serial)?.group;
                }
            }
            _ => {}
        }
        let kind = if device::is_terminal(number) { Kind::Terminal } else { Kind::Device(number) };
        self.install(serial, fd, kind, inode, status, cloexec, name)
    }

    /// By a link of /proc/self/fd.
    pub(super) fn reopen_pipe(
        &mut self,
        serial: u64,
        fd: usize,
        pipe: u32,
        status: u64,
        cloexec: bool,
    ) -> CallResult {
        if status & O_DIRECTORY != 0 {
            return Err(ENOTDIR);
        }
        let (kind, reads, writes) = ends(pipe, status)?;
        let full = self.open_pipes() >= PIPES_MAX;
        let p = self.pipes.get_mut(pipe).ok_or(ENXIO)?;
        if !p.is_open() && full {
            return Err(ENFILE);
        }
        p.readers += u32::from(reads);
        p.readers_seen += u64::from(reads);
        p.writers += u32::from(writes);
        p.writers_seen += u64::from(writes);
        self.install(serial, fd, kind, 0, status, cloexec, Name::Own)
    }

    #[allow(clippy::too_many_arguments)] // what open has found out
    pub(super) fn open_fifo(
        &mut self,
        serial: u64,
        fd: usize,
        inode: u64,
        flags: u64,
        status: u64,
        cloexec: bool,
        name: Name,
        from: Option<Continuation>,
    ) -> CallResult {
        let pipe = match self.files.inode(inode)?.body {
            Body::Fifo(Some(p)) => p,
            _ if self.open_pipes() >= PIPES_MAX => return Err(ENFILE),
            _ => {
                let made = self.clock();
                let p = self.pipes.insert(Pipe { fifo: Some(inode), made, ..Pipe::default() });
                if let Some(i) = self.files.inodes.get_mut(&inode) {
                    i.body = Body::Fifo(Some(p));
                    i.held += 1;
                }
                p
            }
        };
        let (kind, reads, writes) = ends(pipe, status)?;
        let nonblocking = flags & O_NONBLOCK != 0;
        let p = self.pipes.get_mut(pipe).ok_or(ENXIO)?;
        if writes && !reads && nonblocking && p.readers == 0 {
            self.drop_pipe_if_unused(pipe);
            return Err(ENXIO);
        }
        let first = reads && p.readers == 0 || writes && p.writers == 0;
        let quiet = (reads && !writes && nonblocking && p.writers == 0).then_some(p.writers_seen);
        p.readers += u32::from(reads);
        p.writers += u32::from(writes);
        let again = matches!(from, Some(Continuation::Opening { pipe: q, .. }) if q == pipe);
        if !again {
            p.readers_seen += u64::from(reads);
            p.writers_seen += u64::from(writes);
        }
        let (others, seen) = if writes { (p.readers, p.readers_seen) } else { (p.writers, p.writers_seen) };
        let came = match from {
            Some(Continuation::Opening { pipe: q, seen: before, .. }) if q == pipe => seen > before,
            _ => false,
        };
        if first {
            self.wake(Key::Openers(pipe));
        }
        if reads != writes && !nonblocking && others == 0 && !came {
            self.close_opener(from);
            let next = Continuation::Opening { pipe, seen, write: writes };
            return wait_for(Key::Openers(pipe), next);
        }
        let result = self.install(serial, fd, kind, inode, status, cloexec, name)?;
        let id = self.any_file(serial, fd as u64)?;
        if let Some(f) = self.open.get_mut(id) {
            f.quiet_hangup = quiet;
        }
        Ok(result)
    }

    /// Makes an open file description with one descriptor.
    #[allow(clippy::too_many_arguments)] // its fields
    pub(super) fn install(
        &mut self,
        serial: u64,
        fd: usize,
        kind: Kind,
        inode: u64,
        flags: u64,
        cloexec: bool,
        name: Name,
    ) -> CallResult {
        self.files.hold(inode);
        let file =
            self.open.insert(OpenFile { kind, inode, flags, offset: 0, refs: 1, name, quiet_hangup: None });
        self.process_mut(serial)?.set_descriptor(fd, Some(Descriptor { file, cloexec }));
        done(fd as u64)
    }
}

/// The kind of a pipe's end by its flags, whether it reads, whether it writes.
fn ends(pipe: u32, flags: u64) -> Result<(Kind, bool, bool)> {
    match flags & O_ACCMODE {
        0 => Ok((Kind::PipeRead(pipe), true, false)),
        O_WRONLY => Ok((Kind::PipeWrite(pipe), false, true)),
        O_RDWR => Ok((Kind::PipeBoth(pipe), true, true)),
        _ => Err(EINVAL),
    }
}
