//! Cores that are lent: the right to act there, in the name of an agent that whoever lends gives.

use crate::common::*;
use capability_model::cap::{Cap, Leased};
use capability_model::{Error, ErrorKind, Label, Status};

/// Slots: of the Lease on core 0, of the core on core 1, of the agent and its CSpace on core 2.
const LEASE: u64 = FREE;
const GOT: u64 = 20;
const AGENT: u64 = FREE;
const PLAIN: u64 = FREE + 1;
const WHOLE: u64 = FREE + 2;
const PLOT: u64 = FREE + 3;

/// Core 0 holds core 2 and prepares there what core 1 may reach: its own CNode of eight slots in slot 1, some time in slot 2.
fn prepared() -> Vec<World> {
    let mut all = cores(3);
    let slot = all[0].slot(OTHER_CORE);
    assert!(all[0].store.install(slot, Cap::Core { number: 2 }));
    let agent = all[2].domain;
    all[2].store.serve(0, agent);
    let w = &mut all[2];
    w.make(K_CNODE, 3, PLAIN);
    done(w.mint(WHOLE, PLAIN, capability_model::Rights::ALL, 61 << 58));
    done(w.invoke(PLAIN, Label::Copy, &[1, 3, ROOT, WHOLE, 64, 15]));
    done(w.invoke(CORE, Label::Carve, &[1, 4, PLAIN, 2, 3]));
    w.make(K_DOMAIN, 0, AGENT);
    done(w.invoke(AGENT, Label::Configure, &[WHOLE, 0, 0]));
    fails(w.invoke(CORE, Label::Serve, &[2, AGENT]), ErrorKind::InvalidArgument, 1);
    fails(w.invoke(CORE, Label::Serve, &[8, AGENT]), ErrorKind::InvalidArgument, 1);
    fails(w.invoke(CORE, Label::Serve, &[1, PLAIN]), ErrorKind::InvalidCapability, 2);
    fails(all[0].invoke(OTHER_CORE, Label::Serve, &[1, DOMAIN]), ErrorKind::IllegalOperation, 0);
    all
}

fn lent() -> Vec<World> {
    let mut all = prepared();
    // Not to the core itself, where time would be carved of it.
    let to = |core| [core, GOT, 64, ROOT, LEASE, 64];
    fails(all[0].invoke(OTHER_CORE, Label::Lease, &to(2)), ErrorKind::IllegalOperation, 0);
    done(all[2].invoke(CORE, Label::Serve, &[1, AGENT]));
    done(all[0].invoke(OTHER_CORE, Label::Lease, &to(1)));
    settle(&mut all);
    assert_eq!(all[1].cap(GOT), Cap::Core { number: 2 });
    assert!(matches!(all[0].cap(LEASE), Cap::Lease { what: Leased::Core, base: 2, .. }));
    all
}

/// Core 1 asks core 2.
fn ask(all: &mut [World], words: &[u64]) -> Result<Status, Error> {
    assert_eq!(all[1].invoke(GOT, Label::Remote, words).map(|o| o.status), Ok(Status::InProgress));
    settle(all);
    all[1].invoke(GOT, Label::Inspect, &[]).map(|o| o.status)
}

#[test]
fn the_borrower_of_a_core_acts_there_within_what_its_agent_reaches() {
    let mut all = lent();
    fails(all[1].invoke(GOT, Label::Carve, &[1, 2, ROOT, GOT + 1, 64]), ErrorKind::InvalidCapability, 0);
    fails(all[1].copy(GOT + 1, GOT, capability_model::Rights::ALL), ErrorKind::IllegalOperation, 4);
    // What it lends there comes where its agent reaches it, and nowhere else.
    all[1].make(K_UNTYPED, 2, PLOT);
    done(all[1].invoke(PLOT, Label::Lease, &[2, 3, 64]));
    settle(&mut all);
    assert_eq!(all[2].cap(3), Cap::Domain { at: all[2].domain });
    let retype = [3, Label::Retype as u64, K_DOMAIN, 0, 1, 0, 0, 4, 1];
    assert_eq!(ask(&mut all, &retype), Ok(Status::Done));
    assert_eq!(ask(&mut all, &[2, Label::Bind as u64, 4]), Ok(Status::Done));
    // Neither the core nor anything else of that core.
    assert_eq!(ask(&mut all, &[6, Label::Carve as u64, 1, 2, 1, 5, 3]), Err(ErrorKind::FailedLookup.of(0)));
    assert_eq!(ask(&mut all, &[8, Label::Revoke as u64]), Err(ErrorKind::FailedLookup.of(0)));
    // The memory goes back through both; what was made of it there is gone, and the time is free again.
    let answer = all[1].invoke(ROOT, Label::Revoke, &[PLOT, 64]);
    assert_eq!(answer.map(|o| o.status), Ok(Status::InProgress));
    settle(&mut all);
    assert!(matches!(all[1].cap(PLOT), Cap::Untyped { free: 0, .. }));
    assert_eq!(ask(&mut all, &[2, Label::Unbind as u64]), Err(ErrorKind::IllegalOperation.of(0)));
    done(all[2].revoke(CORE));
    assert_eq!(all[2].store.utilisation(), 0);
}

