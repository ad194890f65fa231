//! The turn rule's state: the round, waiting, call numbers, sync points, the clock. `docs/turn-rule.md` is the specification; section names in
//! comments are its.

use crate::hw::{Event as Note, Hardware};
use crate::kernel::Kernel;
use crate::process::{Place, Stand};
use abi::linux::nr;
use abi::log::Event;
use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN, CLOCK_PER_CALL_US};
use abi::vote::{NO_DEADLINE, Vote};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Something that can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// A pipe's readers.
    Readers(u32),
    /// A pipe's writers.
    Writers(u32),
    /// Those in the open of a FIFO.
    Openers(u32),
    /// The terminal's readers.
    Terminal,
    /// A parent's children.
    Children(u64),
    /// A vfork child.
    Vfork(u64),
    /// A futex: memory and address.
    Futex(u32, u64),
}

/// The numbers of the rule.
#[derive(Default)]
pub struct Turn {
    /// Serials; the head holds the turn.
    pub round: VecDeque<u64>,
    /// Calls made (c).
    pub call: u64,
    /// Since the last sync point.
    pub since: u64,
    /// In this turn.
    pub in_turn: u64,
    /// Clock at the last sync point.
    pub base_us: u64,
    /// Number of the next sync point.
    pub sync: u64,
    /// It is to be taken before anything else.
    pub sync_due: bool,
    /// Who waits for what, first come first.
    pub queues: BTreeMap<Key, VecDeque<u64>>,
    /// The last call promised not to be made.
    pub promised: Option<u64>,
    /// How long the head has run user code in this turn since its last call, microseconds.
    pub ran_us: u64,
    /// Calls below this number are known to the others.
    pub said: u64,
    /// When the first call that they do not know of was made.
    pub unsaid_since: u64,
}

impl<H: Hardware> Kernel<H> {
    /// The program's clock.
    pub fn clock(&self) -> u64 {
        self.turn.base_us + CLOCK_PER_CALL_US * self.turn.since
    }

    /// "A wake-up puts it at the end of the round."
    pub fn to_round(&mut self, serial: u64) {
        let base = self.threads.values().filter(|t| t.stand == Stand::User).map(|t| t.entity.used).min();
        self.leave_queues(serial);
        if self.threads.get(&serial).is_some_and(|t| t.place != Place::Round) && self.is_held_back(serial) {
            return self.hold(serial);
        }
        if let Some(t) = self.threads.get_mut(&serial)
            && !matches!(t.place, Place::Round | Place::Ended)
        {
            t.place = Place::Round;
            t.entity.join(base.unwrap_or(0));
            self.turn.round.push_back(serial);
        }
    }

    /// "Leaves all when woken."
    pub fn leave_queues(&mut self, serial: u64) {
        let Some(t) = self.threads.get_mut(&serial) else { return };
        t.deadline = None;
        for key in core::mem::take(&mut t.keys) {
            if let Some(q) = self.turn.queues.get_mut(&key) {
                q.retain(|s| *s != serial);
                if q.is_empty() {
                    self.turn.queues.remove(&key);
                }
            }
        }
    }

    /// Wakes all that wait for `key`, in their order.
    pub fn wake(&mut self, key: Key) {
        for serial in self.turn.queues.remove(&key).unwrap_or_default() {
            self.to_round(serial);
        }
    }

    /// Takes the thread out of the round, to `place`.
    pub fn leave_round(&mut self, serial: u64, place: Place) {
        self.turn.round.retain(|s| *s != serial);
        if let Some(t) = self.threads.get_mut(&serial) {
            t.place = place;
        }
    }

    /// "Turns", 2 and 3: the head makes its call.
    pub fn make_call(&mut self, head: u64) {
        let call = self.turn.call;
        if self.turn.ran_us > self.stuck_us / 2 && self.turn.promised != Some(call) {
            self.post(&Vote::Took { call });
            self.turn.said = call + 1;
        }
        self.memory.in_call = true;
        let owner = self.owner(head);
        let (head, number) = self.step(head);
        self.memory.in_call = false;
        self.tell_call(head, number);
        if let Some(t) = self.threads.get_mut(&head) {
            t.calls += 1;
        } else if let Some(p) = self.processes.get_mut(&owner) {
            p.gone_calls += 1;
        }
        self.count_call();
        self.turn.in_turn += 1;
        if self.threads.get(&head).is_some_and(|t| t.place == Place::Round) {
            if self.turn.in_turn < CALLS_PER_TURN && u64::from(number) != nr::sched_yield {
                return;
            }
            self.turn.round.retain(|s| *s != head);
            self.turn.round.push_back(head);
        }
        self.end_turn();
    }

    fn count_call(&mut self) {
        if self.turn.said < self.turn.call {
            // An older call is unsaid already: its time counts.
        } else if self.turn.said == self.turn.call {
            self.turn.unsaid_since = self.memory.physical.hw.now_us();
        }
        self.turn.call += 1;
        self.turn.since += 1;
        self.turn.ran_us = 0;
        self.decisions = self.decisions.split_off(&self.turn.call);
    }

