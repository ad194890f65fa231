//! Memory that is lent to a running domain of another core, used, taken back and lent to the next, under load.
//!
//! `lender` is the root task. It lends an Untyped; the borrower's agent makes frames of it and maps them; the borrower looks for what
//! the one before left behind, and leaves its own mark; the lender revokes and waits until all is back.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::{BootInfo, name_str};
    use runtime::abi::capability::{IN_PROGRESS, kind, label, map, root};
    use runtime::capability::{Registers, ask, invoke};
    use runtime::{Channel, calls, say};

    /// Rounds, and what is lent in each: blocks of 2 MiB.
    const ROUNDS: u64 = 100;
    const BLOCKS: u64 = 2;
    const BLOCK: u64 = 2 << 20;
    const PAGE: u64 = 4096;
    /// Where borrowers find it, and a mark.
    const PLACE: u64 = 0x5000_0000;
    const CANARY: u64 = 0xca4a_97ca_4a97_ca4a;
    /// Slots: of the lender what is lent; of the agents what they borrowed and what became of it.
    const LENT: u64 = root::FREE;
    const BORROWED: u64 = root::FREE;
    const FRAMES: u64 = root::FREE + 1;
    const STEP: usize = 600;

    fn told(channel: &Channel) -> u64 {
        channel.words()[STEP].load(Ordering::Acquire)
    }

    fn tell(own: &Channel, step: u64) {
        own.words()[STEP].store(step, Ordering::Release);
        own.ring();
    }

    /// An invocation, tried until it is done: another core works on it.
    fn done(address: u64, label: u64, arguments: &[u64], pause: u64) {
        for _ in 0..100_000 {
            let mut registers = Registers::new(address, arguments);
            invoke(label, &mut registers);
            match registers.status() {
                0 => return,
                IN_PROGRESS => _ = calls::wait(calls::now() + pause),
                e => panic!("capability {address}, label {label}: {e}"),
            };
        }
        panic!("capability {address}, label {label}: never done");
    }

    fn there(core: u64, address: u64, label: u64, arguments: &[u64], pause: u64) -> Result<(), i64> {
        let mut words = [0; 10];
        words[..2].copy_from_slice(&[address, label]);
        words[2..2 + arguments.len()].copy_from_slice(arguments);
        ask(root::OTHER_CORES + core, label::REMOTE, &words)?;
        loop {
            let mut answer = Registers::new(root::OTHER_CORES + core, &[]);
            invoke(label::INSPECT, &mut answer);
            match answer.status() {
                0 => return Ok(()),
                IN_PROGRESS => _ = calls::wait(calls::now() + pause),
                e => return Err(e),
            }
        }
    }

    /// Lends, has it mapped, waits until it was used, takes it back.
    fn round(own: &Channel, borrower: &Channel, core: u64, step: u64, pause: u64) {
        done(LENT, label::LEASE, &[core, BORROWED, 64], pause);
        // The offer is on its way: until it has come the slot there is empty.
        let retype = [kind::FRAME, 1, root::CNODE, 0, 0, FRAMES, BLOCKS];
        let mut tries = 0;
        while let Err(e) = there(core, BORROWED, label::RETYPE, &retype, pause) {
            tries += 1;
            assert!(tries < 1000, "core {core}: {e}");
        }
        let space = root::SPACES + core;
        for n in 0..BLOCKS {
            let arguments = [space, PLACE + n * BLOCK, map::READ | map::WRITE | map::NO_EXECUTE];
            there(core, FRAMES + n, label::MAP, &arguments, pause).expect("map");
        }
        tell(own, step);
        while told(borrower) < step {
            calls::wait(u64::MAX);
        }
        assert!(told(borrower) == step, "a canary was found");
        done(root::CNODE, label::REVOKE, &[LENT, 64], pause);
    }

    fn lender(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        let (own, borrowers) = (find("lender"), [find("first"), find("second")]);
        let largest =
            boot.untyped.iter().enumerate().max_by_key(|(_, m)| m.size).map_or(0, |(n, _)| n as u64);
        let pages = BLOCKS * BLOCK / PAGE;
        // Aligned, so that it is whole blocks.
        let retype = [kind::FRAME, 1, root::CNODE, 0, 0, LENT, 1];
        done(root::UNTYPED + largest, label::RETYPE, &retype, 1);
        done(root::CNODE, label::DELETE, &[LENT, 64], 1);
        let retype = [kind::UNTYPED, pages + 512, root::CNODE, 0, 0, LENT, 1];
        done(root::UNTYPED + largest, label::RETYPE, &retype, 1);
        let pause = boot.counter_hz / 50_000;
        for n in 0..ROUNDS {
            let which = n % 2;
            round(&own, &borrowers[which as usize], which + 1, n + 1, pause);
        }
        say!("leases: {ROUNDS} rounds, no canary");
        // The old mapping is gone: who looks there now faults.
        tell(&own, ROUNDS + 1);
        loop {
            calls::wait(u64::MAX);
        }
    }

    fn borrower(own: &Channel, lender: &Channel, parity: u64) -> ! {
        let words = (BLOCKS * BLOCK / 8) as usize;
        loop {
            let step = told(lender);
            if step > ROUNDS {
                // SAFETY: none: nothing is mapped there any more, and stage 2 must say so.
                let word = unsafe { (PLACE as *const u64).read_volatile() };
                panic!("WRONG: read {word:#x}");
            }
            if step == 0 || step % 2 != parity || step <= told(own) {
                calls::wait(u64::MAX);
                continue;
            }
            // SAFETY: the lender had these blocks mapped here for this domain alone, until it is told.
            let memory = unsafe { core::slice::from_raw_parts_mut(PLACE as *mut u64, words) };
            let dirty = memory.iter().step_by(64).any(|&word| word != 0);
            memory.iter_mut().step_by(64).for_each(|word| *word = CANARY);
            tell(own, if dirty { u64::MAX } else { step });
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        match name_str(&boot.name) {
            "lender" => lender(boot),
            "first" => borrower(&find("first"), &find("lender"), 1),
            _ => borrower(&find("second"), &find("lender"), 0),
        }
    }
}
