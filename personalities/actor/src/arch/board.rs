//! The machine as the kernel sees it: programs run here, votes leave here, the log arrives here.

use super::spaces::Spaces;
use super::{enter, gic};
use abi::bootinfo::{BootInfo, name_str};
use abi::log::ENTRY_MAX;
use abi::monitor::Monitor;
use abi::ring::OFFSET_DATA;
use abi::vote::{Control, PAYLOAD_MAX, Vote};
use actor::machine::{Access, Event, Fault, Fp, Machine, Pace, Rights, SpaceId, Trap, User};
use alloc::boxed::Box;
use alloc::format;
use ipc::{BroadcastReader, BroadcastWriter, ReadError, Receive, Send};
use runtime::beginning::{self, Start};
use runtime::{AgreedLog, Channel, calls};

/// The machine.
pub struct Board {
    boot: &'static BootInfo,
    spaces: Spaces,
    effects: BroadcastWriter<'static>,
    effects_channel: Channel,
    log: AgreedLog<'static>,
    control: Option<BroadcastReader<'static>>,
    monitor: Option<Monitor<'static>>,
    snapshots: Option<(BroadcastWriter<'static>, Channel)>,
    scratch: Box<[u8]>,
}

fn channel(boot: &'static BootInfo, name: &str) -> Channel {
    Channel::find(boot, name).unwrap_or_else(|| panic!("there is no channel {name}"))
}

const EC_SVC64: u64 = 0x15;
const EC_INSTRUCTION_ABORT: u64 = 0x20;
const EC_PC_ALIGNMENT: u64 = 0x22;
const EC_DATA_ABORT: u64 = 0x24;
const EC_SP_ALIGNMENT: u64 = 0x26;
const EC_STEP: u64 = 0x32;
const EC_BRK: u64 = 0x3c;
const ISS_WRITE: u64 = 1 << 6;
const ISS_CACHE: u64 = 1 << 8;
const FSC: u64 = 0x3f;
const FSC_ALIGNMENT: u64 = 0x21;

/// What an exception of a program's says.
fn decode(esr: u64, far: u64, sp: u64) -> Trap {
    Trap::Fault(match esr >> 26 & 0x3f {
        EC_SVC64 => return Trap::Call,
        EC_STEP => return Trap::Step,
        EC_INSTRUCTION_ABORT => Fault::Page { address: far, access: Access::Execute },
        EC_DATA_ABORT if esr & FSC == FSC_ALIGNMENT => Fault::Alignment { address: far },
        EC_DATA_ABORT => {
            let write = esr & ISS_WRITE != 0 && esr & ISS_CACHE == 0;
            Fault::Page { address: far, access: if write { Access::Write } else { Access::Read } }
        }
        EC_PC_ALIGNMENT => Fault::Alignment { address: far },
        EC_SP_ALIGNMENT => Fault::Alignment { address: sp },
        EC_BRK => Fault::Breakpoint,
        _ => Fault::Instruction,
    })
}

impl Board {
    /// With its channels; and what the kernel begins with, if that is a snapshot.
    pub fn new(boot: &'static BootInfo) -> (Board, Option<&'static [u8]>) {
        let name = name_str(&boot.name);
        if let Some(log) = Channel::find(boot, &format!("log-{name}")) {
            runtime::log::start(log.words());
        }
        let effects_channel = channel(boot, &format!("effects-{name}"));
        let effects = BroadcastWriter::new(effects_channel.words());
        // SAFETY: (1) all channels and modules lie where their addresses say, for the kernel's whole life: its tables map them one to one.
        let start = unsafe { beginning::start(boot, 0, |size| alloc::vec![0; size].leak()) };
        let (Some(effects), Some(Start { snapshot, log })) = (effects, start) else {
            runtime::crash(b"a channel is too small, or there are no channels `agreed-`")
        };
        let control = Channel::find(boot, "control").and_then(|c| BroadcastReader::new(c.words()));
        let monitor = Channel::find(boot, &format!("monitor-{name}"));
        let monitor = monitor.and_then(|c| Monitor::new(c.words().get(OFFSET_DATA / 8..)?));
        let snapshots = Channel::find(boot, &format!("snapshot-{name}")).filter(Channel::writes);
        let snapshots = snapshots.and_then(|c| Some((BroadcastWriter::new(c.words())?, c)));
        let scratch = alloc::vec![0; PAYLOAD_MAX + 256].into_boxed_slice();
        defmt::info!("the kernel has its channels; stuck after {=u32} ms", boot.run.stuck_ms);
        let spaces = Spaces::default();
        (
            Board { boot, spaces, effects, effects_channel, log, control, monitor, snapshots, scratch },
            snapshot,
        )
    }

