//! Record locks and flock: looked at as Linux does, and always granted.

use super::{Outcome, ok};
use crate::errno::*;
use crate::state::{Leads, Open, State};

const READ: u16 = 0;
const WRITE: u16 = 1;
const UNLOCK: u16 = 2;

impl State {
    /// The type of the `struct flock` at `at`, its range looked at first: EFAULT, EINVAL, EOVERFLOW (fs/locks.c, flock64_to_posix_lock).
    fn lock_type(&mut self, s: u64, open: &Open, at: u64) -> Result<u16> {
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
            kind @ (READ | WRITE | UNLOCK) => Ok(kind),
            _ => Err(EINVAL),
        }
    }

    /// F_GETLK: nobody is in the way.
    pub fn get_lock(&mut self, s: u64, open: &Open, at: u64) -> Result<Outcome> {
        let mut lock = [0; 32];
        self.space(s).get(at, &mut lock)?;
        // Nobody asks whether an unlock would be let in; the range does not matter then.
        if u16::from_le_bytes([lock[0], lock[1]]) > WRITE {
            return Err(EINVAL);
        }
        self.lock_type(s, open, at)?;
        // The whole structure is written back.
        lock[..2].copy_from_slice(&UNLOCK.to_le_bytes());
        self.space(s).put(at, &lock)?;
        ok()
    }

    /// F_SETLK and F_SETLKW.
    pub fn set_lock(&mut self, s: u64, open: &Open, at: u64) -> Result<Outcome> {
        match self.lock_type(s, open, at)? {
            READ if !open.reads() => Err(EBADF),
            WRITE if !open.writes() => Err(EBADF),
            _ => ok(),
        }
    }

    /// flock.
    pub fn flock(&mut self, s: u64, fd: u64, operation: u32) -> Result<Outcome> {
        let plain = operation & !4;
        if ![1, 2, 8].contains(&plain) {
            return Err(EINVAL);
        }
        self.usable(s, fd)?;
        ok()
    }
}
