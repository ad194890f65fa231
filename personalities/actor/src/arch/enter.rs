//! Into a program and back: a program's registers live in the save area while it runs, and an exception returns to whoever entered it.

use super::mmu::{SAVE_UPPER, UPPER};
use actor::machine::{Fp, User};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;

/// Where registers stand while the kernel is not in the program; offsets are the assembly's.
#[repr(C, align(4096))]
pub struct Save {
    pub x: [u64; 31],
    /// 248
    pub sp: u64,
    /// 256
    pub pc: u64,
    /// 264
    pub spsr: u64,
    /// 272
    pub esr: u64,
    /// 280
    pub far: u64,
    /// 288: TTBR0 of the kernel
    kernel_tables: u64,
    /// 296
    kernel_sp: u64,
    /// 304: TTBR0 of the program, with its ASID
    pub program_tables: u64,
    /// 312
    kernel_return: u64,
    /// 320: 0 an exception of the program's, 1 an interrupt
    pub kind: u64,
    rest: [u64; 471],
}

const _: () = {
    use core::mem::{offset_of, size_of};
    assert!(offset_of!(Save, sp) == 248 && offset_of!(Save, kernel_tables) == 288);
    assert!(
        offset_of!(Save, program_tables) == 304 && offset_of!(Save, kind) == 320 && size_of::<Save>() == 4096
    );
};

#[repr(transparent)]
struct Area(UnsafeCell<Save>);

// SAFETY: one core, and interrupts are masked in the kernel: nobody else is here.
unsafe impl Sync for Area {}

static SAVE: Area = Area(UnsafeCell::new(Save {
    x: [0; 31],
    sp: 0,
    pc: 0,
    spsr: 0,
    esr: 0,
    far: 0,
    kernel_tables: 0,
    kernel_sp: 0,
    program_tables: 0,
    kernel_return: 0,
    kind: 0,
    rest: [0; 471],
}));

