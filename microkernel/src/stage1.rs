//! EL2's own view: identity up to 4 GiB, RAM cacheable and never executable, everything else device, and of its own image text
//! RX, read-only data R, the rest RW. Built once with the MMU off; the same for all cores.

use crate::arch::{entry, registers};
use crate::tables::{self, Page};
use abi::manifest::Range;

const BLOCK: u64 = 2 << 20;
const VALID: u64 = 1;
const TABLE: u64 = 0b11;
/// AttrIndx 1 (normal), SH inner, AF, AP[1] RES1 (D8.3.1, single-range regime).
const NORMAL: u64 = 1 << 2 | 0b11 << 8 | 1 << 10 | 1 << 6;
const DEVICE: u64 = 1 << 10 | 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const NEVER_EXECUTE: u64 = 1 << 54;

fn block_attributes(base: u64, memory: &[Range]) -> u64 {
    let block = Range { base, size: BLOCK };
    if memory.iter().any(|r| r.contains(&block)) { NORMAL | NEVER_EXECUTE } else { DEVICE | NEVER_EXECUTE }
}

/// One 2 MiB block of the image, page by page. Guard pages stay without a mapping.
fn image_table(base: u64) -> Option<&'static Page> {
    let [start, text_end, rodata_end, _] = entry::image();
    let table = tables::allocate()?;
    for i in 0..512 {
        let page = base + i as u64 * 4096;
        let rights = match page {
            p if p >= start && p < text_end => READ_ONLY,
            p if p >= text_end && p < rodata_end => READ_ONLY | NEVER_EXECUTE,
            _ => NEVER_EXECUTE,
        };
        table.set(i, if entry::is_guard(page) { 0 } else { page | NORMAL | rights | TABLE });
    }
    Some(table)
}

/// The table that a word of `table` leads to.
fn below(table: &Page, index: u64) -> Option<&'static Page> {
    tables::at(table.get(index as usize & 511) & !0xfff & ((1 << 48) - 1))
}

/// All cores run: what only the start needs is mapped no more.
pub fn forget_start(root: u64) {
    for page in entry::start_pages() {
        let table = tables::at(root).and_then(|t| below(t, page >> 30)).and_then(|t| below(t, page >> 21));
        if let Some(table) = table {
            table.set((page >> 12) as usize & 511, 0);
        }
    }
    registers::forget_own();
}

/// Builds the tables; returns the root.
pub fn build(memory: &[Range]) -> Option<u64> {
    let [start, .., end] = entry::image();
    let image = Range { base: start & !(BLOCK - 1), size: end - (start & !(BLOCK - 1)) };
    let root = tables::allocate()?;
    for gib in 0..4 {
        let table = tables::allocate()?;
        root.set(gib, table.address() | TABLE);
        for i in 0..512 {
            let base = (gib as u64) << 30 | (i as u64 * BLOCK);
            let word = if image.overlaps(&Range { base, size: BLOCK }) {
                image_table(base)?.address() | TABLE
            } else {
                base | block_attributes(base, memory) | VALID
            };
            table.set(i, word);
        }
    }
    Some(root.address())
}
