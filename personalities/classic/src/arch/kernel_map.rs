//! The kernel's own tables: upper half, W^X, one granularity where rights differ (its image, by pages) and blocks elsewhere.

use super::descriptor as d;
use super::start::Table;
use super::{OFFSET, memory};
use abi::bootinfo::{BOOTINFO_IPA, CHANNEL_IPA, MEMORY_IPA, MODULE_IPA};
use core::arch::asm;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;
const GIGABYTE: u64 = 1 << 30;
/// Where EL2 shows the virtual GIC CPU interface, in whole blocks.
const DEVICE_BLOCK: u64 = 0x0800_0000;
/// Tables of pages for the image: it is far smaller than 8 MiB.
const IMAGE_BLOCKS: usize = 4;

/// All tables there are, in .bss: L1, L2 of the first two gigabytes, L3 of the image.
pub struct Tables {
    /// Shows nothing: the lower half while no program runs.
    pub empty: Table,
    l1: Table,
    l2: [Table; 2],
    l3: [Table; IMAGE_BLOCKS],
}

impl Tables {
    /// All zero: nothing mapped.
    pub const EMPTY: Tables = Tables {
        empty: Table([0; 512]),
        l1: Table([0; 512]),
        l2: [const { Table([0; 512]) }; 2],
        l3: [const { Table([0; 512]) }; IMAGE_BLOCKS],
    };
}

/// Bounds of the image's parts (IPAs), from the linker.
pub struct Bounds {
    /// Code ends here.
    pub text_end: u64,
    /// Constants end here.
    pub rodata_end: u64,
    /// The page below the stack.
    pub guard: u64,
}

const NORMAL: u64 = d::AF | d::SHARED | d::UXN;
const READ_ONLY_DATA: u64 = NORMAL | d::PXN | d::READ_ONLY;
const DATA: u64 = NORMAL | d::PXN;
const CODE: u64 = NORMAL | d::READ_ONLY;
const DEVICE: u64 = d::AF | d::DEVICE | d::PXN | d::UXN;

fn ipa_of(table: &Table) -> u64 {
    (core::ptr::from_ref(table) as u64).wrapping_sub(OFFSET)
}

fn fill(t: &mut Tables, bounds: &Bounds) {
    t.l1.0[0] = ipa_of(&t.l2[0]) | d::TABLE;
    t.l1.0[1] = ipa_of(&t.l2[1]) | d::TABLE;
    // Modules: stage 2 says where they end.
    for gigabyte in 2..4 {
        t.l1.0[gigabyte as usize] = (gigabyte * GIGABYTE) | READ_ONLY_DATA | d::BLOCK;
    }
    const { assert!(MODULE_IPA == 2 * GIGABYTE && MEMORY_IPA == GIGABYTE) };
    let low = &mut t.l2[0].0;
    low[(DEVICE_BLOCK / BLOCK) as usize] = DEVICE_BLOCK | DEVICE | d::BLOCK;
    low[(BOOTINFO_IPA / BLOCK) as usize] = BOOTINFO_IPA | READ_ONLY_DATA | d::BLOCK;
    // Channels: those that others write are read-only by stage 2.
    for (i, slot) in low.iter_mut().enumerate().skip((CHANNEL_IPA / BLOCK) as usize) {
        *slot = (i as u64 * BLOCK) | DATA | d::BLOCK;
    }
    for i in 0..512u64 {
        t.l2[1].0[i as usize] = (MEMORY_IPA + i * BLOCK) | DATA | d::BLOCK;
    }
    for (i, l3) in t.l3.iter_mut().enumerate() {
        let block = MEMORY_IPA + i as u64 * BLOCK;
        for (j, slot) in l3.0.iter_mut().enumerate() {
            let ipa = block + j as u64 * PAGE;
            let rights = match ipa {
                _ if ipa < bounds.text_end => CODE,
                _ if ipa < bounds.rodata_end => READ_ONLY_DATA,
                _ if ipa == bounds.guard => continue,
                _ => DATA,
            };
            *slot = ipa | rights | d::TABLE;
        }
        t.l2[1].0[i] = ipa_of(l3) | d::TABLE;
    }
}

/// Builds the tables and switches to them; the lower half shows nothing afterwards.
pub fn install() {
    let tables = memory::take_tables();
    let bounds = memory::image_bounds();
    fill(tables, &bounds);
    let (root, empty) = (ipa_of(&tables.l1), ipa_of(&tables.empty));
    // SAFETY: (1) the new tables map all that the kernel uses now (image, stack, boot page) at the same addresses; (2) the old ones map nothing
    // else with other attributes; (3) TTBR0 points at an empty table, and the kernel uses no low address.
    unsafe {
        asm!(
            "dsb ishst",
            "msr ttbr1_el1, {root}",
            "msr ttbr0_el1, {empty}",
            "isb",
            "tlbi vmalle1",
            "dsb nsh",
            "isb",
            root = in(reg) root,
            empty = in(reg) empty,
            options(nostack)
        );
    }
}
