//! What a file call of a snapshot waits for: it follows from the call and its arguments, as when it was made.

use super::super::buffer::Buffer;
use super::super::file::{Kind, Open};
use super::super::inode::{Body, Time};
use super::super::linux::*;
use super::super::path::{Last, read_path};
use super::super::pipe::Pipe;
use super::super::syscalls::Call;
use super::super::{Caller, Fs, Ino, WaitKey};
use super::pipe_key;
use crate::snapshot::Wrong;
use crate::user::UserMemory;
use abi::linux::nr;
use abi::turn::FDS_MAX;
use alloc::vec;
use alloc::vec::Vec;

impl Fs {
    /// What call `number` waits for. An error: it is none that waits, or its descriptors are none to wait for.
    pub(crate) fn waits_for(
        &self,
        caller: &mut Caller<'_>,
        number: u64,
        args: &[u64; 6],
        user: &mut dyn UserMemory,
    ) -> Result<Vec<WaitKey>, Wrong> {
        let mut call = Call { caller, args, user, buffer: Buffer::default() };
        match number {
            nr::read | nr::readv => self.waits_at(&call, |open| match open.kind {
                Kind::Pipe { pipe, read: true, .. } => Some(WaitKey::PipeRead(pipe)),
                Kind::Tty => Some(WaitKey::TtyRead),
                _ => None,
            }),
            nr::write | nr::writev | nr::sendfile => self.waits_at(&call, |open| match open.kind {
                Kind::Pipe { pipe, write: true, .. } => Some(WaitKey::PipeWrite(pipe)),
                _ => None,
            }),
            nr::openat => Ok(Vec::from([WaitKey::FifoOpen(self.waits_to_open(&mut call)?)])),
            nr::ppoll => self.waits_in_ppoll(&mut call),
            nr::pselect6 => self.waits_in_pselect(&mut call),
            _ => Err("a thread waits in a call that does not wait"),
        }
    }

    fn waits_at(
        &self,
        call: &Call<'_, '_>,
        key: impl Fn(&Open) -> Option<WaitKey>,
    ) -> Result<Vec<WaitKey>, Wrong> {
        let open = self.file(call.caller.fds, call.fd(0)).ok();
        open.and_then(key)
            .map(|key| Vec::from([key]))
            .ok_or("a thread waits at a descriptor where nobody waits")
    }

    /// The FIFO that an open waits to open.
    fn waits_to_open(&self, call: &mut Call<'_, '_>) -> Result<Ino, Wrong> {
        const WRONG: Wrong = "a thread waits to open a FIFO, and its path leads to none";
        let path = read_path(call.user, call.args[1]).map_err(|_| WRONG)?;
        let follow = if call.u32(2) & O_NOFOLLOW == 0 { Last::Follow } else { Last::Keep };
        let found = self.walk(call.caller, call.fd(0), &path, follow).and_then(|found| found.node());
        let fifo = |ino: &Ino| self.tree.get(*ino).is_some_and(|i| matches!(i.body, Body::Fifo));
        found.ok().filter(fifo).ok_or(WRONG)
    }

    /// A process is in the middle of opening a FIFO: it counts as an end already.
    pub(crate) fn begin_opener(
        &mut self,
        caller: &mut Caller<'_>,
        args: &[u64; 6],
        user: &mut dyn UserMemory,
        came: bool,
    ) -> Result<(), Wrong> {
        let mut call = Call { caller, args, user, buffer: Buffer::default() };
        let ino = self.waits_to_open(&mut call)?;
        let read = match call.u32(2) & O_ACCMODE {
            0 => true,
            O_WRONLY => false,
            _ => return Err("a thread waits to open a FIFO for both reading and writing"),
        };
        let pid = call.caller.tid;
        let pipe = self.pipes.entry(pipe_key(true, ino)).or_insert_with(|| Pipe::new(Time::from_us(0)));
        pipe.begin_opener(pid, read, came);
        Ok(())
    }

    fn waits_in_ppoll(&self, call: &mut Call<'_, '_>) -> Result<Vec<WaitKey>, Wrong> {
        const WRONG: Wrong = "a thread waits in ppoll, and its list is none";
        let count = call.args[1] as u32 as usize;
        if count > FDS_MAX {
            return Err(WRONG);
        }
        let mut list = vec![0; count * 8];
        call.user.read(call.args[0], &mut list).map_err(|_| WRONG)?;
        let mut on = Vec::new();
        for [a, b, c, d, ..] in list.as_chunks::<8>().0 {
            if let Ok((_, open)) = self.real_file(call.caller.fds, i32::from_le_bytes([*a, *b, *c, *d])) {
                self.keys(open, &mut on);
            }
        }
        Ok(on)
    }

    fn waits_in_pselect(&self, call: &mut Call<'_, '_>) -> Result<Vec<WaitKey>, Wrong> {
        const WRONG: Wrong = "a thread waits in pselect6, and its sets are none";
        let count = usize::try_from(call.fd(0)).map_err(|_| WRONG)?.min(FDS_MAX);
        let mut asked = [0u8; FDS_MAX / 8];
        for address in call.args[1..4].iter().filter(|address| **address != 0) {
            let mut set = [0u8; FDS_MAX / 8];
            let part = set.get_mut(..count.div_ceil(64) * 8).ok_or(WRONG)?;
            call.user.read(*address, part).map_err(|_| WRONG)?;
            asked.iter_mut().zip(set).for_each(|(all, more)| *all |= more);
        }
        let mut on = Vec::new();
        for fd in (0..count).filter(|fd| asked.get(fd / 8).is_some_and(|byte| byte >> (fd % 8) & 1 == 1)) {
            if let Ok((_, open)) = self.real_file(call.caller.fds, fd as i32) {
                self.keys(open, &mut on);
            }
        }
        Ok(on)
    }
}
