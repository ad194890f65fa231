//! One core's whole state, and which domain it runs next.
//!
//! At most one of the domains is a kernel: its EL1 state stays in place while services run. Round robin with a slice only when two want to
//! run; no tick otherwise. A service that is woken takes the core from a kernel at once: it is there to answer others.

use crate::arch::registers::{self, Controls};
use crate::gic::Gic;
use crate::plan::Plan;
use crate::{interrupts, shared};
use abi::bootinfo::{BOOTINFO_IPA, DOMAINS_MAX, MEMORY_IPA};
use abi::manifest::{Domain, DomainKind};
use heapless::Vec;

/// Registers of a domain. `entry.s` knows the layout.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// Stack pointer of EL0.
    pub sp_el0: u64,
    /// Where it continues.
    pub pc: u64,
    /// SPSR_EL2.
    pub state: u64,
}

const _: () = assert!(core::mem::offset_of!(Frame, sp_el0) == 248 && core::mem::offset_of!(Frame, pc) == 256);
const _: () = assert!(core::mem::offset_of!(Core, frame) == 0);

/// SPSR_EL2 for a start: EL1h, and EL0t, D A I F masked (of no effect on interrupts that go to EL2).
pub const STATE_EL1: u64 = 0x3c5;
const STATE_EL0: u64 = 0x3c0;

/// Microseconds a service may run while another wants to.
const SLICE_US: u64 = 2_000;

/// What a domain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It runs or wants to.
    Runnable,
    /// It waits for its notification word, until the counter reaches this.
    Waiting(u64),
    /// A kernel that sleeps (WFI) until an interrupt is pending.
    Asleep,
    /// It never runs again.
    Dead,
}

/// A domain on this core.
#[derive(Clone, Debug)]
pub struct Task {
    /// Its index.
    pub domain: usize,
    /// What it is.
    pub kind: DomainKind,
    /// What it does.
    pub activity: Activity,
    /// It stands still, whatever it would do.
    pub paused: bool,
    /// Its registers while it is not the current one.
    pub frame: Frame,
    /// What of EL1 is its own, while it is not the current one.
    controls: Controls,
    /// Its space.
    vttbr: u64,
    /// Bytes of text printed.
    pub text: u64,
}

impl Task {
    /// Domain `domain` at its first instruction.
    pub fn start(domain: usize, kind: DomainKind, entry: u64, vttbr: u64) -> Task {
        let (state, controls) = match kind {
            DomainKind::Personality => (STATE_EL1, Controls::KERNEL),
            DomainKind::Service => (STATE_EL0, Controls::SERVICE),
        };
        let mut frame = Frame { pc: entry, state, ..Frame::default() };
        frame.x[0] = BOOTINFO_IPA;
        let activity = Activity::Runnable;
        Task { domain, kind, activity, paused: false, frame, controls, vttbr, text: 0 }
    }

    /// Its space.
    pub fn vttbr(&self) -> u64 {
        self.vttbr
    }
}

/// One core.
#[repr(C)]
pub struct Core {
    /// Registers of the current domain.
    pub frame: Frame,
    /// This core.
    pub id: usize,
    /// What is fixed.
    pub plan: &'static Plan,
    /// This core's interrupt controller.
    pub gic: Gic,
    /// Its domains.
    pub tasks: Vec<Task, DOMAINS_MAX>,
    /// Whose registers are in `frame` (an index of `tasks`).
    pub current: Option<usize>,
    /// The current one must give way if another wants to run.
    pub slice_over: bool,
    /// A service that was woken while a kernel ran.
    urgent: Option<usize>,
    /// Until then a kernel in which a crash was injected is watched: its vectors may be gone, and then it faults for ever without
    /// EL2 noticing.
    pub watch_until: u64,
    /// What the alarm is set to.
    alarm: u64,
    slice: u64,
}

impl Core {
    /// Core `id` as `plan` wants it, ready to run.
    pub fn new(id: usize, plan: &'static Plan) -> Core {
        registers::prepare();
        let mut tasks = Vec::new();
        for (index, domain) in plan.on_core(id) {
            let start = &plan.domains[index];
            let task = Task::start(index, domain.kind, start.entry, start.vttbr);
            assert!(tasks.push(task).is_ok(), "more tasks than domains");
        }
        let gic = interrupts::start(plan, id);
        let slice = registers::counter_hz() * SLICE_US / 1_000_000;
        Core {
            frame: Frame::default(),
            id,
            plan,
            gic,
            tasks,
            current: None,
            slice_over: false,
            urgent: None,
            watch_until: 0,
            alarm: u64::MAX,
            slice,
        }
    }

    /// The current task; there is one whenever a trap came from below.
    pub fn current(&mut self) -> Option<&mut Task> {
        self.current.and_then(|i| self.tasks.get_mut(i))
    }

    /// The manifest's entry of the current domain.
    pub fn current_domain(&self) -> Option<(usize, &'static Domain)> {
        let domain = self.tasks.get(self.current?)?.domain;
        Some((domain, self.plan.manifest.domains.get(domain)?))
    }

