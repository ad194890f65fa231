//! write(2) and its kin, and what the terminal says to writers in the background.

use super::Arguments;
use super::buffers::Buffers;
use super::input::{CHUNK, Transfer, block};
use crate::error::{Res, e};
use crate::files::flags::O_APPEND;
use crate::files::{Device, Target};
use crate::kernel::{Flow, Kernel, Out, Restart};
use crate::machine::Machine;
use crate::memory::Access;
use crate::pipes::{PipeId, Room};
use crate::process::{Info, bit, sig};
use crate::turns::{Serial, Thing};
use abi::linux::nr;
use abi::turn::TTY_SLICE;
use abi::vote::EffectKind;

impl<M: Machine> Kernel<M> {
    pub(super) fn write_call(&mut self, me: Serial, number: u64, a: Arguments) -> Out {
        let t = self.transfer(me, number, a)?;
        if t.buffers.count() == 0 && matches!(number, nr::writev | nr::pwritev) {
            return Ok(Flow::Done(0));
        }
        let handle = self.files.handle(me, t.fd)?;
        let nonblocking = handle.nonblocking();
        match handle.target.clone() {
            Target::Place | Target::Directory | Target::Text(_) => Err(e::EBADF),
            Target::File => self.write_file(me, &t),
            Target::Pipe { pipe, .. } => self.write_pipe(me, pipe, &t.buffers, nonblocking),
            Target::Terminal => self.write_terminal(me, &t.buffers),
            Target::Device(device) => self.write_device(me, device, &t.buffers),
        }
    }

    fn write_file(&mut self, me: Serial, t: &Transfer) -> Out {
        let count = t.buffers.count();
        if count == 0 {
            return Ok(Flow::Done(0));
        }
        let handle = self.files.handle(me, t.fd)?;
        let (node, appends) = (handle.node, handle.flags & O_APPEND != 0);
        let start = if appends { self.files.size(node) } else { t.at.unwrap_or(handle.offset) };
        if start >= crate::files::data::SIZE_MAX {
            return Err(e::EFBIG);
        }
        let n = self.reach(me, &t.buffers, 0, count, Access::Read)?;
        let mut done = 0;
        while done < n {
            let chunk = self.gather(me, &t.buffers, done, (n - done).min(CHUNK))?;
            let written = match self.files.write_at(node, start + done, &chunk) {
                Ok(written) => written as u64,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            };
            done += written;
            if written < chunk.len() as u64 {
                break;
            }
        }
        if t.at.is_none() {
            self.files.handle_mut(me, t.fd)?.offset = start + done;
        }
        Ok(Flow::Done(done))
    }

    fn write_device(&mut self, me: Serial, device: Device, b: &Buffers) -> Out {
        match device {
            Device::Full if b.count() > 0 => Err(e::ENOSPC),
            Device::Random if b.count() > 0 => {
                let n = self.reach(me, b, 0, b.count(), Access::Read)?;
                Ok(Flow::Done(n))
            }
            _ => Ok(Flow::Done(b.count())),
        }
    }

    /// EPIPE, with its signal.
    pub(super) fn broken_pipe(&mut self, me: Serial, done: u64) -> Out {
        let pid = self.processes.get(me)?.pid;
        self.processes.generate(me, Info::user(sig::SIGPIPE, pid), &mut self.post);
        if done > 0 { Ok(Flow::Done(done)) } else { Err(e::EPIPE) }
    }

    fn write_pipe(&mut self, me: Serial, pipe: PipeId, b: &Buffers, nonblocking: bool) -> Out {
        let (count, done) = (b.count(), self.thread(me)?.again.done);
        if count == 0 {
            return Ok(Flow::Done(0));
        }
        let left = count - done.min(count);
        let n = match self.pipes.room(pipe, left as usize, done == 0) {
            Room::Broken => return self.broken_pipe(me, done),
            Room::Full if nonblocking && done > 0 => return Ok(Flow::Done(done)),
            Room::Full if nonblocking => return Err(e::EAGAIN),
            Room::Full => return Ok(block(Thing::Writers(pipe))),
            Room::Bytes(n) => n as u64,
        };
        let reached = match self.reach(me, b, done, n, Access::Read) {
            Err(_) if done > 0 => return Ok(Flow::Done(done)),
            other => other?,
        };
        let bytes = self.gather(me, b, done, reached)?;
        self.pipes.write(pipe, bytes, &mut self.post);
        let done = done + reached;
        if done == count || reached < n || nonblocking {
            return Ok(Flow::Done(done));
        }
        self.thread(me)?.again.done = done;
        Ok(block(Thing::Writers(pipe)))
    }

    /// Job control: what a process in the background gets instead of the terminal. `None`: go on.
    pub(super) fn background(&mut self, me: Serial, signal: u8) -> Res<Option<Flow>> {
        let p = self.processes.get(me)?;
        let foreground = self.terminal.session != Some(p.sid) || p.pgid == self.terminal.foreground;
        if foreground {
            return Ok(None);
        }
        let deaf = p.signals.mask & bit(signal) != 0 || p.ignores(signal);
        let group = p.pgid;
        if deaf && signal == sig::SIGTTOU {
            return Ok(None);
        }
        if deaf || self.processes.is_orphaned(group, None) {
            return Err(e::EIO);
        }
        for member in self.processes.members(group) {
            self.processes.generate(member, Info::kernel(signal), &mut self.post);
        }
        Ok(Some(Flow::Block { things: Default::default(), deadline_us: None, restart: Restart::ByAction }))
    }

    /// One slice of a write to the terminal; the last one answers with the whole count.
    fn write_terminal(&mut self, me: Serial, b: &Buffers) -> Out {
        let (count, done) = (b.count(), self.thread(me)?.again.done);
        if let Some(out) = self.may_output(me, done)? {
            return Ok(out);
        }
        if count == 0 {
            return Ok(Flow::Done(0));
        }
        let slice = (count - done.min(count)).min(TTY_SLICE as u64);
        let reached = match self.reach(me, b, done, slice, Access::Read) {
            Err(_) if done > 0 => return Ok(Flow::Done(done)),
            other => other?,
        };
        let bytes = self.gather(me, b, done, reached)?;
        self.effect(EffectKind::TtyOutput, &bytes);
        Ok(self.slice_done(me, done + reached, reached == slice && done + reached < count))
    }

    /// A slice is done; whether there is more.
    pub(super) fn slice_done(&mut self, me: Serial, done: u64, more: bool) -> Flow {
        match self.threads.get_mut(&me).filter(|_| more) {
            Some(t) => {
                t.again.done = done;
                Flow::Slice
            }
            None => Flow::Done(done),
        }
    }

    /// Whether a process may write to the terminal now; if not, what comes of it after `done` bytes.
    pub(super) fn may_output(&mut self, me: Serial, done: u64) -> Res<Option<Flow>> {
        if !self.terminal.stops_output() {
            return Ok(None);
        }
        match self.background(me, sig::SIGTTOU) {
            Ok(Some(_)) | Err(_) if done > 0 => Ok(Some(Flow::Done(done))),
            other => other,
        }
    }
}
