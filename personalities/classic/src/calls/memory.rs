//! brk, mmap and kin: arguments decoded, the rest is `space`'s.

use super::Call;
use crate::errno::{EFAULT, EINVAL, ENODEV, Errno};
use crate::exec::Files;
use crate::kernel::Kernel;
use crate::machine::{Machine, Rights};
use crate::space::{Budget, Kind, MayMove, MemoryError, Place, Space};
use crate::turns::Serial;

type Result = core::result::Result<i64, MemoryError>;

const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_TYPE: u64 = 15;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;
const PROT_WRITE: u64 = 2;
const MREMAP_MAYMOVE: u64 = 1;
const MREMAP_FIXED: u64 = 2;
const MADV_DONTNEED: i32 = 4;

impl<M: Machine> Kernel<M> {
    /// Runs `act` on the caller's space.
    fn on_space<R>(
        &mut self,
        serial: Serial,
        act: impl FnOnce(&mut Space, &mut M, &mut Budget, &Files<'_>) -> core::result::Result<R, MemoryError>,
    ) -> core::result::Result<R, MemoryError> {
        let id = self.procs.get(&serial).ok_or(EFAULT)?.space;
        let shared = self.spaces.get_mut(&id).ok_or(EFAULT)?;
        act(&mut shared.space, &mut self.m, &mut self.budget, &Files(&self.fs))
    }
}

pub(super) fn brk<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    k.on_space(c.serial, |space, m, budget, _| space.set_brk(m, budget, c.args[0])).map(|brk| brk as i64)
}

pub(super) fn mmap<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    let [address, len, prot, flags, fd, offset] = c.args;
    if offset % 4096 != 0 {
        return Err(EINVAL.into());
    }
    let rights = Rights::from_prot(prot);
    let kind = if flags & MAP_ANONYMOUS != 0 {
        check_type(flags, prot, len)?;
        Kind::Anonymous
    } else {
        file_kind(k, c.serial, fd as i32, (prot, flags, len), offset)?
    };
    let place = match flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) {
        0 => Place::Hint(address),
        f if f & MAP_FIXED_NOREPLACE != 0 => Place::FixedNoReplace(address),
        _ => Place::Fixed(address),
    };
    k.on_space(c.serial, |space, m, budget, files| space.mmap(m, budget, place, len, (rights, kind), files))
        .map(|at| at as i64)
}

/// Shared memory that can be written waits for tier 3: ENODEV.
fn check_type(flags: u64, prot: u64, len: u64) -> core::result::Result<(), Errno> {
    match flags & MAP_TYPE {
        _ if len == 0 => Err(EINVAL),
        MAP_PRIVATE => Ok(()),
        MAP_SHARED | 3 if prot & PROT_WRITE == 0 => Ok(()),
        MAP_SHARED | 3 => Err(ENODEV),
        _ => Err(EINVAL),
    }
}

fn file_kind<M: Machine>(
    k: &mut Kernel<M>,
    serial: Serial,
    fd: i32,
    (prot, flags, len): (u64, u64, u64),
    offset: u64,
) -> core::result::Result<Kind, Errno> {
    let p = k.procs.get(&serial).ok_or(EFAULT)?;
    let file = k.fs.mmap_file(&p.fds, fd)?;
    check_type(flags, prot, len)?;
    if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
        return Err(EINVAL);
    }
    Ok(Kind::File { ino: file.ino, offset, size: file.size })
}

pub(super) fn munmap<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    k.on_space(c.serial, |space, m, _, _| space.munmap(m, c.args[0], c.args[1])).map(|()| 0)
}

pub(super) fn mprotect<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    let [start, len, prot, ..] = c.args;
    // PROT_BTI (16) and PROT_GROWSDOWN and kin are refused, as on a machine without them.
    if prot & !7 != 0 {
        return Err(EINVAL.into());
    }
    if len == 0 && start % 4096 == 0 {
        return Ok(0);
    }
    k.on_space(c.serial, |space, m, budget, _| space.mprotect(m, budget, start, len, Rights::from_prot(prot)))
        .map(|()| 0)
}

pub(super) fn mremap<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    let [old, old_len, new_len, flags, target, _] = c.args;
    if flags & !(MREMAP_MAYMOVE | MREMAP_FIXED) != 0
        || flags & MREMAP_FIXED != 0 && flags & MREMAP_MAYMOVE == 0
    {
        return Err(EINVAL.into());
    }
    let may_move = if flags & MREMAP_MAYMOVE != 0 { MayMove::Yes } else { MayMove::No };
    let target = (flags & MREMAP_FIXED != 0).then_some(target);
    let range = (old, old_len);
    k.on_space(c.serial, |space, m, budget, files| {
        space.mremap(m, budget, range, new_len, (may_move, target), files)
    })
    .map(|at| at as i64)
}

pub(super) fn madvise<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    let [start, len, ..] = c.args;
    if start % 4096 != 0 {
        return Err(EINVAL.into());
    }
    match c.int(2) {
        MADV_DONTNEED if len > 0 => {
            k.on_space(c.serial, |space, m, _, files| space.discard(m, start, len, files)).map(|()| 0)
        }
        0..=25 | 100 | 101 => Ok(0),
        _ => Err(EINVAL.into()),
    }
}
