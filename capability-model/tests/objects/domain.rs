//! Domains: what they are configured with, faults, Suspend and Resume, and their end.
//!
//! As seL4's TCBs but for two things: Resume of one that waits is an error (there it gives the wait up and restarts), and each of the three
//! capabilities is replaced by itself, 0 leaving the others.

use super::messages::*;
use crate::common::*;
use capability_model::cap::Cap;
use capability_model::domain::{Ending, State};
use capability_model::layout::DOMAIN_RESERVED;
use capability_model::{ErrorKind, Label, Rights, Status};

#[test]
fn a_fault_is_a_call_to_the_fault_endpoint() {
    let (mut w, d) = world(1);
    assert_eq!(w.store.fault(d[0]).status, Status::Blocked);
    assert_eq!(w.store.domain_state(d[0]), State::Inactive);
    done(w.mint(X, E, Rights::ALL, 77));
    done(w.invoke(D, Label::Configure, &[0, 0, X]));
    done(w.invoke(D, Label::Resume, &[]));
    w.store.fault(d[0]);
    assert_eq!(status(w.invoke(E, Label::Recv, &[R, 0, 0])), Some(Status::Word(77)));
    assert_eq!(w.store.domain_state(d[0]), State::Replying);
    done(w.invoke(R, Label::Send, &[]));
    assert_eq!(w.store.domain_state(d[0]), State::Running);
    w.check();
}

#[test]
fn a_fault_endpoint_that_was_revoked_is_none() {
    let (mut w, d) = world(1);
    done(w.invoke(D, Label::Configure, &[0, 0, E]));
    done(w.revoke(E));
    assert_eq!(w.store.fault(d[0]).status, Status::Blocked);
    assert_eq!(w.store.domain_state(d[0]), State::Inactive);
    assert!(w.store.is_idle(at_of(&w, E)));
    w.check();
}

/// Address of the object in a slot.
fn at_of(w: &World, slot: u64) -> u64 {
    match w.cap(slot).region() {
        Some((at, _)) => at,
        None => panic!("no object in {slot}"),
    }
}

#[test]
fn configure_says_which_capability_does_not_fit_and_changes_nothing() {
    let (mut w, _) = world(1);
    for (slot, rights) in [(X, Rights::READ), (X + 1, Rights::WRITE), (X + 2, Rights::GRANT.or(Rights::READ))]
    {
        done(w.mint(slot, E, rights, 0));
    }
    let before = w.store.memory.digest();
    let empty = X + 9;
    for (args, kind, argument) in [
        ([E, 0, 0], ErrorKind::InvalidCapability, 1),
        ([ROOT, ROOT, 0], ErrorKind::InvalidCapability, 2),
        ([ROOT, 0, N], ErrorKind::InvalidCapability, 3),
        // To fault is to call: it needs write, and grant or grant-reply.
        ([ROOT, 0, X], ErrorKind::InvalidCapability, 3),
        ([ROOT, 0, X + 1], ErrorKind::InvalidCapability, 3),
        ([ROOT, 0, X + 2], ErrorKind::InvalidCapability, 3),
        ([empty, 0, 0], ErrorKind::FailedLookup, 1),
        ([0, empty, 0], ErrorKind::FailedLookup, 2),
        ([0, 0, empty], ErrorKind::FailedLookup, 3),
    ] {
        fails(w.invoke(D, Label::Configure, &args), kind, argument);
        assert_eq!(w.store.memory.digest(), before, "{args:?}");
    }
    done(w.mint(X + 3, E, Rights::WRITE.or(Rights::GRANT_REPLY), 0));
    done(w.invoke(D, Label::Configure, &[0, 0, X + 3]));
    done(w.mint(X + 4, E, Rights::WRITE.or(Rights::GRANT), 0));
    done(w.invoke(D, Label::Configure, &[0, 0, X + 4]));
    w.check();
}

#[test]
fn a_new_capability_replaces_the_old_one_and_0_leaves_it() {
    let (mut w, d) = world(1);
    done(w.mint(X, E, Rights::ALL, 1));
    done(w.mint(X + 1, E, Rights::ALL, 2));
    for (faults_to, badge) in [(X, 1), (X + 1, 2), (0, 2), (X, 1)] {
        done(w.invoke(D, Label::Configure, &[0, 0, faults_to]));
        w.check();
        w.store.fault(d[0]);
        assert_eq!(status(w.invoke(E, Label::Recv, &[R, 0, 0])), Some(Status::Word(badge)));
        done(w.invoke(R, Label::Send, &[]));
    }
    // The same CSpace again, also when the domain's own capability of it is the last one.
    w.make(K_CNODE, 2, X + 2);
    done(w.invoke(D, Label::Configure, &[X + 2, 0, 0]));
    done(w.invoke(D, Label::Configure, &[X + 2, 0, 0]));
    w.check();
    done(w.delete(X + 2));
    assert_eq!(w.invoke_as(d[0], 0, Label::Send, &[]).err(), Some(ErrorKind::FailedLookup.of(0)));
    w.check();
}

