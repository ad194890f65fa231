//! All of `arch` as the kernel's machine, and the way from the boot page to the kernel.

use super::OFFSET;
use super::devices::Devices;
use super::memory::{self, Frames};
use super::user_map::UserMaps;
use super::vectors::{self, Left, Mode};
use abi::bootinfo::{BootInfo, name_str};
use classic::kernel::{Kernel, Setup};
use classic::machine::{
    Exit, Fault, FpRegisters, Frame, Machine, OutOfFrames, PAGE_BYTES, Registers, Rights, Shown, TableId,
    Trace,
};
use runtime::Channel;
use runtime::beginning::Start;

/// `mov x8, #139` (rt_sigreturn); `svc #0`.
const TRAMPOLINE: [u32; 2] = [0xd280_1168, 0xd400_0001];

struct Core {
    frames: Frames,
    maps: UserMaps,
    devices: Devices,
    ticks_per_ms: u64,
    /// As last set.
    mode: Mode,
}

/// Runs the kernel for ever.
pub fn start(boot: &'static BootInfo) -> ! {
    let name = name_str(&boot.name);
    let mut frames = Frames::new(boot);
    let Ok(maps) = UserMaps::new(&mut frames, &TRAMPOLINE) else { runtime::crash(b"no memory at all") };
    // SAFETY: `kernel_map` maps all modules at this offset, for ever.
    let root = unsafe { runtime::channel::module_at(boot, "root", OFFSET) };
    let Some(root) = root else { runtime::crash(b"no module `root`: the manifest must give it") };
    let effects = channel(boot, &alloc::format!("effects-{name}"));
    // SAFETY: `kernel_map` maps all channels and modules at this offset, for ever.
    let start = unsafe { runtime::beginning::start(boot, OFFSET, |size| alloc::vec![0; size].leak()) };
    let (Some(Start { snapshot, log }), Some(effects)) = (start, effects) else {
        runtime::crash(b"no channels `agreed-`, or no `effects-` and own name: the manifest must give both")
    };
    if let Some(log) = channel(boot, &alloc::format!("log-{name}")) {
        runtime::log::start(log.words());
    }
    defmt::info!("starts: {=u64} KiB, {=usize} frames free", boot.memory_size >> 10, frames.left());
    runtime::say!("classic: {} KiB, {} frames free", boot.memory_size >> 10, frames.left());
    let setup = Setup {
        domain: boot.incarnation(),
        root,
        log,
        effects: (effects.words(), effects.index as u32),
        control: channel(boot, "control").map(|c| c.words()),
        snapshot,
        snapshots: channel(boot, &alloc::format!("snapshot-{name}")).map(|c| c.words()),
        monitor: channel(boot, &alloc::format!("monitor-{name}")).and_then(|c| c.words().get(512..)),
        stuck_ms: boot.run.stuck_ms,
    };
    let ticks_per_ms = (boot.counter_hz / 1000).max(1);
    Kernel::boot(Core { frames, maps, devices: Devices::new(), ticks_per_ms, mode: Mode::Free }, setup).run()
}

impl Core {
    fn enter(&mut self, tables: TableId, registers: &mut Registers, mode: Mode) -> Exit {
        let Some(root) = self.maps.ttbr(tables) else { self.crash("a program without tables") };
        // Writing it costs a trap to EL2: only where it changes.
        if self.mode != mode {
            self.mode = mode;
            vectors::set_mode(mode);
        }
        match vectors::enter(root, registers, mode) {
            Left::Synchronous => decode(registers),
            Left::Interrupt => {
                self.devices.answer();
                Exit::Interrupt
            }
        }
    }
}

fn channel(boot: &'static BootInfo, name: &str) -> Option<Channel> {
    let ipa = boot.channels.iter().find(|c| name_str(&c.name) == name)?.ipa;
    // SAFETY: (1) `kernel_map` maps all channels at this offset, normal memory, write-back, for ever; (2) position pages are not used.
    unsafe { Channel::at(boot, name, ipa + OFFSET) }
}

