//! A service that never gives its core away: the others must get their turn regardless.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn service_main(_: &'static runtime::abi::bootinfo::BootInfo) -> ! {
    runtime::say!("spinning");
    loop {
        core::hint::spin_loop();
    }
}
