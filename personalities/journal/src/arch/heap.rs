//! The heap: TLSF, whose calls take bounded time.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use rlsf::Tlsf;

/// Blocks up to 128 MiB.
type Blocks = Tlsf<'static, u32, u32, 22, 16>;

/// What a block costs beside its bytes, and what its size is a multiple of.
const BLOCK: u64 = 16;

/// Bytes that no block has.
static LEFT: AtomicU64 = AtomicU64::new(0);

fn cost(layout: Layout) -> u64 {
    (layout.size() as u64).next_multiple_of(BLOCK) + BLOCK
}

/// Bytes that are left, in pieces of any size.
pub fn left() -> u64 {
    LEFT.load(Relaxed)
}

struct Heap(UnsafeCell<Blocks>);

// SAFETY: the kernel has one core, and runs with its interrupts masked: nobody is inside while another is.
unsafe impl Sync for Heap {}

#[global_allocator]
static HEAP: Heap = Heap(UnsafeCell::new(Tlsf::new()));

/// Gives the heap its memory.
///
/// # Safety
/// 1. The range is mapped, writable, nobody else's, for ever. 2. It is called once.
pub unsafe fn start(at: u64, size: u64) {
    LEFT.store(size, Relaxed);
    let range = core::ptr::slice_from_raw_parts_mut(at as *mut u8, size as usize);
    if let Some(range) = NonNull::new(range) {
        // SAFETY: as the caller promises.
        unsafe { (*HEAP.0.get()).insert_free_block_ptr(range) };
    }
}

// SAFETY: (1) blocks come from TLSF, which hands none out twice; (2) see `Heap` for exclusion.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: see `Heap`.
        let Some(at) = (unsafe { (*self.0.get()).allocate(layout) }) else { return core::ptr::null_mut() };
        LEFT.store(LEFT.load(Relaxed).saturating_sub(cost(layout)), Relaxed);
        at.as_ptr()
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if let Some(at) = NonNull::new(at) {
            LEFT.store(LEFT.load(Relaxed) + cost(layout), Relaxed);
            // SAFETY: (1) the block came from `alloc` with this layout; (2) see `Heap`.
            unsafe { (*self.0.get()).deallocate(at, layout.align()) };
        }
    }
}
