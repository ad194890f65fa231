//! Who has capabilities and does what he likes with them: a million invocations of everything with anything, all of memory, the registers of
//! EL1 and EL2. `warden` gave them, answers the faults, and wakes `attacker` whenever it has put itself to sleep.
//!
//! The warden keeps the attacker's Domain, Space of the boot and time to itself, else the attack would end with its own end.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod random;

#[cfg(target_os = "none")]
mod guest {
    use crate::random::Random;
    use core::arch::asm;
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::{BOOTINFO_IPA, BootInfo, MEMORY_IPA};
    use runtime::abi::capability::{FAULT_SKIP, MESSAGE, kind, label, root};
    use runtime::capability::{Registers, ask, invoke};
    use runtime::{Channel, calls, say};

    /// Invocations.
    const ATTEMPTS: u64 = 1_000_000;
    /// Slots of the warden.
    const FAULTS: u64 = root::FREE;
    const REPLY: u64 = root::FREE + 1;
    const PLAIN: u64 = root::FREE + 2;
    const WHOLE: u64 = root::FREE + 3;
    const MADE: u64 = root::FREE + 8;
    /// Bits of the attacker's CSpace.
    const RADIX: u64 = 5;
    /// Words of a channel: how far the attacker is, what got through.
    const PROGRESS: usize = 600;
    const THROUGH: usize = 601;
    /// Attacker: place in the manifest.
    const ATTACKER: u64 = 1;

    fn done(address: u64, label: u64, arguments: &[u64]) {
        if let Err(e) = ask(address, label, arguments) {
            panic!("capability {address}, label {label}: {e}");
        }
    }

    fn make(kind: u64, parameter: u64, slot: u64) {
        done(root::UNTYPED, label::RETYPE, &[kind, parameter, root::CNODE, 0, 0, slot, 1]);
    }

    fn warden(own: &Channel, attacker: &Channel, hz: u64) -> ! {
        make(kind::ENDPOINT, 0, FAULTS);
        make(kind::REPLY, 0, REPLY);
        make(kind::CNODE, RADIX, PLAIN);
        done(root::CNODE, label::MINT, &[WHOLE, 64, root::CNODE, PLAIN, 64, 15, (64 - RADIX) << 58]);
        // One of each kind, the CNode itself, and memory for more.
        let kinds = [
            (kind::UNTYPED, 64),
            (kind::CNODE, 2),
            (kind::ENDPOINT, 0),
            (kind::NOTIFICATION, 0),
            (kind::REPLY, 0),
        ];
        let more = [
            (kind::FRAME, 0),
            (kind::PAGE_TABLE, 2),
            (kind::PAGE_TABLE, 3),
            (kind::SPACE, 0),
            (kind::DOMAIN, 0),
            (kind::GATE, 0),
        ];
        for (n, (kind, parameter)) in (1..).zip(kinds.into_iter().chain(more)) {
            make(kind, parameter, MADE + n);
            done(PLAIN, label::MOVE, &[n, RADIX, root::CNODE, MADE + n, 64]);
        }
        done(PLAIN, label::COPY, &[16, RADIX, root::CNODE, WHOLE, 64, 15]);
        done(root::CORE, label::CARVE, &[100, 10_000, PLAIN, 17, RADIX]);
        done(root::DOMAINS + ATTACKER, label::CONFIGURE, &[WHOLE, 0, FAULTS]);
        own.words()[PROGRESS].store(1, Ordering::Release);
        own.ring();
        let (mut faults, mut woken, mut before, mut still) = (0u64, 0u64, 0, 0);
        loop {
            let mut message = Registers::new(FAULTS, &[]);
            message.y[4] = REPLY;
            invoke(label::NB_RECV, &mut message);
            if message.status() == 0 && message.y[5] == MESSAGE {
                faults += 1;
                let mut answer = Registers::new(REPLY, &[0, FAULT_SKIP]);
                invoke(label::SEND, &mut answer);
                continue;
            }
            let progress = attacker.words()[PROGRESS].load(Ordering::Acquire);
            if progress == u64::MAX {
                break;
            }
            (still, before) = if progress == before { (still + 1, before) } else { (0, progress) };
            if still > 2 {
                // It waits for somebody: nobody will come.
                done(root::DOMAINS + ATTACKER, label::SUSPEND, &[]);
                done(root::DOMAINS + ATTACKER, label::RESUME, &[]);
                (woken, still) = (woken + 1, 0);
            }
            calls::wait(calls::now() + hz / 50_000);
        }
        let through = attacker.words()[THROUGH].load(Ordering::Acquire);
        say!("attack: {faults} faults, {woken} times woken, {through} got through");
        // Everything that the attacker made goes, while he can do nothing any more.
        done(root::DOMAINS + ATTACKER, label::SUSPEND, &[]);
        done(root::CNODE, label::REVOKE, &[root::UNTYPED, 64]);
        say!("attack: all taken back");
        loop {
            calls::wait(u64::MAX);
        }
    }

