//! The buffers of a transfer: one, or a vector of them, as one run of bytes.

use crate::bytes::u64_at;
use crate::error::{Res, e};
use crate::files::node::NodeId;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::memory::Access;
use crate::turns::Serial;
use abi::layout::TASK_SIZE;
use alloc::vec::Vec;

/// Most bytes of one transfer, as Linux.
const COUNT_MAX: u64 = 0x7fff_f000;
const SEGMENTS_MAX: u64 = 1024;

/// What lies beyond every address that a program has is refused at once, as Linux' access_ok does.
pub fn addressable(at: u64, length: u64) -> Res {
    if at.checked_add(length).is_some_and(|end| end <= TASK_SIZE) { Ok(()) } else { Err(e::EFAULT) }
}

/// Address and length of each part.
pub struct Buffers(Vec<(u64, u64)>);

impl Buffers {
    pub fn one(at: u64, length: u64) -> Buffers {
        Buffers(alloc::vec![(at, length.min(COUNT_MAX))])
    }

    /// Bytes in all.
    pub fn count(&self) -> u64 {
        self.0.iter().map(|(_, n)| n).sum()
    }

    /// The parts of `length` bytes from byte `skip` on.
    fn parts(&self, skip: u64, length: u64) -> impl Iterator<Item = (u64, u64)> {
        let (mut skip, mut left) = (skip, length);
        self.0.iter().filter_map(move |(at, n)| {
            let passed = skip.min(*n);
            skip -= passed;
            let here = (n - passed).min(left);
            left -= here;
            (here > 0).then_some((at.wrapping_add(passed), here))
        })
    }
}

impl<M: Machine> Kernel<M> {
    /// The vector of readv and its kin.
    pub(super) fn vector(&mut self, me: Serial, at: u64, segments: u64) -> Res<Buffers> {
        if segments > SEGMENTS_MAX {
            return Err(e::EINVAL);
        }
        let raw = self.bytes_in(me, at, segments as usize * 16)?;
        let mut left = COUNT_MAX;
        let mut parts = Vec::new();
        // As Linux: all lengths come before the first address.
        if raw.chunks(16).any(|part| u64_at(part, 8) > i64::MAX as u64) {
            return Err(e::EINVAL);
        }
        for part in raw.chunks(16) {
            let (base, length) = (u64_at(part, 0), u64_at(part, 8));
            addressable(base, length)?;
            parts.push((base, length.min(left)));
            left -= length.min(left);
        }
        Ok(Buffers(parts))
    }

    /// How many of `length` bytes from byte `skip` on can be touched; EFAULT: none.
    pub(super) fn reach(
        &mut self,
        me: Serial,
        b: &Buffers,
        skip: u64,
        length: u64,
        access: Access,
    ) -> Res<u64> {
        let space = self.space_of(me)?;
        let mut done = 0;
        for (at, n) in b.parts(skip, length) {
            let reached = self.memory.reach(space, at, n, access);
            done += reached;
            if reached < n {
                break;
            }
        }
        if done == 0 && length > 0 { Err(e::EFAULT) } else { Ok(done) }
    }

    /// Bytes out, to where they are known to go.
    pub(super) fn scatter(&mut self, me: Serial, b: &Buffers, skip: u64, bytes: &[u8]) -> Res {
        let space = self.space_of(me)?;
        let mut done = 0;
        for (at, n) in b.parts(skip, bytes.len() as u64) {
            self.memory.fill(space, at, &bytes[done..done + n as usize])?;
            done += n as usize;
        }
        Ok(())
    }

    /// Bytes of a regular file from `at` on, which it has, out to where they are known to go: copied once.
    pub(super) fn scatter_file(&mut self, me: Serial, b: &Buffers, node: NodeId, at: u64, count: u64) -> Res {
        let space = self.space_of(me)?;
        let mut from = at;
        for (to, n) in b.parts(0, count) {
            let mut done = 0;
            while done < n {
                let piece = self.files.piece(node, from, n - done);
                if piece.is_empty() {
                    return Err(e::EFAULT);
                }
                self.memory.fill(space, to + done, piece)?;
                done += piece.len() as u64;
                from += piece.len() as u64;
            }
        }
        Ok(())
    }

    /// Bytes in, from where they are known to be.
    pub(super) fn gather(&mut self, me: Serial, b: &Buffers, skip: u64, length: u64) -> Res<Vec<u8>> {
        let space = self.space_of(me)?;
        let mut out = Vec::with_capacity(length as usize);
        for (at, n) in b.parts(skip, length) {
            self.memory.append(space, at, n as usize, &mut out)?;
        }
        Ok(out)
    }
}
