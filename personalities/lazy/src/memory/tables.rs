//! Page tables of a space: a cache of what the mappings say, filled on fault, thrown away at will. Three levels, 39 bits, 4 KiB pages, and
//! 2 MiB blocks where the physical pages behind them allow.

use super::frames::Physical;
use crate::hw::{Frame, Hardware, PAGE};
use abi::layout::TASK_SIZE;

const VALID: u64 = 1;
const TABLE: u64 = 0b11;
/// AF, SH inner, attribute 0, EL0, not global, never executable for the kernel.
const LEAF: u64 = 1 << 10 | 0b11 << 8 | 1 << 6 | 1 << 11 | 1 << 53;
const READ_ONLY: u64 = 1 << 7;
const UXN: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;
const BLOCK: u64 = 2 << 20;

/// What EL0 may do with a page. Readable always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaf {
    /// It may write.
    pub write: bool,
    /// It may execute.
    pub execute: bool,
}

/// The tables of one space.
#[derive(Clone, Copy, Debug)]
pub struct Tables {
    /// The first level.
    pub root: Frame,
    /// Whose translations these are in the TLB.
    pub asid: u16,
}

fn index(address: u64, level: u32) -> usize {
    (address >> (39 - 9 * level) & 511) as usize
}

/// Told of a leaf: its table, index and entry.
type Visitor<'a, H> = &'a mut dyn FnMut(&mut Physical<H>, Frame, usize, u64);

/// No frame is left for a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoMemory;

impl Tables {
    /// Empty tables.
    pub fn new<H: Hardware>(p: &mut Physical<H>, asid: u16) -> Result<Tables, NoMemory> {
        let root = p.allocate().ok_or(NoMemory)?;
        p.hw.invalidate_space(asid);
        Ok(Tables { root, asid })
    }

    fn next<H: Hardware>(p: &mut Physical<H>, table: Frame, at: usize) -> Result<Frame, NoMemory> {
        let entry = p.hw.entry(table, at);
        if entry & TABLE == TABLE {
            return Ok(Frame::at(entry & ADDRESS));
        }
        let new = p.allocate().ok_or(NoMemory)?;
        p.hw.set_entry(table, at, new.address() | TABLE);
        Ok(new)
    }

    /// The entry for `address` and where it stands, if the levels above are there: (table, index, entry, whether a block).
    fn walk<H: Hardware>(&self, p: &Physical<H>, address: u64) -> Option<(Frame, usize, u64, bool)> {
        let mut table = self.root;
        for level in 1..=3 {
            let at = index(address, level);
            let entry = p.hw.entry(table, at);
            match (level, entry & TABLE) {
                (3, _) => return Some((table, at, entry, false)),
                (_, TABLE) => table = Frame::at(entry & ADDRESS),
                (2, VALID) => return Some((table, at, entry, true)),
                _ => return None,
            }
        }
        None
    }

    /// The frame at `address` as the tables have it, if they allow the access.
    pub fn lookup<H: Hardware>(&self, p: &Physical<H>, address: u64, write: bool) -> Option<Frame> {
        let (_, _, entry, block) = self.walk(p, address)?;
        if entry & VALID == 0 || write && entry & READ_ONLY != 0 {
            return None;
        }
        let inside = if block { address & (BLOCK - 1) & !(PAGE as u64 - 1) } else { 0 };
        Some(Frame::at((entry & ADDRESS) + inside))
    }

    /// Maps the page at `address`, in place of what was there (break before make).
    pub fn map<H: Hardware>(
        &self,
        p: &mut Physical<H>,
        address: u64,
        frame: Frame,
        leaf: Leaf,
    ) -> Result<(), NoMemory> {
        debug_assert!(address < TASK_SIZE);
        self.split(p, address)?;
        let level2 = Self::next(p, self.root, index(address, 1))?;
        let level3 = Self::next(p, level2, index(address, 2))?;
        let at = index(address, 3);
        if p.hw.entry(level3, at) & VALID != 0 {
            p.hw.set_entry(level3, at, 0);
            p.hw.invalidate_page(self.asid, address);
        }
        p.hw.set_entry(level3, at, frame.address() | bits(leaf) | TABLE);
        Ok(())
    }

