//! Bytes in and out: read, write and their kin.

use super::{Args, Outcome, done, ok};
use crate::errno::*;
use crate::fs::device;
use crate::page::PAGE;
use crate::process::{Thing, Wait};
use crate::signals::{Info, number::*};
use crate::space::{READ, WRITE};
use crate::state::{Leads, Open, State};
use abi::turn::PIPE_BUF;
use alloc::vec::Vec;

pub(super) const NONBLOCK: u32 = 0o4000;
pub(super) const APPEND: u32 = 0o2000;
/// Most bytes of one call (Linux' MAX_RW_COUNT).
pub(super) const COUNT_MAX: u64 = 0x7fff_f000;
const VECTORS_MAX: u64 = 1024;

/// Where bytes come from or go to: parts of the program's memory.
pub(super) type Parts = Vec<(u64, u64)>;

pub(super) fn total(parts: &Parts) -> u64 {
    parts.iter().map(|p| p.1).sum()
}

impl State {
    /// As Linux (import_iovec): all of the vector is read, then all lengths are looked at, then where the parts lie.
    fn vectors(&mut self, s: u64, at: u64, count: u64) -> Result<Parts> {
        if count > VECTORS_MAX {
            return Err(EINVAL);
        }
        let mut bytes = alloc::vec![0; count as usize * 16];
        self.space(s).get(at, &mut bytes)?;
        let word = |b: &[u8]| b.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        let mut parts: Parts = bytes.chunks_exact(16).map(|b| (word(b), word(&b[8..]))).collect();
        if parts.iter().any(|p| p.1 > i64::MAX as u64) {
            return Err(EINVAL);
        }
        let mut left = COUNT_MAX;
        for (base, length) in &mut parts {
            State::one(*base, *length)?;
            *length = (*length).min(left);
            left -= *length;
        }
        Ok(parts)
    }

    /// One buffer. As Linux' access_ok: a range beyond what EL0 can have is EFAULT, whatever is there to move.
    fn one(at: u64, count: u64) -> Result<Parts> {
        if abi::layout::TASK_SIZE.checked_sub(count).is_none_or(|most| at > most) {
            return Err(EFAULT);
        }
        Ok(alloc::vec![(at, count.min(COUNT_MAX))])
    }

    /// Cuts parts at the first page that cannot be touched; EFAULT if nothing is left of something.
    pub(super) fn reachable(&mut self, s: u64, parts: &Parts, want: u8) -> Result<Parts> {
        let mut out = Vec::new();
        for (at, length) in parts {
            let n = self.space(s).reach(*at, *length, want);
            out.push((*at, n));
            if n < *length {
                break;
            }
        }
        if total(&out) == 0 && total(parts) > 0 { Err(EFAULT) } else { Ok(out) }
    }

    pub(super) fn gather(&mut self, s: u64, parts: &Parts, skip: u64, most: u64) -> Result<Vec<u8>> {
        let parts = self.reachable(s, parts, READ)?;
        let (mut skip, mut most, mut out) = (skip, most, Vec::new());
        for (at, length) in parts {
            let past = skip.min(length);
            skip -= past;
            let n = (length - past).min(most);
            most -= n;
            let start = out.len();
            out.resize(start + n as usize, 0);
            self.space(s).get(at + past, &mut out[start..])?;
        }
        Ok(out)
    }

    pub(super) fn scatter(&mut self, s: u64, parts: &Parts, data: &[u8]) -> Result<u64> {
        let mut rest = data;
        for (at, length) in parts {
            let (now, later) = rest.split_at(rest.len().min(*length as usize));
            self.space(s).put(*at, now)?;
            rest = later;
        }
        Ok((data.len() - rest.len()) as u64)
    }

