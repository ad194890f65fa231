//! Record locks and flock: looked at as Linux does, and always granted.

use super::{Outcome, ok};
use crate::errno::*;
use crate::state::{Leads, Open, State};

const READ: u16 = 0;
const WRITE: u16 = 1;
const UNLOCK: u16 = 2;

/// Whose a record lock is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The process'.
    Process,
    /// The open file description's (F_OFD_*).
    Open,
}

impl Owner {
    /// Of a lock of an open file description the structure names no process.
    fn fits(self, lock: &[u8; 32]) -> Result<()> {
        if self == Owner::Open && lock[24..28] != [0; 4] { Err(EINVAL) } else { Ok(()) }
    }
}

impl State {
    /// The `struct flock` at `at` and its type, its range looked at first: EFAULT, EINVAL, EOVERFLOW (fs/locks.c, flock64_to_posix_lock).
    fn lock_argument(&mut self, s: u64, open: &Open, at: u64) -> Result<([u8; 32], u16)> {
        let mut lock = [0; 32];
        let space = self.space(s);
        space.get(at, &mut lock)?;
        let (start, length) = (space.get_u64(at + 8)? as i64, space.get_u64(at + 16)? as i64);
        let base = match u16::from_le_bytes([lock[2], lock[3]]) {
            0 => 0,
            1 => open.offset as i64,
            2 => match open.leads {
                Leads::File(inode) => self.files.inode(inode).map_or(0, |i| i.size) as i64,
                _ => 0,
            },
            _ => return Err(EINVAL),
        };
        let start = base.checked_add(start).ok_or(EOVERFLOW)?;
        // Of a negative length the lock ends before `start`.
        if start < 0 || length < 0 && start.checked_add(length).is_none_or(|first| first < 0) {
            return Err(EINVAL);
        }
        if length > 0 && start.checked_add(length - 1).is_none() {
            return Err(EOVERFLOW);
        }
        match u16::from_le_bytes([lock[0], lock[1]]) {
            kind @ (READ | WRITE | UNLOCK) => Ok((lock, kind)),
            _ => Err(EINVAL),
        }
    }

    /// F_GETLK and F_OFD_GETLK: nobody is in the way.
    pub fn get_lock(&mut self, s: u64, open: &Open, at: u64, owner: Owner) -> Result<Outcome> {
        let mut lock = [0; 32];
        self.space(s).get(at, &mut lock)?;
        // Nobody asks whether an unlock would be let in; the range does not matter then.
        if u16::from_le_bytes([lock[0], lock[1]]) > WRITE {
            return Err(EINVAL);
        }
        self.lock_argument(s, open, at)?;
        owner.fits(&lock)?;
        // The whole structure is written back.
        lock[..2].copy_from_slice(&UNLOCK.to_le_bytes());
        self.space(s).put(at, &lock)?;
        ok()
    }

    /// F_SETLK, F_SETLKW and their F_OFD_ kin.
    pub fn set_lock(&mut self, s: u64, open: &Open, at: u64, owner: Owner) -> Result<Outcome> {
        let (lock, kind) = self.lock_argument(s, open, at)?;
        if kind == READ && !open.reads() || kind == WRITE && !open.writes() {
            return Err(EBADF);
        }
        owner.fits(&lock)?;
        ok()
    }

    /// flock.
    pub fn flock(&mut self, s: u64, fd: u64, operation: u32) -> Result<Outcome> {
        const MAND: u32 = 32;
        const NOT_BLOCKING: u32 = 4;
        const RELEASE: u32 = 8;
        if operation & MAND != 0 {
            return ok();
        }
        let plain = operation & !NOT_BLOCKING;
        if ![1, 2, RELEASE].contains(&plain) {
            return Err(EINVAL);
        }
        let (_, open) = self.usable(s, fd)?;
        if plain != RELEASE && !open.reads() && !open.writes() {
            return Err(EBADF);
        }
        ok()
    }
}
