//! fcntl(2) and flock(2).

use super::Arguments;
use crate::bytes::{u16_at, u32_at, u64_at};
use crate::error::{Res, e};
use crate::files::Target;
use crate::files::flags::*;
use crate::kernel::{DONE, Flow, Kernel, Out};
use crate::machine::Machine;
use crate::turns::Serial;
use abi::turn::PIPE_CAPACITY;

const F_DUPFD: u32 = 0;
const F_GETFD: u32 = 1;
const F_SETFD: u32 = 2;
const F_GETFL: u32 = 3;
const F_SETFL: u32 = 4;
const F_GETLK: u32 = 5;
const F_SETLK: u32 = 6;
const F_SETLKW: u32 = 7;
const F_SETOWN: u32 = 8;
const F_GETOWN: u32 = 9;
const F_SETSIG: u32 = 10;
const F_GETSIG: u32 = 11;
const F_OFD_GETLK: u32 = 36;
const F_OFD_SETLK: u32 = 37;
const F_OFD_SETLKW: u32 = 38;
const F_DUPFD_CLOEXEC: u32 = 1030;
const F_SETPIPE_SZ: u32 = 1031;
const F_GETPIPE_SZ: u32 = 1032;
const SETTABLE: u32 = O_APPEND | O_NONBLOCK | O_DIRECT | O_NOATIME;
/// Bytes of `struct flock`.
const FLOCK: usize = 32;
const F_RDLCK: u16 = 0;
const F_WRLCK: u16 = 1;
const F_UNLCK: u16 = 2;

impl<M: Machine> Kernel<M> {
    pub(super) fn fcntl(&mut self, me: Serial, a: Arguments) -> Out {
        let (fd, command, argument) = (a.fd(0), a.uint(1), a.0[2]);
        let handle = self.files.handle(me, fd)?;
        let place = handle.flags & O_PATH != 0;
        if place && !matches!(command, F_DUPFD | F_DUPFD_CLOEXEC | F_GETFD | F_SETFD | F_GETFL) {
            return Err(e::EBADF);
        }
        let pipe = matches!(handle.target, Target::Pipe { .. });
        let flags = handle.flags;
        match command {
            F_DUPFD | F_DUPFD_CLOEXEC => {
                if argument as u32 as u64 >= self.files.table(me)?.limit {
                    return Err(e::EINVAL);
                }
                let to = self.files.free_fd(me, argument as u32)?;
                self.files.duplicate(me, fd, to, command == F_DUPFD_CLOEXEC)?;
                Ok(Flow::Done(to.into()))
            }
            F_GETFD => Ok(Flow::Done(self.files.descriptor(me, fd)?.cloexec.into())),
            F_SETFD => {
                self.files.set_cloexec(me, fd, argument & 1 != 0)?;
                DONE
            }
            F_GETFL => Ok(Flow::Done(flags.into())),
            F_SETFL if argument as u32 & O_DIRECT != 0 => Err(e::EINVAL),
            F_SETFL => {
                self.files.handle_mut(me, fd)?.flags = argument as u32 & SETTABLE | flags & !SETTABLE;
                DONE
            }
            F_GETLK | F_SETLK | F_SETLKW | F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW => {
                self.lock(me, fd, command, argument)
            }
            F_SETOWN | F_GETOWN | F_GETSIG => DONE,
            F_SETSIG if argument > 64 => Err(e::EINVAL),
            F_SETSIG => DONE,
            F_SETPIPE_SZ | F_GETPIPE_SZ if !pipe => Err(e::EBADF),
            F_SETPIPE_SZ if argument as u32 == 0 || argument as u32 > 1 << 31 => Err(e::EINVAL),
            F_SETPIPE_SZ | F_GETPIPE_SZ => Ok(Flow::Done(PIPE_CAPACITY as u64)),
            _ => Err(e::EINVAL),
        }
    }

    /// Record locks: checked, and always granted.
    fn lock(&mut self, me: Serial, fd: u32, command: u32, at: u64) -> Out {
        let mut lock = self.bytes_in(me, at, FLOCK)?;
        let kind = u16_at(&lock, 0);
        let own = matches!(command, F_OFD_GETLK | F_OFD_SETLK | F_OFD_SETLKW);
        let looks = matches!(command, F_GETLK | F_OFD_GETLK);
        if looks && !matches!(kind, F_RDLCK | F_WRLCK) {
            return Err(e::EINVAL);
        }
        self.lock_range(me, fd, &lock)?;
        if kind > F_UNLCK || own && u32_at(&lock, 24) != 0 {
            return Err(e::EINVAL);
        }
        if looks {
            lock[..2].copy_from_slice(&F_UNLCK.to_le_bytes());
            return self.give(me, at, &lock);
        }
        let handle = self.files.handle(me, fd)?;
        if kind == F_RDLCK && !handle.reads() || kind == F_WRLCK && !handle.writes() {
            return Err(e::EBADF);
        }
        DONE
    }

    fn lock_range(&mut self, me: Serial, fd: u32, lock: &[u8]) -> Res {
        let handle = self.files.handle(me, fd)?;
        let base = match u16_at(lock, 2) {
            0 => 0,
            1 => handle.offset as i64,
            2 => self.files.size(handle.node) as i64,
            _ => return Err(e::EINVAL),
        };
        let (start, length) = (u64_at(lock, 8) as i64, u64_at(lock, 16) as i64);
        let start = base.checked_add(start).ok_or(e::EOVERFLOW)?;
        if start < 0 {
            return Err(e::EINVAL);
        }
        if length > 0 && start.checked_add(length - 1).is_none() {
            return Err(e::EOVERFLOW);
        }
        if length < 0 && start.checked_add(length).is_none_or(|from| from < 0) {
            return Err(e::EINVAL);
        }
        Ok(())
    }

    pub(super) fn flock(&mut self, me: Serial, a: Arguments) -> Out {
        const LOCK_NB: u32 = 4;
        const LOCK_MAND: u32 = 32;
        // As Linux, which has no such locks any more.
        if a.uint(1) & LOCK_MAND != 0 {
            return DONE;
        }
        let known = matches!(a.uint(1) & !LOCK_NB, 1 | 2 | 8);
        let handle = self.files.active(me, a.fd(0));
        if !known {
            return Err(e::EINVAL);
        }
        let handle = handle?;
        if a.uint(1) & !LOCK_NB != 8 && !handle.reads() && !handle.writes() {
            return Err(e::EBADF);
        }
        DONE
    }
}
