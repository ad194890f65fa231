//! Untyped memory and Retype.
//!
//! Sizes are any multiple of a page: an Untyped is a base, a size and two marks, so nothing is rounded to a power of two (as in seL4).
//! Memory is scrubbed when it is given out, not when it comes back: a bounded number of pages per entry, and the mark `clean` holds
//! how far it got, so that whoever goes on does so from there.

use crate::cap::{FrameSize, cnode_size};
use crate::error::{Error, ErrorKind, Status};
use crate::faults::Fault;
use crate::invoke::SHORT;
use crate::layout::{self, VMIDS_MAX};
use crate::memory::{BLOCK, Memory, PAGE, SLOT, Slot};
use crate::plan::Retype;
use crate::rights::Rights;
use crate::store::{RETYPE_MAX, SCRUBS_PER_ENTRY, Store};
use crate::words::{self, Head, kind};

/// Largest radix of a CNode.
pub const RADIX_MAX: u64 = 16;
/// Physical addresses have so many bits.
pub const ADDRESS_BITS: u32 = 48;

/// What can be made of memory: the kinds of [`Kind::from_words`], and how large each is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind {
    /// Of its slot.
    head: u64,
    size: u64,
    align: u64,
}

/// By number: with the least and the largest parameter; sizes that depend on it are [`Kind::from_words`]'s.
const KINDS: [(Kind, u64, u64); 10] = [
    (Kind::new(kind::UNTYPED, Rights::NONE, PAGE), 1, 0xf_ffff_ffff),
    (Kind::new(kind::CNODE, Rights::NONE, 0), 1, RADIX_MAX),
    (Kind::new(kind::ENDPOINT, Rights::ALL, layout::ENDPOINT_SIZE), 0, 0),
    (Kind::new(kind::NOTIFICATION, Rights::ALL, layout::NOTIFICATION_SIZE), 0, 0),
    (Kind::new(kind::REPLY, Rights::NONE, layout::REPLY_SIZE), 0, 0),
    (Kind::new(kind::FRAME, Rights::READ.or(Rights::WRITE), PAGE), 0, 1),
    (Kind::new(kind::PAGE_TABLE, Rights::NONE, PAGE), 2, 3),
    (Kind::new(kind::SPACE, Rights::NONE, PAGE), 0, 0),
    (Kind::new(kind::DOMAIN, Rights::NONE, PAGE), 0, 0),
    (Kind::new(kind::GATE, Rights::NONE, layout::GATE_SIZE), 0, 0),
];

impl Kind {
    /// From two words, the kind's number and a parameter; the first is argument `argument`. 0: smaller Untyped of so many pages; 1: a CNode of
    /// this radix; 2: an endpoint; 3: a notification; 4: a reply; 5: a frame (0: 4 KiB, 1: 2 MiB); 6: a stage-2 table of this level; 7: a space;
    /// 8: a domain; 9: a gate.
    #[inline(never)]
    pub fn from_words(kind: u64, parameter: u64, argument: u8) -> Result<Kind, Error> {
        Kind::from_words_here(kind, parameter, argument)
    }

    /// The same in its place.
    #[inline(always)]
    fn from_words_here(kind: u64, parameter: u64, argument: u8) -> Result<Kind, Error> {
        let Some(&(Kind { head, size, align }, least, most)) = KINDS.get(kind as usize) else {
            return Err(ErrorKind::InvalidArgument.of(argument));
        };
        if parameter < least || parameter > most {
            return Err(ErrorKind::RangeError.of(argument + 1));
        }
        let (small, size, align) = match Head(head).kind() {
            kind::UNTYPED => (0, parameter * PAGE, align),
            kind::CNODE => (parameter, cnode_size(parameter as u8), align),
            kind::FRAME if parameter == FrameSize::Block as u64 => (parameter, BLOCK, BLOCK),
            _ => (parameter, size, align),
        };
        Ok(Kind { head: Head(head).with_small(small as u8).0, size, align })
    }

    /// All but memory have an identity. Pages stand on pages.
    const fn new(kind: u8, rights: Rights, size: u64) -> Kind {
        let class = if kind == kind::UNTYPED { 0 } else { kind };
        let head = Head::new(kind, rights, 0, 0).identified(class).0;
        Kind { head, size, align: if size == PAGE { PAGE } else { SLOT } }
    }

    /// Size and alignment of one.
    pub const fn size(self) -> (u64, u64) {
        (self.size, self.align)
    }

    const fn is(self, kind: u8) -> bool {
        Head(self.head).is(kind)
    }
}

