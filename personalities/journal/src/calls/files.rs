//! Descriptors: positions, copies, flags; pipes; sizes.

use super::locks::Owner;
use super::{Outcome, done, ok};
use crate::errno::*;
use crate::fs::node::Node;
use crate::fs::opened::Name;
use crate::fs::path::{HERE, Last};
use crate::fs::{DIRECTORY, REGULAR, SIZE_MAX, TYPE};
use crate::state::{Leads, Open, State};
use abi::turn::PIPE_CAPACITY;

const CLOEXEC: u32 = 0o2000000;
const NONBLOCK: u32 = 0o4000;
/// What F_SETSIG may name.
const LAST_SIGNAL: u64 = 64;
/// O_APPEND, O_NONBLOCK, O_DIRECT, O_NOATIME, FASYNC.
const SETTABLE: u32 = 0o2000 | NONBLOCK | 0o1000000;

impl State {
    /// lseek.
    pub fn lseek(&mut self, s: u64, fd: u64, offset: i64, whence: u32) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        if whence > 4 {
            return Err(EINVAL);
        }
        let size = match &open.leads {
            Leads::Pipe(..) | Leads::Terminal => return Err(ESPIPE),
            Leads::Device(_) => return done(0u64),
            Leads::File(inode) => self.files.inode(*inode).map_or(0, |i| i.size) as i64,
            Leads::Text(_) | Leads::Directory(_) if whence >= 2 => return Err(EINVAL),
            _ => 0,
        };
        let base = match whence {
            0 => 0,
            1 => open.offset as i64,
            2 => size,
            _ if offset < 0 || offset >= size => return Err(ENXIO),
            3 => 0,
            _ => size - offset,
        };
        let most = if matches!(open.leads, Leads::File(_)) { SIZE_MAX as i64 } else { i64::MAX };
        let to = base.checked_add(offset).filter(|t| (0..=most).contains(t)).ok_or(EINVAL)?;
        if let Some(o) = self.opens.get_mut(&number) {
            o.offset = to as u64;
        }
        done(to as u64)
    }

    /// dup.
    pub fn dup(&mut self, s: u64, fd: u64) -> Result<Outcome> {
        let (open, _) = self.open_of(s, fd & 0xffff_ffff)?;
        let new = self.free_fd(s, 0)?;
        self.set_fd(s, new, open, false);
        done(new)
    }

    /// dup3.
    pub fn dup3(&mut self, s: u64, old: u64, new: u64, flags: u64) -> Result<Outcome> {
        let (old, new, flags) = (old & 0xffff_ffff, new as u32, flags as u32);
        if flags & !CLOEXEC != 0 || old == u64::from(new) {
            return Err(EINVAL);
        }
        if u64::from(new) >= self.fd_limit(s) {
            return Err(EBADF);
        }
        let (open, _) = self.open_of(s, old)?;
        if let Some(o) = self.opens.get_mut(&open) {
            o.references += 1;
        }
        let _ = self.close_fd(s, new);
        if let Some(o) = self.opens.get_mut(&open) {
            o.references -= 1;
        }
        self.set_fd(s, new, open, flags & CLOEXEC != 0);
        done(new)
    }

    /// close_range.
    pub fn close_range(&mut self, s: u64, first: u64, last: u64, flags: u64) -> Result<Outcome> {
        let (first, last) = (first as u32, last as u32);
        if first > last || flags & !6 != 0 {
            return Err(EINVAL);
        }
        let fds: alloc::vec::Vec<u32> = self.process(s).fds.range(first..=last).map(|(fd, _)| *fd).collect();
        for fd in fds {
            if flags & 4 != 0 {
                if let Some(f) = self.process_mut(s).fds.get_mut(&fd) {
                    f.cloexec = true;
                }
            } else {
                self.close_fd(s, fd)?;
            }
        }
        ok()
    }

    /// fcntl.
    pub fn fcntl(&mut self, s: u64, fd: u64, command: u32, argument: u64) -> Result<Outcome> {
        let fd = fd as u32;
        let (number, open) = self.open_of(s, u64::from(fd))?;
        let open = open.clone();
        if matches!(open.leads, Leads::Path) && ![0, 1, 2, 3, 1030].contains(&command) {
            return Err(EBADF);
        }
        match command {
            0 | 1030 => {
                let from = argument as u32;
                if u64::from(from) >= self.fd_limit(s) {
                    return Err(EINVAL);
                }
                let new = self.free_fd(s, from)?;
                self.set_fd(s, new, number, command == 1030);
                done(new)
            }
            1 => done(self.process(s).fds.get(&fd).map_or(0, |f| u64::from(f.cloexec))),
            2 => {
                if let Some(f) = self.process_mut(s).fds.get_mut(&fd) {
                    f.cloexec = argument & 1 != 0;
                }
                ok()
            }
            3 => done(open.flags),
            4 => {
                if argument as u32 & 0o200000 != 0 {
                    return Err(EINVAL);
                }
                if let Some(o) = self.opens.get_mut(&number) {
                    o.flags = o.flags & !SETTABLE | argument as u32 & SETTABLE;
                }
                ok()
            }
            5 => self.get_lock(s, &open, argument, Owner::Process),
            6 | 7 => self.set_lock(s, &open, argument, Owner::Process),
            10 if argument > LAST_SIGNAL => Err(EINVAL),
            8..=11 => ok(),
            36 => self.get_lock(s, &open, argument, Owner::Open),
            37 | 38 => self.set_lock(s, &open, argument, Owner::Open),
            1031 | 1032 => match open.leads {
                Leads::Pipe(..) if command == 1031 && (argument == 0 || argument > 1 << 31) => Err(EINVAL),
                Leads::Pipe(..) => done(PIPE_CAPACITY),
                _ => Err(EBADF),
            },
            _ => Err(EINVAL),
        }
    }

    /// pipe2.
    pub fn pipe2(&mut self, s: u64, at: u64, flags: u32) -> Result<Outcome> {
        if flags & !(CLOEXEC | NONBLOCK) != 0 {
            return Err(EINVAL);
        }
        let numbers = (self.next_pipe, self.pipe_inodes);
        let pipe = self.add_pipe(None)?;
        self.open_pipe(pipe, true, true);
        let result = self.pipe_ends(s, at, pipe, flags);
        if result.is_err() {
            self.pipes.remove_mut(&pipe);
            (self.next_pipe, self.pipe_inodes) = numbers;
        }
        result
    }

    fn pipe_ends(&mut self, s: u64, at: u64, pipe: u64, flags: u32) -> Result<Outcome> {
        let read_fd = self.free_fd(s, 0)?;
        let write_fd = self.free_fd(s, read_fd + 1)?;
        if self.opens.size() + 2 > abi::turn::OPEN_FILES_MAX {
            return Err(ENFILE);
        }
        self.space(s).put(at, &[read_fd.to_le_bytes(), write_fd.to_le_bytes()].concat())?;
        for (fd, read) in [(read_fd, true), (write_fd, false)] {
            let open = self.add_open(Open {
                leads: Leads::Pipe(pipe, read, !read),
                node: Node::Pipe(pipe),
                flags: u32::from(!read) | flags & NONBLOCK,
                offset: 0,
                references: 0,
                name: Name::fixed(b""),
                hangup_after: 0,
            })?;
            self.set_fd(s, fd, open, flags & CLOEXEC != 0);
        }
        ok()
    }

    /// ftruncate.
    pub fn ftruncate(&mut self, s: u64, fd: u64, size: i64) -> Result<Outcome> {
        if size < 0 {
            return Err(EINVAL);
        }
        let (_, open) = self.usable(s, fd)?;
        let Leads::File(inode) = open.leads else { return Err(EINVAL) };
        if !open.writes() {
            return Err(EINVAL);
        }
        let now = self.now_ns();
        self.files.truncate(inode, size as u64, now)?;
        ok()
    }

    /// truncate.
    pub fn truncate(&mut self, s: u64, path: u64, size: i64) -> Result<Outcome> {
        if size < 0 {
            return Err(EINVAL);
        }
        let path = self.path_argument(s, path)?;
        let node = self.walk(s, HERE as u64, &path, Last::Follow)?.there()?;
        match (node, self.stat(node)?.mode & TYPE) {
            (_, DIRECTORY) => Err(EISDIR),
            (Node::File(inode), REGULAR) => {
                let now = self.now_ns();
                self.files.truncate(inode, size as u64, now)?;
                ok()
            }
            (Node::Proc(_), _) => Err(EROFS),
            _ => Err(EINVAL),
        }
    }
}
