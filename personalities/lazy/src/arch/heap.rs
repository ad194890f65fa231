//! The kernel's heap: a buddy allocator behind a cell, since this kernel has one core and no interrupt ever runs inside it.

use buddy_system_allocator::Heap;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicUsize, Ordering};

struct OneCore(UnsafeCell<Heap<32>>);

// SAFETY: (1) one core runs this kernel; (2) interrupts are masked while it runs, and faults inside it never return.
unsafe impl Sync for OneCore {}

#[global_allocator]
static HEAP: OneCore = OneCore(UnsafeCell::new(Heap::empty()));
static LEFT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: the inner allocator keeps GlobalAlloc's contract; access is exclusive as said at `Sync`.
unsafe impl GlobalAlloc for OneCore {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: (1) exclusive, see `Sync`; (2) the reference ends with this call.
        let heap = unsafe { &mut *self.0.get() };
        let at = heap.alloc(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr);
        LEFT.store(heap.stats_total_bytes() - heap.stats_alloc_actual(), Ordering::Relaxed);
        at
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as in `alloc`; (3) `at` came from there with this layout, by GlobalAlloc's contract.
        unsafe {
            if let Some(at) = NonNull::new(at) {
                let heap = &mut *self.0.get();
                heap.dealloc(at, layout);
                LEFT.store(heap.stats_total_bytes() - heap.stats_alloc_actual(), Ordering::Relaxed);
            }
        }
    }
}

/// Gives the heap its memory.
///
/// # Safety
/// [start, start + size) is mapped, writable and nobody else's.
pub unsafe fn init(start: usize, size: usize) {
    // SAFETY: (1) the caller's; (2) exclusive, see `Sync`.
    unsafe { (*HEAP.0.get()).init(start, size) };
    LEFT.store(size, Ordering::Relaxed);
}

/// Bytes not allocated.
pub fn left() -> usize {
    LEFT.load(Ordering::Relaxed)
}
