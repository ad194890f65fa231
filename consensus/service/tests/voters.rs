//! Four simulated voters around the core: they crash, hang, lie and are slow, their votes arrive when chance has it.

mod common;

use abi::log::{Entry, Event};
use abi::vote::{NO_DEADLINE, Progress, Verdict, Vote};
use common::{Single, program};
use proptest::prelude::*;
use replica::clerk::{Config, Sink};
use std::collections::{BTreeSet, HashMap, VecDeque};

const FIRST: u32 = 4;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    None,
    Crash,
    Hang,
    Lie,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Item {
    Boot,
    Sync { s: u64, time: u64, inputs: usize },
    Skip(u64),
    Go(u64),
}

#[derive(Default)]
struct Log {
    items: Vec<Item>,
    progress: Vec<Progress>,
}

impl common::Log for Log {
    fn entry(&mut self, entry: &Entry<'_>) {
        let mut buf = [0; abi::log::ENTRY_MAX];
        postcard::to_slice(entry, &mut buf).expect("an entry fits");
        self.items.push(match entry {
            Entry::Boot(_) => Item::Boot,
            Entry::Sync(s) => {
                Item::Sync { s: s.s, time: s.time_us, inputs: s.events().filter(|e| e.is_ok()).count() }
            }
            Entry::Skip { call } => Item::Skip(*call),
            Entry::Go { call } => Item::Go(*call),
        });
    }
}

impl Sink for Log {
    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn decided(&mut self, _: &replica::snapshots::Decided) {}
}

/// A kernel that runs a program of the simulation: what it does between sync points follows from the entries alone, but how long a
/// thread takes for a call is its own affair.
#[derive(Default, Clone)]
struct Kernel {
    cursor: usize,
    passed: Option<u64>,
    calls: u64,
    effects: u64,
    /// Calls at which a thread was skipped.
    skipped: BTreeSet<u64>,
    decisions: HashMap<u64, bool>,
    busy_until: u64,
    stuck: bool,
    out: VecDeque<Owned>,
}

#[derive(Clone, Debug)]
enum Owned {
    Passed(u64, u64, u64, bool, u64),
    Effect(u64, u64),
    Stuck(u64),
    Took(u64),
}

