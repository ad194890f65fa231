//! The board's part: one map for kernel (one to one, EL1 only) and program, traps, timer, doorbell, frames. The only module with `unsafe`.
#![allow(unsafe_code)]

use abi::bootinfo::{BootInfo, CPU_INTERFACE_IPA, name_str};
use abi::hypercall::TIMER_INTID;
use abi::vote::{PAYLOAD_MAX, Vote};
use alloc::vec;
use alloc::vec::Vec;
use buddy_system_allocator::Heap;
use core::alloc::{GlobalAlloc, Layout};
use core::arch::{asm, global_asm};
use core::cell::UnsafeCell;
use core::fmt::Arguments;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, Ordering};
use ipc::BroadcastWriter;
use minimal::{Float, Machine, Registers, Trap, rights};
use runtime::{Channel, say};

struct Memory(UnsafeCell<Heap<32>>);

// SAFETY: one core, and the kernel runs with interrupts masked: nobody is inside while somebody is.
unsafe impl Sync for Memory {}

// SAFETY: (1) see above; (2) the heap's pieces do not overlap, and are of the layout asked for.
unsafe impl GlobalAlloc for Memory {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: nobody else is inside.
        let heap = unsafe { &mut *self.0.get() };
        heap.alloc(layout).map_or(core::ptr::null_mut(), NonNull::as_ptr)
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        if let Some(at) = NonNull::new(at) {
            // SAFETY: nobody else is inside; the caller gives back what `alloc` gave.
            unsafe { (*self.0.get()).dealloc(at, layout) };
        }
    }
}

#[global_allocator]
static HEAP: Memory = Memory(UnsafeCell::new(Heap::new()));

/// The next frame that was never used, and the end of them.
static FRAMES: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

const PAGE: u64 = 4096;
const TABLE: u64 = 0b11;
const ADDRESS: u64 = 0xffff_ffff_f000;
/// Level 1 (1 GiB) and 2 (2 MiB) block, AF, inner shareable, EL0 never executes.
const BLOCK: u64 = 0b01 | 1 << 10 | 0b11 << 8 | 1 << 54;
const DEVICE: u64 = 1 << 2;
const NEVER_AT_EL1: u64 = 1 << 53;

global_asm!(
    include_str!("entry.s"),
    own = sym own_fault,
);

unsafe extern "C" {
    fn minimal_enter(user: *mut Registers) -> u64;
    fn minimal_float(vectors: *mut u128, clear: u64);
    static minimal_vectors: u64;
}

extern "C" fn own_fault(syndrome: u64, pc: u64, address: u64) -> ! {
    panic!("an exception of the kernel: syndrome {syndrome:#x}, pc {pc:#x}, address {address:#x}")
}

/// A frame that was never used.
fn fresh() -> Option<u64> {
    let [next, end] = [0, 1].map(|i| FRAMES[i].load(Ordering::Relaxed));
    (next < end).then(|| {
        FRAMES[0].store(next + PAGE, Ordering::Relaxed);
        next
    })
}

/// Word `index` of the table at `table`.
fn word(table: u64, index: u64) -> *mut u64 {
    (table + index % 512 * 8) as *mut u64
}

