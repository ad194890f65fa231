//! read(2) and its kin.

use super::Arguments;
use super::buffers::{Buffers, addressable};
use crate::error::{Res, e};
use crate::files::{Device, Target};
use crate::kernel::{Flow, Kernel, Out, Restart};
use crate::machine::Machine;
use crate::memory::Access;
use crate::pipes::PipeId;
use crate::terminal::Input;
use crate::turns::{Serial, Thing};
use abi::linux::nr;
use alloc::vec;
use alloc::vec::Vec;

/// Bytes that are copied at a time.
pub const CHUNK: u64 = 65536;

/// What a read or write is about.
pub struct Transfer {
    pub fd: u32,
    pub buffers: Buffers,
    /// The place in the file, of calls that name one.
    pub at: Option<u64>,
}

impl<M: Machine> Kernel<M> {
    /// Decodes read and write calls, in the order of Linux' checks, but for what only some kinds of files look at.
    pub(super) fn transfer(&mut self, me: Serial, number: u64, a: Arguments) -> Res<Transfer> {
        let fd = a.fd(0);
        let places = matches!(number, nr::pread64 | nr::pwrite64 | nr::preadv | nr::pwritev);
        if places && (a.0[3] as i64) < 0 {
            return Err(e::EINVAL);
        }
        let handle = self.files.active(me, fd)?;
        if places && matches!(handle.target, Target::Pipe { .. } | Target::Terminal) {
            return Err(e::ESPIPE);
        }
        let vector = matches!(number, nr::readv | nr::writev | nr::preadv | nr::pwritev);
        let buffers = if vector { self.vector(me, a.0[1], a.0[2])? } else { Buffers::one(a.0[1], a.0[2]) };
        let handle = self.files.active(me, fd)?;
        let reads = matches!(number, nr::read | nr::readv | nr::pread64 | nr::preadv);
        if !(if reads { handle.reads() } else { handle.writes() }) {
            return Err(e::EBADF);
        }
        if !vector {
            addressable(a.0[1], a.0[2])?;
        }
        let has_position = !matches!(handle.target, Target::Pipe { .. } | Target::Terminal);
        let position = if places { a.0[3] } else { handle.offset };
        let length = if vector { buffers.count() } else { a.0[2] };
        if has_position && position.saturating_add(length) > i64::MAX as u64 {
            return Err(e::EINVAL);
        }
        Ok(Transfer { fd, buffers, at: places.then_some(a.0[3]) })
    }

    pub(super) fn read_call(&mut self, me: Serial, number: u64, a: Arguments) -> Out {
        let t = self.transfer(me, number, a)?;
        let count = t.buffers.count();
        if count == 0 && matches!(number, nr::readv | nr::preadv) {
            return Ok(Flow::Done(0));
        }
        let handle = self.files.handle(me, t.fd)?;
        let nonblocking = handle.nonblocking();
        match handle.target.clone() {
            Target::Place => Err(e::EBADF),
            Target::Directory => Err(e::EISDIR),
            Target::File => self.read_file(me, &t),
            Target::Pipe { pipe, .. } => self.read_pipe(me, pipe, &t.buffers, nonblocking),
            Target::Terminal => self.read_terminal(me, &t.buffers, nonblocking),
            Target::Device(device) => self.read_device(me, device, &t.buffers),
            Target::Text(text) => {
                let at = t.at.unwrap_or(self.files.handle(me, t.fd)?.offset);
                let rest = text.get(at.min(text.len() as u64) as usize..).unwrap_or(&[]);
                let n = count.min(rest.len() as u64);
                let n = if n == 0 { 0 } else { self.reach(me, &t.buffers, 0, n, Access::Write)? };
                self.scatter(me, &t.buffers, 0, &rest[..n as usize])?;
                self.advance_offset(me, &t, n)?;
                Ok(Flow::Done(n))
            }
        }
    }

    /// The descriptor's own offset moves, unless the call named a place.
    pub(super) fn advance_offset(&mut self, me: Serial, t: &Transfer, by: u64) -> Res {
        if t.at.is_none() {
            self.files.handle_mut(me, t.fd)?.offset += by;
        }
        Ok(())
    }

