//! [`Hardware`] on the board.

use super::channels::{OwnName, channel, own, own_channel};
use super::heap;
use abi::bootinfo::{BootInfo, MEMORY_IPA};
use abi::hypercall::TIMER_INTID;
use abi::monitor::Monitor;
use abi::ring::RECORD_MAX;
use core::arch::asm;
use core::cell::RefCell;
use core::fmt::Arguments;
use ipc::{BroadcastReader, BroadcastWriter, ReadError};
use lazy::hw::{Event, FpState, Frame, Hardware, PAGE, Registers, Trap, decode};
use lazy::kernel::Kernel;
use runtime::beginning::{self, Start};
use runtime::{AgreedLog, Channel, calls, say};

/// The virtual CPU interface of the GIC.
const GIC: u64 = 0x0801_0000;
const GIC_CTLR: u64 = 0x0;
const GIC_PMR: u64 = 0x4;
const GIC_IAR: u64 = 0xc;
const GIC_EOIR: u64 = 0x10;
/// PSTATE.SS, PSTATE.I.
const STEP: u64 = 1 << 21;
const MASK_INTERRUPTS: u64 = 1 << 7;
/// Words of the page before a channel's data.
const HEADER_WORDS: usize = PAGE / 8;
/// So much of the heap stays free for what a call in progress needs.
const HEAP_RESERVE: usize = 4 << 20;

unsafe extern "C" {
    fn __enter_user(registers: *mut Registers) -> u64;
    fn __fp_save(state: *mut FpState);
    fn __fp_load(state: *const FpState);
}

#[repr(C, align(16))]
struct Stack([u8; 8192]);
static mut EMERGENCY: Stack = Stack([0; 8192]);

/// The stack of this kernel's own last fault.
pub fn emergency_stack() -> u64 {
    &raw const EMERGENCY as u64 + 8192
}

/// An exception inside the kernel: it is this kernel's fault, and the end.
pub extern "C" fn kernel_fault(esr: u64, pc: u64, far: u64) -> ! {
    let mut line = runtime::text::Line::new();
    let offset = (kernel_fault as *const () as u64) & !0x3fff_ffff;
    let text = format_args!(
        "kernel fault: syndrome {esr:#x} at {pc:#x} (map base near {offset:#x}), address {far:#x}"
    );
    let _cut_if_long = core::fmt::write(&mut line, text);
    calls::crash(line.bytes())
}

