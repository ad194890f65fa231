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
use crate::memory::{Memory, PAGE, SLOT, Slot};
use crate::plan::Retype;
use crate::rights::Rights;
use crate::store::{RETYPE_MAX, SCRUBS_PER_ENTRY, Store};
use crate::words::{self, Head, kind};

/// Largest radix of a CNode.
pub const RADIX_MAX: u64 = 16;
/// Physical addresses have so many bits.
pub const ADDRESS_BITS: u32 = 48;

/// What can be made of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)] // As `Cap`.
pub enum Kind {
    /// Smaller Untyped; the parameter is its size in pages.
    Untyped(u64),
    /// A CNode; the parameter is its radix, 1 to [`RADIX_MAX`].
    CNode(u8),
    /// An endpoint.
    Endpoint,
    /// A notification.
    Notification,
    /// A reply.
    Reply,
    /// A frame; parameter 0 for 4 KiB, 1 for 2 MiB.
    Frame(FrameSize),
    /// A stage-2 table; the parameter is its level, 2 or 3.
    PageTable(u8),
    /// A space.
    Space,
    /// A domain.
    Domain,
    /// A gate.
    Gate,
}

impl Kind {
    /// From two words; the first is argument `argument`.
    pub fn from_words(kind: u64, parameter: u64, argument: u8) -> Result<Kind, Error> {
        let range = Err(ErrorKind::RangeError.of(argument + 1));
        Ok(match (kind, parameter) {
            (0, 1..=0xf_ffff_ffff) => Kind::Untyped(parameter),
            (1, 1..=RADIX_MAX) => Kind::CNode(parameter as u8),
            (2, 0) => Kind::Endpoint,
            (3, 0) => Kind::Notification,
            (4, 0) => Kind::Reply,
            (5, 0) => Kind::Frame(FrameSize::Page),
            (5, 1) => Kind::Frame(FrameSize::Block),
            (6, 2..=3) => Kind::PageTable(parameter as u8),
            (7, 0) => Kind::Space,
            (8, 0) => Kind::Domain,
            (9, 0) => Kind::Gate,
            (0..=9, _) => return range,
            _ => return Err(ErrorKind::InvalidArgument.of(argument)),
        })
    }

    /// Size and alignment of one.
    #[inline(always)]
    pub const fn size(self) -> (u64, u64) {
        match self {
            Kind::Untyped(pages) => (pages * PAGE, PAGE),
            Kind::CNode(radix) => (cnode_size(radix), SLOT),
            Kind::Endpoint => (layout::ENDPOINT_SIZE, SLOT),
            Kind::Notification => (layout::NOTIFICATION_SIZE, SLOT),
            Kind::Reply => (layout::REPLY_SIZE, SLOT),
            Kind::Frame(size) => (size.bytes(), size.bytes()),
            Kind::PageTable(_) | Kind::Space | Kind::Domain => (PAGE, PAGE),
            Kind::Gate => (layout::GATE_SIZE, SLOT),
        }
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
        let kind = Kind::from_words(kind, parameter, 1)?;
        let mut into = self.lookup_full(caller, root, 3)?;
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
        let [base, size, free] = [words::OBJECT, words::DATA, words::FREE].map(|i| self.word(untyped.0, i));
        if head.is_device() && !matches!(what, Kind::Untyped(_) | Kind::Frame(_)) {
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
        if what == Kind::Space && self.vmids_left() < count {
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
        if !device && !matches!(kind, Kind::Untyped(_)) && !self.seeded(Fault::RetypeSkipsScrub) {
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
        let (head, data) = new_object(kind, device);
        for i in 0..count {
            let at = start + stride * i;
            let data = if kind == Kind::Space { self.new_space(at) } else { data };
            self.insert_original(untyped, first.plus(i), [head, at, data, 0, 0]);
        }
        Status::Done
    }

    fn vmids_left(&self) -> u64 {
        VMIDS_MAX as u64 - self.vmids.iter().map(|set| set.count_ones() as u64).sum::<u64>()
    }
}

/// Head and data of what is made of memory.
#[inline(always)]
fn new_object(what: Kind, device: bool) -> (u64, u64) {
    let (kind, rights, small) = match what {
        Kind::Untyped(_) => (kind::UNTYPED, Rights::NONE, 0),
        Kind::CNode(radix) => (kind::CNODE, Rights::NONE, radix),
        Kind::Endpoint => (kind::ENDPOINT, Rights::ALL, 0),
        Kind::Notification => (kind::NOTIFICATION, Rights::ALL, 0),
        Kind::Reply => (kind::REPLY, Rights::NONE, 0),
        Kind::Frame(size) => (kind::FRAME, Rights::READ.or(Rights::WRITE), size as u8),
        Kind::PageTable(level) => (kind::PAGE_TABLE, Rights::NONE, level),
        Kind::Space => (kind::SPACE, Rights::NONE, 0),
        Kind::Domain => (kind::DOMAIN, Rights::NONE, 0),
        Kind::Gate => (kind::GATE, Rights::NONE, 0),
    };
    let data = if let Kind::Untyped(pages) = what { pages * PAGE } else { 0 };
    (Head::original(kind, rights, small, device).0, data)
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
