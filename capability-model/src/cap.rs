//! Capabilities: what a slot can hold. How the cases lie in memory says `words`.
//!
//! An enum in the code and words in memory, rather than a struct over memory: each use must then say which kind it means, and no
//! field of one kind can be read as another's. What lies in memory was written by this crate; a head of no known kind is `Null`.

use crate::memory::{BLOCK, PAGE, SLOT};
use crate::rights::Rights;
use crate::words::{self, kind};

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
    /// The right to act on a third core, in the name of the agent that the borrower's core has there.
    Core,
}

impl Leased {
    pub(crate) const fn word(self) -> u64 {
        self as u64
    }

    /// What a message between cores calls it.
    pub const fn from_word(word: u64) -> Leased {
        match word {
            1 => Leased::Device,
            2 => Leased::Page,
            3 => Leased::Block,
            4 => Leased::Seat,
            5 => Leased::Core,
            _ => Leased::Memory,
        }
    }

    /// Whether the lender gave the memory away altogether.
    pub const fn moves(self) -> bool {
        matches!(self, Leased::Memory | Leased::Device)
    }

    /// What the borrower gets: of lease `index` of `peer`, a frame with `rights`.
    pub(crate) fn borrowed(self, peer: u8, index: u8, base: u64, size: u64, rights: Rights) -> [u64; 5] {
        let frame = |size| words::encode(&Cap::Frame { base, size, device: false, rights, mapping: None });
        match self {
            Leased::Memory | Leased::Device => {
                let device = self == Leased::Device;
                words::encode(&Cap::Untyped { base, size, free: 0, clean: 0, device })
            }
            Leased::Page => frame(FrameSize::Page),
            Leased::Block => frame(FrameSize::Block),
            Leased::Seat => words::encode(&Cap::RemoteSeat { peer, index }),
            Leased::Core => words::encode(&Cap::Core { number: base as u8 }),
        }
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
    /// The time of this core, or of another the right to act there. Never copied, but lent.
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

impl Cap {
    /// What the object is, for capabilities that several slots may hold: equal if and only if it is the same one.
    #[inline(always)]
    pub fn identity(&self) -> Option<(u8, u64)> {
        Some(match *self {
            Cap::CNode { at, .. } => (kind::CNODE, at),
            Cap::Endpoint { at, .. } => (kind::ENDPOINT, at),
            Cap::Notification { at, .. } => (kind::NOTIFICATION, at),
            Cap::Reply { at } => (kind::REPLY, at),
            Cap::Frame { base, .. } => (kind::FRAME, base),
            Cap::PageTable { at, .. } => (kind::PAGE_TABLE, at),
            Cap::Space { at, .. } => (kind::SPACE, at),
            Cap::Domain { at } => (kind::DOMAIN, at),
            Cap::Irq { number } => (kind::IRQ, number as u64),
            Cap::Core { number } => (kind::CORE, number as u64),
            Cap::Gate { at } | Cap::Seat { at, .. } => (kind::GATE, at),
            // What is lent and stays keeps its object alive.
            Cap::Lease { base, what: Leased::Page | Leased::Block, .. } => (kind::FRAME, base),
            Cap::Lease { base, what: Leased::Seat, .. } => (kind::GATE, base),
            Cap::Lease { base, what: Leased::Core, .. } => (kind::CORE, base),
            Cap::RemoteSeat { peer, index } => (kind::REMOTE_SEAT, (peer as u64) << 8 | index as u64),
            _ => return None,
        })
    }
}

/// Bytes of a CNode: its slots, and one more where its remains are kept while it is taken apart.
pub const fn cnode_size(radix: u8) -> u64 {
    (1 << radix) * SLOT + SLOT
}
