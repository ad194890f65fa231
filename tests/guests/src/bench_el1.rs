//! The kernel of `bench.rs`: calls a service on its own core, and wakes one by a signal.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod measure;

#[cfg(target_os = "none")]
mod guest {
    use crate::measure::{TURNS, empty, tell, time, until};
    use core::sync::atomic::Ordering;
    use runtime::abi::bootinfo::BootInfo;
    use runtime::capability::{call, signal};
    use runtime::{Channel, calls, say};

    const E: u64 = 1;
    const N: u64 = 3;

    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
        let find = |name| Channel::find(boot, name).expect("channel");
        let (client, own) = (find("client"), find("kernel"));
        until(&client, 3);
        let hz = boot.counter_hz;
        let empty = empty(hz);
        assert!(call(E, [1, 2, 3, 4]) == Ok([1, 2, 3, 4]), "the service echoes");
        let round = time(hz, || _ = call(E, [1, 2, 3, 4]));
        say!("ipc_round_trip_kernel_service {}", round - empty);
        for _ in 0..TURNS {
            // The waiter has had time to wait again.
            calls::wait(calls::now() + hz / 2000);
            own.words()[601].store(calls::now(), Ordering::Relaxed);
            assert!(signal(N) == 0);
        }
        tell(&own, 3);
        loop {
            calls::wait(u64::MAX);
        }
    }
}
