//! Endpoints, replies and notifications.

mod common;
use capability_model::cap::Cap;
use capability_model::domain::{Ending, State};
use capability_model::error::Transfer;
use capability_model::{ErrorKind, Label, Rights, Status};
use common::*;

const E: u64 = FREE;
const N: u64 = FREE + 1;
const R: u64 = FREE + 2;
const D: u64 = FREE + 3;
const X: u64 = FREE + 10;

/// An endpoint, a notification, a reply and so many domains besides the first.
fn world(domains: u64) -> (World, Vec<u64>) {
    let mut w = World::new();
    w.make(K_ENDPOINT, 0, E);
    w.make(K_NOTIFICATION, 0, N);
    w.make(K_REPLY, 0, R);
    let all = (0..domains).map(|n| w.domain_in(D + n)).collect();
    (w, all)
}

fn status(answer: Answer) -> Option<Status> {
    answer.ok().map(|outcome| outcome.status)
}

#[test]
fn each_right_is_asked_for() {
    let (mut w, _) = world(0);
    done(w.mint(X, E, Rights::READ, 0));
    done(w.mint(X + 1, E, Rights::WRITE, 0));
    done(w.mint(X + 2, E, Rights::WRITE.or(Rights::GRANT_REPLY), 0));
    done(w.mint(X + 3, N, Rights::READ, 0));
    done(w.mint(X + 4, N, Rights::WRITE, 0));
    fails(w.invoke(X, Label::Send, &[]), ErrorKind::InvalidCapability, 0);
    fails(w.invoke(X + 1, Label::Recv, &[0, 0, 0]), ErrorKind::InvalidCapability, 0);
    fails(w.invoke(X + 1, Label::Call, &[]), ErrorKind::InvalidCapability, 0);
    fails(w.invoke(X + 2, Label::NBSend, &[E]), ErrorKind::InvalidCapability, 1);
    assert_eq!(status(w.invoke(X + 2, Label::NBSend, &[])), Some(Status::Done));
    fails(w.invoke(X + 3, Label::Signal, &[]), ErrorKind::InvalidCapability, 0);
    fails(w.invoke(X + 4, Label::Poll, &[]), ErrorKind::InvalidCapability, 0);
    w.check();
}

#[test]
fn senders_are_met_in_order_with_their_badges() {
    let (mut w, d) = world(3);
    for (i, at) in d.iter().enumerate() {
        let badged = X + i as u64;
        done(w.mint(badged, E, Rights::ALL, 10 + i as u64));
        assert_eq!(status(w.invoke_as(*at, badged, Label::Send, &[])), Some(Status::Blocked));
        w.check();
    }
    for (i, at) in d.iter().enumerate() {
        let badge = 10 + i as u64;
        let outcome = w.invoke(E, Label::Recv, &[0, 0, 0]).unwrap();
        assert_eq!(outcome.status, Status::Word(badge));
        assert_eq!(outcome.transfers[0], Some(Transfer { from: *at, to: w.domain, badge }));
        assert_eq!(w.store.domain_state(*at), State::Running);
        w.check();
    }
    assert_eq!(status(w.invoke(E, Label::NBRecv, &[0, 0, 0])), Some(Status::Word(0)));
}

#[test]
fn call_and_reply() {
    let (mut w, d) = world(1);
    assert_eq!(status(w.invoke_as(d[0], E, Label::Recv, &[R, 0, 0])), Some(Status::Blocked));
    // The reply is in use now.
    fails(w.invoke(E, Label::Recv, &[R, 0, 0]), ErrorKind::IllegalOperation, 1);
    assert_eq!(status(w.invoke(E, Label::Call, &[])), Some(Status::Blocked));
    assert_eq!(w.store.domain_state(w.domain), State::Replying);
    w.check();
    let outcome = w.invoke_as(d[0], E, Label::ReplyRecv, &[R, 0, 0, 0]).unwrap();
    assert_eq!(outcome.status, Status::Blocked);
    assert_eq!(outcome.transfers[0].map(|t| t.to), Some(w.domain));
    assert_eq!(w.store.domain_state(w.domain), State::Running);
    w.check();
    // The other way about: the caller comes first.
    let (mut w, d) = world(1);
    assert_eq!(status(w.invoke_as(d[0], E, Label::Call, &[])), Some(Status::Blocked));
    assert_eq!(status(w.invoke(E, Label::Recv, &[R, 0, 0])), Some(Status::Word(0)));
    assert_eq!(w.store.domain_state(d[0]), State::Replying);
    w.check();
    // With the reply object goes the hope of an answer.
    done(w.delete(R));
    assert_eq!(w.store.domain_state(d[0]), State::Running);
    assert_eq!(w.store.domain_result(d[0]).0, Ending::Aborted);
    w.check();
}

#[test]
fn a_capability_goes_along_with_grant_only() {
    let (mut w, d) = world(1);
    assert_eq!(status(w.invoke_as(d[0], E, Label::Recv, &[0, X, 64])), Some(Status::Blocked));
    done(w.invoke(E, Label::Send, &[N]));
    assert_eq!(w.store.domain_result(d[0]), (Ending::Fine, 0, true));
    assert!(matches!(w.cap(X), Cap::Notification { .. }));
    w.check();
    // The receiver's slot is taken: the message goes without.
    assert_eq!(status(w.invoke_as(d[0], E, Label::Recv, &[0, X, 64])), Some(Status::Blocked));
    done(w.invoke(E, Label::Send, &[N]));
    assert_eq!(w.store.domain_result(d[0]), (Ending::Fine, 0, false));
    done(w.revoke(N));
    assert_eq!(w.cap(X), Cap::Null);
    w.check();
}

