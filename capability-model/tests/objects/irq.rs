//! Interrupts: bound to a notification, signalled with its badge, acknowledged, and unbound with the last capability of either.
//!
//! As seL4's IRQ handlers, but a second Bind is an error rather than a replacement.

use super::messages::*;
use crate::common::*;
use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::{ErrorKind, Label, Rights, Status};

const NUMBER: u16 = 42;

fn bits(w: &mut World) -> Option<Status> {
    status(w.invoke(N, Label::Poll, &[]))
}

#[test]
fn an_interrupt_signals_what_is_bound() {
    let (mut w, _) = world(0);
    done(w.mint(X, N, Rights::ALL, 8));
    assert!(!w.store.interrupt(NUMBER) && !w.store.interrupt(9999));
    done(w.invoke(IRQ, Label::Bind, &[X]));
    fails(w.invoke(IRQ, Label::Bind, &[X]), ErrorKind::DeleteFirst, 0);
    assert!(w.store.interrupt(NUMBER));
    assert_eq!(bits(&mut w), Some(Status::Word(8)));
    w.check();
    done(w.revoke(N));
    assert!(!w.store.interrupt(NUMBER));
    w.check();
}

#[test]
fn numbers_beyond_the_last_are_nobodys() {
    let (mut w, _) = world(0);
    done(w.invoke(IRQ, Label::Bind, &[N]));
    assert!(w.store.interrupt(NUMBER));
    // Their slots would be those of others.
    assert!(!w.store.interrupt(NUMBER + 256) && !w.store.interrupt(NUMBER + 1));
    w.check();
}

#[test]
fn bind_wants_a_notification_that_can_be_signalled() {
    let (mut w, _) = world(0);
    done(w.mint(X, N, Rights::READ, 1));
    let before = w.store.memory.digest();
    fails(w.invoke(IRQ, Label::Bind, &[X]), ErrorKind::InvalidCapability, 1);
    fails(w.invoke(IRQ, Label::Bind, &[E]), ErrorKind::InvalidCapability, 1);
    fails(w.invoke(IRQ, Label::Bind, &[IRQ]), ErrorKind::InvalidCapability, 1);
    fails(w.invoke(IRQ, Label::Bind, &[X + 1]), ErrorKind::FailedLookup, 1);
    for label in [Label::Signal, Label::Wait, Label::Send, Label::Configure, Label::Retype] {
        fails(w.invoke(IRQ, label, &[]), ErrorKind::IllegalOperation, 0);
    }
    assert_eq!(w.store.memory.digest(), before);
    done(w.mint(X + 1, N, Rights::WRITE, 2));
    done(w.invoke(IRQ, Label::Bind, &[X + 1]));
    assert!(w.store.interrupt(NUMBER));
    assert_eq!(bits(&mut w), Some(Status::Word(2)));
    w.check();
}

#[test]
fn what_was_unbound_is_signalled_no_more_and_can_be_bound_again() {
    let (mut w, _) = world(0);
    done(w.mint(X, N, Rights::ALL, 1));
    done(w.mint(X + 1, N, Rights::ALL, 2));
    // To unbind what is not bound is no error, as in seL4.
    done(w.invoke(IRQ, Label::Unbind, &[]));
    done(w.invoke(IRQ, Label::Bind, &[X]));
    done(w.invoke(IRQ, Label::Unbind, &[]));
    assert!(!w.store.interrupt(NUMBER));
    assert_eq!(bits(&mut w), Some(Status::Word(0)));
    done(w.invoke(IRQ, Label::Bind, &[X + 1]));
    assert!(w.store.interrupt(NUMBER) && w.store.interrupt(NUMBER));
    assert_eq!(bits(&mut w), Some(Status::Word(2)));
    w.check();
}

#[test]
fn an_interrupt_wakes_one_who_waits() {
    let (mut w, d) = world(2);
    done(w.mint(X, N, Rights::ALL, 4));
    done(w.invoke(IRQ, Label::Bind, &[X]));
    for at in &d {
        assert_eq!(status(w.invoke_as(*at, N, Label::Wait, &[])), Some(Status::Blocked));
    }
    assert!(w.store.interrupt(NUMBER));
    let states = [0, 1].map(|i| w.store.domain_state(d[i]));
    assert_eq!(states, [State::Running, State::Waiting]);
    assert_eq!(w.store.domain_result(d[0]).1, 4);
    w.check();
}

#[test]
fn acknowledge_lets_it_come_again() {
    let (mut w, _) = world(0);
    // Whoever holds the interrupt may, bound or not.
    done(w.invoke(IRQ, Label::Acknowledge, &[]));
    done(w.invoke(IRQ, Label::Bind, &[N]));
    assert_eq!(w.store.memory.unmasked, [NUMBER]);
    assert!(w.store.interrupt(NUMBER));
    // A signal alone does not.
    assert_eq!(w.store.memory.unmasked, [NUMBER]);
    done(w.copy(X, IRQ, Rights::ALL));
    done(w.invoke(X, Label::Acknowledge, &[]));
    assert_eq!(w.store.memory.unmasked, [NUMBER; 2]);
}

#[test]
fn the_bond_ends_with_the_last_capability_of_the_interrupt() {
    let (mut w, _) = world(0);
    done(w.copy(X, IRQ, Rights::ALL));
    done(w.invoke(X, Label::Bind, &[N]));
    // Another capability of it is another of the same: one binds, the other unbinds.
    fails(w.invoke(IRQ, Label::Bind, &[N]), ErrorKind::DeleteFirst, 0);
    done(w.delete(X));
    assert!(w.store.interrupt(NUMBER));
    assert!(w.store.has_children(w.slot(N)));
    done(w.delete(IRQ));
    assert!(!w.store.interrupt(NUMBER));
    assert!(!w.store.has_children(w.slot(N)));
    w.check();
}

#[test]
fn the_notification_lives_as_long_as_the_interrupt_is_bound_to_it() {
    let (mut w, _) = world(0);
    done(w.mint(X, N, Rights::ALL, 16));
    done(w.invoke(IRQ, Label::Bind, &[X]));
    // The bond is a capability of its own: it goes with Revoke of what it was made of, not with Delete.
    done(w.delete(X));
    assert!(w.store.interrupt(NUMBER));
    assert_eq!(bits(&mut w), Some(Status::Word(16)));
    done(w.delete(N));
    assert!(w.store.interrupt(NUMBER));
    w.check();
    assert!(w.store.has_children(w.slot(UNTYPED)));
    done(w.invoke(IRQ, Label::Unbind, &[]));
    assert_eq!(w.cap(IRQ), Cap::Irq { number: NUMBER });
    w.check();
}