    /// Waits for the log's first record.
    pub fn first_record(&mut self) -> Box<[u8]> {
        let mut buffer = alloc::vec![0; ENTRY_MAX];
        loop {
            if let Some(length) = self.receive(&mut buffer) {
                buffer.truncate(length);
                return buffer.into_boxed_slice();
            }
            self.sleep(None);
        }
    }

    fn ticks(&self, us: u64) -> u64 {
        us * (self.boot.counter_hz / 1000) / 1000
    }
}

impl Machine for Board {
    fn now_us(&self) -> u64 {
        calls::now() * 1000 / (self.boot.counter_hz / 1000)
    }

    fn run(&mut self, user: &mut User, space: SpaceId, pace: Pace) -> Trap {
        let tables = self.spaces.tables(space);
        let slice = match pace {
            Pace::Free(us) => us,
            // A step is bounded by itself; the timer is there for a load that never ends.
            Pace::Step => 10_000,
        };
        gic::set_timer(calls::now() + self.ticks(slice));
        let left = enter::run(user, tables, pace == Pace::Step);
        if left.kind == 1 {
            gic::stop_timer();
            if gic::drain() {
                // The word is taken: the kernel looks at all its rings before it goes on.
                calls::poll();
            }
            return Trap::Interrupt;
        }
        decode(left.esr, left.far, user.sp)
    }

    fn save_fp(&mut self, fp: &mut Fp) {
        enter::save_fp(fp);
    }

    fn load_fp(&mut self, fp: &Fp) {
        enter::load_fp(fp);
    }

    fn map(&mut self, space: SpaceId, at: u64, page: u64, rights: Rights) {
        self.spaces.map(space, at, page, rights);
    }

    fn forget(&mut self, space: SpaceId, start: u64, end: u64) {
        self.spaces.forget(space, start, end);
    }

    fn forget_space(&mut self, space: SpaceId) {
        self.spaces.drop_space(space);
    }

    fn post(&mut self, vote: &Vote<'_>) {
        if self.effects.send(vote, &mut self.scratch).is_err() {
            runtime::crash(b"a vote does not fit its ring");
        }
        self.effects_channel.ring();
    }

    fn receive(&mut self, buffer: &mut [u8]) -> Option<usize> {
        loop {
            match self.log.read(buffer) {
                Ok(length) => return length,
                Err(ReadError::NewEpoch) => {}
                Err(_) => runtime::crash(b"the log's ring cannot be read"),
            }
        }
    }

    fn control(&mut self) -> Option<Control> {
        let ring = self.control.as_mut()?;
        let mut buffer = [0; 64];
        match ring.receive(&mut buffer) {
            Ok(order) => order,
            Err(_) => {
                ring.skip_to_head();
                None
            }
        }
    }

    fn sleep(&mut self, until_us: Option<u64>) {
        gic::stop_timer();
        gic::drain();
        calls::wait(until_us.map_or(u64::MAX, |us| self.ticks(us)));
    }

    fn domain(&self) -> u32 {
        self.boot.incarnation()
    }

    fn monitor(&self) -> Option<Monitor<'static>> {
        self.monitor
    }

    fn keeps_snapshots(&self) -> bool {
        self.snapshots.is_some()
    }

    fn write_snapshot(&mut self, record: &[u8]) {
        if let Some((ring, _)) = &mut self.snapshots
            && ring.write(record).is_err()
        {
            runtime::crash(b"a record of a snapshot does not fit its ring");
        }
    }

    fn ring_snapshot(&mut self) {
        if let Some((_, channel)) = &self.snapshots {
            channel.ring();
        }
    }

    fn heap_left(&self) -> usize {
        super::memory::heap_left()
    }

    fn tell(&mut self, event: Event) {
        match event {
            Event::Ended { pid, status } => defmt::info!("pid {=u32} ended, status {=i32:#x}", pid, status),
            Event::Executed { pid } => defmt::debug!("pid {=u32} executes a program", pid),
            Event::Unknown { number } => {
                defmt::warn!("call {=u64} is not there", number);
                let name = abi::linux::name(number).unwrap_or("?");
                runtime::say!("system call {number} ({name}) is not there: ENOSYS");
            }
            Event::Skipped { serial, call } => {
                defmt::info!("thread {=u64} skipped at call {=u64}", serial, call)
            }
            Event::NoPage { pid } => {
                defmt::error!("no page is left for pid {=u32}", pid);
                runtime::say!("no page is left for pid {pid}: it is killed");
            }
            Event::NoSnapshot { s, what } => {
                defmt::warn!("no snapshot of sync point {=u64}: {=str} fits no record", s, what);
                runtime::say!("no snapshot of sync point {s}: {what} fits no record");
            }
        }
    }
}
