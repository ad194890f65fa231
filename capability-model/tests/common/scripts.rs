//! Short scripts with an expectation each, for what random slot operations do not touch.

use crate::common::*;
use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::faults::Fault;
use capability_model::invariants::{check, dump};
use capability_model::{GUARD_BITS_SHIFT, Label, Rights, Status};

pub type Script = fn(Option<Fault>) -> Result<(), String>;

pub const ALL: [Script; 7] = [mapping, space_again, waiting, cancelling, shares, guards, objects];

const A: u64 = FREE;

fn world(fault: Option<Fault>) -> World {
    let mut w = World::with_pages(64);
    w.store.fault = fault;
    w
}

fn demand(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.into()) }
}

fn fine(answer: Answer) -> Result<Status, String> {
    answer.map(|outcome| outcome.status).map_err(|error| format!("unexpected {error:?}"))
}

fn all(w: &World) -> Result<(), String> {
    check(&w.store, &w.roots())
}

fn mapped(fault: Option<Fault>) -> Result<World, String> {
    let mut w = world(fault);
    for (slot, (kind, parameter)) in (A..).zip([(K_SPACE, 0), (K_TABLE, 2), (K_TABLE, 3), (K_FRAME, 0)]) {
        fine(w.retype(kind, parameter, slot, 1))?;
    }
    fine(w.invoke(A + 1, Label::Map, &[A, 0]))?;
    fine(w.invoke(A + 2, Label::Map, &[A, 0]))?;
    fine(w.invoke(A + 3, Label::Map, &[A, 0x3000, 3]))?;
    all(&w)?;
    Ok(w)
}

fn mapping(fault: Option<Fault>) -> Result<(), String> {
    let mut w = mapped(fault)?;
    fine(w.delete(A + 3))?;
    all(&w)?;
    demand(w.store.memory.forgotten.contains(&(1, Some(0x3000))), "the TLB was not told")
}

fn space_again(fault: Option<Fault>) -> Result<(), String> {
    let mut w = mapped(fault)?;
    fine(w.delete(A))?;
    fine(w.retype(K_SPACE, 0, A, 1))?;
    // The frame's mapping was in a space that is gone: it can be mapped at once.
    fine(w.invoke(A + 1, Label::Map, &[A, 0]))?;
    fine(w.invoke(A + 2, Label::Map, &[A, 0]))?;
    let Cap::Space { at, .. } = w.cap(A) else { return Err("no space".into()) };
    demand(dump(&w.store, at).len() == 2, "a mapping came back with its table")?;
    all(&w)
}

fn waiting(fault: Option<Fault>) -> Result<(), String> {
    let mut w = world(fault);
    fine(w.retype(K_ENDPOINT, 0, A, 1))?;
    let domains = [w.domain_in(A + 1), w.domain_in(A + 2), w.domain_in(A + 3)];
    for at in domains {
        fine(w.invoke_as(at, A, Label::Send, &[]))?;
    }
    fine(w.invoke(A + 1, Label::Suspend, &[]))?;
    all(&w)?;
    fine(w.delete(A))?;
    demand(w.store.domain_state(domains[2]) == State::Running, "a sender waits for ever")?;
    all(&w)
}

fn cancelling(fault: Option<Fault>) -> Result<(), String> {
    let mut w = world(fault);
    fine(w.retype(K_ENDPOINT, 0, A, 1))?;
    let domains = [w.domain_in(A + 1), w.domain_in(A + 2)];
    for (i, at) in (0..).zip(domains) {
        fine(w.mint(A + 4 + i, A, Rights::ALL, 1 + i))?;
        fine(w.invoke_as(at, A + 4 + i, Label::Send, &[]))?;
    }
    fine(w.run(ROOT, Label::CancelBadgedSends, &[A + 4, 64]))?;
    let states = domains.map(|at| w.store.domain_state(at));
    demand(states == [State::Running, State::Sending], "the wrong senders were cancelled")?;
    all(&w)
}

fn shares(fault: Option<Fault>) -> Result<(), String> {
    let mut w = world(fault);
    fine(w.invoke(CORE, Label::Carve, &[3, 4, ROOT, A, 64]))?;
    let more = w.invoke(CORE, Label::Carve, &[1, 2, ROOT, A + 1, 64]);
    all(&w)?;
    demand(more.is_err(), "more than the core was given out")?;
    fine(w.delete(A))?;
    all(&w)?;
    fine(w.invoke(CORE, Label::Carve, &[4, 4, ROOT, A, 64])).map(|_| ())
}

fn guards(fault: Option<Fault>) -> Result<(), String> {
    let mut w = world(fault);
    fine(w.retype(K_CNODE, 2, A, 1))?;
    fine(w.mint(A + 1, A, Rights::ALL, 3 << GUARD_BITS_SHIFT | 5))?;
    let wrong = w.invoke(A + 1, Label::Delete, &[4 << 2, 5]);
    demand(wrong.is_err(), "a guard that does not match leads on")
}

fn objects(fault: Option<Fault>) -> Result<(), String> {
    let mut w = world(fault);
    fine(w.retype(K_CNODE, 2, A, 1))?;
    fine(w.retype(K_DOMAIN, 0, A + 1, 1))?;
    fine(w.invoke(A, Label::Copy, &[1, 2, ROOT, A + 1, 64, 15]))?;
    fine(w.delete(A + 1))?;
    fine(w.delete(A))?;
    while w.store.work() {}
    all(&w)?;
    demand(!w.store.has_children(w.slot(UNTYPED)), "the CNode is gone and what it held is not")
}
