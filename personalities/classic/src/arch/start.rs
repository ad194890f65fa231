//! First instructions: EL1h, MMU and caches off, x0 = boot page. A constant table of two gigabytes, mapped one to one and in the upper half
//! at once, is enough to turn the MMU on without a single store; `kernel_map` replaces it.

use super::{OFFSET, descriptor as d, kernel_map, machine};
use abi::bootinfo::{BOOTINFO_MAGIC, BootInfo};
use core::arch::global_asm;

/// A translation table.
#[repr(C, align(4096))]
pub struct Table(pub [u64; 512]);

/// Entry 1 covers the domain's memory; lower and upper half share the table, for both have it at the same index.
#[unsafe(no_mangle)]
static BOOT_TABLE: Table = {
    let mut t = [0; 512];
    t[1] = 0x4000_0000 | d::BLOCK | d::AF | d::SHARED;
    Table(t)
};

/// Index 0: normal, write-back; index 1: device-nGnRE.
const MAIR: u64 = 0x04ff;
/// 39 bits and 4 KiB in both halves, walks cacheable and inner shareable, 40-bit physical addresses, 8-bit ASIDs in TTBR0.
const TCR: u64 = 25 | 25 << 16 | 0x3500 | 0x3500 << 16 | 2 << 30 | 2 << 32;
/// RES1 bits; M, C, I; stack alignment checks at both levels; for EL0: DZE, UCT, UCI, nTWI, nTWE (`docs/linux-abi.md`).
const SCTLR: u64 =
    0x30d0_0800 | 1 | 1 << 2 | 1 << 12 | 1 << 3 | 1 << 4 | 1 << 14 | 1 << 15 | 1 << 26 | 1 << 16 | 1 << 18;
// A: an access may be unaligned, on which `bytes` relies.
const _: () = assert!(SCTLR & 1 << 1 == 0);

global_asm!(
    r#"
    .section .classic.head, "ax"
    .global classic_entry
classic_entry:
    mov     x19, x0
    adrp    x1, BOOT_TABLE
    add     x1, x1, :lo12:BOOT_TABLE
    ldr     x2, ={mair}
    ldr     x3, ={tcr}
    ldr     x4, ={sctlr}
    msr     ttbr0_el1, x1
    msr     ttbr1_el1, x1
    msr     mair_el1, x2
    msr     tcr_el1, x3
    isb
    tlbi    vmalle1
    dsb     nsh
    ic      iallu
    dsb     nsh
    isb
    msr     sctlr_el1, x4
    isb
    ldr     x5, =0f
    br      x5
0:  ldr     x5, =__stack_top
    mov     sp, x5
    mov     x29, xzr
    mov     x30, xzr
    ldr     x5, =classic_vectors
    msr     vbar_el1, x5
    // FP and SIMD: no traps. Counters: none for EL0.
    mov     x5, #(3 << 20)
    msr     cpacr_el1, x5
    msr     cntkctl_el1, xzr
    msr     tpidrro_el0, xzr
    isb
    mov     x0, x19
    bl      kernel_main
    brk     #0
    .ltorg
"#,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
);

/// First function in the upper half. Its name also tells `runtime` that this image calls EL2 by HVC.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(boot: u64) -> ! {
    kernel_map::install();
    runtime::calls::set_virtual_offset(OFFSET);
    // SAFETY: (1) EL2 gives the address of a boot page in x0, (2) which is mapped now, (3) never written by anybody, (4) and BootInfo is plain
    // data that any bytes make valid.
    let boot: &'static BootInfo = unsafe { &*((boot + OFFSET) as *const BootInfo) };
    if boot.magic != BOOTINFO_MAGIC {
        runtime::crash(b"the boot page has no magic number");
    }
    machine::start(boot)
}
