//! Cores and scheduling contexts.

use super::mapped::*;
use crate::common::*;
use capability_model::cap::Cap;
use capability_model::{ErrorKind, Label, Rights};

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
