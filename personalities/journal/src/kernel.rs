//! The shell around the state: it takes events (entries of the log, traps) to the state and carries its records out. Between calls a lottery
//! decides who runs; nothing that programs can see depends on who wins.

mod birth;
mod faulting;
mod log;
mod outermost;
mod post;
mod snapshot;

pub(crate) use birth::first_process;

use crate::Map;
use crate::faults::{Cause, cause};
use crate::machine::{Machine, Trap};
use crate::page::{Frame, Page, Pool};
use crate::process::{Progress, Wanted};
use crate::shadow::Shadow;
use crate::state::State;
use abi::linux::nr;
use abi::monitor::Counter;
use abi::turn::{Class, class};
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A thread runs so long before the lottery is drawn again, microseconds.
const SLICE_US: u64 = 2000;
/// Tickets of the head; others have one each.
const HEAD_TICKETS: u64 = 8;

/// An entry of a sync point that was not taken yet.
struct Waiting {
    time_us: u64,
    events: Vec<u8>,
}

/// The kernel.
pub struct Kernel<M: Machine> {
    machine: M,
    pool: Rc<Pool>,
    image: (u32, u64),
    state: Option<State>,
    shadows: Map<u64, Rc<core::cell::RefCell<Shadow>>>,
    asids: Vec<bool>,
    zero: Rc<Frame>,
    trampoline: Rc<Frame>,
    entries: VecDeque<Waiting>,
    skips: Vec<u64>,
    goes: Vec<u64>,
    promised: Option<u64>,
    effects: u64,
    lies: bool,
    diverges: bool,
    stuck_us: u64,
    /// How long the head has run since the last call.
    ran_us: u64,
    /// When the last call number was said, and whether one was made since.
    said_us: u64,
    unsaid: bool,
    tickets: u64,
    counts: [u64; 6],
    last_run: u64,
    buffer: Vec<u8>,
    /// The log's first entry.
    boot: Vec<u8>,
    /// Entries of sync points up to here were taken before the snapshot with which it began; 0: it began with Boot.
    from: u64,
    taking: Option<snapshot::Taking>,
}

impl<M: Machine> Kernel<M> {
    /// A kernel that waits for `Boot`. `image`: first page of the root image and its bytes; `seed` draws its lottery. `None`: no frames.
    pub fn new(machine: M, pool: Rc<Pool>, image: (u32, u64), stuck_us: u64, seed: u64) -> Option<Self> {
        let (zero, trampoline) = (pool.frame()?, pool.frame()?);
        // mov x8, #139; svc #0
        trampoline.write(0, &[0x68, 0x11, 0x80, 0xd2, 0x01, 0, 0, 0xd4]);
        Some(Kernel {
            machine,
            pool,
            image,
            state: None,
            shadows: Map::new(),
            asids: alloc::vec![false; 255],
            zero,
            trampoline,
            entries: VecDeque::new(),
            skips: Vec::new(),
            goes: Vec::new(),
            promised: None,
            effects: 0,
            lies: false,
            diverges: false,
            stuck_us,
            ran_us: 0,
            said_us: 0,
            unsaid: false,
            tickets: seed | 1,
            counts: [0; 6],
            last_run: 0,
            buffer: alloc::vec![0; abi::log::ENTRY_MAX + abi::log::NUMBER_SIZE],
            boot: Vec::new(),
            from: 0,
            taking: None,
        })
    }

    fn state(&mut self) -> &mut State {
        self.state.as_mut().expect("Boot was taken")
    }

    /// One step: a turn, a sync point, or some user code.
    pub fn step(&mut self) {
        self.read_log();
        self.read_control();
        let Some(state) = &self.state else {
            self.machine.sleep(1_000_000);
            return;
        };
        if state.halted {
            self.machine.sleep(1_000_000);
            return;
        }
        if state.sync_due {
            match self.entries.pop_front() {
                Some(entry) => self.take(&entry),
                None => self.wait_for_log(),
            }
            return;
        }
        let Some(&head) = state.round.front() else { return };
        let (call, wants) = (state.call, state.process(head).wanted != Wanted::Nothing);
        let skipped = self.skips.contains(&call);
        if skipped && (wants || self.ran_us >= self.stuck_us) {
            self.snapshot_without(head);
            self.state().skip();
            self.ask_to_rejoin(head);
            self.after_call();
        } else if wants && self.promised == Some(call) && !self.goes.contains(&call) {
            self.wait_for_log();
        } else if wants {
            self.turn(head, call);
        } else {
            self.run_some();
        }
    }

