//! One kernel under the turn rule. Section names in comments are those of `docs/turn-rule.md`.

use crate::{Entry, Event, Op, PIPE_CAPACITY, PIPES, Program, THREADS_MAX, Vote};
use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN, CLOCK_PER_CALL_US};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A choice that the rule leaves to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The user code of this thread goes on.
    User(u64),
    /// The head makes its call.
    Call,
    /// The entry of the next sync point is taken.
    Sync,
    /// The head is thought stuck.
    Stuck,
    /// The head is skipped, as the log says.
    Skip,
    /// A skipped thread that stands before a call says so.
    Rejoin(u64),
}

/// A call that took effect: (call number, thread, clock, what came of it).
pub type Effect = (u64, u64, u64, String);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    Round,
    Waiting,
    /// Skipped at this call; whether it has asked to rejoin.
    Outside(u64, bool),
    Zombie,
}

#[derive(Clone, Debug)]
struct Thread {
    script: usize,
    at: usize,
    place: Place,
    parent: u64,
    killed: bool,
    /// Of a partly done write: bytes left. Of a sleep: its deadline.
    progress: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Readers(usize),
    Writers(usize),
    Tty,
    Children(u64),
}

/// Ways to break the rule, for tests that must find them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A woken thread goes to the front of the round.
    WokenFirst,
    /// A child goes to the front of the round, behind its parent.
    ChildFirst,
    /// A turn has one call more.
    LongTurn,
    /// A skip does not use its call number up.
    SkipNotCounted,
    /// Deadlines are taken in the order of serials.
    DeadlinesBySerial,
}

/// A kernel that runs a [`Program`].
#[derive(Clone, Debug)]
pub struct Kernel {
    /// How this kernel breaks the rule, if it does.
    pub fault: Option<Fault>,
    program: Program,
    threads: BTreeMap<u64, Thread>,
    round: VecDeque<u64>,
    queues: BTreeMap<Key, VecDeque<u64>>,
    pipes: [u32; PIPES],
    tty: Vec<u8>,
    next_serial: u64,
    call: u64,
    in_turn: u64,
    since: u64,
    base_us: u64,
    /// Number of the next sync point.
    sync: u64,
    sync_due: bool,
    log: Vec<Vec<Event>>,
    times: Vec<u64>,
    decisions: BTreeMap<u64, Entry>,
    promised: Option<u64>,
    /// What took effect, in order.
    pub history: Vec<Effect>,
    /// What was said; the caller takes it.
    pub votes: Vec<Vote>,
}

impl Kernel {
    /// At sync point 0.
    pub fn new(program: Program) -> Kernel {
        let first =
            Thread { script: 0, at: 0, place: Place::Round, parent: 0, killed: false, progress: None };
        Kernel {
            fault: None,
            program,
            threads: BTreeMap::from([(1, first)]),
            round: VecDeque::from([1]),
            queues: BTreeMap::new(),
            pipes: [0; PIPES],
            tty: Vec::new(),
            next_serial: 2,
            call: 0,
            in_turn: 0,
            since: 0,
            base_us: 0,
            sync: 1,
            sync_due: false,
            log: Vec::new(),
            times: Vec::new(),
            decisions: BTreeMap::new(),
            promised: None,
            history: Vec::new(),
            votes: vec![Vote::Passed { s: 0, call: 0, runnable: true, deadline_us: None }],
        }
    }

    /// Log entries reach the kernel, in order, whenever.
    pub fn receive(&mut self, entry: Entry) {
        match entry {
            Entry::Sync { time_us, events } => {
                self.times.push(time_us);
                self.log.push(events);
            }
            Entry::Skip(c) | Entry::Go(c) => {
                self.decisions.insert(c, entry);
            }
        }
    }

    fn op(&self, serial: u64) -> Op {
        let t = &self.threads[&serial];
        self.program[t.script].get(t.at).copied().unwrap_or(Op::Exit)
    }

    fn at_call(&self, serial: u64) -> bool {
        !matches!(self.op(serial), Op::Compute | Op::Private | Op::Spin)
    }

    /// The choices there are now.
    pub fn enabled(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (&serial, t) in &self.threads {
            match t.place {
                Place::Round | Place::Outside(..) if !self.at_call(serial) => steps.push(Step::User(serial)),
                Place::Outside(_, false) => steps.push(Step::Rejoin(serial)),
                _ => {}
            }
        }
        if self.sync_due {
            if self.log.len() as u64 >= self.sync {
                steps.push(Step::Sync);
            }
            return steps;
        }
        // "Before call c is made, the log is looked at for Skip { call: c }."
        let Some(&head) = self.round.front() else { return steps };
        let decision = self.decisions.get(&self.call);
        if matches!(decision, Some(Entry::Skip(_))) {
            steps.push(Step::Skip);
        } else if self.at_call(head) && (self.promised != Some(self.call) || decision.is_some()) {
            steps.push(Step::Call);
        } else if self.promised != Some(self.call) && decision.is_none() {
            steps.push(Step::Stuck);
        }
        steps
    }

