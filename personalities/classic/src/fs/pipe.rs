//! Pipes and FIFOs.
//!
//! An end counts while an open file description or a blocked open of a FIFO stands for it, as in Linux: an opener that waits is already
//! a reader (writer) for the other side.

use super::file::{FIFO, Kind, PIPE, Slot};
use super::inode::{Meta, Time};
use super::linux::*;
use super::syscalls::{Answer, Call, Stop};
use super::{Fs, Ino, Outcome, WaitKey};
use crate::errno::*;
use abi::turn::{PIPE_BUF, PIPE_CAPACITY, PIPES_MAX};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Bytes of heap that a write to a pipe takes at most: a pipe's bytes, laid anew in a power of two, and a copy of what comes.
pub(super) const PIPE_COST: usize = 4 * PIPE_CAPACITY;

/// A blocked open of a FIFO.
#[derive(Debug)]
struct Opener {
    pid: u32,
    read: bool,
    /// The other end has come: the open succeeds when it is made again, even if that end has gone.
    met: bool,
}

/// A pipe, or a FIFO that is open.
#[derive(Debug)]
pub struct Pipe {
    /// Mode, owner and times of a pipe without a name.
    pub meta: Meta,
    /// The bytes it holds.
    pub bytes: VecDeque<u8>,
    /// Read ends.
    pub readers: u32,
    /// Write ends.
    pub writers: u32,
    /// Write ends there ever were.
    pub writers_ever: u64,
    openers: Vec<Opener>,
}

impl Pipe {
    /// Without ends.
    pub fn new(time: Time) -> Pipe {
        let meta = Meta::new(S_IFIFO | 0o600, time);
        Pipe { meta, bytes: VecDeque::new(), readers: 0, writers: 0, writers_ever: 0, openers: Vec::new() }
    }
    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        PIPE_CAPACITY - self.bytes.len().min(PIPE_CAPACITY)
    }
    /// Whether `pid` is in the middle of an open whose other end has come.
    pub fn met(&self, pid: u32) -> bool {
        self.openers.iter().any(|o| o.pid == pid && o.met)
    }
    /// Blocked opens.
    pub fn openers(&self) -> usize {
        self.openers.len()
    }
    /// An end of a snapshot. Writers that came before are one: it is only asked whether there are more than some reader has seen.
    pub fn begin_end(&mut self, read: bool, write: bool) {
        self.readers += u32::from(read);
        self.writers += u32::from(write);
        self.writers_ever = 1;
    }
    /// A blocked open of a snapshot.
    pub fn begin_opener(&mut self, pid: u32, read: bool, met: bool) {
        self.begin_end(read, !read);
        self.openers.push(Opener { pid, read, met });
    }
    fn count(&mut self, read: bool, write: bool) {
        self.readers += u32::from(read);
        self.writers += u32::from(write);
        self.writers_ever += u64::from(write);
    }
}

impl Fs {
    pub(super) fn pipe2(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(1);
        if flags & !(O_CLOEXEC | O_NONBLOCK) != 0 {
            return Err(EINVAL.into());
        }
        self.files.room(2)?;
        self.pipe_room()?;
        let read_fd = call.caller.fds.free(0)?;
        let write_fd = call.caller.fds.free(read_fd + 1)?;
        let mut fds = [0; 8];
        fds[..4].copy_from_slice(&(read_fd as u32).to_le_bytes());
        fds[4..].copy_from_slice(&(write_fd as u32).to_le_bytes());
        call.put(0, &fds)?;
        let node = PIPE + self.next_pipe;
        self.next_pipe += 1;
        let mut pipe = Pipe::new(Time::from_us(call.caller.now_us));
        pipe.count(true, true);
        self.pipes.insert(node, pipe);
        for (fd, write) in [(read_fd, false), (write_fd, true)] {
            let kind = Kind::Pipe { pipe: node, read: !write, write, seen: 0 };
            let file = self.files.add(node, kind, u32::from(write) | flags & O_NONBLOCK, None);
            call.caller.fds.set(fd, Slot { file, cloexec: flags & O_CLOEXEC != 0 });
        }
        Ok(0)
    }

    fn pipe_room(&self) -> Result<(), Errno> {
        if self.pipes.len() >= PIPES_MAX { Err(ENFILE) } else { Ok(()) }
    }

    /// One side (or both) of a pipe has one end less.
    pub(super) fn leave_pipe(&mut self, id: u64, read: bool, write: bool) {
        let Some(pipe) = self.pipes.get_mut(&id) else { return };
        pipe.readers -= u32::from(read);
        pipe.writers -= u32::from(write);
        let (readers, writers) = (pipe.readers, pipe.writers);
        if readers == 0 && writers == 0 {
            self.pipes.remove(&id);
            return;
        }
        if write && writers == 0 {
            self.wake(WaitKey::PipeRead(id));
        }
        if read && readers == 0 {
            self.wake(WaitKey::PipeWrite(id));
        }
    }

