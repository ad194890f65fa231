//! One core's whole state, and which domain it runs next.
//!
//! A kernel's EL1 state stays in place while services run, until another kernel of the core does. Who has budget left goes before who has none, a service before a
//! kernel (it is there to answer others), else round robin with a slice only when two want to run; no tick otherwise. Who has used his up runs when nobody else wants to.

use crate::arch::float;
use crate::arch::registers::{self, Controls};
use crate::domain::{Frame, Saved, hold, pending};
use crate::gic::Gic;
use crate::hole::{Hole, hole};
use crate::memory::{self, Direct};
use crate::plan::Plan;
use crate::ready::{BACKGROUND, WOKEN, note};
use crate::restart::{self, Restart};
use crate::{interrupts, invoke, mail};
use abi::bootinfo::{DOMAINS_MAX, MEMORY_IPA};
use abi::handover::Domain;
use capability_model::Store;
use heapless::Vec;

/// Microseconds a domain may run while another of its class wants to.
const SLICE_US: u64 = 2_000;

/// One core.
#[repr(C)]
pub struct Core {
    /// Its capability store, and through it all its domains.
    pub store: Store<Direct>,
    /// When the current domain began to use its budget.
    pub since: u64,
    /// This core.
    pub id: usize,
    /// What is fixed.
    pub plan: &'static Plan,
    /// This core's interrupt controller.
    pub gic: Gic,
    /// The domains of the manifest, which have notification words.
    pub domains: Vec<u64, DOMAINS_MAX>,
    /// The earliest time at which one of those who wait must wake.
    pub deadline: u64,
    /// Until then a kernel in which a crash was injected is watched: its vectors may be gone, and then it faults for ever without
    /// EL2 noticing.
    pub watch_until: u64,
    /// A domain that begins anew.
    pub restart: Option<Restart>,
    /// When to go on with that, at the earliest; `u64::MAX`: never. Apart, because each dispatch asks.
    pub restart_due: u64,
    /// What the alarm is set to.
    alarm: u64,
    slice: u64,
}

impl Core {
    /// Core `id` as `plan` wants it, ready to run.
    pub fn new(id: usize, plan: &'static Plan) -> Core {
        registers::prepare();
        let gic = interrupts::start(plan, id);
        let mut direct =
            Direct { gic, ready: Default::default(), current: 0, loaded: 0, float: 0, restarts: 0 };
        direct.note(note::NEWS);
        let (store, domains) = crate::root::store(id, plan, direct);
        let slice = registers::counter_hz() * SLICE_US / 1_000_000;
        Core {
            store,
            since: registers::now(),
            id,
            plan,
            gic,
            domains,
            deadline: u64::MAX,
            watch_until: 0,
            restart: None,
            restart_due: u64::MAX,
            alarm: u64::MAX,
            slice,
        }
    }

    /// The current domain; there is one whenever a trap came from below, until it is suspended or deleted meanwhile: then 0.
    #[inline(always)]
    pub fn current(&self) -> u64 {
        self.store.memory.current
    }

    /// What the microkernel keeps of a domain.
    #[inline(always)]
    pub fn saved(&self, at: u64) -> &Saved {
        self.store.memory.saved(at)
    }

    /// The same to be changed.
    #[inline(always)]
    pub fn saved_mut(&mut self, at: u64) -> &mut Saved {
        self.store.memory.saved_mut(at)
    }

    /// Registers of the current domain.
    #[inline(always)]
    pub fn frame(&mut self) -> &mut Frame {
        let current = self.current();
        &mut self.saved_mut(current).frame
    }

    /// Whether the current domain is a kernel.
    pub fn in_kernel(&self) -> bool {
        self.current() != 0 && self.saved(self.current()).is_kernel()
    }

    /// The manifest's entry of the current domain, if it has one.
    #[inline(never)]
    pub fn current_domain(&self) -> Option<(usize, &'static Domain)> {
        if self.current() == 0 {
            return None;
        }
        let index = usize::try_from(self.saved(self.current()).index.checked_sub(1)?).ok()?;
        Some((index, self.plan.given.domains.get(index)?))
    }

    /// The domain of this core with place `index` in the manifest.
    pub fn domain_of(&self, index: usize) -> Option<u64> {
        self.domains.iter().copied().find(|&at| self.saved(at).index == index as u64 + 1)
    }

