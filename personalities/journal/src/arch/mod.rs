//! The hardware: the only place with unsafe code.

mod board;
mod bytes;
mod direct;
mod entry;
mod heap;
mod tables;

use abi::bootinfo::{BOOTINFO_IPA, BootInfo, MEMORY_IPA};
use journal::kernel::Kernel;
use journal::page::{PAGE, Pool};

/// Virtual minus physical address.
pub const OFFSET: u64 = 0xffff_ff80_0000_0000;
/// Bytes of the heap.
const HEAP: u64 = 64 << 20;
/// Room for the kernel's own tables.
const TABLES: u64 = 2 << 20;
const BLOCK: u64 = 2 << 20;

/// From the entry, in the upper half, with the boot tables.
#[unsafe(no_mangle)]
extern "C" fn journal_main() -> ! {
    runtime::calls::set_virtual_offset(OFFSET);
    // SAFETY: (1) EL2 made the page before it started us; (2) the boot tables map it; (3) nobody writes it.
    let boot: &'static BootInfo = unsafe { &*((BOOTINFO_IPA + OFFSET) as *const BootInfo) };
    let free = boot.image_end.next_multiple_of(BLOCK);
    let end = MEMORY_IPA + boot.memory_size;
    if free + TABLES + HEAP >= end {
        panic!("{} bytes of memory are too few", boot.memory_size);
    }
    // SAFETY: (1) the range lies behind the image in our own memory; (2) nobody else uses it; (3) this is called once.
    unsafe {
        tables::install(boot, free, free + TABLES);
        heap::start(free + TABLES + OFFSET, HEAP);
    }
    let first = (free + TABLES + HEAP) / PAGE;
    let pool = Pool::new(alloc::boxed::Box::new(direct::Direct), first as u32, (end / PAGE) as u32);
    let Some(root) = boot.modules.iter().find(|m| m.size > 0 && abi::bootinfo::name_str(&m.name) == "root")
    else {
        panic!("the bundle has no root image");
    };
    let image = ((root.ipa / PAGE) as u32, root.size);
    let (board, snapshot) = board::Board::new(boot);
    let seed = runtime::calls::now() ^ u64::from(boot.domain) << 32;
    let stuck_us = u64::from(boot.run.stuck_ms) * 1000;
    let Some(mut kernel) = Kernel::new(board, pool, image, stuck_us, seed) else { panic!("no frames") };
    if let Some(snapshot) = snapshot
        && let Err(refused) = kernel.begin(snapshot)
    {
        panic!("the snapshot cannot be, record {}: {}", refused.record, refused.why);
    }
    loop {
        kernel.step();
    }
}
