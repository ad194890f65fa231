//! read, write and their kin.

use super::*;
use crate::files::{Body, SIZE_MAX, Time, device};
use crate::open::{Kind, O_APPEND};
use crate::signal::{SIGPIPE, SIGTTOU};
use crate::terminal::TOSTOP;
use abi::turn::{PIPE_BUF, TTY_SLICE};
use abi::vote::EffectKind;

/// Most bytes of one call, as Linux (MAX_RW_COUNT).
const COUNT_MAX: u64 = 0x7fff_f000;
/// So much is copied at a time.
const CHUNK: u64 = 65536;

/// Address and length of a part of a buffer.
pub type Part = (u64, u64);

impl<H: Hardware> Kernel<H> {
    /// readv and writev.
    pub(super) fn sys_vector(
        &mut self,
        serial: u64,
        a: &[u64; 6],
        write: bool,
        from: Option<Continuation>,
    ) -> CallResult {
        self.file(serial, a[0])?;
        if a[2] > 1024 {
            return Err(EINVAL);
        }
        let space = self.space(serial)?;
        let mut bytes = alloc::vec![0; a[2] as usize * 16];
        self.memory.read(space, a[1], &mut bytes)?;
        let word = |b: &[u8]| b.try_into().map_or(0, u64::from_le_bytes);
        let parts: Vec<Part> = bytes.chunks_exact(16).map(|c| (word(&c[..8]), word(&c[8..]))).collect();
        if parts.iter().try_fold(0i64, |sum, p| sum.checked_add(i64::try_from(p.1).ok()?)).is_none() {
            return Err(EINVAL);
        }
        if write {
            self.sys_write(serial, a[0], &parts, None, from)
        } else {
            self.sys_read(serial, a[0], &parts, None, from)
        }
    }

    /// How many of `count` bytes of the buffer from `skip` on can be touched.
    fn touchable(&mut self, space: u32, parts: &[Part], skip: u64, count: u64, write: bool) -> u64 {
        let (mut skip, mut total) = (skip, 0);
        for (address, length) in parts {
            let off = skip.min(*length);
            skip -= off;
            let want = (length - off).min(count - total);
            let got = self.memory.accessible(space, address.wrapping_add(off), want, write);
            total += got;
            if got < want || total == count {
                break;
            }
        }
        total
    }

    /// Up to `count` bytes of the buffer from `skip` on.
    pub(super) fn gather(&mut self, space: u32, parts: &[Part], skip: u64, count: u64) -> Result<Vec<u8>> {
        let count = self.touchable(space, parts, skip, count, false);
        if count == 0 {
            return Err(EFAULT);
        }
        let mut out = alloc::vec![0; count as usize];
        let (mut skip, mut at) = (skip, 0);
        for (address, length) in parts {
            let off = skip.min(*length);
            skip -= off;
            let n = ((length - off) as usize).min(out.len() - at);
            self.memory.read(space, address.wrapping_add(off), out.get_mut(at..at + n).unwrap_or(&mut []))?;
            at += n;
        }
        Ok(out)
    }

    /// Puts `bytes` into the buffer from `skip` on.
    fn scatter(&mut self, space: u32, parts: &[Part], skip: u64, bytes: &[u8]) -> Result<()> {
        let (mut skip, mut at) = (skip, 0);
        for (address, length) in parts {
            let off = skip.min(*length);
            skip -= off;
            let n = ((length - off) as usize).min(bytes.len() - at);
            self.memory.write(space, address.wrapping_add(off), bytes.get(at..at + n).unwrap_or(&[]))?;
            at += n;
        }
        Ok(())
    }

    pub(super) fn sys_read(
        &mut self,
        serial: u64,
        fd: u64,
        parts: &[Part],
        at: Option<u64>,
        from: Option<Continuation>,
    ) -> CallResult {
        let id = self.file(serial, fd)?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (kind, inode, offset, nonblocking) = (f.kind.clone(), f.inode, f.offset, f.nonblocking());
        check_position(&kind, at)?;
        if !f.readable() {
            return Err(EBADF);
        }
        let pipe = f.pipe();
        let space = self.space(serial)?;
        let count = parts.iter().map(|p| p.1).sum::<u64>().min(COUNT_MAX);
        if kind == Kind::Directory {
            return Err(EISDIR);
        }
        if count == 0 {
            return done(0);
        }
        if let Some((p, ..)) = pipe {
            return self.read_pipe(space, p, parts, count, nonblocking);
        }
        match &kind {
            Kind::Terminal => match self.terminal_read(serial, count as usize, nonblocking, from) {
                Err(result) => result,
                Ok(bytes) => {
                    let n = self.touchable(space, parts, 0, bytes.len() as u64, true);
                    if n == 0 && !bytes.is_empty() {
                        return Err(EFAULT);
                    }
                    self.scatter(space, parts, 0, bytes.get(..n as usize).unwrap_or(&[]))?;
                    done(n)
                }
            },
            Kind::Device(device::NULL) => done(0),
            _ => {
                let start = at.unwrap_or(offset);
                let n = self.read_positioned(serial, space, &kind, inode, start, parts, count)?;
                if at.is_none()
                    && !matches!(kind, Kind::Device(_))
                    && let Some(f) = self.open.get_mut(id)
                {
                    f.offset = start + n;
                }
                done(n)
            }
        }
    }