    fn turn(&mut self, head: u64, call: u64) {
        self.before_call(head);
        self.snapshot_before(head);
        self.state().turn();
        self.unsaid = true;
        let long = self.ran_us > self.stuck_us / 2 && self.promised != Some(call);
        let silent = self.machine.now_us().saturating_sub(self.said_us) > self.stuck_us / 2;
        if long || silent {
            self.took();
        }
        self.after_call();
    }

    fn after_call(&mut self) {
        self.ran_us = 0;
        let call = self.state().call;
        self.skips.retain(|c| *c >= call);
        self.goes.retain(|c| *c >= call);
        self.drain();
    }

    /// Nothing can be decided before the log says more: others run, or the core sleeps.
    fn wait_for_log(&mut self) {
        if self.unsaid {
            self.took();
        }
        if !self.run_some() {
            self.machine.sleep(1_000_000);
        }
    }

    /// Draws who runs, and runs him; `false`: nobody can.
    fn run_some(&mut self) -> bool {
        let state = self.state();
        let head = state.round.front().copied().unwrap_or(0);
        let ready: Vec<u64> = state.processes.values().filter(|p| p.runs()).map(|p| p.serial).collect();
        if ready.is_empty() {
            return false;
        }
        let weight = |s: &u64| if *s == head { HEAD_TICKETS } else { 1 };
        let all: u64 = ready.iter().map(weight).sum();
        self.tickets ^= self.tickets << 13;
        self.tickets ^= self.tickets >> 7;
        self.tickets ^= self.tickets << 17;
        let mut drawn = self.tickets % all;
        let mut winner = ready[0];
        for s in &ready {
            if drawn < weight(s) {
                winner = *s;
                break;
            }
            drawn -= weight(s);
        }
        self.run(winner, winner == head);
        true
    }

    fn run(&mut self, serial: u64, is_head: bool) {
        if self.last_run != serial {
            self.last_run = serial;
            self.counts[Counter::Switches as usize] += 1;
        }
        let before = self.machine.now_us();
        if self.searches(serial) {
            self.step_on(serial);
        } else {
            self.run_on(serial);
        }
        let ran = self.machine.now_us().saturating_sub(before);
        if is_head && self.state().round.front() == Some(&serial) && !self.state().sync_due {
            self.ran_us += ran;
            self.look_stuck(serial);
        }
    }

    /// A thread runs until it traps.
    fn run_on(&mut self, serial: u64) {
        let Some(base) = self.tables(serial) else { return self.out_of_frames(serial) };
        let user = &mut self.state.as_mut().expect("Boot was taken").process_mut(serial).user;
        match self.machine.enter(user, base, SLICE_US, false) {
            Trap::Interrupt => self.counts[Counter::Interrupts as usize] += 1,
            Trap::Exception(esr, far) => self.exception(serial, esr, far),
        }
    }

    fn exception(&mut self, serial: u64, esr: u64, far: u64) {
        let pc = self.state().process(serial).user.pc;
        match cause(esr, far, pc) {
            Cause::Call => self.call(serial),
            Cause::Access(va, want) => self.access(serial, va, want),
            Cause::Raise(fault) => self.want(serial, Wanted::Fault(fault)),
            Cause::Step => {}
        }
    }

    fn call(&mut self, serial: u64) {
        let p = self.state().process(serial);
        let number = p.user.x[8];
        let mut args = [0; 6];
        args.copy_from_slice(&p.user.x[..6]);
        if number == nr::rt_sigreturn && p.unagreed && p.search.is_none() {
            if self.state().pop_frame(serial).is_err() {
                self.want(serial, Wanted::Call { number, args, progress: Progress::default() });
            }
            return;
        }
        let now = match class(number, &args) {
            Class::Private => Some(self.state().private(serial, number, &args)),
            Class::Memory => self.state().memory_now(serial, number, &args),
            Class::Turn => None,
        };
        match now {
            Some(result) => {
                self.counts[Counter::Private as usize] += 1;
                let x0 = match result {
                    Ok(v) => v,
                    Err(e) => -i64::from(e.0) as u64,
                };
                self.state().process_mut(serial).user.x[0] = x0;
            }
            None => self.want(serial, Wanted::Call { number, args, progress: Progress::default() }),
        }
    }

    /// The thread stands before something that takes a turn.
    fn want(&mut self, serial: u64, wanted: Wanted) {
        self.state().process_mut(serial).wanted = wanted;
        self.end_search(serial);
        self.ask_to_rejoin(serial);
    }

    /// A page that the zero frame stands for, or its own.
    fn number_of(&self, page: Option<Page>) -> u32 {
        page.map_or(self.zero.number(), |p| p.number())
    }
}
