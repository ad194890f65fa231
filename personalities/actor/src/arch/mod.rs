//! The board's part: everything here touches hardware or memory by address. The order of start is that of [`kernel_main`].
//!
//! The kernel has an address space of its own, as its programs have: in kernel mode TTBR0 holds the kernel's tables (one to one), in user mode a
//! program's. Only two pages are common to both, in the upper half: the vectors, and the area where registers are saved. So no program can name
//! kernel memory, and no address that a program passes means anything to the kernel.

mod board;
mod copy;
mod enter;
mod gic;
mod memory;
mod mmu;
mod spaces;

use abi::bootinfo::BootInfo;
use actor::kernel::{Kernel, Setup};
use alloc::boxed::Box;
use board::Board;

#[unsafe(no_mangle)]
extern "C" fn kernel_main(boot: &'static BootInfo) -> ! {
    // The MMU first: without it memory is device memory, and what the compiler makes of a copy may fault.
    mmu::start(boot);
    memory::start(boot);
    enter::start();
    gic::start();
    let (mut board, snapshot) = Board::new(boot);
    let image = runtime::channel::module(boot, "root").unwrap_or(&[]);
    let stuck_us = u64::from(boot.run.stuck_ms) * 1000;
    if let Some(snapshot) = snapshot {
        match Kernel::resume(board, snapshot, image, stuck_us) {
            Ok(kernel) => run(kernel),
            Err(wrong) => {
                panic!("the snapshot cannot be begun with: record {}: {}", wrong.record, wrong.what)
            }
        }
    }
    let entry: Box<[u8]> = board.first_record();
    let setup = Setup { entry: &entry, image, stuck_us };
    match Kernel::new(board, &setup) {
        Ok(kernel) => run(kernel),
        Err(why) => panic!("process 1 cannot begin: {why:?}"),
    }
}

fn run(mut kernel: Kernel<Board>) -> ! {
    loop {
        if let Err(broken) = kernel.go() {
            panic!("the log cannot be followed: {broken:?}");
        }
    }
}
