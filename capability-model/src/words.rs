//! How a capability lies in a slot: eight words.
//!
//! | Word | |
//! |---|---|
//! | 0 | head: kind, rights, marks, two small numbers, and which capabilities can stand for the same object |
//! | 1 | object: its address, or the number that says which one |
//! | 2 | data, which a copy takes along: badge, guard, size, VMID and generation |
//! | 3, 4 | what only this slot knows: where it is mapped, how much of it was given out |
//! | 5, 6 | neighbours in the derivation list |
//! | 7 | the number of the beginning of its badge |
//!
//! Most questions are answered from the first words alone, so the invocations that have to be fast never build a [`Cap`] of them: copying
//! one about costs more than all the rest of a Copy.

use crate::cap::{Cap, FrameSize, Mapping, Remains, cnode_size};
use crate::layout;
use crate::memory::PAGE;
use crate::rights::Rights;

/// The words of a slot by name.
pub(crate) const OBJECT: u64 = 1;
pub(crate) const DATA: u64 = 2;
pub(crate) const FREE: u64 = 3;
pub(crate) const CLEAN: u64 = 4;
pub(crate) const IPA: u64 = 3;
pub(crate) const WHO: u64 = 4;
pub(crate) const PERIOD: u64 = 3;
pub(crate) const LENT: u64 = 3;
pub(crate) const NEXT_GRAVE: u64 = 3;
pub(crate) const PREVIOUS: u64 = 5;
pub(crate) const NEXT: u64 = 6;
pub(crate) const ORIGIN: u64 = 7;

/// The numbers of the kinds.
pub(crate) mod kind {
    /// An empty slot.
    pub const NULL: u8 = 0;
    pub const UNTYPED: u8 = 1;
    pub const CNODE: u8 = 2;
    pub const ENDPOINT: u8 = 3;
    pub const NOTIFICATION: u8 = 4;
    pub const REPLY: u8 = 5;
    pub const FRAME: u8 = 6;
    pub const PAGE_TABLE: u8 = 7;
    pub const SPACE: u8 = 8;
    pub const DOMAIN: u8 = 9;
    pub const IRQ: u8 = 10;
    pub const CORE: u8 = 11;
    pub const SCHED_CONTEXT: u8 = 12;
    pub const LEASE: u8 = 13;
    pub const GATE: u8 = 14;
    pub const SEAT: u8 = 15;
    pub const REMOTE_SEAT: u8 = 16;
    pub const ZOMBIE: u8 = 17;
}

const RIGHTS: u64 = 0xf << 8;
const REVOCABLE: u64 = 1 << 16;
const FIRST_BADGED: u64 = 1 << 17;
const DEVICE: u64 = 1 << 18;
const MAPPED: u64 = 1 << 19;
const MARKS: u64 = REVOCABLE | FIRST_BADGED;
/// The second small number.
const MORE: u64 = 0xff << 32;
/// What [`Cap::identity`] begins with, 0 for none.
const IDENTITY: u64 = 0xff << 40;

/// A slot's first word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head(pub u64);

impl Head {
    pub(crate) const fn new(kind: u8, rights: Rights, small: u8, more: u8) -> Head {
        Head(kind as u64 | rights.word() << 8 | (small as u64) << 24 | (more as u64) << 32)
    }

    /// As one of an object that several slots can hold, of this class (see [`Cap::identity`]).
    #[inline(always)]
    pub(crate) const fn identified(self, class: u8) -> Head {
        Head(self.0 | (class as u64) << 40)
    }

    pub(crate) const fn device(self, device: bool) -> Head {
        if device { Head(self.0 | DEVICE) } else { self }
    }

    #[inline(always)]
    pub(crate) const fn kind(self) -> u8 {
        self.0 as u8
    }

