//! Replies: a call is answered once, by whoever holds the reply.

use super::messages::*;
use crate::common::*;
use capability_model::domain::{Ending, State};
use capability_model::{ErrorKind, Label, Status};

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