    /// Maps 2 MiB at once if nothing is mapped there and address and frame are aligned to it; whether it did.
    pub fn map_block<H: Hardware>(
        &self,
        p: &mut Physical<H>,
        address: u64,
        frame: Frame,
        leaf: Leaf,
    ) -> Result<bool, NoMemory> {
        if !(address | frame.address()).is_multiple_of(BLOCK) {
            return Ok(false);
        }
        let level2 = Self::next(p, self.root, index(address, 1))?;
        let at = index(address, 2);
        if p.hw.entry(level2, at) & VALID != 0 {
            return Ok(false);
        }
        p.hw.set_entry(level2, at, frame.address() | bits(leaf) | VALID);
        Ok(true)
    }

    /// A block that covers `address` is taken out: its pages come back by faults.
    fn split<H: Hardware>(&self, p: &mut Physical<H>, address: u64) -> Result<(), NoMemory> {
        if let Some((table, at, entry, true)) = self.walk(p, address)
            && entry & VALID != 0
        {
            p.hw.set_entry(table, at, 0);
            p.hw.invalidate_space(self.asid);
        }
        Ok(())
    }

    /// Forgets the pages in [start, end).
    pub fn unmap<H: Hardware>(&self, p: &mut Physical<H>, start: u64, end: u64) {
        self.each(p, start, end, &mut |p, table, at, _| p.hw.set_entry(table, at, 0));
    }

    /// Takes the right to write from all pages in [start, end).
    pub fn write_protect<H: Hardware>(&self, p: &mut Physical<H>, start: u64, end: u64) {
        self.each(p, start, end, &mut |p, table, at, entry| p.hw.set_entry(table, at, entry | READ_ONLY));
    }

    /// All valid leaves in [start, end); afterwards the TLB forgets. A range of calls may end anywhere: beyond TASK_SIZE is nothing, and the way is long.
    fn each<H: Hardware>(&self, p: &mut Physical<H>, start: u64, end: u64, f: Visitor<'_, H>) {
        let end = end.min(TASK_SIZE);
        let (mut at, mut count) = (start, 0);
        while at < end {
            match self.walk(p, at) {
                None => {
                    // Nothing below this entry of the first or second level.
                    let level1 = p.hw.entry(self.root, index(at, 1)) & TABLE != TABLE;
                    let step = if level1 { 1 << 30 } else { BLOCK };
                    at = (at | (step - 1)).saturating_add(1);
                    continue;
                }
                Some((table, i, entry, block)) => {
                    if entry & VALID != 0 {
                        f(p, table, i, entry);
                        count += 1;
                        if count <= 8 {
                            p.hw.invalidate_page(self.asid, at);
                        }
                    }
                    let step = if block { BLOCK } else { PAGE as u64 };
                    at = (at | (step - 1)).saturating_add(1);
                }
            }
        }
        if count > 8 {
            p.hw.invalidate_space(self.asid);
        }
    }

    /// Gives all tables but the root back.
    pub fn clear<H: Hardware>(&self, p: &mut Physical<H>) {
        for i in 0..512 {
            let entry = p.hw.entry(self.root, i);
            if entry & TABLE != TABLE {
                continue;
            }
            p.hw.set_entry(self.root, i, 0);
            let level2 = Frame::at(entry & ADDRESS);
            for k in 0..512 {
                let entry = p.hw.entry(level2, k);
                if entry & TABLE == TABLE {
                    p.release(Frame::at(entry & ADDRESS));
                }
            }
            p.release(level2);
        }
        p.hw.invalidate_space(self.asid);
    }

    /// Gives everything back.
    pub fn destroy<H: Hardware>(self, p: &mut Physical<H>) {
        self.clear(p);
        p.release(self.root);
    }
}

fn bits(leaf: Leaf) -> u64 {
    LEAF | if leaf.write { 0 } else { READ_ONLY } | if leaf.execute { 0 } else { UXN }
}
