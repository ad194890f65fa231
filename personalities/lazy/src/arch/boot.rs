//! From EL2's entry to a kernel that runs at an address of its own choice.
//!
//! EL2 loads the image at MEMORY_IPA and enters it there, MMU off. The kernel draws a virtual base from the entropy of its boot page, maps all
//! that is its own at `virtual = intermediate physical + offset`, each part with its own rights (nothing is writable and executable), adds the offset to every
//! relocation, and goes on up there. The lower half is the programs'.

use super::{heap, machine};
use abi::bootinfo::{BOOTINFO_IPA, BootInfo, MEMORY_IPA, MODULE_IPA, ROLE_NONE, ROLE_WRITER};
use core::arch::{asm, global_asm};

/// Upper half of 39-bit addresses.
const UPPER: u64 = 0xffff_ff80_0000_0000;
/// Room for the kernel's own objects; the rest of memory is frames.
const HEAP_SIZE: u64 = 64 << 20;
const PAGE: u64 = 4096;
const BLOCK: u64 = 2 << 20;

const GIC: u64 = 0x0801_0000;

/// Attribute 0, write-back; AF, SH inner.
const NORMAL: u64 = 1 << 10 | 0b11 << 8;
/// Attribute 1.
const DEVICE: u64 = 1 << 10 | 1 << 2;
const READ_ONLY: u64 = 0b10 << 6;
const NO_EXECUTE: u64 = 0b11 << 53;
const UXN: u64 = 1 << 54;

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __stack_guard: u8;
    static __stack_bottom: u8;
    static __image_end: u8;
    static __rela_start: [u64; 3];
    static __rela_end: u8;
    static __vectors: u8;
}

/// What the second part of boot needs of the first.
#[repr(C)]
pub struct Handover {
    offset: u64,
    boot: u64,
    free: u64,
}

/// Tables under construction, with the MMU off: physical addresses.
struct Builder {
    root: u64,
    free: u64,
    offset: u64,
}

impl Builder {
    fn allocate(&mut self) -> u64 {
        let at = self.free;
        self.free += PAGE;
        at
    }

    fn slot(table: u64, index: u64) -> *mut u64 {
        (table + index * 8) as *mut u64
    }

    fn next(&mut self, table: u64, index: u64) -> u64 {
        let slot = Self::slot(table, index);
        // SAFETY: (1) tables lie in this kernel's free memory, which is zero and nobody else's; (2) the MMU is off.
        unsafe {
            if slot.read_volatile() == 0 {
                slot.write_volatile(self.allocate() | 0b11);
            }
            slot.read_volatile() & !0xfff
        }
    }

    fn map(&mut self, start: u64, end: u64, bits: u64) {
        let mut at = start;
        while at < end {
            let address = at.wrapping_add(self.offset);
            let level2 = self.next(self.root, address >> 30 & 511);
            let (slot, value, step) = if at.is_multiple_of(BLOCK) && end - at >= BLOCK {
                (Self::slot(level2, address >> 21 & 511), at | bits | 1, BLOCK)
            } else {
                let level3 = self.next(level2, address >> 21 & 511);
                (Self::slot(level3, address >> 12 & 511), at | bits | 0b11, PAGE)
            };
            // SAFETY: as in `next`.
            unsafe { slot.write_volatile(value) };
            at += step;
        }
    }
}

fn of(symbol: *const u8) -> u64 {
    symbol as u64
}

/// Maps what this kernel may touch.
fn map_all(b: &mut Builder, boot: &BootInfo) {
    let data = NORMAL | NO_EXECUTE;
    let [text, rodata, guard, bottom, end] = [
        of(&raw const __text_end),
        of(&raw const __rodata_end),
        of(&raw const __stack_guard),
        of(&raw const __stack_bottom),
        of(&raw const __image_end),
    ];
    b.map(MEMORY_IPA, text, NORMAL | READ_ONLY | UXN);
    b.map(text, rodata, data | READ_ONLY);
    b.map(rodata, guard, data);
    b.map(bottom, end, data);
    b.map(end, MEMORY_IPA + boot.memory_size, data);
    b.map(BOOTINFO_IPA, BOOTINFO_IPA + 2 * PAGE, data | READ_ONLY);
    b.map(GIC, GIC + 2 * PAGE, DEVICE | NO_EXECUTE);
    for c in boot.channels.iter().filter(|c| c.role != ROLE_NONE) {
        b.map(c.ipa, c.ipa + c.size, if c.role == ROLE_WRITER { data } else { data | READ_ONLY });
    }
    for m in boot.modules.iter().filter(|m| m.size > 0 && m.ipa >= MODULE_IPA) {
        b.map(m.ipa, (m.ipa + m.size).next_multiple_of(PAGE), data | READ_ONLY);
    }
}

