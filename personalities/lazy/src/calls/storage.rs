//! fsync, fdatasync, fadvise64, fallocate: the checks of Linux 6.1, in its order. Files lie in memory, so there is nothing to do behind them, and space is
//! not set aside.

use super::*;
use crate::files::SIZE_MAX;
use crate::files::procfs::PROC;
use crate::open::Kind;

impl<H: Hardware> Kernel<H> {
    /// fsync and fdatasync: what has no method for it in Linux (pipes, the terminal, devices, all of /proc) is EINVAL.
    pub(super) fn sys_fsync(&self, serial: u64, fd: u64) -> CallResult {
        let f = self.open.get(self.file(serial, fd)?).ok_or(EBADF)?;
        match f.kind {
            Kind::File => done(0),
            Kind::Directory if f.inode < PROC => done(0),
            _ => Err(EINVAL),
        }
    }

    /// fadvise64 (descriptor, offset, length, advice): advice from NORMAL (0) to NOREUSE (5).
    pub(super) fn sys_fadvise64(&self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [fd, _, length, advice, ..] = *a;
        let f = self.open.get(self.file(serial, fd)?).ok_or(EBADF)?;
        if f.pipe().is_some() {
            return Err(ESPIPE);
        }
        if (length as i64) < 0 || advice as u32 > 5 { Err(EINVAL) } else { done(0) }
    }

    /// fallocate (descriptor, mode, offset, length).
    pub(super) fn sys_fallocate(&self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [fd, mode, offset, length, ..] = *a;
        let f = self.open.get(self.file(serial, fd)?).ok_or(EBADF)?;
        if (offset as i64) < 0 || length as i64 <= 0 {
            return Err(EINVAL);
        }
        check_mode(mode as u32)?;
        if !f.writable() {
            return Err(EBADF);
        }
        if f.pipe().is_some() {
            return Err(ESPIPE);
        }
        // A directory cannot be open for writing.
        if f.kind != Kind::File {
            return Err(ENODEV);
        }
        // Neither is above 2^63 - 1.
        if offset + length > SIZE_MAX { Err(EFBIG) } else { Err(EOPNOTSUPP) }
    }
}

/// Which modes of fallocate there are, and which go together (Linux' `vfs_fallocate`).
fn check_mode(mode: u32) -> Result<()> {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const COLLAPSE: u32 = 8;
    const ZERO: u32 = 0x10;
    const INSERT: u32 = 0x20;
    const UNSHARE: u32 = 0x40;
    let has = |flag| mode & flag != 0;
    if mode & !(KEEP_SIZE | PUNCH_HOLE | COLLAPSE | ZERO | INSERT | UNSHARE) != 0
        || has(PUNCH_HOLE) && (has(ZERO) || !has(KEEP_SIZE))
    {
        return Err(EOPNOTSUPP);
    }
    let alone = |flag: u32, with: u32| !has(flag) || mode & !(flag | with) == 0;
    if alone(COLLAPSE, 0) && alone(INSERT, 0) && alone(UNSHARE, KEEP_SIZE) { Ok(()) } else { Err(EINVAL) }
}
