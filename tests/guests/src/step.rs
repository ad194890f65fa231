//! Single-stepping a program: the one debug feature that EL2 leaves to kernels.

use core::arch::{asm, global_asm};

global_asm!(
    r#"
    .text
    .balign 0x800
step_vectors:
    // A synchronous exception from EL0: count steps, go back with SS set; anything else ends it.
    .space 0x400
    mrs x10, esr_el1
    lsr x10, x10, #26
    cmp x10, #0x32
    b.ne 1f
    add x11, x11, #1
    mrs x10, spsr_el1
    orr x10, x10, #(1 << 21)
    msr spsr_el1, x10
    eret
1:  br x12
"#
);

/// How many step exceptions three instructions and a call at EL0 give, and what MDSCR_EL1 reads after all ones were written.
pub fn count() -> (u64, u64) {
    unsafe extern "C" {
        safe static step_vectors: u8;
    }
    let (steps, control);
    // SAFETY: (1) interrupts are masked, and the vectors put back, before anything else can come; (2) the code at EL0 is four instructions
    // that touch nothing; (3) without an MMU EL0 may fetch them.
    unsafe {
        asm!(
            "mrs x14, daif",
            "msr daifset, #2",
            "mrs x13, vbar_el1",
            "msr vbar_el1, {vectors}",
            "mov x10, #-1",
            "msr mdscr_el1, x10",
            "mrs x15, mdscr_el1",
            "adr x12, 3f",
            "adr x10, 2f",
            "msr elr_el1, x10",
            "mov x10, #0x3c0",
            "orr x10, x10, #(1 << 21)",
            "msr spsr_el1, x10",
            "mov x11, #0",
            "isb",
            "eret",
            "2: nop",
            "nop",
            "nop",
            "svc #0",
            "3: msr mdscr_el1, xzr",
            "msr vbar_el1, x13",
            "isb",
            "msr daif, x14",
            vectors = in(reg) &raw const step_vectors,
            out("x10") _, out("x11") steps, out("x12") _, out("x13") _, out("x14") _, out("x15") control,
            options(nostack)
        )
    };
    (steps, control)
}
