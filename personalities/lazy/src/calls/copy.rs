//! copy_file_range: bytes of one regular file into another, one call.

use super::*;
use crate::files::{S_IFDIR, S_IFMT, S_IFREG, SIZE_MAX};
use crate::open::O_APPEND;

/// So much is copied at a time.
const STEP: u64 = 65536;

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_copy_file_range(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [source, source_at, target, target_at, count, flags] = *a;
        let (source, target) = (self.file(serial, source)?, self.file(serial, target)?);
        let from = self.position(serial, source, source_at)?;
        let to = self.position(serial, target, target_at)?;
        if flags & 0xffff_ffff != 0 {
            return Err(EINVAL);
        }
        let count = self.copyable(source, from, target, to, count)?;
        let (inode, target_inode) = (self.inode_of(source)?, self.inode_of(target)?);
        let mut moved = 0;
        while moved < count {
            let bytes = self.source_bytes(inode, from + moved, (count - moved).min(STEP));
            if bytes.is_empty() {
                break;
            }
            let n = match self.write_content(target_inode, to + moved, &bytes) {
                Ok(0) if moved == 0 => return Err(ENOSPC),
                Err(e) if moved == 0 => return Err(e),
                Ok(n) => n,
                Err(_) => 0,
            };
            moved += n;
            if n < bytes.len() as u64 {
                break;
            }
        }
        if moved > 0 {
            self.set_position(serial, source, source_at, from + moved)?;
            self.set_position(serial, target, target_at, to + moved)?;
        }
        done(moved)
    }

    fn inode_of(&self, file: u32) -> Result<u64> {
        Ok(self.open.get(file).ok_or(EBADF)?.inode)
    }

    /// The position that a pointer names, or the file's own.
    fn position(&mut self, serial: u64, file: u32, address: u64) -> Result<u64> {
        if address == 0 {
            return Ok(self.open.get(file).ok_or(EBADF)?.offset);
        }
        let space = self.space(serial)?;
        self.memory.read_u64(space, address)
    }

    fn set_position(&mut self, serial: u64, file: u32, address: u64, to: u64) -> Result<()> {
        if address != 0 {
            return self.put(serial, address, &to.to_le_bytes());
        }
        if let Some(f) = self.open.get_mut(file) {
            f.offset = to;
        }
        Ok(())
    }

    /// How many bytes there are to copy: Linux' `generic_copy_file_checks`, in its order.
    fn copyable(&self, source: u32, from: u64, target: u32, to: u64, count: u64) -> Result<u64> {
        let (s, t) = (self.open.get(source).ok_or(EBADF)?, self.open.get(target).ok_or(EBADF)?);
        let stats = [self.stat_open(s)?, self.stat_open(t)?];
        if stats.iter().any(|s| s.mode & S_IFMT == S_IFDIR) {
            return Err(EISDIR);
        }
        if stats.iter().any(|s| s.mode & S_IFMT != S_IFREG) {
            return Err(EINVAL);
        }
        if !s.readable() || !t.writable() || t.flags & O_APPEND != 0 {
            return Err(EBADF);
        }
        let [stat, target_stat] = stats;
        if stat.dev != target_stat.dev {
            return Err(EXDEV);
        }
        if from.checked_add(count).is_none() || to.checked_add(count).is_none() {
            return Err(EOVERFLOW);
        }
        // A negative position lies before every end, as Linux compares it.
        let there = if (from as i64) < 0 { count } else { count.min(stat.size.saturating_sub(from)) };
        if (to as i64) >= SIZE_MAX as i64 {
            return Err(EFBIG);
        }
        let there = if (to as i64) < 0 { there } else { there.min(SIZE_MAX - to) };
        let overlaps = s.inode == t.inode && to.wrapping_add(there) > from && to < from.wrapping_add(there);
        if overlaps || (from as i64) < 0 || (to as i64) < 0 || (there as i64) < 0 {
            return Err(EINVAL);
        }
        Ok(there.min(super::io::COUNT_MAX))
    }
}