/// Takes heap and frames, and turns the MMU on.
///
/// # Safety
/// 1. The heap and the frames are this kernel's, in use by nobody, zero, and mapped by stage 2.
/// 2. It is called once, with the MMU off.
pub unsafe fn begin(heap: u64, size: u64, frames: Range<u64>) {
    FRAMES[0].store(frames.start, Ordering::Relaxed);
    FRAMES[1].store(frames.end, Ordering::Relaxed);
    let root = fresh().expect("a frame for the map");
    let low = fresh().expect("a frame for the map");
    // SAFETY: (1) both are frames of zeros; (2) the MMU is off, so nobody walks them; (3) what is mapped is stage 2's plan (abi::bootinfo), one to one.
    unsafe {
        word(root, 0).write_volatile(low | TABLE);
        // The CPU interface is a device; boot page, positions and channels are memory.
        word(low, 0x40).write_volatile(0x0800_0000 | BLOCK | DEVICE | NEVER_AT_EL1);
        for block in 0x80..0x200u64 {
            word(low, block).write_volatile(block << 21 | BLOCK | NEVER_AT_EL1);
        }
        word(root, 1).write_volatile(0x4000_0000 | BLOCK);
        word(root, 2).write_volatile(0x8000_0000 | BLOCK | NEVER_AT_EL1 | 1 << 7);
        asm!(
            "msr mair_el1, {mair}", "msr tcr_el1, {tcr}", "msr ttbr0_el1, {root}", "msr vbar_el1, {vectors}",
            "msr cpacr_el1, {fp}", "msr cntkctl_el1, xzr", "isb", "tlbi vmalle1", "dsb sy", "isb",
            "msr sctlr_el1, {control}", "isb",
            // Normal write-back; device nGnRE.
            mair = in(reg) 0x04ffu64,
            // 39 bits below, nothing above, 40 bits of output.
            tcr = in(reg) 25u64 | 0b01 << 8 | 0b01 << 10 | 0b11 << 12 | 1 << 23 | 0b010 << 32,
            root = in(reg) root, vectors = in(reg) &raw const minimal_vectors, fp = in(reg) 0b11u64 << 20,
            // M, C, SA, SA0, I, DZE, UCT, nTWI, nTWE, UCI, and what reads as one.
            control = in(reg) 1u64 | 1 << 2 | 1 << 3 | 1 << 4 | 1 << 11 | 1 << 12 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 18
                | 1 << 20 | 1 << 22 | 1 << 23 | 1 << 26 | 1 << 28 | 1 << 29,
        );
        (*HEAP.0.get()).init(heap as usize, size as usize);
        // Priority mask open, group enabled.
        gicv(4).write_volatile(0xff);
        gicv(0).write_volatile(1);
    }
}

fn gicv(offset: u64) -> *mut u32 {
    (CPU_INTERFACE_IPA + offset) as *mut u32
}

