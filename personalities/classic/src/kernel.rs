//! The kernel: its tables, and the loop that alternates between the turn rule and user mode.
//!
//! System calls on shared things are atomic in turns, so each runs to its end on the one kernel stack with interrupts masked, and a call
//! that blocks is recorded and made again. The alternative, a kernel stack per thread with sleeping calls, would add
//! locks and states between the calls that nobody could agree on.

use crate::faults::Faults;
use crate::fs::Fs;
use crate::log::{Log, News, Start};
use crate::machine::{Exit, Machine, Trace};
use crate::monitor::Watcher;
use crate::process::{Life, Process, SpaceId};
use crate::snapshot::{Reader, Writer};
use crate::space::{Budget, Space};
use crate::thread::{Thread, Want};
use crate::turns::{Decision, Serial, Turns};
use crate::votes::{Unheard, Votes};
use abi::linux::nr;
use abi::turn::{Class, class};
use abi::vote::Vote;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use core::sync::atomic::AtomicU64;
use runtime::AgreedLog;

/// How long a thread runs in user mode while others could.
const SLICE_MS: u64 = 10;
/// How long an effect may wait for its doorbell.
const EFFECT_WAITS_MS: u64 = 1;

/// What the machine's start found for the kernel.
pub struct Setup {
    /// Index of this domain.
    pub domain: u32,
    /// The root image.
    pub root: &'static [u8],
    /// The agreed log.
    pub log: AgreedLog<'static>,
    /// The channel for votes, and its number.
    pub effects: (&'static [AtomicU64], u32),
    /// The control channel.
    pub control: Option<&'static [AtomicU64]>,
    /// Where the kernel tells of itself.
    pub monitor: Option<&'static [AtomicU64]>,
    /// The channel for snapshots.
    pub snapshots: Option<&'static [AtomicU64]>,
    /// A snapshot to begin with.
    pub snapshot: Option<&'static [u8]>,
    /// A head without a call for so long is stuck.
    pub stuck_ms: u32,
}

/// An address space and how many processes use it (two during a vfork).
pub(crate) struct Shared {
    pub space: Space,
    pub users: u32,
}

/// How long the head has run since it could make its call.
#[derive(Clone, Copy, Debug, Default)]
struct Watch {
    of: Option<(Serial, u64)>,
    ran: u64,
    /// Stuck was said, and neither Skip nor Go has come.
    promised: bool,
    /// Stuck was said.
    posted: bool,
}

/// What the others know of this kernel's calls, and since when.
#[derive(Clone, Copy, Debug, Default)]
struct Said {
    calls: u64,
    at: u64,
}

fn wait_for_boot<M: Machine>(m: &mut M, log: &mut Log) -> Start {
    loop {
        match log.poll() {
            Ok(Some(News::Start(start))) => return start,
            Ok(Some(News::Decided(..))) => m.crash("log: it does not begin with Boot"),
            Ok(None) => m.wait(),
            Err(why) => m.crash(why),
        }
    }
}

/// The kernel.
pub struct Kernel<M: Machine> {
    pub(crate) m: M,
    pub(crate) fs: Fs,
    pub(crate) procs: BTreeMap<Serial, Process>,
    pub(crate) threads: BTreeMap<Serial, Thread>,
    pub(crate) spaces: BTreeMap<SpaceId, Shared>,
    pub(crate) last_space: SpaceId,
    pub(crate) turns: Turns,
    pub(crate) budget: Budget,
    pub(crate) start: Start,
    pub(crate) execs: u64,
    pub(crate) last_serial: Serial,
    pub(crate) last_pid: u32,
    pub(crate) log: Log,
    pub(crate) votes: Votes,
    pub(crate) faults: Faults,
    pub(crate) watcher: Watcher,
    pub(crate) snapshots: Writer,
    /// Process 1 ended: nothing runs any more.
    pub(crate) halted: bool,
    /// The thread whose FP registers the machine holds.
    pub(crate) fp_owner: Option<Serial>,
    /// The thread whose step is being made.
    pub(crate) stepping: Option<Serial>,
    unknown: BTreeSet<u64>,
    channel: u32,
    stuck_ms: u64,
    watch: Watch,
    said: Said,
    last_run: Serial,
    preempted: bool,
}

impl<M: Machine> Kernel<M> {
    /// Waits for Boot and makes process 1. Never returns with an error: what cannot start, crashes with a reason.
    pub fn boot(mut m: M, setup: Setup) -> Kernel<M> {
        let mut log = Log::new(setup.log);
        let Some(votes) = Votes::new(setup.effects.0) else { m.crash("the effects channel is too small") };
        let mut begun = setup.snapshot.map(Reader::new);
        let start = match &mut begun {
            Some(reader) => match reader.start() {
                Ok(start) => start,
                Err(why) => m.crash(&reader.complaint(why)),
            },
            None => wait_for_boot(&mut m, &mut log),
        };
        let (rows, columns) = start.size;
        let fs = match Fs::new(setup.root, start.seed, start.time_us, rows, columns) {
            Ok(fs) => fs,
            Err(why) => m.crash(&format!("root image: {why}")),
        };
        let mut kernel = Kernel {
            m,
            fs,
            procs: BTreeMap::new(),
            threads: BTreeMap::new(),
            spaces: BTreeMap::new(),
            last_space: 0,
            turns: Turns::start(start.time_us),
            budget: Budget::default(),
            start,
            execs: 0,
            last_serial: 1,
            last_pid: 1,
            log,
            votes,
            faults: Faults::new(setup.control, setup.domain),
            watcher: Watcher::new(setup.monitor),
            snapshots: Writer::new(setup.snapshots),
            halted: false,
            fp_owner: None,
            stepping: None,
            unknown: BTreeSet::new(),
            channel: setup.effects.1,
            stuck_ms: u64::from(setup.stuck_ms),
            watch: Watch::default(),
            said: Said::default(),
            last_run: 0,
            preempted: false,
        };
        match begun {
            Some(reader) => kernel.begin(reader),
            None => {
                kernel.make_first();
                kernel.passed(0, true);
            }
        }
        kernel
    }

