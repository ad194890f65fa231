//! From an address in a CSpace to a slot: O(depth), no division, one line of memory per level.

use crate::cap::Cap;
use crate::error::{Error, ErrorKind};
use crate::faults::Fault;
use crate::layout::domain;
use crate::memory::{Memory, Slot};
use crate::store::Store;

/// A slot that an address led to, and how many of its bits are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The slot.
    pub slot: Slot,
    /// Bits left.
    pub left: u32,
}

/// The low `bits` of `word`.
const fn low(word: u64, bits: u32) -> u64 {
    match 1u64.checked_shl(bits) {
        Some(one) => word & (one - 1),
        None => word,
    }
}

/// `word` without its low `bits`.
const fn high(word: u64, bits: u32) -> u64 {
    match word.checked_shr(bits) {
        Some(rest) => rest,
        None => 0,
    }
}

impl<M: Memory> Store<M> {
    /// Follows the low `depth` bits of `index` from `root`. Every level takes at least one bit, so there are at most 64.
    #[inline]
    pub fn resolve(&self, root: &Cap, index: u64, depth: u32) -> Option<Resolved> {
        let Cap::CNode { at, radix, guard, guard_bits } = *root else { return None };
        self.follow((at, radix.into(), guard, guard_bits.into()), index, depth.min(64))
    }

    /// A level is a CNode's address, radix, guard and the guard's bits.
    fn follow(&self, mut level: (u64, u32, u64, u32), index: u64, depth: u32) -> Option<Resolved> {
        let mut left = depth;
        loop {
            let (at, radix, guard, guard_bits) = level;
            let after_guard = left.checked_sub(guard_bits)?;
            if low(high(index, after_guard), guard_bits) != guard && !self.seeded(Fault::GuardIgnored) {
                return None;
            }
            left = after_guard.checked_sub(radix)?;
            let slot = Slot(at).plus(low(high(index, left), radix));
            if left == 0 {
                return Some(Resolved { slot, left });
            }
            match self.level(slot) {
                Some(next) => level = next,
                None => return Some(Resolved { slot, left }),
            }
        }
    }

    #[inline(always)]
    pub(crate) fn level(&self, slot: Slot) -> Option<(u64, u32, u64, u32)> {
        Cap::cnode_of(self.word(slot.0, 0), self.word(slot.0, 1), self.word(slot.0, 2))
    }

    /// The slot of an address in the CSpace of `caller`. As in seL4, bits that are left over are ignored.
    #[inline]
    pub fn lookup(&self, caller: u64, address: u64) -> Option<Slot> {
        let root = self.level(Slot(caller + domain::CSPACE))?;
        self.follow(root, address, 64).map(|found| found.slot)
    }

    /// The capability at an address; `argument` is to blame.
    pub(crate) fn lookup_cap(&self, caller: u64, address: u64, argument: u8) -> Result<(Slot, Cap), Error> {
        let slot = self.lookup(caller, address).ok_or(ErrorKind::FailedLookup.of(argument))?;
        if self.is_empty(slot) {
            return Err(ErrorKind::FailedLookup.of(argument));
        }
        Ok((slot, self.cap(slot)))
    }

    /// Exactly the slot at `index` and `depth` below `root`; `argument` is the index, the next one the depth.
    pub(crate) fn lookup_slot(
        &self,
        root: &Cap,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        let level = match *root {
            Cap::CNode { at, radix, guard, guard_bits } => Some((at, radix.into(), guard, guard_bits.into())),
            _ => None,
        };
        self.lookup_below(level, index, depth, argument)
    }

    /// The same below a level, or what is no CNode.
    pub(crate) fn lookup_below(
        &self,
        level: Option<(u64, u32, u64, u32)>,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        let level = level.ok_or(ErrorKind::InvalidCapability.of(argument.saturating_sub(1)))?;
        if depth == 0 || depth > 64 {
            return Err(ErrorKind::RangeError.of(argument + 1));
        }
        match self.follow(level, index, depth as u32) {
            Some(Resolved { slot, left: 0 }) => Ok(slot),
            _ => Err(ErrorKind::FailedLookup.of(argument)),
        }
    }

    /// An empty slot for something new.
    pub(crate) fn lookup_empty(
        &self,
        root: &Cap,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        let slot = self.lookup_slot(root, index, depth, argument)?;
        if self.is_empty(slot) { Ok(slot) } else { Err(ErrorKind::DeleteFirst.of(argument)) }
    }
}