    fn read_file(&mut self, me: Serial, t: &Transfer) -> Out {
        let handle = self.files.handle(me, t.fd)?;
        let (node, at) = (handle.node, t.at.unwrap_or(handle.offset));
        let there = self.files.size(node).saturating_sub(at).min(t.buffers.count());
        if there == 0 {
            return Ok(Flow::Done(0));
        }
        let n = self.reach(me, &t.buffers, 0, there, Access::Write)?;
        self.scatter_file(me, &t.buffers, node, at, n)?;
        self.advance_offset(me, t, n)?;
        Ok(Flow::Done(n))
    }

    fn read_pipe(&mut self, me: Serial, pipe: PipeId, b: &Buffers, nonblocking: bool) -> Out {
        let count = b.count();
        if count == 0 {
            return Ok(Flow::Done(0));
        }
        let held = self.pipes.held(pipe) as u64;
        if held == 0 {
            return match self.pipes.get(pipe) {
                Some(p) if p.writers == 0 => Ok(Flow::Done(0)),
                _ if nonblocking => Err(e::EAGAIN),
                _ => Ok(block(Thing::Readers(pipe))),
            };
        }
        let n = self.reach(me, b, 0, held.min(count), Access::Write)?;
        let bytes = self.pipes.read(pipe, n as usize, &mut self.post);
        self.scatter(me, b, 0, &bytes)?;
        Ok(Flow::Done(n))
    }

    fn read_terminal(&mut self, me: Serial, b: &Buffers, nonblocking: bool) -> Out {
        if let Some(out) = self.background(me, crate::process::sig::SIGTTIN)? {
            return Ok(out);
        }
        let count = b.count();
        if count == 0 {
            return Ok(Flow::Done(0));
        }
        let (now, deadline) = (self.now_us(), self.thread(me)?.again.deadline_us);
        if !self.terminal.readable() {
            if deadline.is_some_and(|d| d <= now) {
                return Ok(Flow::Done(0));
            }
            if let Input::Wait(limit) = self.terminal.read(0) {
                if nonblocking {
                    return Err(e::EAGAIN);
                }
                let deadline_us = deadline.or(limit.map(|l| now + l));
                let things = vec![Thing::Terminal];
                return Ok(Flow::Block { things, deadline_us, restart: Restart::ByAction });
            }
        }
        let n = self.reach(me, b, 0, count.min(abi::turn::TTY_INPUT_MAX as u64), Access::Write)?;
        match self.terminal.read(n as usize) {
            Input::Bytes(bytes) => {
                self.scatter(me, b, 0, &bytes)?;
                Ok(Flow::Done(bytes.len() as u64))
            }
            Input::Wait(_) => Ok(Flow::Done(0)),
        }
    }

    fn read_device(&mut self, me: Serial, device: Device, b: &Buffers) -> Out {
        let count = b.count();
        if device == Device::Null || count == 0 {
            return Ok(Flow::Done(0));
        }
        let n = self.reach(me, b, 0, count, Access::Write)?;
        let mut done = 0;
        while done < n {
            let length = (n - done).min(CHUNK);
            let bytes: Vec<u8> = match device {
                Device::Random => self.random(me, length as usize)?,
                _ => vec![0; length as usize],
            };
            self.scatter(me, b, done, &bytes)?;
            done += length;
        }
        Ok(Flow::Done(n))
    }

    /// The next bytes of a process' random stream.
    pub(super) fn random(&mut self, me: Serial, length: usize) -> Res<Vec<u8>> {
        let seed = *self.seed();
        let p = self.processes.get_mut(me)?;
        let mut out = vec![0; length];
        abi::layout::random_bytes(&seed, me, p.random_read, &mut out);
        p.random_read += length as u64;
        Ok(out)
    }
}

/// Waits for one thing, without a deadline.
pub fn block(thing: Thing) -> Flow {
    Flow::Block { things: vec![thing], deadline_us: None, restart: Restart::ByAction }
}