    /// Runs for ever.
    pub fn run(mut self) -> ! {
        loop {
            self.cycle();
        }
    }

    /// One round of the loop: all that the turn rule allows, then one stay in user mode, or a wait.
    pub fn cycle(&mut self) {
        if self.faults.poll() {
            self.votes.lies = true;
        }
        self.advance();
        match self.pick() {
            Some(serial) => {
                self.tell_news();
                self.run_user(serial);
            }
            None => {
                self.tell();
                self.say_calls();
                self.ring();
                self.m.wait();
            }
        }
    }

    /// Does what the turn rule allows without user mode: sync points, skips, calls.
    fn advance(&mut self) {
        while !self.halted {
            self.poll_log();
            if let Some(s) = self.turns.sync_due() {
                if !self.take_sync(s) {
                    break;
                }
                continue;
            }
            let Some(head) = self.turns.head() else { break };
            self.watch_head(head);
            match self.turns.decision() {
                Some(Decision::Skip) if self.ran_its_time(head) => {
                    self.skip_head();
                    continue;
                }
                Some(Decision::Skip) => break,
                Some(Decision::Go) => self.watch.promised = false,
                None => {}
            }
            if self.watch.promised || self.threads.get(&head).is_none_or(|t| t.want.is_none()) {
                break;
            }
            let late = !self.watch.posted && self.watch.ran * 2 > self.stuck_ticks();
            let silent = self.m.ticks().saturating_sub(self.said.at) * 2 > self.stuck_ticks();
            self.step(head);
            if late || silent {
                self.say_calls();
            }
            if self.votes.unheard() == Unheard::Urgent {
                self.ring();
            }
        }
    }

    fn poll_log(&mut self) {
        loop {
            match self.log.poll() {
                Ok(None) => return,
                Ok(Some(News::Decided(call, decision))) => self.turns.decide(call, decision),
                Ok(Some(News::Start(_))) => self.m.crash("log: a second Boot"),
                Err(why) => self.m.crash(why),
            }
        }
    }

