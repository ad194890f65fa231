//! Random operations on one store against the naive reference, with the invariants in between.

use crate::common::*;
use crate::reference::{Reference, Thing, Verdict};
use capability_model::cap::Cap;
use capability_model::faults::Fault;
use capability_model::invariants::{self, View};
use capability_model::memory::PAGE;
use capability_model::untyped::Kind;
use capability_model::{Memory, Rights};

const LOW: u64 = FREE;
const SLOTS: u64 = 16;
const KINDS: [(u64, u64); 7] = [(0, 1), (0, 2), (1, 2), (2, 0), (3, 0), (5, 0), (6, 3)];

fn verdict(answer: Answer) -> Verdict {
    answer.map(|_| ()).map_err(|error| (error.kind(), error.argument()))
}

/// Runs so many operations; where it differs, the place.
pub fn run(seed: u64, operations: u64, fault: Option<Fault>) -> Result<(), String> {
    let mut random = Random(seed);
    let mut w = World::with_pages(12);
    w.store.fault = fault;
    let mut naive = Reference::default();
    for slot in [ROOT, DOMAIN, CORE, IRQ] {
        naive.root(slot, Thing::Single(0, slot));
    }
    naive.root(UNTYPED, Thing::Untyped { base: w.untyped_base(), size: 12 * PAGE, used: 0 });
    for n in 0..operations {
        step(&mut random, &mut w, &mut naive).map_err(|place| format!("operation {n}: {place}"))?;
        // The predicates not in Miri, as in `World::check`.
        if !cfg!(miri) && (n % 64 == 63 || fault.is_some()) {
            let view = w.view();
            compare_tree(&w, &view, &naive).map_err(|place| format!("operation {n}: {place}"))?;
            for (sentence, predicate) in invariants::all::<Ram>() {
                predicate(&view).map_err(|place| format!("operation {n}: {sentence} {place}"))?;
            }
        }
    }
    Ok(())
}

fn step(random: &mut Random, w: &mut World, naive: &mut Reference) -> Result<(), String> {
    let mut slot = || LOW + random.below(SLOTS);
    let (to, from, third) = (slot(), slot(), slot());
    let rights = random.below(16);
    let badge = random.below(3);
    let source = if random.below(3) == 0 { UNTYPED } else { from };
    let what = random.below(20);
    let (expected, got) = match what {
        0..=2 => (naive.copy(to, source, rights, None), w.copy(to, source, Rights::from_word(rights))),
        3..=6 => {
            (naive.copy(to, from, rights, Some(badge)), w.mint(to, from, Rights::from_word(rights), badge))
        }
        7 => (naive.shift(to, from), w.move_to(to, from)),
        8 => (naive.rotate(to, third, from), w.rotate(to, third, from)),
        9..=11 => {
            naive.delete(to);
            (Ok(()), w.delete(to))
        }
        12 => {
            naive.revoke(source);
            (Ok(()), w.revoke(source))
        }
        13..=14 => {
            naive.revoke(to);
            (Ok(()), w.revoke(to))
        }
        _ => {
            let (kind, parameter) = random.of(&KINDS);
            let (each, align) = Kind::from_words(kind, parameter, 1).map_err(|e| format!("{e:?}"))?.size();
            let count = random.below(4);
            let expected = naive.retype(source, kind, each, align, to, count);
            let got = w.retype_from(source, kind, parameter, to, count);
            if expected.is_ok() {
                new_memory(w, to, count)?;
            }
            (expected, got)
        }
    };
    if expected != verdict(got) {
        return Err(format!("case {what}: {to} {from} {third}: expected {expected:?}, got {got:?}"));
    }
    for slot in (LOW..LOW + SLOTS + 4).chain([UNTYPED]) {
        same(w.cap(slot), naive, slot)?;
    }
    Ok(())
}

/// New frames are zero; then they are used.
fn new_memory(w: &mut World, first: u64, count: u64) -> Result<(), String> {
    for slot in first..first + count {
        if let Cap::Frame { base, .. } = w.cap(slot) {
            if !w.store.memory.is_zero(base, PAGE) {
                return Err(format!("the new frame at {base:x} is not zero"));
            }
            w.store.memory.write(base + 8, !0);
        }
    }
    Ok(())
}

fn same(cap: Cap, naive: &Reference, slot: u64) -> Result<(), String> {
    let known = naive.slots.get(&slot).map(|id| &naive.known[id]);
    let alike = match (known.map(|known| &known.thing), cap) {
        (None, Cap::Null) => true,
        (Some(Thing::Untyped { base, size, .. }), Cap::Untyped { base: b, size: s, .. }) => {
            (*base, *size) == (b, s)
        }
        (Some(Thing::Badged(2, at)), Cap::Endpoint { at: a, .. }) => *at == a,
        (Some(Thing::Badged(3, at)), Cap::Notification { at: a, .. }) => *at == a,
        (Some(Thing::Plain(1, at)), Cap::CNode { at: a, .. }) => *at == a,
        (Some(Thing::Plain(5, at)), Cap::Frame { base, .. }) => *at == base,
        (Some(Thing::Single(6, at)), Cap::PageTable { at: a, .. }) => *at == a,
        _ => false,
    };
    let details = known.is_none_or(|known| {
        cap.badge().is_none_or(|badge| badge == known.badge) && cap.rights().word() == known.rights
    });
    if alike && details { Ok(()) } else { Err(format!("slot {slot}: {cap:x?}, expected {known:x?}")) }
}

fn compare_tree(w: &World, view: &View<'_, Ram>, naive: &Reference) -> Result<(), String> {
    for slot in naive.slots.keys().filter(|slot| **slot >= LOW) {
        let parent = view.parents.get(&w.slot(*slot)).copied();
        let expected = naive.parent_slot(*slot).map(|parent| w.slot(parent));
        if parent != expected {
            return Err(format!("slot {slot} descends from {parent:x?}, expected {expected:x?}"));
        }
    }
    Ok(())
}
