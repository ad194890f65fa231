//! Domains: faults.

use super::messages::*;
use crate::common::*;
use capability_model::domain::State;
use capability_model::{Label, Rights, Status};

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