/// What a synchronous exception from user mode was (Armv8-A, ESR_EL1).
fn decode(registers: &Registers) -> Exit {
    let (class, iss) = (registers.esr >> 26 & 0x3f, registers.esr & 0x1ff_ffff);
    let address = registers.far;
    Exit::Fault(match class {
        0x15 => return Exit::Call,
        0x20 | 0x24 => {
            let status = iss & 0x3f;
            // Write-not-read also stands for cache maintenance, which needs to read.
            let writes = iss & 1 << 6 != 0 && iss & 1 << 8 == 0;
            match (status, class) {
                (0..=0x0f, 0x20) => Fault::Access { address, needs: Rights::EXECUTE },
                (0..=0x0f, _) if writes => Fault::Access { address, needs: Rights::WRITE },
                (0..=0x0f, _) => Fault::Access { address, needs: Rights::READ },
                _ => Fault::Alignment { address },
            }
        }
        0x22 => Fault::Alignment { address },
        0x26 => Fault::Alignment { address: registers.sp },
        0x32 => return Exit::Step,
        0x30 | 0x31 | 0x34..=0x3c => Fault::Breakpoint,
        _ => Fault::Instruction,
    })
}

impl Machine for Core {
    fn alloc_frame(&mut self) -> Result<Frame, OutOfFrames> {
        self.frames.alloc()
    }
    fn free_frame(&mut self, frame: Frame) {
        self.frames.free(frame);
    }
    fn trace(&mut self, what: Trace<'_>) {
        match what {
            Trace::Exec { pid, name } => {
                defmt::info!("pid {=u32} runs {=str}", pid, core::str::from_utf8(name).unwrap_or("?"))
            }
            Trace::Ended { pid, status } => defmt::info!("pid {=u32} ended, status {=i32:#x}", pid, status),
            Trace::Signal { pid, signal } => defmt::info!("signal {=u8} for pid {=u32}", signal, pid),
            Trace::Stuck { call } => defmt::info!("stuck before call {=u64}", call),
            Trace::Skipped { serial, call } => {
                defmt::info!("thread {=u64} skipped at call {=u64}", serial, call)
            }
            Trace::Passed { s, call } => defmt::debug!("sync point {=u64} passed, call {=u64}", s, call),
        }
    }
    fn used_frames(&self) -> u64 {
        self.frames.used()
    }
    fn free_heap(&self) -> usize {
        memory::free_heap()
    }
    fn frame(&self, frame: Frame) -> &[u8; PAGE_BYTES] {
        self.frames.bytes(frame)
    }
    fn frame_mut(&mut self, frame: Frame) -> &mut [u8; PAGE_BYTES] {
        self.frames.bytes_mut(frame)
    }
    fn copy_frame(&mut self, from: Frame, to: Frame) {
        self.frames.copy(from, to);
    }

    fn new_tables(&mut self) -> Result<TableId, OutOfFrames> {
        self.maps.make(&mut self.frames)
    }
    fn drop_tables(&mut self, tables: TableId) {
        self.maps.drop(&mut self.frames, tables);
    }
    fn map(
        &mut self,
        tables: TableId,
        address: u64,
        shown: Shown,
        rights: Rights,
    ) -> Result<(), OutOfFrames> {
        self.maps.map(&mut self.frames, tables, address, shown, rights)
    }
    fn unmap(&mut self, tables: TableId, address: u64) {
        self.maps.unmap(&mut self.frames, tables, address, address + PAGE_BYTES as u64);
    }
    fn unmap_range(&mut self, tables: TableId, start: u64, end: u64) {
        self.maps.unmap(&mut self.frames, tables, start, end);
    }
    fn flush(&mut self, tables: TableId, code: bool) {
        self.maps.flush(tables, code);
    }

    fn run(&mut self, tables: TableId, registers: &mut Registers, ticks: u64) -> Exit {
        self.devices.set_timer((ticks != u64::MAX).then(|| self.ticks() + ticks));
        self.enter(tables, registers, Mode::Free)
    }
    fn step(&mut self, tables: TableId, registers: &mut Registers) -> Exit {
        self.enter(tables, registers, Mode::Single)
    }
    fn load_fp(&mut self, from: &FpRegisters) {
        vectors::load_fp(from);
    }
    fn store_fp(&mut self, to: &mut FpRegisters) {
        vectors::store_fp(to);
    }

    fn ticks(&self) -> u64 {
        runtime::calls::now()
    }
    fn ticks_per_ms(&self) -> u64 {
        self.ticks_per_ms
    }
    fn wait(&mut self) {
        self.devices.set_timer(None);
        let _ = runtime::wait(u64::MAX);
        self.devices.answer();
    }
    fn ring(&mut self, channel: u32) {
        // The channel is ours to write: EL2 cannot refuse.
        let _ = runtime::signal(channel as usize);
    }
    fn text(&mut self, line: &str) {
        // Refused when the budget is spent: a console must not stop its writer.
        let _ = runtime::calls::print(line.as_bytes());
    }
    fn crash(&mut self, why: &str) -> ! {
        runtime::crash(why.as_bytes())
    }
}
