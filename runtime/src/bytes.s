// memcpy, memset, memcmp and bcmp with vector registers and unaligned accesses, which the images of this target have; `compiler_builtins` has
// them in words at aligned places only, and compares byte by byte (its symbols are weak).
    .text
    .balign 16
    .global memcpy
memcpy:
    mov     x3, x0
    subs    x2, x2, #64
    b.lo    2f
1:  ldp     q0, q1, [x1]
    ldp     q2, q3, [x1, #32]
    add     x1, x1, #64
    stp     q0, q1, [x3]
    stp     q2, q3, [x3, #32]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hs    1b
    // The low six bits of what is left are those of the length.
2:  tst     x2, #63
    b.eq    9f
    tbz     x2, #5, 3f
    ldp     q0, q1, [x1], #32
    stp     q0, q1, [x3], #32
3:  tbz     x2, #4, 4f
    ldr     q0, [x1], #16
    str     q0, [x3], #16
4:  tbz     x2, #3, 5f
    ldr     x4, [x1], #8
    str     x4, [x3], #8
5:  tbz     x2, #2, 6f
    ldr     w4, [x1], #4
    str     w4, [x3], #4
6:  tbz     x2, #1, 7f
    ldrh    w4, [x1], #2
    strh    w4, [x3], #2
7:  tbz     x2, #0, 9f
    ldrb    w4, [x1]
    strb    w4, [x3]
9:  ret

    .balign 16
    .global memset
memset:
    mov     x3, x0
    dup     v0.16b, w1
    mov     x1, v0.d[0]
    subs    x2, x2, #64
    b.lo    2f
1:  stp     q0, q0, [x3]
    stp     q0, q0, [x3, #32]
    add     x3, x3, #64
    subs    x2, x2, #64
    b.hs    1b
2:  tst     x2, #63
    b.eq    9f
    tbz     x2, #5, 3f
    stp     q0, q0, [x3], #32
3:  tbz     x2, #4, 4f
    str     q0, [x3], #16
4:  tbz     x2, #3, 5f
    str     x1, [x3], #8
5:  tbz     x2, #2, 6f
    str     w1, [x3], #4
6:  tbz     x2, #1, 7f
    strh    w1, [x3], #2
7:  tbz     x2, #0, 9f
    strb    w1, [x3]
9:  ret

    .balign 16
    .global memcmp
    .global bcmp
memcmp:
bcmp:
    subs    x2, x2, #32
    b.lo    2f
1:  ldp     q0, q1, [x0], #32
    ldp     q2, q3, [x1], #32
    cmeq    v0.16b, v0.16b, v2.16b
    cmeq    v1.16b, v1.16b, v3.16b
    and     v0.16b, v0.16b, v1.16b
    uminv   b0, v0.16b
    fmov    w3, s0
    cbz     w3, 3f
    subs    x2, x2, #32
    b.hs    1b
2:  adds    x2, x2, #32
    b.ne    4f
    mov     w0, #0
    ret
    // Somewhere in these 32 bytes they differ.
3:  sub     x0, x0, #32
    sub     x1, x1, #32
    mov     x2, #32
4:  ldrb    w3, [x0], #1
    ldrb    w4, [x1], #1
    subs    w3, w3, w4
    b.ne    5f
    subs    x2, x2, #1
    b.ne    4b
5:  mov     w0, w3
    ret
