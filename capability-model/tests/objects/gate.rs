//! Gates, seats, sealing.

use crate::common::*;
use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::layout::{DOMAIN_RESERVED, GATE_SIZE};
use capability_model::memory::Slot;
use capability_model::{ErrorKind, Label, Status};

const GATE: u64 = FREE;
const SEAT: u64 = FREE + 1;
const HELD: u64 = FREE + 4;
const REVOKE: [u64; 5] = [1, 0, 0, 0, 0];
const EPOCH: [u64; 5] = [5, 0, 0, 0, 0];

/// A gate of three seats and threshold two that holds an Untyped of 4 pages with a child, a CNode, and the core.
fn sealed() -> World {
    let mut w = World::new();
    w.make(K_GATE, 0, GATE);
    for seat in 0..3 {
        done(w.invoke(GATE, Label::Seat, &[seat, ROOT, SEAT + seat, 64]));
    }
    w.make(K_UNTYPED, 4, HELD);
    w.make(K_CNODE, 2, HELD + 1);
    done(w.move_to(HELD + 2, CORE));
    done(w.retype_from(HELD, K_ENDPOINT, 0, 30, 1));
    done(w.copy(31, HELD + 1, capability_model::Rights::ALL));
    done(w.invoke(GATE, Label::Seal, &[2, 3, ROOT, 0, 0, HELD, 3]));
    w.check();
    w
}

fn endorse(w: &mut World, seat: u64, epoch: u64, sequence: u64, [a, b, c, d, e]: [u64; 5]) -> Answer {
    let answer = w.invoke(SEAT + seat, Label::Endorse, &[epoch, sequence, a, b, c, d, e]);
    w.check();
    answer
}

#[test]
fn sealing_takes_and_never_gives_back() {
    let mut w = sealed();
    assert!((HELD..HELD + 3).all(|n| w.cap(n) == Cap::Null));
    fails(w.invoke(GATE, Label::Seal, &[1, 1, ROOT, 0, 0, HELD, 1]), ErrorKind::IllegalOperation, 0);
    fails(w.invoke(GATE, Label::Seat, &[3, ROOT, 40, 64]), ErrorKind::IllegalOperation, 0);
}

#[test]
fn an_open_gate_checks_what_it_is_told() {
    let mut w = World::new();
    w.make(K_GATE, 0, GATE);
    fails(w.invoke(GATE, Label::Seat, &[8, ROOT, SEAT, 64]), ErrorKind::RangeError, 1);
    done(w.invoke(GATE, Label::Seat, &[0, ROOT, SEAT, 64]));
    fails(w.invoke(GATE, Label::Seat, &[0, ROOT, SEAT + 1, 64]), ErrorKind::IllegalOperation, 1);
    fails(w.invoke(GATE, Label::Seal, &[0, 1, ROOT, 0, 0, UNTYPED, 1]), ErrorKind::RangeError, 1);
    fails(w.invoke(GATE, Label::Seal, &[2, 1, ROOT, 0, 0, UNTYPED, 1]), ErrorKind::RangeError, 1);
    fails(w.invoke(GATE, Label::Seal, &[1, 2, ROOT, 0, 0, UNTYPED, 1]), ErrorKind::RangeError, 2);
    fails(w.invoke(GATE, Label::Seal, &[1, 1, ROOT, 0, 0, GATE, 1]), ErrorKind::InvalidCapability, 6);
    fails(w.invoke(GATE, Label::Seal, &[1, 1, ROOT, 0, 0, UNTYPED, 9]), ErrorKind::RangeError, 7);
    fails(endorse(&mut w, 0, 0, 0, REVOKE), ErrorKind::IllegalOperation, 0);
}