    /// Carries out a choice out of [`Kernel::enabled`].
    pub fn perform(&mut self, step: Step) {
        match step {
            Step::User(serial) => {
                if self.op(serial) != Op::Spin {
                    self.thread(serial).at += 1;
                }
            }
            Step::Call => self.make_call(),
            Step::Sync => self.take_entry(),
            Step::Stuck => {
                self.promised = Some(self.call);
                self.votes.push(Vote::Stuck(self.call));
            }
            Step::Skip => self.skip(),
            Step::Rejoin(serial) => {
                if let Place::Outside(call, asked) = &mut self.thread(serial).place {
                    *asked = true;
                    let call = *call;
                    self.votes.push(Vote::Rejoin(serial, call));
                }
            }
        }
    }

    fn thread(&mut self, serial: u64) -> &mut Thread {
        self.threads.get_mut(&serial).expect("a thread that is named exists")
    }

    fn clock(&self) -> u64 {
        self.base_us + CLOCK_PER_CALL_US * self.since
    }

    /// "Turns", 2 and 3.
    fn make_call(&mut self) {
        let head = self.round[0];
        let killed = self.threads[&head].killed;
        let (what, blocked) = if killed { (self.end(head), None) } else { self.effect(head) };
        self.history.push((self.call, head, self.clock(), what));
        self.count_call();
        self.in_turn += 1;
        if let Some((key, deadline)) = blocked {
            self.round.retain(|&t| t != head);
            let t = self.thread(head);
            t.place = Place::Waiting;
            if deadline.is_some() {
                t.progress = deadline;
            }
            if let Some(key) = key {
                self.queues.entry(key).or_default().push_back(head);
            }
        } else if self.threads.get(&head).is_some_and(|t| t.place == Place::Round) {
            if self.in_turn < CALLS_PER_TURN + u64::from(self.fault == Some(Fault::LongTurn)) {
                return;
            }
            self.round.retain(|&t| t != head);
            self.round.push_back(head);
        }
        self.end_turn();
    }

    fn count_call(&mut self) {
        self.call += 1;
        self.since += 1;
    }

    fn end_turn(&mut self) {
        self.in_turn = 0;
        self.sync_due = self.since >= CALLS_PER_SYNC || self.round.is_empty();
    }

    /// Does the head's call; what came of it, and what it waits for (a thing, a deadline) if it blocked.
    #[allow(clippy::type_complexity)] // a pair of options, used once
    fn effect(&mut self, head: u64) -> (String, Option<(Option<Key>, Option<u64>)>) {
        let done = |what: String| (what, None);
        let result = match self.op(head) {
            Op::Emit(b) => done(format!("emit {b}")),
            Op::Write(p, n) => {
                let left = self.threads[&head].progress.unwrap_or(u64::from(n)) as u32;
                let fits = left.min(PIPE_CAPACITY - self.pipes[p]);
                self.pipes[p] += fits;
                if fits > 0 {
                    self.wake(Key::Readers(p));
                }
                if fits < left {
                    self.thread(head).progress = Some(u64::from(left - fits));
                    return (format!("wrote {fits}, waits"), Some((Some(Key::Writers(p)), None)));
                }
                done(format!("wrote {fits}"))
            }
            Op::Read(p, n) => {
                let got = n.min(self.pipes[p]);
                if got == 0 {
                    return ("waits for pipe".into(), Some((Some(Key::Readers(p)), None)));
                }
                self.pipes[p] -= got;
                self.wake(Key::Writers(p));
                done(format!("read {got}"))
            }
            Op::ReadTty if self.tty.is_empty() => {
                return ("waits for tty".into(), Some((Some(Key::Tty), None)));
            }
            Op::ReadTty => done(format!("tty {:?}", std::mem::take(&mut self.tty))),
            Op::Sleep(us) => {
                let until = self.threads[&head].progress.unwrap_or(self.clock() + us);
                if until > self.clock() {
                    return ("sleeps".into(), Some((None, Some(until))));
                }
                done("slept".into())
            }
            Op::Fork(script) => done(self.fork(head, script)),
            Op::Wait => return self.wait(head),
            Op::KillYoungest => {
                let child =
                    self.threads.iter().rev().find(|(_, t)| t.parent == head && t.place != Place::Zombie);
                let child = child.map(|(&s, _)| s);
                child.into_iter().for_each(|c| self.kill(c));
                done(format!("kill {child:?}"))
            }
            Op::Exit => return (self.end(head), None),
            Op::Compute | Op::Private | Op::Spin => unreachable!("no call"),
        };
        let t = self.thread(head);
        t.at += 1;
        t.progress = None;
        result
    }