impl<M: Memory> Store<M> {
    /// Retype: kind, parameter, root, index, depth, offset, count. The CNode is at `index` and `depth` below the root, or with depth 0 the root itself;
    /// slots `offset` to `offset + count` of it are filled.
    #[inline(always)]
    pub(crate) fn decode_retype(
        &self,
        caller: u64,
        untyped: Slot,
        args: [u64; SHORT],
    ) -> Result<Retype, Error> {
        let [kind, parameter, root, index, depth, offset, count] = args;
        let kind = Kind::from_words_here(kind, parameter, 1)?;
        let mut into = self.lookup_full_here(caller, root, 3)?;
        if depth != 0 {
            into = self.lookup_slot(into, index, depth, 4)?;
        }
        self.plan_retype(untyped, kind, into, offset, count)
    }

    /// The same with everything looked up; gates come in here. `into`: the slot of the CNode.
    #[inline(always)]
    pub(crate) fn plan_retype(
        &self,
        untyped: Slot,
        what: Kind,
        into: Slot,
        offset: u64,
        count: u64,
    ) -> Result<Retype, Error> {
        let head = self.head(untyped);
        if !head.is(kind::UNTYPED) {
            return Err(ErrorKind::InvalidCapability.of(0));
        }
        let word = |i| self.word(untyped.0, i);
        let (base, size, free) = (word(words::OBJECT), word(words::DATA), word(words::FREE));
        if head.is_device() && !what.is(kind::UNTYPED) && !what.is(kind::FRAME) {
            return Err(ErrorKind::InvalidArgument.of(1));
        }
        let (first, slots) = self.slots_of(into).ok_or(ErrorKind::FailedLookup.of(4))?;
        if offset >= slots {
            return Err(ErrorKind::RangeError.of(6));
        }
        if count == 0 || count > RETYPE_MAX || count > slots - offset {
            return Err(ErrorKind::RangeError.of(7));
        }
        let first = first.plus(offset);
        if (0..count).any(|i| !self.is_empty(first.plus(i))) {
            return Err(ErrorKind::DeleteFirst.of(6));
        }
        let reset = free > 0 && (!self.has_children(untyped) || self.seeded(Fault::RetypeResetsWithChildren));
        let used = if reset { 0 } else { free };
        let (each, align) = what.size();
        let used =
            if self.seeded(Fault::RetypeOverlaps) { used.saturating_sub(each.min(SLOT)) } else { used };
        let start = (base + used).next_multiple_of_power(align);
        let stride = each.next_multiple_of_power(align);
        // Counts are at most 64 and sizes at most 2^48: no overflow.
        let end = start + stride * count;
        if end > base + size {
            return Err(ErrorKind::NotEnoughMemory.of(0));
        }
        if what.is(kind::SPACE) && self.vmids_left() < count {
            return Err(ErrorKind::NotEnoughMemory.of(1));
        }
        Ok(Retype { untyped, kind: what, first, count, start, stride, reset })
    }

    /// Scrubs a part, and with the last part makes the objects.
    pub(crate) fn retype(&mut self, plan: &Retype) -> Status {
        let Retype { untyped, kind, first, count, start, stride, reset } = *plan;
        let (device, base) = (self.head(untyped).is_device(), self.word(untyped.0, words::OBJECT));
        let left = |i| if reset { 0 } else { self.word(untyped.0, i) };
        let (free, clean) = (left(words::FREE), left(words::CLEAN));
        let (from, end) = (start - base, start - base + stride * count);
        let mut clean = clean.max(from & !(PAGE - 1));
        if !device && !kind.is(kind::UNTYPED) && !self.seeded(Fault::RetypeSkipsScrub) {
            for _ in 0..SCRUBS_PER_ENTRY {
                if clean >= end {
                    break;
                }
                self.memory.scrub(base + clean);
                clean += PAGE;
            }
            if clean < end {
                self.set_word(untyped.0, words::FREE, free);
                self.set_word(untyped.0, words::CLEAN, clean);
                return Status::Again;
            }
        }
        self.set_word(untyped.0, words::FREE, end);
        self.set_word(untyped.0, words::CLEAN, clean.max(end));
        // All are alike but for where they are, and a space for its VMID.
        let Head(head) = Head(kind.head).device(device);
        for i in 0..count {
            let at = start + stride * i;
            let data = match Head(head).kind() {
                kind::UNTYPED => kind.size,
                kind::SPACE => self.new_space(at),
                _ => 0,
            };
            self.insert_original(untyped, first.plus(i), [head, at, data, 0, 0]);
        }
        Status::Done
    }

    fn vmids_left(&self) -> u64 {
        VMIDS_MAX as u64 - self.vmids.iter().map(|set| set.count_ones() as u64).sum::<u64>()
    }
}

/// Rounding without division.
trait PowerMultiple {
    fn next_multiple_of_power(self, power: u64) -> u64;
}

impl PowerMultiple for u64 {
    #[inline(always)]
    fn next_multiple_of_power(self, power: u64) -> u64 {
        (self + power - 1) & !(power - 1)
    }
}
