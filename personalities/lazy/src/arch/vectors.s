// Exception vectors of EL1 and the way into user code and back.
//
// This kernel has one stack a core. `enter_user` is a function: it saves what a callee keeps, loads the program's registers and leaves by
// `eret`; every exception from EL0 comes back as its return. Nothing of the kernel is on the stack while user code runs but that frame.

    .text
    .balign 0x800
    .global __vectors
__vectors:
    // From EL1 itself: this kernel's own fault. SP_EL0 and SP_ELx, four each.
    .rept 8
    b kernel_fault
    .balign 0x80
    .endr
    // From EL0, AArch64: synchronous, IRQ, FIQ, SError.
    b user_synchronous
    .balign 0x80
    b user_interrupt
    .balign 0x80
    b user_interrupt
    .balign 0x80
    b user_interrupt
    .balign 0x80
    // From EL0, AArch32: there is none.
    .rept 4
    b kernel_fault
    .balign 0x80
    .endr

// An exception inside the kernel. The stack may be what is broken: use the page of its own that TPIDR_EL1 names.
kernel_fault:
    mrs x0, tpidr_el1
    mov sp, x0
    mrs x0, esr_el1
    mrs x1, elr_el1
    mrs x2, far_el1
    b {kernel_fault}

// fn enter_user(registers: *mut Registers) -> u64: 1 for an interrupt, 0 for a synchronous exception.
    .global __enter_user
__enter_user:
    stp x29, x30, [sp, #-112]!
    stp x19, x20, [sp, #16]
    stp x21, x22, [sp, #32]
    stp x23, x24, [sp, #48]
    stp x25, x26, [sp, #64]
    stp x27, x28, [sp, #80]
    str x0, [sp, #96]
    ldp x1, x2, [x0, #248]
    ldp x3, x4, [x0, #264]
    msr sp_el0, x1
    msr elr_el1, x2
    msr spsr_el1, x3
    msr tpidr_el0, x4
    ldp x2, x3, [x0, #16]
    ldp x4, x5, [x0, #32]
    ldp x6, x7, [x0, #48]
    ldp x8, x9, [x0, #64]
    ldp x10, x11, [x0, #80]
    ldp x12, x13, [x0, #96]
    ldp x14, x15, [x0, #112]
    ldp x16, x17, [x0, #128]
    ldp x18, x19, [x0, #144]
    ldp x20, x21, [x0, #160]
    ldp x22, x23, [x0, #176]
    ldp x24, x25, [x0, #192]
    ldp x26, x27, [x0, #208]
    ldp x28, x29, [x0, #224]
    ldr x30, [x0, #240]
    ldp x0, x1, [x0]
    eret

.macro leave_user kind
    // sp is where enter_user left it.
    sub sp, sp, #16
    str x0, [sp]
    ldr x0, [sp, #112]
    stp x2, x3, [x0, #16]
    stp x4, x5, [x0, #32]
    stp x6, x7, [x0, #48]
    stp x8, x9, [x0, #64]
    stp x10, x11, [x0, #80]
    stp x12, x13, [x0, #96]
    stp x14, x15, [x0, #112]
    stp x16, x17, [x0, #128]
    stp x18, x19, [x0, #144]
    stp x20, x21, [x0, #160]
    stp x22, x23, [x0, #176]
    stp x24, x25, [x0, #192]
    stp x26, x27, [x0, #208]
    stp x28, x29, [x0, #224]
    str x30, [x0, #240]
    ldr x2, [sp], #16
    stp x2, x1, [x0]
    mrs x1, sp_el0
    mrs x2, elr_el1
    stp x1, x2, [x0, #248]
    mrs x1, spsr_el1
    mrs x2, tpidr_el0
    stp x1, x2, [x0, #264]
    mov x0, #\kind
    ldp x19, x20, [sp, #16]
    ldp x21, x22, [sp, #32]
    ldp x23, x24, [sp, #48]
    ldp x25, x26, [sp, #64]
    ldp x27, x28, [sp, #80]
    ldp x29, x30, [sp], #112
    ret
.endm

user_synchronous:
    leave_user 0
user_interrupt:
    leave_user 1

// fn fp_save(state: *mut FpState), fn fp_load(state: *const FpState)
    .arch_extension fp
    .arch_extension simd
    .global __fp_save
__fp_save:
    stp q0, q1, [x0]
    stp q2, q3, [x0, #32]
    stp q4, q5, [x0, #64]
    stp q6, q7, [x0, #96]
    stp q8, q9, [x0, #128]
    stp q10, q11, [x0, #160]
    stp q12, q13, [x0, #192]
    stp q14, q15, [x0, #224]
    stp q16, q17, [x0, #256]
    stp q18, q19, [x0, #288]
    stp q20, q21, [x0, #320]
    stp q22, q23, [x0, #352]
    stp q24, q25, [x0, #384]
    stp q26, q27, [x0, #416]
    stp q28, q29, [x0, #448]
    stp q30, q31, [x0, #480]
    mrs x1, fpsr
    mrs x2, fpcr
    add x0, x0, #512
    stp x1, x2, [x0]
    ret
    .global __fp_load
__fp_load:
    ldp q0, q1, [x0]
    ldp q2, q3, [x0, #32]
    ldp q4, q5, [x0, #64]
    ldp q6, q7, [x0, #96]
    ldp q8, q9, [x0, #128]
    ldp q10, q11, [x0, #160]
    ldp q12, q13, [x0, #192]
    ldp q14, q15, [x0, #224]
    ldp q16, q17, [x0, #256]
    ldp q18, q19, [x0, #288]
    ldp q20, q21, [x0, #320]
    ldp q22, q23, [x0, #352]
    ldp q24, q25, [x0, #384]
    ldp q26, q27, [x0, #416]
    ldp q28, q29, [x0, #448]
    ldp q30, q31, [x0, #480]
    add x0, x0, #512
    ldp x1, x2, [x0]
    msr fpsr, x1
    msr fpcr, x2
    ret
    .arch_extension nosimd
