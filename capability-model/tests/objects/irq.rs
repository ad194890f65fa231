//! Interrupts.

use super::messages::*;
use crate::common::*;
use capability_model::{ErrorKind, Label, Rights, Status};

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
