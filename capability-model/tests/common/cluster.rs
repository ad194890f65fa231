//! Two or three stores and the messages between them, as a model for stateright: any order, any delay, doubled messages.

use crate::common::*;
use capability_model::cap::Cap;
use capability_model::faults::Fault;
use capability_model::invariants;
use capability_model::layout::GATE_SIZE;
use capability_model::lease::{About, Message};
use capability_model::memory::PAGE;
use capability_model::{Label, Status};
use stateright::{Model, Property};
use std::collections::BTreeSet;

pub const PLOT: u64 = 8;
pub const SHARED: u64 = 9;
pub const GATE: u64 = 10;
pub const SEAT: u64 = 11;
pub const LEASES: u64 = 16;
/// Slots at the borrowers.
pub const GOT_PLOT: u64 = 20;
pub const GOT_FRAME: u64 = 21;
pub const GOT_SEAT: u64 = 22;
pub const MADE: u64 = 24;

/// What users do: store, address, label, arguments.
pub type Op = (usize, u64, Label, [u64; 10]);

const EPOCH_ACT: [u64; 5] = [5, 0, 0, 0, 0];
const REVOKE_ACT: [u64; 5] = [1, 0, 0, 0, 0];
const REMOTE_MAKE: [u64; 9] = [UNTYPED, Label::Retype as u64, K_FRAME, 0, ROOT, 0, 0, MADE, 1];
const REMOTE_DELETE: [u64; 4] = [ROOT, Label::Delete as u64, MADE, 64];
const REMOTE_REVOKE: [u64; 4] = [ROOT, Label::Revoke as u64, UNTYPED, 64];
const LEASE_ACT: [u64; 5] = [6, 0, 1, GOT_PLOT, 64];

fn endorse(store: usize, seat: u64, epoch: u64, sequence: u64, [a, b, c, d, e]: [u64; 5]) -> Op {
    (store, seat, Label::Endorse, [epoch, sequence, a, b, c, d, e, 0, 0, 0])
}

/// Which part of the system is explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each test program explores some")]
pub enum Topic {
    /// Memory and a frame lent by 0 to 1 (and on to 2).
    Loans,
    /// A gate on 0 whose seats are lent to the others.
    Gate,
    /// The same gate lends what it holds to 1 and calls it back.
    GateLends,
    /// Invocations on 1 by the holder of its Core capability on 0.
    Mailbox,
    /// The Core capability of 2, lent by 0 to 1, which acts there.
    LentCore,
}

pub struct Cluster {
    pub stores: usize,
    pub topic: Topic,
    pub fault: Option<Fault>,
    /// How often each operation may be done.
    pub times: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub worlds: Vec<World>,
    pub net: Vec<(u8, u8, Message)>,
    pub used: Vec<u8>,
    /// What was endorsed, by seat: epoch, sequence, act.
    pub said: BTreeSet<(u64, u64, u64, [u64; 5])>,
    /// Whether the last request to the other core leaves something in the slot that requests are about.
    pub full: bool,
    /// Something that must not happen has happened.
    pub wrong: Option<&'static str>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Do(usize),
    Take(u8, u8),
    Deliver(usize),
    Double(usize),
    Work(u8),
}

