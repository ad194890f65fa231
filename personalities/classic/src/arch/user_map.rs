//! Programs' tables: three levels of frames, 39 bits, one ASID each.

use super::OFFSET;
use super::descriptor as d;
use super::memory::Frames;
use abi::layout::{PAGE, TASK_SIZE};
use classic::machine::{Frame, OutOfFrames, PAGE_BYTES, Rights, Shown, TableId};
use core::arch::asm;

/// ASIDs are 8 bits wide; 0 is nobody's.
const ASIDS: usize = 255;

/// One program's tables.
#[derive(Clone, Copy)]
struct Root {
    frame: Frame,
    /// An entry that was valid has changed since the last flush.
    stale: bool,
}

/// All programs' tables. Index + 1 is the ASID.
pub struct UserMaps {
    roots: [Option<Root>; ASIDS],
    zero: Frame,
    trampoline: Frame,
}

/// Bits of an address that index level 1, 2, 3.
fn index(address: u64, level: u32) -> usize {
    (address >> (39 - 9 * level) & 511) as usize
}

/// What an entry says.
fn target(entry: u64) -> Option<Frame> {
    (entry & 1 != 0).then(|| Frames::at(entry & d::ADDRESS))
}

impl UserMaps {
    /// No tables yet. `trampoline` is the code that returns from signal handlers.
    pub fn new(frames: &mut Frames, trampoline: &[u32]) -> Result<UserMaps, OutOfFrames> {
        let (zero, code) = (frames.alloc()?, frames.alloc()?);
        for (to, word) in frames.bytes_mut(code).chunks_exact_mut(4).zip(trampoline) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        clean_code(Frames::ipa(code) + OFFSET);
        Ok(UserMaps { roots: [None; ASIDS], zero, trampoline: code })
    }

    fn root(&mut self, id: TableId) -> Option<&mut Root> {
        self.roots.get_mut(id.0 as usize)?.as_mut()
    }

    /// What TTBR0 takes to show these tables.
    pub fn ttbr(&self, id: TableId) -> Option<u64> {
        let root = self.roots.get(id.0 as usize)?.as_ref()?;
        Some(Frames::ipa(root.frame) | (u64::from(id.0) + 1) << 48)
    }

    /// Makes empty tables.
    pub fn make(&mut self, frames: &mut Frames) -> Result<TableId, OutOfFrames> {
        let free = self.roots.iter().position(Option::is_none).ok_or(OutOfFrames)?;
        self.roots[free] = Some(Root { frame: frames.alloc()?, stale: false });
        Ok(TableId(free as u32))
    }

    /// Drops tables; no translation of theirs remains.
    pub fn drop(&mut self, frames: &mut Frames, id: TableId) {
        let Some(root) = self.roots.get_mut(id.0 as usize).and_then(Option::take) else { return };
        invalidate(id);
        for entry in *frames.table(root.frame) {
            let Some(l2) = target(entry) else { continue };
            for entry in *frames.table(l2) {
                if let Some(l3) = target(entry) {
                    frames.free(l3);
                }
            }
            frames.free(l2);
        }
        frames.free(root.frame);
    }