/// Runs the program until a trap, or for `ticks` of the counter.
pub fn run(user: &mut Registers, ticks: u64) -> Trap {
    let (kind, syndrome, address): (u64, u64, u64);
    // SAFETY: (1) `user` says level 0 only: its state was a trap's, or zero; (2) the vectors come back here with all registers that Rust wants kept;
    // (3) the timer is this kernel's own.
    unsafe {
        asm!("msr cntv_tval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) ticks, in(reg) 1u64);
        kind = minimal_enter(user);
        asm!("msr cntv_ctl_el0, xzr", "mrs {}, esr_el1", "mrs {}, far_el1", out(reg) syndrome, out(reg) address);
    }
    if kind == 1 {
        // SAFETY: EL2 maps the virtual CPU interface there: acknowledge, end.
        unsafe {
            let interrupt = gicv(0xc).read_volatile();
            if interrupt & 0x3ff <= TIMER_INTID {
                gicv(0x10).write_volatile(interrupt);
            }
        }
        return Trap::Interrupt;
    }
    let write = syndrome >> 6 & 1 == 1;
    match syndrome >> 26 {
        0x15 => Trap::Call,
        0x20 => Trap::Page { address, wanted: rights::X },
        // An alignment fault is SIGBUS.
        0x24 if syndrome & 0x3f == 0x21 => Trap::Fault(7),
        0x24 => Trap::Page { address, wanted: if write { rights::W } else { rights::R } },
        0x22 | 0x26 => Trap::Fault(7),
        0x30..=0x3c => Trap::Fault(5),
        _ => Trap::Fault(4),
    }
}

/// The machine, for the library.
pub struct Board {
    root: u64,
    free: Vec<u64>,
    effects: BroadcastWriter<'static>,
    channel: Channel,
    buffer: Vec<u8>,
}

impl Board {
    /// `None`: there is no channel for effects.
    pub fn new(boot: &'static BootInfo) -> Option<Board> {
        let mut name = alloc::string::String::from("effects-");
        name.push_str(name_str(&boot.name));
        let channel = Channel::find(boot, &name)?;
        let root: u64;
        // SAFETY: reading the table's own address.
        unsafe { asm!("mrs {}, ttbr0_el1", out(reg) root) };
        let effects = BroadcastWriter::new(channel.words())?;
        Some(Board { root, free: Vec::new(), effects, channel, buffer: vec![0; PAYLOAD_MAX + 256] })
    }

    /// The entry of the page at `address`, with tables down to it.
    fn entry(&mut self, address: u64) -> Option<*mut u64> {
        let mut table = self.root & ADDRESS;
        for shift in [30, 21] {
            let at = word(table, address >> shift);
            // SAFETY: (1) `table` is a frame that this map uses as a table; (2) one core, no interrupts: nobody else writes.
            let value = unsafe { at.read_volatile() };
            table = match value & 0b11 {
                0b11 => value & ADDRESS,
                0 => {
                    let fresh = self.frame()?;
                    // SAFETY: as above; the frame is zero, and the barrier lets the walk see it.
                    unsafe {
                        asm!("dsb ishst");
                        at.write_volatile(fresh | TABLE);
                    }
                    fresh
                }
                // A block is the kernel's.
                _ => return None,
            };
        }
        Some(word(table, address >> 12))
    }

    fn set(&mut self, address: u64, value: u64) -> bool {
        let Some(at) = self.entry(address) else { return false };
        // SAFETY: (1) the entry is of a page of the program; (2) the old translation is thrown away before anybody runs.
        unsafe {
            at.write_volatile(value);
            asm!("dsb ishst", "tlbi vmalle1", "dsb sy", "isb");
        }
        true
    }
}

impl Machine for Board {
    fn frame(&mut self) -> Option<u64> {
        self.free.pop().or_else(fresh)
    }

    fn free(&mut self, frame: u64) {
        self.bytes(frame).fill(0);
        self.free.push(frame);
    }

    fn bytes(&mut self, frame: u64) -> &mut [u8; 4096] {
        // SAFETY: (1) the library hands out numbers that `frame` gave; (2) they are mapped one to one; (3) the program does not run meanwhile, and `self` is borrowed.
        unsafe { &mut *(frame as *mut [u8; 4096]) }
    }

    fn map(&mut self, address: u64, frame: u64, r: u8) -> bool {
        if r & rights::X != 0 {
            // SAFETY: cache maintenance of a frame of this kernel's, so that what was copied can be fetched.
            unsafe {
                (0..PAGE).step_by(64).for_each(|o| asm!("dc cvau, {}", in(reg) frame + o));
                asm!("dsb ish", "ic iallu", "dsb ish", "isb");
            }
        }
        let mut value = frame | 0b11 | 1 << 10 | 0b11 << 8 | NEVER_AT_EL1 | 1 << 11;
        if r & (rights::R | rights::W | rights::X) != 0 {
            value |= 1 << 6;
        }
        if r & rights::W == 0 {
            value |= 1 << 7;
        }
        if r & rights::X == 0 {
            value |= 1 << 54;
        }
        self.set(address, value)
    }

    fn unmap(&mut self, address: u64) {
        self.set(address, 0);
    }

    fn clear_float(&mut self) {
        // SAFETY: nothing here uses these registers.
        unsafe { minimal_float(core::ptr::null_mut(), 1) };
    }

    fn float(&mut self) -> Float {
        let mut vectors = [0u128; 32];
        let (status, control): (u64, u64);
        // SAFETY: room for 32 registers; reading changes nothing.
        unsafe {
            minimal_float(vectors.as_mut_ptr(), 0);
            asm!(".arch_extension fp", "mrs {}, fpsr", "mrs {}, fpcr", ".arch_extension nofp", out(reg) status, out(reg) control);
        }
        (vectors, status, control)
    }

    fn post(&mut self, vote: &Vote<'_>) {
        let Ok(bytes) = postcard::to_slice(vote, &mut self.buffer) else { panic!("a vote is too long") };
        if self.effects.write(bytes).is_err() {
            panic!("a vote does not fit the ring");
        }
        self.channel.ring();
    }

    fn say(&mut self, text: Arguments<'_>) {
        say!("{text}");
    }
}
