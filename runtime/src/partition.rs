//! One partition's memory as the root task builds it: which frames and tables there are, where each is mapped with which rights, and in which slot
//! of the partition's CNode it is kept, as a list of invocations.
//!
//! A kernel has blocks of 2 MiB with all rights, as it sets its own at stage 1. A service has pages where its image is, W xor X by segment, and
//! blocks elsewhere; a gap between segments stays unmapped and catches strays. Frames lie in order in the partition's Untyped: EL2 copies the
//! image to where it belongs by that order, and looks whether it is there (`Restart`).

use abi::bootinfo::MEMORY_IPA;
use abi::bundle::{Entry, Kind, Segment};
use abi::capability::{kind, label, map, root};

pub(crate) const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
/// Pages of a block.
const PAGES: u64 = BLOCK / PAGE;
/// Objects of one Retype.
const BATCH: u64 = 64;
/// Bits of the CNode in which a core's agent, or the root task, has while it builds its own CSpace (slot 0) and the CNodes of partitions.
pub(crate) const ROOM_RADIX: u64 = 5;
/// Slots, on each core the same: plus a place in the manifest, the CNode with what a partition's memory became; memory for these and for tables.
pub(crate) const KEPT: u64 = root::FREE;
/// See [`KEPT`].
pub(crate) const TABLES: u64 = root::FREE + 16;

/// An invocation: of the capability at an address, with a label and eight arguments.
pub(crate) type Step = (u64, u64, [u64; 8]);

/// An invocation with fewer arguments; the others are zero.
pub(crate) fn step<const N: usize>(address: u64, label: u64, arguments: [u64; N]) -> Step {
    let mut all = [0; 8];
    all.iter_mut().zip(arguments).for_each(|(word, argument)| *word = argument);
    (address, label, all)
}

/// `count` objects out of the Untyped at `from` into slots from `slot` on of the CNode at `cnode`.
pub(crate) fn retype(from: u64, kind: u64, parameter: u64, cnode: u64, slot: u64, count: u64) -> Step {
    step(from, label::RETYPE, [kind, parameter, cnode, 0, 0, slot, count])
}

/// The memory of partition `index`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout<'a> {
    pub(crate) index: u64,
    /// Bytes, whole blocks.
    pub(crate) size: u64,
    pub(crate) image: Entry<'a>,
}