    impl Random {
        /// Mostly what can mean something.
        fn word(&mut self) -> u64 {
            const ODD: [u64; 12] =
                [0, 1, 5, 6, 63, 64, 4096, 0x4000_0000, 0x8000_0000, 1 << 58, 1 << 63, u64::MAX];
            let n = self.next();
            match n % 8 {
                0 => n,
                1 | 2 => ODD[(n >> 8) as usize % ODD.len()],
                _ => n >> 8 & 31,
            }
        }
    }

    fn invocations(own: &Channel) {
        let mut random = Random(0x9e37_79b9_7f4a_7c15);
        let mut took_effect = 0u64;
        for n in 0..ATTEMPTS {
            let mut registers = Registers::default();
            registers.x.iter_mut().for_each(|x| *x = random.word());
            registers.y.iter_mut().for_each(|y| *y = random.word());
            invoke(random.next() % 36, &mut registers);
            took_effect += u64::from(registers.status() >= 0);
            if n % 64 == 0 {
                own.words()[PROGRESS].store(n + 1, Ordering::Release);
            }
        }
        say!("attack: {ATTEMPTS} invocations, {took_effect} took effect");
    }

    /// Loads and stores at every 2 MiB of 8 GiB but this service's own; how many loads answered.
    fn memory(boot: &BootInfo) -> u64 {
        let mut through = 0;
        for address in (0..8u64 << 30).step_by(2 << 20) {
            // Its own: boot page, channels, memory.
            if [BOOTINFO_IPA, MEMORY_IPA].contains(&address) || boot.channels.iter().any(|c| c.ipa == address)
            {
                continue;
            }
            let got: u64;
            // SAFETY: what is not mapped faults, and the warden lets it go on behind; what is mapped would be the finding.
            unsafe {
                asm!(
                    "mov {got}, #0x1234", "ldr {got}, [{at}, #8]", "str xzr, [{at}, #16]", "dc ivac, {at}", "dc civac, {at}",
                    at = in(reg) address, got = out(reg) got, options(nostack)
                )
            };
            if got != 0x1234 {
                say!("attack: {address:#x} holds {got:#x}");
                through += 1;
            }
        }
        through
    }

    /// Registers of other levels: each faults, or reads as what EL0 may see.
    fn registers() -> u64 {
        let mut through = 0;
        macro_rules! read {
            ($($name:literal)*) => {
                $(
                    let got: u64;
                    // SAFETY: reading, or a fault that the warden skips.
                    unsafe { asm!("mov {got}, #0x1234", concat!("mrs {got}, ", $name), got = out(reg) got, options(nostack)) };
                    if got != 0x1234 {
                        say!("attack: {} reads {got:#x}", $name);
                        through += 1;
                    }
                )*
            };
        }
        read!("sctlr_el1" "ttbr0_el1" "ttbr1_el1" "tcr_el1" "vbar_el1" "elr_el1" "spsr_el1" "esr_el1" "far_el1" "mair_el1" "cpacr_el1"
            "mdscr_el1" "oslsr_el1" "dbgbcr0_el1" "pmcr_el0" "pmccntr_el0" "cntkctl_el1" "cntv_ctl_el0" "cntv_cval_el0" "cntp_ctl_el0"
            "cntpct_el0" "midr_el1" "mpidr_el1" "hcr_el2" "vttbr_el2" "sctlr_el2" "tpidr_el2" "vbar_el2" "elr_el2" "sp_el0" "daif");
        macro_rules! execute {
            ($($instruction:literal)*) => {
                // SAFETY: each is a fault that the warden skips.
                $( unsafe { asm!($instruction, options(nostack)) }; )*
            };
        }
        execute!("hvc #0" ".inst 0xd4000003" "msr daifset, #15" "msr vbar_el1, xzr" "msr hcr_el2, xzr" "msr sctlr_el1, xzr"
            "tlbi vmalle1" "ic iallu" "dc isw, xzr" "eret" "brk #1" "udf #1" "msr cntv_ctl_el0, xzr" "msr mdscr_el1, xzr"
            "msr oslar_el1, xzr");
        through
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        let (own, other) = if boot.domain == 0 { ("warden", "attacker") } else { ("attacker", "warden") };
        let (own, other) = (find(own), find(other));
        if boot.domain == 0 {
            warden(&own, &other, boot.counter_hz)
        }
        while other.words()[PROGRESS].load(Ordering::Acquire) == 0 {
            calls::wait(u64::MAX);
        }
        let through = memory(boot) + registers();
        own.words()[THROUGH].store(through, Ordering::Release);
        say!("attack: memory and registers tried");
        invocations(&own);
        own.words()[PROGRESS].store(u64::MAX, Ordering::Release);
        loop {
            calls::wait(u64::MAX);
        }
    }
}