    /// read.
    pub fn read(&mut self, s: u64, fd: u64, at: u64, count: u64) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        if !open.reads() {
            return Err(EBADF);
        }
        let parts = State::one(at, count)?;
        self.read_parts(s, number, &open, &parts)
    }

    /// readv.
    pub fn readv(&mut self, s: u64, fd: u64, at: u64, count: u64) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        let parts = self.vectors(s, at, count)?;
        if !open.reads() {
            return Err(EBADF);
        }
        if total(&parts) == 0 {
            return ok();
        }
        if matches!(open.leads, Leads::Directory(_)) {
            return Err(EISDIR);
        }
        self.read_parts(s, number, &open, &parts)
    }

    fn read_parts(&mut self, s: u64, number: u64, open: &Open, parts: &Parts) -> Result<Outcome> {
        let count = total(parts);
        match &open.leads {
            Leads::File(_) | Leads::Text(_) => {
                let n = self.read_at(s, open, parts, open.offset)?;
                if let Some(o) = self.opens.get_mut(&number) {
                    o.offset += n;
                }
                done(n)
            }
            Leads::Pipe(pipe, true, _) => {
                if count == 0 {
                    return ok();
                }
                let Some(p) = self.pipes.get(pipe) else { return Err(EBADF) };
                if p.bytes.is_empty() {
                    return match (p.writers, open.flags & NONBLOCK) {
                        (0, _) => ok(),
                        (_, 0) => Ok(Outcome::Wait(Wait::on(Thing::PipeReaders(*pipe)))),
                        _ => Err(EAGAIN),
                    };
                }
                let parts = self.reachable(s, parts, WRITE)?;
                let n = total(&parts) as usize;
                let bytes = self.pipes.get_mut(pipe).map(|p| p.take(n)).unwrap_or_default();
                self.wake(Thing::PipeWriters(*pipe));
                self.scatter(s, &parts, &bytes).and_then(done)
            }
            Leads::Pipe(..) => Err(EBADF),
            Leads::Terminal => self.read_terminal(s, open, parts),
            Leads::Device(device::NULL) => ok(),
            Leads::Device(device::ZERO | device::FULL) => {
                let parts = self.reachable(s, parts, WRITE)?;
                let zeros = alloc::vec![0; 65536];
                let mut n = 0;
                for (at, length) in &parts {
                    for piece in (0..*length).step_by(65536) {
                        let size = (length - piece).min(65536) as usize;
                        self.space(s).put(at + piece, &zeros[..size])?;
                        n += size as u64;
                    }
                }
                done(n)
            }
            Leads::Device(_) => {
                let parts = self.reachable(s, parts, WRITE)?;
                for (at, length) in &parts {
                    self.random_to(s, *at, *length)?;
                }
                done(total(&parts))
            }
            Leads::Directory(_) => Err(EISDIR),
            Leads::Path => Err(EBADF),
        }
    }

    /// Of a file or text, from `offset` on.
    fn read_at(&mut self, s: u64, open: &Open, parts: &Parts, offset: u64) -> Result<u64> {
        let size = match &open.leads {
            Leads::File(inode) => self.files.inode(*inode).map_or(0, |i| i.size),
            Leads::Text(text) => text.len() as u64,
            _ => 0,
        };
        if offset >= size || total(parts) == 0 {
            return Ok(0);
        }
        let mut at = offset;
        for (to, length) in self.reachable(s, parts, WRITE)? {
            let mut inside = 0;
            while inside < length && at < size {
                let left = (length - inside).min(size - at);
                let step = match &open.leads {
                    Leads::File(inode) => {
                        let (page, place) = self.files.place(*inode, at);
                        let step = left.min(PAGE - place as u64);
                        self.space(s).put_page(to + inside, page.as_ref(), place, step as usize)?;
                        step
                    }
                    Leads::Text(text) => {
                        let rest = text.get(at as usize..).unwrap_or_default();
                        let step = left.min(rest.len() as u64).max(1);
                        self.space(s).put(to + inside, &rest[..rest.len().min(step as usize)])?;
                        step
                    }
                    _ => left,
                };
                inside += step;
                at += step;
            }
        }
        Ok(at - offset)
    }

    /// write.
    pub fn write(&mut self, s: u64, fd: u64, at: u64, count: u64) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        if !open.writes() {
            return Err(EBADF);
        }
        let parts = State::one(at, count)?;
        self.write_parts(s, number, &open, &parts)
    }

    /// writev.
    pub fn writev(&mut self, s: u64, fd: u64, at: u64, count: u64) -> Result<Outcome> {
        let (number, open) = self.usable(s, fd)?;
        let parts = self.vectors(s, at, count)?;
        if !open.writes() {
            return Err(EBADF);
        }
        if total(&parts) == 0 {
            return ok();
        }
        self.write_parts(s, number, &open, &parts)
    }

    fn write_parts(&mut self, s: u64, number: u64, open: &Open, parts: &Parts) -> Result<Outcome> {
        match &open.leads {
            Leads::File(inode) => {
                if total(parts) == 0 {
                    return ok();
                }
                let end = self.files.inode(*inode).map_or(0, |i| i.size);
                let offset = if open.flags & APPEND != 0 { end } else { open.offset };
                let n = self.write_at(s, *inode, parts, offset)?;
                if let Some(o) = self.opens.get_mut(&number) {
                    o.offset = offset + n;
                }
                done(n)
            }
            Leads::Pipe(pipe, _, true) => self.write_pipe(s, *pipe, open, parts),
            Leads::Terminal => self.write_terminal(s, parts),
            Leads::Device(device::FULL) if total(parts) > 0 => Err(ENOSPC),
            Leads::Device(_) => done(total(parts)),
            _ => Err(EBADF),
        }
    }

    fn write_at(&mut self, s: u64, inode: u64, parts: &Parts, offset: u64) -> Result<u64> {
        let now = self.now_ns();
        let mut at = offset;
        for (from, length) in self.reachable(s, parts, READ)? {
            let mut inside = 0;
            while inside < length {
                let mut piece = alloc::vec![0; (length - inside).min(65536) as usize];
                self.space(s).get(from + inside, &mut piece)?;
                let n = match self.files.write(inode, at, &piece, now) {
                    Ok(n) => n as u64,
                    Err(_) if at > offset => return Ok(at - offset),
                    Err(e) => return Err(e),
                };
                at += n;
                inside += n;
                if n < piece.len() as u64 {
                    return Ok(at - offset);
                }
            }
        }
        Ok(at - offset)
    }

    fn write_pipe(&mut self, s: u64, pipe: u64, open: &Open, parts: &Parts) -> Result<Outcome> {
        let count = total(parts);
        if count == 0 {
            return ok();
        }
        let already = self.progress(s).done;
        let Some(p) = self.pipes.get(&pipe) else { return Err(EBADF) };
        if p.readers == 0 {
            self.signal(s, self.own_signal(s, SIGPIPE));
            return if already > 0 { done(already) } else { Err(EPIPE) };
        }
        let room = p.room() as u64;
        let nonblock = open.flags & NONBLOCK != 0;
        let left = count.saturating_sub(already);
        let fits = if count <= PIPE_BUF as u64 && left > room { 0 } else { left.min(room) };
        if fits == 0 {
            return if nonblock {
                Err(EAGAIN)
            } else {
                Ok(Outcome::Wait(Wait::on(Thing::PipeWriters(pipe))))
            };
        }
        let bytes = match self.gather(s, parts, already, fits) {
            Err(_) if already > 0 => return done(already),
            other => other?,
        };
        let n = bytes.len() as u64;
        if let Some(p) = self.pipes.get_mut(&pipe) {
            p.bytes.extend(bytes);
        }
        if n > 0 {
            self.wake(Thing::PipeReaders(pipe));
        }
        if already + n >= count || nonblock || n < fits {
            return done(already + n);
        }
        self.progress(s).done = already + n;
        Ok(Outcome::Wait(Wait::on(Thing::PipeWriters(pipe))))
    }

    pub(super) fn own_signal(&self, s: u64, signal: u8) -> Info {
        Info { signal, code: 0, fields: [u64::from(self.process(s).pid), 0], far: 0 }
    }

    /// Linux' rw_verify_area: what would end beyond 2^63 - 1 is EINVAL, whatever the file is.
    fn verify_area(offset: u64, count: u64) -> Result<()> {
        offset.checked_add(count).filter(|end| *end <= i64::MAX as u64).map(|_| ()).ok_or(EINVAL)
    }

    /// pread64.
    pub fn pread(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        if (a[3] as i64) < 0 {
            return Err(EINVAL);
        }
        let (_, open) = self.usable(s, a[0])?;
        match open.leads {
            Leads::Pipe(..) | Leads::Terminal => return Err(ESPIPE),
            _ if !open.reads() => return Err(EBADF),
            _ => {}
        }
        let parts = State::one(a[1], a[2])?;
        State::verify_area(a[3], a[2])?;
        if !matches!(open.leads, Leads::File(_) | Leads::Text(_)) {
            return self.read(s, a[0], a[1], a[2]);
        }
        self.read_at(s, &open, &parts, a[3]).and_then(done)
    }

    /// pwrite64.
    pub fn pwrite(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        if (a[3] as i64) < 0 {
            return Err(EINVAL);
        }
        let (_, open) = self.usable(s, a[0])?;
        match open.leads {
            Leads::Pipe(..) | Leads::Terminal => return Err(ESPIPE),
            _ if !open.writes() => return Err(EBADF),
            _ => {}
        }
        let parts = State::one(a[1], a[2])?;
        State::verify_area(a[3], a[2])?;
        let Leads::File(inode) = open.leads else { return self.write(s, a[0], a[1], a[2]) };
        if total(&parts) == 0 {
            return ok();
        }
        let end = self.files.inode(inode).map_or(0, |i| i.size);
        let offset = if open.flags & APPEND != 0 { end } else { a[3] };
        self.write_at(s, inode, &parts, offset).and_then(done)
    }
}
