//! Memory as bytes: the heap, the frames, and the kernel's own tables. With `vectors` and `start` the only `unsafe` there is.
//!
//! One core, and EL1 runs with interrupts masked: whoever runs here runs alone.

use super::OFFSET;
use super::kernel_map::{Bounds, Tables};
use abi::bootinfo::{BootInfo, MEMORY_IPA};
use alloc::alloc::{GlobalAlloc, Layout};
use buddy_system_allocator::{FrameAllocator, Heap};
use classic::machine::{Frame, OutOfFrames, PAGE_BYTES};
use core::cell::UnsafeCell;
use core::ptr::NonNull;

/// Three eighths of the memory is heap: the writable layer of the file system lives there.
const HEAP_EIGHTHS: u64 = 3;

/// A cell for the one core.
struct Alone<T>(UnsafeCell<T>);

// SAFETY: (1) one core runs this kernel; (2) at EL1 interrupts are masked, so no access is ever interrupted by another.
unsafe impl<T> Sync for Alone<T> {}

struct KernelHeap(Alone<Heap<32>>);

#[global_allocator]
static HEAP: KernelHeap = KernelHeap(Alone(UnsafeCell::new(Heap::new())));

// SAFETY: (1) the buddy heap gives disjoint, aligned blocks of the memory it was given; (2) `Alone`: no two borrows at a time, for no
// call in it calls back.
unsafe impl GlobalAlloc for KernelHeap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as for the impl, (2).
        let heap = unsafe { &mut *self.0.0.get() };
        heap.alloc(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as for the impl, (2).
        let heap = unsafe { &mut *self.0.0.get() };
        if let Some(at) = NonNull::new(at) {
            // SAFETY: the caller had it from `alloc` with this layout.
            unsafe { heap.dealloc(at, layout) }
        }
    }
}

/// Bytes of heap that are free.
pub fn free_heap() -> usize {
    // SAFETY: as for the impl of GlobalAlloc, (2).
    let heap = unsafe { &*HEAP.0.0.get() };
    heap.stats_total_bytes() - heap.stats_alloc_actual()
}

/// The kernel's own tables, zero at the start. Called once, before anything else.
pub fn take_tables() -> &'static mut Tables {
    static TABLES: Alone<Tables> = Alone(UnsafeCell::new(Tables::EMPTY));
    // SAFETY: (1) `kernel_map::install` is the only caller and runs once; (2) afterwards only the hardware reads them.
    unsafe { &mut *TABLES.0.get() }
}

/// Bounds of the image.
pub fn image_bounds() -> Bounds {
    unsafe extern "C" {
        static __text_end: u8;
        static __rodata_end: u8;
        static __stack_guard: u8;
    }
    let ipa = |at: *const u8| (at as u64).wrapping_sub(OFFSET);
    Bounds {
        text_end: ipa(&raw const __text_end),
        rodata_end: ipa(&raw const __rodata_end),
        guard: ipa(&raw const __stack_guard),
    }
}

/// The frames: all memory behind image and heap.
pub struct Frames {
    free: FrameAllocator<32>,
    left: usize,
    all: usize,
}

impl Frames {
    /// Gives the heap its memory and keeps the rest as frames. Called once.
    pub fn new(boot: &BootInfo) -> Frames {
        let end = MEMORY_IPA + boot.memory_size;
        let heap_size = boot.memory_size / 8 * HEAP_EIGHTHS;
        let heap_start = boot.image_end;
        let first = (heap_start + heap_size).next_multiple_of(PAGE_BYTES as u64);
        // SAFETY: (1) the domain's memory from `image_end` on is nobody's yet; (2) it is mapped writable for ever; (3) frames begin behind it.
        unsafe {
            let heap = &mut *HEAP.0.0.get();
            heap.init((heap_start + OFFSET) as usize, heap_size as usize);
        }
        let index = |ipa: u64| ((ipa - MEMORY_IPA) / PAGE_BYTES as u64) as usize;
        let mut free = FrameAllocator::new();
        free.add_frame(index(first), index(end));
        let all = index(end) - index(first);
        Frames { free, left: all, all }
    }

    /// Takes a frame filled with zero bytes.
    pub fn alloc(&mut self) -> Result<Frame, OutOfFrames> {
        let frame = Frame(self.free.alloc(1).ok_or(OutOfFrames)? as u32);
        self.left -= 1;
        self.bytes_mut(frame).fill(0);
        Ok(frame)
    }

    /// Gives a frame back.
    pub fn free(&mut self, frame: Frame) {
        self.free.dealloc(frame.0 as usize, 1);
        self.left += 1;
    }

    /// How many are free.
    pub fn left(&self) -> usize {
        self.left
    }

    /// How many are not.
    pub fn used(&self) -> u64 {
        (self.all - self.left) as u64
    }

    /// Where a frame is, for page tables.
    pub fn ipa(frame: Frame) -> u64 {
        MEMORY_IPA + u64::from(frame.0) * PAGE_BYTES as u64
    }

    /// The frame at an address that [`Frames::ipa`] gave.
    pub fn at(ipa: u64) -> Frame {
        Frame((ipa.wrapping_sub(MEMORY_IPA) / PAGE_BYTES as u64) as u32)
    }

    fn pointer(frame: Frame) -> *mut [u8; PAGE_BYTES] {
        (Self::ipa(frame) + OFFSET) as *mut [u8; PAGE_BYTES]
    }

    /// The bytes of a frame.
    pub fn bytes(&self, frame: Frame) -> &[u8; PAGE_BYTES] {
        // SAFETY: (1) a Frame comes only from `alloc`, so it lies in the frame memory, mapped for ever; (2) nothing else in Rust refers
        // to frame memory, and `&self` excludes `bytes_mut`; (3) programs do not run meanwhile.
        unsafe { &*Self::pointer(frame) }
    }

    /// The bytes of a frame, to be changed.
    pub fn bytes_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_BYTES] {
        // SAFETY: as for `bytes`, with `&mut self` for exclusion.
        unsafe { &mut *Self::pointer(frame) }
    }

    /// Copies a whole frame.
    pub fn copy(&mut self, from: Frame, to: Frame) {
        if from != to {
            // SAFETY: as for `bytes`; the two are different frames.
            unsafe { core::ptr::copy_nonoverlapping(Self::pointer(from), Self::pointer(to), 1) }
        }
    }

    /// A frame that holds a translation table, as its entries.
    pub fn table(&mut self, frame: Frame) -> &mut [u64; 512] {
        // SAFETY: as for `bytes_mut`; a frame is aligned for u64, and any bytes are numbers. The hardware only reads it.
        unsafe { &mut *Self::pointer(frame).cast() }
    }
}
