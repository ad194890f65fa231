//! read, write and their kin.

use super::*;
use crate::files::{Body, SIZE_MAX, device};
use crate::open::Kind;

/// Most bytes of one call, as Linux (MAX_RW_COUNT).
pub(super) const COUNT_MAX: u64 = 0x7fff_f000;
/// So much is copied at a time.
pub(super) const CHUNK: u64 = 65536;

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
        // Of the sum nothing is asked: `sys_read` and `sys_write` cut it at COUNT_MAX.
        if parts.iter().any(|p| p.1 > i64::MAX as u64) {
            return Err(EINVAL);
        }
        if parts.iter().any(|p| !in_user_half(p)) {
            return Err(EFAULT);
        }
        let f = self.open.get(self.file(serial, a[0])?).ok_or(EBADF)?;
        if !(if write { f.writable() } else { f.readable() }) {
            return Err(EBADF);
        }
        // Nothing to move is nothing to ask of the file, not even of a directory.
        if parts.iter().all(|p| p.1 == 0) {
            return done(0);
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
        let mut out = Vec::with_capacity(count as usize);
        self.gather_touchable(space, parts, skip, count, &mut out)?;
        Ok(out)
    }

    /// Puts them behind what is in `out`; how many they were.
    pub(super) fn gather_into<E>(
        &mut self,
        space: u32,
        parts: &[Part],
        skip: u64,
        count: u64,
        out: &mut E,
    ) -> Result<u64>
    where
        E: for<'a> Extend<&'a u8>,
    {
        let count = self.touchable(space, parts, skip, count, false);
        self.gather_touchable(space, parts, skip, count, out)
    }

    /// As `gather_into`, of bytes that were looked at.
    fn gather_touchable<E>(
        &mut self,
        space: u32,
        parts: &[Part],
        mut skip: u64,
        count: u64,
        out: &mut E,
    ) -> Result<u64>
    where
        E: for<'a> Extend<&'a u8>,
    {
        if count == 0 {
            return Err(EFAULT);
        }
        let mut left = count;
        for (address, length) in parts {
            let off = skip.min(*length);
            skip -= off;
            let n = (length - off).min(left);
            self.memory.append(space, address.wrapping_add(off), n, out)?;
            left -= n;
        }
        Ok(count)
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
        check_offset(at)?;
        let id = self.file(serial, fd)?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (kind, inode, offset, nonblocking) = (f.kind.clone(), f.inode, f.offset, f.nonblocking());
        check_position(&kind, at)?;
        if !f.readable() {
            return Err(EBADF);
        }
        if !parts.iter().all(in_user_half) {
            return Err(EFAULT);
        }
        check_end(at.unwrap_or(offset), parts)?;
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
        let mut data = core::mem::take(&mut self.pipes.get_mut(p).ok_or(EBADF)?.data);
        let (front, back) = data.as_slices();
        let front = front.get(..n as usize).unwrap_or(front);
        let back = back.get(..n as usize - front.len()).unwrap_or(back);
        let moved = match self.scatter(space, parts, 0, front) {
            Ok(()) => self.scatter(space, parts, front.len() as u64, back),
            failed => failed,
        };
        if moved.is_ok() {
            data.drain(..n as usize);
        }
        self.pipes.get_mut(p).ok_or(EBADF)?.data = data;
        moved?;
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
            let length = (n - moved).min(CHUNK) as usize;
            let mut chunk = Vec::with_capacity(length);
            match kind {
                Kind::File => {
                    if let Body::File(c) = &self.files.inode(inode)?.body {
                        c.append(&self.memory.physical, start + moved, length, &mut chunk);
                    }
                }
                Kind::Text(text) => {
                    let at = (start + moved) as usize;
                    chunk.extend_from_slice(text.get(at..at + length).unwrap_or_default());
                }
                Kind::Device(device::RANDOM | device::URANDOM) => {
                    chunk.resize(length, 0);
                    self.random(serial, &mut chunk);
                }
                _ => {}
            }
            // Devices and holes read as zeros.
            chunk.resize(length, 0);
            self.scatter(space, parts, moved, &chunk)?;
            moved += chunk.len() as u64;
        }
        Ok(n)
    }

    pub(super) fn content_size(&self, inode: u64) -> Result<u64> {
        match &self.files.inode(inode)?.body {
            Body::File(c) => Ok(c.size),
            _ => Err(EINVAL),
        }
    }

    /// The next bytes of a process' random stream.
    pub(super) fn random(&mut self, serial: u64, out: &mut [u8]) {
        let owner = self.owner(serial);
        if let Some(p) = self.processes.get_mut(&owner) {
            abi::layout::random_bytes(&self.seed, owner, p.random, out);
            p.random += out.len() as u64;
        }
    }

    pub(super) fn sys_lseek(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let id = self.file(serial, a[0])?;
        let f = self.open.get(id).ok_or(EBADF)?;
        let (offset, whence) = (a[1] as i64, u64::from(a[2] as u32));
        if whence > 4 {
            return Err(EINVAL);
        }
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
            (1, _) => (f.offset as i64).checked_add(offset).ok_or(EINVAL)?,
            (2, Some(size)) => size.checked_add(offset).ok_or(EINVAL)?,
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

/// A negative position fails before the descriptor is looked at, as in Linux.
pub(super) fn check_offset(at: Option<u64>) -> Result<()> {
    if at.is_some_and(|at| (at as i64) < 0) { Err(EINVAL) } else { Ok(()) }
}

/// Linux' `rw_verify_area`: what would end beyond the largest position fails, whatever the file is, before it is asked for its kind.
pub(super) fn check_end(start: u64, parts: &[Part]) -> Result<()> {
    let length = parts.iter().map(|p| p.1).sum();
    if (start as i64).checked_add_unsigned(length).is_none() { Err(EINVAL) } else { Ok(()) }
}

/// Linux' `access_ok`: a buffer that reaches beyond the programs' half fails whether or not there are bytes to move.
pub(super) fn in_user_half(part: &Part) -> bool {
    part.0.checked_add(part.1).is_some_and(|end| end <= abi::layout::TASK_SIZE)
}

/// pread and pwrite: no pipes, no terminal, no negative positions.
pub(super) fn check_position(kind: &Kind, at: Option<u64>) -> Result<()> {
    if at.is_none() {
        return Ok(());
    }
    match kind {
        Kind::PipeRead(_) | Kind::PipeWrite(_) | Kind::PipeBoth(_) | Kind::Terminal => Err(ESPIPE),
        _ => Ok(()),
    }
}
