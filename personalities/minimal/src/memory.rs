//! The calls about memory: they need the turn only for a further chunk of charge.

use crate::calls::{EBADF, EINVAL, ENOMEM};
use crate::kernel::Kernel;
use crate::space::Refused;
use crate::{Machine, rights};
use abi::layout::{PAGE, TASK_SIZE};
use abi::linux::nr;

const ENODEV: u64 = -19i64 as u64;
const EEXIST: u64 = -17i64 as u64;
const MAP_TYPE: u64 = 0xf;
const MAP_PRIVATE: u64 = 2;
const MAP_FIXED: u64 = 0x10;
const MAP_ANONYMOUS: u64 = 0x20;
const MAP_FIXED_NOREPLACE: u64 = 0x10_0000;

impl<M: Machine> Kernel<M> {
    /// A call about memory; `None`: it needs a further chunk of charge, and the turn.
    pub(crate) fn memory(&mut self, number: u64, a: &[u64; 6], in_turn: bool) -> Option<u64> {
        match number {
            nr::brk => self.brk(a[0], in_turn),
            nr::mmap => self.mmap(a, in_turn),
            nr::mprotect => self.mprotect(a, in_turn),
            _ => Some(self.not_offered(number)),
        }
    }

    pub(crate) fn munmap(&mut self, start: u64, length: u64) -> u64 {
        let end = start.checked_add(length).filter(|&end| end <= TASK_SIZE);
        let Some(end) = end.filter(|_| start.is_multiple_of(PAGE) && length > 0) else { return EINVAL };
        self.space.remove(start / PAGE, end.div_ceil(PAGE) - start / PAGE, &mut self.m);
        0
    }

    pub(crate) fn madvise(&mut self, start: u64, length: u64, advice: u64) -> u64 {
        if !start.is_multiple_of(PAGE) {
            return EINVAL;
        }
        // MADV_DONTNEED; the segments of a file would have to be read again.
        if advice == 4 {
            self.space.forget(start / PAGE, length.div_ceil(PAGE), &mut self.m);
        }
        0
    }

    fn brk(&mut self, wanted: u64, in_turn: bool) -> Option<u64> {
        let (start, now) = (self.space.break_start, self.space.break_end);
        if wanted < start || wanted >= TASK_SIZE {
            return Some(now);
        }
        let (had, new) = (now.div_ceil(PAGE), wanted.div_ceil(PAGE));
        if new > had {
            if !self.space.is_free(had, new - had) {
                return Some(now);
            }
            match self.space.add(had, new - had, rights::R | rights::W, in_turn) {
                Ok(()) => {}
                Err(Refused::Turn) => return None,
                Err(Refused::Memory) => return Some(now),
            }
        } else {
            self.space.remove(new, had - new, &mut self.m);
        }
        self.space.break_end = wanted;
        Some(wanted)
    }

    fn mmap(&mut self, a: &[u64; 6], in_turn: bool) -> Option<u64> {
        let [hint, length, protection, flags, ..] = *a;
        let count = length.div_ceil(PAGE);
        if length == 0 || flags & MAP_TYPE != MAP_PRIVATE {
            return Some(EINVAL);
        }
        if length > TASK_SIZE {
            return Some(ENOMEM);
        }
        if flags & MAP_ANONYMOUS == 0 {
            return Some(if self.process.descriptors.contains(&a[4]) { ENODEV } else { EBADF });
        }
        let fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0;
        let place = hint / PAGE;
        if fixed && !hint.is_multiple_of(PAGE) {
            return Some(EINVAL);
        }
        let free = hint <= TASK_SIZE && self.space.is_free(place, count);
        let first = match (fixed, free) {
            (true, false) if flags & MAP_FIXED_NOREPLACE != 0 => return Some(EEXIST),
            (true, false) => {
                self.munmap(hint, length);
                if !self.space.is_free(place, count) {
                    return Some(ENOMEM);
                }
                place
            }
            (true, true) => place,
            (false, true) if hint.is_multiple_of(PAGE) && hint > 0 => place,
            (false, _) => match self.space.gap(count) {
                Some(first) => first,
                None => return Some(ENOMEM),
            },
        };
        match self.space.add(first, count, of_protection(protection), in_turn) {
            Ok(()) => Some(first * PAGE),
            Err(Refused::Turn) => None,
            Err(Refused::Memory) => Some(ENOMEM),
        }
    }

    fn mprotect(&mut self, a: &[u64; 6], in_turn: bool) -> Option<u64> {
        let [start, length, protection, ..] = *a;
        if !start.is_multiple_of(PAGE) {
            return Some(EINVAL);
        }
        let new = of_protection(protection);
        match self.space.protect(start / PAGE, length.div_ceil(PAGE), new, in_turn, &mut self.m) {
            Ok(()) => Some(0),
            Err(Refused::Turn) => None,
            Err(Refused::Memory) => Some(ENOMEM),
        }
    }
}

/// PROT_ bits as PF_ flags; writable and executable pages can be read.
fn of_protection(protection: u64) -> u8 {
    let flags = [(1, rights::R), (2, rights::W | rights::R), (4, rights::X | rights::R)];
    flags.iter().filter(|(bit, _)| protection & bit != 0).fold(0, |r, (_, f)| r | f)
}