    /// Opens a FIFO, or an anonymous pipe through /proc/PID/fd.
    pub(super) fn open_pipe(&mut self, node: Ino, flags: u32, pid: u32, now_us: u64) -> Result<Kind, Stop> {
        let (read, write) = match flags & O_ACCMODE {
            0 => (true, false),
            O_WRONLY => (false, true),
            O_RDWR => (true, true),
            _ => return Err(EINVAL.into()),
        };
        let named = node & PIPE == 0;
        let id = if named { FIFO + node } else { node };
        if let Some(kind) = self.open_again(id, pid, read, write) {
            return kind;
        }
        if !self.pipes.contains_key(&id) {
            if !named {
                return Err(ENOENT.into());
            }
            if write && !read && flags & O_NONBLOCK != 0 {
                return Err(ENXIO.into());
            }
            self.pipe_room()?;
            self.pipes.insert(id, Pipe::new(Time::from_us(now_us)));
        }
        let pipe = self.pipes.get_mut(&id).ok_or(ENOENT)?;
        if named && write && !read && pipe.readers == 0 && flags & O_NONBLOCK != 0 {
            return Err(ENXIO.into());
        }
        let first = (read && pipe.readers == 0) || (write && pipe.writers == 0);
        // Only who opened without any writer, not waiting for one, has not met the writers so far.
        let unmet = named && !write && pipe.writers == 0;
        let seen = if unmet { pipe.writers_ever } else { 0 };
        pipe.count(read, write);
        for opener in &mut pipe.openers {
            opener.met |= if opener.read { write } else { read };
        }
        let alone = named && if write { pipe.readers == 0 } else { pipe.writers == 0 };
        let waits = alone && flags & O_NONBLOCK == 0;
        if waits {
            pipe.openers.push(Opener { pid, read, met: false });
        }
        if named && first {
            self.wake(WaitKey::FifoOpen(node));
        }
        if waits {
            return Err(Stop::Out(Outcome::Block {
                on: Vec::from([WaitKey::FifoOpen(node)]),
                deadline_us: None,
            }));
        }
        Ok(Kind::Pipe { pipe: id, read, write, seen })
    }

    /// The open of a FIFO that blocked before is made again.
    fn open_again(&mut self, id: u64, pid: u32, read: bool, write: bool) -> Option<Result<Kind, Stop>> {
        let pipe = self.pipes.get_mut(&id)?;
        let i = pipe.openers.iter().position(|o| o.pid == pid && o.read == read && o.read != write)?;
        if !pipe.openers[i].met {
            let on = Vec::from([WaitKey::FifoOpen(id - FIFO)]);
            return Some(Err(Stop::Out(Outcome::Block { on, deadline_us: None })));
        }
        pipe.openers.remove(i);
        Some(Ok(Kind::Pipe { pipe: id, read, write, seen: 0 }))
    }

    /// Forgets blocked opens of a process.
    pub(super) fn forget_opener(&mut self, pid: u32) {
        let of = |pipe: &Pipe| pipe.openers.iter().find(|o| o.pid == pid).map(|o| o.read);
        while let Some((id, read)) = self.pipes.iter().find_map(|(id, pipe)| Some((*id, of(pipe)?))) {
            if let Some(pipe) = self.pipes.get_mut(&id) {
                pipe.openers.retain(|o| o.pid != pid || o.read != read);
            }
            self.leave_pipe(id, read, !read);
        }
    }

    /// Reads what is there; blocks or EAGAIN if nothing is but could come.
    pub(super) fn read_pipe(
        &mut self,
        call: &mut Call<'_, '_>,
        id: u64,
        nonblocking: bool,
        len: u64,
    ) -> Answer {
        if len == 0 {
            return Ok(0);
        }
        let pipe = self.pipes.get_mut(&id).ok_or(EBADF)?;
        if pipe.bytes.is_empty() {
            if pipe.writers == 0 {
                return Ok(0);
            }
            return if nonblocking { Err(EAGAIN.into()) } else { Err(Stop::wait(WaitKey::PipeRead(id))) };
        }
        let n = call.buffer.touchable_out(call.user, 0, len.min(pipe.bytes.len() as u64))?;
        // In the two pieces in which they lie, not one by one.
        let (first, second) = pipe.bytes.as_slices();
        let first = &first[..first.len().min(n as usize)];
        call.buffer.copy_out(call.user, 0, first)?;
        call.buffer.copy_out(call.user, first.len() as u64, &second[..n as usize - first.len()])?;
        pipe.bytes.drain(..n as usize);
        self.wake(WaitKey::PipeWrite(id));
        Ok(n as i64)
    }

    /// Writes all, blocking for what does not fit; at most PIPE_BUF bytes go in whole. `len` counts from the first time the call was made.
    pub(super) fn write_pipe(
        &mut self,
        call: &mut Call<'_, '_>,
        id: u64,
        nonblocking: bool,
        len: u64,
    ) -> Answer {
        if len == 0 {
            return Ok(0);
        }
        let done = call.caller.progress.done;
        let pipe = self.pipes.get_mut(&id).ok_or(EBADF)?;
        if pipe.readers == 0 {
            self.broken_pipe();
            return if done > 0 { Ok(done as i64) } else { Err(EPIPE.into()) };
        }
        let left = len.saturating_sub(done);
        let room = pipe.room() as u64;
        let fits = if len <= PIPE_BUF as u64 && room < left { 0 } else { room.min(left) };
        let mut total = done;
        let mut cut = false;
        if fits > 0 && self.tree.room < PIPE_COST {
            return if done > 0 { Ok(done as i64) } else { Err(ENOMEM.into()) };
        }
        if fits > 0 {
            let n = match call.buffer.touchable_in(call.user, done, fits) {
                Err(_) if done > 0 => return Ok(done as i64),
                n => n?,
            };
            let mut bytes = alloc::vec![0; n as usize];
            call.buffer.copy_in(call.user, done, &mut bytes)?;
            pipe.bytes.extend(bytes);
            total += n;
            cut = n < fits;
            self.wake(WaitKey::PipeRead(id));
        }
        call.caller.progress.done = total;
        match total {
            _ if total == len || cut => Ok(total as i64),
            0 if nonblocking => Err(EAGAIN.into()),
            _ if nonblocking => Ok(total as i64),
            _ => Err(Stop::wait(WaitKey::PipeWrite(id))),
        }
    }

    /// A write without readers.
    pub(super) fn broken_pipe(&mut self) {
        self.signals.push((super::SignalTarget::Caller, SIGPIPE));
    }
}
