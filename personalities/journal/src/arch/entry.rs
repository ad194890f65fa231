//! First instructions, vectors, and the way to EL0 and back. The kernel has one stack: `journal_enter` is a call that returns when EL0 traps.

use core::arch::global_asm;
use journal::machine::User;

unsafe extern "C" {
    /// Runs EL0 with `user` until it traps: 0 for a synchronous exception, 1 for an interrupt.
    pub fn journal_enter(user: *mut User) -> u64;
}

global_asm!(
    r#"
    .arch_extension fp
    .arch_extension simd
    .section .text.first, "ax"
    .global journal_start
journal_start:
    // Boot tables: the first two GiB, one block each, in both halves.
    adrp    x1, journal_boot_table
    add     x1, x1, :lo12:journal_boot_table
    mov     x2, #0x701              // block, AF, inner shareable, Attr0
    str     x2, [x1]
    mov     x3, #0x40000000
    orr     x2, x2, x3
    str     x2, [x1, #8]
    dc      civac, x1
    dsb     sy
    ldr     x2, =0x04ff             // Attr0 normal write-back, Attr1 device nGnRE
    msr     mair_el1, x2
    // 39 bits in both halves, 4 KiB, write-back inner shareable walks, 40 bits out, 16-bit ASIDs.
    ldr     x2, =0x12b5193519
    msr     tcr_el1, x2
    msr     ttbr0_el1, x1
    msr     ttbr1_el1, x1
    mov     x2, #(3 << 20)          // FP for EL0 and EL1
    msr     cpacr_el1, x2
    msr     cntkctl_el1, xzr
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    // RES1, M, C, SA, SA0, I, DZE, UCT, nTWI, nTWE, UCI.
    ldr     x2, =0x34d5d81d
    msr     sctlr_el1, x2
    isb
    ldr     x2, =__stack_top
    mov     sp, x2
    ldr     x2, =journal_vectors
    msr     vbar_el1, x2
    mov     x29, xzr
    mov     x30, xzr
    ldr     x2, =journal_main
    br      x2

    // The table of the upper half changes while the lower half's is walked: break before make.
    .global journal_switch
journal_switch:
    adr     x1, 1f
    ldr     x2, =0xffffff8000000000
    sub     x1, x1, x2
    dsb     sy
    br      x1
1:  msr     ttbr1_el1, x0
    isb
    tlbi    vmalle1
    dsb     nsh
    isb
    ret

    .balign 2048
journal_vectors:
    .rept 4
    b       journal_dead
    .balign 128
    .endr
    .rept 4
    b       journal_dead
    .balign 128
    .endr
    // From EL0: synchronous, interrupt, fast interrupt, SError.
    stp     x0, x1, [sp, #-16]!
    mov     x1, #0
    b       journal_leave
    .balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #1
    b       journal_leave
    .balign 128
    b       journal_dead
    .balign 128
    b       journal_dead
    .balign 128
    .rept 4
    b       journal_dead
    .balign 128
    .endr

journal_leave:
    ldr     x0, [sp, #16]
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    str     x30, [x0, #240]
    ldp     x2, x3, [sp], #16
    stp     x2, x3, [x0]
    mrs     x2, sp_el0
    mrs     x3, elr_el1
    stp     x2, x3, [x0, #248]
    mrs     x2, spsr_el1
    mrs     x3, tpidr_el0
    stp     x2, x3, [x0, #264]
    mrs     x2, fpsr
    mrs     x3, fpcr
    stp     x2, x3, [x0, #280]
    add     x2, x0, #304
    stp     q0, q1, [x2]
    stp     q2, q3, [x2, #32]
    stp     q4, q5, [x2, #64]
    stp     q6, q7, [x2, #96]
    stp     q8, q9, [x2, #128]
    stp     q10, q11, [x2, #160]
    stp     q12, q13, [x2, #192]
    stp     q14, q15, [x2, #224]
    stp     q16, q17, [x2, #256]
    stp     q18, q19, [x2, #288]
    stp     q20, q21, [x2, #320]
    stp     q22, q23, [x2, #352]
    stp     q24, q25, [x2, #384]
    stp     q26, q27, [x2, #416]
    stp     q28, q29, [x2, #448]
    stp     q30, q31, [x2, #480]
    mov     x0, x1
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp, #96]
    add     sp, sp, #112
    ret

    .global journal_enter
journal_enter:
    sub     sp, sp, #112
    str     x0, [sp]
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    stp     x29, x30, [sp, #96]
    add     x2, x0, #304
    ldp     q0, q1, [x2]
    ldp     q2, q3, [x2, #32]
    ldp     q4, q5, [x2, #64]
    ldp     q6, q7, [x2, #96]
    ldp     q8, q9, [x2, #128]
    ldp     q10, q11, [x2, #160]
    ldp     q12, q13, [x2, #192]
    ldp     q14, q15, [x2, #224]
    ldp     q16, q17, [x2, #256]
    ldp     q18, q19, [x2, #288]
    ldp     q20, q21, [x2, #320]
    ldp     q22, q23, [x2, #352]
    ldp     q24, q25, [x2, #384]
    ldp     q26, q27, [x2, #416]
    ldp     q28, q29, [x2, #448]
    ldp     q30, q31, [x2, #480]
    ldp     x2, x3, [x0, #280]
    msr     fpsr, x2
    msr     fpcr, x3
    ldp     x2, x3, [x0, #264]
    msr     spsr_el1, x2
    msr     tpidr_el0, x3
    ldp     x2, x3, [x0, #248]
    msr     sp_el0, x2
    msr     elr_el1, x3
    ldr     x30, [x0, #240]
    ldp     x28, x29, [x0, #224]
    ldp     x26, x27, [x0, #208]
    ldp     x24, x25, [x0, #192]
    ldp     x22, x23, [x0, #176]
    ldp     x20, x21, [x0, #160]
    ldp     x18, x19, [x0, #144]
    ldp     x16, x17, [x0, #128]
    ldp     x14, x15, [x0, #112]
    ldp     x12, x13, [x0, #96]
    ldp     x10, x11, [x0, #80]
    ldp     x8, x9, [x0, #64]
    ldp     x6, x7, [x0, #48]
    ldp     x4, x5, [x0, #32]
    ldp     x2, x3, [x0, #16]
    ldp     x0, x1, [x0]
    eret

    // An exception of the kernel itself: on a stack of its own, since the usual one may be what is wrong.
journal_dead:
    ldr     x2, =__emergency_top
    mov     sp, x2
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       {dead}

    .section .bss.journal_boot_table, "aw", @nobits
    .balign 4096
journal_boot_table:
    .space 4096
"#,
    dead = sym dead,
);

extern "C" fn dead(syndrome: u64, pc: u64, address: u64) -> ! {
    panic!("exception {syndrome:#x} at {pc:#x}, address {address:#x}")
}
