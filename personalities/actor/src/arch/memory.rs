//! The kernel's memory: a heap below the image, page frames above it. A whole page that somebody asks the allocator for is a frame, everything else
//! is heap; so safe code owns frames as boxes.

use abi::bootinfo::{BootInfo, MEMORY_IPA};
use actor::page::FREE;
use buddy_system_allocator::Heap;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::ptr::{NonNull, null_mut};
use core::sync::atomic::Ordering;

const PAGE: usize = 4096;

/// Frames never used so far, and a list through those given back.
struct Frames {
    next: usize,
    end: usize,
    list: *mut u8,
}

struct Memory {
    heap: UnsafeCell<Heap<33>>,
    frames: UnsafeCell<Frames>,
}

// SAFETY: one core, interrupts masked in the kernel: nobody else is inside.
unsafe impl Sync for Memory {}

#[global_allocator]
static MEMORY: Memory = Memory {
    heap: UnsafeCell::new(Heap::empty()),
    frames: UnsafeCell::new(Frames { next: 0, end: 0, list: null_mut() }),
};

unsafe extern "C" {
    safe static __image_start: u8;
}

/// Takes what the image leaves.
pub fn start(boot: &BootInfo) {
    let image = &raw const __image_start as usize;
    let frames = (boot.image_end as usize).next_multiple_of(PAGE);
    let end = (MEMORY_IPA + boot.memory_size) as usize;
    // SAFETY: (1) see `Memory`; (2) the ranges lie beside the image (`build.rs`, `BootInfo::image_end`), are mapped, and nobody uses them.
    unsafe {
        (*MEMORY.heap.get()).init(MEMORY_IPA as usize, image - MEMORY_IPA as usize);
        *MEMORY.frames.get() = Frames { next: frames, end, list: null_mut() };
    }
    FREE.store((end - frames) / PAGE, Ordering::Relaxed);
}

/// Bytes of heap that nobody has.
pub fn heap_left() -> usize {
    // SAFETY: see `Memory`; the reference ends with the statement.
    let heap = unsafe { &*MEMORY.heap.get() };
    heap.stats_total_bytes() - heap.stats_alloc_actual()
}

fn is_frame(layout: &Layout) -> bool {
    layout.size() == PAGE && layout.align() == PAGE
}

impl Frames {
    fn take(&mut self) -> *mut u8 {
        if !self.list.is_null() {
            let frame = self.list;
            // SAFETY: a frame in the list is nobody's, and its first word names the next.
            self.list = unsafe { *(frame as *mut *mut u8) };
            FREE.fetch_sub(1, Ordering::Relaxed);
            return frame;
        }
        if self.next == self.end {
            return null_mut();
        }
        self.next += PAGE;
        FREE.fetch_sub(1, Ordering::Relaxed);
        (self.next - PAGE) as *mut u8
    }

    fn give(&mut self, frame: *mut u8) {
        // SAFETY: the frame was taken here, and nobody uses it any more.
        unsafe { *(frame as *mut *mut u8) = self.list };
        self.list = frame;
        FREE.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: (1) frames are whole pages, each given out once; (2) the heap keeps layouts; (3) see `Memory`.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if is_frame(&layout) {
            // SAFETY: see `Memory`.
            return unsafe { (*self.frames.get()).take() };
        }
        // SAFETY: see `Memory`.
        let heap = unsafe { &mut *self.heap.get() };
        heap.alloc(layout).map_or(null_mut(), NonNull::as_ptr)
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if is_frame(&layout) {
            // SAFETY: see `Memory`.
            return unsafe { (*self.frames.get()).give(at) };
        }
        if let Some(at) = NonNull::new(at) {
            // SAFETY: it was allocated here with this layout.
            unsafe { (*self.heap.get()).dealloc(at, layout) };
        }
    }
}
