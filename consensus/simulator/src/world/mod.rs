//! The world round the replicas: time and what happens in it, one event after the other.
//!
//! | module | what |
//! |---|---|
//! | `people` | the instances of replicas, twins and restarted ones too |
//! | `schedule` | what happens from outside, drawn before the run begins |
//! | `judgement` | what a step brought out, and whether it may be so |
//! | `network` | what becomes of messages on their way |

mod judgement;
mod network;
mod people;
mod schedule;

use crate::Node;
use crate::adversary::Adversary;
use crate::oracle::Oracle;
use crate::plan::{Misfortune, Plan};
use crate::rng::Rng;
use consensus::auth::{Members, Null};
use consensus::line::Proposal;
use consensus::{ReplicaId, Ticks};
use judgement::Actions;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::rc::Rc;

const SLACK_US: u64 = 1_000;
const START_US: u64 = 1_000_000;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was violated, and when.
    pub failure: Option<String>,
    /// Numbers decided.
    pub decisions: u64,
    /// Messages delivered.
    pub messages: u64,
    /// Views begun, over all replicas.
    pub views: u64,
    /// Epochs begun, over all replicas.
    pub epochs: u64,
    /// States fetched.
    pub restored: u64,
}

enum Event {
    Deliver {
        to: usize,
        from: ReplicaId,
        record: Rc<[u8]>,
    },
    Input {
        to: usize,
        origin: u8,
        number: u64,
    },
    Permit {
        to: usize,
        what: Proposal,
    },
    /// Sync points below are permitted.
    Syncs {
        to: usize,
        below: u64,
    },
    Wake {
        to: usize,
    },
    Invent {
        to: usize,
    },
    Restart {
        who: u8,
    },
}

struct Instance {
    id: ReplicaId,
    node: Box<Node>,
    evil: Option<Adversary>,
    incarnation: u8,
    executed: u64,
    syncs: u64,
    /// Numbers of input records that it has not taken yet.
    backlog: [VecDeque<u64>; 2],
    /// The last number that came.
    read: [u64; 2],
    wake: Ticks,
    gone: bool,
}

/// A run in progress.
pub struct World {
    plan: Plan,
    now: Ticks,
    rng: Rng,
    instances: Vec<Instance>,
    identities: Members,
    queue: BinaryHeap<Reverse<(Ticks, u64)>>,
    events: BTreeMap<u64, Event>,
    tie: u64,
    oracle: Oracle,
    outcome: Outcome,
    side: u8,
    /// Lines for people, when they are wanted.
    pub story: Option<Vec<String>>,
}

impl World {
    /// The world of `plan`.
    pub fn new(plan: &Plan) -> Self {
        let outcome = Outcome { failure: None, decisions: 0, messages: 0, views: 0, epochs: 0, restored: 0 };
        let mut world = World {
            now: 0,
            rng: Rng::new(plan.seed, 2),
            instances: Vec::new(),
            identities: Null::members(),
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            tie: 0,
            oracle: Oracle::default(),
            outcome,
            side: 3,
            story: None,
            plan: plan.clone(),
        };
        world.oracle.slack_us = SLACK_US + 1000;
        world.oracle.voters = 1;
        world.people();
        world.schedule();
        world
    }

    fn at(&mut self, time: Ticks, event: Event) {
        self.tie += 1;
        self.queue.push(Reverse((time.max(self.now), self.tie)));
        self.events.insert(self.tie, event);
    }

    fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(story) = &mut self.story {
            story.push(format!("{:>9} µs  {}", self.now, line()));
        }
    }

    /// Runs to the end.
    pub fn run(mut self) -> (Outcome, Vec<String>) {
        while let Some(Reverse((time, tie))) = self.queue.pop() {
            self.now = time;
            self.oracle.now_us = START_US + time;
            if time > self.plan.end {
                let missing = self.missing().unwrap_or_default();
                self.outcome.failure.get_or_insert(format!("LIVENESS: {missing}"));
                if std::env::var_os("DUMP").is_some() {
                    self.instances.iter().for_each(|i| println!("{:?}", i.node));
                }
                break;
            }
            if let Some(event) = self.events.remove(&tie)
                && let Err(violated) = self.step(event)
            {
                self.outcome.failure = Some(violated);
                break;
            }
            if time > self.plan.calm && tie % 16 == 0 && self.missing().is_none() {
                break;
            }
        }
        self.outcome.decisions = self.oracle.decisions();
        let failure = self.outcome.failure.clone();
        if let Some(failure) = failure {
            self.tell(|| failure);
        }
        (self.outcome, self.story.unwrap_or_default())
    }

    /// What is not done yet of what must come about.
    fn missing(&self) -> Option<String> {
        for i in self.instances.iter().filter(|i| i.evil.is_none() && !i.gone) {
            let (id, node) = (i.id, &i.node);
            if node.is_recovering() {
                return Some(format!("replica {id} has not recovered"));
            }
            for origin in 0..2 {
                let done = node.state().done(origin);
                if done != self.plan.inputs {
                    return Some(format!(
                        "replica {id} has input {origin} up to {done} of {}",
                        self.plan.inputs
                    ));
                }
            }
            if node.state().next() != self.plan.syncs + 1 {
                return Some(format!("replica {id} is before sync point {}", node.state().next()));
            }
        }
        None
    }

    fn step(&mut self, event: Event) -> Result<(), String> {
        let mut out = Actions::default();
        let to = match event {
            Event::Deliver { to, from, record } => {
                if let Some(until) = self.paused(to) {
                    self.at(until, Event::Deliver { to, from, record });
                    return Ok(());
                }
                self.outcome.messages += 1;
                let now = self.clock(to);
                let instance = &mut self.instances[to];
                if let Some(evil) = &mut instance.evil {
                    evil.hears(&record);
                }
                instance.node.on_message(from, &record, now, &mut out);
                to
            }
            Event::Input { to, origin, number } => {
                self.input(to, origin, number);
                to
            }
            Event::Permit { to, what } => {
                let now = self.clock(to);
                self.instances[to].node.application().permit(what, now);
                to
            }
            Event::Syncs { to, below } => {
                self.instances[to].syncs = below.max(self.instances[to].syncs);
                to
            }
            Event::Wake { to } => to,
            Event::Invent { to } => {
                self.invent(to);
                return Ok(());
            }
            Event::Restart { who } => {
                self.restart(who);
                return Ok(());
            }
        };
        self.poll(to, out)
    }

    fn poll(&mut self, to: usize, mut out: Actions) -> Result<(), String> {
        if self.instances[to].gone {
            return Ok(());
        }
        if let Some(until) = self.paused(to) {
            if self.instances[to].wake < until {
                self.instances[to].wake = until;
                self.at(until, Event::Wake { to });
            }
            return self.outcome(to, out);
        }
        let now = self.clock(to);
        let instance = &mut self.instances[to];
        Self::offer(instance, now);
        let line = instance.node.application();
        for s in line.next().max(1)..instance.syncs.min(line.next() + 4) {
            line.permit(Proposal::Sync { s, time_us: 0 }, now);
        }
        instance.node.poll(now, &mut out);
        self.outcome(to, out)?;
        let ahead = self.clock(to) - self.now;
        let due = self.instances[to].node.wake_at().saturating_sub(ahead).max(self.now + 1);
        let wake = &mut self.instances[to].wake;
        if *wake <= self.now || *wake > due {
            *wake = due;
            self.at(due, Event::Wake { to });
        }
        Ok(())
    }

    /// Now, on the clock of an instance.
    fn clock(&self, to: usize) -> Ticks {
        let ahead = |m: &Misfortune| match m {
            Misfortune::Clock { who, ahead } if *who == self.instances[to].id => Some(*ahead),
            _ => None,
        };
        self.now + self.plan.misfortunes.iter().find_map(ahead).unwrap_or(0)
    }

    fn paused(&self, to: usize) -> Option<Ticks> {
        let until = |m: &Misfortune| match m {
            Misfortune::Pause { who, from, to: end } if *who == self.instances[to].id => {
                (*from..*end).contains(&self.now).then_some(*end)
            }
            _ => None,
        };
        self.plan.misfortunes.iter().find_map(until)
    }
}
