//! Endpoints: rights, order, badges, grants, cancellation.

use super::messages::*;
use crate::common::*;
use capability_model::cap::Cap;
use capability_model::domain::{Ending, State};
use capability_model::error::Transfer;
use capability_model::{ErrorKind, Label, Rights, Status};

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
