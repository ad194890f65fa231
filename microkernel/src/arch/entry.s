// The Linux arm64 image header (Documentation/arch/arm64/booting.rst): QEMU and the Pi's firmware hand over a device tree
// in x0 only to images that carry it.
    .section .head, "ax"
    .global _start
_start:
    b       primary
    .long   0
    .quad   0                   // text_offset
    .quad   __image_size
    .quad   0x2                 // 4 KiB pages, little-endian
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

// x0 = device tree; MMU and caches off. The loader does what only the start needs; it lies where zeroed data will be.
primary:
    adrp    x1, __image_start
    adrp    x2, __image_end
    adrp    x3, {area}
    adr     x4, begin
    adrp    x5, __bss_start
    br      x5

// All registers to the frame; x0 = frame, x0 to x1 of below on the stack, x2 and x3 in place.
    .macro  save_frame
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    ldp     x2, x3, [sp, #16]
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
    mrs     x4, sp_el0
    stp     x2, x3, [x0]
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x30, x4, [x0, #240]
    stp     x2, x3, [x0, #256]
    .endm

// From EL2 itself: never expected. x0 = which vector.
    .macro  own which
    .org    vectors + \which * 0x80
    mov     x0, #\which
    mrs     x1, esr_el2
    mrs     x2, elr_el2
    mrs     x3, far_el2
    b       own_end
    .endm

// From below, anything but a call. x0 = where registers go, x1 = which vector.
    .macro  lower which
    .org    vectors + (\which + 8) * 0x80
    stp     x0, x1, [sp, #16]
    mrs     x0, tpidr_el2
    mov     x1, #\which
    b       save
    .endm

// A vector has room for 32 instructions and needs few of them: behind each stands what else fits. Where it does not, `.org` says so.
    .section .vectors, "ax"
    .balign 0x800
vectors:
    own     0
own_end:
    mov     x4, sp
    mrs     x5, mpidr_el1
    and     x5, x5, #0xff
    add     x5, x5, #1
    mov     x6, #{last_stack_size}
    adrp    x7, {last_stacks}
    add     x7, x7, :lo12:{last_stacks}
    madd    x5, x5, x6, x7
    mov     sp, x5
    b       {trap_own}

    own     1
save:
    save_frame
    mov     x29, xzr
    ldr     x0, [sp]
    bl      {trap_lower}
    b       restore

    own     2
// Enters the domain whose registers stand at TPIDR_EL2, on an EL2 stack that holds nothing but the address of this core's state (x1) and
// room for two registers.
    .global enter_lower
enter_lower:
    sub     sp, x0, #32
    str     x1, [sp]
restore:
    mrs     x0, tpidr_el2
    ldp     x2, x3, [x0, #256]
    ldp     x30, x4, [x0, #240]
    msr     elr_el2, x2
    msr     spsr_el2, x3
    msr     sp_el0, x4
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
    // No speculation past an exception return (straight-line speculation).
    dsb     nsh
    isb

    own     3
// From PSCI or a spin table; stage 1's tables exist and are the same for all. The core's number is its affinity, level 0.
    .global secondary_entry
secondary_entry:
    mrs     x0, mpidr_el1
    and     x0, x0, #0xff
    mov     x19, x0
    msr     spsel, #1
    adrp    x1, {stacks}
    add     x1, x1, :lo12:{stacks}
    mov     x2, #{stack_size}
    add     x3, x0, #1
    madd    x1, x2, x3, x1
    mov     sp, x1
    adr     x1, vectors
    msr     vbar_el2, x1
    adrp    x1, {stage1_root}
    ldr     x0, [x1, :lo12:{stage1_root}]
    bl      mmu_on
    mov     x0, x19
    bl      {secondary_main}

    own     4
// x0 = root of stage 1.
mmu_on:
    msr     ttbr0_el2, x0
    // Attr0 device nGnRE, Attr1 normal write-back.
    mov     x1, #0xff04
    msr     mair_el2, x1
    // TCR_EL2 (D13.2.132): RES1 31 and 23; PS 40 bits; SH0 inner; ORGN0, IRGN0 write-back; T0SZ 32 (4 GiB).
    ldr     x1, =0x80823520
    msr     tcr_el2, x1
    isb
    tlbi    alle2
    ic      iallu
    dsb     sy
    isb
    // SCTLR_EL2: RES1 | WXN | I | SA | C | M.
    ldr     x1, =0x30cd183d
    msr     sctlr_el2, x1
    isb
    ret
    .ltorg

    own     5
// The FP/SIMD registers of a domain (`float::Registers`): to memory at x0, and from there. Called as C functions; EL2's own code is built
// without these registers, so nothing of the caller is in them.
    .arch_extension fp
    .arch_extension simd
    .global float_save
float_save:
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
    mrs     x1, fpsr
    mrs     x2, fpcr
    str     x1, [x0, #512]
    str     x2, [x0, #520]
    ret

    own     6
    .global float_load
float_load:
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
    msr     fpsr, x1
    msr     fpcr, x2
    ret
    .arch_extension nosimd
    .arch_extension nofp

    own     7

// Of a synchronous exception from below: most are calls, and most calls are short.
    .org    vectors + 8 * 0x80
    stp     x0, x1, [sp, #16]
    mrs     x0, tpidr_el2
    save_frame
    mov     x29, xzr
    ldr     x0, [sp]
    bl      {trap_synchronous}
    b       restore

    lower   1
// From the loader, at EL2, MMU and caches off again. All that is left of it is the handover.
begin:
    // bss before any Rust: statics live there.
    adrp    x1, __bss_start
    adrp    x2, __bss_end
0:  cmp     x1, x2
    b.hs    1f
    stp     xzr, xzr, [x1], #16
    b       0b
    // Where the image is, less where it was linked; then every word that holds an address (Elf64_Rela of R_AARCH64_RELATIVE, 1027).
1:  adrp    x1, __image_start
    ldr     x2, =__link_address
    sub     x1, x1, x2
    adrp    x2, __relocations_start
    add     x2, x2, :lo12:__relocations_start
    adrp    x3, __relocations_end
    add     x3, x3, :lo12:__relocations_end
2:  cmp     x2, x3
    b.hs    prepare
    ldp     x4, x5, [x2], #16
    ldr     x6, [x2], #8
    cmp     w5, #1027
    b.ne    2b
    add     x6, x6, x1
    str     x6, [x4, x1]
    b       2b
    .ltorg

    lower   2
prepare:
    msr     spsel, #1
    adrp    x1, {stacks}
    add     x1, x1, :lo12:{stacks}
    add     sp, x1, #{stack_size}
    adr     x1, vectors
    msr     vbar_el2, x1
    bl      {early}             // builds stage 1, returns its root
    // All was written past the caches: what they hold of this image is older. Line size: CTR_EL0.DminLine, in words.
    mrs     x1, ctr_el0
    ubfx    x1, x1, #16, #4
    mov     x2, #4
    lsl     x2, x2, x1
    adrp    x1, __image_start
    adrp    x3, __image_end
5:  dc      ivac, x1
    add     x1, x1, x2
    cmp     x1, x3
    b.lo    5b
    dsb     sy
    bl      mmu_on
    bl      {primary_main}

    lower   3
    // AArch32 below: only programs of a kernel that offers it.
    lower   4
    lower   5
    lower   6
    lower   7
    .org    vectors + 0x800
