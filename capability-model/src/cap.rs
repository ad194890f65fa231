//! Capabilities: what a slot can hold, and how the cases lie in five words.
//!
//! An enum in the code and words in memory, rather than a struct over memory: each use must then say which kind it means, and no
//! field of one kind can be read as another's. What lies in memory was written by this crate; a head of no known kind is `Null`.

use crate::layout;
use crate::memory::{BLOCK, PAGE, SLOT};
use crate::rights::Rights;

/// How large a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrameSize {
    /// 4 KiB.
    Page,
    /// 2 MiB.
    Block,
}

impl FrameSize {
    /// In bytes.
    pub const fn bytes(self) -> u64 {
        match self {
            FrameSize::Page => PAGE,
            FrameSize::Block => BLOCK,
        }
    }
}

/// Where a frame or table is mapped. The generation tells a space from a later one with the same VMID, so that a mapping
/// whose space is gone is harmless.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mapping {
    /// VMID of the space.
    pub vmid: u16,
    /// Generation of that VMID.
    pub generation: u64,
    /// Intermediate physical address.
    pub ipa: u64,
}

/// What a lease lends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leased {
    /// Memory, moved: the lender keeps no access.
    Memory,
    /// Device memory, moved.
    Device,
    /// A frame to be read; the lender goes on writing.
    Page,
    /// A 2 MiB frame to be read.
    Block,
    /// A seat of a gate.
    Seat,
}

impl Leased {
    pub(crate) const fn word(self) -> u64 {
        self as u64
    }

    pub(crate) const fn from_word(word: u64) -> Leased {
        match word {
            1 => Leased::Device,
            2 => Leased::Page,
            3 => Leased::Block,
            4 => Leased::Seat,
            _ => Leased::Memory,
        }
    }

    /// Whether the lender gave the memory away altogether.
    pub const fn moves(self) -> bool {
        matches!(self, Leased::Memory | Leased::Device)
    }
}

/// An object whose last capability is gone and that is taken apart in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Remains {
    /// A CNode; its slots are emptied from the end.
    CNode,
    /// An endpoint; its waiters are aborted.
    Endpoint,
    /// A notification; its waiters are aborted.
    Notification,
    /// A gate; what it holds is destroyed.
    Gate,
}

/// A capability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // The fields are named as the documents name them; each case has its sentence.
#[repr(u64)] // A tag of a byte would let the compiler copy the rest from an odd address, byte by byte.
pub enum Cap {
    /// Nothing.
    #[default]
    Null,
    /// Memory to be retyped. `free`: offset up to which it is given away; `clean`: offset up to which it is known to be zero beyond `free`.
    Untyped { base: u64, size: u64, free: u64, clean: u64, device: bool },
    /// A table of 2^radix slots, reached when the next `guard_bits` bits of the address are `guard`.
    CNode { at: u64, radix: u8, guard: u64, guard_bits: u8 },
    /// A place where senders and receivers meet.
    Endpoint { at: u64, badge: u64, rights: Rights },
    /// A word of bits that are set and waited for.
    Notification { at: u64, badge: u64, rights: Rights },
    /// The right to answer one caller.
    Reply { at: u64 },
    /// Memory that can be mapped.
    Frame { base: u64, size: FrameSize, device: bool, rights: Rights, mapping: Option<Mapping> },
    /// A stage-2 table of level 2 or 3.
    PageTable { at: u64, level: u8, mapping: Option<Mapping> },
    /// A stage-2 space: its root table and VMID.
    Space { at: u64, vmid: u16, generation: u64 },
    /// Something that runs: registers, CSpace, space, fault endpoint.
    Domain { at: u64 },
    /// An interrupt line.
    Irq { number: u16 },
    /// The time of this core. Never copied.
    Core { number: u8 },
    /// A share of the core's time, `budget_us` in every `period_us`. Never copied, so shares add up by construction. `domain` is 0 or the domain that runs on it.
    SchedContext { budget_us: u64, period_us: u64, domain: u64 },
    /// What was lent to another core's store. Never copied.
    Lease { peer: u8, index: u8, what: Leased, base: u64, size: u64 },
    /// The right to have a gate sealed, and to look at it.
    Gate { at: u64 },
    /// A voice in a gate.
    Seat { at: u64, index: u8 },
    /// A voice in a gate of another store, by the lease that brought it.
    RemoteSeat { peer: u8, index: u8 },
    /// Remains of an object; lives in the object itself, where no address reaches. `next` chains those that wait.
    Zombie { at: u64, what: Remains, radix: u8, left: u64, next: u64 },
}

