//! From an address in a CSpace to a slot: O(depth), no division, one line of memory per level.

use crate::cap::Cap;
use crate::error::{Error, ErrorKind};
use crate::faults::Fault;
use crate::layout::domain;
use crate::memory::{Memory, Slot};
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, kind};

/// A slot that an address led to, and how many of its bits are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolved {
    /// The slot.
    pub slot: Slot,
    /// Bits left.
    pub left: u32,
}

/// A CNode on the way: what is read of its slot.
#[derive(Clone, Copy)]
struct Level {
    at: u64,
    radix: u32,
    guard: u64,
    guard_bits: u32,
}

impl<M: Memory> Store<M> {
    /// Follows the low `depth` bits of `index` from `root`. Every level takes at least one bit, so there are at most 64.
    pub fn resolve(&self, root: &Cap, index: u64, depth: u32) -> Option<Resolved> {
        let Cap::CNode { at, radix, guard, guard_bits } = *root else { return None };
        let level = Level { at, radix: radix.into(), guard, guard_bits: guard_bits.into() };
        self.follow(level, index, depth.min(64))
    }

    /// The bits that are left stand at the top of `path`, so that a level shifts its own out and nothing has to be masked. Guard and
    /// radix together have at most 64 bits and a radix at least one, so each shift is by less than 64.
    #[inline(always)]
    fn follow(&self, mut level: Level, index: u64, depth: u32) -> Option<Resolved> {
        let mut path = index.wrapping_shl(64u32.wrapping_sub(depth));
        let mut left = depth;
        loop {
            let Level { at, radix, guard, guard_bits } = level;
            left = left.checked_sub(guard_bits + radix)?;
            // Without a guard its shift would be by 64; by 1 and 63 it is none.
            let found = (path >> 1).wrapping_shr(63u32.wrapping_sub(guard_bits));
            if found != guard && !self.seeded(Fault::GuardIgnored) {
                return None;
            }
            path = path.wrapping_shl(guard_bits);
            let slot = Slot(at).plus(path.wrapping_shr(64u32.wrapping_sub(radix)));
            if left == 0 {
                return Some(Resolved { slot, left });
            }
            match self.level(slot) {
                Some(next) => level = next,
                None => return Some(Resolved { slot, left }),
            }
            path = path.wrapping_shl(radix);
        }
    }

    /// The CNode that the capability in a slot means.
    #[inline(always)]
    fn level(&self, slot: Slot) -> Option<Level> {
        let head = self.head(slot);
        let word = |i| self.word(slot.0, i);
        head.is(kind::CNODE).then(|| Level {
            at: word(words::OBJECT),
            radix: head.small().into(),
            guard: word(words::DATA),
            guard_bits: head.more().into(),
        })
    }

    /// The first slot of a CNode, and how many it has.
    #[inline(always)]
    pub(crate) fn slots_of(&self, slot: Slot) -> Option<(Slot, u64)> {
        self.level(slot).map(|level| (Slot(level.at), 1 << level.radix))
    }

    /// The slot of an address in the CSpace of `caller`. As in seL4, bits that are left over are ignored.
    #[inline(always)]
    pub fn lookup(&self, caller: u64, address: u64) -> Option<Slot> {
        let root = self.level(Slot(caller.wrapping_add(domain::CSPACE)))?;
        self.follow(root, address, 64).map(|found| found.slot)
    }

    /// [`Store::lookup_full_here`], once.
    #[inline(never)]
    pub(crate) fn lookup_full(&self, caller: u64, address: u64, argument: u8) -> Result<Slot, Error> {
        self.lookup_full_here(caller, address, argument)
    }

    /// The slot of an address, with something in it; `argument` is to blame.
    #[inline(always)]
    pub(crate) fn lookup_full_here(&self, caller: u64, address: u64, argument: u8) -> Result<Slot, Error> {
        match self.lookup(caller, address) {
            Some(slot) if !self.is_empty(slot) => Ok(slot),
            _ => Err(ErrorKind::FailedLookup.of(argument)),
        }
    }

    /// The slot of an address that holds a capability of this kind with these rights; `argument` is to blame.
    pub(crate) fn lookup_kind(
        &self,
        caller: u64,
        address: u64,
        argument: u8,
        kind: u8,
        rights: Rights,
    ) -> Result<Slot, Error> {
        let slot = self.lookup_full(caller, address, argument)?;
        let head = self.head(slot);
        let fits = head.is(kind) && head.rights().has(rights);
        if fits { Ok(slot) } else { Err(ErrorKind::InvalidCapability.of(argument)) }
    }

    /// [`Store::lookup_slot_here`], once.
    #[inline(never)]
    pub(crate) fn lookup_slot(
        &self,
        root: Slot,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        self.lookup_slot_here(root, index, depth, argument)
    }

    /// Exactly the slot at `index` and `depth` below the CNode in `root`; `argument` is the index, the next one the depth.
    #[inline(always)]
    pub(crate) fn lookup_slot_here(
        &self,
        root: Slot,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        let Some(level) = self.level(root) else {
            return Err(ErrorKind::InvalidCapability.of(argument.saturating_sub(1)));
        };
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
        root: Slot,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        let slot = self.lookup_slot(root, index, depth, argument)?;
        if self.is_empty(slot) { Ok(slot) } else { Err(ErrorKind::DeleteFirst.of(argument)) }
    }
}