#[test]
fn a_domain_reaches_what_its_cspace_holds_and_nothing_else() {
    let (mut w, d) = world(1);
    w.make(K_CNODE, 2, X);
    // With a guard the four slots are at the addresses 0 to 3.
    done(w.mint(X + 1, X, Rights::ALL, 62 << 58));
    done(w.invoke(X, Label::Copy, &[1, 2, ROOT, N, 64, 15]));
    done(w.invoke(D, Label::Configure, &[X + 1, 0, 0]));
    done(w.invoke_as(d[0], 1, Label::Signal, &[]));
    for address in [0, 2, 4 + 1, N] {
        fails(w.invoke_as(d[0], address, Label::Signal, &[]), ErrorKind::FailedLookup, 0);
    }
    done(w.invoke(X, Label::Delete, &[1, 2]));
    fails(w.invoke_as(d[0], 1, Label::Signal, &[]), ErrorKind::FailedLookup, 0);
    // Without a CSpace there is nothing.
    done(w.revoke(X));
    fails(w.invoke_as(d[0], 1, Label::Signal, &[]), ErrorKind::FailedLookup, 0);
    w.check();
}

#[test]
fn suspend_ends_any_wait_and_resume_starts_what_stands_still() {
    let (mut w, d) = world(4);
    w.make(K_DOMAIN, 0, X);
    let new = at_of(&w, X);
    assert_eq!(w.store.domain_state(new), State::Inactive);
    done(w.invoke(X, Label::Suspend, &[]));
    done(w.invoke(X, Label::Resume, &[]));
    done(w.invoke(X, Label::Resume, &[]));
    assert_eq!(w.store.domain_state(new), State::Running);

    assert_eq!(status(w.invoke_as(d[0], N, Label::Wait, &[])), Some(Status::Blocked));
    assert_eq!(status(w.invoke_as(d[1], E, Label::Call, &[])), Some(Status::Blocked));
    assert_eq!(status(w.invoke_as(d[2], E, Label::Send, &[])), Some(Status::Blocked));
    assert_eq!(status(w.invoke(E, Label::Recv, &[R, 0, 0])), Some(Status::Word(0)));
    w.make(K_ENDPOINT, 0, X + 1);
    w.make(K_REPLY, 0, X + 2);
    assert_eq!(status(w.invoke_as(d[3], X + 1, Label::Recv, &[X + 2, 0, 0])), Some(Status::Blocked));
    let states = [State::Waiting, State::Replying, State::Sending, State::Receiving];
    for ((n, at), state) in (0..).zip(&d).zip(states) {
        assert_eq!(w.store.domain_state(*at), state);
        fails(w.invoke(D + n, Label::Resume, &[]), ErrorKind::IllegalOperation, 0);
        assert_eq!(w.store.domain_state(*at), state);
        done(w.invoke(D + n, Label::Suspend, &[]));
        assert_eq!(w.store.domain_state(*at), State::Inactive);
        w.check();
    }
    // Nobody is left at any of them: a signal is kept, an answer goes to nobody, a receiver finds no sender, a sender no receiver.
    done(w.invoke(N, Label::Signal, &[]));
    assert_eq!(w.invoke(R, Label::Send, &[]).map(|o| o.transfers), Ok([None; 2]));
    assert_eq!(w.invoke(E, Label::NBRecv, &[0, 0, 0]).map(|o| o.transfers), Ok([None; 2]));
    assert_eq!(w.invoke(X + 1, Label::NBSend, &[]).map(|o| o.transfers), Ok([None; 2]));
    // The reply that the receiver held can be received with again.
    assert_eq!(status(w.invoke(E, Label::NBRecv, &[X + 2, 0, 0])), Some(Status::Word(0)));
    done(w.invoke(D, Label::Resume, &[]));
    assert_eq!(w.store.domain_state(d[0]), State::Running);
    w.check();
}