const DEVICE: u64 = 1 << 18;
const MAPPED: u64 = 1 << 19;

const fn head(kind: u64, rights: Rights, small: u64, more: u64) -> u64 {
    kind | rights.word() << 8 | small << 24 | more << 32
}

const fn place(mapping: Option<Mapping>) -> (u64, u64, u64) {
    match mapping {
        Some(m) => (MAPPED, m.ipa, m.generation << 16 | m.vmid as u64),
        None => (0, 0, 0),
    }
}

const fn mapping_of(head: u64, ipa: u64, who: u64) -> Option<Mapping> {
    if head & MAPPED == 0 {
        return None;
    }
    Some(Mapping { vmid: who as u16, generation: who >> 16, ipa })
}

/// The number of CNodes in a slot's first word.
const CNODE: u8 = 2;

impl Cap {
    /// The five words of it: head, object, and three more.
    pub(crate) fn encode(&self) -> [u64; 5] {
        const NO: Rights = Rights::NONE;
        match *self {
            Cap::Null => [0; 5],
            Cap::Untyped { base, size, free, clean, device } => {
                [head(1, NO, 0, 0) | if device { DEVICE } else { 0 }, base, size, free, clean]
            }
            Cap::CNode { at, radix, guard, guard_bits } => {
                [head(2, NO, radix as u64, guard_bits as u64), at, guard, 0, 0]
            }
            Cap::Endpoint { at, badge, rights } => [head(3, rights, 0, 0), at, badge, 0, 0],
            Cap::Notification { at, badge, rights } => [head(4, rights, 0, 0), at, badge, 0, 0],
            Cap::Reply { at } => [head(5, NO, 0, 0), at, 0, 0, 0],
            Cap::Frame { base, size, device, rights, mapping } => {
                let (mapped, ipa, who) = place(mapping);
                let device = if device { DEVICE } else { 0 };
                [head(6, rights, size as u64, 0) | device | mapped, base, 0, ipa, who]
            }
            Cap::PageTable { at, level, mapping } => {
                let (mapped, ipa, who) = place(mapping);
                [head(7, NO, level as u64, 0) | mapped, at, 0, ipa, who]
            }
            Cap::Space { at, vmid, generation } => [head(8, NO, 0, 0), at, vmid as u64, generation, 0],
            Cap::Domain { at } => [head(9, NO, 0, 0), at, 0, 0, 0],
            Cap::Irq { number } => [head(10, NO, 0, 0), number as u64, 0, 0, 0],
            Cap::Core { number } => [head(11, NO, number as u64, 0), 0, 0, 0, 0],
            Cap::SchedContext { budget_us, period_us, domain } => {
                [head(12, NO, 0, 0), domain, budget_us, period_us, 0]
            }
            Cap::Lease { peer, index, what, base, size } => {
                [head(13, NO, peer as u64, index as u64), base, size, what.word(), 0]
            }
            Cap::Gate { at } => [head(14, NO, 0, 0), at, 0, 0, 0],
            Cap::Seat { at, index } => [head(15, NO, index as u64, 0), at, 0, 0, 0],
            Cap::RemoteSeat { peer, index } => [head(16, NO, peer as u64, index as u64), 0, 0, 0, 0],
            Cap::Zombie { at, what, radix, left, next } => {
                [head(17, NO, what as u64, radix as u64), at, left, next, 0]
            }
        }
    }

    /// Address, radix, guard and its bits, if these are the first words of a CNode's slot: what lookups need, without the rest.
    #[inline(always)]
    pub(crate) fn cnode_of(head: u64, object: u64, a: u64) -> Option<(u64, u32, u64, u32)> {
        let (small, more) = ((head >> 24) as u8, (head >> 32) as u8);
        (head as u8 == CNODE).then_some((object, small.into(), a, more.into()))
    }

