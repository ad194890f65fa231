//! write and its kin.

use super::io::{CHUNK, COUNT_MAX, Part, check_end, check_offset, check_position, in_user_half};
use super::*;
use crate::files::{SIZE_MAX, Time, device};
use crate::open::{Kind, O_APPEND};
use crate::signal::SIGTTOU;
use crate::terminal::TOSTOP;
use abi::turn::{PIPE_BUF, TTY_SLICE};
use abi::vote::EffectKind;

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_write(
        &mut self,
        serial: u64,
        fd: u64,
        parts: &[Part],
        at: Option<u64>,
        from: Option<Continuation>,
    ) -> CallResult {
        check_offset(at)?;
        let id = self.file(serial, fd)?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (kind, nonblocking) = (f.kind.clone(), f.nonblocking());
        check_position(&kind, at)?;
        if !f.writable() {
            return Err(EBADF);
        }
        if !parts.iter().all(in_user_half) {
            return Err(EFAULT);
        }
        check_end(at.unwrap_or(f.offset), parts)?;
        let pipe = f.pipe();
        let space = self.space(serial)?;
        let count = parts.iter().map(|p| p.1).sum::<u64>().min(COUNT_MAX);
        let before = if let Some(Continuation::Written(n)) = from { n } else { 0 };
        if count == 0 {
            return done(0);
        }
        if let Some((p, ..)) = pipe {
            return self.write_pipe(serial, space, p, parts, count, before, nonblocking);
        }
        match kind {
            Kind::Terminal => self.write_terminal(serial, space, parts, count, before),
            Kind::Device(device::FULL) => Err(ENOSPC),
            Kind::Device(_) => done(count),
            Kind::File => self.write_file(id, space, parts, count, at),
            _ => Err(EBADF),
        }
    }

    #[allow(clippy::too_many_arguments)] // what is written, and where it goes
    pub(super) fn write_pipe(
        &mut self,
        serial: u64,
        space: u32,
        p: u32,
        parts: &[Part],
        count: u64,
        before: u64,
        nonblocking: bool,
    ) -> CallResult {
        let pipe = self.pipes.get(p).ok_or(EBADF)?;
        if pipe.readers == 0 {
            self.broken_pipe(serial);
            return if before > 0 { done(before) } else { Err(EPIPE) };
        }
        let (left, room) = (count - before, pipe.room() as u64);
        let fits = if count <= PIPE_BUF as u64 && room < left { 0 } else { room.min(left) };
        let mut total = before;
        if fits > 0 {
            let mut data = core::mem::take(&mut self.pipes.get_mut(p).ok_or(EBADF)?.data);
            let held = data.len();
            let moved = self.gather_into(space, parts, before, fits, &mut data);
            if moved.is_err() {
                data.truncate(held);
            }
            self.pipes.get_mut(p).ok_or(EBADF)?.data = data;
            let moved = match moved {
                Ok(n) => n,
                Err(e) => return if before > 0 { done(before) } else { Err(e) },
            };
            total += moved;
            let cut = moved < fits;
            self.wake(Key::Readers(p));
            if cut || total == count {
                return done(total);
            }
        }
        if nonblocking {
            return if total > 0 { done(total) } else { Err(EAGAIN) };
        }
        wait_for(Key::Writers(p), Continuation::Written(total))
    }

    /// One slice; if more is left, the next one is the same thread's next call.
    pub(super) fn write_terminal(
        &mut self,
        serial: u64,
        space: u32,
        parts: &[Part],
        count: u64,
        before: u64,
    ) -> CallResult {
        if self.terminal.has(TOSTOP)
            && let Some(result) = self.background(serial, SIGTTOU)
        {
            return if before > 0 && result.is_err() { done(before) } else { keep(result, before) };
        }
        let bytes = match self.gather(space, parts, before, (count - before).min(TTY_SLICE as u64)) {
            Ok(b) => b,
            Err(e) => return if before > 0 { done(before) } else { Err(e) },
        };
        self.effect(EffectKind::TtyOutput, &bytes);
        let total = before + bytes.len() as u64;
        let cut = bytes.len() < TTY_SLICE;
        if total == count || cut { done(total) } else { Ok(Outcome::GoOn(Continuation::Written(total))) }
    }

    pub(super) fn write_file(
        &mut self,
        id: u32,
        space: u32,
        parts: &[Part],
        count: u64,
        at: Option<u64>,
    ) -> CallResult {
        let f = self.open.get(id).ok_or(EBADF)?;
        let (inode, append) = (f.inode, f.flags & O_APPEND != 0);
        let start = if append { self.content_size(inode)? } else { at.unwrap_or(f.offset) };
        if start >= SIZE_MAX {
            return Err(EFBIG);
        }
        let count = count.min(SIZE_MAX - start);
        let mut total = 0;
        let mut error = None;
        while total < count {
            let bytes = match self.gather(space, parts, total, (count - total).min(CHUNK)) {
                Ok(b) => b,
                Err(e) => {
                    error = Some(e);
                    break;
                }
            };
            match self.write_content(inode, start + total, &bytes) {
                Ok(0) => error = Some(ENOSPC),
                Ok(n) => total += n,
                Err(e) => error = Some(e),
            }
            if error.is_some() || !total.is_multiple_of(CHUNK) {
                break;
            }
        }
        if total == 0
            && let Some(e) = error
        {
            return Err(e);
        }
        if at.is_none()
            && let Some(f) = self.open.get_mut(id)
        {
            f.offset = start + total;
        }
        done(total)
    }

    /// Writes into a file; how much there was room for.
    pub(super) fn write_content(&mut self, inode: u64, at: u64, bytes: &[u8]) -> Result<u64> {
        let now = Time::of_us(self.clock());
        let n = self.files.change(&mut self.memory.physical, inode, u64::MAX, |c, p, budget| {
            c.write(p, at, bytes, budget)
        })?;
        if n > 0
            && let Some(i) = self.files.inodes.get_mut(&inode)
        {
            i.times[1] = now;
            i.times[2] = now;
        }
        Ok(n as u64)
    }
}

/// A call that restarts for job control goes on from where it was.
fn keep(result: CallResult, before: u64) -> CallResult {
    match result {
        Ok(Outcome::Block(w)) if before > 0 => {
            Ok(Outcome::Block(Wait { next: Continuation::Written(before), ..w }))
        }
        other => other,
    }
}