    fn read_pipe(&mut self, space: u32, p: u32, parts: &[Part], count: u64, nonblocking: bool) -> CallResult {
        let pipe = self.pipes.get(p).ok_or(EBADF)?;
        let there = (pipe.data.len() as u64).min(count);
        if there == 0 {
            return match pipe.writers {
                0 => done(0),
                _ if nonblocking => Err(EAGAIN),
                _ => wait_for(Key::Readers(p), Continuation::Again),
            };
        }
        let n = self.touchable(space, parts, 0, there, true);
        if n == 0 {
            return Err(EFAULT);
        }
        let bytes: Vec<u8> = self.pipes.get_mut(p).ok_or(EBADF)?.data.drain(..n as usize).collect();
        self.scatter(space, parts, 0, &bytes)?;
        self.wake(Key::Writers(p));
        done(n)
    }

    /// Files, texts and devices without an end.
    #[allow(clippy::too_many_arguments)] // what is read, and where it goes
    fn read_positioned(
        &mut self,
        serial: u64,
        space: u32,
        kind: &Kind,
        inode: u64,
        start: u64,
        parts: &[Part],
        count: u64,
    ) -> Result<u64> {
        let size = match kind {
            Kind::File => self.content_size(inode)?,
            Kind::Text(text) => text.len() as u64,
            _ => u64::MAX,
        };
        let there = size.saturating_sub(start).min(count);
        if there == 0 {
            return Ok(0);
        }
        let n = self.touchable(space, parts, 0, there, true);
        if n == 0 {
            return Err(EFAULT);
        }
        let mut moved = 0;
        while moved < n {
            let mut chunk = alloc::vec![0; (n - moved).min(CHUNK) as usize];
            match kind {
                Kind::File => {
                    if let Body::File(c) = &self.files.inode(inode)?.body {
                        c.read(&self.memory.physical, start + moved, &mut chunk);
                    }
                }
                Kind::Text(text) => {
                    let (at, length) = ((start + moved) as usize, chunk.len());
                    if let Some(part) = text.get(at..at + length) {
                        chunk.copy_from_slice(part);
                    }
                }
                Kind::Device(device::RANDOM | device::URANDOM) => self.random(serial, &mut chunk),
                _ => {}
            }
            self.scatter(space, parts, moved, &chunk)?;
            moved += chunk.len() as u64;
        }
        Ok(n)
    }

    fn content_size(&self, inode: u64) -> Result<u64> {
        match &self.files.inode(inode)?.body {
            Body::File(c) => Ok(c.size),
            _ => Err(EINVAL),
        }
    }

    /// The next bytes of a process' random stream.
    pub(super) fn random(&mut self, serial: u64, out: &mut [u8]) {
        if let Some(p) = self.processes.get_mut(&serial) {
            abi::layout::random_bytes(&self.seed, serial, p.random, out);
            p.random += out.len() as u64;
        }
    }

    pub(super) fn sys_write(
        &mut self,
        serial: u64,
        fd: u64,
        parts: &[Part],
        at: Option<u64>,
        from: Option<Continuation>,
    ) -> CallResult {
        let id = self.file(serial, fd)?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (kind, nonblocking) = (f.kind.clone(), f.nonblocking());
        check_position(&kind, at)?;
        if !f.writable() {
            return Err(EBADF);
        }
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
    fn write_pipe(
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
            self.generate_kernel(serial, SIGPIPE);
            return if before > 0 { done(before) } else { Err(EPIPE) };
        }
        let (left, room) = (count - before, pipe.room() as u64);
        let fits = if count <= PIPE_BUF as u64 && room < left { 0 } else { room.min(left) };
        let mut total = before;
        if fits > 0 {
            let bytes = match self.gather(space, parts, before, fits) {
                Ok(b) => b,
                Err(e) => return if before > 0 { done(before) } else { Err(e) },
            };
            total += bytes.len() as u64;
            let cut = (bytes.len() as u64) < fits;
            self.pipes.get_mut(p).ok_or(EBADF)?.data.extend(bytes);
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
    fn write_terminal(
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

    fn write_file(&mut self, id: u32, space: u32, parts: &[Part], count: u64, at: Option<u64>) -> CallResult {
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

    pub(super) fn sys_lseek(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let id = self.file(serial, a[0])?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (offset, whence) = (a[1] as i64, a[2]);
        let size = match &f.kind {
            Kind::PipeRead(_) | Kind::PipeWrite(_) | Kind::PipeBoth(_) | Kind::Terminal => {
                return Err(ESPIPE);
            }
            Kind::Device(_) => return done(0),
            Kind::File => Some(self.content_size(f.inode)? as i64),
            _ => None,
        };
        let new = match (whence, size) {
            (0, _) => offset,
            (1, _) => (f.offset as i64).checked_add(offset).ok_or(EOVERFLOW)?,
            (2, Some(size)) => size.checked_add(offset).ok_or(EOVERFLOW)?,
            (3 | 4, Some(size)) if offset < 0 || offset >= size => return Err(ENXIO),
            (3, Some(_)) => offset,
            (4, Some(size)) => size,
            _ => return Err(EINVAL),
        };
        if new < 0 || size.is_some() && new > SIZE_MAX as i64 {
            return Err(EINVAL);
        }
        if let Some(f) = self.open.get_mut(id) {
            f.offset = new as u64;
        }
        done(new as u64)
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

/// pread and pwrite: no pipes, no terminal, no negative positions.
fn check_position(kind: &Kind, at: Option<u64>) -> Result<()> {
    let Some(at) = at else { return Ok(()) };
    match kind {
        _ if (at as i64) < 0 => Err(EINVAL),
        Kind::PipeRead(_) | Kind::PipeWrite(_) | Kind::PipeBoth(_) | Kind::Terminal => Err(ESPIPE),
        _ => Ok(()),
    }
}
