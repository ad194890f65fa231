//! Cores and scheduling contexts.

use super::mapped::*;
use crate::common::*;
use capability_model::cap::Cap;
use capability_model::domain::State;
use capability_model::lease::About;
use capability_model::{Error, ErrorKind, Label, Rights, Status};

#[test]
fn shares_of_a_core_are_at_most_the_core() {
    let mut w = World::new();
    let carve = |w: &mut World, budget: u64, period: u64, slot: u64| {
        w.invoke(CORE, Label::Carve, &[budget, period, ROOT, slot, 64])
    };
    fails(carve(&mut w, 11, 10, F), ErrorKind::RangeError, 1);
    fails(carve(&mut w, 1, 0, F), ErrorKind::RangeError, 2);
    fails(carve(&mut w, 1, 1 << 41, F), ErrorKind::RangeError, 2);
    done(carve(&mut w, 5, 10, F));
    done(carve(&mut w, 1, 2, X));
    fails(carve(&mut w, 1, 1 << 40, X + 1), ErrorKind::NotEnoughMemory, 0);
    fails(w.copy(X + 1, X, Rights::ALL), ErrorKind::IllegalOperation, 4);
    fails(w.invoke(X, Label::Configure, &[2, 3]), ErrorKind::RangeError, 1);
    done(w.invoke(X, Label::Configure, &[1, 4]));
    done(carve(&mut w, 1, 4, X + 1));
    w.check();
    // A domain runs on one context; moving the context keeps that, deleting it ends it.
    let at = w.domain_in(X + 2);
    done(w.invoke(X, Label::Bind, &[X + 2]));
    fails(w.invoke(X, Label::Bind, &[DOMAIN]), ErrorKind::IllegalOperation, 0);
    fails(w.invoke(F, Label::Bind, &[X + 2]), ErrorKind::IllegalOperation, 1);
    done(w.move_to(X + 3, X));
    w.check();
    // One that runs nobody moves, too.
    done(w.move_to(X + 4, F));
    done(w.move_to(F, X + 4));
    done(w.invoke(X + 3, Label::Unbind, &[]));
    done(w.invoke(X + 3, Label::Bind, &[X + 2]));
    done(w.delete(X + 2));
    w.check();
    assert!(matches!(w.cap(X + 3), Cap::SchedContext { domain: 0, .. }));
    done(w.revoke(CORE));
    assert_eq!(w.store.utilisation(), 0);
    w.check();
    let _ = at;
}

/// Core 0 holds core 1, where its agent is the first domain.
fn remote() -> Vec<World> {
    let mut all = cores(2);
    let (slot, agent) = (all[0].slot(OTHER_CORE), all[1].domain);
    assert!(all[0].store.install(slot, Cap::Core { number: 1 }));
    all[1].store.serve(0, agent);
    all
}

fn ask(all: &mut [World], words: &[u64]) -> Result<Status, Error> {
    let answer = all[0].invoke(OTHER_CORE, Label::Remote, words);
    assert_eq!(answer.map(|o| o.status), Ok(Status::InProgress));
    let early = all[0].invoke(OTHER_CORE, Label::Inspect, &[]);
    assert_eq!(early.map(|o| o.status), Ok(Status::InProgress));
    fails(all[0].invoke(OTHER_CORE, Label::Remote, words), ErrorKind::IllegalOperation, 0);
    settle(all);
    all[0].invoke(OTHER_CORE, Label::Inspect, &[]).map(|o| o.status)
}

#[test]
fn the_holder_of_a_core_acts_there() {
    let mut all = remote();
    fails(all[0].invoke(OTHER_CORE, Label::Inspect, &[]), ErrorKind::IllegalOperation, 0);
    all[0].make(K_NOTIFICATION, 0, F);
    done(all[0].mint(X, F, Rights::ALL, 4));
    done(all[0].invoke(OTHER_CORE, Label::Bind, &[X]));
    fails(all[0].invoke(OTHER_CORE, Label::Bind, &[X]), ErrorKind::DeleteFirst, 0);
    // A partition is built: memory divided, time carved, a domain configured.
    let frames = [UNTYPED, Label::Retype as u64, K_FRAME, 0, ROOT, 0, 0, FREE, 12];
    assert_eq!(ask(&mut all, &frames), Ok(Status::Done));
    assert!(matches!(all[1].cap(FREE + 11), Cap::Frame { .. }));
    assert_eq!(all[0].invoke(F, Label::Poll, &[]).map(|o| o.status), Ok(Status::Word(4)));
    assert_eq!(ask(&mut all, &[CORE, Label::Carve as u64, 1, 2, ROOT, 30, 64]), Ok(Status::Done));
    assert_eq!(all[1].store.utilisation(), 1 << 19);
    // An error there is the error here, with the argument that it blames.
    assert_eq!(ask(&mut all, &frames), Err(ErrorKind::DeleteFirst.of(6)));
    assert_eq!(ask(&mut all, &[33, Label::Retype as u64]), Err(ErrorKind::FailedLookup.of(0)));
    let wrong = [UNTYPED, Label::Retype as u64, K_FRAME, 0, ROOT, 0, 0, 31, 99];
    assert_eq!(ask(&mut all, &wrong), Err(ErrorKind::RangeError.of(7)));
    // Long work goes in steps there; one answer comes.
    assert_eq!(ask(&mut all, &[ROOT, Label::Revoke as u64, UNTYPED, 64]), Ok(Status::Done));
    assert_eq!(all[1].cap(FREE), Cap::Null);
    done(all[0].invoke(OTHER_CORE, Label::Unbind, &[]));
    done(all[0].invoke(OTHER_CORE, Label::Bind, &[X]));
    done(all[0].revoke(F));
    done(all[0].invoke(OTHER_CORE, Label::Unbind, &[]));
}

