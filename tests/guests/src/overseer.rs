//! Domains that behave badly, and who is told of them: one faults in a loop, one is garbage, one never gives its core away. `prompt` on the
//! core of the last two answers in time all the while.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod agents;

#[cfg(target_os = "none")]
mod guest {
    use crate::agents::{STEP, done, tell, told};
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::{BootInfo, DomainState, name_str};
    use runtime::abi::capability::{FAULT_RETRY, kind, label, root};
    use runtime::capability::{Registers, invoke};
    use runtime::{Channel, calls, channel, say};

    /// Faults that are answered, and the address they are about.
    const FAULTS: u64 = 1000;
    const NOWHERE: u64 = 0x7000_0000;
    /// Slots: where faults come, that with the badge of the one who faults, a reply.
    const ENDPOINT: u64 = root::FREE;
    const BADGED: u64 = root::FREE + 1;
    const REPLY: u64 = root::FREE + 2;
    /// Places in the manifest, which are badges, too.
    const LOOPER: u64 = 1;
    const GARBAGE: usize = 2;

    /// Takes faults of the looper, has it try again, and at last stops it.
    fn faults_in_a_loop(own: &Channel, hz: u64, prompt: &Channel, hog: &Channel) {
        for (kind, slot) in [(kind::ENDPOINT, ENDPOINT), (kind::REPLY, REPLY)] {
            done(root::UNTYPED, label::RETYPE, &[kind, 0, root::CNODE, 0, 0, slot, 1]);
        }
        done(root::CNODE, label::MINT, &[BADGED, 64, root::CNODE, ENDPOINT, 64, 15, LOOPER]);
        done(root::DOMAINS + LOOPER, label::CONFIGURE, &[0, 0, BADGED]);
        let (mut late, mut pc) = (0, 0);
        for n in 1..=FAULTS {
            tell(own, n);
            let begun = calls::now();
            let mut message = Registers::new(ENDPOINT, &[]);
            message.y[4] = REPLY;
            invoke(label::RECV, &mut message);
            assert!(
                message.status() == 0 && message.word() == LOOPER && message.x[4] == NOWHERE,
                "{message:?}"
            );
            pc = message.x[3];
            while told(prompt) < n {
                calls::wait(calls::now() + hz / 100);
            }
            late = late.max(calls::now() - begun);
            if n < FAULTS {
                invoke(label::SEND, &mut Registers::new(REPLY, &[0, FAULT_RETRY]));
            }
        }
        done(root::DOMAINS + LOOPER, label::SUSPEND, &[]);
        say!("overseer: looper stopped after {FAULTS} faults at {NOWHERE:#x}, pc {pc:#x}");
        say!("overseer: prompt has answered {FAULTS} times, at most {} us late", late * 1_000_000 / hz);
        assert!(told(hog) == 0, "the hog answers");
        say!("overseer: hog never answers");
    }

    fn overseer(boot: &'static BootInfo, find: &dyn Fn(&'static str) -> Channel) -> ! {
        let own = find("overseer");
        faults_in_a_loop(&own, boot.counter_hz, &find("prompt"), &find("hog"));
        let status = channel::status(GARBAGE).expect("a status");
        assert!(u32::from(status.state) == DomainState::Crashed as u32, "garbage runs");
        say!("overseer: garbage crashed, exception class {:#x}, pc {:#x}", status.cause, status.pc);
        say!("overseer: all are told");
        loop {
            calls::wait(u64::MAX);
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        let overseer_channel = find("overseer");
        match name_str(&boot.name) {
            "overseer" => overseer(boot, &find),
            "prompt" => loop {
                tell(&find("prompt"), told(&overseer_channel));
                calls::wait(u64::MAX);
            },
            // It has a channel to answer by, and never does.
            "hog" => loop {
                core::hint::black_box(find("hog").words()[STEP].load(Ordering::Relaxed));
            },
            _ => {
                while told(&overseer_channel) == 0 {
                    calls::wait(u64::MAX);
                }
                // SAFETY: none: nothing is there, and the overseer has it tried again and again.
                let word = unsafe { (NOWHERE as *const u64).read_volatile() };
                panic!("WRONG: read {word:#x}");
            }
        }
    }
}