impl Layout<'_> {
    fn segments(&self) -> &[Segment] {
        self.image.segments.get(..self.image.segment_count).unwrap_or(&[])
    }

    /// The segment with the page at `ipa`, and how far in it that is.
    fn segment(&self, ipa: u64) -> Option<(&Segment, u64)> {
        let within = self.segments().iter().map(|s| (s, ipa.wrapping_sub(s.ipa)));
        within.into_iter().find(|(s, offset)| *offset < s.memory_size)
    }

    /// First address behind the image.
    fn image_end(&self) -> u64 {
        self.segments().last().map_or(MEMORY_IPA, |s| (s.ipa + s.memory_size).next_multiple_of(PAGE))
    }

    /// What a page at `ipa` may be used for: as its segment says; behind the image data; a gap between segments is nobody's.
    fn rights(&self, ipa: u64) -> Option<u64> {
        const EXECUTE: u64 = 1;
        const WRITE: u64 = 2;
        if self.image.kind == Kind::Kernel {
            return Some(map::READ | map::WRITE);
        }
        let flags = match self.segment(ipa) {
            Some((segment, _)) => segment.flags,
            None if ipa >= self.image_end() => WRITE,
            None => return None,
        };
        let write = if flags & WRITE != 0 { map::WRITE } else { 0 };
        let fetch = if flags & (EXECUTE | WRITE) == EXECUTE { 0 } else { map::NO_EXECUTE };
        Some(map::READ | write | fetch)
    }

    fn blocks(&self) -> u64 {
        self.size / BLOCK
    }

    /// Whether all of block `block` is used in one way.
    fn is_whole(&self, block: u64) -> bool {
        let ipa = MEMORY_IPA + block * BLOCK;
        match self.segment(ipa) {
            _ if self.image.kind == Kind::Kernel => true,
            Some((segment, offset)) => offset + BLOCK <= segment.memory_size,
            None => ipa >= self.image_end(),
        }
    }

    /// Blocks before `block` that are made of pages.
    fn divided_before(&self, block: u64) -> u64 {
        (0..block).filter(|&b| !self.is_whole(b)).count() as u64
    }

    /// Slots that are used: the table of level 2, each block's, and for each that is divided its table of level 3 and its pages.
    fn slots(&self) -> u64 {
        self.divided(self.blocks())
    }

    /// The first slot for what is in block `block`, if it is divided.
    fn divided(&self, block: u64) -> u64 {
        1 + self.blocks() + self.divided_before(block) * (PAGES + 1)
    }

    /// Bits of the CNode that keeps all.
    pub(crate) fn radix(&self) -> u64 {
        self.slots().next_power_of_two().ilog2().into()
    }

    /// Pages for tables.
    pub(crate) fn tables(&self) -> u64 {
        1 + self.divided_before(self.blocks())
    }

    /// Address of a slot of the partition's CNode, while the CSpace has room for it.
    fn kept(&self, slot: u64) -> u64 {
        (self.index + 1) << (64 - ROOM_RADIX) | slot
    }

    fn map(&self, slot: u64, ipa: u64) -> Option<Step> {
        let rights = self.rights(ipa)?;
        Some(step(self.kept(slot), label::MAP, [root::SPACES + self.index, ipa, rights]))
    }

    /// Two invocations for a table of level `level` in `slot`.
    fn table(&self, slot: u64, ipa: u64, level: u64) -> [Step; 2] {
        let made = retype(TABLES, kind::PAGE_TABLE, level, KEPT + self.index, slot, 1);
        [made, step(self.kept(slot), label::MAP, [root::SPACES + self.index, ipa, 0])]
    }

    /// Frames of `size` (0 pages, 1 blocks), if `n` of those that come one after the other is where a Retype begins; there are `left` from there on.
    fn frames(&self, size: u64, slot: u64, n: u64, left: u64) -> Option<Step> {
        let made =
            || retype(root::MEMORY + self.index, kind::FRAME, size, KEPT + self.index, slot, left.min(BATCH));
        n.is_multiple_of(BATCH).then(made)
    }

    /// Of a block that is used in one way: it is made, with those like it that follow, and mapped.
    fn whole(&self, block: u64, part: u64) -> Option<Step> {
        if part == 1 {
            return self.map(1 + block, MEMORY_IPA + block * BLOCK);
        }
        let before = (0..block).rev().take_while(|&b| self.is_whole(b)).count() as u64;
        let left = (block..self.blocks()).take_while(|&b| self.is_whole(b)).count() as u64;
        self.frames(1, 1 + block, before, left)
    }

    /// Of a block of pages: its table is made and mapped, then each page.
    fn pages(&self, block: u64, part: u64) -> Option<Step> {
        let (ipa, table) = (MEMORY_IPA + block * BLOCK, self.divided(block));
        let n = (part / 2).wrapping_sub(1);
        match part {
            0 | 1 => self.table(table, ipa, 3).get(part as usize).copied(),
            _ if part.is_multiple_of(2) => self.frames(0, table + 1 + n, n, PAGES - n),
            _ => self.map(table + 1 + n, ipa + n * PAGE),
        }
    }

    /// All.
    pub(crate) fn steps(&self) -> impl Iterator<Item = Step> {
        self.table(0, MEMORY_IPA, 2).into_iter().chain(Blocks { layout: self, block: 0, part: 0 })
    }
}

/// All but the table of level 2. Of its own, as nested iterators would be large: there is one for each core, on a service's stack.
struct Blocks<'a> {
    layout: &'a Layout<'a>,
    block: u64,
    part: u64,
}

