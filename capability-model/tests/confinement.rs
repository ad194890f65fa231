//! Confinement and integrity over random stores: some partitions share capabilities, some do not, and some of them are hostile.
//!
//! The closure is computed from the store as it begins: partitions that reach one object in common, directly or through others, are one group, and
//! what the members of a group reach together is all that any of them can ever come to. Whatever the hostile group invokes, its domains
//! (those that it makes, too) reach nothing else, with no more rights; and nothing that the others hold or own changes.

mod common;
#[path = "common/rich.rs"]
mod rich;

use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::faults::Fault;
use capability_model::invoke::WORDS;
use capability_model::memory::{PAGE, SLOT, Slot};
use capability_model::{GUARD_BITS_SHIFT, Label, Rights, invariants};
use common::*;
use std::collections::{BTreeMap, BTreeSet};

/// Pages of memory of one partition.
const PAGES: u64 = 10;
/// Slots of a partition's CNode, as in the worlds of other tests.
const SLOTS: u64 = 1 << RADIX;
const OPERATIONS: u64 = 200;

type Reach = BTreeMap<(u64, u64), Rights>;

struct Partition {
    domain: u64,
    cnode: u64,
    memory: u64,
    reach: Reach,
    /// Number of its group.
    group: usize,
}

/// A world whose first domain, which never runs again, has given `n` partitions what they have, and shared some of it at random.
fn build(random: &mut Random, n: u64) -> (World, Vec<Partition>) {
    let mut w = World::with_pages(n * (PAGES + 4) + 20);
    let mut all = Vec::new();
    for p in 0..n {
        let [cnode, memory, domain, root] = [0, 1, 2, 3].map(|i| FREE + 4 * p + i);
        w.make(K_CNODE, RADIX.into(), cnode);
        w.make(K_UNTYPED, PAGES, memory);
        w.make(K_DOMAIN, 0, domain);
        done(w.mint(root, cnode, Rights::ALL, u64::from(64 - RADIX) << GUARD_BITS_SHIFT));
        done(w.invoke(domain, Label::Configure, &[root, 0, 0]));
        done(w.invoke(domain, Label::Resume, &[]));
        let depth = RADIX.into();
        done(w.invoke(cnode, Label::Copy, &[ROOT, depth, ROOT, root, 64, 15]));
        done(w.invoke(cnode, Label::Copy, &[DOMAIN, depth, ROOT, domain, 64, 15]));
        done(w.invoke(cnode, Label::Move, &[UNTYPED, depth, ROOT, memory, 64]));
        let (Cap::Domain { at: domain }, Cap::CNode { at: cnode, .. }) = (w.cap(domain), w.cap(cnode)) else {
            panic!("neither domain nor CNode");
        };
        let Cap::Untyped { base, .. } = w.store.cap(Slot(cnode).plus(UNTYPED)) else { panic!("no memory") };
        all.push(Partition { domain, cnode, memory: base, reach: Reach::new(), group: 0 });
    }
    // What is shared is made by the first domain, and copied to both with rights of its own each.
    for i in 0..random.below(n + 1) {
        let (kind, parameter) =
            random.of(&[(K_ENDPOINT, 0), (K_NOTIFICATION, 0), (K_FRAME, 0), (K_REPLY, 0), (K_CNODE, 2)]);
        let from = FREE + 4 * n + i;
        w.make(kind, parameter, from);
        for to in [random.below(n), random.below(n)] {
            let slot = 6 + 2 * i + random.below(2);
            let rights = random.below(16);
            let _ = w.invoke(FREE + 4 * to, Label::Copy, &[slot, RADIX.into(), ROOT, from, 64, rights]);
        }
    }
    w.check();
    for p in &mut all {
        p.reach = invariants::authority(&w.store, p.domain);
    }
    (w, grouped(all))
}

/// Who reaches an object in common is in one group.
fn grouped(mut all: Vec<Partition>) -> Vec<Partition> {
    for i in 0..all.len() {
        all[i].group = i;
        for j in 0..i {
            if all[j].reach.keys().any(|object| all[i].reach.contains_key(object)) {
                let (from, to) = (all[j].group, all[i].group);
                all.iter_mut().filter(|p| p.group == from).for_each(|p| p.group = to);
            }
        }
    }
    all
}

/// What is a partition's: slots without their links, which belong to the tree, its domain and its memory.
fn content(w: &World, p: &Partition) -> Vec<u64> {
    let slots = (0..SLOTS).flat_map(|n| [0, 1, 2, 3, 4, 7].map(|i| p.cnode + n * SLOT + 8 * i));
    let domain = (p.domain..p.domain + 128).step_by(8);
    let memory = (p.memory..p.memory + PAGES * PAGE).step_by(8);
    slots.chain(domain).chain(memory).map(|at| w.store.memory.peek(at)).collect()
}

/// Whether a region with rights lies in what `closure` reaches with these rights.
fn within(closure: &[&Reach], (base, size): (u64, u64), rights: Rights) -> bool {
    let covering = closure
        .iter()
        .flat_map(|reach| reach.iter())
        .filter(|((known, length), _)| *known <= base && base + size <= known + length);
    covering.fold(Rights::default(), |sum, (_, more)| sum.or(*more)).has(rights)
}