#[test]
fn a_sealed_domain_begins_anew_when_enough_seats_say_so() {
    let mut w = World::new();
    w.make(K_GATE, 0, GATE);
    for seat in 0..2 {
        done(w.invoke(GATE, Label::Seat, &[seat, ROOT, SEAT + seat, 64]));
    }
    w.make(K_UNTYPED, 1, HELD);
    let at = w.domain_in(HELD + 1);
    let begun = |w: &World| w.store.memory.peek(at + DOMAIN_RESERVED + 64);
    // Whoever has the domain does it alone.
    fails(w.invoke(HELD + 1, Label::Restart, &[4]), ErrorKind::InvalidArgument, 1);
    done(w.invoke(HELD + 1, Label::Restart, &[1]));
    assert_eq!((begun(&w), w.store.domain_state(at)), (2, State::Inactive));
    done(w.invoke(HELD + 1, Label::Resume, &[]));
    done(w.invoke(GATE, Label::Seal, &[2, 2, ROOT, 0, 0, HELD, 2]));
    let restart = |held, image| [7, held, image, 0, 0];
    done(endorse(&mut w, 0, 0, 0, restart(1, 2)));
    done(endorse(&mut w, 1, 0, 0, restart(1, 1)));
    assert_eq!((begun(&w), w.store.domain_state(at)), (2, State::Running));
    fails(endorse(&mut w, 0, 0, 0, restart(8, 0)), ErrorKind::RangeError, 4);
    done(endorse(&mut w, 0, 0, 0, restart(0, 2)));
    fails(endorse(&mut w, 1, 0, 0, restart(0, 2)), ErrorKind::InvalidCapability, 4);
    done(endorse(&mut w, 0, 0, 0, restart(1, 4)));
    fails(endorse(&mut w, 1, 0, 0, restart(1, 4)), ErrorKind::InvalidArgument, 5);
    done(endorse(&mut w, 0, 0, 0, restart(1, 3)));
    done(endorse(&mut w, 1, 0, 0, restart(1, 3)));
    assert_eq!((begun(&w), w.store.domain_state(at)), (4, State::Inactive));
    fails(endorse(&mut w, 1, 0, 0, restart(1, 3)), ErrorKind::IllegalOperation, 2);
}

#[test]
fn only_distinct_seats_that_say_the_same_now_act() {
    let mut w = sealed();
    done(endorse(&mut w, 0, 0, 0, REVOKE));
    done(endorse(&mut w, 0, 0, 0, REVOKE));
    done(endorse(&mut w, 1, 0, 0, EPOCH));
    assert!(matches!(w.cap(30), Cap::Endpoint { .. }));
    fails(endorse(&mut w, 2, 1, 0, REVOKE), ErrorKind::IllegalOperation, 1);
    fails(endorse(&mut w, 2, 0, 1, REVOKE), ErrorKind::IllegalOperation, 2);
    fails(endorse(&mut w, 2, 0, 0, [9, 0, 0, 0, 0]), ErrorKind::InvalidArgument, 3);
    done(endorse(&mut w, 2, 0, 0, REVOKE));
    assert_eq!(w.cap(30), Cap::Null);
    // The sequence number is used up, and with it what seat 1 said.
    fails(endorse(&mut w, 1, 0, 0, EPOCH), ErrorKind::IllegalOperation, 2);
    done(endorse(&mut w, 1, 0, 1, EPOCH));
    done(endorse(&mut w, 0, 0, 1, EPOCH));
    fails(endorse(&mut w, 0, 0, 2, REVOKE), ErrorKind::IllegalOperation, 1);
    done(endorse(&mut w, 0, 1, 2, REVOKE));
}