    /// "Places": the child goes to the end of the round.
    fn fork(&mut self, parent: u64, script: usize) -> String {
        if self.threads.len() >= THREADS_MAX {
            return "fork: EAGAIN".into();
        }
        let serial = self.next_serial;
        self.next_serial += 1;
        let script = script % self.program.len();
        let child = Thread { script, at: 0, place: Place::Round, parent, killed: false, progress: None };
        self.threads.insert(serial, child);
        if self.fault == Some(Fault::ChildFirst) {
            self.round.insert(1, serial);
        } else {
            self.round.push_back(serial);
        }
        format!("fork {serial}")
    }

    #[allow(clippy::type_complexity)] // as `effect`
    fn wait(&mut self, head: u64) -> (String, Option<(Option<Key>, Option<u64>)>) {
        let zombie =
            self.threads.iter().find(|(_, t)| t.parent == head && t.place == Place::Zombie).map(|(&s, _)| s);
        if zombie.is_none() && self.threads.values().any(|t| t.parent == head) {
            return ("waits for child".into(), Some((Some(Key::Children(head)), None)));
        }
        if let Some(z) = zombie {
            self.threads.remove(&z);
        }
        self.thread(head).at += 1;
        (format!("waited {zombie:?}"), None)
    }

    /// "Places": end of a process.
    fn end(&mut self, serial: u64) -> String {
        self.round.retain(|&t| t != serial);
        self.queues.values_mut().for_each(|q| q.retain(|&t| t != serial));
        let children: BTreeSet<u64> =
            self.threads.iter().filter(|(_, t)| t.parent == serial).map(|(&s, _)| s).collect();
        for child in children {
            self.thread(child).parent = 1;
        }
        let parent = self.threads[&serial].parent;
        self.thread(serial).place = Place::Zombie;
        self.wake(Key::Children(parent));
        "ends".into()
    }

    /// "Signals", a fatal one.
    fn kill(&mut self, serial: u64) {
        match self.threads[&serial].place {
            Place::Outside(..) => drop(self.end(serial)),
            Place::Waiting => {
                self.thread(serial).killed = true;
                self.queues.values_mut().for_each(|q| q.retain(|&t| t != serial));
                self.enter_round(serial);
            }
            Place::Round => self.thread(serial).killed = true,
            Place::Zombie => {}
        }
    }

    fn enter_round(&mut self, serial: u64) {
        self.thread(serial).place = Place::Round;
        if self.fault == Some(Fault::WokenFirst) && !self.round.is_empty() {
            self.round.insert(1, serial);
        } else {
            self.round.push_back(serial);
        }
    }

    fn wake(&mut self, key: Key) {
        for serial in self.queues.remove(&key).unwrap_or_default() {
            self.enter_round(serial);
        }
    }

    /// "Stuck, skip, go": a skip uses the call number up.
    fn skip(&mut self) {
        let head = self.round.pop_front().expect("a head is skipped");
        let call = self.call;
        self.history.push((call, head, self.clock(), "skipped".into()));
        if self.fault != Some(Fault::SkipNotCounted) {
            self.count_call();
        }
        if self.threads[&head].killed {
            self.end(head);
        } else {
            self.thread(head).place = Place::Outside(call, false);
        }
        self.end_turn();
    }

    /// "Sync points".
    fn take_entry(&mut self) {
        let s = self.sync;
        let index = (s - 1) as usize;
        self.base_us = self.clock().max(self.times[index]);
        self.since = 0;
        self.sync += 1;
        for event in self.log[index].clone() {
            self.event(event);
        }
        self.deadlines();
        let runnable = !self.round.is_empty();
        let deadline_us = if runnable { None } else { self.sleepers().map(|(d, _)| d).min() };
        self.votes.push(Vote::Passed { s, call: self.call, runnable, deadline_us });
        self.sync_due = !runnable;
    }

    fn event(&mut self, event: Event) {
        match event {
            Event::Input(b) => {
                self.tty.push(b);
                self.wake(Key::Tty);
            }
            Event::Interrupt => {
                let all: Vec<u64> = self.threads.keys().copied().filter(|&s| s != 1).collect();
                all.into_iter().for_each(|s| {
                    if self.threads.contains_key(&s) {
                        self.kill(s)
                    }
                });
            }
            Event::Rejoin(serial, call) => {
                let outside = self
                    .threads
                    .get(&serial)
                    .is_some_and(|t| matches!(t.place, Place::Outside(c, _) if c == call));
                if outside {
                    self.enter_round(serial);
                }
            }
        }
    }

    fn sleepers(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let waiting = self.threads.iter().filter(|(_, t)| t.place == Place::Waiting);
        waiting
            .filter(|&(&s, _)| matches!(self.op(s), Op::Sleep(_)))
            .filter_map(|(&s, t)| Some((t.progress?, s)))
    }

    fn deadlines(&mut self) {
        let now = self.base_us;
        let mut due: Vec<_> = self.sleepers().filter(|&(d, _)| d <= now).collect();
        if self.fault != Some(Fault::DeadlinesBySerial) {
            due.sort_unstable();
        }
        due.into_iter().for_each(|(_, s)| self.enter_round(s));
    }
}
