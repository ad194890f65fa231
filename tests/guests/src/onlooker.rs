//! A service that looks at a channel which is not its own.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use runtime::abi::bootinfo::BootInfo;
    use runtime::say;

    #[unsafe(no_mangle)]
    extern "C" fn service_main(_: &'static BootInfo) -> ! {
        say!("looking");
        // SAFETY: none: this is the look, and stage 2 must stop it.
        let word = unsafe { (0x2000_0000 as *const u64).read_volatile() };
        say!("WRONG: saw {word:#x}");
        panic!()
    }
}
