//! fcntl, flock and lseek: what is kept with descriptors and open file descriptions.

use super::Fs;
use super::file::Kind;
use super::inode::{Body, Inode};
use super::linux::*;
use super::syscalls::{Answer, Call};
use crate::errno::*;
use abi::turn::PIPE_CAPACITY;

impl Fs {
    pub(super) fn fcntl(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let slot = call.caller.fds.slot(call.fd(0))?;
        let (command, argument) = (call.u32(1), call.args[2]);
        match command {
            0 | 1030 => {
                let from = usize::try_from(argument as u32)
                    .ok()
                    .filter(|n| *n < call.caller.fds.limit)
                    .ok_or(EINVAL)?;
                return self.dup_to(call, slot.file, from, command == 1030);
            }
            1 => return Ok(i64::from(slot.cloexec)),
            2 => {
                call.caller.fds.slot_mut(call.fd(0))?.cloexec = argument & 1 != 0;
                return Ok(0);
            }
            3 => return Ok(i64::from(self.files.get(slot.file).ok_or(EBADF)?.flags)),
            _ => (),
        }
        self.real_file(call.caller.fds, call.fd(0))?;
        let open = self.files.get_mut(slot.file).ok_or(EBADF)?;
        match command {
            4 => {
                const CHANGED: u32 = O_APPEND | O_NONBLOCK | O_NOATIME;
                if argument as u32 & O_DIRECT != 0 {
                    return Err(EINVAL.into());
                }
                open.flags = open.flags & !CHANGED | argument as u32 & CHANGED;
                Ok(0)
            }
            5..=7 | 36..=38 => self.record_lock(call),
            // No owner and no signal for input was ever set; leases are EINVAL, with all that is not offered.
            8 | 9 | 11 => Ok(0),
            10 if argument <= 64 => Ok(0),
            1031 | 1032 => match open.kind {
                Kind::Pipe { .. } if command == 1032 => Ok(PIPE_CAPACITY as i64),
                Kind::Pipe { .. } if argument as u32 == 0 || argument as u32 > 1 << 31 => Err(EINVAL.into()),
                Kind::Pipe { .. } => Ok(PIPE_CAPACITY as i64),
                _ => Err(EBADF.into()),
            },
            _ => Err(EINVAL.into()),
        }
    }

    /// Record locks are granted always.
    fn record_lock(&mut self, call: &mut Call<'_, '_>) -> Answer {
        const F_UNLCK: u16 = 2;
        let lock: [u8; 32] = call.get(call.args[2])?;
        let (kind, whence) = (u16::from_le_bytes([lock[0], lock[1]]), u16::from_le_bytes([lock[2], lock[3]]));
        let get = matches!(call.u32(1), 5 | 36);
        if get && kind >= F_UNLCK {
            return Err(EINVAL.into());
        }
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        let base = match whence {
            0 => 0,
            1 => open.offset,
            2 if open.kind == Kind::Regular => self.size(open.node),
            2 => 0,
            _ => return Err(EINVAL.into()),
        };
        let word = |i: usize| i64::from_le_bytes(core::array::from_fn(|j| lock[i + j]));
        check_range(base as i64, word(8), word(16))?;
        if kind > F_UNLCK {
            return Err(EINVAL.into());
        }
        if !get && (kind == 0 && !open.readable() || kind == 1 && !open.writable()) {
            return Err(EBADF.into());
        }
        // Those of open file descriptions have no owner: l_pid is 0.
        if call.u32(1) >= 36 && lock[24..28] != [0; 4] {
            return Err(EINVAL.into());
        }
        if get { call.put(2, &F_UNLCK.to_le_bytes()) } else { Ok(0) }
    }

    pub(super) fn flock(&mut self, call: &mut Call<'_, '_>) -> Answer {
        const SHARED: u32 = 1;
        const EXCLUSIVE: u32 = 2;
        const NONBLOCKING: u32 = 4;
        const UNLOCK: u32 = 8;
        const MANDATORY: u32 = 32;
        // Granted always; as on Linux 6.1 what asks for a mandatory lock is not even looked at.
        let operation = call.u32(1) & !NONBLOCKING;
        if operation & MANDATORY != 0 {
            return Ok(0);
        }
        if !matches!(operation, SHARED | EXCLUSIVE | UNLOCK) {
            return Err(EINVAL.into());
        }
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        if operation == UNLOCK || open.readable() || open.writable() { Ok(0) } else { Err(EBADF.into()) }
    }

    pub(super) fn lseek(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (id, open) = self.real_file(call.caller.fds, call.fd(0))?;
        let (offset, whence) = (call.args[1] as i64, call.u32(2));
        if whence > 4 {
            return Err(EINVAL.into());
        }
        let at = open.offset as i64;
        let new = match open.kind {
            Kind::Pipe { .. } | Kind::Tty => return Err(ESPIPE.into()),
            Kind::Null | Kind::Zero | Kind::Full | Kind::Random => return Ok(0),
            Kind::Path => return Err(EBADF.into()),
            Kind::Directory | Kind::Text(_) => match whence {
                0 => Some(offset),
                1 => at.checked_add(offset),
                _ => None,
            },
            Kind::Regular => {
                let Some(Body::Regular(content)) = self.tree.get(open.node).map(|i: &Inode| &i.body) else {
                    return Err(EIO.into());
                };
                let size = content.size() as i64;
                match whence {
                    0 => Some(offset),
                    1 => at.checked_add(offset),
                    2 => size.checked_add(offset),
                    _ if offset < 0 || offset >= size => return Err(ENXIO.into()),
                    3 => Some(offset),
                    _ => Some(size),
                }
                .filter(|new| *new <= FILE_SIZE_MAX as i64)
            }
        };
        let new = new.filter(|new| *new >= 0).ok_or(EINVAL)?;
        if let Some(open) = self.files.get_mut(id) {
            open.offset = new as u64;
        }
        Ok(new)
    }
}

/// Linux' `flock64_to_posix_lock`: a lock's range begins `start` behind `base`, and ends (or, with a negative length, begins) `len` from there.
fn check_range(base: i64, start: i64, len: i64) -> Result<(), Errno> {
    let start = start.checked_add(base).ok_or(EOVERFLOW)?;
    if start < 0 {
        return Err(EINVAL);
    }
    if len > 0 {
        return start.checked_add(len - 1).map(drop).ok_or(EOVERFLOW);
    }
    if start + len < 0 { Err(EINVAL) } else { Ok(()) }
}
