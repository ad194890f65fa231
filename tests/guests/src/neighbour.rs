//! Does a fixed amount of work, with calls into EL2 in each unit of it, and says how often it entered EL2. How many instructions its core took
//! meanwhile is counted from outside.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {}

#[cfg(target_os = "none")]
mod guest {
    use core::hint::black_box;
    use runtime::abi::bootinfo::BootInfo;
    use runtime::{calls, channel, say};

    /// Units, words that each goes through, and its calls.
    const UNITS: u64 = 200_000;
    const WORDS: usize = 4096;
    const CALLS: u64 = 10;

    #[unsafe(no_mangle)]
    extern "C" fn service_main(boot: &'static BootInfo) -> ! {
        let mut memory = [0u64; WORDS];
        for unit in 0..UNITS {
            for (i, word) in memory.iter_mut().enumerate() {
                *word = word.rotate_left(7) ^ unit.wrapping_mul(i as u64 | 1);
            }
            black_box(&mut memory);
            (0..CALLS).for_each(|_| _ = calls::poll());
        }
        let entries = channel::status(boot.domain as usize).map_or(0, |status| status.exits);
        say!("neighbour: {UNITS} units, {entries} entries");
        loop {
            calls::wait(u64::MAX);
        }
    }
}
