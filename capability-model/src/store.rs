//! One core's capability store: what the microkernel instance of that core knows that does not lie in retyped memory.

use crate::cap::Cap;
use crate::layout::{CORES_MAX, LEASES_MAX, Tables, VMIDS_MAX};
use crate::memory::{Memory, Slot};
use crate::words::{self, Head, kind};

/// All time of a core, in shares.
pub const UTILISATION_ONE: u64 = 1 << 20;
/// Single steps (a slot emptied, a waiter woken, a child deleted) in one entry.
pub const STEPS_PER_ENTRY: u32 = 32;
/// Pages scrubbed in one entry.
pub const SCRUBS_PER_ENTRY: u32 = 8;
/// Objects made by one Retype.
pub const RETYPE_MAX: u64 = 64;
/// Reads and writes of memory in one entry, at most: the constant that `tests/bounds.rs` holds.
pub const ACCESSES_MAX: u64 = 6000;

/// The capability store of one core.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(C)] // Read from outside, see `read_from`.
pub struct Store<M> {
    /// Number of the core.
    pub(crate) core: u8,
    pub(crate) tables: Tables,
    /// What is being taken apart.
    pub(crate) reap: Graves,
    /// Shares given out.
    pub(crate) utilisation: u64,
    /// One bit for each VMID in use.
    pub(crate) vmids: [u64; VMIDS_MAX as usize / 64],
    /// A bit for each lease of each peer: exports in use, exports and imports with a message to send, imports with work to do.
    pub(crate) exported: Leases,
    pub(crate) exports_due: Leases,
    pub(crate) imports_due: Leases,
    pub(crate) imports_busy: Leases,
    pub(crate) endorsements_due: Leases,
    /// One bit for each peer: a request to send, an answer to send, a request to carry out.
    pub(crate) requests_due: u8,
    pub(crate) answers_due: u8,
    pub(crate) requests_busy: u8,
    /// Imports being revoked that wait for what was lent on; a return wakes them.
    pub(crate) imports_waiting: Leases,
    /// Beginnings of badges so far.
    pub(crate) origins: u64,
    /// Whether the acts of gates wait for a return.
    pub(crate) gates_parked: bool,
    /// The memory under it. Behind all else, so that what stands before lies alike whatever memory it is (`read_from`).
    pub memory: M,
    /// The fault seeded, if any.
    #[cfg(feature = "faults")]
    pub fault: Option<crate::faults::Fault>,
}

/// First and last grave of what is being taken apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(C)]
pub(crate) struct Graves {
    pub first: u64,
    pub last: u64,
}

impl<M: Memory> Store<M> {
    /// A store for core `core`, whose own tables are [`crate::layout::TABLES_SIZE`] zeroed bytes at `tables`.
    pub fn new(memory: M, core: u8, tables: u64) -> Store<M> {
        let mut vmids = [0; VMIDS_MAX as usize / 64];
        vmids[0] = 1;
        Store {
            memory,
            core: core % CORES_MAX,
            tables: Tables(tables),
            reap: Graves { first: 0, last: 0 },
            utilisation: 0,
            vmids,
            exported: 0,
            exports_due: 0,
            imports_due: 0,
            imports_busy: 0,
            endorsements_due: 0,
            imports_waiting: 0,
            requests_due: 0,
            answers_due: 0,
            requests_busy: 0,
            origins: 0,
            gates_parked: false,
            #[cfg(feature = "faults")]
            fault: None,
        }
    }

    /// Boot only: puts an original capability into an empty slot. Says whether the slot was empty.
    #[inline(always)]
    pub fn install(&mut self, slot: Slot, cap: Cap) -> bool {
        self.install_words(slot, words::encode(&cap))
    }

    /// The same with the capability's words.
    #[inline(never)]
    pub(crate) fn install_words(&mut self, slot: Slot, [head, object, data, b, c]: [u64; 5]) -> bool {
        if !self.is_empty(slot) {
            return false;
        }
        let Head(head) = Head(head).marked(true, true);
        self.write_slot(slot, [head, object, data, b, c, 0, 0, 0]);
        true
    }

    /// Boot only: what other cores lend is put below this CNode.
    pub fn receive_leases_in(&mut self, root: Slot) {
        let slot = Slot(self.tables.root());
        if self.head(root).is(kind::CNODE) && self.is_empty(slot) {
            self.insert(root, slot, self.altered(root));
        }
    }

