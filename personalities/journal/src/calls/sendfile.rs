//! sendfile: a file's bytes, as read and write would carry them.

use super::transfer::{APPEND, COUNT_MAX, NONBLOCK};
use super::{Args, Outcome, done};
use crate::errno::*;
use crate::fs::device;
use crate::process::{Thing, Wait};
use crate::signals::number::*;
use crate::state::{Leads, Open, State};
use abi::turn::TTY_SLICE;
use abi::vote::EffectKind;
use alloc::vec::Vec;

impl State {
    /// What sendfile reads, and from where on.
    fn sent_from(&mut self, s: u64, a: &Args) -> Result<(u64, Open, u64)> {
        let [_, input, position, count, ..] = *a;
        let chosen = if position != 0 { Some(self.space(s).get_u64(position)?) } else { None };
        let (number, source) = self.usable(s, input)?;
        if !source.reads() {
            return Err(EBADF);
        }
        if chosen.is_some() && matches!(source.leads, Leads::Pipe(..) | Leads::Terminal) {
            return Err(ESPIPE);
        }
        let at = chosen.unwrap_or(source.offset);
        if at > i64::MAX as u64 || at.checked_add(count).is_none_or(|end| end > i64::MAX as u64) {
            return Err(EINVAL);
        }
        Ok((number, source, at))
    }

    /// sendfile: a file's bytes, as read and write would carry them.
    pub fn sendfile(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [out, _, position, count, ..] = *a;
        let (number, source, at) = self.sent_from(s, a)?;
        let (target_number, target) = self.usable(s, out)?;
        if !target.writes() {
            return Err(EBADF);
        }
        if target.flags & APPEND != 0 && !matches!(target.leads, Leads::Pipe(..)) {
            return Err(EINVAL);
        }
        // As Linux: what the source is shows when its bytes are read.
        let seekable = !matches!(source.leads, Leads::Pipe(..) | Leads::Terminal);
        if count == 0 && seekable && !matches!(target.leads, Leads::Pipe(..)) {
            if position != 0 {
                self.space(s).put(position, &at.to_le_bytes())?;
            }
            return done(0u64);
        }
        let Leads::File(inode) = source.leads else {
            // A pipe is looked at before what could be put into it.
            return match target.leads {
                Leads::Pipe(pipe, _, true) => self.room_in(s, pipe, &target)?.err().ok_or(EINVAL),
                _ => Err(EINVAL),
            };
        };
        let count = count.min(COUNT_MAX);
        let already = self.progress(s).done;
        let mut moved = 0;
        let outcome = loop {
            let step = count.saturating_sub(already + moved).min(65536) as usize;
            let mut bytes = alloc::vec![0; step];
            let n = self.files.read(inode, at + moved, &mut bytes);
            bytes.truncate(n);
            let sent = self.send(s, target_number, &target, bytes);
            match sent {
                Ok(Ok(n)) => {
                    moved += n as u64;
                    let slices = matches!(target.leads, Leads::Terminal);
                    if n == 0 || already + moved >= count || matches!(target.leads, Leads::Pipe(..)) {
                        break done(already + moved);
                    }
                    let left = self.files.inode(inode).map_or(0, |i| i.size) > at + moved;
                    if slices && !left {
                        break done(already + moved);
                    }
                    if slices {
                        self.progress(s).done = already + moved;
                        break Ok(Outcome::Again);
                    }
                }
                Ok(Err(_)) | Err(_) if already + moved > 0 => break done(already + moved),
                Ok(Err(wait)) => break Ok(wait),
                Err(e) => break Err(e),
            }
        };
        if position != 0 {
            self.space(s).put(position, &(at + moved).to_le_bytes())?;
        } else if let Some(o) = self.opens.get_mut(&number) {
            // From where it was read: source and target may be one open file, which writing has moved already.
            o.offset = at + moved;
        }
        outcome
    }

    /// Bytes that a pipe has room for, or what a sender waits for; without readers EPIPE, and SIGPIPE.
    fn room_in(&mut self, s: u64, pipe: u64, target: &Open) -> Result<core::result::Result<usize, Outcome>> {
        let p = self.pipes.get(&pipe).ok_or(EBADF)?;
        let (readers, room) = (p.readers, p.room());
        if readers == 0 {
            let info = self.own_signal(s, SIGPIPE);
            self.signal(s, info);
            return Err(EPIPE);
        }
        match room {
            0 if target.flags & NONBLOCK != 0 => Err(EAGAIN),
            0 => Ok(Err(Outcome::Wait(Wait::on(Thing::PipeWriters(pipe))))),
            room => Ok(Ok(room)),
        }
    }

    /// One step of sendfile: how much went, or what it waits for.
    fn send(
        &mut self,
        s: u64,
        number: u64,
        target: &Open,
        bytes: Vec<u8>,
    ) -> Result<core::result::Result<usize, Outcome>> {
        let n = bytes.len();
        match &target.leads {
            Leads::Pipe(pipe, _, true) => {
                let room = match self.room_in(s, *pipe, target)? {
                    Ok(room) => room,
                    Err(wait) => return Ok(Err(wait)),
                };
                let p = self.pipes.get_mut(pipe).ok_or(EBADF)?;
                p.bytes.extend(&bytes[..n.min(room)]);
                if n > 0 {
                    self.wake(Thing::PipeReaders(*pipe));
                }
                Ok(Ok(n.min(room)))
            }
            Leads::Terminal => {
                let slice = &bytes[..n.min(TTY_SLICE)];
                if !slice.is_empty() {
                    self.effect(EffectKind::TtyOutput, slice.to_vec());
                }
                Ok(Ok(slice.len()))
            }
            Leads::File(inode) => {
                let offset = self.opens.get(&number).map_or(0, |o| o.offset);
                let now = self.now_ns();
                let n = self.files.write(*inode, offset, &bytes, now)?;
                if let Some(o) = self.opens.get_mut(&number) {
                    o.offset += n as u64;
                }
                Ok(Ok(n))
            }
            Leads::Device(device::FULL) if n > 0 => Err(ENOSPC),
            Leads::Device(_) => Ok(Ok(n)),
            _ => Err(EINVAL),
        }
    }
}
