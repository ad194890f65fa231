//! A kernel without programs: tries the calls, takes timer and doorbell interrupts, answers pings, and at last does what it is told to
//! die of.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod float;
#[cfg(target_os = "none")]
mod fuzz;
#[cfg(target_os = "none")]
mod step;

#[cfg(target_os = "none")]
mod guest {
    use core::arch::{asm, global_asm};
    use core::sync::atomic::{AtomicU64, Ordering};
    use runtime::abi::bootinfo::{BootInfo, MEMORY_IPA, ROLE_NONE, name_str};
    use runtime::abi::hypercall::{DOORBELL_INTID, Error, TIMER_INTID};
    use runtime::{Channel, calls, say};

    static TICKS: AtomicU64 = AtomicU64::new(0);
    static BELLS: AtomicU64 = AtomicU64::new(0);
    static TICKS_WANTED: AtomicU64 = AtomicU64::new(3);

    global_asm!(
        r#"
    .text
    .balign 0x800
guest_vectors:
    .rept 5
    b guest_dead
    .balign 0x80
    .endr
    // IRQ from this level with SP_ELx.
    stp x0, x1, [sp, #-192]!
    stp x2, x3, [sp, #16]
    stp x4, x5, [sp, #32]
    stp x6, x7, [sp, #48]
    stp x8, x9, [sp, #64]
    stp x10, x11, [sp, #80]
    stp x12, x13, [sp, #96]
    stp x14, x15, [sp, #112]
    stp x16, x17, [sp, #128]
    stp x18, x29, [sp, #144]
    stp x30, xzr, [sp, #160]
    b guest_irq
    .balign 0x80
    .rept 10
    b guest_dead
    .balign 0x80
    .endr
guest_irq:
    bl {interrupt}
    ldp x30, xzr, [sp, #160]
    ldp x18, x29, [sp, #144]
    ldp x16, x17, [sp, #128]
    ldp x14, x15, [sp, #112]
    ldp x12, x13, [sp, #96]
    ldp x10, x11, [sp, #80]
    ldp x8, x9, [sp, #64]
    ldp x6, x7, [sp, #48]
    ldp x4, x5, [sp, #32]
    ldp x2, x3, [sp, #16]
    ldp x0, x1, [sp], #192
    eret
guest_dead:
    mrs x0, esr_el1
    mrs x1, elr_el1
    b {dead}
"#,
        interrupt = sym interrupt,
        dead = sym dead,
    );

    const GICV: u64 = 0x0801_0000;

    fn gicv(offset: u64) -> *mut u32 {
        (GICV + offset) as *mut u32
    }

    extern "C" fn interrupt() {
        // SAFETY: EL2 maps the virtual CPU interface there; acknowledging and ending is what an interrupt handler does.
        let intid = unsafe { gicv(0xc).read_volatile() };
        match intid & 0x3ff {
            TIMER_INTID => {
                let ticks = TICKS.fetch_add(1, Ordering::Relaxed) + 1;
                arm_timer(ticks < TICKS_WANTED.load(Ordering::Relaxed));
            }
            DOORBELL_INTID => {
                BELLS.fetch_add(1, Ordering::Relaxed);
            }
            _ => return,
        }
        // SAFETY: as above.
        unsafe { gicv(0x10).write_volatile(intid) };
    }

    extern "C" fn dead(syndrome: u64, pc: u64) -> ! {
        panic!("exception {syndrome:#x} at {pc:#x}")
    }

    fn arm_timer(on: bool) {
        // SAFETY: this kernel's own timer: half a millisecond from now, or off.
        unsafe {
            asm!("msr cntv_tval_el0, {}", "msr cntv_ctl_el0, {}", in(reg) 31_250u64, in(reg) u64::from(on), options(nostack))
        };
    }

    fn expect(what: &str, got: i64, want: i64) {
        if got != want {
            say!("WRONG {what}: {got} instead of {want}");
        }
    }

    fn bad_calls(boot: &BootInfo) {
        let text = b"text".as_ptr() as u64;
        expect("null", calls::any(0, 0, 0).0, 0);
        expect("unknown call", calls::any(99, 0, 0).0, Error::UnknownCall as i64);
        expect("huge call", calls::any(u64::MAX, 0, 0).0, Error::UnknownCall as i64);
        expect("signal 99", calls::any(2, 99, 0).0, Error::BadArgument as i64);
        expect("signal max", calls::any(2, u64::MAX, 0).0, Error::BadArgument as i64);
        let foreign = boot.channels.iter().position(|c| c.role == ROLE_NONE).map_or(u64::MAX, |c| c as u64);
        expect("foreign channel", calls::any(2, foreign, 0).0, Error::Denied as i64);
        expect("text below", calls::any(1, 0x1000, 4).0, Error::BadAddress as i64);
        expect("text in boot page", calls::any(1, 0x1000_0000, 4).0, Error::BadAddress as i64);
        expect("text round the end", calls::any(1, u64::MAX - 1, 4).0, Error::BadAddress as i64);
        expect("text at the end", calls::any(1, MEMORY_IPA + (2 << 20) - 2, 4).0, Error::BadAddress as i64);
        expect("long text", calls::any(1, text, 257).0, Error::BadArgument as i64);
        expect("irq ack", calls::any(5, 33, 0).0, Error::BadArgument as i64);
        expect("inject", calls::any(7, 0, 1).0, Error::Denied as i64);
        expect("power off", calls::any(8, 0, 0).0, Error::Denied as i64);
        let psci: i64;
        // SAFETY: EL2 answers SMC with NOT_SUPPORTED and changes x0 only.
        unsafe { asm!("smc #0", inout("x0") 0x8400_0000u64 => psci, options(nostack)) };
        expect("smc", psci, -1);
        let zero: u64;
        // SAFETY: EL2 answers debug registers with zero.
        unsafe { asm!("mrs {}, dbgbcr0_el1", out(reg) zero, options(nostack)) };
        expect("debug register", zero as i64, 0);
        let (steps, control) = crate::step::count();
        expect("steps", steps as i64, 3);
        expect("MDSCR_EL1", control as i64, 1);
    }

    /// Timer interrupts one after the other, mixed with doorbells: none may be lost.
    fn soak() {
        let wanted = TICKS.load(Ordering::Relaxed) + 500;
        TICKS_WANTED.store(wanted, Ordering::Relaxed);
        arm_timer(true);
        let mut calls = 0u64;
        while TICKS.load(Ordering::Relaxed) < wanted {
            calls += 1;
            if calls.is_multiple_of(3) {
                // Ends by the timer, whose handler runs on return.
                calls::wait(u64::MAX);
            } else {
                // SAFETY: sleeping.
                unsafe { asm!("wfi") };
            }
        }
        if el0_controls() != HOSTILE {
            say!("WRONG: {:x?}", el0_controls());
        }
        if !crate::float::is_filled(FLOAT) {
            say!("WRONG FP/SIMD registers");
        }
        say!("soak ok");
    }

    /// SCTLR_EL1 (RES1, and big-endian loads at EL0), CNTKCTL_EL1, CPACR_EL1, TPIDR_EL0, TPIDRRO_EL0: what a service on this core must
    /// not feel, and what it must not change.
    const HOSTILE: [u64; 5] = [0x30d0_0800 | 1 << 24, 1, 0b01 << 20, 0xbad0, 0xbad1];

    /// Mark of this kernel's FP/SIMD registers; its CPACR_EL1 lets itself use them, and not EL0.
    const FLOAT: u64 = 0xf10a;

    fn set_el0_controls([sctlr, cntkctl, cpacr, own, read_only]: [u64; 5]) {
        // SAFETY: none of them concerns this kernel's own code.
        unsafe {
            asm!(
                "msr sctlr_el1, {}", "msr cntkctl_el1, {}", "msr cpacr_el1, {}", "msr tpidr_el0, {}", "msr tpidrro_el0, {}", "isb",
                in(reg) sctlr, in(reg) cntkctl, in(reg) cpacr, in(reg) own, in(reg) read_only, options(nostack)
            )
        };
    }

    fn el0_controls() -> [u64; 5] {
        let (a, b, c, d, e);
        // SAFETY: reading.
        unsafe {
            asm!(
                "mrs {}, sctlr_el1", "mrs {}, cntkctl_el1", "mrs {}, cpacr_el1", "mrs {}, tpidr_el0", "mrs {}, tpidrro_el0",
                out(reg) a, out(reg) b, out(reg) c, out(reg) d, out(reg) e, options(nostack)
            )
        };
        [a, b, c, d, e]
    }

    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
        unsafe extern "C" {
            safe static guest_vectors: u8;
        }
        say!("hello from {} with {} MiB\x1b", name_str(&boot.name), boot.memory_size >> 20);
        bad_calls(boot);
        crate::fuzz::calls(boot.domain.into());
        // SAFETY: (1) the vectors are whole and aligned; (2) interrupts are handled above.
        unsafe {
            asm!("msr vbar_el1, {}", "isb", in(reg) &raw const guest_vectors);
            gicv(0x4).write_volatile(0xff);
            gicv(0x0).write_volatile(1);
        }
        set_el0_controls(HOSTILE);
        if !crate::float::is_zero() {
            say!("WRONG: FP/SIMD registers of another");
        }
        crate::float::fill(FLOAT);
        arm_timer(true);
        // SAFETY: the handlers stand.
        unsafe { asm!("msr daifclr, #2") };
        while TICKS.load(Ordering::Relaxed) < 3 {
            // SAFETY: sleeping.
            unsafe { asm!("wfi") };
        }
        let before = calls::now();
        // Pings may come already: only a wait without a word says something about time.
        let word = calls::wait(before + boot.counter_hz / 1000);
        let waited = calls::now() - before;
        if word == 0 && waited < boot.counter_hz / 1000 {
            say!("WRONG: waited {waited} only");
        }
        say!("ticks ok");
        serve(boot)
    }

    /// One block table: the second GiB one to one, nothing else.
    #[repr(C, align(4096))]
    struct Table([u64; 512]);

    static TABLE: Table = {
        let mut table = Table([0; 512]);
        // AF, SH inner, Attr0, block.
        table.0[1] = 0x4000_0000 | 1 << 10 | 0b11 << 8 | 1;
        // The channels' GiB, at another address than its own: what lies below the code is not to be fetched.
        table.0[3] = 1 << 10 | 0b11 << 8 | 1;
        table
    };

    /// Turns the MMU on with vectors where nothing is mapped, says 101 by `answer`, and spins: only EL2 can see what an injected crash
    /// does then.
    fn lose_vectors(answer: &AtomicU64) -> ! {
        // SAFETY: (1) the table maps this code one to one, and the channel of `answer` 3 GiB higher; (2) what comes after is the end
        // of this kernel.
        unsafe {
            asm!(
                "msr mair_el1, {mair}", "msr tcr_el1, {tcr}", "msr ttbr0_el1, {table}", "msr vbar_el1, {nowhere}",
                "isb", "tlbi vmalle1", "dsb sy", "isb",
                "mrs {mair}, sctlr_el1", "orr {mair}, {mair}, #1", "msr sctlr_el1, {mair}", "isb",
                "str {said}, [{answer}]", "2: b 2b",
                // 39 bits; the upper half off; 40 bits of output.
                mair = in(reg) 0xffu64, tcr = in(reg) 25u64 | 1 << 23 | 0b010 << 32,
                table = in(reg) &raw const TABLE, nowhere = in(reg) 0x1_0000_0000u64,
                said = in(reg) 101u64, answer = in(reg) answer.as_ptr() as usize + 0xc000_0000,
                options(noreturn)
            )
        }
    }

    fn serve(boot: &'static BootInfo) -> ! {
        let orders = Channel::find(boot, "orders").expect("orders");
        let mine = Channel::find(boot, name_str(&boot.name)).expect("my channel");
        let expected = runtime::abi::ring::MAGIC;
        assert!(orders.words()[0].load(Ordering::Relaxed) == expected, "ring header");
        let mut done = 0;
        loop {
            let order = orders.words()[600].load(Ordering::Acquire);
            if order > done {
                done = order;
                if order == 50 {
                    soak();
                }
                if order < 100 {
                    mine.words()[600].store(order, Ordering::Release);
                    mine.ring();
                } else if order == 100 && boot.domain == 4 {
                    // This one never waits at EL2, so each ping was an interrupt.
                    say!("doorbells {}", if BELLS.load(Ordering::Relaxed) > 0 { "ok" } else { "WRONG" });
                    mine.words()[600].store(order, Ordering::Release);
                    mine.ring();
                } else if order == 100 {
                    // Not ours to write.
                    orders.words()[600].store(0, Ordering::Relaxed);
                    say!("WRONG: wrote a channel of another");
                }
            }
            if order == 101 && boot.domain == 4 {
                lose_vectors(&mine.words()[600]);
            }
            // Odd domains sleep at EL2, even ones by WFI until the doorbell.
            if boot.domain % 2 == 1 {
                calls::wait(u64::MAX);
            } else {
                // SAFETY: masked, look, sleep, unmask: a bell between look and sleep ends the sleep.
                unsafe { asm!("msr daifset, #2") };
                if calls::poll() == 0 {
                    // SAFETY: sleeping.
                    unsafe { asm!("wfi") };
                }
                // SAFETY: as before.
                unsafe { asm!("msr daifclr, #2") };
            }
        }
    }
}
