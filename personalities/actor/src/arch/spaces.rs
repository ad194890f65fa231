//! Translation tables of programs: a cache of what the memory server granted. A space's tables may be thrown away at any time; the next fault
//! brings back what is needed. So each space is bounded to [`TABLES_MAX`] tables, however widely its pages are strewn.

use super::mmu::{ACCESSED, ADDRESS, EL0, INNER, NOT_GLOBAL, PXN, READ_ONLY, Table, UXN, VALID};
use actor::machine::{Rights, SpaceId};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use core::arch::asm;

/// Tables of a space, the first level included.
const TABLES_MAX: usize = 48;
const PAGE: u64 = 4096;
const ASID_AT: u32 = 48;
/// A flush of so many pages one by one is dearer than that of the whole space.
const PAGES_ONE_BY_ONE: u64 = 64;

struct Space {
    asid: u64,
    root: Box<Table>,
    /// By what they cover: level 2 by address / 1 GiB, level 3 (with the top bit) by address / 2 MiB.
    below: BTreeMap<u64, Box<Table>>,
}

const LAST_LEVEL: u64 = 1 << 63;

/// All spaces that have tables.
#[derive(Default)]
pub struct Spaces {
    spaces: BTreeMap<SpaceId, Space>,
    asids: BTreeMap<u64, SpaceId>,
}

fn empty() -> Box<Table> {
    Box::new(Table([0; 512]))
}

fn index(at: u64, level: u32) -> usize {
    (at >> (12 + 9 * (3 - level)) & 0x1ff) as usize
}

impl Space {
    /// The last table for `at`, made if it is missing.
    fn last(&mut self, at: u64) -> &mut Table {
        if self.below.len() + 3 > TABLES_MAX {
            self.clear();
        }
        let (gib, block) = (at >> 30, LAST_LEVEL | at >> 21);
        if !self.below.contains_key(&block) {
            let table = empty();
            let address = &raw const *table as u64;
            let middle = self.below.entry(gib).or_insert_with(empty);
            self.root.0[index(at, 1)] = &raw const **middle as u64 | VALID;
            middle.0[index(at, 2)] = address | VALID;
            self.below.insert(block, table);
        }
        self.below.entry(block).or_insert_with(empty)
    }

    fn clear(&mut self) {
        self.root.0.fill(0);
        flush_space(self.asid);
        self.below.clear();
    }
}

fn flush_space(asid: u64) {
    // SAFETY: throwing translations away changes what is slow, not what is right.
    unsafe {
        asm!("dsb ishst", "tlbi aside1, {}", "dsb ish", "isb", in(reg) asid << ASID_AT, options(nostack))
    };
}

fn flush_page(asid: u64, at: u64) {
    let operand = asid << ASID_AT | ((at / PAGE) & 0xfff_ffff_ffff);
    // SAFETY: as above.
    unsafe { asm!("dsb ishst", "tlbi vale1, {}", "dsb ish", "isb", in(reg) operand, options(nostack)) };
}

/// Makes what was written to a page visible to the instruction fetch.
fn publish_code(page: u64) {
    for line in (page..page + PAGE).step_by(64) {
        // SAFETY: cache maintenance of a page that the kernel maps.
        unsafe { asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", in(reg) line, options(nostack)) };
    }
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", "isb", options(nostack)) };
}

impl Spaces {
    fn get(&mut self, id: SpaceId) -> &mut Space {
        if !self.spaces.contains_key(&id) {
            // More spaces than processes there are not, so an ASID is free.
            let asid = (1..=u64::from(u16::MAX)).find(|a| !self.asids.contains_key(a)).unwrap_or(1);
            self.asids.insert(asid, id);
            self.spaces.insert(id, Space { asid, root: empty(), below: BTreeMap::new() });
        }
        self.spaces.entry(id).or_insert_with(|| Space { asid: 1, root: empty(), below: BTreeMap::new() })
    }

    /// What TTBR0 holds while a program of this space runs.
    pub fn tables(&mut self, id: SpaceId) -> u64 {
        let space = self.get(id);
        space.asid << ASID_AT | &raw const *space.root as u64
    }

    /// Caches a translation.
    pub fn map(&mut self, id: SpaceId, at: u64, page: u64, rights: Rights) {
        let at = at / PAGE * PAGE;
        let write = if rights.contains(Rights::WRITE) { 0 } else { READ_ONLY };
        let execute = if rights.contains(Rights::EXECUTE) { 0 } else { UXN };
        let entry = page | VALID | EL0 | INNER | ACCESSED | NOT_GLOBAL | PXN | write | execute;
        if execute == 0 {
            publish_code(page);
        }
        let space = self.get(id);
        let asid = space.asid;
        let slot = &mut space.last(at).0[index(at, 3)];
        if *slot != 0 && *slot != entry {
            // Break before make.
            *slot = 0;
            flush_page(asid, at);
        }
        *slot = entry;
        debug_assert!(entry & ADDRESS == page);
        // SAFETY: a barrier: the walk sees the entry.
        unsafe { asm!("dsb ishst", "isb", options(nostack)) };
    }

    /// Forgets the translations of a range.
    pub fn forget(&mut self, id: SpaceId, start: u64, end: u64) {
        let Some(space) = self.spaces.get_mut(&id) else { return };
        if (end - start) / PAGE > PAGES_ONE_BY_ONE {
            return space.clear();
        }
        for at in (start / PAGE * PAGE..end).step_by(PAGE as usize) {
            let block = LAST_LEVEL | at >> 21;
            if let Some(table) = space.below.get_mut(&block) {
                table.0[index(at, 3)] = 0;
                flush_page(space.asid, at);
            }
        }
    }

    /// Forgets a space.
    pub fn drop_space(&mut self, id: SpaceId) {
        if let Some(mut space) = self.spaces.remove(&id) {
            space.clear();
            self.asids.remove(&space.asid);
        }
    }
}
