//! Spaces, tables and mappings: stage 2 with 39-bit intermediate addresses and three levels. The descriptors lie in memory that was
//! retyped, so a dump of the tables can be held against the capabilities.

use crate::cap::{Cap, FrameSize, Mapping};
use crate::error::{Error, ErrorKind};
use crate::faults::Fault;
use crate::memory::{Memory, PAGE, SLOT, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, Head, kind};

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

/// The level of a frame's descriptor.
const fn leaf_level(size: FrameSize) -> u8 {
    match size {
        FrameSize::Page => 3,
        FrameSize::Block => 2,
    }
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

    /// The root table of the space that a mapping means, if it still is that one.
    pub fn live(&self, mapping: Mapping) -> Option<u64> {
        let entry = self.tables.vmid(mapping.vmid);
        let root = self.word(entry, 0);
        (root != 0 && self.word(entry, 1) == mapping.generation).then_some(root)
    }

    /// Address of the descriptor for `ipa` at `level`, if the tables above are there.
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
    pub(crate) fn decode_map(&self, caller: u64, slot: Slot, args: [u64; 3]) -> Result<Plan, Error> {
        let [space, ipa, how] = args;
        let (level, old) = match self.cap(slot) {
            Cap::Frame { size, mapping, .. } => (leaf_level(size), mapping),
            // A table is entered in the level above its own.
            Cap::PageTable { level, mapping, .. } => (level - 1, mapping),
            _ => return Err(ErrorKind::InvalidCapability.of(0)),
        };
        if old.is_some_and(|mapping| self.live(mapping).is_some()) {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        let Cap::Space { vmid, generation, .. } = self.lookup_cap(caller, space, 1)?.1 else {
            return Err(ErrorKind::InvalidCapability.of(1));
        };
        if ipa >> IPA_BITS != 0 {
            return Err(ErrorKind::RangeError.of(2));
        }
        if ipa & ((1 << shift(level)) - 1) != 0 {
            return Err(ErrorKind::AlignmentError.of(2));
        }
        let mapping = Mapping { vmid, generation, ipa };
        let root = self.live(mapping).ok_or(ErrorKind::InvalidCapability.of(1))?;
        let entry = self.descriptor_at(root, ipa, level).ok_or(ErrorKind::FailedLookup.of(2))?;
        if self.memory.read(entry) & VALID != 0 {
            return Err(ErrorKind::DeleteFirst.of(2));
        }
        Ok(Plan::Map { slot, entry, mapping, how })
    }

    pub(crate) fn map(&mut self, slot: Slot, entry: u64, mapping: Mapping, how: u64) {
        let mapping = Some(mapping);
        let (cap, descriptor) = match self.cap(slot) {
            Cap::Frame { base, size, device, rights, mapping: _ } => {
                let given = rights.and(Rights::from_word(how));
                let access = if given.has(Rights::READ) { READ } else { 0 }
                    | if given.has(Rights::WRITE) { WRITE } else { 0 };
                let memory = if device { DEVICE | XN } else { NORMAL };
                let fetch = if how & MAP_NO_EXECUTE != 0 { XN } else { 0 };
                let form = if size == FrameSize::Page { TABLE } else { VALID };
                (
                    Cap::Frame { base, size, device, rights, mapping },
                    base | access | memory | fetch | COMMON | form,
                )
            }
            Cap::PageTable { at, level, mapping: old } => {
                if old.is_some() {
                    // Its space went; what it still holds must not come back with it.
                    self.memory.scrub(at);
                }
                (Cap::PageTable { at, level, mapping }, at | TABLE)
            }
            _ => return,
        };
        self.set_cap(slot, cap);
        self.memory.write(entry, descriptor);
    }

    pub(crate) fn decode_unmap(&self, slot: Slot) -> Result<Plan, Error> {
        match self.cap(slot) {
            Cap::Frame { .. } | Cap::PageTable { .. } => Ok(Plan::Unmap(slot)),
            _ => Err(ErrorKind::InvalidCapability.of(0)),
        }
    }

    /// Takes a frame or table out of its space, if it is in one and the space still is. A table is scrubbed: what is mapped
    /// through it is mapped no more, and finds that out by looking.
    pub(crate) fn unmap(&mut self, slot: Slot) {
        let cap = self.cap(slot);
        let (address, level, mapping) = match cap {
            Cap::Frame { base, size, mapping, .. } => (base, leaf_level(size), mapping),
            Cap::PageTable { at, level, mapping } => (at, level - 1, mapping),
            _ => return,
        };
        let Some(mapping) = mapping else { return };
        if let Some(entry) = self.live(mapping).and_then(|root| self.descriptor_at(root, mapping.ipa, level))
        {
            let word = self.memory.read(entry);
            if word & VALID != 0 && word & DESCRIPTOR_ADDRESS == address {
                self.memory.write(entry, 0);
                let ipa = matches!(cap, Cap::Frame { .. }).then_some(mapping.ipa);
                if !self.seeded(Fault::UnmapForgetsTlb) {
                    self.memory.forget(mapping.vmid, ipa);
                }
            }
        }
        let unmapped = match cap {
            Cap::Frame { base, size, device, rights, .. } => {
                Cap::Frame { base, size, device, rights, mapping: None }
            }
            Cap::PageTable { at, level, .. } => {
                self.memory.scrub(at);
                Cap::PageTable { at, level, mapping: None }
            }
            cap => cap,
        };
        self.set_cap(slot, unmapped);
    }
}

// A table is a page of 512 descriptors, and a slot holds a mapping beside a capability.
const _: () = assert!(PAGE == 512 * 8 && SLOT == 8 * 8);
