//! Spaces, tables and mappings: stage 2 with 39-bit intermediate addresses and three levels. The descriptors lie in memory that was
//! retyped, so a dump of the tables can be held against the capabilities.

use crate::cap::{Cap, FrameSize};
use crate::error::{Error, ErrorKind};
use crate::faults::Fault;
use crate::memory::{Memory, PAGE, SLOT, Slot};
use crate::plan::Map;
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, Head, IPA, WHO, kind};

/// Intermediate physical addresses have so many bits.
pub const IPA_BITS: u32 = 39;
/// Address bits of a descriptor.
pub const DESCRIPTOR_ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const VALID: u64 = 1;
const TABLE: u64 = 0b11;
/// D8.5: MemAttr 5:2, S2AP 7:6, SH 9:8, AF 10, XN 54.
const NORMAL: u64 = 0b1111 << 2;
const DEVICE: u64 = 0b0001 << 2;
const READ: u64 = 1 << 6;
const WRITE: u64 = 1 << 7;
const COMMON: u64 = 0b11 << 8 | 1 << 10;
const XN: u64 = 1 << 54;

/// Bit of Map's third argument: instructions may not be fetched.
pub const MAP_NO_EXECUTE: u64 = 1 << 4;

/// Lowest address bit that a level's index has.
const fn shift(level: u8) -> u32 {
    12 + 9 * (3 - level as u32)
}

/// The level of the descriptor of a frame, or of a table, which is entered in the level above its own.
const fn entry_level(head: Head) -> u8 {
    let below = if head.is(kind::FRAME) { 3 } else { head.small() };
    let above = if head.is(kind::FRAME) { head.small() } else { 1 };
    below - above
}

/// What a descriptor gives: whether there is one, the address, the rights.
pub fn descriptor_rights(descriptor: u64) -> Rights {
    let read = if descriptor & READ != 0 { Rights::READ } else { Rights::NONE };
    let write = if descriptor & WRITE != 0 { Rights::WRITE } else { Rights::NONE };
    read.or(write)
}

impl<M: Memory> Store<M> {
    /// Gives the space at this address a VMID, of which Retype has checked that one is left; and says both words of it, as a slot has
    /// them.
    pub(crate) fn new_space(&mut self, at: u64) -> u64 {
        let free = self.vmids.iter_mut().zip(0u16..).find(|(set, _)| **set != u64::MAX);
        let vmid = free.map_or(0, |(set, i)| {
            let n = set.trailing_ones() as u16;
            *set |= 1 << n;
            i * 64 + n
        });
        let entry = self.tables.vmid(vmid);
        let generation = self.word(entry, 1);
        self.set_word(entry, 0, at);
        words::who(vmid, generation)
    }

    /// Boot only: a space whose root table is the page at `at`, put into an empty slot. False if none could be made.
    pub fn install_space(&mut self, slot: Slot, at: u64) -> bool {
        let who = self.new_space(at);
        let (vmid, generation) = (who as u16, who >> 16);
        vmid != 0 && self.install(slot, Cap::Space { at, vmid, generation })
    }

    /// Root table and VMID of a domain's space.
    #[inline(always)]
    pub fn domain_space(&self, at: u64) -> Option<(u64, u64)> {
        let slot = at.wrapping_add(crate::layout::domain::SPACE);
        let head = Head(self.word(slot, 0));
        head.is(kind::SPACE).then(|| (self.word(slot, words::OBJECT), self.word(slot, words::DATA) & 0xffff))
    }

    /// Where `ipa` leads in the space with this root table, and whether it may be written: the descriptor's own answer, as the
    /// hardware would read it.
    pub fn translate(&self, root: u64, ipa: u64) -> Option<(u64, Rights)> {
        if ipa >> IPA_BITS != 0 {
            return None;
        }
        let mut table = root;
        for level in 1..=3 {
            let word = self.memory.read(table + (ipa >> shift(level) & 511) * 8);
            match (level, word & TABLE) {
                (1 | 2, TABLE) => table = word & DESCRIPTOR_ADDRESS,
                (2, VALID) | (3, TABLE) if word & NORMAL == NORMAL => {
                    let offset = ipa & ((1 << shift(level)) - 1);
                    return Some((
                        (word & DESCRIPTOR_ADDRESS & !((1 << shift(level)) - 1)) | offset,
                        descriptor_rights(word),
                    ));
                }
                _ => return None,
            }
        }
        None
    }

    pub(crate) fn end_space(&mut self, vmid: u16) {
        let entry = self.tables.vmid(vmid);
        self.set_word(entry, 0, 0);
        if !self.seeded(Fault::SpaceKeepsGeneration) {
            let generation = self.word(entry, 1);
            // 48 bits lie in a mapping; a space made each microsecond would need nine years to come round.
            self.set_word(entry, 1, (generation + 1) & ((1 << 48) - 1));
        }
        if let Some(set) = self.vmids.get_mut(vmid as usize / 64) {
            *set &= !(1 << (vmid % 64));
        }
        self.memory.forget(vmid, None);
    }