#[test]
fn a_core_comes_back_when_nothing_is_being_carried_out_there_for_its_borrower() {
    let mut all = lent();
    all[1].make(K_NOTIFICATION, 0, PLOT);
    done(all[1].invoke(GOT, Label::Bind, &[PLOT]));
    let copy = [1, Label::Copy as u64, 5, 64, 1, 1, 64, 15];
    assert_eq!(all[1].invoke(GOT, Label::Remote, &copy).map(|o| o.status), Ok(Status::InProgress));
    let request = all[1].store.take_message(2).expect("a request");
    // Called back while the request is on its way.
    let answer = all[0].invoke(ROOT, Label::Revoke, &[LEASE, 64]);
    assert_eq!(answer.map(|o| o.status), Ok(Status::InProgress));
    settle(&mut all);
    assert!(matches!(all[0].cap(LEASE), Cap::Lease { .. }), "it waits for the answer");
    fails(all[1].invoke(GOT, Label::Inspect, &[]), ErrorKind::FailedLookup, 0);
    all[2].store.receive_message(1, request);
    settle(&mut all);
    assert_eq!(all[0].cap(LEASE), Cap::Null);
    // Doubled, it does nothing any more; and the next borrower there sees no answer of the one before.
    done(all[2].invoke(PLAIN, Label::Delete, &[5, 3]));
    all[2].store.receive_message(1, request);
    settle(&mut all);
    fails(all[2].invoke(PLAIN, Label::Move, &[6, 3, PLAIN, 5, 3]), ErrorKind::FailedLookup, 4);
    done(all[0].invoke(OTHER_CORE, Label::Lease, &[1, GOT, 64, ROOT, LEASE, 64]));
    settle(&mut all);
    fails(all[1].invoke(GOT, Label::Inspect, &[]), ErrorKind::IllegalOperation, 0);
    done(all[1].invoke(GOT, Label::Bind, &[PLOT]));
    // Whoever loses his agent is refused.
    done(all[2].delete(AGENT));
    assert_eq!(ask(&mut all, &copy), Err(ErrorKind::InvalidCapability.of(0)));
}

#[test]
fn a_lent_core_is_lent_on_and_comes_back_through_all() {
    let mut all = cores(4);
    let slot = all[0].slot(OTHER_CORE);
    assert!(all[0].store.install(slot, Cap::Core { number: 3 }));
    done(all[0].invoke(OTHER_CORE, Label::Lease, &[1, GOT, 64, ROOT, LEASE, 64]));
    settle(&mut all);
    done(all[1].invoke(GOT, Label::Lease, &[2, GOT, 64, ROOT, LEASE, 64]));
    settle(&mut all);
    assert_eq!(all[2].cap(GOT), Cap::Core { number: 3 });
    let answer = all[0].invoke(ROOT, Label::Revoke, &[OTHER_CORE, 64]);
    assert_eq!(answer.map(|o| o.status), Ok(Status::InProgress));
    settle(&mut all);
    assert!((1..3).all(|n| all[n].cap(GOT) == Cap::Null && all[n].cap(LEASE) == Cap::Null));
    assert_eq!(all[0].cap(LEASE), Cap::Null);
    done(all[0].revoke(OTHER_CORE));
}