    fn end_turn(&mut self) {
        self.turn.in_turn = 0;
        self.turn.ran_us = 0;
        self.turn.sync_due = self.turn.since >= CALLS_PER_SYNC || self.turn.round.is_empty();
    }

    /// "Nor does it leave a call unsaid": posts the last one made, if nobody knows of it.
    pub fn say_last_call(&mut self) {
        if self.turn.said < self.turn.call {
            self.post(&Vote::Took { call: self.turn.call - 1 });
            self.turn.said = self.turn.call;
        }
    }

    /// "Stuck, skip, go": a skip uses the call number up.
    pub fn skip(&mut self, head: u64) {
        let call = self.turn.call;
        self.note(Note::Skipped(head, call));
        self.give_snapshot_up(head);
        self.leave_round(head, Place::Outside { call, asked: false });
        self.hold_others(head);
        self.skipped_signals(head);
        self.count_call();
        self.end_turn();
    }

    /// "Sync points": takes the entry of the next one.
    pub fn take_sync(&mut self, time_us: u64, events: &[u8]) {
        let s = self.turn.sync;
        self.turn.base_us = self.clock().max(time_us);
        self.turn.since = 0;
        self.turn.sync += 1;
        let entry = abi::log::Sync { s, time_us, events };
        let mut asked = false;
        for event in entry.events() {
            match event {
                Ok(Event::Snapshot) => asked = true,
                Ok(event) => self.event(event),
                Err(_) => self.memory.physical.hw.fail("the log holds an event that is none"),
            }
        }
        self.timers();
        self.deadlines();
        if asked {
            self.take_snapshot(s);
        }
        self.pass(s);
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::TtyData(bytes) => self.terminal_input(bytes, false),
            Event::TtyLine(bytes) => self.terminal_input(bytes, true),
            Event::TtySignal(signal) => self.terminal_signal(u32::from(signal)),
            Event::WindowSize { rows, columns } => self.terminal_resized(rows, columns),
            Event::Rejoin { thread, call } => {
                let outside = self.threads.get(&thread).map(|t| t.place);
                if matches!(outside, Some(Place::Outside { call: c, .. }) if c == call) {
                    self.note(Note::Rejoins(thread));
                    self.to_round(thread);
                    self.release_held(self.process_of(thread).and_then(|p| p.space));
                }
            }
            // When the rest of the entry is done: `take_sync`.
            Event::Snapshot => {}
        }
    }

    fn timers(&mut self) {
        let now = self.clock();
        let mut due: Vec<(u64, u64)> = self
            .processes
            .values()
            .filter_map(|p| Some((p.timer?.0, p.serial)))
            .filter(|(t, _)| *t <= now)
            .collect();
        due.sort();
        for (at, serial) in due {
            if let Some(p) = self.processes.get_mut(&serial) {
                let every = p.timer.map_or(0, |t| t.1);
                // Expiries that passed together are one signal; the next lies behind the clock.
                p.timer = now
                    .checked_sub(at)
                    .and_then(|late| late.checked_div(every))
                    .map(|n| (at + (n + 1) * every, every));
            }
            self.generate_kernel(serial, crate::signal::SIGALRM);
        }
    }

    fn deadlines(&mut self) {
        let now = self.clock();
        let mut due: Vec<(u64, u64)> = self
            .threads
            .values()
            .filter_map(|t| Some((t.deadline?, t.serial)))
            .filter(|(d, _)| *d <= now)
            .collect();
        due.sort();
        due.into_iter().for_each(|(_, serial)| self.to_round(serial));
    }

    /// Posts that sync point `s` is passed.
    pub fn pass(&mut self, s: u64) {
        let runnable = !self.turn.round.is_empty();
        let sleepers = self.threads.values().filter_map(|t| t.deadline);
        let timers = self.processes.values().filter_map(|p| Some(p.timer?.0));
        let deadline_us =
            if runnable { NO_DEADLINE } else { sleepers.chain(timers).min().unwrap_or(NO_DEADLINE) };
        let due = self.digest_interval != 0 && s.is_multiple_of(self.digest_interval);
        let state = if due { Some(self.state_digest()) } else { None };
        if due {
            for serial in self.processes.keys().copied().collect::<Vec<_>>() {
                let at_once = self.has_threads(serial);
                if let Some(p) = self.processes.get_mut(&serial).filter(|p| !p.zombie) {
                    p.digest_due = (!at_once).then_some(s);
                }
            }
        }
        let (call, effects) = (self.turn.call, self.effects);
        self.tell();
        self.note(Note::Passed(s, call));
        self.post(&Vote::Passed { s, call, effects, runnable, deadline_us, state });
        self.turn.said = call;
        self.turn.sync_due = !runnable;
        if due {
            self.post_shared_digests(s);
        }
    }

    /// Outside threads that stand before a call say so, once.
    pub fn ask_to_rejoin(&mut self) {
        let mut asking = Vec::new();
        for t in self.threads.values_mut() {
            if let Place::Outside { call, asked } = &mut t.place
                && !*asked
                && t.stand != Stand::User
            {
                *asked = true;
                asking.push((t.serial, *call));
            }
        }
        for (thread, call) in asking {
            self.note(Note::WantsBack(thread));
            self.post(&Vote::Rejoin { thread, call });
        }
    }
}