    /// The physical address of `length` bytes at `ipa` if they are wholly the current domain's memory.
    pub fn own_memory(&self, ipa: u64, length: u64) -> Option<u64> {
        let (_, domain) = self.current_domain()?;
        let offset = ipa.checked_sub(MEMORY_IPA)?;
        let end = offset.checked_add(length)?;
        (end <= domain.memory.size || hole(Hole::Text)).then(|| domain.memory.base + offset)
    }

    /// A domain stands still for this reason, too.
    pub fn keep(&mut self, at: u64, reason: u64) {
        self.saved_mut(at).hold |= reason;
        self.store.memory.dequeue(at);
        self.store.memory.note(note::NEWS);
    }

    /// This reason is gone.
    pub fn release(&mut self, at: u64, reason: u64) {
        let saved = self.saved_mut(at);
        saved.hold &= !reason;
        if saved.hold == 0 && at != self.current() {
            self.store.memory.enqueue(at, WOKEN);
        }
        self.store.memory.note(note::NEWS);
    }

    /// Whether its store lets it run, and it has time of its own.
    fn wants(&self, at: u64) -> bool {
        at != 0 && self.saved(at).is_free() && self.store.is_runnable(at)
    }

    /// When to go on with [`Core::restart`].
    pub fn restart_again_at(&mut self, due: u64) {
        self.restart_due = due;
        self.deadline = self.deadline.min(due);
        self.store.memory.note(note::NEWS);
    }

    /// Takes what the current domain used from its budget.
    pub fn charge(&mut self, now: u64) {
        let used = now.saturating_sub(self.since);
        self.since = now;
        let current = self.current();
        if current != 0 {
            let saved = self.saved_mut(current);
            saved.left = saved.left.saturating_sub(used);
        }
    }

    /// The queue a domain belongs to; refills its budget if it is time.
    fn sort(&mut self, at: u64, now: u64) -> u64 {
        if now >= self.saved(at).refill_at
            && let Some((budget_us, period_us)) = self.store.domain_time(at)
        {
            let ticks = |us: u64| us.saturating_mul(registers::counter_hz()) / 1_000_000;
            let saved = self.saved_mut(at);
            (saved.left, saved.refill_at) = (ticks(budget_us), now.saturating_add(ticks(period_us)));
        }
        let saved = self.saved(at);
        if saved.left == 0 { BACKGROUND } else { saved.class }
    }

    /// Those who were woken go to their queues, and from the background who has budget again.
    fn sort_woken(&mut self, now: u64) {
        while let Some(at) = self.store.memory.first(WOKEN) {
            self.store.memory.dequeue(at);
            invoke::finish(self, at);
            if self.wants(at) {
                let queue = self.sort(at, now);
                self.store.memory.enqueue(at, queue);
            }
        }
        let mut next = self.store.memory.first(BACKGROUND);
        while let Some(at) = next {
            next = self.store.memory.after(at);
            if now >= self.saved(at).refill_at {
                self.store.memory.dequeue(at);
                let queue = self.sort(at, now);
                self.store.memory.enqueue(at, queue);
            }
        }
    }

    /// Chooses who runs, sleeping while nobody wants to; afterwards TPIDR_EL2 points to his registers.
    pub fn dispatch(&mut self) {
        loop {
            self.store.memory.take_note(note::STOPPED);
            if self.store.memory.take_note(note::NEWS) {
                self.wake_all();
            }
            let now = registers::now();
            self.charge(now);
            self.sort_woken(now);
            if now >= self.restart_due {
                restart::step(self);
            }
            if self.choose(now) {
                self.set_alarm(now, true);
                return;
            }
            self.set_alarm(now, false);
            if self.restart.is_some() {
                restart::step(self);
                self.since = registers::now();
            } else if self.store.work() {
                mail::send(self);
            } else {
                registers::sleep();
                // The time asleep is on nobody's budget.
                self.since = registers::now();
            }
            interrupts::serve(self);
            self.store.memory.note(note::NEWS);
        }
    }