    fn skip_head(&mut self) {
        self.watch = Watch::default();
        let Some(serial) = self.turns.begin_skip() else { return };
        if let Some(t) = self.threads.get_mut(&serial) {
            t.asked_rejoin = false;
        }
        self.skipped_before_own(serial);
        self.m.trace(Trace::Skipped { serial, call: self.turns.call() });
        self.act_outside(serial);
        self.turns.end_skip();
        self.ask_rejoin(serial);
    }

    /// An outside thread that wants to make a call says so, once.
    fn ask_rejoin(&mut self, serial: Serial) {
        let Some(call) = self.turns.skipped_at(serial) else { return };
        let Some(t) = self.threads.get_mut(&serial) else { return };
        if t.want.is_some() && !t.asked_rejoin {
            t.asked_rejoin = true;
            self.post(&Vote::Rejoin { thread: serial, call });
        }
    }

    pub(crate) fn post(&mut self, vote: &Vote<'_>) {
        if let Err(why) = self.votes.post(vote) {
            self.m.crash(why);
        }
        self.note_said(vote);
    }

    /// The others know of all calls so far.
    pub(crate) fn all_is_said(&mut self) {
        self.said = Said { calls: self.turns.call(), at: self.m.ticks() };
    }

    /// What a vote tells the others about calls made.
    fn note_said(&mut self, vote: &Vote<'_>) {
        let calls = match *vote {
            Vote::Passed { call, .. } | Vote::Stuck { call } => call,
            Vote::Effect { call, .. } | Vote::Took { call } => call + 1,
            Vote::Memory { .. } | Vote::Rejoin { .. } | Vote::Snapshot { .. } => return,
        };
        self.said = Said { calls, at: self.m.ticks() };
    }

    /// Says how many calls are made, if the others do not know: a call that nobody has heard of may yet be skipped.
    fn say_calls(&mut self) {
        let made = self.turns.call();
        if made > self.said.calls {
            self.post(&Vote::Took { call: made - 1 });
            self.ring();
        }
    }

    fn ring(&mut self) {
        if self.votes.unheard() > Unheard::Nothing {
            self.m.ring(self.channel);
            self.votes.heard();
        }
    }

    fn stuck_ticks(&self) -> u64 {
        self.stuck_ms.saturating_mul(self.m.ticks_per_ms())
    }

    /// A skip known beforehand (catching up, replay) waits until the thread is as far gone in its loop as where it was decided: what a
    /// handler that then interrupts it does should not depend on who was late.
    fn ran_its_time(&self, head: Serial) -> bool {
        self.watch.ran >= self.stuck_ticks() || self.threads.get(&head).is_none_or(|t| t.want.is_some())
    }

    /// The watch is on this head and this call.
    fn watch_head(&mut self, head: Serial) {
        let of = Some((head, self.turns.call()));
        if self.watch.of != of {
            self.watch = Watch { of, ..Watch::default() };
        }
    }

    fn runnable(&self, t: &Thread) -> bool {
        t.want.is_none()
            && !self.turns.is_waiting(t.serial)
            && self.procs.get(&t.process).is_some_and(|p| p.life == Life::Alive)
            && (!self.turns.is_sharer(t.serial)
                || self.turns.head() == Some(t.serial)
                || self.turns.skipped_at(t.serial).is_some())
    }

    /// Who runs in user mode: the head, for it alone brings the program forward; after its slice the others in turn.
    fn pick(&mut self) -> Option<Serial> {
        if self.halted {
            return None;
        }
        let preempted = core::mem::take(&mut self.preempted);
        if let Some(head) = self.turns.head()
            && !(preempted && self.last_run == head)
            && self.threads.get(&head).is_some_and(|t| self.runnable(t))
        {
            return Some(head);
        }
        let after = self.threads.range(self.last_run + 1..);
        let before = self.threads.range(..=self.last_run);
        after.chain(before).find(|(_, t)| self.runnable(t)).map(|(&s, _)| s)
    }