fn mix(x: u64) -> u64 {
    let x = (x ^ (x >> 31)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (x >> 32)
}

impl Kernel {
    /// Looks at what the log says of calls, wherever it stands.
    fn hear(&mut self, log: &[Item], seen: &mut usize) {
        for item in &log[*seen..] {
            match item {
                Item::Skip(c) => drop(self.decisions.insert(*c, false)),
                Item::Go(c) => drop(self.decisions.insert(*c, true)),
                _ => {}
            }
        }
        *seen = log.len();
    }

    /// One step: make a call, or take an entry.
    fn step(&mut self, log: &[Item], chance: u64) {
        let target =
            self.passed.map_or(0, |s| if mix(s).is_multiple_of(4) { self.busy_until } else { s * 16 + 16 });
        if self.passed.is_some() && self.calls < target {
            return self.call(chance);
        }
        while let Some(item) = log.get(self.cursor) {
            self.cursor += 1;
            let (s, time) = match item {
                Item::Boot => (0, 0),
                Item::Sync { s, time, .. } => (*s, *time),
                _ => continue,
            };
            self.passed = Some(s);
            // Every fourth sync point finds nothing to run: no calls after it.
            let runnable = !mix(s).is_multiple_of(4);
            self.busy_until = self.calls;
            self.calls = self.calls.max(s * 16);
            self.busy_until = self.calls;
            let deadline = if mix(s).is_multiple_of(8) { time + 1000 } else { NO_DEADLINE };
            self.out.push_back(Owned::Passed(s, self.calls, self.effects, runnable, deadline));
            return;
        }
    }

    fn call(&mut self, chance: u64) {
        let c = self.calls;
        let long = mix(c).is_multiple_of(16);
        if let Some(go) = self.decisions.get(&c) {
            self.stuck = false;
            if !go {
                self.skipped.insert(c);
                self.calls += 1;
                return;
            }
        } else if self.stuck {
            return;
        } else if long && chance.is_multiple_of(2) {
            self.stuck = true;
            self.out.push_back(Owned::Stuck(c));
            return;
        } else if long {
            self.out.push_back(Owned::Took(c));
        }
        self.calls += 1;
        if mix(c).is_multiple_of(5) {
            self.out.push_back(Owned::Effect(self.effects, c));
            self.effects += 1;
        }
    }
}

struct World {
    kernels: Vec<Kernel>,
    seen: Vec<usize>,
    faults: Vec<Fault>,
    effects: Vec<u64>,
    log: Log,
    now: u64,
    rng: u64,
    promised: HashMap<u64, u32>,
}

impl World {
    fn chance(&mut self, n: u64) -> u64 {
        self.rng = mix(self.rng.wrapping_add(0x1234_5677));
        (self.rng >> 11) % n
    }

    fn deliver(&mut self, i: usize, seq: &mut Single) {
        let voter = FIRST + i as u32;
        let Some(owned) = self.kernels[i].out.pop_front() else { return };
        let lie = self.faults[i] == Fault::Lie && self.chance(4) == 0;
        let shift = if lie { self.chance(40) } else { 0 };
        let vote = match owned {
            Owned::Passed(s, call, effects, runnable, deadline_us) => Vote::Passed {
                s: s + shift / 20,
                call: call + shift,
                effects: effects + shift,
                runnable: runnable ^ lie,
                deadline_us,
                state: None,
            },
            Owned::Effect(n, call) => {
                self.effects[i] = n + 1;
                Vote::Effect {
                    n,
                    call: call + shift,
                    kind: abi::vote::EffectKind::TtyOutput,
                    digest: [0; 32],
                    payload: &[],
                }
            }
            Owned::Stuck(call) => {
                *self.promised.entry(call).or_default() += 1;
                Vote::Stuck { call: call + shift }
            }
            Owned::Took(call) => Vote::Took { call: call + shift * 100 },
        };
        seq.on_vote(voter, &vote, self.now, &mut self.log);
    }

    fn release(&self, seq: &mut Single) {
        let mut n = self.effects.clone();
        n.sort();
        seq.on_verdict(&Verdict::Released { effects: n[1] });
    }

    fn run_kernel(&mut self, i: usize) {
        if matches!(self.faults[i], Fault::Crash | Fault::Hang) {
            return;
        }
        let chance = self.chance(2);
        let kernel = &mut self.kernels[i];
        kernel.hear(&self.log.items, &mut self.seen[i]);
        kernel.step(&self.log.items, chance);
    }

    fn check(&self) {
        let mut next = 0;
        let mut decided = BTreeSet::new();
        for item in &self.log.items {
            match item {
                Item::Boot => {
                    assert_eq!(next, 0);
                    next = 1;
                }
                Item::Sync { s, .. } => {
                    assert_eq!(*s, next, "one entry for each sync point, in order");
                    next += 1;
                }
                Item::Skip(c) => {
                    assert!(decided.insert(*c), "one decision for a call");
                    if self.faults.iter().all(|f| *f != Fault::Lie) {
                        assert!(self.promised.get(c).is_some_and(|n| *n >= 3), "skip of {c} by quorum");
                    }
                }
                Item::Go(c) => assert!(decided.insert(*c), "one decision for a call"),
            }
        }
    }
}

fn config() -> Config {
    Config { start_time_us: 1_000_000, ..common::config() }
}

fn simulate(seed: u64, fault: Fault, who: usize, at: u64) -> World {
    let mut seq = Single::new(config(), program(), None);
    let mut w = World {
        kernels: vec![Kernel::default(); 4],
        seen: vec![0; 4],
        faults: vec![Fault::None; 4],
        effects: vec![0; 4],
        log: Log::default(),
        now: 0,
        rng: seed,
        promised: HashMap::new(),
    };
    for step in 0..4000 {
        if step == at {
            w.faults[who] = fault;
            if fault == Fault::Crash {
                seq.on_out(FIRST + who as u32);
            }
        }
        let i = w.chance(4) as usize;
        match w.chance(8) {
            0..=3 => w.run_kernel(i),
            4..=5 => w.deliver(i, &mut seq),
            6 => w.release(&mut seq),
            _ => {
                if w.chance(20) == 0 {
                    let mut event = [0; 16];
                    seq.on_input(postcard::to_slice(&Event::TtyData(b"x"), &mut event).unwrap());
                }
            }
        }
        w.now += w.chance(400);
        let now = w.now;
        seq.poll(now, &mut w.log);
    }
    // Calm: everything arrives, somebody types; the correct voters get on.
    let before = seq.issued().unwrap();
    for _ in 0..4000 {
        for i in 0..4 {
            w.run_kernel(i);
            while !w.kernels[i].out.is_empty() {
                w.deliver(i, &mut seq);
            }
        }
        w.release(&mut seq);
        let mut event = [0; 16];
        assert!(
            seq.on_input(postcard::to_slice(&Event::TtyData(b"x"), &mut event).unwrap())
                || fault != Fault::None
        );
        w.now += 500;
        let now = w.now;
        seq.poll(now, &mut w.log);
    }
    w.check();
    assert!(seq.issued().unwrap() > before + 30, "stands still at {before}: {:?}", w.log.progress);
    w
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(80))]

    #[test]
    fn four_correct_voters(seed in any::<u64>()) {
        let w = simulate(seed, Fault::None, 0, 0);
        // All skipped the same threads at the same calls, as far as all have come.
        let calls = w.kernels.iter().map(|k| k.calls).min().unwrap();
        let skipped = |k: &Kernel| k.skipped.range(..calls).copied().collect::<Vec<_>>();
        for k in &w.kernels[1..] {
            prop_assert_eq!(skipped(k), skipped(&w.kernels[0]));
        }
        prop_assert!(!skipped(&w.kernels[0]).is_empty());
        let go = |i: &Item| matches!(i, Item::Go(_));
        prop_assert!(w.log.items.iter().any(go));
        let contradicts = |p: &Progress| matches!(p, Progress::Contradicts { .. });
        prop_assert!(!w.log.progress.iter().any(contradicts));
    }

    #[test]
    fn one_faulty_voter(seed in any::<u64>(), who in 0usize..4, at in 0u64..3000,
                        fault in prop::sample::select(vec![Fault::Crash, Fault::Hang, Fault::Lie])) {
        simulate(seed, fault, who, at);
    }
}