    /// Shows a page.
    pub fn map(
        &mut self,
        frames: &mut Frames,
        id: TableId,
        address: u64,
        shown: Shown,
        rights: Rights,
    ) -> Result<(), OutOfFrames> {
        let (ipa, may_write) = match shown {
            Shown::Zero => (Frames::ipa(self.zero), false),
            Shown::Trampoline => (Frames::ipa(self.trampoline), false),
            Shown::Frame(frame) => (Frames::ipa(frame), true),
            Shown::Image(bytes) => ((bytes.as_ptr() as u64).wrapping_sub(OFFSET), false),
        };
        let root = self.root(id).ok_or(OutOfFrames)?;
        if address >= TASK_SIZE || !ipa.is_multiple_of(PAGE) {
            return Err(OutOfFrames);
        }
        let mut table = root.frame;
        for level in 1..3 {
            let slot = index(address, level);
            table = match target(frames.table(table)[slot]) {
                Some(next) => next,
                None => {
                    let next = frames.alloc()?;
                    frames.table(table)[slot] = Frames::ipa(next) | d::TABLE;
                    next
                }
            };
        }
        let mut entry = ipa | d::TABLE | d::AF | d::SHARED | d::NOT_GLOBAL | d::PXN | d::USER;
        if !(may_write && rights.has(Rights::WRITE)) {
            entry |= d::READ_ONLY;
        }
        if rights.has(Rights::EXECUTE) {
            if may_write {
                clean_code(ipa + OFFSET);
            }
        } else {
            entry |= d::UXN;
        }
        let slot = index(address, 3);
        let old = frames.table(table)[slot];
        if old != entry {
            if old & 1 != 0 {
                // Break before make: the old entry must be gone from every cache before the new one can be seen.
                frames.table(table)[slot] = 0;
                invalidate_page(id, address);
            }
            frames.table(table)[slot] = entry;
        }
        Ok(())
    }

    /// Shows nothing at `start..end`; tables that become empty are given back.
    pub fn unmap(&mut self, frames: &mut Frames, id: TableId, start: u64, end: u64) {
        let Some(root) = self.root(id) else { return };
        let frame = root.frame;
        let mut at = start;
        let mut changed = false;
        while at < end {
            let Some(l2) = target(frames.table(frame)[index(at, 1)]) else {
                at = next(at, 30);
                continue;
            };
            let stop = end.min(next(at, 30));
            while at < stop {
                let in_block = stop.min(next(at, 21));
                if let Some(l3) = target(frames.table(l2)[index(at, 2)]) {
                    let table = frames.table(l3);
                    while at < in_block {
                        changed |= core::mem::take(&mut table[index(at, 3)]) != 0;
                        at += PAGE;
                    }
                    if table.iter().all(|&e| e == 0) {
                        frames.table(l2)[index(in_block - PAGE, 2)] = 0;
                        invalidate(id);
                        frames.free(l3);
                    }
                }
                at = in_block;
            }
            if frames.table(l2).iter().all(|&e| e == 0) {
                frames.table(frame)[index(stop - PAGE, 1)] = 0;
                invalidate(id);
                frames.free(l2);
            }
        }
        if let Some(root) = self.root(id) {
            root.stale |= changed;
        }
    }

    /// After a batch of changes.
    pub fn flush(&mut self, id: TableId, code: bool) {
        let stale = self.root(id).is_some_and(|r| core::mem::take(&mut r.stale));
        if stale {
            invalidate(id);
        }
        // SAFETY: barriers and instruction cache maintenance change no memory.
        unsafe {
            asm!("dsb ish", options(nostack));
            if code {
                asm!("ic ialluis", "dsb ish", options(nostack));
            }
            asm!("isb", options(nostack));
        }
    }
}

/// The next multiple of 2^`bits` above `at`.
fn next(at: u64, bits: u32) -> u64 {
    ((at >> bits) + 1) << bits
}

fn invalidate(id: TableId) {
    let asid = (u64::from(id.0) + 1) << 48;
    // SAFETY: drops cached translations of one ASID; nothing else.
    unsafe { asm!("dsb ishst", "tlbi aside1is, {}", "dsb ish", "isb", in(reg) asid, options(nostack)) }
}

fn invalidate_page(id: TableId, address: u64) {
    let operand = (u64::from(id.0) + 1) << 48 | address >> 12;
    // SAFETY: drops one cached translation of one ASID; nothing else.
    unsafe { asm!("dsb ishst", "tlbi vae1is, {}", "dsb ish", "isb", in(reg) operand, options(nostack)) }
}

/// Cleans a page to the point where instructions are fetched from; `flush` drops what the instruction cache holds.
fn clean_code(virtual_address: u64) {
    for line in (0..PAGE_BYTES as u64).step_by(16) {
        // SAFETY: cleaning changes no data; the address is a frame's, mapped.
        unsafe { asm!("dc cvau, {}", in(reg) virtual_address + line, options(nostack)) }
    }
}
