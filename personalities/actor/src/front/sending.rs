//! sendfile(2): from a regular file, as read then write.

use super::Arguments;
use super::input::{CHUNK, block};
use crate::error::{Res, e};
use crate::files::data::SIZE_MAX;
use crate::files::flags::O_APPEND;
use crate::files::node::NodeId;
use crate::files::{Device, Target};
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::pipes::{PipeId, Room};
use crate::turns::{Serial, Thing};
use abi::turn::TTY_SLICE;
use abi::vote::EffectKind;
use alloc::vec;
use alloc::vec::Vec;

const COUNT_MAX: u64 = 0x7fff_f000;

/// Where the bytes come from.
struct From {
    fd: u32,
    node: NodeId,
    is_file: bool,
    at: u64,
    /// Where the caller keeps the position; 0: the descriptor does.
    kept_at: u64,
    count: u64,
}

/// What is read up to the end of the file that it is appended to is read again by the step that follows, as often as the count wants it: one
/// write does it, however little was read.
fn repeat(bytes: &mut Vec<u8>, most: usize) {
    let period = bytes.len();
    bytes.reserve_exact(most - period);
    while bytes.len() < most {
        let n = (most - bytes.len()).min(bytes.len() / period * period);
        bytes.extend_from_within(..n);
    }
}

impl<M: Machine> Kernel<M> {
    pub(super) fn sendfile(&mut self, me: Serial, a: Arguments) -> Out {
        let kept_at = a.0[2];
        if kept_at == 0 {
            return self.send(me, a, None);
        }
        let space = self.space_of(me)?;
        let kept = self.memory.word(space, kept_at)?;
        let out = self.send(me, a, Some(kept));
        // As Linux: the position is written back even after an error.
        if out.is_err() {
            self.bytes_out(me, kept_at, &kept.to_le_bytes())?;
        }
        out
    }

    fn send(&mut self, me: Serial, a: Arguments, kept: Option<u64>) -> Out {
        let (to, fd, kept_at) = (a.fd(0), a.fd(1), a.0[2]);
        let source = self.files.active(me, fd)?;
        if !source.reads() {
            return Err(e::EBADF);
        }
        let has_position = !matches!(source.target, Target::Pipe { .. } | Target::Terminal);
        if kept.is_some() && !has_position {
            return Err(e::ESPIPE);
        }
        let (node, is_file) = (source.node, matches!(source.target, Target::File));
        let at = kept.unwrap_or(source.offset);
        let end = (at as i64).checked_add_unsigned(a.0[3]);
        if a.0[3] > i64::MAX as u64 || (at as i64) < 0 || end.is_none() {
            return Err(e::EINVAL);
        }
        let out = self.files.active(me, to)?;
        if !out.writes() {
            return Err(e::EBADF);
        }
        let to_pipe = matches!(out.target, Target::Pipe { .. });
        let count = a.0[3].min(COUNT_MAX);
        // As Linux: what has no position is refused; what the rest is shows when there are bytes to send. A pipe is not asked whether it appends.
        let sends = is_file || has_position && count == 0;
        if !to_pipe && (!sends || out.flags & O_APPEND != 0) {
            return Err(e::EINVAL);
        }
        if count > 0 && at >= SIZE_MAX {
            return Err(e::EOVERFLOW);
        }
        let nonblocking = out.nonblocking();
        let from = From { fd, node, is_file, at, kept_at, count };
        match out.target.clone() {
            _ if !is_file && !to_pipe => {
                self.sent(me, &from, 0)?;
                DONE
            }
            Target::Pipe { pipe, .. } => self.send_to_pipe(me, &from, pipe, nonblocking),
            Target::Terminal => self.send_to_terminal(me, &from),
            Target::File => self.send_to_file(me, &from, to),
            Target::Device(Device::Full) if count > 0 => Err(e::ENOSPC),
            Target::Device(_) => {
                let n = self.files.size(node).saturating_sub(at).min(count);
                self.sent(me, &from, n)?;
                Ok(Flow::Done(n))
            }
            _ => Err(e::EINVAL),
        }
    }

    fn source_bytes(&self, from: &From, length: u64) -> Vec<u8> {
        let there = self.files.size(from.node).saturating_sub(from.at);
        let mut bytes = vec![0; length.min(there) as usize];
        let n = self.files.read_at(from.node, from.at, &mut bytes);
        bytes.truncate(n);
        bytes
    }

    /// The source's position moves by `n`.
    fn sent(&mut self, me: Serial, from: &From, n: u64) -> Res {
        if from.kept_at != 0 {
            return self.bytes_out(me, from.kept_at, &(from.at + n).to_le_bytes());
        }
        self.files.handle_mut(me, from.fd)?.offset = from.at + n;
        Ok(())
    }

    fn send_to_pipe(&mut self, me: Serial, from: &From, pipe: PipeId, nonblocking: bool) -> Out {
        let n = match self.pipes.room(pipe, usize::MAX, false) {
            Room::Broken => return self.broken_pipe(me, 0),
            Room::Full if nonblocking => return Err(e::EAGAIN),
            Room::Full => return Ok(block(Thing::Writers(pipe))),
            // A pipe with room asks what comes in; one without does not.
            Room::Bytes(_) if !from.is_file => return Err(e::EINVAL),
            Room::Bytes(n) => (n as u64).min(from.count),
        };
        let bytes = self.source_bytes(from, n);
        let n = bytes.len() as u64;
        self.pipes.write(pipe, bytes, &mut self.post);
        self.sent(me, from, n)?;
        Ok(Flow::Done(n))
    }

    fn send_to_terminal(&mut self, me: Serial, from: &From) -> Out {
        let done = self.thread(me)?.again.done;
        if let Some(out) = self.may_output(me, done)? {
            return Ok(out);
        }
        // The position has moved with the slices before.
        let left = from.count - done.min(from.count);
        let bytes = self.source_bytes(from, left.min(TTY_SLICE as u64));
        if bytes.is_empty() {
            return Ok(Flow::Done(done));
        }
        self.effect(EffectKind::TtyOutput, &bytes);
        let n = bytes.len() as u64;
        self.sent(me, from, n)?;
        let more = n == TTY_SLICE as u64 && n < left && self.files.size(from.node) > from.at + n;
        Ok(self.slice_done(me, done + n, more))
    }

    fn send_to_file(&mut self, me: Serial, from: &From, to: u32) -> Out {
        let out = self.files.handle(me, to)?;
        let (target, start) = (out.node, out.offset);
        let mut done = 0;
        while done < from.count {
            let step = From { at: from.at + done, count: from.count - done, ..*from };
            let most = step.count.min(CHUNK);
            let mut bytes = self.source_bytes(&step, most);
            if bytes.is_empty() {
                break;
            }
            if target == from.node && start + done == self.files.size(target) {
                repeat(&mut bytes, most as usize);
            }
            // A step that reads less is not the last: the file may have grown by it.
            match self.files.write_at(target, start + done, &bytes) {
                Ok(n) => done += n as u64,
                Err(errno) if done == 0 => return Err(errno),
                Err(_) => break,
            }
            if done < step.at - from.at + bytes.len() as u64 {
                break;
            }
        }
        self.files.handle_mut(me, to)?.offset = start + done;
        self.sent(me, from, done)?;
        Ok(Flow::Done(done))
    }
}