impl Iterator for Blocks<'_> {
    type Item = Step;

    fn next(&mut self) -> Option<Step> {
        while self.block < self.layout.blocks() {
            let whole = self.layout.is_whole(self.block);
            let part = self.part;
            self.part += 1;
            if part == if whole { 2 } else { 2 + 2 * PAGES } {
                (self.block, self.part) = (self.block + 1, 0);
                continue;
            }
            let step =
                if whole { self.layout.whole(self.block, part) } else { self.layout.pages(self.block, part) };
            if step.is_some() {
                return step;
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use abi::bundle::SEGMENTS_MAX;
    use std::collections::{BTreeMap, BTreeSet};

    fn layout(kind: Kind, size: u64, parts: &[(u64, u64, u64, u64)]) -> Layout<'static> {
        let mut segments = [Segment::default(); SEGMENTS_MAX];
        for (segment, &(at, file_size, memory_size, flags)) in segments.iter_mut().zip(parts) {
            *segment = Segment { ipa: MEMORY_IPA + at, offset: 0, file_size, memory_size, flags };
        }
        let (entry, segment_count) = (MEMORY_IPA, parts.len());
        let image = Entry { name: "test", kind, entry, data: &[], offset: 0, segment_count, segments };
        Layout { index: 3, size, image }
    }

    /// Text, a gap of a page, constants, data with more zeros than fit the first blocks.
    fn service() -> Layout<'static> {
        let text = (0, 0x5_1234, 0x5_1234, 5);
        let constants = (0x5_3000, 0x800, 0x800, 4);
        layout(Kind::Service, 16 << 20, &[text, constants, (0x5_4000, 0x3000, 0x50_0000, 6)])
    }

    /// What the steps come to: by offset in the memory the bytes and the rights of what is mapped there. Each slot is filled before it is used
    /// and once, frames lie in the Untyped in the order of their addresses, and tables come before what is in them.
    fn carried_out(layout: Layout<'static>) -> BTreeMap<u64, (u64, u64)> {
        let (mut slots, mut tables) = (BTreeMap::new(), BTreeSet::new());
        let (mut used, mut mapped) = (0, BTreeMap::new());
        for (address, label, arguments) in layout.steps() {
            let [a, b, c, d, e, slot, count, _] = arguments;
            if label == label::RETYPE {
                assert_eq!((c, d, e), (KEPT + 3, 0, 0));
                assert!((1..=BATCH).contains(&count) && slot + count <= 1 << layout.radix());
                for slot in slot..slot + count {
                    let (size, table) = match (a, b) {
                        (kind::FRAME, 0) => (PAGE, false),
                        (kind::FRAME, 1) => (BLOCK, false),
                        (kind::PAGE_TABLE, 2) => (1 << 30, true),
                        (kind::PAGE_TABLE, 3) => (BLOCK, true),
                        other => panic!("{other:?}"),
                    };
                    assert_eq!(address, if table { TABLES } else { root::MEMORY + 3 });
                    let at = if table { u64::MAX } else { used };
                    used += if table { 0 } else { size };
                    assert_eq!(slots.insert(slot, (at, size)), None);
                }
                continue;
            }
            assert_eq!((label, address >> 59, a), (label::MAP, 4, root::SPACES + 3));
            let (at, size) = slots.get(&(address << 5 >> 5)).copied().expect("a slot that was filled");
            let offset = b - MEMORY_IPA;
            if at == u64::MAX {
                assert!(tables.insert((offset, size)));
                continue;
            }
            let above = if size == PAGE { (offset / BLOCK * BLOCK, BLOCK) } else { (0, 1 << 30) };
            assert!(at == offset && tables.contains(&above));
            assert_eq!(mapped.insert(offset, (size, c)), None);
        }
        assert_eq!(used, layout.size, "all of the memory is made into frames");
        assert!(tables.len() as u64 == layout.tables() && slots.len() as u64 <= 1 << layout.radix());
        mapped
    }

    #[test]
    fn a_list_is_small() {
        assert!(size_of_val(&service().steps()) < 300);
    }

    #[test]
    fn a_kernel_has_blocks_with_all_rights() {
        let kernel = layout(Kind::Kernel, 256 << 20, &[(0, 0x123_4567, 0x123_4567, 7)]);
        let mapped = carried_out(kernel);
        assert!(mapped.len() == 128 && mapped.values().all(|it| *it == (BLOCK, map::READ | map::WRITE)));
        assert_eq!(kernel.radix(), 8);
    }

    #[test]
    fn a_service_has_each_page_as_its_segment_says_and_gaps_unmapped() {
        const DATA: u64 = map::READ | map::WRITE | map::NO_EXECUTE;
        let mapped = carried_out(service());
        let rights = |offset| mapped.get(&offset).copied();
        assert_eq!([0, 0x5_1000].map(rights), [Some((PAGE, map::READ)); 2]);
        assert_eq!(rights(0x5_2000), None);
        assert_eq!(rights(0x5_3000), Some((PAGE, map::READ | map::NO_EXECUTE)));
        assert_eq!(rights(0x5_4000), Some((PAGE, DATA)));
        // Zeros of the data from block 1 on, then memory that is free.
        assert_eq!([BLOCK, 3 * BLOCK].map(rights), [Some((BLOCK, DATA)); 2]);
        let bytes: u64 = mapped.values().map(|(size, _)| size).sum();
        assert_eq!(bytes, (16 << 20) - PAGE);
        assert!(mapped.values().all(|(_, rights)| rights & map::WRITE == 0 || rights & map::NO_EXECUTE != 0));
    }

    #[test]
    fn a_block_in_which_the_image_ends_is_divided() {
        let mapped = carried_out(layout(Kind::Service, 4 << 20, &[(0, 5 << 19, 5 << 19, 5)]));
        assert_eq!(mapped.get(&0), Some(&(BLOCK, map::READ)));
        assert_eq!(mapped.get(&(5 << 19)), Some(&(PAGE, map::READ | map::WRITE | map::NO_EXECUTE)));
    }
}
