//! Invocations of a CNode: what happens to slots.

use crate::cap::Cap;
use crate::derivation::Altered;
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::invoke::{ARGUMENTS, SHORT};
use crate::layout::endpoint;
use crate::memory::{Memory, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{Head, kind};

/// Longest path there is: a guard and a radix together.
const PATH_BITS: u64 = 64;

/// Position of the guard's length in a word of new data for a CNode capability; the guard is below.
pub const GUARD_BITS_SHIFT: u32 = 58;

/// Whether an invocation has a word for badge or guard.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sets {
    /// It has: Mint, Mutate.
    Data,
    /// It has not: Copy, Move.
    Nothing,
}

impl<M: Memory> Store<M> {
    /// What a copy of the capability in `slot` holds; `argument` is to blame if it cannot be copied.
    #[inline(always)]
    pub(crate) fn derive(&self, slot: Slot, argument: u8) -> Result<Altered, Error> {
        let Altered { head, data } = self.altered(slot);
        match head.kind() {
            kind::UNTYPED if self.has_children(slot) => Err(ErrorKind::RevokeFirst.of(argument)),
            // Time, loans and tables have one holder.
            kind::CORE | kind::SCHED_CONTEXT | kind::LEASE | kind::PAGE_TABLE => {
                Err(ErrorKind::IllegalOperation.of(argument))
            }
            kind::NULL | kind::ZOMBIE => Err(ErrorKind::FailedLookup.of(argument)),
            _ => Ok(Altered { head: head.unmapped(), data }),
        }
    }

    /// With fewer rights. Never with more: this is the only place where rights are set.
    #[inline(always)]
    fn mask(&self, head: Head, mask: Rights) -> Head {
        // A kind without rights has none to lose.
        head.with_rights(if self.seeded(Fault::MintGrowsRights) { mask } else { head.rights().and(mask) })
    }

    /// With a badge or guard. A badge is given once; a guard may be changed as long as the path stays possible.
    #[inline(always)]
    fn set_data(&self, cap: Altered, data: u64, argument: u8) -> Result<Altered, Error> {
        match cap.head.kind() {
            kind::ENDPOINT | kind::NOTIFICATION if cap.data == 0 || self.seeded(Fault::MintRebadges) => {
                Ok(Altered { data, ..cap })
            }
            kind::ENDPOINT | kind::NOTIFICATION => Err(ErrorKind::IllegalOperation.of(argument)),
            kind::CNODE => with_guard(cap.head, data, argument),
            _ if data == 0 => Ok(cap),
            _ => Err(ErrorKind::InvalidArgument.of(argument)),
        }
    }

    /// Data for a capability that keeps its place: a badge would begin below what was copied from it, so guards only.
    fn mutate(&self, cap: Altered, data: u64, argument: u8) -> Result<Altered, Error> {
        match cap.head.kind() {
            kind::CNODE => with_guard(cap.head, data, argument),
            _ if data == 0 => Ok(cap),
            _ => Err(ErrorKind::IllegalOperation.of(argument)),
        }
    }

    /// Copy and Mint: destination index and depth; source root, index, depth; rights; and for Mint badge or guard. Source, destination, what to put there.
    #[inline(always)]
    pub(crate) fn decode_copy(
        &self,
        caller: u64,
        root: Slot,
        args: [u64; SHORT],
        sets: Sets,
    ) -> Result<(Slot, Slot, Altered), Error> {
        let [index, depth, source_root, source_index, source_depth, rights, data] = args;
        let slot = self.lookup_empty(root, index, depth, 1)?;
        let source = self.source(caller, source_root, source_index, source_depth, 3)?;
        let mut cap = self.derive(source, 4)?;
        cap.head = self.mask(cap.head, Rights::from_word(rights));
        if sets == Sets::Data {
            cap = self.set_data(cap, data, 7)?;
        }
        Ok((source, slot, cap))
    }

    /// Move and Mutate: as Copy, but there are no rights.
    #[inline(always)]
    pub(crate) fn decode_move(
        &self,
        caller: u64,
        root: Slot,
        args: [u64; SHORT],
        sets: Sets,
    ) -> Result<(Slot, Slot, Altered), Error> {
        let [index, depth, source_root, source_index, source_depth, data, _] = args;
        let slot = self.lookup_empty(root, index, depth, 1)?;
        let source = self.source(caller, source_root, source_index, source_depth, 3)?;
        let mut cap = self.altered(source);
        if sets == Sets::Data {
            cap = self.mutate(cap, data, 6)?;
        }
        Ok((source, slot, cap))
    }

    /// Rotate: the pivot goes to the destination, the source to the pivot's place. Destination and source may be the same slot, and
    /// then the two are exchanged. Arguments: destination index, depth; pivot root, index, depth, data; source root, index,
    /// depth, data. Data 0 leaves a capability as it is.
    pub(crate) fn decode_rotate(
        &self,
        caller: u64,
        root: Slot,
        args: &[u64; ARGUMENTS],
    ) -> Result<Plan, Error> {
        let [index, depth, pivot_root, pivot_index, pivot_depth, pivot_data, rest @ ..] = *args;
        let [source_root, source_index, source_depth, source_data] = rest;
        let slot = self.lookup_slot(root, index, depth, 1)?;
        let pivot = self.source(caller, pivot_root, pivot_index, pivot_depth, 3)?;
        let source = self.source(caller, source_root, source_index, source_depth, 7)?;
        if pivot == source || pivot == slot {
            return Err(ErrorKind::IllegalOperation.of(4));
        }
        if slot != source && !self.is_empty(slot) {
            return Err(ErrorKind::DeleteFirst.of(1));
        }
        let changed = |slot: Slot, data: u64, argument: u8| -> Result<Altered, Error> {
            let cap = self.altered(slot);
            if data == 0 { Ok(cap) } else { self.mutate(cap, data, argument) }
        };
        let pivot_cap = changed(pivot, pivot_data, 6)?;
        let source_cap = changed(source, source_data, 10)?;
        Ok(Plan::Rotate { slot, pivot, source, pivot_cap, source_cap })
    }

    #[inline(always)]
    fn source(&self, caller: u64, root: u64, index: u64, depth: u64, argument: u8) -> Result<Slot, Error> {
        let root = self.lookup_full(caller, root, argument)?;
        let slot = self.lookup_slot(root, index, depth, argument + 1)?;
        if self.is_empty(slot) { Err(ErrorKind::FailedLookup.of(argument + 1)) } else { Ok(slot) }
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

    pub(crate) fn rotate(
        &mut self,
        slot: Slot,
        pivot: Slot,
        source: Slot,
        pivot_cap: Altered,
        source_cap: Altered,
    ) {
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

fn with_guard(head: Head, data: u64, argument: u8) -> Result<Altered, Error> {
    let guard_bits = data >> GUARD_BITS_SHIFT;
    let guard = data & ((1 << GUARD_BITS_SHIFT) - 1);
    if guard_bits + head.small() as u64 > PATH_BITS {
        return Err(ErrorKind::RangeError.of(argument));
    }
    if guard_bits < GUARD_BITS_SHIFT as u64 && guard >> guard_bits != 0 {
        return Err(ErrorKind::InvalidArgument.of(argument));
    }
    Ok(Altered { head: head.with_more(guard_bits as u8), data: guard })
}
