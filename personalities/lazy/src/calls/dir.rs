//! Opening, closing, directories.

use super::*;
use crate::files::walk::Node;
use crate::files::{Body, S_IFDIR, S_IFLNK, S_IFMT, device, procfs};
use crate::open::*;
use crate::pipe::Pipe;
use crate::process::{Descriptor, Process};
use abi::turn::{FDS_MAX, OPEN_FILES_MAX, PIPES_MAX};

impl<H: Hardware> Kernel<H> {
    pub(super) fn process(&self, serial: u64) -> Result<&Process> {
        self.processes.get(&serial).ok_or(ESRCH)
    }

    pub(super) fn process_mut(&mut self, serial: u64) -> Result<&mut Process> {
        self.processes.get_mut(&serial).ok_or(ESRCH)
    }

    /// The limit on descriptors.
    pub(super) fn descriptors_max(&self, serial: u64) -> Result<usize> {
        let soft = self.process(serial)?.limits.get(&7).map_or(FDS_MAX as u64, |l| l.0);
        Ok(soft.min(FDS_MAX as u64) as usize)
    }

    /// A free descriptor from `from` on.
    pub(super) fn new_descriptor(&self, serial: u64, from: usize) -> Result<usize> {
        let fd = self.process(serial)?.free_descriptor(from);
        if fd >= self.descriptors_max(serial)? { Err(EMFILE) } else { Ok(fd) }
    }

    pub(super) fn sys_openat(&mut self, serial: u64, a: &[u64; 6], from: Option<Continuation>) -> CallResult {
        let flags = a[2] & 0xffff_ffff;
        let path = self.path(serial, a[1])?;
        let fd = self.new_descriptor(serial, 0);
        let result = fd.and_then(|fd| self.open_at(serial, fd, a[0], &path, flags, a[3], from));
        if !matches!(result, Ok(Outcome::Block(_))) {
            self.close_opener(from);
        }
        result
    }

    /// A blocked opener counted as an end; now it is one, or gives up.
    pub fn close_opener(&mut self, from: Option<Continuation>) {
        if let Some(Continuation::Opening { pipe, write, .. }) = from {
            self.close_end(pipe, !write, write);
        }
    }

