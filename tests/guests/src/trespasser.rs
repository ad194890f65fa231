//! A service that writes into its own text.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod fuzz;

#[cfg(target_os = "none")]
mod guest {
    use runtime::abi::bootinfo::BootInfo;
    use runtime::say;

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        crate::fuzz::calls(u64::from(boot.domain) + 100);
        say!("trespassing");
        // SAFETY: none: this is the trespass, and stage 2 must stop it.
        unsafe { (service_main as *const () as *mut u32).write_volatile(0) };
        say!("WRONG: wrote text");
        panic!()
    }
}
