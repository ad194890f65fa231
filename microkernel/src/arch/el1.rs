//! What of EL1 is one kernel's beyond [`super::registers::Controls`], with its timers. It stays in the processor while services run, and
//! is exchanged when another kernel of the core gets it.

use aarch64_cpu::asm::barrier::{self, isb};
use core::arch::asm;

/// Registers by name: an array of them, and how it is filled and put back.
macro_rules! registers {
    ($count:literal: $($index:literal $name:literal),*) => {
        /// A kernel's registers of EL1. Zero is how each begins.
        #[derive(Clone, Copy, Debug, Default)]
        #[repr(C)]
        pub struct El1([u64; $count]);

        impl El1 {
            /// What stands in the processor; its timers are off from then on.
            pub fn save(&mut self) {
                $(
                    // SAFETY: reading a register of EL1 from EL2 has no effect.
                    unsafe { asm!(concat!("mrs {}, ", $name), out(reg) self.0[$index], options(nomem, nostack)) };
                )*
                // SAFETY: a timer that is off raises nothing.
                unsafe { asm!("msr cntv_ctl_el0, xzr", "msr cntp_ctl_el0, xzr", options(nomem, nostack)) };
            }

            /// Into the processor. EL1's stage 1 must not be walked meanwhile (HCR_EL2.TGE).
            pub fn load(&self) {
                $(
                    // SAFETY: (1) these govern EL1 and EL0 alone; (2) stage 2 holds whatever they say.
                    unsafe { asm!(concat!("msr ", $name, ", {}"), in(reg) self.0[$index], options(nomem, nostack)) };
                )*
                isb(barrier::SY);
            }
        }
    };
}

registers! {
    21: 0 "ttbr0_el1", 1 "ttbr1_el1", 2 "tcr_el1", 3 "mair_el1", 4 "amair_el1", 5 "vbar_el1", 6 "esr_el1", 7 "far_el1",
    8 "afsr0_el1", 9 "afsr1_el1", 10 "elr_el1", 11 "spsr_el1", 12 "sp_el1", 13 "tpidr_el1", 14 "par_el1",
    15 "contextidr_el1", 16 "csselr_el1", 17 "cntv_cval_el0", 18 "cntv_ctl_el0", 19 "cntp_cval_el0", 20 "cntp_ctl_el0"
}

impl El1 {
    /// When the virtual timer of a kernel that is not in the processor is due: never if it is off or masked (CNTV_CTL.ENABLE, IMASK).
    pub fn timer(&self) -> u64 {
        if self.0[18] & 3 == 1 { self.0[17] } else { u64::MAX }
    }
}
