//! The world round the replicas: time, network, input, restarts.

use crate::adversary::{Adversary, Said};
use crate::oracle::{self, Delivered, Oracle};
use crate::plan::{Misfortune, Plan, Will};
use crate::rng::Rng;
use crate::{Log, Node};
use consensus::auth::{Identity, Members, Null};
use consensus::line::{Proposal, Rules, Voters};
use consensus::replica::{Channel, Config, Note, Output};
use consensus::{ReplicaId, Ticks};
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

/// What a replica's actions are until the step is over.
#[derive(Default)]
struct Actions {
    messages: Vec<(Option<ReplicaId>, Vec<u8>)>,
    delivered: BTreeMap<u64, Delivered>,
    notes: Vec<Note>,
}

impl Output for Actions {
    fn broadcast(&mut self, record: &[u8]) {
        self.messages.push((None, record.to_vec()));
    }
    fn send(&mut self, to: ReplicaId, record: &[u8]) {
        self.messages.push((Some(to), record.to_vec()));
    }
    fn deliver(&mut self, sequence: u64, channel: Channel, record: &[u8]) {
        self.delivered.entry(sequence).or_default().push((channel, record.to_vec()));
    }
    fn note(&mut self, note: Note) {
        self.notes.push(note);
    }
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

fn application() -> Log {
    let rules = Rules {
        start_time_us: START_US,
        ahead_us: SLACK_US,
        behind_us: 100_000,
        digest_interval: 4,
        program: &[],
    };
    Log::new(rules, Voters { epoch: 1, set: 0b1111_0000, quorum: 3 })
}

fn member(who: u8, identity: &Identity) -> Proposal {
    let (sign, exchange) = identity.0.split_at(32);
    let halves = (sign.try_into().expect("32 bytes"), exchange.try_into().expect("32 bytes"));
    Proposal::Member { replica: who, sign: halves.0, exchange: halves.1 }
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

    fn wills(&self, id: u8) -> Vec<Will> {
        let of = |m: &Misfortune| match m {
            Misfortune::Evil { who, will } if *who == id => Some(*will),
            _ => None,
        };
        self.plan.misfortunes.iter().filter_map(of).collect()
    }

    fn instance(&self, id: u8, salt: u64) -> Instance {
        let wills = self.wills(id);
        let identity = self.identities[usize::from(id)];
        let keys = || Null::new(identity, &self.identities);
        let evil = !wills.is_empty();
        Instance {
            id,
            node: Box::new(Node::new(Config::new(id), keys(), &self.identities, application())),
            evil: evil.then(|| Adversary::new(self.plan.seed ^ salt, id, wills, keys())),
            incarnation: 0,
            executed: 0,
            syncs: 0,
            backlog: Default::default(),
            read: [0; 2],
            wake: 0,
            gone: false,
        }
    }

    fn people(&mut self) {
        for id in 0..4 {
            let instance = self.instance(id, 0);
            self.instances.push(instance);
        }
        if let Some(id) = (0..4).find(|id| self.wills(*id).contains(&Will::Equivocate)) {
            let twin = self.instance(id, 5);
            self.instances.push(twin);
        }
    }

    fn at(&mut self, time: Ticks, event: Event) {
        self.tie += 1;
        self.queue.push(Reverse((time.max(self.now), self.tie)));
        self.events.insert(self.tie, event);
    }

    fn schedule(&mut self) {
        let mut rng = Rng::new(self.plan.seed, 3);
        let (calm, inputs, syncs) = (self.plan.calm, self.plan.inputs, self.plan.syncs);
        self.oracle.sent = [inputs, inputs];
        self.oracle.permitted = syncs + 1;
        for to in 0..self.instances.len() {
            let boot = Proposal::Boot { seed: oracle::SEED, time_us: 0 };
            self.at(rng.below(2000), Event::Permit { to, what: boot });
            self.at(0, Event::Wake { to });
            if self.instances[to].evil.is_some() {
                self.at(1000, Event::Invent { to });
            }
        }
        for origin in 0..2 {
            let mut times: Vec<Ticks> = (0..inputs).map(|_| rng.below(calm)).collect();
            // Now and then many at once.
            if rng.chance(300) {
                times.iter_mut().for_each(|t| *t = *t / 60_000 * 60_000);
            }
            times.sort();
            // A ring is read in order, by each reader at its own pace.
            let mut read = [0; 5];
            for (number, time) in (1..).zip(times) {
                for (to, read) in read.iter_mut().enumerate().take(self.instances.len()) {
                    *read = (time + rng.below(500)).max(*read);
                    self.at(*read, Event::Input { to, origin, number });
                }
            }
        }
        let mut times: Vec<Ticks> = (0..syncs).map(|_| rng.below(calm)).collect();
        times.sort();
        for (below, time) in (2..).zip(times) {
            for to in 0..self.instances.len() {
                self.at(time + rng.below(2000), Event::Syncs { to, below });
            }
        }
        self.schedule_rest(&mut rng);
    }

    fn schedule_rest(&mut self, rng: &mut Rng) {
        let calm = self.plan.calm;
        let mut wishes = Vec::new();
        for k in 0..rng.below(5) {
            // Some replicas would skip it, some let it go: either may be decided, once.
            let call = 1000 + k;
            self.oracle.calls.push(call);
            let mixed = rng.chance(500);
            wishes.push((rng.below(calm), Proposal::Skip { call }, mixed.then_some(Proposal::Go { call })));
        }
        for epoch in 2..2 + rng.below(3) {
            let set = 0b1111_0000 & !(u64::from(epoch % 2 == 0) << 5);
            let voters = Voters { epoch, set, quorum: if epoch % 2 == 0 { 2 } else { 3 } };
            self.oracle.epochs.push(voters);
            wishes.push((epoch * calm / 6, Proposal::Voters(voters), None));
        }
        for (time, what, other) in wishes {
            for to in 0..self.instances.len() {
                self.at(time + rng.below(3000), Event::Permit { to, what });
                if let Some(other) = other {
                    self.at(time + rng.below(3000), Event::Permit { to, what: other });
                }
            }
        }
        for m in self.plan.misfortunes.clone() {
            if let Misfortune::Restart { who, at } = m {
                self.at(at, Event::Restart { who });
            }
        }
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

    /// Judges a step and sends what it sent.
    fn outcome(&mut self, to: usize, mut out: Actions) -> Result<(), String> {
        let id = self.instances[to].id;
        for note in core::mem::take(&mut out.notes) {
            if !matches!(note, Note::BadAuthenticator { .. } | Note::Malformed { .. }) {
                self.tell(|| format!("replica {id} {note}"));
            }
            match note {
                Note::BeganView { .. } => self.outcome.views += 1,
                Note::BeganEpoch { .. } => self.outcome.epochs += 1,
                Note::Restored { sequence } if self.instances[to].evil.is_none() => {
                    self.outcome.restored += 1;
                    self.instances[to].executed = sequence;
                    if !self.oracle.reached(sequence) {
                        return Err(format!(
                            "STATE: replica {id} took over a state after {sequence} that nobody correct has"
                        ));
                    }
                }
                Note::Diverged { sequence, .. } if self.instances[to].evil.is_none() => {
                    return Err(format!(
                        "STATE: correct replica {id}'s state after {sequence} is not the quorum's"
                    ));
                }
                _ => {}
            }
        }
        if self.instances[to].evil.is_none() {
            self.judge(to, &mut out)?;
        }
        for (only, record) in out.messages {
            self.send(to, only, record);
        }
        Ok(())
    }

    fn judge(&mut self, to: usize, out: &mut Actions) -> Result<(), String> {
        let (id, node) = (self.instances[to].id, &self.instances[to].node);
        let (first, last) = (self.instances[to].executed + 1, node.executed());
        for n in first..=last {
            if let Some(digest) = node.batch_digest(n) {
                self.oracle.batch(id, n, digest)?;
            }
            self.oracle.executed(id, n, out.delivered.remove(&n).unwrap_or_default())?;
        }
        for k in 0..=1 {
            let n = node.stable().sequence + k * crate::W as u64 / 2;
            if let Some(digest) = node.digest_at(n) {
                self.oracle.state(id, n, digest)?;
            }
        }
        if let Some((n, _)) = out.delivered.pop_first() {
            return Err(format!("AGREEMENT: replica {id} executed number {n} out of turn"));
        }
        self.instances[to].executed = last;
        Ok(())
    }

    fn input(&mut self, to: usize, origin: u8, number: u64) {
        let now = self.clock(to);
        let instance = &mut self.instances[to];
        instance.read[usize::from(origin)] = number;
        let lapped = self.plan.misfortunes.iter().any(|m| match m {
            Misfortune::Overrun { who, per_mille } => *who == instance.id && self.rng.chance(*per_mille),
            _ => false,
        });
        let starved = instance.evil.as_ref().is_some_and(|e| e.has(Will::Starve) && origin == 1);
        if lapped || starved || instance.gone {
            return;
        }
        instance.backlog[usize::from(origin)].push_back(number);
        Self::offer(instance, now);
    }

    /// Hands over what there is room for; the rest waits in its ring.
    fn offer(instance: &mut Instance, now: Ticks) {
        for origin in 0..2 {
            while let Some(number) = instance.backlog[origin].front().copied() {
                let record = oracle::input(origin as u8, number);
                if instance.node.application().push(origin as u8, number, &record, now).is_err() {
                    break;
                }
                instance.backlog[origin].pop_front();
            }
        }
    }

    fn invent(&mut self, to: usize) {
        let instance = &mut self.instances[to];
        if instance.gone {
            return;
        }
        if let Some(evil) = &mut instance.evil {
            for said in evil.invent(&instance.node) {
                self.carry(to, said);
            }
            self.at(self.now + 4_000, Event::Invent { to });
        }
        if self.rng.chance(200) {
            self.side = 1 + self.rng.below(14) as u8;
        }
    }

    fn restart(&mut self, who: u8) {
        self.tell(|| format!("replica {who} is restarted: it has forgotten everything and has new keys"));
        let incarnation = self.instances[usize::from(who)].incarnation + 1;
        let identity = Null::identity(who, incarnation);
        self.identities[usize::from(who)] = identity;
        for i in self.instances.iter_mut().skip(4).filter(|i| i.id == who) {
            i.gone = true;
        }
        let keys = Null::new(identity, &self.identities);
        let node = Node::restarted(Config::new(who), keys, &self.identities, application());
        let (syncs, wake) = (self.plan.syncs + 1, self.now);
        let syncs = self.instances[usize::from(who)].syncs.min(syncs);
        // It reads the input rings from their beginning; what is done already it drops.
        let read = self.instances[usize::from(who)].read;
        let backlog = read.map(|n| (1..=n).collect());
        let instance = Instance {
            id: who,
            node: Box::new(node),
            evil: None,
            incarnation,
            executed: 0,
            syncs,
            backlog,
            read,
            wake,
            gone: false,
        };
        self.instances[usize::from(who)] = instance;
        let now = self.now;
        self.at(now, Event::Wake { to: usize::from(who) });
        for to in 0..4 {
            let time = now + self.rng.below(5_000);
            self.at(time, Event::Permit { to, what: member(who, &identity) });
        }
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

    fn send(&mut self, from: usize, only: Option<ReplicaId>, record: Vec<u8>) {
        let to = only.map_or(15, |id| 1 << id);
        let twins = self.instances.len() > 4
            && !self.instances[4].gone
            && self.instances[from].id == self.instances[4].id;
        let said = match &mut self.instances[from].evil {
            Some(evil) => evil.change(&record, to),
            None => vec![Said { record, to }],
        };
        for mut said in said {
            if twins && self.now < self.plan.end / 2 {
                said.to &= if from == 4 { self.side } else { !self.side };
            }
            self.carry(from, said);
        }
    }

    /// The network.
    fn carry(&mut self, from: usize, said: Said) {
        let id = self.instances[from].id;
        let record: Rc<[u8]> = said.record.into();
        for to in 0..self.instances.len() {
            let target = self.instances[to].id;
            if target == id || said.to >> target & 1 == 0 || self.instances[to].gone {
                continue;
            }
            let Some((delay, twice)) = self.weather(id, target) else { continue };
            self.at(self.now + delay, Event::Deliver { to, from: id, record: record.clone() });
            if twice {
                let again = delay + self.rng.below(5_000);
                self.at(self.now + again, Event::Deliver { to, from: id, record: record.clone() });
            }
        }
    }

    /// How long a message takes, and whether it comes twice; `None`: it is lost.
    fn weather(&mut self, from: u8, to: u8) -> Option<(Ticks, bool)> {
        let mut delay = 20 + self.rng.below(100);
        if self.rng.chance(50) {
            delay += self.rng.below(2_000);
        }
        if self.now >= self.plan.calm {
            return Some((delay, false));
        }
        let mut twice = false;
        for m in &self.plan.misfortunes {
            match *m {
                Misfortune::Loss(p) if self.rng.chance(p) => return None,
                Misfortune::Duplicates(p) => twice |= self.rng.chance(p),
                Misfortune::Partition { from: start, to: end, side }
                    if (start..end).contains(&self.now) && side >> from & 1 != side >> to & 1 =>
                {
                    return None;
                }
                Misfortune::Slow { who, from: start, to: end, delay: more }
                    if (start..end).contains(&self.now) && (who == from || who == to) =>
                {
                    delay += more;
                }
                _ => {}
            }
        }
        Some((delay, twice))
    }
}
