//! The board behind the kernel's trait: registers, the virtual interrupt controller, channels.

use super::OFFSET;
use super::entry::journal_enter;
use abi::bootinfo::{BootInfo, CPU_INTERFACE_IPA, name_str};
use abi::hypercall::TIMER_INTID;
use abi::monitor::Monitor;
use abi::vote::{Control, PAYLOAD_MAX, Vote};
use core::arch::asm;
use ipc::{BroadcastReader, BroadcastWriter, Receive, Send};
use journal::machine::{Machine, Trap, User};
use runtime::beginning::{self, Start};
use runtime::{AgreedLog, Channel, calls, say};

const FLAGS: u64 = 0xf << 28;
const STEP: u64 = 1 << 21;
const SPURIOUS: u32 = 1020;

/// This domain's part of the board.
pub struct Board {
    hz: u64,
    domain: u32,
    log: AgreedLog<'static>,
    /// The log may have grown.
    look: bool,
    votes: Channel,
    effects: BroadcastWriter<'static>,
    snapshots: Option<(Channel, BroadcastWriter<'static>)>,
    control: Option<BroadcastReader<'static>>,
    monitor: Option<Monitor<'static>>,
    scratch: [u8; PAYLOAD_MAX + 512],
}

fn gic(offset: u64) -> *mut u32 {
    (CPU_INTERFACE_IPA + OFFSET + offset) as *mut u32
}

fn channel(boot: &'static BootInfo, prefix: &str) -> Option<Channel> {
    let own = name_str(&boot.name);
    let found = boot.channels.iter().find(|c| {
        let name = name_str(&c.name);
        c.role != abi::bootinfo::ROLE_NONE && (name == prefix || name.strip_prefix(prefix) == Some(own))
    })?;
    // SAFETY: the kernel's tables map all channels and positions at this offset, normal memory, for ever.
    unsafe { Channel::at(boot, name_str(&found.name), found.ipa + OFFSET) }
}

impl Board {
    /// Takes the channels and turns interrupts on at the controller. With it what the kernel begins with, if that is a snapshot.
    pub fn new(boot: &'static BootInfo) -> (Board, Option<&'static [u8]>) {
        let Some(votes) = channel(boot, "effects-") else { panic!("there is no channel for effects") };
        let Some(effects) = BroadcastWriter::new(votes.words()) else {
            panic!("the channel of effects is too small")
        };
        // SAFETY: as in `channel`.
        let start = unsafe { beginning::start(boot, OFFSET, |size| alloc::vec![0; size].leak()) };
        let Some(Start { snapshot, log }) = start else { panic!("there is no agreed log") };
        let monitor = channel(boot, "monitor-").and_then(|c| Monitor::new(c.words().get(512..)?));
        if let Some(m) = &monitor {
            m.begin();
        }
        // SAFETY: (1) EL2 maps the virtual CPU interface there, our tables as device memory; (2) all priorities, enabled.
        unsafe {
            gic(4).write_volatile(0xff);
            gic(0).write_volatile(1);
        }
        let board = Board {
            hz: boot.counter_hz,
            domain: boot.incarnation(),
            log,
            look: true,
            votes,
            effects,
            snapshots: channel(boot, "snapshot-")
                .filter(Channel::writes)
                .and_then(|c| Some((c, BroadcastWriter::new(c.words())?))),
            control: channel(boot, "control").and_then(|c| BroadcastReader::new(c.words())),
            monitor,
            scratch: [0; PAYLOAD_MAX + 512],
        };
        (board, snapshot)
    }

    fn ticks(&self, us: u64) -> u64 {
        us.saturating_mul(self.hz) / 1_000_000
    }