impl Cluster {
    pub fn ops(&self) -> Vec<Op> {
        let n = |a: &[u64]| {
            let mut args = [0; 10];
            args[..a.len()].copy_from_slice(a);
            args
        };
        let last = self.stores - 1;
        match self.topic {
            Topic::Loans => {
                let mut ops = vec![
                    (0, PLOT, Label::Lease, n(&[1, GOT_PLOT, 64])),
                    (0, ROOT, Label::Revoke, n(&[PLOT, 64])),
                    (0, ROOT, Label::Delete, n(&[PLOT, 64])),
                    (0, SHARED, Label::Lease, n(&[last as u64, GOT_FRAME, 64, ROOT, LEASES, 64])),
                    (0, ROOT, Label::Revoke, n(&[SHARED, 64])),
                    (0, PLOT, Label::Retype, n(&[K_FRAME, 0, ROOT, 0, 0, MADE, 1])),
                    (1, GOT_PLOT, Label::Retype, n(&[K_FRAME, 0, ROOT, 0, 0, MADE, 1])),
                    (last, ROOT, Label::Copy, n(&[MADE + 1, 64, ROOT, GOT_FRAME, 64, 15])),
                    (1, ROOT, Label::Delete, n(&[GOT_PLOT, 64])),
                ];
                if self.stores > 2 {
                    ops.push((1, GOT_PLOT, Label::Lease, n(&[2, GOT_PLOT, 64])));
                    ops.push((2, GOT_PLOT, Label::Retype, n(&[K_FRAME, 0, ROOT, 0, 0, MADE, 1])));
                }
                ops
            }
            Topic::GateLends => vec![
                (0, SEAT + 1, Label::Lease, n(&[1, GOT_SEAT, 64, ROOT, LEASES + 1, 64])),
                endorse(0, SEAT, 0, 0, REVOKE_ACT),
                endorse(1, GOT_SEAT, 0, 0, REVOKE_ACT),
                endorse(0, SEAT, 0, 1, LEASE_ACT),
                endorse(1, GOT_SEAT, 0, 1, LEASE_ACT),
                endorse(0, SEAT, 0, 2, REVOKE_ACT),
                endorse(0, SEAT + 2, 0, 2, REVOKE_ACT),
                (1, GOT_PLOT, Label::Retype, n(&[K_FRAME, 0, ROOT, 0, 0, MADE, 1])),
                (0, ROOT, Label::Revoke, n(&[GATE, 64])),
            ],
            // Each on a slot that nothing else touches, so that the last request says what is in it.
            Topic::Mailbox => vec![
                (0, OTHER_CORE, Label::Remote, n(&REMOTE_MAKE)),
                (0, OTHER_CORE, Label::Remote, n(&REMOTE_DELETE)),
                (0, OTHER_CORE, Label::Remote, n(&REMOTE_REVOKE)),
                (1, UNTYPED, Label::Retype, n(&[K_FRAME, 0, ROOT, 0, 0, MADE + 1, 1])),
                (1, ROOT, Label::Delete, n(&[MADE + 1, 64])),
            ],
            Topic::LentCore => vec![
                (0, OTHER_CORE, Label::Lease, n(&[1, GOT_PLOT, 64, ROOT, LEASES, 64])),
                (0, ROOT, Label::Revoke, n(&[OTHER_CORE, 64])),
                (0, ROOT, Label::Delete, n(&[LEASES, 64])),
                (1, GOT_PLOT, Label::Remote, n(&REMOTE_MAKE)),
                (1, GOT_PLOT, Label::Remote, n(&REMOTE_REVOKE)),
                (1, ROOT, Label::Delete, n(&[GOT_PLOT, 64])),
            ],
            Topic::Gate => vec![
                (0, SEAT + 1, Label::Lease, n(&[1, GOT_SEAT, 64, ROOT, LEASES + 1, 64])),
                (0, SEAT + 2, Label::Lease, n(&[last as u64, GOT_SEAT + 1, 64, ROOT, LEASES + 2, 64])),
                endorse(0, SEAT, 0, 0, EPOCH_ACT),
                endorse(0, SEAT, 0, 0, REVOKE_ACT),
                endorse(0, SEAT, 0, 1, REVOKE_ACT),
                endorse(0, SEAT, 1, 1, REVOKE_ACT),
                endorse(1, GOT_SEAT, 0, 0, EPOCH_ACT),
                endorse(1, GOT_SEAT, 0, 1, REVOKE_ACT),
                endorse(1, GOT_SEAT, 1, 1, REVOKE_ACT),
                endorse(last, GOT_SEAT + 1, 0, 0, REVOKE_ACT),
                endorse(last, GOT_SEAT + 1, 1, 1, REVOKE_ACT),
                (0, ROOT, Label::Revoke, n(&[GATE, 64])),
            ],
        }
    }

