//! The kernel on the board: `arch` has the machine, this file the loop.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!(
        "minimal is a kernel for the bare machine: cargo xtask run --kernel minimal --run 'echo hello'"
    );
}

#[cfg(target_os = "none")]
extern crate alloc;
#[cfg(target_os = "none")]
mod arch;

#[cfg(target_os = "none")]
mod start {
    use crate::arch::{self, Board};
    use abi::bootinfo::{BootInfo, MEMORY_IPA};
    use abi::log::ENTRY_MAX;
    use alloc::vec;
    use minimal::{Kernel, Next, Trap};
    use runtime::{AgreedLog, calls, channel};

    /// Of the memory behind the image so much is heap, the rest frames.
    const HEAP: u64 = 32 << 20;

    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
        let end = MEMORY_IPA + boot.memory_size;
        let heap = boot.image_end.next_multiple_of(4096);
        assert!(heap + HEAP < end, "memory: this kernel needs more than {} MiB", HEAP >> 20);
        // SAFETY: (1) EL2 gave this memory to this kernel alone, beyond its image, and zeroed it; (2) this runs once.
        unsafe {
            arch::begin(heap, HEAP, heap + HEAP..end);
        }
        let board = Board::new(boot).expect("this domain has no channel for its effects");
        let root = channel::module(boot, "root").expect("the bundle has no root image");
        // SAFETY: (1) EL2 mapped all channels at their own addresses, and this kernel's map is one to one.
        let mut log = unsafe { AgreedLog::open(boot, 0) }.expect("there are too few rings of the log");
        let mut buffer = vec![0; ENTRY_MAX];
        let length = loop {
            match log.read(&mut buffer) {
                Ok(Some(length)) => break length,
                Ok(None) => calls::wait(u64::MAX),
                Err(_) => panic!("the log has gone on without this kernel"),
            };
        };
        let stuck = u64::from(boot.run.stuck_ms) * 1000;
        let mut kernel = match Kernel::new(board, &buffer[..length], root, stuck) {
            Ok(kernel) => kernel,
            Err(why) => panic!("{why}"),
        };
        let now = || calls::now() * 1_000_000 / boot.counter_hz;
        loop {
            loop {
                match log.read(&mut buffer) {
                    Ok(Some(length)) => {
                        if let Err(why) = kernel.entry(&buffer[..length]) {
                            panic!("{why}");
                        }
                    }
                    Ok(None) => break,
                    Err(_) => panic!("the log has gone on without this kernel"),
                }
            }
            match kernel.next(now()) {
                Next::Run => {
                    let trap = arch::run(&mut kernel.user, stuck / 4 * boot.counter_hz / 1_000_000);
                    if trap == Trap::Interrupt {
                        calls::poll();
                    }
                    kernel.trapped(trap, now());
                }
                Next::Wait | Next::End => {
                    calls::wait(u64::MAX);
                }
            }
        }
    }
}
