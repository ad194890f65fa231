//! brk, mmap and kin: arguments decoded, the rest is `space`'s.

use super::Call;
use crate::errno::{EBADF, EFAULT, EINVAL, ENODEV, ENOMEM, EOVERFLOW, Errno};
use crate::exec::Files;
use crate::fs::ExecFile;
use crate::kernel::Kernel;
use crate::machine::{Machine, Rights};
use crate::space::{Budget, Kind, MayMove, MemoryError, Place, Space};
use crate::turns::Serial;

type Result = core::result::Result<i64, MemoryError>;

const MAP_SHARED: u64 = 1;
const MAP_PRIVATE: u64 = 2;
const MAP_SHARED_VALIDATE: u64 = 3;
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
        let id = self.process(serial).ok_or(EFAULT)?.space;
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
    let place = match flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) {
        0 => Place::Hint(address),
        f if f & MAP_FIXED_NOREPLACE != 0 => Place::FixedNoReplace(address),
        _ => Place::Fixed(address),
    };
    // Linux' order: the descriptor, the length, the place, then what kind of mapping it shall be.
    let p = k.procs.get(&c.process).ok_or(EFAULT)?;
    let file = (flags & MAP_ANONYMOUS == 0).then(|| k.fs.mmap_file(&p.fds, fd as i32));
    if let Some(Err(EBADF)) = file {
        return Err(EBADF.into());
    }
    let shared = flags & MAP_TYPE != MAP_PRIVATE;
    k.on_space(c.serial, |space, m, budget, files| {
        let (_, pages) = space.choose(place, len)?;
        let entry = file.as_ref().and_then(|file| file.as_ref().ok()?.entry.clone());
        let kind = match file {
            None => anonymous_kind(flags, prot)?,
            Some(file) => file_kind(file, (prot, flags), (offset, pages))?,
        };
        space.mmap(m, budget, place, len, (Rights::from_prot(prot), kind, shared, entry), files)
    })
    .map(|at| at as i64)
}

/// Shared memory that can be written waits for tier 3: ENODEV.
fn check_shared(flags: u64, prot: u64) -> core::result::Result<(), Errno> {
    if flags & MAP_TYPE != MAP_PRIVATE && prot & PROT_WRITE != 0 { Err(ENODEV) } else { Ok(()) }
}

fn anonymous_kind(flags: u64, prot: u64) -> core::result::Result<Kind, Errno> {
    if !matches!(flags & MAP_TYPE, MAP_PRIVATE | MAP_SHARED) {
        return Err(EINVAL);
    }
    check_shared(flags, prot).map(|()| Kind::Anonymous)
}

fn file_kind(
    file: core::result::Result<ExecFile, Errno>,
    (prot, flags): (u64, u64),
    (offset, len): (u64, u64),
) -> core::result::Result<Kind, Errno> {
    if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
        return Err(EOVERFLOW);
    }
    if !matches!(flags & MAP_TYPE, MAP_PRIVATE | MAP_SHARED | MAP_SHARED_VALIDATE) {
        return Err(EINVAL);
    }
    let file = file?;
    check_shared(flags, prot)?;
    Ok(Kind::File { ino: file.ino, offset, size: file.size })
}

pub(super) fn munmap<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    k.on_space(c.serial, |space, m, _, _| space.munmap(m, c.args[0], c.args[1])).map(|()| 0)
}

pub(super) fn mprotect<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    let [start, len, prot, ..] = c.args;
    if start % 4096 != 0 {
        return Err(EINVAL.into());
    }
    if len == 0 {
        return Ok(0);
    }
    if len > u64::MAX - 4095 - start {
        return Err(ENOMEM.into());
    }
    // PROT_BTI (16) and PROT_GROWSDOWN and kin are refused, as on a machine without them.
    if prot & !7 != 0 {
        return Err(EINVAL.into());
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

/// In Linux' order: the advice, the start, the length; only then no length is nothing to do.
pub(super) fn madvise<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result {
    let [start, len, ..] = c.args;
    let advice = c.int(2);
    if !matches!(advice, 0..=4 | 8..=25 | 100 | 101) || start % 4096 != 0 {
        return Err(EINVAL.into());
    }
    let end = len.checked_next_multiple_of(4096).and_then(|len| start.checked_add(len)).ok_or(EINVAL)?;
    k.on_space(c.serial, |space, m, _, files| {
        if advice == MADV_DONTNEED {
            space.discard(m, start, end, files);
        }
        space.check_mapped(start, end)
    })
    .map(|()| 0)
}
