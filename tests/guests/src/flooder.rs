//! A service that fills the operator's console.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
#[unsafe(no_mangle)]
extern "C" fn service_main(_: &'static runtime::abi::bootinfo::BootInfo) -> ! {
    loop {
        // Refused or not.
        let _ = runtime::calls::print(&[b'x'; 200]);
    }
}
