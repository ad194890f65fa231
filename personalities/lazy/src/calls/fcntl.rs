//! Descriptors: dup, fcntl, locks.

use super::*;
use crate::open::*;
use crate::process::Descriptor;

impl<H: Hardware> Kernel<H> {
    fn duplicate(&mut self, serial: u64, file: u32, from: usize, cloexec: bool) -> CallResult {
        let fd = self.new_descriptor(serial, from)?;
        if let Some(f) = self.open.get_mut(file) {
            f.refs += 1;
        }
        self.process_mut(serial)?.set_descriptor(fd, Some(Descriptor { file, cloexec }));
        done(fd as u64)
    }

    pub(super) fn sys_dup(&mut self, serial: u64, fd: u64) -> CallResult {
        let file = self.any_file(serial, fd)?;
        self.duplicate(serial, file, 0, false)
    }

    pub(super) fn sys_dup3(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let (old, new) = (u64::from(a[0] as u32), u64::from(a[1] as u32));
        if a[2] & !O_CLOEXEC != 0 || old == new {
            return Err(EINVAL);
        }
        if new >= self.descriptors_max(serial)? as u64 {
            return Err(EBADF);
        }
        let file = self.any_file(serial, old)?;
        if let Some(f) = self.open.get_mut(file) {
            f.refs += 1;
        }
        let d = Descriptor { file, cloexec: a[2] & O_CLOEXEC != 0 };
        if let Some(gone) = self.process_mut(serial)?.set_descriptor(new as usize, Some(d)) {
            self.release_file(gone.file);
        }
        done(new)
    }

    /// Closes, or marks for exec, all descriptors of a range, ascending.
    pub(super) fn sys_close_range(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        // CLOSE_RANGE_UNSHARE has no effect.
        const UNSHARE: u32 = 2;
        const CLOEXEC: u32 = 4;
        let [first, last, flags] = [a[0] as u32, a[1] as u32, a[2] as u32];
        if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
            return Err(EINVAL);
        }
        let end = self.process(serial)?.descriptors.len().min(last as usize + 1);
        for fd in first as usize..end {
            if flags & CLOEXEC == 0 {
                self.close_descriptor(serial, fd);
            } else if let Some(Some(d)) = self.process_mut(serial)?.descriptors.get_mut(fd) {
                d.cloexec = true;
            }
        }
        done(0)
    }

    pub(super) fn sys_fcntl(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let id = self.any_file(serial, a[0])?;
        let fd = u64::from(a[0] as u32) as usize;
        let f = self.open.get(id).ok_or(EBADF)?;
        let path_only = f.kind.is_path();
        let command = a[1] as u32;
        if path_only && !matches!(command, 0..=3 | 1030) {
            return Err(EBADF);
        }
        match command {
            0 | 1030 => {
                let from = a[2] as u32 as usize;
                if from >= self.descriptors_max(serial)? {
                    return Err(EINVAL);
                }
                self.duplicate(serial, id, from, command == 1030)
            }
            1 => done(self.process(serial)?.descriptor(fd as u64).is_some_and(|d| d.cloexec).into()),
            2 => {
                let d = Descriptor { file: id, cloexec: a[2] & 1 != 0 };
                self.process_mut(serial)?.set_descriptor(fd, Some(d));
                done(0)
            }
            3 => done(f.flags & !O_CLOEXEC),
            4 => {
                const SETTABLE: u64 = O_APPEND | O_NONBLOCK | 0o20000 | O_DIRECT | 0o1000000;
                if a[2] & O_DIRECT != 0 {
                    return Err(EINVAL);
                }
                if let Some(f) = self.open.get_mut(id) {
                    f.flags = f.flags & !SETTABLE | a[2] & (SETTABLE & !O_DIRECT);
                }
                done(0)
            }
            5..=7 | 36..=38 => self.record_lock(serial, a, id),
            // The largest number of a signal.
            10 if a[2] > 64 => Err(EINVAL),
            8..=11 => done(0),
            1031 => {
                if f.pipe().is_none() {
                    return Err(EBADF);
                }
                if a[2] as u32 == 0 || a[2] as u32 > 1 << 31 { Err(EINVAL) } else { done(65536) }
            }
            1032 => {
                if f.pipe().is_some() {
                    done(65536)
                } else {
                    Err(EBADF)
                }
            }
            _ => Err(EINVAL),
        }
    }

    /// Locks are checked and always granted.
    fn record_lock(&mut self, serial: u64, a: &[u64; 6], id: u32) -> CallResult {
        let space = self.space(serial)?;
        let mut lock = [0; 32];
        self.memory.read(space, a[2], &mut lock)?;
        let [kind, whence] = [0, 2].map(|at| i16::from_le_bytes([lock[at], lock[at + 1]]));
        let word =
            |at: usize| lock.get(at..at + 8).map_or(0, |w| w.iter().rfold(0, |n, b| n << 8 | i64::from(*b)));
        let (start, length) = (word(8), word(16));
        let f = self.open.get(id).ok_or(EBADF)?;
        let asks = matches!(a[1] as u32, 5 | 36);
        if asks && !matches!(kind, 0 | 1) {
            return Err(EINVAL);
        }
        let base = match whence {
            0 => 0,
            1 => f.offset as i64,
            2 if f.kind == Kind::File => self.content_size(f.inode)? as i64,
            2 => 0,
            _ => return Err(EINVAL),
        };
        check_range(base, start, length)?;
        if !(0..=2).contains(&kind) {
            return Err(EINVAL);
        }
        if asks {
            lock[..2].copy_from_slice(&2i16.to_le_bytes());
            self.put(serial, a[2], &lock)?;
            return done(0);
        }
        if kind == 0 && !f.readable() || kind == 1 && !f.writable() {
            return Err(EBADF);
        }
        done(0)
    }

    pub(super) fn sys_flock(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const NONBLOCKING: u32 = 4;
        const UNLOCK: u32 = 8;
        /// Locks of this kind were never kept by Linux, and are not even looked at since 5.18.
        const MANDATORY: u32 = 32;
        let operation = a[1] as u32;
        if operation & MANDATORY != 0 {
            return done(0);
        }
        let operation = operation & !NONBLOCKING;
        if !matches!(operation, 1 | 2 | UNLOCK) {
            return Err(EINVAL);
        }
        let f = self.open.get(self.file(serial, a[0])?).ok_or(EBADF)?;
        if operation == UNLOCK || f.readable() || f.writable() { done(0) } else { Err(EBADF) }
    }
}

/// The range of a record lock, from `base` on: none of it lies before 0 or beyond the largest offset (Linux' `flock64_to_posix_lock`).
fn check_range(base: i64, start: i64, length: i64) -> Result<()> {
    let first = base.checked_add(start).ok_or(EOVERFLOW)?;
    if first < 0 || length < 0 && first.checked_add(length).is_none_or(|n| n < 0) {
        return Err(EINVAL);
    }
    if length > 0 && first.checked_add(length - 1).is_none() {
        return Err(EOVERFLOW);
    }
    Ok(())
}