    /// The root table of the space of this VMID and generation, if it still is that one.
    #[inline(always)]
    pub(crate) fn live_root(&self, who: u64) -> Option<u64> {
        let entry = self.tables.vmid(who as u16);
        let root = self.word(entry, 0);
        (root != 0 && self.word(entry, 1) == who >> 16).then_some(root)
    }

    /// Address of the descriptor for `ipa` at `level`, if the tables above are there.
    #[inline(always)]
    fn descriptor_at(&self, root: u64, ipa: u64, level: u8) -> Option<u64> {
        let mut table = root;
        for current in 1..=3 {
            let entry = table + (ipa >> shift(current) & 511) * 8;
            if current >= level {
                return Some(entry);
            }
            match self.memory.read(entry) {
                word if word & TABLE == TABLE => table = word & DESCRIPTOR_ADDRESS,
                _ => return None,
            }
        }
        None
    }

    /// Map: space, address, and for a frame rights (with [`MAP_NO_EXECUTE`]).
    #[inline(always)]
    pub(crate) fn decode_map(&self, caller: u64, slot: Slot, args: [u64; 3]) -> Result<Map, Error> {
        let [space, ipa, how] = args;
        let head = self.head(slot);
        if head.is_mapped() && self.live_root(self.word(slot.0, WHO)).is_some() {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        let space = self.lookup_full(caller, space, 1)?;
        if !self.head(space).is(kind::SPACE) {
            return Err(ErrorKind::InvalidCapability.of(1));
        }
        let (who, level) = (self.word(space.0, words::DATA), entry_level(head));
        if ipa >> IPA_BITS != 0 {
            return Err(ErrorKind::RangeError.of(2));
        }
        if ipa & ((1 << shift(level)) - 1) != 0 {
            return Err(ErrorKind::AlignmentError.of(2));
        }
        let root = self.live_root(who).ok_or(ErrorKind::InvalidCapability.of(1))?;
        let entry = self.descriptor_at(root, ipa, level).ok_or(ErrorKind::FailedLookup.of(2))?;
        if self.memory.read(entry) & VALID != 0 {
            return Err(ErrorKind::DeleteFirst.of(2));
        }
        Ok(Map { entry, ipa, who, how })
    }

    /// Maps the frame or table in `slot`, whose head is `head`.
    #[inline(always)]
    pub(crate) fn map(&mut self, slot: Slot, head: Head, map: Map) {
        let Map { entry, ipa, who, how } = map;
        let at = self.word(slot.0, words::OBJECT);
        let descriptor = if head.is(kind::FRAME) {
            let given = head.rights().and(Rights::from_word(how));
            let access = if given.has(Rights::READ) { READ } else { 0 }
                | if given.has(Rights::WRITE) { WRITE } else { 0 };
            let memory = if head.is_device() { DEVICE | XN } else { NORMAL };
            let fetch = if how & MAP_NO_EXECUTE != 0 { XN } else { 0 };
            let form = if head.small() == FrameSize::Page as u8 { TABLE } else { VALID };
            at | access | memory | fetch | COMMON | form
        } else {
            if head.is_mapped() {
                // Its space went; what it still holds must not come back with it.
                self.memory.scrub(at);
            }
            at | TABLE
        };
        self.set_word(slot.0, 0, head.mapped().0);
        self.set_word(slot.0, IPA, ipa);
        self.set_word(slot.0, WHO, who);
        self.memory.write(entry, descriptor);
        self.memory.publish();
    }

    /// Takes a frame or table out of its space, if it is in one and the space still is. A table is scrubbed: what is mapped
    /// through it is mapped no more, and finds that out by looking.
    pub(crate) fn unmap(&mut self, slot: Slot) {
        let head = self.head(slot);
        if !head.is_mapped() {
            return;
        }
        let (at, ipa, who) =
            (self.word(slot.0, words::OBJECT), self.word(slot.0, IPA), self.word(slot.0, WHO));
        let frame = head.is(kind::FRAME);
        let root = self.live_root(who);
        if let Some(entry) = root.and_then(|root| self.descriptor_at(root, ipa, entry_level(head))) {
            let word = self.memory.read(entry);
            if word & VALID != 0 && word & DESCRIPTOR_ADDRESS == at {
                self.memory.write(entry, 0);
                if !self.seeded(Fault::UnmapForgetsTlb) {
                    self.memory.forget(who as u16, frame.then_some(ipa));
                }
            }
        }
        if !frame {
            self.memory.scrub(at);
        }
        self.set_word(slot.0, 0, head.unmapped().0);
        self.set_word(slot.0, IPA, 0);
        self.set_word(slot.0, WHO, 0);
    }
}

// A table is a page of 512 descriptors, and a slot holds a mapping beside a capability.
const _: () = assert!(PAGE == 512 * 8 && SLOT == 8 * 8);