#[test]
fn acts_make_objects_and_change_who_decides() {
    let mut w = sealed();
    // Two frames of what is held, into the held CNode (held 1) from offset 1.
    let retype = [2, 0, K_FRAME, 0, 1 | 1 << 8 | 2 << 32];
    done(endorse(&mut w, 0, 0, 0, retype));
    done(endorse(&mut w, 1, 0, 0, retype));
    while w.store.work() {
        w.check();
    }
    let Cap::CNode { at, .. } = w.cap(31) else { panic!("no CNode") };
    let made = [0, 1, 2, 3].map(|n| matches!(w.store.cap(Slot(at).plus(n)), Cap::Frame { .. }));
    assert_eq!(made, [false, true, true, false]);
    let carve = [3, 2, 1, 2, 1];
    done(endorse(&mut w, 0, 0, 1, carve));
    done(endorse(&mut w, 2, 0, 1, carve));
    assert_eq!(w.store.utilisation(), 1 << 19);
    // What cannot be done is an error to the one whose word would decide, and nothing is used up.
    done(endorse(&mut w, 0, 0, 2, carve));
    fails(endorse(&mut w, 2, 0, 2, carve), ErrorKind::DeleteFirst, 7);
    let all = [4, 0, 3, 3, 0];
    fails(endorse(&mut w, 1, 0, 2, [4, 0, 4, 3, 0]), ErrorKind::RangeError, 5);
    // Seats that were never handed out cannot decide.
    done(endorse(&mut w, 0, 0, 2, [4, 0, 2, 4, 0]));
    fails(endorse(&mut w, 1, 0, 2, [4, 0, 2, 4, 0]), ErrorKind::RangeError, 6);
    // Nothing is held there; and an act has a number that a gate can hold.
    done(endorse(&mut w, 0, 0, 2, [1, 5, 0, 0, 0]));
    fails(endorse(&mut w, 1, 0, 2, [1, 5, 0, 0, 0]), ErrorKind::FailedLookup, 4);
    fails(endorse(&mut w, 1, 0, 2, [1, 8, 0, 0, 0]), ErrorKind::RangeError, 4);
    // A context only into a CNode that is held, and into a slot that it has.
    for (wrong, kind) in
        [([3, 2, 1, 2, 0], ErrorKind::FailedLookup), ([3, 2, 1, 2, 1 | 4 << 8], ErrorKind::RangeError)]
    {
        done(endorse(&mut w, 0, 0, 2, wrong));
        fails(endorse(&mut w, 1, 0, 2, wrong), kind, 7);
    }
    done(endorse(&mut w, 0, 0, 2, all));
    done(endorse(&mut w, 1, 0, 2, all));
    // Now three are needed.
    done(endorse(&mut w, 0, 1, 3, REVOKE));
    done(endorse(&mut w, 1, 1, 3, REVOKE));
    assert!(matches!(w.cap(30), Cap::Endpoint { .. }));
    done(endorse(&mut w, 2, 1, 3, REVOKE));
    while w.store.work() {}
    assert_eq!(w.cap(30), Cap::Null);
    // With the last capability goes what it holds.
    done(w.delete(31));
    for n in [GATE, SEAT, SEAT + 1, SEAT + 2] {
        done(w.delete(n));
        w.check();
    }
    while w.store.work() {}
    assert_eq!(w.store.utilisation(), 0);
    w.check();
}

#[test]
fn a_seat_on_another_core() {
    let mut all = cores(2);
    let local = sealed_on(&mut all[0]);
    done(all[0].invoke(SEAT + 1, Label::Lease, &[1, 20, 64, ROOT, 41, 64]));
    settle(&mut all);
    let answer = all[1].invoke(20, Label::Endorse, &[0, 0, 1, 0, 0, 0, 0]);
    done(answer);
    done(all[0].invoke(SEAT, Label::Endorse, &[0, 0, 1, 0, 0, 0, 0]));
    assert!(all[0].cap(30) == local);
    settle(&mut all);
    assert_eq!(all[0].cap(30), Cap::Null);
    // Called back, the seat is silent.
    all[0].run(ROOT, Label::Delete, &[41, 64]).expect("deleted");
    settle(&mut all);
    assert_eq!(all[1].cap(20), Cap::Null);
}

fn sealed_on(w: &mut World) -> Cap {
    w.make(K_GATE, 0, GATE);
    for seat in 0..3 {
        done(w.invoke(GATE, Label::Seat, &[seat, ROOT, SEAT + seat, 64]));
    }
    w.make(K_UNTYPED, 1, HELD);
    done(w.retype_from(HELD, K_ENDPOINT, 0, 30, 1));
    done(w.invoke(GATE, Label::Seal, &[2, 3, ROOT, 0, 0, HELD, 1]));
    w.cap(30)
}

#[test]
fn an_act_lends_held_memory_and_another_calls_it_back() {
    let mut all = cores(2);
    sealed_on(&mut all[0]);
    let lease = |held, peer, depth| [6, held, peer, 20, depth];
    let say = |w: &mut World, seat, sequence, act| endorse(w, seat, 0, sequence, act);
    // Memory with a child stays; nothing is used up by what cannot be done.
    done(say(&mut all[0], 0, 0, lease(0, 1, 64)));
    fails(say(&mut all[0], 1, 0, lease(0, 1, 64)), ErrorKind::RevokeFirst, 4);
    done(all[0].delete(30));
    for (wrong, kind, argument) in [
        (lease(0, 0, 64), ErrorKind::InvalidArgument, 5),
        (lease(0, 8, 64), ErrorKind::InvalidArgument, 5),
        (lease(0, 1, 0), ErrorKind::RangeError, 7),
        (lease(0, 1, 65), ErrorKind::RangeError, 7),
        (lease(1, 1, 64), ErrorKind::FailedLookup, 4),
        (lease(8, 1, 64), ErrorKind::RangeError, 4),
    ] {
        let _ = say(&mut all[0], 0, 0, wrong);
        fails(say(&mut all[0], 1, 0, wrong), kind, argument);
    }
    done(say(&mut all[0], 0, 0, lease(0, 1, 64)));
    done(say(&mut all[0], 1, 0, lease(0, 1, 64)));
    settle(&mut all);
    assert!(matches!(all[1].cap(20), Cap::Untyped { .. }));
    // It is lent: it cannot be lent again, and is not memory now.
    done(say(&mut all[0], 0, 1, lease(0, 1, 64)));
    fails(say(&mut all[0], 2, 1, lease(0, 1, 64)), ErrorKind::InvalidCapability, 4);
    done(all[1].retype_from(20, K_FRAME, 0, 21, 1));
    done(say(&mut all[0], 0, 1, REVOKE));
    done(say(&mut all[0], 1, 1, REVOKE));
    settle(&mut all);
    assert_eq!((all[1].cap(20), all[1].cap(21)), (Cap::Null, Cap::Null));
    // It is back, and can go again.
    done(say(&mut all[0], 0, 2, lease(0, 1, 64)));
    done(say(&mut all[0], 1, 2, lease(0, 1, 64)));
    settle(&mut all);
    assert!(matches!(all[1].cap(20), Cap::Untyped { .. }));
    // The gate goes while it is lent: it is called back.
    for n in [GATE, SEAT, SEAT + 1, SEAT + 2] {
        done(all[0].delete(n));
    }
    settle(&mut all);
    assert_eq!(all[1].cap(20), Cap::Null);
}

