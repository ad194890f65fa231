//! Invocations of a CNode: what happens to slots.

use crate::derivation::Altered;
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::invoke::ARGUMENTS;
use crate::layout::endpoint;
use crate::memory::{Memory, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, kind};

/// Longest path there is: a guard and a radix together.
const PATH_BITS: u64 = 64;

/// Position of the guard's length in a word of new data for a CNode capability; the guard is below.
pub const GUARD_BITS_SHIFT: u32 = 58;

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

    /// What Copy puts into the destination: with fewer rights. Never with more: this is the only place where rights are set.
    #[inline(always)]
    pub(crate) fn copied(&self, source: Slot, rights: u64) -> Result<Altered, Error> {
        let (cap, mask) = (self.derive(source, 4)?, Rights::from_word(rights));
        // A kind without rights has none to lose.
        let rights = if self.seeded(Fault::MintGrowsRights) { mask } else { cap.head.rights().and(mask) };
        Ok(Altered { head: cap.head.with_rights(rights), ..cap })
    }

    /// The same of Mint: with a badge, which is given once, or a guard, which may be changed as long as the path stays possible.
    #[inline(always)]
    pub(crate) fn minted(&self, source: Slot, rights: u64, data: u64) -> Result<Altered, Error> {
        let cap = self.copied(source, rights)?;
        match cap.head.has_badge() {
            true if cap.data == 0 || self.seeded(Fault::MintRebadges) => Ok(Altered { data, ..cap }),
            true => Err(ErrorKind::IllegalOperation.of(7)),
            false => guarded(cap, data, 7, ErrorKind::InvalidArgument),
        }
    }

    /// The same of Mutate: it keeps its place, where a badge would begin below what was copied from it, so guards only.
    #[inline(always)]
    pub(crate) fn mutated(&self, source: Slot, data: u64, argument: u8) -> Result<Altered, Error> {
        guarded(self.altered(source), data, argument, ErrorKind::IllegalOperation)
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
        let changed = |slot: Slot, data: u64, argument: u8| match data {
            0 => Ok(self.altered(slot)),
            data => self.mutated(slot, data, argument),
        };
        let pivot_cap = changed(pivot, pivot_data, 6)?;
        let source_cap = changed(source, source_data, 10)?;
        Ok(Plan::Rotate { slot, pivot, source, pivot_cap, source_cap })
    }

    /// The slot at root, index and depth (`argument` and the next two) with something in it.
    pub(crate) fn source(
        &self,
        caller: u64,
        root: u64,
        index: u64,
        depth: u64,
        argument: u8,
    ) -> Result<Slot, Error> {
        let root = self.lookup_full(caller, root, argument)?;
        let slot = self.lookup_slot(root, index, depth, argument + 1)?;
        if self.is_empty(slot) { Err(ErrorKind::FailedLookup.of(argument + 1)) } else { Ok(slot) }
    }

    /// CancelBadgedSends: needs every right, as in seL4, and a badge.
    pub(crate) fn decode_cancel(&self, slot: Slot) -> Result<Plan, Error> {
        let (head, badge) = (self.head(slot), self.word(slot.0, words::DATA));
        if !head.is(kind::ENDPOINT) {
            return Err(ErrorKind::InvalidCapability.of(1));
        }
        if badge == 0 || !head.rights().has(Rights::ALL) {
            return Err(ErrorKind::IllegalOperation.of(1));
        }
        Ok(Plan::CancelBadgedSends { at: self.object(slot), badge })
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

/// With another guard, if it is a CNode; of other kinds any data but 0 is an error of this kind.
fn guarded(cap: Altered, data: u64, argument: u8, otherwise: ErrorKind) -> Result<Altered, Error> {
    if !cap.head.is(kind::CNODE) {
        return if data == 0 { Ok(cap) } else { Err(otherwise.of(argument)) };
    }
    let guard_bits = data >> GUARD_BITS_SHIFT;
    let guard = data & ((1 << GUARD_BITS_SHIFT) - 1);
    if guard_bits + cap.head.small() as u64 > PATH_BITS {
        return Err(ErrorKind::RangeError.of(argument));
    }
    if guard_bits < GUARD_BITS_SHIFT as u64 && guard >> guard_bits != 0 {
        return Err(ErrorKind::InvalidArgument.of(argument));
    }
    Ok(Altered { head: cap.head.with_more(guard_bits as u8), data: guard })
}
