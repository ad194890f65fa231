//! FP/SIMD registers, switched lazily: they stay those of the domain that used them last until another one touches them, which traps
//! (CPTR_EL2.TFP). Whose they are, and where they go, says [`crate::memory::Direct::float`].

use aarch64_cpu::asm::barrier::{self, isb};
use aarch64_cpu::registers::*;

/// CPTR_EL2: its RES1 bits (D13.2.29). EL2 itself is built without floating point.
const RES1: u64 = 0x33ff;
/// The bit TFP: FP and SIMD of all below trap to EL2, exception class 0x07.
const TFP: u64 = 10;

/// What a domain's FP/SIMD registers hold. `entry.s` knows the layout; zero is how each begins.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Registers {
    /// v0 to v31, each its low half first.
    v: [[u64; 2]; 32],
    fpsr: u64,
    fpcr: u64,
}

const _: () = assert!(core::mem::offset_of!(Registers, fpsr) == 512 && size_of::<Registers>() == 528);

unsafe extern "C" {
    fn float_save(to: *mut Registers);
    fn float_load(from: *const Registers);
}

impl Registers {
    /// What stands in the processor.
    pub fn save(&mut self) {
        allow(true);
        isb(barrier::SY);
        // SAFETY: (1) `self` is as large as the assembly writes, which is asserted; (2) TFP is off, so nothing traps.
        unsafe { float_save(self) };
    }

    /// Into the processor.
    pub fn load(&self) {
        allow(true);
        isb(barrier::SY);
        // SAFETY: (1) as in `save`; (2) EL2's code keeps nothing in these registers, and whoever runs next below has them by right.
        unsafe { float_load(self) };
    }
}

/// Whether who runs next below uses the registers as they are, or traps. It holds from the exception return on.
#[inline(always)]
pub fn allow(yes: bool) {
    CPTR_EL2.set(RES1 | u64::from(!yes) << TFP);
}