/// Words that a partition's domain would choose: mostly slots that hold something, and rarely its own end.
fn invocation(w: &World, random: &mut Random, cnode: u64) -> [u64; WORDS] {
    let mut words = rich::invocation(random);
    let held: Vec<u64> = (0..SLOTS).filter(|n| w.store.cap(Slot(cnode).plus(*n)) != Cap::Null).collect();
    if !held.is_empty() && random.below(4) != 0 {
        words[0] = random.of(&held);
        let slot = Label::Copy as u64..=Label::CancelBadgedSends as u64;
        if slot.contains(&words[1]) {
            (words[0], words[3], words[4], words[6]) = (ROOT, 64, ROOT, 64);
            (words[2], words[5]) = (random.below(SLOTS), random.of(&held));
        }
    }
    let ends = [Label::Move, Label::Mutate, Label::Rotate, Label::Delete, Label::Revoke].map(|l| l as u64);
    let own = |slot: u64| (ROOT..=DOMAIN).contains(&slot);
    if ends.contains(&words[1]) && (own(words[2]) || own(words[5])) && random.below(50) != 0 {
        words[1] = Label::Copy as u64;
    }
    words
}

/// Blocked or stopped domains are made to run again by the first domain, which has them all.
fn wake(w: &mut World, all: &[Partition], hostile: usize) {
    for (p, partition) in (0..).zip(all).filter(|(_, p)| p.group == hostile) {
        if w.store.domain_state(partition.domain) != State::Running {
            let _ = w.invoke(FREE + 4 * p + 2, Label::Suspend, &[]);
            let _ = w.invoke(FREE + 4 * p + 2, Label::Resume, &[]);
        }
    }
}

fn domains(w: &World) -> BTreeSet<u64> {
    let domain = |cap: &Cap| if let Cap::Domain { at } = cap { Some(*at) } else { None };
    w.view().nodes.values().filter_map(|node| domain(&node.cap)).collect()
}

/// One random store. Answers how many invocations took effect and how many partitions were in the hostile group.
fn run(random: &mut Random, fault: Option<Fault>) -> (u64, usize) {
    let n = 2 + random.below(4);
    let (mut w, all) = build(random, n);
    w.store.fault = fault;
    let hostile = all[random.below(n) as usize].group;
    let (inside, outside): (Vec<&Partition>, Vec<&Partition>) = all.iter().partition(|p| p.group == hostile);
    let before: Vec<_> = outside.iter().map(|p| content(&w, p)).collect();
    let others: BTreeSet<u64> = outside.iter().map(|p| p.domain).chain([w.domain]).collect();
    let (mut callers, mut effects) = (Vec::new(), 0);
    for i in 0..OPERATIONS {
        if i % 16 == 0 {
            wake(&mut w, &all, hostile);
            callers = domains(&w).difference(&others).copied().collect();
        }
        let Some(caller) = (!callers.is_empty()).then(|| random.of(&callers)) else { break };
        if w.store.domain_state(caller) == State::Running {
            let of = inside[random.below(inside.len() as u64) as usize].cnode;
            let words = invocation(&w, random, of);
            effects += u64::from(w.store.invoke(caller, words).is_ok());
        }
        w.store.work();
    }
    w.check();
    for (p, before) in outside.iter().zip(before) {
        assert!(content(&w, p) == before, "an invocation reached another group");
        assert_eq!(invariants::authority(&w.store, p.domain), p.reach);
    }
    let closure: Vec<&Reach> = inside.iter().map(|p| &p.reach).collect();
    for domain in domains(&w).difference(&others) {
        for (region, rights) in invariants::authority(&w.store, *domain) {
            assert!(within(&closure, region, rights), "{region:x?} {rights:?} is beyond the closure");
        }
    }
    (effects, inside.len())
}

#[test]
fn authority_is_confined_to_the_closure_and_others_stay_as_they_are() {
    let start = std::time::Instant::now();
    let stores = if cfg!(miri) {
        1
    } else if cfg!(debug_assertions) {
        60
    } else {
        2000
    };
    let (mut random, mut effects, mut together) = (Random(7), 0, 0);
    for _ in 0..stores {
        let (took_effect, group) = run(&mut random, None);
        effects += took_effect;
        together += usize::from(group > 1);
    }
    println!(
        "| confinement, random stores of 2 to 5 partitions | {} invocations, {effects} took effect | {stores} stores, {together} with a hostile group of several | | {:.0} s | holds |",
        stores * OPERATIONS,
        start.elapsed().as_secs_f64()
    );
    assert!(cfg!(miri) || effects > stores * 5 && together > stores as usize / 10);
}

/// Positive control: rights that grow are noticed as authority beyond the closure.
#[test]
#[cfg_attr(miri, ignore = "many stores")]
fn a_right_that_grows_is_beyond_the_closure() {
    let found = std::panic::catch_unwind(|| {
        let mut random = Random(7);
        for _ in 0..400 {
            run(&mut random, Some(Fault::MintGrowsRights));
        }
    });
    let what = found.expect_err("not found").downcast::<String>().expect("a message");
    assert!(what.contains("beyond the closure") || what.contains("Rights never grow"), "{what}");
}
