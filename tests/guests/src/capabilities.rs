//! What invocations cost, in instructions (see `rings.rs`): the capability model alone, linked into a service, over this service's own memory.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod workload;

#[cfg(target_os = "none")]
mod guest {
    use crate::workload::{MEMORY, run};
    use capability_model::memory::{Memory, PAGE};
    use core::cell::UnsafeCell;
    use runtime::abi::bootinfo::BootInfo;
    use runtime::{calls, say};

    #[repr(C, align(4096))]
    struct Area(UnsafeCell<[u8; MEMORY as usize]>);

    // SAFETY: one thread.
    unsafe impl Sync for Area {}

    static AREA: Area = Area(UnsafeCell::new([0; MEMORY as usize]));

    /// Addresses are this service's own, as the microkernel's are those of its direct map.
    struct Direct;

    impl Memory for Direct {
        #[inline(always)]
        fn read(&self, address: u64) -> u64 {
            // SAFETY: the model stays in the memory that it was given (`tests/decoder.rs` of the crate), which is `AREA`.
            unsafe { (address as *const u64).read() }
        }

        #[inline(always)]
        fn write(&mut self, address: u64, word: u64) {
            // SAFETY: as above; nothing else refers to it.
            unsafe { (address as *mut u64).write(word) }
        }

        fn scrub(&mut self, page: u64) {
            // SAFETY: as above, a whole page.
            unsafe { (page as *mut u8).write_bytes(0, PAGE as usize) }
        }

        fn forget(&mut self, _: u16, _: Option<u64>) {}

        fn unmask(&mut self, _: u16) {}
    }

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let tick = 1_000_000_000 / boot.counter_hz;
        let base = AREA.0.get() as u64;
        run(Direct, base, || calls::now() * tick, |name, thousand| say!("{name} {}", thousand / 1000));
        let _ = calls::power_off();
        loop {
            calls::wait(u64::MAX);
        }
    }
}
