//! The FP/SIMD registers, filled with a mark and read again. The image itself is built without them.

use core::arch::global_asm;

/// v0 to v31, each its low half first.
pub type Vectors = [[u64; 2]; 32];

// In words of their own: what EL2 forgets is not to be forgotten here too.
global_asm!(
    r#"
    .text
    .arch_extension fp
    .arch_extension simd
guest_float_read:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    str q\n, [x0], #16
    .endr
    mrs x1, fpsr
    mrs x2, fpcr
    orr x0, x2, x1, lsl #32
    ret
guest_float_write:
    .irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31
    ldr q\n, [x0], #16
    .endr
    msr fpsr, x1
    msr fpcr, x2
    ret
    .arch_extension nosimd
    .arch_extension nofp
"#
);

unsafe extern "C" {
    fn guest_float_read(to: *mut Vectors) -> u64;
    fn guest_float_write(from: *const Vectors, status: u64, control: u64);
}

/// What a mark puts into the vectors, and FPSR (the flag of division by zero) and FPCR (round towards zero) behind them.
fn filled(mark: u64) -> (Vectors, u64) {
    (core::array::from_fn(|i| [mark + i as u64, !mark - i as u64]), 1 << 33 | 0b11 << 22)
}

/// Fills all registers.
pub fn fill(mark: u64) {
    let (vectors, rest) = filled(mark);
    // SAFETY: (1) the image is built without these registers; (2) no exception of theirs is enabled.
    unsafe { guest_float_write(&vectors, rest >> 32, rest & 0xffff_ffff) };
}

fn read() -> (Vectors, u64) {
    let mut vectors = [[0; 2]; 32];
    // SAFETY: it writes the vectors.
    let rest = unsafe { guest_float_read(&mut vectors) };
    (vectors, rest)
}

/// Whether all is as [`fill`] left it.
pub fn is_filled(mark: u64) -> bool {
    read() == filled(mark)
}

/// Whether all is as a domain begins.
pub fn is_zero() -> bool {
    read() == ([[0; 2]; 32], 0)
}