#[test]
fn a_request_never_waits_and_is_only_for_another_core() {
    let mut all = remote();
    for label in [
        Label::Send,
        Label::NBSend,
        Label::Call,
        Label::Recv,
        Label::NBRecv,
        Label::ReplyRecv,
        Label::Wait,
        Label::Rotate,
        Label::Remote,
    ] {
        let answer = all[0].invoke(OTHER_CORE, Label::Remote, &[FREE, label as u64]);
        fails(answer, ErrorKind::InvalidArgument, 2);
    }
    fails(all[0].invoke(OTHER_CORE, Label::Remote, &[FREE, 99]), ErrorKind::InvalidArgument, 2);
    for label in [Label::Remote, Label::Bind, Label::Unbind, Label::Inspect] {
        fails(all[0].invoke(CORE, label, &[ROOT, Label::Delete as u64]), ErrorKind::IllegalOperation, 0);
    }
    fails(all[0].invoke(OTHER_CORE, Label::Bind, &[ROOT]), ErrorKind::InvalidCapability, 1);
    // What the other instance should have refused is refused here, too.
    let words = [FREE, Label::Recv as u64, 0, 0, 0, 0, 0, 0, 0, 0];
    all[1].make(K_ENDPOINT, 0, FREE);
    all[1].store.receive_message(0, tell(About::Request, 0, 1, &words));
    settle(&mut all);
    assert_eq!(all[1].store.domain_state(all[1].domain), State::Running);
    // Time is carved where the core is.
    fails(all[0].invoke(OTHER_CORE, Label::Carve, &[1, 2, ROOT, F, 64]), ErrorKind::InvalidCapability, 0);
}

#[test]
fn doubled_and_late_mail_does_nothing() {
    let mut all = remote();
    let make = |slot| [UNTYPED, Label::Retype as u64, K_FRAME, 0, ROOT, 0, 0, slot, 1];
    all[0].invoke(OTHER_CORE, Label::Remote, &make(FREE)).expect("asked");
    let request = all[0].store.take_message(1).expect("a request");
    all[1].store.receive_message(0, request);
    all[1].store.receive_message(0, request);
    assert!(all[1].store.work());
    let answer = all[1].store.take_message(0).expect("an answer");
    all[0].store.receive_message(1, answer);
    assert!(!all[0].store.awaits(1));
    let delete = [ROOT, Label::Delete as u64, FREE, 64];
    assert_eq!(ask(&mut all, &delete), Ok(Status::Done));
    all[1].store.receive_message(0, request);
    settle(&mut all);
    assert_eq!(all[1].cap(FREE), Cap::Null);
    // An old answer is not the next one's.
    all[0].invoke(OTHER_CORE, Label::Remote, &make(FREE)).expect("asked");
    all[0].store.receive_message(1, answer);
    assert!(all[0].store.awaits(1));
    settle(&mut all);
    assert!(matches!(all[1].cap(FREE), Cap::Frame { .. }));
}

#[test]
fn with_its_agent_goes_what_requests_can_do() {
    let mut all = remote();
    let agent = all[1].domain_in(FREE);
    all[1].store.serve(0, agent);
    assert_eq!(
        ask(&mut all, &[ROOT, Label::Copy as u64, 30, 64, ROOT, UNTYPED + 1, 64, 15]),
        Ok(Status::Done)
    );
    // It deletes itself.
    assert_eq!(ask(&mut all, &[ROOT, Label::Delete as u64, FREE, 64]), Ok(Status::Done));
    let delete = [ROOT, Label::Delete as u64, 30, 64];
    assert_eq!(ask(&mut all, &delete), Err(ErrorKind::InvalidCapability.of(0)));
    assert!(all[1].cap(30) != Cap::Null);
}
