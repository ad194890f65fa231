//! Calls on memory. A call that may need a further chunk is tried on a copy of the address space, which costs one reference: if the copy needs no
//! more than is charged it takes the old one's place at once; if it does, it is dropped, and made again when the turn comes.

use super::{Args, Outcome, done};
use crate::errno::*;
use crate::page::PAGE;
use crate::regions::{Place, round_up};
use crate::space::{Backing, EXECUTE, Label, READ, Space, WRITE};
use crate::state::{Leads, State};
use abi::layout::TASK_SIZE;
use abi::linux::nr;
use alloc::rc::Rc;

const SHARED: u64 = 1;
const PRIVATE: u64 = 2;
const SHARED_VALIDATE: u64 = 3;
const FIXED: u64 = 0x10;
const FIXED_NOREPLACE: u64 = 0x10_0000;
const MAY_MOVE: u64 = 1;
const TO_FIXED: u64 = 2;
const DONTNEED: u64 = 4;

/// Whether Linux 6.1 knows that advice: NORMAL to DONTNEED, FREE to COLLAPSE, HWPOISON and SOFT_OFFLINE.
fn is_advice(advice: u64) -> bool {
    matches!(advice, 0..=DONTNEED | 8..=25 | 100 | 101)
}

/// Regions of an address space (Linux' sysctl vm.max_map_count).
const REGIONS_MAX: usize = 65530;

fn rights(prot: u64) -> u8 {
    let one = |bit, right| if prot & bit != 0 { right } else { 0 };
    one(1, READ) | one(2, WRITE) | one(4, EXECUTE)
}

fn place(addr: u64, flags: u64) -> Place {
    if flags & FIXED_NOREPLACE != 0 {
        Place::FixedFree(addr)
    } else if flags & FIXED != 0 {
        Place::Fixed(addr)
    } else {
        Place::Hint(addr)
    }
}

/// The length of a mapping in whole pages.
fn length(bytes: u64) -> Result<u64> {
    if bytes == 0 {
        return Err(EINVAL);
    }
    round_up(bytes).filter(|l| *l <= TASK_SIZE).ok_or(ENOMEM)
}

fn map_anonymous(space: &mut Space, a: &Args) -> Result<u64> {
    if !a[5].is_multiple_of(PAGE) {
        return Err(EINVAL);
    }
    let length = length(a[1])?;
    let at = space.place(place(a[0], a[3]), length)?;
    match a[3] & 0xf {
        PRIVATE => {}
        SHARED if rights(a[2]) & WRITE == 0 => {}
        SHARED => return Err(ENODEV),
        _ => return Err(EINVAL),
    }
    if a[3] & 0xf == SHARED {
        space.add_shared(at, length, rights(a[2]), Backing::Anonymous, None);
    } else {
        space.add(at, length, rights(a[2]), Backing::Anonymous, None);
    }
    Ok(at)
}

fn protect(space: &mut Space, a: &Args) -> Result<u64> {
    if !a[0].is_multiple_of(PAGE) {
        return Err(EINVAL);
    }
    if a[1] == 0 {
        return Ok(0);
    }
    let end = round_up(a[1]).and_then(|l| a[0].checked_add(l)).ok_or(ENOMEM)?;
    if a[2] & !0x0300_000f != 0 {
        return Err(EINVAL);
    }
    if end > TASK_SIZE {
        return Err(ENOMEM);
    }
    space.protect(a[0], end, rights(a[2])).map(|()| 0)
}

fn remap(space: &mut Space, a: &Args) -> Result<u64> {
    let [at, old, new, flags, to, _] = *a;
    if flags & !7 != 0 || flags & TO_FIXED != 0 && flags & MAY_MOVE == 0 || flags & 4 != 0 {
        return Err(EINVAL);
    }
    if !at.is_multiple_of(PAGE) {
        return Err(EINVAL);
    }
    let (old, new) = (round_up(old).ok_or(EINVAL)?, round_up(new).ok_or(EINVAL)?);
    if new == 0 {
        return Err(EINVAL);
    }
    space.mapped(at).ok_or(EFAULT)?;
    space.remap(at, old, new, flags & MAY_MOVE != 0, (flags & TO_FIXED != 0).then_some(to))
}

impl State {
    fn try_memory(space: &mut Space, number: u64, a: &Args) -> Result<u64> {
        match number {
            nr::brk => Ok(space.set_break(a[0])),
            nr::mmap => map_anonymous(space, a),
            nr::mprotect => protect(space, a),
            _ => remap(space, a),
        }
    }

    /// Whether an address space may not have so many regions, of which it had `before`: as on Linux a program can't have more than that, and this
    /// kernel's heap may hold less.
    fn has_too_many(&self, before: usize, now: usize) -> bool {
        now > before && (now > REGIONS_MAX || self.pool.is_tight())
    }