/// The board.
pub struct Board {
    offset: u64,
    hz: u64,
    pool: core::ops::Range<u32>,
    image: &'static [u8],
    log: AgreedLog<'static>,
    control: Option<BroadcastReader<'static>>,
    effects: (Channel, BroadcastWriter<'static>),
    posted: bool,
    snapshots: Option<(Channel, RefCell<BroadcastWriter<'static>>)>,
    beginning: Option<&'static [u8]>,
    active: (Frame, u16),
    stepping: bool,
    monitor: Option<Monitor<'static>>,
}

/// Makes the kernel and runs it. Frames begin at `free` (physical).
pub fn start(boot: &'static BootInfo, offset: u64, free: u64) -> ! {
    let effects = channel(boot, OwnName::new("effects-", boot).text(), offset);
    // The table lies behind the page of the ring's header.
    let monitor = own(boot, "monitor-", offset).and_then(|w| Monitor::new(w.get(HEADER_WORDS..)?));
    let writer = BroadcastWriter::new(effects.words());
    if let Some(ring) = own(boot, "log-", offset) {
        runtime::log::start(ring);
    }
    // SAFETY: boot mapped all channels and modules at `offset`, for ever.
    let start = unsafe { beginning::start(boot, offset, |size| alloc::vec![0; size].leak()) };
    let control = BroadcastReader::new(channel(boot, "control", offset).words());
    let snapshots = own_channel(boot, "snapshot-", offset)
        .and_then(|c| Some((c, RefCell::new(BroadcastWriter::new(c.words())?))));
    // SAFETY: boot mapped all modules at `offset`, read-only, for ever.
    let image = unsafe { runtime::channel::module_at(boot, "root", offset) };
    let (Some(writer), Some(Start { snapshot, log }), Some(image)) = (writer, start, image) else {
        panic!(
            "the manifest gives this kernel no root image, no channels `agreed-`, or a channel that is too small"
        );
    };
    let end = ((MEMORY_IPA + boot.memory_size) / PAGE as u64) as u32;
    let board = Board {
        offset,
        hz: boot.counter_hz.max(1),
        pool: (free / PAGE as u64) as u32..end,
        image,
        log,
        control,
        effects: (effects, writer),
        posted: false,
        snapshots,
        beginning: snapshot,
        active: (Frame(0), 0),
        stepping: false,
        monitor,
    };
    board.gic_write(GIC_PMR, 0xff);
    board.gic_write(GIC_CTLR, 1);
    say!("lazy: {} MiB, kernel at {:#x}", boot.memory_size >> 20, MEMORY_IPA.wrapping_add(offset));
    Kernel::new(board, u64::from(boot.run.stuck_ms) * 1000, boot.incarnation()).run()
}

impl Board {
    fn gic_write(&self, register: u64, value: u32) {
        // SAFETY: (1) EL2 maps the virtual CPU interface there, boot mapped it as device memory; (2) the registers are those of GICv2.
        unsafe { ((GIC + self.offset + register) as *mut u32).write_volatile(value) };
    }

    fn gic_read(&self, register: u64) -> u32 {
        // SAFETY: as in `gic_write`.
        unsafe { ((GIC + self.offset + register) as *const u32).read_volatile() }
    }

    fn counter(&self, us: u64) -> u64 {
        (us / 1_000_000)
            .saturating_mul(self.hz)
            .saturating_add((us % 1_000_000 * self.hz).div_ceil(1_000_000))
    }

    fn timer(&self, at: Option<u64>) {
        // SAFETY: this kernel's own timer; user code cannot reach it.
        unsafe {
            match at {
                Some(us) => {
                    asm!("msr cntv_cval_el0, {}", "msr cntv_ctl_el0, {}", in(reg) self.counter(us), in(reg) 1u64)
                }
                None => asm!("msr cntv_ctl_el0, xzr"),
            }
        }
    }

    fn take_interrupt(&mut self) {
        let intid = self.gic_read(GIC_IAR);
        if intid & 0x3ff >= 1020 {
            return;
        }
        if intid & 0x3ff == TIMER_INTID {
            self.timer(None);
        } else {
            // A doorbell: clear the word, so that the next change rings again. What it is about is found in the rings.
            calls::poll();
        }
        self.gic_write(GIC_EOIR, intid);
    }

    fn known(&self, frame: Frame) -> bool {
        let image = self.image_frame().0;
        self.pool.contains(&frame.0)
            || (image..image + self.image.len().div_ceil(PAGE) as u32).contains(&frame.0)
    }

    /// User code, until an exception; `state`: bits of PSTATE besides the flags.
    fn enter(&mut self, registers: &mut Registers, root: Frame, asid: u16, state: u64) -> Trap {
        // Condition flags only: user code has no say in interrupt masks or in the level it returns to.
        registers.pstate = registers.pstate & 0xf000_0000 | state;
        let ttbr = root.address() | u64::from(asid) << 48;
        let (kind, esr, far): (u64, u64, u64);
        // SAFETY: (1) the tables map EL0 memory only; (2) `__enter_user` comes back with the callee's registers as they were; (3) page table writes
        // are finished before the walker may look.
        unsafe {
            if self.active != (root, asid) {
                asm!("msr ttbr0_el1, {}", in(reg) ttbr);
                self.active = (root, asid);
            }
            asm!("dsb ishst", "isb");
            kind = __enter_user(registers);
            asm!("mrs {}, esr_el1", "mrs {}, far_el1", out(reg) esr, out(reg) far, options(nomem));
        }
        if kind == 1 {
            self.take_interrupt();
            return Trap::Interrupt;
        }
        decode(esr, far, registers.pc)
    }
}

impl Hardware for Board {
    fn pool(&self) -> core::ops::Range<u32> {
        self.pool.clone()
    }

    fn page(&self, frame: Frame) -> &[u8; PAGE] {
        assert!(self.known(frame), "a frame that is none of ours");
        // SAFETY: (1) frames of the pool and the image are mapped at `offset`; (2) pages are only changed through `page_mut` and while user code
        // runs, which both take `&mut self`.
        unsafe { &*((frame.address() + self.offset) as *const [u8; PAGE]) }
    }

    fn page_mut(&mut self, frame: Frame) -> &mut [u8; PAGE] {
        assert!(self.pool.contains(&frame.0), "a frame that is not ours to write");
        // SAFETY: as in `page`; (3) the pool is mapped writable.
        unsafe { &mut *((frame.address() + self.offset) as *mut [u8; PAGE]) }
    }

    fn entry(&self, frame: Frame, index: usize) -> u64 {
        assert!(self.pool.contains(&frame.0) && index < 512, "no page table");
        // SAFETY: (1) as in `page`; (2) volatile, because the table walker reads (and could set flags) at any time.
        unsafe { ((frame.address() + self.offset) as *const u64).add(index).read_volatile() }
    }

    fn set_entry(&mut self, frame: Frame, index: usize, value: u64) {
        assert!(self.pool.contains(&frame.0) && index < 512, "no page table");
        // SAFETY: as in `entry`; (3) one aligned word, so the walker sees the old or the new.
        unsafe { ((frame.address() + self.offset) as *mut u64).add(index).write_volatile(value) };
    }

    fn make_executable(&mut self, frame: Frame) {
        let start = frame.address() + self.offset;
        for line in (start..start + PAGE as u64).step_by(64) {
            // SAFETY: cleaning a line of mapped memory changes no value.
            unsafe { asm!("dc cvau, {}", in(reg) line) };
        }
        // SAFETY: forgetting cached instructions changes no value.
        unsafe { asm!("dsb ish", "ic iallu", "dsb ish", "isb") };
    }

    fn invalidate_page(&mut self, asid: u16, address: u64) {
        // SAFETY: forgetting translations is always right.
        unsafe {
            asm!("dsb ishst", "tlbi vae1, {}", "dsb ish", in(reg) u64::from(asid) << 48 | address >> 12)
        };
    }

    fn invalidate_space(&mut self, asid: u16) {
        // SAFETY: as above.
        unsafe { asm!("dsb ishst", "tlbi aside1, {}", "dsb ish", in(reg) u64::from(asid) << 48) };
    }

    fn image(&self) -> &'static [u8] {
        self.image
    }

    fn image_frame(&self) -> Frame {
        Frame::at((self.image.as_ptr() as u64).wrapping_sub(self.offset))
    }

    fn now_us(&self) -> u64 {
        let count = calls::now();
        (count / self.hz).saturating_mul(1_000_000) + count % self.hz * 1_000_000 / self.hz
    }

    fn run(&mut self, registers: &mut Registers, root: Frame, asid: u16, until_us: Option<u64>) -> Trap {
        self.ring();
        self.timer(until_us);
        self.enter(registers, root, asid, 0)
    }

    fn step(&mut self, registers: &mut Registers, root: Frame, asid: u16) -> Trap {
        if !core::mem::replace(&mut self.stepping, true) {
            // SAFETY: single steps are taken from EL0 only (MDSCR_EL1.KDE is 0); EL2 lets a kernel have this bit.
            unsafe { asm!("msr mdscr_el1, {}", "isb", in(reg) 1u64) };
        }
        self.enter(registers, root, asid, STEP | MASK_INTERRUPTS)
    }

    fn end_stepping(&mut self) {
        if core::mem::take(&mut self.stepping) {
            // SAFETY: as above.
            unsafe { asm!("msr mdscr_el1, xzr", "isb") };
        }
    }

    fn fp_save(&mut self, state: &mut FpState) {
        // SAFETY: the layout is what the code stores; the kernel itself uses none of these registers.
        unsafe { __fp_save(state) };
    }

    fn fp_load(&mut self, state: &FpState) {
        // SAFETY: as above.
        unsafe { __fp_load(state) };
    }

    fn log(&mut self, buffer: &mut [u8]) -> Result<Option<usize>, &'static str> {
        self.log.read(buffer).map_err(|e| match e {
            ReadError::Overrun => "the log lapped this kernel",
            ReadError::NewEpoch => "the log began a new epoch",
            ReadError::TooLong(_) => "the log holds a record that is too long",
            _ => "the log's ring holds nonsense",
        })
    }

