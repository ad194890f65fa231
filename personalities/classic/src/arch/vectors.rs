//! Into user mode and back, as one function call: `enter` saves what a C function must keep, loads the program's registers and
//! returns into it; an exception stores them again and returns to `enter`'s caller. The kernel itself takes no exception: any is its end.

use aarch64_cpu::registers::{MDSCR_EL1, Writeable};
use classic::machine::{FpRegisters, NZCV, Registers};
use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .macro ventry target
    .balign 0x80
    b       \target
    .endm

    .text
    .balign 0x800
    .global classic_vectors
classic_vectors:
    // From EL1 with SP_EL0 and with SP_EL1: the kernel's own fault.
    ventry classic_own
    ventry classic_own
    ventry classic_own
    ventry classic_own
    ventry classic_own
    ventry classic_own
    ventry classic_own
    ventry classic_own
    // From EL0 in AArch64: synchronous, IRQ, FIQ, SError.
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x1, #0
    b       classic_leave
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x1, #1
    b       classic_leave
    .balign 0x80
    stp     x0, x1, [sp, #-16]!
    mov     x1, #1
    b       classic_leave
    ventry classic_own
    // From EL0 in AArch32: SPSR never says so.
    ventry classic_own
    ventry classic_own
    ventry classic_own
    ventry classic_own

    // x0 = Registers. Layout: x at 0, sp 248, pc 256, pstate 264, tpidr 272, esr 280, far 288.
    .global classic_enter
classic_enter:
    stp     x29, x30, [sp, #-112]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    str     x0, [sp, #96]
    ldp     x1, x2, [x0, #248]
    ldp     x3, x4, [x0, #264]
    msr     sp_el0, x1
    msr     elr_el1, x2
    msr     spsr_el1, x3
    msr     tpidr_el0, x4
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x30, [x0, #240]
    ldp     x0, x1, [x0]
    eret

    // sp: x0 and x1 of the program, then `enter`'s frame. x1: 0 synchronous, 1 interrupt.
classic_leave:
    ldr     x0, [sp, #112]
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
    mrs     x2, esr_el1
    mrs     x3, far_el1
    stp     x2, x3, [x0, #280]
    mov     x0, x1
    ldp     x19, x20, [sp, #16]
    ldp     x21, x22, [sp, #32]
    ldp     x23, x24, [sp, #48]
    ldp     x25, x26, [sp, #64]
    ldp     x27, x28, [sp, #80]
    ldp     x29, x30, [sp], #112
    ret

    // The kernel faulted. Its stack may be the reason: begin a new one at the top of the old.
classic_own:
    ldr     x0, =__stack_top
    mov     sp, x0
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    b       classic_own_fault
    .ltorg

    .arch_extension fp
    .arch_extension simd
    .global classic_load_fp
classic_load_fp:
    ldp     q0, q1, [x0, #0]
    ldp     q2, q3, [x0, #32]
    ldp     q4, q5, [x0, #64]
    ldp     q6, q7, [x0, #96]
    ldp     q8, q9, [x0, #128]
    ldp     q10, q11, [x0, #160]
    ldp     q12, q13, [x0, #192]
    ldp     q14, q15, [x0, #224]
    ldp     q16, q17, [x0, #256]
    ldp     q18, q19, [x0, #288]
    ldp     q20, q21, [x0, #320]
    ldp     q22, q23, [x0, #352]
    ldp     q24, q25, [x0, #384]
    ldp     q26, q27, [x0, #416]
    ldp     q28, q29, [x0, #448]
    ldp     q30, q31, [x0, #480]
    ldr     x1, [x0, #512]
    ldr     x2, [x0, #520]
    msr     fpsr, x1
    msr     fpcr, x2
    ret
    .global classic_store_fp
classic_store_fp:
    stp     q0, q1, [x0, #0]
    stp     q2, q3, [x0, #32]
    stp     q4, q5, [x0, #64]
    stp     q6, q7, [x0, #96]
    stp     q8, q9, [x0, #128]
    stp     q10, q11, [x0, #160]
    stp     q12, q13, [x0, #192]
    stp     q14, q15, [x0, #224]
    stp     q16, q17, [x0, #256]
    stp     q18, q19, [x0, #288]
    stp     q20, q21, [x0, #320]
    stp     q22, q23, [x0, #352]
    stp     q24, q25, [x0, #384]
    stp     q26, q27, [x0, #416]
    stp     q28, q29, [x0, #448]
    stp     q30, q31, [x0, #480]
    mrs     x1, fpsr
    mrs     x2, fpcr
    str     x1, [x0, #512]
    str     x2, [x0, #520]
    ret
    .arch_extension nosimd
    .arch_extension nofp
"#
);

unsafe extern "C" {
    fn classic_enter(registers: *mut Registers) -> u64;
    fn classic_load_fp(from: *const FpRegisters);
    fn classic_store_fp(to: *mut FpRegisters);
}

const _: () = {
    assert!(core::mem::offset_of!(Registers, sp) == 248);
    assert!(core::mem::offset_of!(Registers, pstate) == 264);
    assert!(core::mem::offset_of!(Registers, esr) == 280);
    assert!(core::mem::offset_of!(FpRegisters, fpsr) == 512);
};

/// Why user mode was left, before it is decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Left {
    /// A synchronous exception: ESR and FAR are in the registers.
    Synchronous,
    /// An interrupt is pending.
    Interrupt,
}

/// How user mode is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Until an exception.
    Free,
    /// For one instruction, interrupts masked.
    Single,
}

impl Mode {
    /// Bits of SPSR_EL1: SS, which the step's exception clears, and I.
    fn state(self) -> u64 {
        match self {
            Mode::Free => 0,
            Mode::Single => 1 << 21 | 1 << 7,
        }
    }
}

/// Prepares for one mode or the other: the state machine of software step is on or off (MDSCR_EL1.SS).
pub fn set_mode(mode: Mode) {
    MDSCR_EL1.set(u64::from(mode == Mode::Single));
}

/// Runs the program until it leaves user mode. `root`: its tables and ASID for TTBR0. `mode`: as last set.
pub fn enter(root: u64, registers: &mut Registers, mode: Mode) -> Left {
    // The program has no say in mode, masks or anything but the flags.
    registers.pstate = registers.pstate & NZCV | mode.state();
    // SAFETY: (1) the tables show EL0 only what is the program's, and kernel memory not at all; (2) `classic_enter` keeps the C calling convention
    // and stores nothing but `registers`; (3) EL0t is what pstate says; interrupts are masked for
    // one instruction only.
    let why = unsafe {
        asm!("msr ttbr0_el1, {}", "isb", in(reg) root, options(nostack));
        classic_enter(registers)
    };
    if why == 0 { Left::Synchronous } else { Left::Interrupt }
}

/// Loads the FP registers.
pub fn load_fp(from: &FpRegisters) {
    // SAFETY: the kernel itself uses no FP register (softfloat); the reads are inside `from`.
    unsafe { classic_load_fp(from) }
}

/// Stores the FP registers.
pub fn store_fp(to: &mut FpRegisters) {
    // SAFETY: the writes are inside `to`.
    unsafe { classic_store_fp(to) }
}

/// The kernel took an exception: it declares itself crashed.
#[unsafe(no_mangle)]
extern "C" fn classic_own_fault(esr: u64, elr: u64, far: u64) -> ! {
    let mut line = runtime::text::Line::new();
    let _ = core::fmt::write(
        &mut line,
        format_args!("exception in the kernel: esr {esr:#x} pc {elr:#x} address {far:#x}"),
    );
    runtime::crash(line.bytes())
}