#[test]
fn all_seats_and_all_that_can_be_held() {
    let mut w = World::new();
    w.make(K_GATE, 0, GATE);
    w.make(K_CNODE, 3, HELD);
    for seat in 0..8 {
        done(w.invoke(GATE, Label::Seat, &[seat, ROOT, 20 + seat, 64]));
        fails(w.invoke(GATE, Label::Seat, &[seat, ROOT, 40, 64]), ErrorKind::IllegalOperation, 1);
    }
    done(w.run(UNTYPED, Label::Retype, &[K_UNTYPED, 1, HELD, 0, 0, 0, 8]));
    for (offset, count, argument) in [(8, 1, 6), (0, 0, 7), (0, 9, 7), (1, 8, 7), (7, 2, 7)] {
        let answer = w.invoke(GATE, Label::Seal, &[1, 8, HELD, 0, 0, offset, count]);
        fails(answer, ErrorKind::RangeError, argument);
    }
    fails(w.invoke(GATE, Label::Seal, &[1, 9, HELD, 0, 0, 0, 8]), ErrorKind::RangeError, 2);
    fails(w.invoke(GATE, Label::Seal, &[1, 8, UNTYPED, 0, 0, 0, 8]), ErrorKind::FailedLookup, 4);
    // The CNode by a path, and its last slots.
    let mut other = w.clone();
    done(other.invoke(GATE, Label::Seal, &[8, 8, ROOT, HELD, 64, 5, 3]));
    other.check();
    done(w.invoke(GATE, Label::Seal, &[8, 8, HELD, 0, 0, 0, 8]));
    w.check();
    for seat in 0..8 {
        assert_eq!(w.store.utilisation(), 0);
        done(w.invoke(20 + seat, Label::Endorse, &[0, 0, 1, 7, 0, 0, 0]));
    }
    assert_eq!(w.invoke(GATE, Label::Inspect, &[]).map(|o| o.status), Ok(Status::Word(1)));
}

#[test]
fn inspect_tells_what_an_endorsement_must_name() {
    let mut w = sealed();
    for (sequence, epoch) in [(0, 0), (1, 1), (2, 2)] {
        for address in [GATE, SEAT, SEAT + 2] {
            let answer = w.invoke(address, Label::Inspect, &[]).map(|o| o.status);
            assert_eq!(answer, Ok(Status::Word(epoch << 32 | sequence)));
        }
        done(endorse(&mut w, 0, epoch, sequence, EPOCH));
        done(endorse(&mut w, 2, epoch, sequence, EPOCH));
    }
}

#[test]
fn endorsements_lie_in_the_gate_and_an_act_clears_them() {
    let mut w = sealed();
    let Cap::Gate { at } = w.cap(GATE) else { panic!("no gate") };
    // Behind the words and the held slots, a line for each seat.
    let record = |w: &World, seat: u64| w.store.memory.peek(at + GATE_SIZE - (8 - seat) * 64);
    done(endorse(&mut w, 0, 0, 0, EPOCH));
    done(endorse(&mut w, 2, 0, 0, REVOKE));
    assert_eq!([0, 1, 2, 3].map(|seat| record(&w, seat)), [1, 0, 1, 0]);
    done(endorse(&mut w, 1, 0, 0, EPOCH));
    assert_eq!([0, 1, 2, 3].map(|seat| record(&w, seat)), [0; 4]);
}

