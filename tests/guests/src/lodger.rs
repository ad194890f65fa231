//! A service on a kernel's core: whatever that kernel, or another such service, does to the registers that govern EL0, and to those of
//! floating point, the service must not feel it, nor see what they hold.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod float;

#[cfg(target_os = "none")]
mod guest {
    use core::arch::asm;
    use runtime::abi::bootinfo::BootInfo;
    use runtime::{calls, say};

    /// Rounds, each of which takes the core from the kernel and gives it back.
    const ROUNDS: u64 = 1000;
    const WORD: u64 = 0x0123_4567_89ab_cdef;

    /// TPIDR_EL0 and TPIDRRO_EL0.
    fn thread_registers() -> [u64; 2] {
        let (own, read_only);
        // SAFETY: EL0 may read both.
        unsafe {
            asm!("mrs {}, tpidr_el0", "mrs {}, tpidrro_el0", out(reg) own, out(reg) read_only, options(nomem, nostack))
        };
        [own, read_only]
    }

    /// A word that does not begin at a multiple of eight.
    fn unaligned(bytes: &[u8; 16]) -> u64 {
        let word;
        // SAFETY: the eight bytes lie within the sixteen.
        unsafe { asm!("ldur {}, [{}, #3]", out(reg) word, in(reg) bytes, options(readonly, nostack)) };
        word
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let mark = WORD + u64::from(boot.domain);
        assert!(crate::float::is_zero(), "WRONG: FP/SIMD registers of another");
        assert!(boot.restarts == 0, "anew with clean registers");
        crate::float::fill(mark);
        // SAFETY: the register is this service's own.
        unsafe { asm!("msr tpidr_el0, {}", in(reg) mark, options(nomem, nostack)) };
        let mut bytes = [0; 16];
        bytes[3..11].copy_from_slice(&WORD.to_le_bytes());
        let mut longest = 0;
        for round in 0..ROUNDS {
            let until = calls::now() + boot.counter_hz / 10_000;
            // News of other domains end a wait, too.
            while calls::now() < until {
                calls::wait(until);
            }
            longest = longest.max(calls::now() - until);
            assert!(thread_registers() == [mark, 0], "thread registers in round {round}");
            assert!(unaligned(&bytes) == WORD, "a load in round {round}");
            assert!(crate::float::is_filled(mark), "FP/SIMD registers in round {round}");
            if round % 16 == 0 {
                // SAFETY: sleeping gives the rest of the slice away.
                unsafe { asm!("wfi") };
            }
        }
        say!("lodger ok, woken at most {} us late", longest * 1_000_000 / boot.counter_hz);
        loop {
            calls::wait(u64::MAX);
        }
    }
}