    #[inline(always)]
    pub(crate) const fn is(self, kind: u8) -> bool {
        self.kind() == kind
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether it is of a kind with a badge.
    #[inline(always)]
    pub(crate) const fn has_badge(self) -> bool {
        self.is(kind::ENDPOINT) || self.is(kind::NOTIFICATION)
    }

    #[inline(always)]
    pub(crate) const fn rights(self) -> Rights {
        Rights::from_word(self.0 >> 8)
    }

    #[inline(always)]
    pub(crate) const fn with_rights(self, rights: Rights) -> Head {
        Head(self.0 & !RIGHTS | rights.word() << 8)
    }

    /// Radix of a CNode, level of a table, size of a frame, a peer, a seat.
    #[inline(always)]
    pub(crate) const fn small(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// With that where it was 0.
    pub(crate) const fn with_small(self, small: u8) -> Head {
        Head(self.0 | (small as u64) << 24)
    }

    /// Bits of a guard, number of a lease.
    #[inline(always)]
    pub(crate) const fn more(self) -> u8 {
        (self.0 >> 32) as u8
    }

    pub(crate) const fn with_more(self, more: u8) -> Head {
        Head(self.0 & !MORE | (more as u64) << 32)
    }

    pub(crate) const fn is_device(self) -> bool {
        self.0 & DEVICE != 0
    }

    #[inline(always)]
    pub(crate) const fn is_mapped(self) -> bool {
        self.0 & MAPPED != 0
    }

    /// As it is when it is mapped.
    #[inline(always)]
    pub(crate) const fn mapped(self) -> Head {
        Head(self.0 | MAPPED)
    }

    /// As a copy of it has it, which is mapped nowhere.
    #[inline(always)]
    pub(crate) const fn unmapped(self) -> Head {
        Head(self.0 & !MAPPED)
    }

    /// Whether it can have descendants.
    #[inline(always)]
    pub(crate) const fn is_revocable(self) -> bool {
        self.0 & REVOCABLE != 0
    }

    /// Whether it began its badge.
    #[inline(always)]
    pub(crate) const fn is_first_badged(self) -> bool {
        self.0 & FIRST_BADGED != 0
    }

    /// With other marks of its place in the tree.
    #[inline(always)]
    pub(crate) const fn marked(self, revocable: bool, first_badged: bool) -> Head {
        let first = if first_badged { FIRST_BADGED } else { 0 };
        let marks = if revocable { REVOCABLE | first } else { first };
        Head(self.0 & !MARKS | marks)
    }

    /// With the marks of another: what is there changes, not its place.
    #[inline(always)]
    pub(crate) const fn marked_as(self, other: Head) -> Head {
        Head(self.0 & !MARKS | other.0 & MARKS)
    }

    /// Whether several slots can hold the object, so that it ends with the last of them only.
    #[inline(always)]
    pub(crate) const fn has_identity(self) -> bool {
        self.0 & IDENTITY != 0
    }

    /// Whether it stands for the object that `other` stands for, if their object words agree.
    #[inline(always)]
    pub(crate) const fn same_identity(self, other: Head) -> bool {
        self.has_identity() && (self.0 ^ other.0) & IDENTITY == 0
    }

    /// Bytes of memory that it stands for, from its object word on; None if that is no address.
    pub(crate) const fn bytes(self, data: u64) -> Option<u64> {
        Some(match self.kind() {
            kind::UNTYPED | kind::LEASE => data,
            kind::CNODE => cnode_size(self.small()),
            kind::ENDPOINT => layout::ENDPOINT_SIZE,
            kind::NOTIFICATION => layout::NOTIFICATION_SIZE,
            kind::REPLY => layout::REPLY_SIZE,
            kind::FRAME => frame_size(self.small()).bytes(),
            kind::PAGE_TABLE | kind::SPACE | kind::DOMAIN => PAGE,
            kind::GATE | kind::SEAT => layout::GATE_SIZE,
            kind::ZOMBIE => match remains(self.small()) {
                Remains::CNode => cnode_size(self.more()),
                Remains::Endpoint => layout::ENDPOINT_SIZE,
                Remains::Notification => layout::NOTIFICATION_SIZE,
                Remains::Gate => layout::GATE_SIZE,
            },
            _ => return None,
        })
    }
}

pub(crate) const fn frame_size(small: u8) -> FrameSize {
    if small == 0 { FrameSize::Page } else { FrameSize::Block }
}

pub(crate) const fn remains(small: u8) -> Remains {
    match small {
        0 => Remains::CNode,
        1 => Remains::Endpoint,
        2 => Remains::Notification,
        _ => Remains::Gate,
    }
}

/// VMID and generation of a space in one word.
pub(crate) const fn who(vmid: u16, generation: u64) -> u64 {
    generation << 16 | vmid as u64
}

const fn place(head: Head, mapping: Option<Mapping>) -> (Head, u64, u64) {
    match mapping {
        Some(m) => (head.mapped(), m.ipa, who(m.vmid, m.generation)),
        None => (head, 0, 0),
    }
}

/// The first five words of a slot that holds `cap`; without marks. In its place: where the case is known little is left of it.
#[inline(always)]
pub(crate) fn encode(cap: &Cap) -> [u64; 5] {
    const NO: Rights = Rights::NONE;
    let plain = |kind| Head::new(kind, NO, 0, 0);
    let (head, [object, data, b, c]) = match *cap {
        Cap::Null => (Head(0), [0; 4]),
        Cap::Untyped { base, size, free, clean, device } => {
            (plain(kind::UNTYPED).device(device), [base, size, free, clean])
        }
        Cap::CNode { at, radix, guard, guard_bits } => {
            (Head::new(kind::CNODE, NO, radix, guard_bits), [at, guard, 0, 0])
        }
        Cap::Endpoint { at, badge, rights } => (Head::new(kind::ENDPOINT, rights, 0, 0), [at, badge, 0, 0]),
        Cap::Notification { at, badge, rights } => {
            (Head::new(kind::NOTIFICATION, rights, 0, 0), [at, badge, 0, 0])
        }
        Cap::Reply { at } => (plain(kind::REPLY), [at, 0, 0, 0]),
        Cap::Frame { base, size, device, rights, mapping } => {
            let head = Head::new(kind::FRAME, rights, size as u8, 0).device(device);
            let (head, ipa, who) = place(head, mapping);
            (head, [base, 0, ipa, who])
        }
        Cap::PageTable { at, level, mapping } => {
            let (head, ipa, who) = place(Head::new(kind::PAGE_TABLE, NO, level, 0), mapping);
            (head, [at, 0, ipa, who])
        }
        Cap::Space { at, vmid, generation } => (plain(kind::SPACE), [at, who(vmid, generation), 0, 0]),
        Cap::Domain { at } => (plain(kind::DOMAIN), [at, 0, 0, 0]),
        Cap::Irq { number } => (plain(kind::IRQ), [number as u64, 0, 0, 0]),
        Cap::Core { number } => (Head::new(kind::CORE, NO, number, 0), [number as u64, 0, 0, 0]),
        Cap::SchedContext { budget_us, period_us, domain } => {
            (plain(kind::SCHED_CONTEXT), [domain, budget_us, period_us, 0])
        }
        Cap::Lease { peer, index, what, base, size } => {
            (Head::new(kind::LEASE, NO, peer, index), [base, size, what.word(), 0])
        }
        Cap::Gate { at } => (plain(kind::GATE), [at, 0, 0, 0]),
        Cap::Seat { at, index } => (Head::new(kind::SEAT, NO, index, 0), [at, 0, 0, 0]),
        Cap::RemoteSeat { peer, index } => {
            (Head::new(kind::REMOTE_SEAT, NO, peer, index), [(peer as u64) << 8 | index as u64, 0, 0, 0])
        }
        Cap::Zombie { at, what, radix, left, next } => {
            (Head::new(kind::ZOMBIE, NO, what as u8, radix), [at, left, next, 0])
        }
    };
    let identity = cap.identity().map_or(0, |(class, _)| class);
    [head.0 | (identity as u64) << 40, object, data, b, c]
}
