//! A read's or write's memory in the caller: one part, or an iovec's.

use super::linux::*;
use crate::errno::*;
use crate::user::UserMemory;
use abi::layout::TASK_SIZE;
use alloc::vec::Vec;

/// Parts of user memory, in order; their lengths add up to at most MAX_RW_COUNT.
#[derive(Debug, Default)]
pub struct Buffer {
    parts: Vec<(u64, u64)>,
    /// Bytes in all.
    pub len: u64,
}

/// EFAULT unless the range could be the program's.
fn access_ok(address: u64, len: u64) -> Result<(), Errno> {
    if len <= TASK_SIZE && address <= TASK_SIZE - len { Ok(()) } else { Err(EFAULT) }
}

impl Buffer {
    /// `len` bytes at `address`.
    pub fn one(address: u64, len: u64) -> Result<Buffer, Errno> {
        access_ok(address, len)?;
        let len = len.min(MAX_RW_COUNT);
        Ok(Buffer { parts: Vec::from([(address, len)]), len })
    }

    /// What `count` iovecs at `address` say.
    pub fn vector(user: &mut dyn UserMemory, address: u64, count: u64) -> Result<Buffer, Errno> {
        if count > IOV_MAX {
            return Err(EINVAL);
        }
        let mut bytes = alloc::vec![0; count as usize * 16];
        user.read(address, &mut bytes)?;
        let word = |b: &[u8]| b.iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
        let parts = || bytes.chunks_exact(16).map(|iovec| (word(&iovec[..8]), word(&iovec[8..])));
        // All lengths are looked at before the first address.
        if parts().any(|(_, len)| len > i64::MAX as u64) {
            return Err(EINVAL);
        }
        let mut buffer = Buffer::default();
        for (base, len) in parts() {
            access_ok(base, len)?;
            let len = len.min(MAX_RW_COUNT - buffer.len);
            buffer.parts.push((base, len));
            buffer.len += len;
        }
        Ok(buffer)
    }

    /// The pieces of the `len` bytes from `from` on: address, length.
    fn pieces(&self, from: u64, len: u64) -> impl Iterator<Item = (u64, u64)> {
        let mut skip = from;
        let mut left = len;
        self.parts.iter().filter_map(move |(address, part)| {
            let skipped = skip.min(*part);
            skip -= skipped;
            let n = left.min(*part - skipped);
            left -= n;
            (n > 0).then_some((*address + skipped, n))
        })
    }

    fn touchable(
        &self,
        from: u64,
        len: u64,
        mut touch: impl FnMut(u64, usize) -> usize,
    ) -> Result<u64, Errno> {
        let mut total = 0;
        for (address, n) in self.pieces(from, len) {
            let good = touch(address, n as usize) as u64;
            total += good.min(n);
            if good < n {
                break;
            }
        }
        if total == 0 && len > 0 { Err(EFAULT) } else { Ok(total) }
    }

    /// How many of the `len` bytes from `from` on can be filled; EFAULT if none.
    pub fn touchable_out(&self, user: &mut dyn UserMemory, from: u64, len: u64) -> Result<u64, Errno> {
        self.touchable(from, len, |address, n| user.writable(address, n))
    }

    /// How many of the `len` bytes from `from` on can be read; EFAULT if none.
    pub fn touchable_in(&self, user: &mut dyn UserMemory, from: u64, len: u64) -> Result<u64, Errno> {
        self.touchable(from, len, |address, n| user.readable(address, n))
    }

    /// Fills the bytes from `from` on.
    pub fn copy_out(&self, user: &mut dyn UserMemory, from: u64, bytes: &[u8]) -> Result<(), Errno> {
        let mut rest = bytes;
        for (address, n) in self.pieces(from, bytes.len() as u64) {
            let (piece, tail) = rest.split_at(n as usize);
            user.write(address, piece)?;
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(EFAULT) }
    }

    /// Fetches the bytes from `from` on.
    pub fn copy_in(&self, user: &mut dyn UserMemory, from: u64, out: &mut [u8]) -> Result<(), Errno> {
        let len = out.len() as u64;
        let mut rest = out;
        for (address, n) in self.pieces(from, len) {
            let (piece, tail) = rest.split_at_mut(n as usize);
            user.read(address, piece)?;
            rest = tail;
        }
        if rest.is_empty() { Ok(()) } else { Err(EFAULT) }
    }
}
