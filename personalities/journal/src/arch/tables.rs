//! The kernel's own map (TTBR1): its image page by page with W^X and a guard under the stack, all else without execution.

use super::{BLOCK, OFFSET};
use abi::bootinfo::{BootInfo, CHANNEL_IPA, CPU_INTERFACE_IPA, MEMORY_IPA, MODULE_IPA};
use journal::page::PAGE;

const VALID: u64 = 1;
const TABLE: u64 = 0b11;
const DEVICE: u64 = 1 << 2;
const READ_ONLY: u64 = 1 << 7;
const INNER: u64 = 0b11 << 8;
const ACCESSED: u64 = 1 << 10;
const NO_EXECUTE_EL1: u64 = 1 << 53;
const NO_EXECUTE_EL0: u64 = 1 << 54;
const DATA: u64 = INNER | ACCESSED | NO_EXECUTE_EL1 | NO_EXECUTE_EL0;
const CONSTANT: u64 = DATA | READ_ONLY;
const TEXT: u64 = INNER | ACCESSED | NO_EXECUTE_EL0 | READ_ONLY;

unsafe extern "C" {
    safe static __text_end: u8;
    safe static __rodata_end: u8;
    safe static __guard: u8;
    safe static __image_end: u8;
    fn journal_switch(table: u64);
}

struct Maker {
    root: u64,
    next: u64,
    end: u64,
}

impl Maker {
    fn page(&mut self) -> u64 {
        assert!(self.next < self.end, "no room for the kernel's tables");
        let page = self.next;
        self.next += PAGE;
        page
    }

    fn slot(table: u64, index: u64) -> *mut u64 {
        (table + OFFSET + index % 512 * 8) as *mut u64
    }

    /// The table below entry `index`.
    fn below(&mut self, table: u64, index: u64) -> u64 {
        let slot = Maker::slot(table, index);
        // SAFETY: (1) tables lie in the range given to `install`, which the boot tables map; (2) nobody else uses them yet.
        let word = unsafe { slot.read_volatile() };
        if word & VALID != 0 {
            return word & 0x0000_ffff_ffff_f000;
        }
        let fresh = self.page();
        // SAFETY: as above; EL2 handed the page over zeroed.
        unsafe { slot.write_volatile(fresh | TABLE) };
        fresh
    }

    fn block(&mut self, ipa: u64, attributes: u64) {
        let middle = self.below(self.root, ipa >> 30);
        // SAFETY: as in `below`.
        unsafe { Maker::slot(middle, ipa >> 21).write_volatile(ipa | attributes | VALID) };
    }

    fn leaf(&mut self, ipa: u64, attributes: u64) {
        let middle = self.below(self.root, ipa >> 30);
        let low = self.below(middle, ipa >> 21);
        // SAFETY: as in `below`.
        unsafe { Maker::slot(low, ipa >> 12).write_volatile(ipa | attributes | TABLE) };
    }

    fn blocks(&mut self, from: u64, to: u64, attributes: u64) {
        (from..to).step_by(BLOCK as usize).for_each(|at| self.block(at, attributes));
    }
}

fn physical(symbol: &u8) -> u64 {
    (symbol as *const u8 as u64).wrapping_sub(OFFSET)
}

/// Makes the tables in `from..to` and switches to them.
///
/// # Safety
/// 1. The range is ours, zeroed, mapped by the boot tables, and nobody else's. 2. The kernel runs on the boot tables.
pub unsafe fn install(boot: &BootInfo, from: u64, to: u64) {
    let mut maker = Maker { root: from, next: from + PAGE, end: to };
    maker.leaf(CPU_INTERFACE_IPA, DEVICE | DATA);
    maker.leaf(CPU_INTERFACE_IPA + PAGE, DEVICE | DATA);
    maker.block(abi::bootinfo::BOOTINFO_IPA, DATA);
    maker.blocks(CHANNEL_IPA, MEMORY_IPA, DATA);
    let (text, constants) = (physical(&__text_end), physical(&__rodata_end));
    let (guard, image) = (physical(&__guard), physical(&__image_end));
    for page in (MEMORY_IPA..image.next_multiple_of(BLOCK)).step_by(PAGE as usize) {
        match page {
            p if p < text => maker.leaf(p, TEXT),
            p if p < constants => maker.leaf(p, CONSTANT),
            p if p == guard => {}
            p => maker.leaf(p, DATA),
        }
    }
    maker.blocks(image.next_multiple_of(BLOCK), MEMORY_IPA + boot.memory_size, DATA);
    let modules = boot.modules.iter().map(|m| m.ipa + m.size).max().unwrap_or(0);
    maker.blocks(MODULE_IPA, modules.max(MODULE_IPA), CONSTANT);
    // SAFETY: (1) the new tables map the running image where the old ones do; (2) the switch is carried out from the lower half's map.
    unsafe { journal_switch(maker.root) };
}