/// A gate of one seat over memory with 40 endpoints in it, whose revocation was begun.
fn revoking() -> World {
    let mut w = World::new();
    w.make(K_GATE, 0, GATE);
    w.make(K_CNODE, 6, 40);
    w.make(K_UNTYPED, 4, HELD);
    done(w.invoke(GATE, Label::Seat, &[0, ROOT, SEAT, 64]));
    done(w.invoke(HELD, Label::Retype, &[K_ENDPOINT, 0, 40, 0, 0, 0, 40]));
    done(w.invoke(GATE, Label::Seal, &[1, 1, ROOT, 0, 0, HELD, 1]));
    done(endorse(&mut w, 0, 0, 0, REVOKE));
    w
}

fn left(w: &World) -> usize {
    let Cap::CNode { at, .. } = w.cap(40) else { panic!("no CNode") };
    (0..40).filter(|n| w.store.cap(Slot(at).plus(*n)) != Cap::Null).count()
}

/// Work to the end, which comes.
fn finish(w: &mut World) {
    for _ in 0..1000 {
        if !w.store.work() {
            return w.check();
        }
        w.check();
    }
    panic!("no end");
}

#[test]
fn a_long_act_goes_on_in_idle_time_and_one_at_a_time() {
    let mut w = revoking();
    assert!(left(&w) > 0 && left(&w) < 40);
    // Decided and not yet carried out: nothing else is endorsed meanwhile.
    fails(endorse(&mut w, 0, 0, 1, EPOCH), ErrorKind::IllegalOperation, 0);
    finish(&mut w);
    assert_eq!(left(&w), 0);
    done(endorse(&mut w, 0, 0, 1, EPOCH));
}

#[test]
fn a_gate_that_goes_while_it_acts_is_forgotten() {
    let mut w = revoking();
    done(w.delete(GATE));
    done(w.delete(SEAT));
    assert!(left(&w) > 0);
    // Its memory becomes something else at once, which is not taken for a gate that acts.
    done(w.revoke(UNTYPED));
    w.make(K_FRAME, 0, GATE);
    finish(&mut w);
    assert!(!w.store.work());
}

#[test]
fn an_act_that_waits_for_another_core_does_not_hold_up_another_gate() {
    let mut all = cores(2);
    let lease = [6, 0, 1, 20, 64];
    for n in 0..2 {
        let w = &mut all[0];
        w.make(K_GATE, 0, 20 + n);
        done(w.invoke(20 + n, Label::Seat, &[0, ROOT, SEAT + n, 64]));
        w.make(K_UNTYPED, 1, HELD);
        if n == 1 {
            done(w.retype_from(HELD, K_ENDPOINT, 0, 30, 1));
        }
        done(w.invoke(20 + n, Label::Seal, &[1, 1, ROOT, 0, 0, HELD, 1]));
    }
    done(endorse(&mut all[0], 0, 0, 0, lease));
    settle(&mut all);
    done(endorse(&mut all[0], 0, 0, 1, REVOKE));
    finish(&mut all[0]);
    // The first gate waits for core 1.
    done(endorse(&mut all[0], 1, 0, 0, REVOKE));
    finish(&mut all[0]);
    assert_eq!(all[0].cap(30), Cap::Null);
    done(endorse(&mut all[0], 1, 0, 1, EPOCH));
    fails(endorse(&mut all[0], 0, 0, 2, EPOCH), ErrorKind::IllegalOperation, 0);
    settle(&mut all);
    done(endorse(&mut all[0], 0, 0, 2, EPOCH));
}

#[test]
fn a_seat_beyond_those_that_decide_has_no_say() {
    let mut w = World::new();
    w.make(K_GATE, 0, GATE);
    for seat in 0..3 {
        done(w.invoke(GATE, Label::Seat, &[seat, ROOT, SEAT + seat, 64]));
    }
    w.make(K_UNTYPED, 1, HELD);
    done(w.invoke(GATE, Label::Seal, &[1, 2, ROOT, 0, 0, HELD, 1]));
    fails(endorse(&mut w, 2, 0, 0, EPOCH), ErrorKind::IllegalOperation, 0);
    done(endorse(&mut w, 1, 0, 0, [4, 0, 1, 3, 0]));
    done(endorse(&mut w, 2, 1, 1, EPOCH));
}
