//! Invocations of a CNode: what happens to slots.

use crate::cap::Cap;
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::layout::endpoint;
use crate::memory::{Memory, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::Store;

/// Longest path there is: a guard and a radix together.
const PATH_BITS: u64 = 64;

/// Position of the guard's length in a word of new data for a CNode capability; the guard is below.
pub const GUARD_BITS_SHIFT: u32 = 58;

impl<M: Memory> Store<M> {
    /// The capability as a copy: `argument` is to blame if it cannot be copied.
    pub(crate) fn derive(&self, slot: Slot, cap: Cap, argument: u8) -> Result<Cap, Error> {
        match cap {
            Cap::Untyped { base, size, device, .. } => {
                if self.has_children(slot) {
                    return Err(ErrorKind::RevokeFirst.of(argument));
                }
                Ok(Cap::Untyped { base, size, device, free: 0, clean: 0 })
            }
            // The copy is mapped nowhere.
            Cap::Frame { base, size, device, rights, .. } => {
                Ok(Cap::Frame { base, size, device, rights, mapping: None })
            }
            // Time, loans and tables have one holder.
            Cap::Core { .. } | Cap::SchedContext { .. } | Cap::Lease { .. } | Cap::PageTable { .. } => {
                Err(ErrorKind::IllegalOperation.of(argument))
            }
            Cap::Null | Cap::Zombie { .. } => Err(ErrorKind::FailedLookup.of(argument)),
            cap => Ok(cap),
        }
    }

    /// With fewer rights. Never with more: this is the only place where rights are set.
    pub(crate) fn masked(&self, cap: Cap, mask: Rights) -> Cap {
        let keep = |rights: Rights| {
            if self.seeded(Fault::MintGrowsRights) { mask } else { rights.and(mask) }
        };
        match cap {
            Cap::Endpoint { at, badge, rights } => Cap::Endpoint { at, badge, rights: keep(rights) },
            Cap::Notification { at, badge, rights } => Cap::Notification { at, badge, rights: keep(rights) },
            Cap::Frame { base, size, device, rights, mapping } => {
                Cap::Frame { base, size, device, rights: keep(rights), mapping }
            }
            cap => cap,
        }
    }

    /// With a badge or guard. A badge is given once; a guard may be changed as long as the path stays possible.
    fn with_data(&self, cap: Cap, data: u64, argument: u8) -> Result<Cap, Error> {
        let free = |badge| badge == 0 || self.seeded(Fault::MintRebadges);
        match cap {
            Cap::Endpoint { at, badge, rights } if free(badge) => {
                Ok(Cap::Endpoint { at, badge: data, rights })
            }
            Cap::Notification { at, badge, rights } if free(badge) => {
                Ok(Cap::Notification { at, badge: data, rights })
            }
            Cap::Endpoint { .. } | Cap::Notification { .. } => Err(ErrorKind::IllegalOperation.of(argument)),
            Cap::CNode { at, radix, .. } => with_guard(at, radix, data, argument),
            cap if data == 0 => Ok(cap),
            _ => Err(ErrorKind::InvalidArgument.of(argument)),
        }
    }

    /// Data for a capability that keeps its place: a badge would begin below what was copied from it, so guards only.
    fn mutated(&self, cap: Cap, data: u64, argument: u8) -> Result<Cap, Error> {
        match cap {
            Cap::CNode { .. } => self.with_data(cap, data, argument),
            cap if data == 0 => Ok(cap),
            _ => Err(ErrorKind::IllegalOperation.of(argument)),
        }
    }

    /// Copy (`data` None) and Mint: destination index and depth; source root, index, depth; rights; badge or guard.
    pub(crate) fn decode_copy(
        &self,
        caller: u64,
        root: &Cap,
        args: [u64; 6],
        data: Option<u64>,
    ) -> Result<Plan, Error> {
        let [index, depth, source_root, source_index, source_depth, rights] = args;
        let slot = self.lookup_empty(root, index, depth, 1)?;
        let source = self.source(caller, source_root, source_index, source_depth, 3)?;
        let cap = self.derive(source, self.cap(source), 4)?;
        let cap = self.masked(cap, Rights::from_word(rights));
        let cap = match data {
            Some(data) => self.with_data(cap, data, 7)?,
            None => cap,
        };
        Ok(Plan::Insert { source, slot, cap })
    }

    /// Move (`data` 0) and Mutate.
    pub(crate) fn decode_move(
        &self,
        caller: u64,
        root: &Cap,
        args: [u64; 5],
        data: Option<u64>,
    ) -> Result<Plan, Error> {
        let [index, depth, source_root, source_index, source_depth] = args;
        let slot = self.lookup_empty(root, index, depth, 1)?;
        let source = self.source(caller, source_root, source_index, source_depth, 3)?;
        let cap = match data {
            Some(data) => self.mutated(self.cap(source), data, 6)?,
            None => self.cap(source),
        };
        Ok(Plan::Move { source, slot, cap })
    }

    /// Rotate: the pivot goes to the destination, the source to the pivot's place. Destination and source may be the same slot, and
    /// then the two are exchanged. Arguments: destination index, depth; pivot root, index, depth, data; source root, index,
    /// depth, data. Data 0 leaves a capability as it is.
    pub(crate) fn decode_rotate(&self, caller: u64, root: &Cap, args: [u64; 10]) -> Result<Plan, Error> {
        let [index, depth, pivot_root, pivot_index, pivot_depth, pivot_data, rest @ ..] = args;
        let [source_root, source_index, source_depth, source_data] = rest;
        let slot = self.lookup_slot(root, index, depth, 1)?;
        let pivot = self.source(caller, pivot_root, pivot_index, pivot_depth, 3)?;
        let source = self.source(caller, source_root, source_index, source_depth, 7)?;
        if pivot == source || pivot == slot {
            return Err(ErrorKind::IllegalOperation.of(4));
        }
        if slot != source && self.cap(slot) != Cap::Null {
            return Err(ErrorKind::DeleteFirst.of(1));
        }
        let changed = |slot: Slot, data: u64, argument: u8| match data {
            0 => Ok(self.cap(slot)),
            data => self.mutated(self.cap(slot), data, argument),
        };
        let pivot_cap = changed(pivot, pivot_data, 6)?;
        let source_cap = changed(source, source_data, 10)?;
        Ok(Plan::Rotate { slot, pivot, source, pivot_cap, source_cap })
    }

    fn source(&self, caller: u64, root: u64, index: u64, depth: u64, argument: u8) -> Result<Slot, Error> {
        let (_, root) = self.lookup_cap(caller, root, argument)?;
        let slot = self.lookup_slot(&root, index, depth, argument + 1)?;
        match self.cap(slot) {
            Cap::Null => Err(ErrorKind::FailedLookup.of(argument + 1)),
            _ => Ok(slot),
        }
    }

    /// CancelBadgedSends: needs every right, as in seL4, and a badge.
    pub(crate) fn decode_cancel(&self, slot: Slot) -> Result<Plan, Error> {
        match self.cap(slot) {
            Cap::Endpoint { at, badge, rights } if badge != 0 && rights.has(Rights::ALL) => {
                Ok(Plan::CancelBadgedSends { at, badge })
            }
            Cap::Endpoint { .. } => Err(ErrorKind::IllegalOperation.of(1)),
            _ => Err(ErrorKind::InvalidCapability.of(1)),
        }
    }

    pub(crate) fn rotate(&mut self, slot: Slot, pivot: Slot, source: Slot, pivot_cap: Cap, source_cap: Cap) {
        if slot == source {
            self.exchange(pivot, source, pivot_cap, source_cap);
        } else {
            self.transplant(pivot, slot, pivot_cap);
            self.transplant(source, pivot, source_cap);
        }
    }

    /// Aborts the senders with this badge, a bounded number at a time. Those that come after it began are not looked at. If
    /// another badge is being cancelled, that is finished first.
    pub(crate) fn cancel_badged_sends(&mut self, at: u64, badge: u64) -> Status {
        let busy = self.word(at, endpoint::CANCELLING) != 0;
        let own = !busy || self.word(at, endpoint::CANCEL_BADGE) == badge;
        if !busy {
            self.begin_cancel(at, badge);
        }
        let finished = self.cancel_steps(at);
        if finished && own { Status::Done } else { Status::Again }
    }
}

fn with_guard(at: u64, radix: u8, data: u64, argument: u8) -> Result<Cap, Error> {
    let guard_bits = data >> GUARD_BITS_SHIFT;
    let guard = data & ((1 << GUARD_BITS_SHIFT) - 1);
    if guard_bits + radix as u64 > PATH_BITS {
        return Err(ErrorKind::RangeError.of(argument));
    }
    if guard_bits < GUARD_BITS_SHIFT as u64 && guard >> guard_bits != 0 {
        return Err(ErrorKind::InvalidArgument.of(argument));
    }
    Ok(Cap::CNode { at, radix, guard, guard_bits: guard_bits as u8 })
}
