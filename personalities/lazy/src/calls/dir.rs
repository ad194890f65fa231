//! Opening, closing, directories.

use super::*;
use crate::files::walk::Node;
use crate::files::{Body, S_IFDIR, S_IFMT};
use crate::open::*;
use crate::pipe::Pipe;
use crate::process::Process;
use abi::turn::{FDS_MAX, OPEN_FILES_MAX, PIPES_MAX};

impl<H: Hardware> Kernel<H> {
    pub(super) fn process(&self, serial: u64) -> Result<&Process> {
        self.process_of(serial).ok_or(ESRCH)
    }

    pub(super) fn process_mut(&mut self, serial: u64) -> Result<&mut Process> {
        self.process_of_mut(serial).ok_or(ESRCH)
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

    pub(super) fn sys_close(&mut self, serial: u64, fd: u64) -> CallResult {
        let fd = u64::from(fd as u32);
        self.process(serial)?.descriptor(fd).ok_or(EBADF)?;
        self.close_descriptor(serial, fd as usize);
        done(0)
    }

    /// Closes one descriptor.
    pub fn close_descriptor(&mut self, serial: u64, fd: usize) {
        let gone = self.process_of_mut(serial).and_then(|p| p.set_descriptor(fd, None));
        if let Some(d) = gone {
            self.release_file(d.file);
        }
    }

    /// Closes all, ascending.
    pub fn close_all(&mut self, serial: u64) {
        let count = self.process_of(serial).map_or(0, |p| p.descriptors.len());
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
        if let Kind::PipePath(pipe) = f.kind {
            if let Some(p) = self.pipes.get_mut(pipe) {
                p.paths -= 1;
            }
            self.drop_pipe_if_unused(pipe);
        }
        self.files.release(&mut self.memory.physical, f.inode);
    }

    pub(super) fn close_end(&mut self, pipe: u32, reads: bool, writes: bool) {
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

    /// Pipes that count.
    pub(super) fn open_pipes(&self) -> usize {
        self.pipes.iter().filter(|(_, p)| p.is_open()).count()
    }

    pub(super) fn drop_pipe_if_unused(&mut self, pipe: u32) {
        let Some(p) = self.pipes.get_mut(pipe).filter(|p| !p.is_open()) else { return };
        if p.paths > 0 {
            // As on Linux: its inode stays, what it held does not.
            p.data.clear();
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
        if self.open_pipes() >= PIPES_MAX || self.open.len() + 2 > OPEN_FILES_MAX {
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
        self.install(serial, read_fd, Kind::PipeRead(pipe), 0, status, cloexec, Name::Own)?;
        self.install(serial, write_fd, Kind::PipeWrite(pipe), 0, status | O_WRONLY, cloexec, Name::Own)?;
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
        // An int to Linux' readers: in what is less than nothing no entry has room.
        let room = i64::from(a[2] as i32);
        let mut out = Vec::new();
        let mut more = true;
        while more {
            let entries = self.list(dir, position)?;
            more = !entries.is_empty();
            for (offset, name, ino) in entries {
                let length = (19 + name.len() + 1).next_multiple_of(8);
                if (out.len() + length) as i64 > room {
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
        let mut path = match self.files.directory(cwd) {
            Ok(d) => d.entry.path()?,
            Err(_) => self.path_of_mounted(cwd).ok_or(ENOENT)?,
        };
        if path.len() > PATH_LONGEST {
            return Err(ENAMETOOLONG);
        }
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
        // A pipe has no inode of the file system.
        if inode == 0 || self.mode_of(inode)? & S_IFMT != S_IFDIR {
            return Err(ENOTDIR);
        }
        self.files.hold(inode);
        let old = core::mem::replace(&mut self.process_mut(serial)?.cwd, inode);
        self.files.release(&mut self.memory.physical, old);
        done(0)
    }
}