    fn run_user(&mut self, serial: Serial) {
        let head = self.turns.head();
        let ms = self.m.ticks_per_ms();
        let mut ticks = u64::MAX;
        if self.threads.values().filter(|t| self.runnable(t)).nth(1).is_some() {
            ticks = SLICE_MS * ms;
        }
        // After a Go there is nothing left to promise: a timer for it would interrupt before the first instruction, for ever.
        let watched = !self.watch.promised && self.turns.decision() != Some(Decision::Go);
        if head == Some(serial) && watched {
            ticks = ticks.min(self.stuck_ticks().saturating_sub(self.watch.ran).max(1));
        }
        if self.turns.call() > self.said.calls {
            let silent = self.m.ticks().saturating_sub(self.said.at);
            ticks = ticks.min((self.stuck_ticks() / 2).saturating_sub(silent).max(1));
        }
        match self.votes.unheard() {
            Unheard::Urgent => self.ring(),
            Unheard::Effects => ticks = ticks.min(EFFECT_WAITS_MS * ms),
            Unheard::Nothing => {}
        }
        self.take_fp(serial);
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let Some(p) = self.procs.get(&t.process) else { return };
        let Some(shared) = self.spaces.get(&p.space) else { return };
        let began = self.m.ticks();
        let exit = self.m.run(shared.space.tables, &mut t.registers, ticks);
        let ran = self.m.ticks().saturating_sub(began);
        self.watcher.switches += u64::from(self.last_run != serial);
        self.last_run = serial;
        if head == Some(serial) {
            self.watch.ran += ran;
        }
        match exit {
            Exit::Call => self.entered(serial),
            Exit::Fault(fault) => self.faulted(serial, fault),
            Exit::Interrupt | Exit::Step => {
                self.preempted = true;
                self.watcher.interrupts += 1;
                if ran >= EFFECT_WAITS_MS * ms {
                    self.ring();
                }
                if self.m.ticks().saturating_sub(self.said.at) * 2 >= self.stuck_ticks() {
                    self.say_calls();
                }
                if head == Some(serial) {
                    self.check_stuck();
                }
            }
        }
        self.ask_rejoin(serial);
    }

    fn check_stuck(&mut self) {
        if self.watch.ran >= self.stuck_ticks() && !self.watch.promised && self.turns.decision().is_none() {
            self.watch.promised = true;
            self.watch.posted = true;
            self.m.trace(Trace::Stuck { call: self.turns.call() });
            self.post(&Vote::Stuck { call: self.turns.call() });
            self.ring();
        }
    }

    /// A thread executed `svc`: private calls are made at once, others wait for the turn.
    pub(crate) fn entered(&mut self, serial: Serial) {
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let x = &t.registers.x;
        let (number, args) = (x[8], [x[0], x[1], x[2], x[3], x[4], x[5]]);
        if number == nr::rt_sigreturn && self.procs.get(&t.process).is_some_and(|p| p.unagreed) {
            return self.return_unagreed(serial);
        }
        t.want = Some(Want::Call { number, args });
        let yields = number == nr::sched_yield && self.turns.is_sharer(serial);
        if class(number, &args) != Class::Turn && !yields {
            self.try_private(serial);
        }
    }

    /// An unknown number is reported once.
    pub(crate) fn report_unknown(&mut self, number: u64) {
        if self.unknown.len() < 64 && self.unknown.insert(number) {
            let name = abi::linux::name(number).unwrap_or("unknown");
            self.m.text(&format!("call {number} ({name}): ENOSYS"));
        }
    }

    /// The machine's FP registers are those of `serial`.
    pub(crate) fn take_fp(&mut self, serial: Serial) {
        if self.fp_owner == Some(serial) {
            return;
        }
        self.save_fp();
        if let Some(t) = self.threads.get(&serial) {
            self.m.load_fp(&t.fp);
            self.fp_owner = Some(serial);
        }
    }

    /// The table of threads holds everybody's FP registers.
    pub(crate) fn save_fp(&mut self) {
        if let Some(t) = self.fp_owner.take().and_then(|owner| self.threads.get_mut(&owner)) {
            self.m.store_fp(&mut t.fp);
        }
    }
}
