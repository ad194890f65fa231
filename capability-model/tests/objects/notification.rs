//! Notifications: words are gathered, waiters are woken in order.

use super::messages::*;
use crate::common::*;
use capability_model::domain::{Ending, State};
use capability_model::{ErrorKind, Label, Rights, Status};

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
