//! memcpy and its kin. Those that come with the compiler move eight bytes at a time where source and target are alike aligned, and single bytes where
//! they are not (an image member at any place, a program's buffer): most of what a kernel of messages does is copying. Here 64 bytes go at a time, in
//! general registers; an access need not be aligned, since all that is copied is normal memory and the MMU is on before anything is (`mmu::start`).

use core::arch::global_asm;

global_asm!(
    r#"
    .section .text.actor_copy, "ax"
    .global memcpy
    .global memmove
    .global memset
    .global memcmp
    .global bcmp
    .balign 64
// x0: target, x1: source, x2: bytes. x4 is the count less 64, so its six low bits are those of the rest.
memcpy:
    mov     x3, x0
    subs    x4, x2, #64
    b.lo    2f
1:  ldp     x5, x6, [x1], #16
    ldp     x7, x8, [x1], #16
    ldp     x9, x10, [x1], #16
    ldp     x11, x12, [x1], #16
    stp     x5, x6, [x3], #16
    stp     x7, x8, [x3], #16
    stp     x9, x10, [x3], #16
    stp     x11, x12, [x3], #16
    subs    x4, x4, #64
    b.hs    1b
2:  tbz     x4, #5, 3f
    ldp     x5, x6, [x1], #16
    ldp     x7, x8, [x1], #16
    stp     x5, x6, [x3], #16
    stp     x7, x8, [x3], #16
3:  tbz     x4, #4, 4f
    ldp     x5, x6, [x1], #16
    stp     x5, x6, [x3], #16
4:  tbz     x4, #3, 5f
    ldr     x5, [x1], #8
    str     x5, [x3], #8
5:  tbz     x4, #2, 6f
    ldr     w5, [x1], #4
    str     w5, [x3], #4
6:  tbz     x4, #1, 7f
    ldrh    w5, [x1], #2
    strh    w5, [x3], #2
7:  tbz     x4, #0, 8f
    ldrb    w5, [x1]
    strb    w5, [x3]
8:  ret

// Each group is loaded before it is stored, so forwards is right unless the target lies within the source's bytes; then from the end.
memmove:
    sub     x3, x0, x1
    cmp     x3, x2
    b.hs    memcpy
    add     x3, x0, x2
    add     x1, x1, x2
    subs    x4, x2, #64
    b.lo    2f
1:  ldp     x5, x6, [x1, #-16]!
    ldp     x7, x8, [x1, #-16]!
    ldp     x9, x10, [x1, #-16]!
    ldp     x11, x12, [x1, #-16]!
    stp     x5, x6, [x3, #-16]!
    stp     x7, x8, [x3, #-16]!
    stp     x9, x10, [x3, #-16]!
    stp     x11, x12, [x3, #-16]!
    subs    x4, x4, #64
    b.hs    1b
2:  tbz     x4, #5, 3f
    ldp     x5, x6, [x1, #-16]!
    ldp     x7, x8, [x1, #-16]!
    stp     x5, x6, [x3, #-16]!
    stp     x7, x8, [x3, #-16]!
3:  tbz     x4, #4, 4f
    ldp     x5, x6, [x1, #-16]!
    stp     x5, x6, [x3, #-16]!
4:  tbz     x4, #3, 5f
    ldr     x5, [x1, #-8]!
    str     x5, [x3, #-8]!
5:  tbz     x4, #2, 6f
    ldr     w5, [x1, #-4]!
    str     w5, [x3, #-4]!
6:  tbz     x4, #1, 7f
    ldrh    w5, [x1, #-2]!
    strh    w5, [x3, #-2]!
7:  tbz     x4, #0, 8f
    ldrb    w5, [x1, #-1]
    strb    w5, [x3, #-1]
8:  ret

// x0: target, w1: byte, x2: bytes.
memset:
    mov     x3, x0
    and     w1, w1, #0xff
    orr     w1, w1, w1, lsl #8
    orr     w1, w1, w1, lsl #16
    orr     x1, x1, x1, lsl #32
    subs    x4, x2, #64
    b.lo    2f
1:  stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
    subs    x4, x4, #64
    b.hs    1b
2:  tbz     x4, #5, 3f
    stp     x1, x1, [x3], #16
    stp     x1, x1, [x3], #16
3:  tbz     x4, #4, 4f
    stp     x1, x1, [x3], #16
4:  tbz     x4, #3, 5f
    str     x1, [x3], #8
5:  tbz     x4, #2, 6f
    str     w1, [x3], #4
6:  tbz     x4, #1, 7f
    strh    w1, [x3], #2
7:  tbz     x4, #0, 8f
    strb    w1, [x3]
8:  ret

// x0, x1: what is compared, x2: bytes. The first bytes that differ decide: the lowest of a word, so words are turned round first.
memcmp:
bcmp:
    subs    x4, x2, #8
    b.lo    2f
1:  ldr     x5, [x0], #8
    ldr     x6, [x1], #8
    cmp     x5, x6
    b.ne    4f
    subs    x4, x4, #8
    b.hs    1b
2:  and     x4, x4, #7
3:  cbz     x4, 5f
    ldrb    w5, [x0], #1
    ldrb    w6, [x1], #1
    sub     x4, x4, #1
    subs    w7, w5, w6
    b.eq    3b
    mov     w0, w7
    ret
4:  rev     x5, x5
    rev     x6, x6
    cmp     x5, x6
    cset    w0, ne
    cneg    w0, w0, lo
    ret
5:  mov     w0, #0
    ret
"#
);