global_asm!(
    r#"
    .section .text.actor_vectors, "ax"
    .balign 4096
    .global actor_vectors
actor_vectors:
    .rept 8
    b       actor_kernel_fault
    .balign 0x80
    .endr
    // From a program: the stack pointer is the save area's.
    stp     x0, x1, [sp]
    mov     x0, #0
    b       actor_leave
    .balign 0x80
    stp     x0, x1, [sp]
    mov     x0, #1
    b       actor_leave
    .balign 0x80
    .rept 6
    b       actor_kernel_fault
    .balign 0x80
    .endr
actor_leave:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    mrs     x1, sp_el0
    stp     x30, x1, [sp, #240]
    mrs     x2, elr_el1
    mrs     x3, spsr_el1
    stp     x2, x3, [sp, #256]
    mrs     x4, esr_el1
    mrs     x5, far_el1
    stp     x4, x5, [sp, #272]
    str     x0, [sp, #320]
    ldp     x1, x2, [sp, #288]
    ldr     x3, [sp, #312]
    msr     ttbr0_el1, x1
    isb
    mov     sp, x2
    br      x3

// x1: the save area's upper address.
actor_resume:
    mov     sp, x1
    ldr     x3, [sp, #304]
    msr     ttbr0_el1, x3
    isb
    ldp     x30, x3, [sp, #240]
    msr     sp_el0, x3
    ldp     x2, x3, [sp, #256]
    msr     elr_el1, x2
    msr     spsr_el1, x3
    ldp     x28, x29, [sp, #224]
    ldp     x26, x27, [sp, #208]
    ldp     x24, x25, [sp, #192]
    ldp     x22, x23, [sp, #176]
    ldp     x20, x21, [sp, #160]
    ldp     x18, x19, [sp, #144]
    ldp     x16, x17, [sp, #128]
    ldp     x14, x15, [sp, #112]
    ldp     x12, x13, [sp, #96]
    ldp     x10, x11, [sp, #80]
    ldp     x8, x9, [sp, #64]
    ldp     x6, x7, [sp, #48]
    ldp     x4, x5, [sp, #32]
    ldp     x2, x3, [sp, #16]
    ldp     x0, x1, [sp]
    eret

// A fault of the kernel itself, whatever tables are in place: the kernel's come first.
actor_kernel_fault:
    ldr     x3, 3f
    ldr     x3, [x3, #288]
    msr     ttbr0_el1, x3
    isb
    ldr     x3, 1f
    mov     sp, x3
    mrs     x0, esr_el1
    mrs     x1, elr_el1
    mrs     x2, far_el1
    ldr     x3, 2f
    br      x3
    .balign 8
1:  .quad   actor_last_stack + 16384
2:  .quad   {dead}
3:  .quad   {save}

    .section .text.actor_enter, "ax"
// x0: the save area, x1: its upper address, x2: where actor_resume stands in the upper half.
actor_enter:
    stp     x29, x30, [sp, #-96]!
    stp     x19, x20, [sp, #16]
    stp     x21, x22, [sp, #32]
    stp     x23, x24, [sp, #48]
    stp     x25, x26, [sp, #64]
    stp     x27, x28, [sp, #80]
    mov     x3, sp
    adr     x4, 4f
    str     x3, [x0, #296]
    str     x4, [x0, #312]
    br      x2
4:  ldp     x27, x28, [sp, #80]
    ldp     x25, x26, [sp, #64]
    ldp     x23, x24, [sp, #48]
    ldp     x21, x22, [sp, #32]
    ldp     x19, x20, [sp, #16]
    ldp     x29, x30, [sp], #96
    ret

    .arch_extension fp
    .arch_extension simd
// x0: where v0 to v31, FPCR and FPSR stand.
actor_save_fp:
    stp     q0, q1, [x0]
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
    mrs     x1, fpcr
    mrs     x2, fpsr
    str     x1, [x0, #512]
    str     x2, [x0, #520]
    ret
actor_load_fp:
    ldp     q0, q1, [x0]
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
    msr     fpcr, x1
    msr     fpsr, x2
    ret
    .arch_extension nosimd
    .arch_extension nofp

    .section .bss.actor_last_stack, "aw", @nobits
    .balign 16
actor_last_stack:
    .space 16384
"#,
    dead = sym dead,
    save = const SAVE_UPPER,
);

unsafe extern "C" {
    safe static actor_vectors: u8;
    safe static actor_resume: u8;
    fn actor_enter(save: *mut Save, save_upper: u64, resume: u64);
    fn actor_save_fp(fp: *mut Fp);
    fn actor_load_fp(fp: *const Fp);
}

/// A fault of the kernel itself, on a stack of its own.
extern "C" fn dead(syndrome: u64, pc: u64, address: u64) -> ! {
    panic!("kernel fault {syndrome:#x} at {pc:#x}, address {address:#x}")
}

/// Where the save area lies.
pub fn save_area() -> u64 {
    SAVE.0.get() as u64
}

/// Names the kernel's tables, before the MMU is on.
pub fn set_kernel_tables(root: u64) {
    // SAFETY: (1) see `Area`; (2) no program runs.
    unsafe { (*SAVE.0.get()).kernel_tables = root };
}

/// Nothing is left to do but to check that the vectors and their way out fit the one page that is mapped.
pub fn start() {
    let (from, to) = (&raw const actor_vectors as u64, &raw const actor_resume as u64);
    assert!(from.is_multiple_of(4096) && to - from < 3600, "vectors fit their page");
}

const SPSR_STEP: u64 = 1 << 21;
const NZCV: u64 = 0xf000_0000;

/// What an exception left behind.
pub struct Left {
    pub kind: u64,
    pub esr: u64,
    pub far: u64,
}

/// Runs a program until the next exception.
pub fn run(user: &mut User, tables: u64, step: bool) -> Left {
    let resume = UPPER + (&raw const actor_resume as u64 - &raw const actor_vectors as u64);
    let save = SAVE.0.get();
    // SAFETY: (1) see `Area`: the save area is ours alone; (2) the tables are a space's, whose lower half is the program's, and the upper half maps
    // vectors and save area; (3) `actor_enter` keeps the registers that its callers keep, and comes back by the vectors with the kernel's
    // tables in place; (4) MDSCR_EL1.SS acts at EL0 only while SPSR says so.
    unsafe {
        let s = &mut *save;
        s.x = user.x;
        (s.sp, s.pc) = (user.sp, user.pc);
        s.spsr = user.pstate & NZCV | if step { SPSR_STEP } else { 0 };
        s.program_tables = tables;
        asm!("msr tpidr_el0, {}", "msr mdscr_el1, {}", "isb", in(reg) user.tls, in(reg) u64::from(step), options(nostack));
        actor_enter(save, SAVE_UPPER, resume);
        asm!("mrs {}, tpidr_el0", "msr mdscr_el1, xzr", out(reg) user.tls, options(nostack));
        let s = &*save;
        user.x = s.x;
        (user.sp, user.pc, user.pstate) = (s.sp, s.pc, s.spsr & NZCV);
        Left { kind: s.kind, esr: s.esr, far: s.far }
    }
}

/// Takes the floating-point registers out.
pub fn save_fp(fp: &mut Fp) {
    // SAFETY: the layout is the assembly's (`repr(C)`), and floating point is on (CPACR).
    unsafe { actor_save_fp(fp) };
}

/// Puts floating-point registers in.
pub fn load_fp(fp: &Fp) {
    // SAFETY: as above.
    unsafe { actor_load_fp(fp) };
}
