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

impl<'a> Layout<'a> {
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
        let what = (root::MEMORY + self.index, kind::FRAME);
        n.is_multiple_of(BATCH)
            .then(|| retype(what.0, what.1, size, KEPT + self.index, slot, left.min(BATCH)))
    }

    /// All for a block that is used in one way; those like it that follow are made at once.
    fn whole(self, block: u64) -> impl Iterator<Item = Step> + use<> {
        let before = (0..block).rev().take_while(|&b| self.is_whole(b)).count() as u64;
        let left = (block..self.blocks()).take_while(|&b| self.is_whole(b)).count() as u64;
        let slot = 1 + block;
        [self.frames(1, slot, before, left), self.map(slot, MEMORY_IPA + block * BLOCK)].into_iter().flatten()
    }

    /// All for a block of pages.
    fn pages(self, block: u64) -> impl Iterator<Item = Step> + use<'a> {
        let (ipa, table) = (MEMORY_IPA + block * BLOCK, self.divided(block));
        let page = move |n: u64| {
            let slot = table + 1 + n;
            [self.frames(0, slot, n, PAGES - n), self.map(slot, ipa + n * PAGE)]
        };
        self.table(table, ipa, 3).into_iter().chain((0..PAGES).flat_map(page).flatten())
    }

    /// All.
    pub(crate) fn steps(self) -> impl Iterator<Item = Step> + use<'a> {
        let block = move |b| {
            let whole = self.is_whole(b);
            let (one, many) = (whole.then(|| self.whole(b)), (!whole).then(|| self.pages(b)));
            one.into_iter().flatten().chain(many.into_iter().flatten())
        };
        self.table(0, MEMORY_IPA, 2).into_iter().chain((0..self.blocks()).flat_map(block))
    }
}
