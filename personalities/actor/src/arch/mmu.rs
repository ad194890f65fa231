//! The kernel's own translation tables: memory, channels and modules one to one, with the rights that each needs and a guard page below the stack;
//! and the upper half's two pages.

use abi::bootinfo::*;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Where the upper half begins: the vectors.
pub const UPPER: u64 = 0xffff_ff80_0000_0000;
/// The area where a program's registers are saved, in the upper half; the page between stays empty.
pub const SAVE_UPPER: u64 = UPPER + 2 * PAGE;

const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;

pub const VALID: u64 = 0b11;
const BLOCK_VALID: u64 = 0b01;
const DEVICE: u64 = 1 << 2;
pub const EL0: u64 = 1 << 6;
pub const READ_ONLY: u64 = 1 << 7;
pub const INNER: u64 = 0b11 << 8;
pub const ACCESSED: u64 = 1 << 10;
pub const NOT_GLOBAL: u64 = 1 << 11;
pub const PXN: u64 = 1 << 53;
pub const UXN: u64 = 1 << 54;
pub const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// Rights of kernel pages.
const DATA: u64 = PXN | UXN;
const CONSTANTS: u64 = READ_ONLY | PXN | UXN;
const CODE: u64 = READ_ONLY | UXN;

/// MAIR: attribute 0 normal write-back, 1 device nGnRE.
const MAIR: u64 = 0x04_ff;
/// 39 bits below and above, 4 KiB, write-back inner shareable walks, 40 bits of output, 16 bits of ASID.
const TCR: u64 = 25 | 25 << 16 | 0b10 << 30 | 0x35 << 8 | 0x35 << 24 | 0b010 << 32 | 1 << 36;
/// RES1, caches, MMU, stack alignment, cache maintenance and DC ZVA at EL0, no traps of WFI and WFE.
const SCTLR: u64 =
    0x30d0_0800 | 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 12 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 18 | 1 << 26;

/// A translation table.
#[repr(C, align(4096))]
#[derive(Clone)]
pub struct Table(pub [u64; 512]);

const TABLES: usize = 96;

/// Tables that the kernel's own map is made of; taken once, at start.
struct Pool(UnsafeCell<[Table; TABLES]>, AtomicUsize);

// SAFETY: one core; tables are written at start only, before anything else runs.
unsafe impl Sync for Pool {}

static POOL: Pool = Pool(UnsafeCell::new([const { Table([0; 512]) }; TABLES]), AtomicUsize::new(0));

fn new_table() -> *mut Table {
    let i = POOL.1.load(Ordering::Relaxed);
    if i >= TABLES {
        runtime::crash(b"the kernel's own map does not fit its tables");
    }
    POOL.1.store(i + 1, Ordering::Relaxed);
    // SAFETY: (1) i is in range; (2) each table is given out once.
    unsafe { (*POOL.0.get()).as_mut_ptr().add(i) }
}

/// The table below entry `i` of `table`.
fn below(table: *mut Table, i: usize) -> *mut Table {
    // SAFETY: (1) the table is one of the pool's; (2) i is below 512 by its callers' masks.
    let entry = unsafe { &mut (*table).0[i] };
    if *entry == 0 {
        *entry = new_table() as u64 | VALID;
    }
    (*entry & ADDRESS) as *mut Table
}

fn index(at: u64, level: u32) -> usize {
    (at >> (12 + 9 * (3 - level)) & 0x1ff) as usize
}

/// Maps a range, to itself unless `to` says otherwise; blocks where they fit.
fn map(root: *mut Table, at: u64, to: u64, size: u64, attributes: u64) {
    let leaf = attributes | ACCESSED | NOT_GLOBAL | if attributes & DEVICE == 0 { INNER } else { 0 };
    let mut done = 0;
    while done < size {
        let (a, t) = (at + done, to + done);
        let middle = below(root, index(a, 1));
        if a.is_multiple_of(BLOCK) && t.is_multiple_of(BLOCK) && size - done >= BLOCK {
            // SAFETY: the table is one of the pool's.
            unsafe { (*middle).0[index(a, 2)] = t | leaf | BLOCK_VALID };
            done += BLOCK;
        } else {
            let last = below(middle, index(a, 2));
            // SAFETY: as above.
            unsafe { (*last).0[index(a, 3)] = t | leaf | VALID };
            done += PAGE;
        }
    }
}

unsafe extern "C" {
    safe static __image_start: u8;
    safe static __text_end: u8;
    safe static __rodata_end: u8;
    safe static __stack_bottom: u8;
    safe static actor_vectors: u8;
}

fn address(symbol: &u8) -> u64 {
    symbol as *const u8 as u64
}

/// Turns the MMU on.
pub fn start(boot: &BootInfo) {
    let root = new_table();
    let end = MEMORY_IPA + boot.memory_size;
    let (image, text, rodata) = (address(&__image_start), address(&__text_end), address(&__rodata_end));
    let stack = address(&__stack_bottom);
    map(root, MEMORY_IPA, MEMORY_IPA, image - MEMORY_IPA, DATA);
    map(root, image, image, text - image, CODE);
    map(root, text, text, rodata - text, CONSTANTS);
    // The lowest page of the stack is its guard.
    map(root, rodata, rodata, stack - rodata, DATA);
    map(root, stack + PAGE, stack + PAGE, end - stack - PAGE, DATA);
    map(root, CPU_INTERFACE_IPA, CPU_INTERFACE_IPA, 2 * PAGE, DATA | DEVICE);
    map(root, BOOTINFO_IPA, BOOTINFO_IPA, 2 * PAGE, CONSTANTS);
    map(root, POSITION_IPA, POSITION_IPA, PAGE, DATA);
    for c in boot.channels.iter().filter(|c| c.role != ROLE_NONE) {
        map(root, c.ipa, c.ipa, c.size, if c.role == ROLE_WRITER { DATA } else { CONSTANTS });
    }
    for m in boot.modules.iter().filter(|m| m.size > 0) {
        map(root, m.ipa, m.ipa, m.size.next_multiple_of(PAGE), CONSTANTS);
    }
    let upper = new_table();
    map(upper, UPPER, address(&actor_vectors), PAGE, CODE);
    map(upper, SAVE_UPPER, super::enter::save_area(), PAGE, DATA);
    super::enter::set_kernel_tables(root as u64);
    // SAFETY: (1) the tables map all that this image uses where it is, so the next instruction is found; (2) nothing was cached before; (3) vectors
    // stand at their upper address.
    unsafe {
        asm!(
            "msr mair_el1, {mair}", "msr tcr_el1, {tcr}", "msr ttbr0_el1, {root}", "msr ttbr1_el1, {upper}",
            "msr vbar_el1, {vectors}", "msr cpacr_el1, {fp}", "msr cntkctl_el1, xzr", "msr mdscr_el1, xzr",
            "msr tpidrro_el0, xzr",
            "dsb sy", "tlbi vmalle1", "ic iallu", "dsb sy", "isb",
            "msr sctlr_el1, {sctlr}", "isb",
            mair = in(reg) MAIR, tcr = in(reg) TCR, root = in(reg) root, upper = in(reg) upper,
            vectors = in(reg) UPPER, fp = in(reg) 0b11u64 << 20, sctlr = in(reg) SCTLR,
            options(nostack)
        );
    }
}
