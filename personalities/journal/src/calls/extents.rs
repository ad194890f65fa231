//! Calls on ranges of files and on what of them is kept: looked at as Linux does, and without effect.

use super::{Args, Outcome, ok};
use crate::errno::*;
use crate::fs::SIZE_MAX;
use crate::fs::node::Node;
use crate::state::{Leads, State};

impl State {
    /// fsync and fdatasync: EINVAL for what Linux has no such operation for, which is all but files and directories outside /proc.
    pub fn fsync(&mut self, s: u64, fd: u64) -> Result<Outcome> {
        match self.usable(s, fd)?.1.leads {
            Leads::File(_) | Leads::Directory(Node::File(_) | Node::Device(_)) => ok(),
            _ => Err(EINVAL),
        }
    }

    /// fadvise64 (mm/fadvise.c).
    pub fn fadvise(&mut self, s: u64, fd: u64, length: i64, advice: u32) -> Result<Outcome> {
        const LAST_ADVICE: u32 = 5;
        let (_, open) = self.usable(s, fd)?;
        if matches!(open.leads, Leads::Pipe(..)) {
            return Err(ESPIPE);
        }
        if length < 0 || advice > LAST_ADVICE { Err(EINVAL) } else { ok() }
    }

    /// fallocate: the checks of vfs_fallocate (fs/open.c) in its order; no file can do it.
    pub fn fallocate(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        const KEEP_SIZE: u32 = 1;
        const PUNCH_HOLE: u32 = 2;
        const COLLAPSE_RANGE: u32 = 8;
        const ZERO_RANGE: u32 = 0x10;
        const INSERT_RANGE: u32 = 0x20;
        const UNSHARE_RANGE: u32 = 0x40;
        const KNOWN: u32 =
            KEEP_SIZE | PUNCH_HOLE | COLLAPSE_RANGE | ZERO_RANGE | INSERT_RANGE | UNSHARE_RANGE;
        let (_, open) = self.usable(s, a[0])?;
        let (mode, offset, length) = (a[1] as u32, a[2] as i64, a[3] as i64);
        if offset < 0 || length <= 0 {
            return Err(EINVAL);
        }
        let has = |bits: u32| mode & bits == bits;
        if mode & !KNOWN != 0 || has(PUNCH_HOLE | ZERO_RANGE) || has(PUNCH_HOLE) && !has(KEEP_SIZE) {
            return Err(EOPNOTSUPP);
        }
        // What each of them may come with.
        let alone = [(COLLAPSE_RANGE, 0), (INSERT_RANGE, 0), (UNSHARE_RANGE, KEEP_SIZE)];
        if alone.iter().any(|(one, with)| has(*one) && mode & !(one | with) != 0) {
            return Err(EINVAL);
        }
        if !open.writes() {
            return Err(EBADF);
        }
        match open.leads {
            Leads::File(_) if offset.checked_add(length).is_none_or(|end| end > SIZE_MAX as i64) => {
                Err(EFBIG)
            }
            Leads::File(_) => Err(EOPNOTSUPP),
            Leads::Pipe(..) => Err(ESPIPE),
            Leads::Directory(_) => Err(EISDIR),
            _ => Err(ENODEV),
        }
    }
}