#[test]
fn registers_are_written_of_who_does_not_run() {
    let (mut w, d) = world(1);
    let words = |w: &World, at| [0, 7].map(|n| w.store.memory.peek(at + DOMAIN_RESERVED + n * 8));
    w.make(K_DOMAIN, 0, X);
    let new = at_of(&w, X);
    let registers = [0x4000_0000, 2, 3, 4, 5, 6, 7, 8];
    done(w.invoke(X, Label::WriteRegisters, &registers));
    assert_eq!((words(&w, new), w.store.domain_state(new)), ([0x4000_0000, 8], State::Inactive));
    done(w.invoke(X, Label::Resume, &[]));
    fails(w.invoke(X, Label::WriteRegisters, &[]), ErrorKind::IllegalOperation, 0);
    // Nor of who waits: what it waits for would be written over them.
    assert_eq!(status(w.invoke_as(d[0], N, Label::Wait, &[])), Some(Status::Blocked));
    fails(w.invoke(D, Label::WriteRegisters, &registers), ErrorKind::IllegalOperation, 0);
    assert_eq!((words(&w, new), words(&w, d[0])), ([0x4000_0000, 8], [0, 0]));
    done(w.invoke(D, Label::Suspend, &[]));
    done(w.invoke(D, Label::WriteRegisters, &registers));
    assert_eq!(words(&w, d[0]), [0x4000_0000, 8]);
    fails(w.invoke(E, Label::WriteRegisters, &registers), ErrorKind::IllegalOperation, 0);
    w.check();
}

#[test]
fn bind_wants_a_notification_that_can_be_read() {
    let (mut w, _) = world(1);
    done(w.mint(X, N, Rights::WRITE, 0));
    fails(w.invoke(D, Label::Unbind, &[]), ErrorKind::IllegalOperation, 0);
    fails(w.invoke(D, Label::Bind, &[E]), ErrorKind::InvalidCapability, 1);
    fails(w.invoke(D, Label::Bind, &[X]), ErrorKind::InvalidCapability, 1);
    fails(w.invoke(D, Label::Bind, &[X + 1]), ErrorKind::FailedLookup, 1);
    done(w.mint(X + 1, N, Rights::READ, 0));
    done(w.invoke(D, Label::Bind, &[X + 1]));
    // What is bound is the object: the capability can go.
    done(w.delete(X + 1));
    w.check();
    done(w.invoke(D, Label::Unbind, &[]));
    for label in [Label::Send, Label::Signal, Label::Map, Label::Acknowledge, Label::Carve, Label::Copy] {
        fails(w.invoke(D, label, &[]), ErrorKind::IllegalOperation, 0);
    }
    w.check();
}

#[test]
fn a_domain_ends_with_its_last_capability() {
    let (mut w, d) = world(1);
    w.make(K_CNODE, 2, X);
    done(w.invoke(D, Label::Configure, &[X, 0, E]));
    done(w.invoke(D, Label::Bind, &[N]));
    done(w.invoke(CORE, Label::Carve, &[10, 100, ROOT, X + 1, 64]));
    done(w.invoke(X + 1, Label::Bind, &[D]));
    done(w.copy(X + 2, D, Rights::ALL));
    w.store.fault(d[0]);
    assert_eq!(w.store.domain_state(d[0]), State::Sending);
    done(w.delete(D));
    assert_eq!(w.store.domain_state(d[0]), State::Sending);
    w.check();
    done(w.delete(X + 2));
    assert_eq!(w.store.domain_state(d[0]), State::Inactive);
    assert!(w.store.is_idle(at_of(&w, E)));
    assert!(matches!(w.cap(X + 1), Cap::SchedContext { domain: 0, .. }));
    // Notification and context can serve another, and nothing of it is left in its page.
    w.make(K_DOMAIN, 0, D);
    done(w.invoke(D, Label::Bind, &[N]));
    done(w.invoke(X + 1, Label::Bind, &[D]));
    assert!(!w.store.has_children(w.slot(X)) && !w.store.has_children(w.slot(E)));
    w.check();
}

#[test]
fn a_domain_can_delete_itself() {
    let (mut w, d) = world(1);
    done(w.invoke_as(d[0], ROOT, Label::Delete, &[D, 64]));
    assert_eq!(w.store.domain_state(d[0]), State::Inactive);
    assert_eq!(w.cap(D), Cap::Null);
    // Whoever ran in its name finds nothing any more.
    fails(w.invoke_as(d[0], ROOT, Label::Delete, &[D, 64]), ErrorKind::FailedLookup, 0);
    w.check();
}

#[test]
fn a_wait_that_is_given_up_says_so() {
    let (mut w, d) = world(2);
    w.make(K_NOTIFICATION, 0, X);
    assert_eq!(status(w.invoke_as(d[0], X, Label::Wait, &[])), Some(Status::Blocked));
    assert_eq!(status(w.invoke_as(d[1], E, Label::Send, &[])), Some(Status::Blocked));
    done(w.delete(X));
    done(w.delete(E));
    for at in d {
        assert_eq!(w.store.domain_state(at), State::Running);
        assert_eq!(w.store.domain_result(at).0, Ending::Aborted);
    }
    w.check();
}