    fn choose(&mut self, now: u64) -> bool {
        let current = self.current();
        let best = self.store.memory.best();
        let slice_over = self.store.memory.take_note(note::SLICE_OVER);
        if self.wants(current) {
            let queue = self.sort(current, now);
            if best.is_none_or(|best| queue < best || queue == best && !slice_over) {
                self.enter(current);
                return true;
            }
            self.store.memory.enqueue(current, queue);
        }
        while let Some(at) = self.store.memory.best().and_then(|queue| self.store.memory.first(queue)) {
            self.store.memory.dequeue(at);
            if self.wants(at) {
                self.enter(at);
                return true;
            }
        }
        false
    }

    /// Makes the processor that of the domain at `next`, which has a space.
    fn enter(&mut self, next: u64) {
        let Some((root, vmid)) = self.store.domain_space(next) else { return };
        let current = self.current();
        if !self.store.memory.take_note(note::RESPACED) && current == next {
            return;
        }
        if current != 0 {
            self.saved_mut(current).controls = Controls::now();
        }
        self.load(next, vmid << 48 | root);
        // A new slice begins: forget the old alarm.
        self.alarm = u64::MAX - 1;
    }

    /// The processor becomes that of `next`.
    pub fn load(&mut self, next: u64, vttbr: u64) {
        self.store.memory.current = next;
        registers::save_registers_at(memory::frame_address(next));
        if self.saved(next).is_kernel() && self.store.memory.loaded != next {
            let from = self.store.memory.loaded;
            self.store.memory.give_el1(next);
            // The timer of a kernel that sleeps without EL1 is EL2's to watch from now on.
            if from != 0 && self.saved(from).hold & (hold::WAITS | hold::ASLEEP) != 0 {
                self.deadline = self.deadline.min(self.saved(from).el1.timer());
            }
        }
        let (saved, owns) = (self.saved(next), self.store.memory.float == next);
        if saved.is_kernel() {
            registers::become_kernel(vttbr, &saved.controls, owns);
        } else {
            registers::become_service(vttbr, saved.controls.thread[0], owns);
        }
    }

    /// The current domain touches the FP/SIMD registers, which are another's: from now on they are its own.
    pub fn give_float(&mut self) {
        let current = self.current();
        self.store.memory.take_float();
        if !hole(Hole::Float) {
            self.saved(current).float.load();
        }
        self.store.memory.float = current;
        float::allow(true);
    }

    /// Earliest deadline of those who wait, refill of those in the background, and the end of the slice if another wants to run.
    fn set_alarm(&mut self, now: u64, running: bool) {
        let mut at = self.deadline;
        let mut next = self.store.memory.first(BACKGROUND);
        while let Some(domain) = next {
            at = at.min(self.saved(domain).refill_at);
            next = self.store.memory.after(domain);
        }
        let contended = self.store.memory.best().is_some();
        if running && (contended || now < self.watch_until) {
            // The slice began at the switch; while it lasts the alarm stays where it is.
            let current = self.alarm > now && self.alarm <= now + self.slice;
            let left = self.saved(self.current()).left.max(1);
            let end = if contended { now + left.min(self.slice) } else { now + self.slice };
            at = at.min(if current { self.alarm } else { end });
        }
        if at != self.alarm {
            self.alarm = at;
            registers::alarm(at);
        }
    }

    /// Another domain has the processor while others want it: it ends with the slice, or with what is `left` to him.
    #[inline(always)]
    pub fn slice_begins(&mut self, now: u64, left: u64) {
        let end = now.saturating_add(left.min(self.slice));
        if end < self.alarm {
            self.alarm = end;
            registers::alarm(end);
        }
    }

    /// Watches the kernel of this core for a second.
    pub fn watch(&mut self) {
        self.watch_until = registers::now() + registers::counter_hz();
    }

    /// The alarm went off and is disarmed.
    pub fn alarm_fired(&mut self) {
        self.alarm = u64::MAX;
        self.store.memory.note(note::SLICE_OVER | note::NEWS);
    }

    /// Whether the current domain goes on without anybody else being asked: nothing is noted, and nobody was woken.
    #[inline(always)]
    pub fn goes_on(&self) -> bool {
        self.store.memory.ready.mask >> WOKEN == 0
    }
}

const _: () = assert!(pending::NOTHING == 0, "a new domain waits for nothing");
