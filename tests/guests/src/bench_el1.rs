//! The kernels of `bench.rs`: one calls a service on its own core and wakes one by a signal; it calls the other, which answers.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod measure;

#[cfg(target_os = "none")]
mod guest {
    use crate::measure::{TURNS, empty, tell, time, until};
    use core::arch::asm;
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::{BootInfo, name_str};
    use runtime::abi::capability::label;
    use runtime::capability::{Registers, call, invoke, reply_recv, signal};
    use runtime::{Channel, calls, say};

    const E: u64 = 1;
    const R: u64 = 2;
    const N: u64 = 3;
    /// Where the two kernels meet.
    const PEER: u64 = 4;

    /// Marks in registers of EL1 by name: set, and whether they stand there.
    macro_rules! marks {
        ($($register:literal),*) => {
            fn mark(n: u64) {
                // SAFETY: the MMU is off, no exception comes to this level, and the timers are off.
                $(unsafe { asm!(concat!("msr ", $register, ", {}"), in(reg) n << 12, options(nomem, nostack)) };)*
            }

            fn marked(n: u64) -> bool {
                [$({
                    let mark: u64;
                    // SAFETY: reading has no effect.
                    unsafe { asm!(concat!("mrs {}, ", $register), out(reg) mark, options(nomem, nostack)) };
                    mark
                }),*].iter().all(|mark| *mark == n << 12)
            }
        };
    }

    marks! {
        "ttbr0_el1", "ttbr1_el1", "mair_el1", "vbar_el1", "far_el1", "elr_el1", "contextidr_el1", "tpidr_el1", "tpidr_el0",
        "tpidrro_el0", "cntv_cval_el0", "cntp_cval_el0"
    }

    /// Answers whoever calls.
    fn second() -> ! {
        mark(2);
        let mut first = Registers::new(PEER, &[]);
        first.y[4] = R;
        invoke(label::RECV, &mut first);
        let mut words = [first.x[2], first.x[3], first.x[4], first.x[5]];
        loop {
            if !marked(2) {
                say!("WRONG: the second kernel has lost a mark");
            }
            let Ok((_, next)) = reply_recv(PEER, R, words) else { panic!("reply_recv") };
            words = next;
        }
    }

    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        if name_str(&boot.name) == "second" {
            until(&find("client"), 1);
            second();
        }
        let (client, own) = (find("client"), find("kernel"));
        until(&client, 3);
        let hz = boot.counter_hz;
        let empty = empty(hz);
        assert!(call(E, [1, 2, 3, 4]) == Ok([1, 2, 3, 4]), "the service echoes");
        let round = time(hz, || _ = call(E, [1, 2, 3, 4]));
        say!("ipc_round_trip_kernel_service {}", round - empty);
        mark(1);
        for n in 0..20 {
            assert!(call(PEER, [n, 2, 3, 4]) == Ok([n, 2, 3, 4]), "the other kernel echoes");
            if !marked(1) {
                say!("WRONG: the first kernel has lost a mark");
            }
        }
        for _ in 0..TURNS {
            // The waiter has had time to wait again.
            calls::wait(calls::now() + hz / 2000);
            own.words()[601].store(calls::now(), Ordering::Relaxed);
            assert!(signal(N) == 0);
        }
        // The other looks after its marks in each turn: half of the way is a switch and a message.
        let look = time(hz, || assert!(marked(1)));
        let round = time(hz, || _ = call(PEER, [1, 2, 3, 4]));
        say!("switch_kernel_to_kernel {}", (round - look - empty) / 2);
        tell(&own, 3);
        loop {
            calls::wait(u64::MAX);
        }
    }
}