/// The virtual base: any multiple of 2 MiB of the upper half that leaves room for the 4 GiB of intermediate addresses. A domain without entropy
/// gets the lowest.
fn draw_offset(boot: &BootInfo) -> u64 {
    let [a, b, c, d, ..] = boot.entropy;
    let draw = u64::from(u32::from_le_bytes([a, b, c, d]));
    UPPER + draw % ((1 << 18) - 2048) * BLOCK
}

#[unsafe(no_mangle)]
extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
    let offset = draw_offset(boot);
    let mut b = Builder { root: boot.image_end, free: boot.image_end + PAGE, offset };
    map_all(&mut b, boot);
    // While the program counter moves up, the image is also mapped where it is: one block of 1 GiB.
    let low = b.allocate();
    // SAFETY: (1) a fresh table; (2) the MMU is off.
    unsafe { Builder::slot(low, MEMORY_IPA >> 30).write_volatile(MEMORY_IPA | NORMAL | 1) };
    let handover = Handover { offset, boot: boot as *const BootInfo as u64, free: b.free };
    // From here to the jump no pointer of a constant may be followed: they become virtual ones.
    relocate(offset);
    // SAFETY: (1) `b.root` maps this image with the stack at `offset`, `low` where it runs now; (2) `upper` never returns; (3) caches hold nothing
    // of what was written with them off.
    unsafe {
        asm!(
            "dsb sy", "ic iallu", "tlbi vmalle1", "dsb sy",
            "msr mair_el1, {mair}", "msr tcr_el1, {tcr}", "msr ttbr0_el1, {low}", "msr ttbr1_el1, {high}", "isb",
            "msr sctlr_el1, {sctlr}", "isb",
            "add sp, sp, {offset}", "mov x29, xzr", "mov x30, xzr",
            "adr {mair}, {upper}", "add {mair}, {mair}, {offset}", "br {mair}",
            mair = in(reg) 0x00ffu64, tcr = in(reg) TCR, low = in(reg) low, high = in(reg) b.root, sctlr = in(reg) SCTLR,
            offset = in(reg) offset, upper = sym upper, in("x0") (&raw const handover) as u64 + offset,
            options(noreturn)
        )
    }
}

/// 39 bits above and below, 4 KiB granules, inner shareable write-back, 40 bits of output, ASIDs of 8 bits.
const TCR: u64 = 25 | 0b11_0101 << 8 | 25 << 16 | 0b11_0101 << 24 | 0b10 << 30 | 0b010 << 32;
/// RES1, M, C, SA, SA0, I, DZE, UCT, nTWI, nTWE, UCI ("Entry, registers" in `docs/linux-abi.md`).
const SCTLR: u64 =
    0x30d0_0800 | 1 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 12 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 18 | 1 << 26;
const RELATIVE: u64 = 1027;

/// Adds `offset` to every word that holds an address (R_AARCH64_RELATIVE: where, kind, addend).
#[inline(never)]
fn relocate(offset: u64) {
    let (mut at, end) =
        ((&raw const __rela_start) as *const [u64; 3], &raw const __rela_end as *const [u64; 3]);
    while at < end {
        // SAFETY: (1) the linker put whole entries between the two symbols, and nothing but words of this image into them; (2) nothing is
        // write-protected yet; (3) the accesses are volatile, so nobody's idea of a constant is contradicted before the jump.
        unsafe {
            let [place, kind, addend] = at.read_volatile();
            if kind == RELATIVE {
                (place as *mut u64).write_volatile(addend.wrapping_add(offset));
            }
            at = at.add(1);
        }
    }
}

/// The second part, at its final address.
extern "C" fn upper(handover: &Handover) -> ! {
    let Handover { offset, boot, free } = *handover;
    runtime::calls::set_virtual_offset(offset);
    let emergency = machine::emergency_stack();
    // SAFETY: (1) the vectors are whole and aligned; (2) the lower half is empty from now on: the table in TTBR0 is a page of zeros until the first
    // program runs; (3) EL0 gets FP and no counter.
    unsafe {
        asm!(
            "msr vbar_el1, {vectors}", "msr tpidr_el1, {emergency}", "msr ttbr0_el1, {none}", "msr cpacr_el1, {fp}",
            "msr cntkctl_el1, xzr", "msr mdscr_el1, xzr", "isb", "tlbi vmalle1", "dsb ish", "isb",
            vectors = in(reg) &raw const __vectors, emergency = in(reg) emergency, none = in(reg) free, fp = in(reg) 0b11u64 << 20,
        )
    };
    let heap_start = free + PAGE;
    let boot_page = boot + offset;
    // SAFETY: (1) EL2 put the boot page there, this kernel mapped it, for ever and read-only.
    let boot = unsafe { &*(boot_page as *const BootInfo) };
    // SAFETY: (1) memory behind the image and the tables is free; (2) it is mapped at `offset`.
    unsafe { heap::init((heap_start + offset) as usize, HEAP_SIZE as usize) };
    machine::start(boot, offset, heap_start + HEAP_SIZE)
}

global_asm!(include_str!("vectors.s"), kernel_fault = sym machine::kernel_fault);
