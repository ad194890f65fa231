//! The manager of the test: pings the kernels, watches a crash, a trespass, two injected faults, and turns the machine off.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod agents;

#[cfg(target_os = "none")]
mod guest {
    use crate::agents;
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::{BootInfo, DomainState, DomainStatus};
    use runtime::abi::capability::{ERROR_BASE, kind, label, root};
    use runtime::abi::hypercall::{Error, Inject, NOTIFY_DOMAIN, NOTIFY_IRQ};
    use runtime::{Channel, calls, channel, say};

    struct Test {
        orders: Channel,
        answers: [Channel; 2],
        hz: u64,
        /// Bits seen so far.
        seen: u64,
    }

    impl Test {
        fn order(&self, n: u64) {
            self.orders.words()[600].store(n, Ordering::Release);
            self.orders.ring();
        }

        /// When a wait is given up: long enough for a busy host, whose time the guests' counter shows.
        fn limit(&self) -> u64 {
            calls::now() + 40 * self.hz
        }

        /// Waits until `done`, but not for ever; looks now and then, for who has no vectors rings no bell.
        fn until(&mut self, what: &str, done: impl Fn(&Test) -> bool) {
            let limit = self.limit();
            while !done(self) {
                self.seen |= calls::wait(calls::now() + self.hz / 50);
                if calls::now() >= limit {
                    say!("WRONG: no {what}");
                    return;
                }
            }
            say!("{what}: ok");
        }
    }

    /// The serial port's transmit interrupt, three times: masked when it fires, let come again by IrqAck.
    fn device_interrupts(t: &mut Test, boot: &'static BootInfo) {
        let device = boot.devices[0];
        let register = |offset: u64| (device.ipa + offset) as *mut u32;
        for _ in 0..3 {
            t.seen = 0;
            // SAFETY: the frame is this service's; UARTIMSC.TXIM lets the port interrupt when it has sent the next line's bytes.
            unsafe { register(0x38).write_volatile(1 << 5) };
            say!("a line that interrupts");
            t.until("device interrupt", |t| t.seen >> NOTIFY_IRQ & 1 == 1);
            // SAFETY: as above: UARTIMSC off, UARTICR clears the interrupt.
            unsafe {
                register(0x38).write_volatile(0);
                register(0x44).write_volatile(1 << 5);
            }
            t.seen = calls::poll();
            assert!(t.seen >> NOTIFY_IRQ & 1 == 0, "a masked interrupt came again");
            calls::irq_ack(device.intid).expect("irq ack");
        }
        say!("three device interrupts");
    }

    fn state(domain: usize) -> u16 {
        channel::status(domain).map_or(0, |s| s.state)
    }

    /// A builder that makes a CNode of a partition's memory, and has the partition begin anew: EL2 would scrub and fill the slots.
    fn a_false_floor(t: &mut Test, boot: &BootInfo) {
        const LODGER: u64 = 7;
        const CNODE: u64 = root::FREE + 40;
        const RADIX: u64 = 14;
        const DELETE_FIRST: i64 = ERROR_BASE - 6;
        let core = root::OTHER_CORES + u64::from(boot.partitions[LODGER as usize].core);
        let copy = [0, RADIX, root::CNODE, root::CNODE, 64, 15];
        agents::does(core, root::CNODE, label::REVOKE, &[root::MEMORY + LODGER, 64]);
        let whole = [kind::CNODE, RADIX, root::CNODE, 0, 0, CNODE, 1];
        agents::does(core, root::MEMORY + LODGER, label::RETYPE, &whole);
        agents::does(core, CNODE, label::COPY, &copy);
        agents::does(core, root::DOMAINS + LODGER, label::RESTART, &[]);
        let again = |s: &DomainStatus| s.restarts == 2 && s.state == DomainState::Crashed as u16;
        t.until("a partition without memory", |_| {
            channel::status(LODGER as usize).as_ref().is_some_and(again)
        });
        let kept = agents::there(core, CNODE, label::COPY, &copy) == Err(DELETE_FIRST);
        say!("a CNode in a partition's place: {}", if kept { "ok" } else { "WRONG" });
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        if let Err((index, e)) = runtime::root::build(boot) {
            panic!("partition {index}: {e}");
        }
        let find = |name| Channel::find(boot, name).expect("channel");
        let mut t = Test {
            orders: find("orders"),
            answers: [find("one"), find("two")],
            hz: boot.counter_hz,
            seen: 0,
        };
        say!("director: {} domains, entropy {}", boot.domains, boot.entropy != [0; 32]);
        assert!(calls::any(7, 99, 1).0 == Error::BadArgument as i64);
        assert!(calls::any(7, 3, 9).0 == Error::BadArgument as i64);
        assert!(calls::any(5, 4000, 0).0 == Error::BadArgument as i64);
        let crashed = DomainState::Crashed as u16;
        t.until("trespasser stopped", |_| state(1) == crashed);
        for n in 1..=20 {
            t.order(n);
            let limit = t.limit();
            while t.answers.iter().any(|c| c.words()[600].load(Ordering::Acquire) != n) {
                t.seen |= calls::wait(limit);
                assert!(calls::now() < limit, "no answer to ping");
            }
        }
        say!("pings: ok");
        t.order(50);
        t.until("soak", |t| t.answers.iter().all(|c| c.words()[600].load(Ordering::Acquire) == 50));
        device_interrupts(&mut t, boot);
        // `one` (domain 3) writes where it may only read.
        t.order(100);
        t.until("one stopped by stage 2", |_| state(3) == crashed);
        // On a core of `one`'s it may be a while until it has its turn.
        t.until("two counted", |t| t.answers[1].words()[600].load(Ordering::Acquire) == 100);
        t.until("news of domains", |t| t.seen >> NOTIFY_DOMAIN & 1 == 1);
        t.order(101);
        t.until("two without vectors", |t| t.answers[1].words()[600].load(Ordering::Acquire) == 101);
        calls::inject(4, Inject::Crash).expect("inject");
        t.until("two crashed on demand", |_| state(4) == crashed);
        calls::inject(2, Inject::Hang).expect("inject");
        // One of the two has the FP/SIMD registers of their core, the other has not.
        for lodger in [5, 7] {
            let core = root::OTHER_CORES + u64::from(boot.partitions[lodger as usize].core);
            agents::does(core, root::DOMAINS + lodger, label::RESTART, &[]);
        }
        t.until("lodgers anew", |_| [5, 7].iter().all(|d| state(*d) == crashed));
        a_false_floor(&mut t, boot);
        let exits = channel::status(0).map_or(0, |s| s.exits);
        // At least a signal and a wait for each ping.
        say!("exits counted: {}", if exits >= 40 { "ok" } else { "WRONG" });
        say!("director: {exits} exits");
        let _ = calls::power_off();
        loop {
            calls::wait(u64::MAX);
        }
    }
}