    /// A call of class Memory outside a turn: `None`: it needs a further chunk, so it is a call.
    pub fn memory_now(&mut self, serial: u64, number: u64, a: &Args) -> Option<Result<u64>> {
        let before = self.space(serial).clone();
        let mut trial = before.clone();
        let result = State::try_memory(&mut trial, number, a);
        if self.has_too_many(before.regions.size(), trial.regions.size()) {
            return Some(if number == nr::brk { Ok(before.brk.1) } else { Err(ENOMEM) });
        }
        if trial.chunks_needed() > before.chunks {
            return None;
        }
        *self.space(serial) = trial;
        Some(result)
    }

    /// The same in a turn, with the limit.
    pub fn memory_call(&mut self, serial: u64, number: u64, a: &Args) -> Result<Outcome> {
        let mut trial = self.space(serial).clone();
        let result = State::try_memory(&mut trial, number, a);
        let needed = trial.chunks_needed();
        let before = self.space(serial).regions.size();
        if self.has_too_many(before, trial.regions.size())
            || needed > trial.chunks && self.charge(serial, needed).is_err()
        {
            return if number == nr::brk { done(self.space(serial).brk.1) } else { Err(ENOMEM) };
        }
        trial.chunks = trial.chunks.max(needed);
        *self.space(serial) = trial;
        result.and_then(done)
    }

    /// mmap of a file.
    pub fn map_file(&mut self, serial: u64, a: &Args) -> Result<Outcome> {
        let [addr, bytes, prot, flags, fd, offset] = *a;
        if !offset.is_multiple_of(PAGE) {
            return Err(EINVAL);
        }
        let (_, open) = self.usable(serial, fd)?;
        let length = length(bytes)?;
        let at = self.space(serial).place(place(addr, flags), length)?;
        if offset.checked_add(length).is_none_or(|e| e > i64::MAX as u64) {
            return Err(EOVERFLOW);
        }
        let kind = flags & 0xf;
        if ![SHARED, PRIVATE, SHARED_VALIDATE].contains(&kind) {
            return Err(EINVAL);
        }
        if !open.reads() {
            return Err(EACCES);
        }
        let writable_shared = kind != PRIVATE && prot & 2 != 0;
        if writable_shared && open.flags & 3 != 2 {
            return Err(EACCES);
        }
        let Leads::File(inode) = open.leads else { return Err(ENODEV) };
        if writable_shared {
            return Err(ENODEV);
        }
        let shot = Rc::new(self.files.shot(inode)?);
        let mut trial = self.space(serial).clone();
        let label = Some(Label { inode, name: open.name.clone() });
        let backing = Backing::File(shot, offset / PAGE);
        if kind == PRIVATE {
            trial.add(at, length, rights(prot), backing, label);
        } else {
            trial.add_shared(at, length, rights(prot), backing, label);
        }
        let before = self.space(serial).regions.size();
        if self.has_too_many(before, trial.regions.size()) {
            return Err(ENOMEM);
        }
        let needed = trial.chunks_needed();
        if needed > trial.chunks {
            self.charge(serial, needed)?;
            trial.chunks = needed;
        }
        *self.space(serial) = trial;
        done(at)
    }

    /// munmap.
    pub fn munmap(&mut self, serial: u64, at: u64, bytes: u64) -> Result<u64> {
        if !at.is_multiple_of(PAGE) {
            return Err(EINVAL);
        }
        let end =
            round_up(bytes).filter(|l| *l > 0).and_then(|l| at.checked_add(l)).filter(|e| *e <= TASK_SIZE);
        let end = end.ok_or(EINVAL)?;
        let space = self.space(serial);
        let before = space.regions.size();
        // Out of the middle of a mapping: two are left of it.
        let splits = space.region(at).is_some_and(|(start, r)| space.begins(start, r) < at && r.end > end);
        if splits && self.has_too_many(before, before + 1) {
            return Err(ENOMEM);
        }
        self.space(serial).remove(at, end);
        Ok(0)
    }

    /// madvise, in Linux' order of checks (mm/madvise.c, do_madvise): the advice, the start, the length. What is mapped is
    /// advised on, and holes are ENOMEM then.
    pub fn madvise(&mut self, serial: u64, at: u64, bytes: u64, advice: u64) -> Result<u64> {
        let advice = advice & 0xffff_ffff;
        if !is_advice(advice) || !at.is_multiple_of(PAGE) {
            return Err(EINVAL);
        }
        let end = round_up(bytes).and_then(|l| at.checked_add(l)).ok_or(EINVAL)?;
        if end == at {
            return Ok(0);
        }
        let space = self.space(serial);
        if advice == DONTNEED && at < TASK_SIZE {
            space.forget(at, end.min(TASK_SIZE));
        }
        if space.is_whole(at, end) { Ok(0) } else { Err(ENOMEM) }
    }
}
