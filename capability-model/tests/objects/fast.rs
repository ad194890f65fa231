//! The short ways of Call and ReplyRecv against the long ones: on random histories they end in the same memory, or do nothing.

use super::messages::*;
use crate::common::*;
use capability_model::{Label, Rights, Status};

/// Words of a domain that tell how its last wait ended: the short way leaves that to registers.
const RESULTS: [u64; 3] = [9, 10, 11];
const STEPS: usize = 40_000;
const REPLIES: [u64; 3] = [X + 8, X + 9, X + 10];

fn same(a: &World, b: &World, domains: &[u64]) {
    let (mut a, mut b) = (a.clone(), b.clone());
    for at in domains {
        for word in RESULTS {
            a.store.memory.poke(at + word * 8, 0);
            b.store.memory.poke(at + word * 8, 0);
        }
    }
    assert_eq!(a, b);
}

#[test]
fn the_short_way_ends_where_the_long_one_does() {
    let (mut w, mut domains) = world(3);
    domains.push(w.domain);
    done(w.mint(X, E, Rights::WRITE.or(Rights::GRANT_REPLY), 5));
    done(w.mint(X + 1, E, Rights::ALL, 6));
    done(w.mint(X + 2, E, Rights::READ, 0));
    done(w.mint(X + 3, E, Rights::WRITE, 7));
    REPLIES.iter().for_each(|reply| w.make(K_REPLY, 0, *reply));
    done(w.invoke_as(domains[0], DOMAIN, Label::Bind, &[N]));
    // A space and time for each but one: those are met at once.
    w.make(K_SPACE, 0, X + 12);
    for (slot, context) in [DOMAIN, D, D + 1].into_iter().zip(X + 13..) {
        done(w.invoke(slot, Label::Configure, &[0, X + 12, 0]));
        done(w.invoke(CORE, Label::Carve, &[100, 1000, ROOT, context, 64]));
        done(w.invoke(context, Label::Bind, &[slot]));
    }
    let endpoints = [E, X, X + 1, X + 2, X + 3, N, 0, X + 20, 1 << 40, REPLIES[0]];
    let mut random = Random(11);
    let (mut calls, mut replies) = (0, 0);
    for _ in 0..STEPS {
        // Nobody must stay stuck for ever: whoever waits is now and then suspended.
        if random.below(6) == 0 {
            let stuck = random.of(&domains);
            let slot = (0..64).find(|n| w.cap(*n) == capability_model::Cap::Domain { at: stuck }).unwrap();
            done(w.invoke(slot, Label::Suspend, &[]));
            done(w.invoke(slot, Label::Resume, &[]));
        }
        let at = random.of(&domains);
        let (endpoint, reply) = (random.of(&endpoints), random.of(&REPLIES));
        let fits = random.below(8) > 0;
        let mut before = w.clone();
        let running = w.store.domain_state(at) == capability_model::domain::State::Running;
        match random.below(12) {
            _ if !running => {}
            0..=4 => {
                let Some(met) = w.store.call_meets(at, endpoint).filter(|_| fits) else {
                    let _ = w.invoke_as(at, endpoint, Label::Call, &[0]);
                    continue;
                };
                calls += 1;
                w.store.call_met(at, met);
                let outcome = before.invoke_as(at, endpoint, Label::Call, &[0]).unwrap();
                let transfer = outcome.transfers[0].unwrap();
                assert_eq!((transfer.from, transfer.to, transfer.badge), (at, met.peer, met.badge));
                assert_eq!(outcome.status, Status::Blocked);
                same(&w, &before, &domains);
            }
            5..=9 => {
                let Some(met) = w.store.reply_meets(at, endpoint, reply).filter(|_| fits) else {
                    let _ = w.invoke_as(at, endpoint, Label::ReplyRecv, &[reply, 0, 0, 0]);
                    continue;
                };
                replies += 1;
                w.store.reply_met(at, met);
                let outcome = before.invoke_as(at, endpoint, Label::ReplyRecv, &[reply, 0, 0, 0]).unwrap();
                let transfer = outcome.transfers[0].unwrap();
                assert_eq!((transfer.from, transfer.to, transfer.badge), (at, met.peer, 0));
                assert_eq!((outcome.status, outcome.transfers[1]), (Status::Blocked, None));
                same(&w, &before, &domains);
            }
            10 => {
                let _ = w.invoke_as(
                    at,
                    endpoint,
                    random.of(&[Label::Send, Label::NBSend, Label::NBRecv, Label::Signal]),
                    &[0],
                );
            }
            _ => {
                let _ = w.invoke_as(at, E, Label::Recv, &[reply, 0, 0]);
            }
        }
    }
    w.check();
    assert!(calls > 200 && replies > 200, "{calls} {replies}");
}