#[test]
fn only_senders_with_the_badge_are_cancelled_in_steps() {
    let (mut w, d) = world(2);
    done(w.retype(K_DOMAIN, 0, 24, 40));
    done(w.mint(X + 1, E, Rights::ALL, 1));
    done(w.mint(X + 2, E, Rights::ALL, 2));
    fails(w.invoke(ROOT, Label::CancelBadgedSends, &[E, 64]), ErrorKind::IllegalOperation, 1);
    let mut all = d.clone();
    for n in 24..64 {
        done(w.invoke(n, Label::Configure, &[ROOT, 0, 0]));
        done(w.invoke(n, Label::Resume, &[]));
        let Cap::Domain { at } = w.cap(n) else { panic!("no domain") };
        all.push(at);
    }
    for (i, at) in all.iter().enumerate() {
        let badged = X + 1 + (i as u64 & 1);
        assert_eq!(status(w.invoke_as(*at, badged, Label::Send, &[])), Some(Status::Blocked));
    }
    let first = w.invoke(ROOT, Label::CancelBadgedSends, &[X + 1, 64]);
    assert_eq!(status(first), Some(Status::Again));
    // In between, the sender where the cancellation stands and the last one leave.
    for i in [32, 33, 41] {
        done(w.invoke(24 + i - 2, Label::Suspend, &[]));
        w.check();
    }
    done(w.run(ROOT, Label::CancelBadgedSends, &[X + 1, 64]));
    for (i, at) in all.iter().enumerate() {
        let expected = match i {
            32 | 33 | 41 => State::Inactive,
            i if i & 1 == 0 => State::Running,
            _ => State::Sending,
        };
        assert_eq!(w.store.domain_state(*at), expected, "{i}");
    }
    w.check();
    // The endpoint goes, in steps; all are woken.
    done(w.revoke(E));
    done(w.delete(E));
    assert!(all.iter().all(|at| w.store.domain_state(*at) != State::Sending));
    w.check();
}

#[test]
fn signals() {
    let (mut w, d) = world(2);
    done(w.mint(X, N, Rights::ALL, 1));
    done(w.mint(X + 1, N, Rights::ALL, 2));
    done(w.invoke(X, Label::Signal, &[]));
    done(w.invoke(X + 1, Label::Signal, &[]));
    assert_eq!(status(w.invoke(N, Label::Poll, &[])), Some(Status::Word(3)));
    assert_eq!(status(w.invoke(N, Label::Poll, &[])), Some(Status::Word(0)));
    for at in &d {
        assert_eq!(status(w.invoke_as(*at, N, Label::Wait, &[])), Some(Status::Blocked));
    }
    w.check();
    done(w.invoke(X, Label::Signal, &[]));
    assert_eq!(w.store.domain_state(d[0]), State::Running);
    assert_eq!(w.store.domain_result(d[0]).1, 1);
    done(w.revoke(N));
    done(w.delete(N));
    assert_eq!(w.store.domain_result(d[1]).0, Ending::Aborted);
    w.check();
}

#[test]
fn a_bound_notification_reaches_a_receiver() {
    let (mut w, d) = world(2);
    done(w.mint(X, N, Rights::ALL, 4));
    done(w.invoke(D, Label::Bind, &[N]));
    fails(w.invoke(D, Label::Bind, &[N]), ErrorKind::IllegalOperation, 0);
    fails(w.invoke(D + 1, Label::Bind, &[N]), ErrorKind::IllegalOperation, 1);
    w.check();
    assert_eq!(status(w.invoke_as(d[0], E, Label::Recv, &[R, 0, 0])), Some(Status::Blocked));
    done(w.invoke(X, Label::Signal, &[]));
    assert_eq!(w.store.domain_result(d[0]), (Ending::Fine, 4, false));
    w.check();
    done(w.invoke(X, Label::Signal, &[]));
    assert_eq!(status(w.invoke_as(d[0], E, Label::Recv, &[R, 0, 0])), Some(Status::Word(4)));
    done(w.invoke(D, Label::Unbind, &[]));
    w.check();
    done(w.invoke(D, Label::Bind, &[N]));
    done(w.delete(D));
    w.check();
}

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
fn an_interrupt_signals_what_is_bound() {
    let (mut w, _) = world(0);
    done(w.mint(X, N, Rights::ALL, 8));
    assert!(!w.store.interrupt(42) && !w.store.interrupt(9999));
    done(w.invoke(IRQ, Label::Bind, &[X]));
    fails(w.invoke(IRQ, Label::Bind, &[X]), ErrorKind::DeleteFirst, 0);
    assert!(w.store.interrupt(42));
    assert_eq!(status(w.invoke(N, Label::Poll, &[])), Some(Status::Word(8)));
    w.check();
    done(w.revoke(N));
    assert!(!w.store.interrupt(42));
    w.check();
}
