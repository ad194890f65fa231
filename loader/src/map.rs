//! The loader's own view: identity up to 4 GiB, RAM cacheable, everything else device; 2 MiB blocks, of which only those of EL2's image may be
//! executed. It serves until the microkernel has its own (`stage1.rs` there).

use abi::manifest::Range;
use core::sync::atomic::{AtomicU64, Ordering};

const BLOCK: u64 = 2 << 20;
const VALID: u64 = 1;
const TABLE: u64 = 0b11;
/// AttrIndx 1 (normal), SH inner, AF, AP[1] RES1 (D8.3.1, single-range regime).
const NORMAL: u64 = 1 << 2 | 0b11 << 8 | 1 << 10 | 1 << 6;
const DEVICE: u64 = 1 << 10 | 1 << 6;
const NEVER_EXECUTE: u64 = 1 << 54;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

/// The root, and a table a GiB.
static TABLES: [Table; 5] = [const { Table([const { AtomicU64::new(0) }; 512]) }; 5];

/// Builds the tables; returns the root.
pub fn build(memory: &[Range], image: &Range) -> u64 {
    let [root, tables @ ..] = &TABLES;
    for (gib, table) in (0u64..).zip(tables) {
        root.0[gib as usize].store(&raw const *table as u64 | TABLE, Ordering::Relaxed);
        for (i, word) in (0u64..).zip(&table.0) {
            let block = Range { base: (gib << 30) + i * BLOCK, size: BLOCK };
            let attributes = match memory.iter().any(|r| r.contains(&block)) {
                true if image.overlaps(&block) => NORMAL,
                true => NORMAL | NEVER_EXECUTE,
                false => DEVICE | NEVER_EXECUTE,
            };
            word.store(block.base | attributes | VALID, Ordering::Relaxed);
        }
    }
    &raw const *root as u64
}