    fn interrupt(&mut self) {
        loop {
            // SAFETY: acknowledging and ending interrupts is what reading and writing these registers does.
            let intid = unsafe { gic(0xc).read_volatile() };
            if intid & 0x3ff >= SPURIOUS {
                return;
            }
            if intid & 0x3ff == TIMER_INTID {
                set_timer(None);
            }
            // SAFETY: as above.
            unsafe { gic(0x10).write_volatile(intid) };
        }
    }
}

/// The virtual timer fires after so many ticks, or not at all.
fn set_timer(ticks: Option<u64>) {
    // SAFETY: this kernel's own timer.
    unsafe {
        asm!("msr cntv_tval_el0, {}", "msr cntv_ctl_el0, {}", "isb", in(reg) ticks.unwrap_or(0), in(reg) u64::from(ticks.is_some()), options(nostack))
    };
}

impl Machine for Board {
    fn enter(&mut self, user: &mut User, base: u64, slice_us: u64, step: bool) -> Trap {
        user.pstate = user.pstate & FLAGS | if step { STEP } else { 0 };
        set_timer(Some(self.ticks(slice_us)));
        // SAFETY: (1) `base` names tables that this kernel made; all their pages are EL0's; (2) the callee saves what the ABI wants kept; (3)
        // interrupts stay masked at EL1.
        let (kind, esr, far): (u64, u64, u64) = unsafe {
            asm!("dsb ishst", "msr ttbr0_el1, {}", "msr mdscr_el1, {}", "isb", in(reg) base, in(reg) u64::from(step), options(nostack));
            let kind = journal_enter(user);
            let (esr, far);
            asm!("mrs {}, esr_el1", "mrs {}, far_el1", out(reg) esr, out(reg) far, options(nomem, nostack));
            (kind, esr, far)
        };
        user.pstate &= FLAGS;
        if kind == 1 {
            self.look = true;
            self.interrupt();
            return Trap::Interrupt;
        }
        Trap::Exception(esr, far)
    }

    fn flush(&mut self, asid: u16, page: Option<u64>) {
        let space = u64::from(asid) << 48;
        // SAFETY: forgetting translations is always right.
        unsafe {
            match page {
                Some(va) => {
                    asm!("dsb ishst", "tlbi vae1, {}", "dsb nsh", "isb", in(reg) space | va >> 12, options(nostack))
                }
                None => {
                    asm!("dsb ishst", "tlbi aside1, {}", "dsb nsh", "isb", in(reg) space, options(nostack))
                }
            }
        }
    }

    fn sync_code(&mut self, page: u32) {
        let start = (u64::from(page) << 12) + OFFSET;
        for line in (start..start + 4096).step_by(64) {
            // SAFETY: the page is mapped; cleaning caches changes no byte.
            unsafe { asm!("dc cvau, {}", in(reg) line, options(nostack)) };
        }
        // SAFETY: as above.
        unsafe { asm!("dsb ish", "ic iallu", "dsb ish", "isb", options(nostack)) };
    }

    fn post(&mut self, vote: &Vote<'_>) {
        if self.effects.send(vote, &mut self.scratch).is_err() {
            panic!("a vote does not fit its ring");
        }
        self.votes.ring();
    }

    fn snapshot(&mut self, record: &[u8]) -> bool {
        let Some((channel, ring)) = &mut self.snapshots else { return false };
        let written = ring.write(record).is_ok();
        channel.ring();
        written
    }

    fn entry(&mut self, out: &mut [u8]) -> Option<usize> {
        if !self.look {
            return None;
        }
        match self.log.read(out) {
            Ok(Some(n)) => Some(n),
            Ok(None) => {
                self.look = false;
                calls::poll();
                // A bell between the look and the poll must not be lost.
                match self.log.read(out) {
                    Ok(n) => {
                        self.look = n.is_some();
                        n
                    }
                    Err(e) => panic!("the agreed log: {e:?}"),
                }
            }
            Err(e) => panic!("the agreed log: {e:?}"),
        }
    }

    fn control(&mut self) -> Option<Control> {
        self.control.as_mut()?.receive(&mut self.scratch).ok().flatten()
    }

    fn sleep(&mut self, us: u64) {
        // An interrupt that nobody acknowledges would end the wait, and every one after it: the bell's, or what is left of a slice.
        self.interrupt();
        set_timer(None);
        calls::wait(calls::now() + self.ticks(us));
        self.look = true;
    }

    fn now_us(&self) -> u64 {
        let now = calls::now();
        now / self.hz * 1_000_000 + now % self.hz * 1_000_000 / self.hz
    }

    fn say(&mut self, text: core::fmt::Arguments<'_>) {
        say!("{text}");
    }

    fn monitor(&mut self) -> Option<Monitor<'_>> {
        self.monitor
    }

    fn domain(&self) -> u32 {
        self.domain
    }
}
