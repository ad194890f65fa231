// From the microkernel's first instructions, MMU and caches off. x0 = device tree, x1 and x2 = start and end of EL2's image, x3 = where the
// handover goes, x4 = where EL2 begins.
    .section .head, "ax"
    .global _start
_start:
    mov     x19, x0
    mov     x20, x1
    mov     x21, x2
    mov     x22, x3
    mov     x23, x4
    // bss before any Rust: statics live there.
    adrp    x1, __bss_start
    adrp    x2, __loader_end
0:  cmp     x1, x2
    b.hs    1f
    stp     xzr, xzr, [x1], #16
    b       0b
    // Every word that holds an address (Elf64_Rela of R_AARCH64_RELATIVE, 1027). Linked at 0, the image is off by where it is.
1:  adrp    x1, __loader_start
    adrp    x2, __relocations_start
    add     x2, x2, :lo12:__relocations_start
    adrp    x3, __relocations_end
    add     x3, x3, :lo12:__relocations_end
2:  cmp     x2, x3
    b.hs    3f
    ldp     x4, x5, [x2], #16
    ldr     x6, [x2], #8
    cmp     w5, #1027
    b.ne    2b
    add     x6, x6, x1
    str     x6, [x4, x1]
    b       2b
3:  msr     spsel, #1
    adrp    x1, {stack}
    add     x1, x1, :lo12:{stack}
    mov     x2, #{stack_size}
    add     sp, x1, x2
    mrs     x1, CurrentEL
    cmp     x1, #(2 << 2)
    b.eq    4f
    mov     x0, x19
    mov     x1, x20
    bl      {wrong_level}
4:  adr     x1, vectors
    msr     vbar_el2, x1
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    bl      {early}             // builds a map, returns its root
    // All was written past the caches: what they hold of this image is older. Line size: CTR_EL0.DminLine, in words.
    mrs     x1, ctr_el0
    ubfx    x1, x1, #16, #4
    mov     x2, #4
    lsl     x24, x2, x1
    adrp    x1, __loader_start
    adrp    x3, __loader_end
5:  dc      ivac, x1
    add     x1, x1, x24
    cmp     x1, x3
    b.lo    5b
    dsb     sy
    // As the microkernel's `mmu_on`, but what is written may be executed: the map is of 2 MiB blocks.
    msr     ttbr0_el2, x0
    mov     x1, #0xff04
    msr     mair_el2, x1
    ldr     x1, =0x80823520
    msr     tcr_el2, x1
    isb
    tlbi    alle2
    ic      iallu
    dsb     sy
    isb
    // SCTLR_EL2: RES1 | I | SA | C | M.
    ldr     x1, =0x30c5183d
    msr     sctlr_el2, x1
    isb
    mov     x0, x19
    mov     x1, x20
    mov     x2, x21
    mov     x3, x22
    bl      {primary}
    // EL2 begins with its MMU and caches off: the image, this one and the handover in it, goes to memory; no store follows before they are
    // off, so no later line can be written back over what EL2 zeroes.
    mov     x1, x20
6:  dc      civac, x1
    add     x1, x1, x24
    cmp     x1, x21
    b.lo    6b
    dsb     sy
    // SCTLR_EL2: RES1 | SA.
    ldr     x1, =0x30c50838
    msr     sctlr_el2, x1
    isb
    tlbi    alle2
    ic      iallu
    dsb     sy
    isb
    br      x23
    .ltorg

// No exception is expected: whichever comes is told, and is the end.
    .macro  own
    .balign 0x80
    mrs     x0, esr_el2
    mrs     x1, elr_el2
    mrs     x2, far_el2
    b       {unexpected}
    .endm

    .section .vectors, "ax"
    .balign 0x800
vectors:
    .rept   16
    own
    .endr