    pub fn start(&self) -> State {
        let size = 0x4_0000 * self.stores as u64;
        let mut worlds: Vec<World> =
            (0..self.stores).map(|core| World::on(core as u8, 12, tables(0), size)).collect();
        let w = &mut worlds[0];
        w.make(K_UNTYPED, 1, PLOT);
        w.make(K_FRAME, 0, SHARED);
        w.make(K_GATE, 0, GATE);
        for seat in 0..3 {
            done(w.invoke(GATE, Label::Seat, &[seat, ROOT, SEAT + seat, 64]));
        }
        w.make(K_UNTYPED, 2, MADE + 8);
        done(w.retype_from(MADE + 8, K_ENDPOINT, 0, MADE + 9, 1));
        done(w.invoke(GATE, Label::Seal, &[2, 3, ROOT, 0, 0, MADE + 8, 1]));
        // Who acts where, besides 0 on 1.
        let (asker, asked) = if self.topic == Topic::LentCore { (1, 2) } else { (0, 1) };
        w.store.install(w.slot(OTHER_CORE), Cap::Core { number: asked });
        let agent = worlds[asked as usize].domain;
        worlds[asked as usize].store.serve(asker, agent);
        for world in &mut worlds {
            world.store.fault = self.fault;
        }
        State {
            worlds,
            net: Vec::new(),
            used: vec![0; self.ops().len()],
            said: BTreeSet::new(),
            full: false,
            wrong: None,
        }
    }

    fn gate(&self) -> u64 {
        match self.start().worlds[0].cap(GATE) {
            Cap::Gate { at } => at,
            _ => unreachable!("the start has a gate"),
        }
    }

    /// One step; None if nothing would change.
    pub fn step(&self, gate: u64, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Do(n) => {
                let (store, address, label, args) = self.ops()[n];
                next.used[n] += 1;
                let world = &mut next.worlds[store];
                let outcome = world.invoke(address, label, &args).ok()?;
                if label == Label::Endorse {
                    let seat = match (store, address) {
                        (0, seat) => seat - SEAT,
                        (_, GOT_SEAT) => 1,
                        _ => 2,
                    };
                    let [epoch, sequence, a, b, c, d, e, ..] = args;
                    next.said.insert((seat, epoch, sequence, [a, b, c, d, e]));
                }
                if label == Label::Remote {
                    next.full = args[..9] == REMOTE_MAKE;
                }
                if label == Label::Retype && outcome.status == Status::Done {
                    // The new owner uses the page.
                    if let Cap::Frame { base, .. } = world.cap(MADE) {
                        world.store.memory.poke(base + 64, 0x5ec7e7);
                    }
                }
            }
            Action::Take(from, to) => {
                let message = next.worlds[from as usize].store.take_message(to)?;
                sent(&mut next, from, to, message);
                // Any message may be delivered again, so two alike are one.
                if let Err(place) = next.net.binary_search(&(from, to, message)) {
                    next.net.insert(place, (from, to, message));
                }
            }
            Action::Deliver(i) | Action::Double(i) => {
                let (from, to, message) = next.net[i];
                if matches!(action, Action::Deliver(_)) {
                    next.net.remove(i);
                }
                next.worlds[to as usize].store.receive_message(from, message);
            }
            Action::Work(store) => {
                if !next.worlds[store as usize].store.work() {
                    return None;
                }
            }
        }
        for world in &mut next.worlds {
            world.store.memory.forgotten.clear();
            world.store.memory.accesses.take();
            world.store.memory.scrubs = 0;
        }
        self.acted(gate, state, &mut next);
        if self.topic == Topic::Mailbox
            && !next.worlds[0].store.awaits(1)
            && (next.worlds[1].cap(MADE) != Cap::Null) != next.full
        {
            next.wrong = Some("a request was not carried out once, and before its answer");
        }
        let back = |s: &State| s.worlds[0].cap(LEASES) == Cap::Null && s.worlds[0].store.called_back() == 0;
        let acted = next.worlds.last().map(|w| w.cap(MADE)) != state.worlds.last().map(|w| w.cap(MADE));
        if self.topic == Topic::LentCore && back(state) && acted {
            next.wrong = Some("something was carried out for a borrower whose core had come back");
        }
        (next != *state).then_some(next)
    }

    /// If the gate acted, enough seats must have said so.
    fn acted(&self, gate: u64, before: &State, next: &mut State) {
        let word = |state: &State, i: u64| state.worlds[0].store.memory.peek(gate + 8 * i);
        let witness = |state: &State| -> [u64; 8] { [0, 1, 2, 3, 4, 5, 6, 7].map(|i| word(state, 9 + i)) };
        let (epoch, sequence) = (word(before, 5), word(before, 6));
        let acted = word(next, 6) != sequence || witness(before) != witness(next);
        if !acted || word(next, 0) == 0 {
            return;
        }
        let act = [11, 12, 13, 14, 15].map(|i| word(next, i));
        let seats = (0..3).filter(|seat| next.said.contains(&(*seat, epoch, sequence, act))).count();
        if word(next, 0) != 0 && word(next, 6) == sequence {
            next.wrong = Some("an act did not use its sequence number up");
        }
        if seats < 2 {
            next.wrong = Some("the gate acted below its threshold");
        }
    }
}