    fn control(&mut self, buffer: &mut [u8]) -> Option<usize> {
        let Some(ring) = &mut self.control else { return None };
        match ring.read(buffer) {
            Ok(length) => length,
            Err(_) => {
                // Faults on demand are no part of the program: without them this kernel goes on.
                self.control = None;
                None
            }
        }
    }

    fn post(&mut self, record: &[u8]) {
        if record.len() <= RECORD_MAX && self.effects.1.write(record).is_ok() {
            self.posted = true;
        } else {
            self.fail("a vote that no ring holds");
        }
    }

    fn takes_snapshots(&self) -> bool {
        self.snapshots.is_some()
    }

    fn snapshot(&self, record: &[u8]) {
        if let Some((channel, ring)) = &self.snapshots {
            // A record has at most `abi::snapshot::RECORD_MAX` bytes: it fits.
            let _fits = ring.borrow_mut().write(record);
            channel.ring();
        }
    }

    fn beginning(&self) -> Option<&'static [u8]> {
        self.beginning
    }

    fn ring(&mut self) {
        if core::mem::take(&mut self.posted) {
            self.effects.0.ring();
        }
    }

    fn wait(&mut self, until_us: Option<u64>) {
        self.ring();
        self.timer(None);
        calls::wait(until_us.map_or(u64::MAX, |us| self.counter(us)));
        // A timer that fired before it was turned off would end every further wait.
        self.take_interrupt();
    }

    fn monitor(&self) -> Option<Monitor<'static>> {
        self.monitor
    }

    fn note(&mut self, event: Event<'_>) {
        super::log::note(event);
    }

    fn say(&mut self, line: Arguments<'_>) {
        runtime::text::line(line);
    }

    fn fail(&mut self, reason: &str) -> ! {
        // The message must lie in this kernel's memory at the common offset: constants do, and so does the heap.
        calls::crash(reason.as_bytes())
    }

    fn heap_room(&self) -> usize {
        heap::left().saturating_sub(HEAP_RESERVE)
    }
}