    #[inline]
    pub(crate) fn decode([head, object, a, b, c]: [u64; 5]) -> Cap {
        let rights = Rights::from_word(head >> 8);
        let (small, more) = ((head >> 24) as u8, (head >> 32) as u8);
        let device = head & DEVICE != 0;
        match head & 0xff {
            1 => Cap::Untyped { base: object, size: a, free: b, clean: c, device },
            2 => Cap::CNode { at: object, radix: small, guard: a, guard_bits: more },
            3 => Cap::Endpoint { at: object, badge: a, rights },
            4 => Cap::Notification { at: object, badge: a, rights },
            5 => Cap::Reply { at: object },
            6 => {
                let size = if small == 0 { FrameSize::Page } else { FrameSize::Block };
                Cap::Frame { base: object, size, device, rights, mapping: mapping_of(head, b, c) }
            }
            7 => Cap::PageTable { at: object, level: small, mapping: mapping_of(head, b, c) },
            8 => Cap::Space { at: object, vmid: a as u16, generation: b },
            9 => Cap::Domain { at: object },
            10 => Cap::Irq { number: object as u16 },
            11 => Cap::Core { number: small },
            12 => Cap::SchedContext { budget_us: a, period_us: b, domain: object },
            13 => Cap::Lease { peer: small, index: more, what: Leased::from_word(b), base: object, size: a },
            14 => Cap::Gate { at: object },
            15 => Cap::Seat { at: object, index: small },
            16 => Cap::RemoteSeat { peer: small, index: more },
            17 => {
                let what = match small {
                    0 => Remains::CNode,
                    1 => Remains::Endpoint,
                    2 => Remains::Notification,
                    _ => Remains::Gate,
                };
                Cap::Zombie { at: object, what, radix: more, left: a, next: b }
            }
            _ => Cap::Null,
        }
    }

    /// Memory that the capability stands for: base and size.
    pub fn region(&self) -> Option<(u64, u64)> {
        Some(match *self {
            Cap::Untyped { base, size, .. } | Cap::Lease { base, size, .. } => (base, size),
            Cap::CNode { at, radix, .. } => (at, cnode_size(radix)),
            Cap::Endpoint { at, .. } => (at, layout::ENDPOINT_SIZE),
            Cap::Notification { at, .. } => (at, layout::NOTIFICATION_SIZE),
            Cap::Reply { at } => (at, layout::REPLY_SIZE),
            Cap::Frame { base, size, .. } => (base, size.bytes()),
            Cap::PageTable { at, .. } | Cap::Space { at, .. } | Cap::Domain { at } => (at, PAGE),
            Cap::Gate { at } | Cap::Seat { at, .. } => (at, layout::GATE_SIZE),
            Cap::Zombie { at, what: Remains::CNode, radix, .. } => (at, cnode_size(radix)),
            Cap::Zombie { at, what: Remains::Endpoint, .. } => (at, layout::ENDPOINT_SIZE),
            Cap::Zombie { at, what: Remains::Notification, .. } => (at, layout::NOTIFICATION_SIZE),
            Cap::Zombie { at, what: Remains::Gate, .. } => (at, layout::GATE_SIZE),
            Cap::Null
            | Cap::Irq { .. }
            | Cap::Core { .. }
            | Cap::SchedContext { .. }
            | Cap::RemoteSeat { .. } => return None,
        })
    }

    /// What the object is, for capabilities that several slots may hold: equal if and only if it is the same one.
    pub fn identity(&self) -> Option<(u8, u64)> {
        Some(match *self {
            Cap::CNode { at, .. } => (2, at),
            Cap::Endpoint { at, .. } => (3, at),
            Cap::Notification { at, .. } => (4, at),
            Cap::Reply { at } => (5, at),
            Cap::Frame { base, .. } => (6, base),
            Cap::PageTable { at, .. } => (7, at),
            Cap::Space { at, .. } => (8, at),
            Cap::Domain { at } => (9, at),
            Cap::Irq { number } => (10, number as u64),
            Cap::Gate { at } | Cap::Seat { at, .. } => (14, at),
            // What is lent and stays keeps its object alive.
            Cap::Lease { base, what: Leased::Page | Leased::Block, .. } => (6, base),
            Cap::Lease { base, what: Leased::Seat, .. } => (14, base),
            Cap::RemoteSeat { peer, index } => (16, (peer as u64) << 8 | index as u64),
            _ => return None,
        })
    }

    /// The rights it carries; kinds without rights carry all.
    pub fn rights(&self) -> Rights {
        match *self {
            Cap::Endpoint { rights, .. } | Cap::Notification { rights, .. } | Cap::Frame { rights, .. } => {
                rights
            }
            _ => Rights::ALL,
        }
    }

    /// The badge, of kinds that have one.
    pub fn badge(&self) -> Option<u64> {
        match *self {
            Cap::Endpoint { badge, .. } | Cap::Notification { badge, .. } => Some(badge),
            _ => None,
        }
    }
}

/// Bytes of a CNode: its slots, and one more where its remains are kept while it is taken apart.
pub const fn cnode_size(radix: u8) -> u64 {
    (1 << radix) * SLOT + SLOT
}
