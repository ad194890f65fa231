//! A kernel that was taken over, by somebody who knows this design: it runs no program, and tries everything that could reach another's memory,
//! device, channel or vote. It lives many times: each life ends in an attempt that EL2 punishes by death, or when it is begun anew.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod attempts;
#[cfg(target_os = "none")]
mod ends;
#[cfg(target_os = "none")]
#[path = "../float.rs"]
mod float;
#[cfg(target_os = "none")]
#[path = "../random.rs"]
mod random;
#[cfg(target_os = "none")]
mod voice;

#[cfg(target_os = "none")]
mod guest {
    use crate::attempts::Attempts;
    use crate::{ends, voice};
    use core::arch::{asm, global_asm};
    use runtime::abi::bootinfo::{BootInfo, MEMORY_IPA};
    use runtime::say;

    /// Attempts of one life, but for those by its voice.
    const ATTEMPTS: u64 = 50_000;

    // An undefined instruction is passed over; interrupts stay masked.
    global_asm!(
        r#"
    .text
    .balign 0x800
hostile_vectors:
    .rept 4
    b .
    .balign 0x80
    .endr
    stp x0, x1, [sp, #-16]!
    mrs x0, elr_el1
    add x0, x0, #4
    msr elr_el1, x0
    ldp x0, x1, [sp], #16
    eret
    .balign 0x80
    .rept 11
    b .
    .balign 0x80
    .endr
"#
    );

    /// What a life leaves in its memory, and the next one must not find.
    const CANARY: u64 = u64::from_le_bytes(*b"HOSTILE!");

    /// Words of this kernel's memory behind its image, one in each of 64 pages.
    fn marks(boot: &BootInfo) -> impl Iterator<Item = *mut u64> {
        (0..64).map(|page| (boot.image_end.max(MEMORY_IPA) + page * 4096 + 8) as *mut u64)
    }

    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
        unsafe extern "C" {
            safe static hostile_vectors: u8;
        }
        let life = boot.restarts;
        say!("hostile: life {life} begins");
        for mark in marks(boot) {
            // SAFETY: (1) this kernel's own memory behind its image, which nothing else here uses; (2) aligned.
            unsafe {
                if mark.read_volatile() == CANARY {
                    say!("hostile: WRONG memory: {mark:?} holds what an earlier life left");
                }
                mark.write_volatile(CANARY);
            }
        }
        // SAFETY: (1) the vectors are whole and aligned; (2) FP/SIMD registers do not trap here.
        unsafe {
            asm!("msr vbar_el1, {}", "msr cpacr_el1, {}", "isb", in(reg) &raw const hostile_vectors, in(reg) 0b11u64 << 20)
        };
        let mut attempts = Attempts::new(boot, life);
        // Before anybody else has said anything. It may be the end of a life: every other one says nothing.
        if life.is_multiple_of(2) {
            voice::shout(boot, life, &mut attempts);
        }
        attempts.until(ATTEMPTS);
        ends::end(boot, life);
        say!("hostile: WRONG end of life {life}: it got through");
        loop {
            runtime::wait(u64::MAX);
        }
    }
}