    /// Shares of the core given out, of [`UTILISATION_ONE`].
    pub fn utilisation(&self) -> u64 {
        self.utilisation
    }

    /// Number of the core.
    pub fn core(&self) -> u8 {
        self.core
    }

    #[inline(always)]
    pub(crate) fn word(&self, object: u64, index: u64) -> u64 {
        // Objects lie in memory, whose addresses are far from the end of u64, and no index comes from outside.
        self.memory.read(object.wrapping_add(index.wrapping_mul(8)))
    }

    #[inline(always)]
    pub(crate) fn set_word(&mut self, object: u64, index: u64, word: u64) {
        self.memory.write(object.wrapping_add(index.wrapping_mul(8)), word);
    }

    /// A slot's first word.
    #[inline(always)]
    pub(crate) fn head(&self, slot: Slot) -> Head {
        Head(self.word(slot.0, 0))
    }

    /// A slot's object word.
    #[inline(always)]
    pub(crate) fn object(&self, slot: Slot) -> u64 {
        self.word(slot.0, words::OBJECT)
    }

    /// Whether a slot holds nothing: its first word says so.
    #[inline(always)]
    pub(crate) fn is_empty(&self, slot: Slot) -> bool {
        self.head(slot).is_empty()
    }

    /// Replaces the capability and keeps the place in the tree. Capabilities of a kind with rights stay what they are.
    #[inline(always)]
    pub(crate) fn set_cap(&mut self, slot: Slot, cap: Cap) {
        let [head, object, data, b, c] = words::encode(&cap);
        let Head(head) = Head(head).marked_as(self.head(slot));
        self.set_words(slot.0, 0, &[head, object, data, b, c]);
    }

    /// All eight words of a slot.
    #[inline(always)]
    pub(crate) fn write_slot(&mut self, slot: Slot, words: [u64; 8]) {
        // Word by word: a loop costs more than it says less.
        let [head, object, data, b, c, previous, next, origin] = words;
        self.set_word(slot.0, 0, head);
        self.set_word(slot.0, words::OBJECT, object);
        self.set_word(slot.0, words::DATA, data);
        self.set_word(slot.0, words::FREE, b);
        self.set_word(slot.0, words::CLEAN, c);
        self.set_word(slot.0, words::PREVIOUS, previous);
        self.set_word(slot.0, words::NEXT, next);
        self.set_word(slot.0, words::ORIGIN, origin);
    }

    /// The same, read.
    #[inline(always)]
    pub(crate) fn read_slot(&self, slot: Slot) -> [u64; 8] {
        let word = |i| self.word(slot.0, i);
        [word(0), word(1), word(2), word(3), word(4), word(5), word(6), word(7)]
    }

    #[inline(always)]
    pub(crate) fn clear_slot(&mut self, slot: Slot) {
        self.write_slot(slot, [0; 8]);
    }

    /// Words one after the other, from word `from` of an object on.
    pub(crate) fn set_words(&mut self, object: u64, from: u64, words: &[u64]) {
        for (i, word) in (from..).zip(words) {
            self.set_word(object, i, *word);
        }
    }
}

/// A set of leases: peer by peer, [`LEASES_MAX`] bits each.
pub(crate) type Leases = u128;

const _: () = assert!(CORES_MAX as u32 * LEASES_MAX as u32 == Leases::BITS && LEASES_MAX as u32 == u16::BITS);

/// The bits of one peer; an unknown one has none.
pub(crate) fn of_peer(set: Leases, peer: u8) -> u16 {
    set.checked_shr(peer as u32 * LEASES_MAX as u32).unwrap_or(0) as u16
}

/// Tests one bit of a peer's.
pub(crate) fn bit(set: Leases, peer: u8, index: u8) -> bool {
    index < LEASES_MAX && of_peer(set, peer) >> index & 1 == 1
}

/// Sets or clears one bit of a peer's.
#[inline(never)]
pub(crate) fn set_bit(set: &mut Leases, peer: u8, index: u8, to: bool) {
    if peer < CORES_MAX && index < LEASES_MAX {
        let place = peer as u32 * LEASES_MAX as u32 + index as u32;
        *set = *set & !(1 << place) | (to as Leases) << place;
    }
}
