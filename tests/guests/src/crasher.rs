//! A service that makes EL2's test build crash: each in its own way.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn service_main(boot: &'static runtime::abi::bootinfo::BootInfo) -> ! {
    runtime::calls::any(1000 + u64::from(boot.domain), 0, 0);
    runtime::say!("WRONG: EL2 goes on");
    panic!()
}