    #[allow(clippy::too_many_arguments)] // openat's
    fn open_at(
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
                return Err(if flags & O_DIRECTORY != 0 { EOPNOTSUPP } else { EINVAL });
            }
            if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY || flags & O_DIRECT != 0 {
                return Err(EINVAL);
            }
        }
        if self.open.len() >= OPEN_FILES_MAX {
            return Err(ENFILE);
        }
        let create = flags & O_CREAT != 0 && flags & O_PATH == 0;
        let exclusive = create && flags & O_EXCL != 0;
        let follow = flags & O_NOFOLLOW == 0 && !exclusive;
        let w = self.walk(serial, dirfd, path, follow)?;
        let entry = w.name().map(|n| (w.dir, n.to_vec()));
        let (node, made) = match w.node {
            Some(_) if exclusive => return Err(EEXIST),
            Some(n) => (n, false),
            None if !create => return Err(ENOENT),
            None if w.slash => return Err(EISDIR),
            None => {
                let Some(name) = w.name() else { return Err(EISDIR) };
                if w.dir >= procfs::PROC {
                    return Err(ENOENT);
                }
                if device::is_dev(w.dir) {
                    return Err(EROFS);
                }
                let mode = crate::files::S_IFREG | mode as u32 & 0o7777 & !self.process(serial)?.umask;
                let now = self.now();
                (Node::Inode(self.files.make(w.dir, name, mode, Body::File(Default::default()), now)?), true)
            }
        };
        let cloexec = flags & O_CLOEXEC != 0;
        if flags & O_PATH != 0 {
            let inode = match node {
                Node::Inode(i) => i,
                Node::Open(f) => self.open.get(f).ok_or(ENOENT)?.inode,
            };
            if flags & O_DIRECTORY != 0 && self.mode_of(inode)? & S_IFMT != S_IFDIR {
                return Err(ENOTDIR);
            }
            return self.install(serial, fd, Kind::Path, inode, flags & O_PATH, cloexec, entry);
        }
        let status = (flags & (O_ACCMODE | O_APPEND | O_NONBLOCK | 0o4010000 | 0o10000)) | O_LARGEFILE;
        self.open_node(serial, fd, node, flags, status, cloexec, entry, made, create, from)
    }

    #[allow(clippy::too_many_arguments)] // what open has found out
    fn open_node(
        &mut self,
        serial: u64,
        fd: usize,
        node: Node,
        flags: u64,
        status: u64,
        cloexec: bool,
        entry: Option<(u64, Vec<u8>)>,
        made: bool,
        create: bool,
        from: Option<Continuation>,
    ) -> CallResult {
        let write = flags & O_ACCMODE != 0;
        let inode = match node {
            Node::Open(f) => {
                let f = self.open.get(f).ok_or(ENOENT)?;
                if let (0, Some((pipe, ..))) = (f.inode, f.pipe()) {
                    return self.reopen_pipe(serial, fd, pipe, status, cloexec);
                }
                f.inode
            }
            Node::Inode(i) => i,
        };
        let mode = self.mode_of(inode)?;
        match mode & S_IFMT {
            S_IFLNK => return Err(ELOOP),
            S_IFDIR if create || write => return Err(EISDIR),
            S_IFDIR => {
                return self.install(
                    serial,
                    fd,
                    Kind::Directory,
                    inode,
                    status | flags & O_DIRECTORY,
                    cloexec,
                    entry,
                );
            }
            _ if flags & O_DIRECTORY != 0 => return Err(ENOTDIR),
            _ => {}
        }
        if let Some(n) = procfs::node(inode) {
            let text = self.proc_text(n);
            return self.install(serial, fd, Kind::Text(text), inode, status, cloexec, entry);
        }
        if device::is_dev(inode) {
            let number = self.stat_inode(inode)?.rdev;
            return self.open_device(serial, fd, number, inode, flags, status, cloexec, entry);
        }
        match &self.files.inode(inode)?.body {
            Body::Fifo(_) => self.open_fifo(serial, fd, inode, flags, status, cloexec, entry, from),
            Body::Device(n) if mode & S_IFMT == crate::files::S_IFCHR && device::known(*n) => {
                let n = *n;
                self.open_device(serial, fd, n, inode, flags, status, cloexec, entry)
            }
            Body::Device(_) => Err(ENXIO),
            _ => {
                if flags & O_TRUNC != 0 && !made {
                    self.truncate_inode(inode, 0)?;
                }
                self.install(serial, fd, Kind::File, inode, status, cloexec, entry)
            }
        }
    }

    #[allow(clippy::too_many_arguments)] // what open has found out
    fn open_device(
        &mut self,
        serial: u64,
        fd: usize,
        number: u64,
        inode: u64,
        flags: u64,
        status: u64,
        cloexec: bool,
        entry: Option<(u64, Vec<u8>)>,
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
        let terminal = matches!(number, device::TTY_NUMBER | device::CONSOLE_NUMBER | device::SERIAL_NUMBER);
        let kind = if terminal { Kind::Terminal } else { Kind::Device(number) };
        self.install(serial, fd, kind, inode, status, cloexec, entry)
    }

    /// By a link of /proc/self/fd.
    fn reopen_pipe(&mut self, serial: u64, fd: usize, pipe: u32, status: u64, cloexec: bool) -> CallResult {
        let (kind, reads, writes) = ends(pipe, status);
        let p = self.pipes.get_mut(pipe).ok_or(ENXIO)?;
        p.readers += u32::from(reads);
        p.readers_seen += u64::from(reads);
        p.writers += u32::from(writes);
        p.writers_seen += u64::from(writes);
        self.install(serial, fd, kind, 0, status, cloexec, None)
    }

    #[allow(clippy::too_many_arguments)] // what open has found out
    fn open_fifo(
        &mut self,
        serial: u64,
        fd: usize,
        inode: u64,
        flags: u64,
        status: u64,
        cloexec: bool,
        entry: Option<(u64, Vec<u8>)>,
        from: Option<Continuation>,
    ) -> CallResult {
        let pipe = match self.files.inode(inode)?.body {
            Body::Fifo(Some(p)) => p,
            _ if self.pipes.len() >= PIPES_MAX => return Err(ENFILE),
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
        let (kind, reads, writes) = ends(pipe, status);
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
        let result = self.install(serial, fd, kind, inode, status, cloexec, entry)?;
        let id = self.any_file(serial, fd as u64)?;
        if let Some(f) = self.open.get_mut(id) {
            f.quiet_hangup = quiet;
        }
        Ok(result)
    }

    /// Makes an open file description with one descriptor.
    #[allow(clippy::too_many_arguments)] // its fields
    fn install(
        &mut self,
        serial: u64,
        fd: usize,
        kind: Kind,
        inode: u64,
        flags: u64,
        cloexec: bool,
        entry: Option<(u64, Vec<u8>)>,
    ) -> CallResult {
        self.files.hold(inode);
        let file =
            self.open.insert(OpenFile { kind, inode, flags, offset: 0, refs: 1, entry, quiet_hangup: None });
        self.process_mut(serial)?.set_descriptor(fd, Some(Descriptor { file, cloexec }));
        done(fd as u64)
    }

    pub(super) fn sys_close(&mut self, serial: u64, fd: u64) -> CallResult {
        let fd = u64::from(fd as u32);
        self.process(serial)?.descriptor(fd).ok_or(EBADF)?;
        self.close_descriptor(serial, fd as usize);
        done(0)
    }

    /// Closes one descriptor.
    pub fn close_descriptor(&mut self, serial: u64, fd: usize) {
        let gone = self.processes.get_mut(&serial).and_then(|p| p.set_descriptor(fd, None));
        if let Some(d) = gone {
            self.release_file(d.file);
        }
    }

    /// Closes all, ascending.
    pub fn close_all(&mut self, serial: u64) {
        let count = self.processes.get(&serial).map_or(0, |p| p.descriptors.len());
        (0..count).for_each(|fd| self.close_descriptor(serial, fd));
    }

    /// One descriptor less leads to it.
    pub fn release_file(&mut self, id: u32) {
        let Some(f) = self.open.get_mut(id) else { return };
        f.refs -= 1;
        if f.refs > 0 {
            return;
        }
        let Some(f) = self.open.remove(id) else { return };
        if let Some((pipe, reads, writes)) = f.pipe() {
            self.close_end(pipe, reads, writes);
        }
        self.files.release(&mut self.memory.physical, f.inode);
    }

    fn close_end(&mut self, pipe: u32, reads: bool, writes: bool) {
        let Some(p) = self.pipes.get_mut(pipe) else { return };
        p.readers -= u32::from(reads).min(p.readers);
        p.writers -= u32::from(writes).min(p.writers);
        let (readers, writers) = (p.readers, p.writers);
        if reads && readers == 0 {
            self.wake(Key::Writers(pipe));
        }
        if writes && writers == 0 {
            self.wake(Key::Readers(pipe));
        }
        self.drop_pipe_if_unused(pipe);
    }

    fn drop_pipe_if_unused(&mut self, pipe: u32) {
        if self.pipes.get(pipe).is_none_or(|p| p.readers + p.writers > 0) {
            return;
        }
        if let Some(fifo) = self.pipes.remove(pipe).and_then(|p| p.fifo) {
            if let Some(i) = self.files.inodes.get_mut(&fifo) {
                i.body = Body::Fifo(None);
            }
            self.files.release(&mut self.memory.physical, fifo);
        }
    }

    pub(super) fn sys_pipe2(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[1] & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(EINVAL);
        }
        if self.pipes.len() >= PIPES_MAX || self.open.len() + 2 > OPEN_FILES_MAX {
            return Err(ENFILE);
        }
        let read_fd = self.new_descriptor(serial, 0)?;
        let write_fd = self.new_descriptor(serial, read_fd + 1)?;
        let fds = [(read_fd as u32).to_le_bytes(), (write_fd as u32).to_le_bytes()].concat();
        self.put(serial, a[0], &fds)?;
        let number = self.pipe_numbers;
        self.pipe_numbers += 1;
        let made = self.clock();
        let pipe = Pipe {
            number,
            readers: 1,
            writers: 1,
            readers_seen: 1,
            writers_seen: 1,
            made,
            ..Pipe::default()
        };
        let pipe = self.pipes.insert(pipe);
        let (status, cloexec) = (a[1] & O_NONBLOCK, a[1] & O_CLOEXEC != 0);
        self.install(serial, read_fd, Kind::PipeRead(pipe), 0, status, cloexec, None)?;
        self.install(serial, write_fd, Kind::PipeWrite(pipe), 0, status | O_WRONLY, cloexec, None)?;
        done(0)
    }

    pub(super) fn sys_getdents64(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let id = self.file(serial, a[0])?;
        let f = self.open.get(id).ok_or(EBADF)?;
        if f.kind != Kind::Directory {
            return Err(ENOTDIR);
        }
        let (dir, mut position) = (f.inode, f.offset);
        if self.stat_inode(dir)?.nlink == 0 {
            return Err(ENOENT);
        }
        let room = u64::from(a[2] as u32);
        let mut out = Vec::new();
        let mut more = true;
        while more {
            let entries = self.list(dir, position)?;
            more = !entries.is_empty();
            for (offset, name, ino) in entries {
                let length = (19 + name.len() + 1).next_multiple_of(8);
                if (out.len() + length) as u64 > room {
                    if out.is_empty() {
                        return Err(EINVAL);
                    }
                    more = false;
                    break;
                }
                let kind = (self.mode_of(ino).unwrap_or(0) & S_IFMT) >> 12;
                let at = out.len();
                out.extend_from_slice(&ino.to_le_bytes());
                out.extend_from_slice(&offset.to_le_bytes());
                out.extend_from_slice(&(length as u16).to_le_bytes());
                out.push(kind as u8);
                out.extend_from_slice(&name);
                out.resize(at + length, 0);
                position = offset;
            }
        }
        self.put(serial, a[1], &out)?;
        if let Some(f) = self.open.get_mut(id) {
            f.offset = position;
        }
        done(out.len() as u64)
    }

    pub(super) fn sys_getcwd(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let cwd = self.process(serial)?.cwd;
        if self.stat_inode(cwd)?.nlink == 0 {
            return Err(ENOENT);
        }
        let mut path = self.path_of(cwd).ok_or(ENOENT)?;
        path.push(0);
        if (path.len() as u64) > a[1] {
            return Err(ERANGE);
        }
        self.put(serial, a[0], &path)?;
        done(path.len() as u64)
    }

    pub(super) fn sys_chdir(&mut self, serial: u64, path: u64) -> CallResult {
        let path = self.path(serial, path)?;
        let w = self.walk(serial, crate::files::walk::AT_FDCWD as u64, &path, true)?;
        let inode = match w.found()? {
            Node::Inode(i) => i,
            Node::Open(f) => self.open.get(f).ok_or(ENOENT)?.inode,
        };
        self.enter_directory(serial, inode)
    }

    pub(super) fn sys_fchdir(&mut self, serial: u64, fd: u64) -> CallResult {
        let file = self.any_file(serial, fd)?;
        let inode = self.open.get(file).ok_or(EBADF)?.inode;
        self.enter_directory(serial, inode)
    }

    fn enter_directory(&mut self, serial: u64, inode: u64) -> CallResult {
        if self.mode_of(inode)? & S_IFMT != S_IFDIR {
            return Err(ENOTDIR);
        }
        self.files.hold(inode);
        let old = core::mem::replace(&mut self.process_mut(serial)?.cwd, inode);
        self.files.release(&mut self.memory.physical, old);
        done(0)
    }
}

/// The kind of a pipe's end by its flags, whether it reads, whether it writes.
fn ends(pipe: u32, flags: u64) -> (Kind, bool, bool) {
    match flags & O_ACCMODE {
        O_WRONLY => (Kind::PipeWrite(pipe), false, true),
        O_RDWR => (Kind::PipeBoth(pipe), true, true),
        _ => (Kind::PipeRead(pipe), true, false),
    }
}