/// What is given back must be scrubbed, and used by nobody.
fn sent(next: &mut State, from: u8, to: u8, message: Message) {
    let Message { about: About::Returned, index: number, .. } = message else { return };
    let plot = next.worlds[0].untyped_base();
    let of_plot = |cap: &Cap| matches!(cap, Cap::Lease { peer, index, base, .. } if (*peer, *index, *base) == (from, number, plot));
    let lender = next.worlds[to as usize].view();
    let (world, back) = (&next.worlds[from as usize], lender.nodes.values().any(|node| of_plot(&node.cap)));
    let used = world.view().nodes.values().any(|node| {
        node.cap.region().is_some_and(|(at, _)| at == plot) && !matches!(node.cap, Cap::Lease { .. })
    });
    if back && !used && !world.store.memory.is_zero(plot, PAGE) {
        next.wrong = Some("memory was given back before its scrub");
    }
}

/// The model with what does not change computed once.
pub struct Explored {
    pub cluster: Cluster,
    gate: u64,
}

impl Explored {
    pub fn new(cluster: Cluster) -> Explored {
        let gate = cluster.gate();
        Explored { cluster, gate }
    }
}

pub fn holds(state: &State) -> Result<(), String> {
    if let Some(wrong) = state.wrong {
        return Err(wrong.into());
    }
    if cfg!(miri) {
        // As `World::check`.
        return still(state);
    }
    let views: Vec<_> = state.worlds.iter().map(World::view).collect();
    for view in &views {
        for (sentence, predicate) in invariants::all::<Ram>() {
            predicate(view).map_err(|place| format!("{sentence} {place}"))?;
        }
    }
    invariants::check_across(&views)?;
    still(state)
}

/// When no message is under way and no work is left, nothing that was called back is still out.
fn still(state: &State) -> Result<(), String> {
    let n = state.worlds.len() as u8;
    if !state.net.is_empty() {
        return Ok(());
    }
    let mut worlds = state.worlds.clone();
    for (from, world) in worlds.iter_mut().enumerate() {
        if world.store.work()
            || (0..n).any(|to| to as usize != from && world.store.take_message(to).is_some())
        {
            return Ok(());
        }
    }
    if state.worlds[0].store.awaits(1) || state.worlds[1].store.awaits(2) {
        return Err("A request is never answered.".into());
    }
    let stuck = worlds.iter().any(|world| world.store.called_back() != 0);
    if stuck { Err("A loan that was called back never comes.".into()) } else { Ok(()) }
}

impl Model for Explored {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.cluster.start()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let n = state.worlds.len() as u8;
        let fresh = |i: &usize| state.used[*i] < self.cluster.times;
        actions.extend((0..state.used.len()).filter(fresh).map(Action::Do));
        actions.extend((0..n).map(Action::Work));
        for from in 0..n {
            actions.extend((0..n).filter(|to| *to != from).map(|to| Action::Take(from, to)));
        }
        actions.extend((0..state.net.len()).map(Action::Deliver));
        actions.extend((0..state.net.len()).map(Action::Double));
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        self.cluster.step(self.gate, state, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![Property::always("all invariants hold on every core and across", |_, state| {
            holds(state).is_ok()
        })]
    }
}

const _: () = assert!(GATE_SIZE == 1216);