    /// Whether the current domain is a kernel.
    pub fn in_kernel(&self) -> bool {
        self.current.and_then(|i| self.tasks.get(i)).is_some_and(|t| t.kind == DomainKind::Personality)
    }

    /// Registers of task `index`, wherever they are.
    pub fn frame_of(&mut self, index: usize) -> &mut Frame {
        if self.current == Some(index) { &mut self.frame } else { &mut self.tasks[index].frame }
    }

    /// The physical address of `length` bytes at `ipa` if they are wholly the current domain's memory.
    pub fn own_memory(&self, ipa: u64, length: u64) -> Option<u64> {
        let (_, domain) = self.current_domain()?;
        let offset = ipa.checked_sub(MEMORY_IPA)?;
        let end = offset.checked_add(length)?;
        (end <= domain.memory.size).then(|| domain.memory.base + offset)
    }

    /// Answers a waiting task if there is a reason to.
    pub fn try_wake(&mut self, index: usize) {
        let task = &self.tasks[index];
        let kernel = task.kind == DomainKind::Personality;
        let deadline = match task.activity {
            Activity::Waiting(deadline) if !task.paused => deadline,
            Activity::Asleep if !task.paused => {
                if self.gic.guest_pending() {
                    self.tasks[index].activity = Activity::Runnable;
                }
                return;
            }
            _ => return,
        };
        let word = shared::take_word(task.domain);
        let interrupted = kernel && self.gic.guest_timer_pending();
        if word == 0 && !interrupted && registers::now() < deadline {
            return;
        }
        self.tasks[index].activity = Activity::Runnable;
        let frame = self.frame_of(index);
        frame.x[0] = 0;
        frame.x[1] = word;
        // It goes first, and has the core until it waits again or its slice is over.
        if !kernel && self.in_kernel() {
            self.urgent = Some(index);
        }
    }

    /// Chooses who runs, sleeping while nobody wants to; afterwards `frame` is his.
    pub fn dispatch(&mut self) {
        loop {
            for i in 0..self.tasks.len() {
                self.try_wake(i);
            }
            if let Some(next) = self.choose() {
                self.switch(next);
                self.set_alarm(true);
                return;
            }
            self.set_alarm(false);
            registers::sleep();
            interrupts::serve(self);
        }
    }

    fn choose(&mut self) -> Option<usize> {
        let runnable = |t: &Task| t.activity == Activity::Runnable && !t.paused;
        if let Some(urgent) = self.urgent.take().filter(|&i| self.tasks.get(i).is_some_and(runnable)) {
            return Some(urgent);
        }
        let from = match self.current {
            Some(i) if !self.slice_over && self.tasks.get(i).is_some_and(runnable) => return Some(i),
            Some(i) => i + 1,
            None => 0,
        };
        let count = self.tasks.len();
        (0..count).map(|k| (from + k) % count).find(|&i| runnable(&self.tasks[i]))
    }

    fn switch(&mut self, next: usize) {
        self.slice_over = false;
        if self.current == Some(next) {
            return;
        }
        if let Some(old) = self.current.and_then(|i| self.tasks.get_mut(i)) {
            old.frame = self.frame;
            old.controls = Controls::now();
        }
        let new = &self.tasks[next];
        self.frame = new.frame;
        match new.kind {
            DomainKind::Personality => {
                registers::become_kernel(new.vttbr, &new.controls, self.tasks.len() == 1)
            }
            DomainKind::Service => registers::become_service(new.vttbr, &new.controls),
        }
        self.current = Some(next);
        // A new slice begins: forget the old alarm.
        self.alarm = u64::MAX - 1;
    }

    /// Earliest deadline of those who wait, and the end of the slice if another wants to run.
    fn set_alarm(&mut self, running: bool) {
        let moving = || self.tasks.iter().filter(|t| !t.paused);
        let deadlines = moving().filter_map(|t| match t.activity {
            Activity::Waiting(deadline) => Some(deadline),
            _ => None,
        });
        let mut at = deadlines.min().unwrap_or(u64::MAX);
        let contended = moving().filter(|t| t.activity == Activity::Runnable).count() > 1;
        let now = registers::now();
        if running && (contended || now < self.watch_until) {
            // The slice began at the switch; while it lasts the alarm stays where it is.
            let current = self.alarm > now && self.alarm <= now + self.slice;
            at = at.min(if current { self.alarm } else { now + self.slice });
        }
        if at != self.alarm {
            self.alarm = at;
            registers::alarm(at);
        }
    }

    /// Watches the kernel of this core for a second.
    pub fn watch(&mut self) {
        self.watch_until = registers::now() + registers::counter_hz();
    }

    /// The alarm went off and is disarmed.
    pub fn alarm_fired(&mut self) {
        self.alarm = u64::MAX;
        self.slice_over = true;
    }
}
