//! The derivation tree: who stands above whom.

use crate::common::*;
use capability_model::Rights;
use capability_model::cap::Cap;
use capability_model::memory::PAGE;
use capability_model::view::{Node, is_parent, same_region};

const A: u64 = FREE;

fn untyped(page: u64, pages: u64) -> Cap {
    Cap::Untyped { base: page * PAGE, size: pages * PAGE, free: 0, clean: 0, device: false }
}

fn endpoint(badge: u64, origin: u64, first_badged: bool, revocable: bool) -> Node {
    let cap = Cap::Endpoint { at: PAGE, badge, rights: Rights::ALL };
    Node { cap, previous: 0, next: 0, revocable, first_badged, origin }
}

#[test]
fn memory_is_above_what_lies_in_it_whole() {
    let parent = untyped(16, 4);
    for (page, pages, within) in [
        (16, 4, true),
        (16, 1, true),
        (19, 1, true),
        (15, 1, false),
        (15, 5, false),
        (19, 2, false),
        (20, 1, false),
    ] {
        assert_eq!(same_region(&parent, &untyped(page, pages)), within, "{page} {pages}");
    }
    assert!(!same_region(&Cap::Reply { at: 16 * PAGE }, &parent));
    assert!(!same_region(&parent, &Cap::Core { number: 0 }));
    let context = Cap::SchedContext { budget_us: 1, period_us: 2, domain: 0 };
    assert!(same_region(&Cap::Core { number: 0 }, &context) && !same_region(&context, &context));
}

#[test]
fn a_badge_is_above_its_own_copies_only() {
    let original = endpoint(0, 0, true, true);
    let seven = endpoint(7, 1, true, true);
    for (parent, child, above) in [
        (original, seven, true),
        (original, endpoint(7, 1, false, false), true),
        (seven, endpoint(7, 1, false, false), true),
        // Another beginning of the same badge, and a copy of it.
        (seven, endpoint(7, 2, true, true), false),
        (seven, endpoint(7, 2, false, false), false),
        (seven, endpoint(0, 0, false, false), false),
        (endpoint(7, 1, false, false), endpoint(7, 1, false, false), false),
    ] {
        assert_eq!(is_parent(&parent, &child), above, "{parent:?} {child:?}");
    }
}

#[test]
fn what_is_left_of_a_family_does_not_join_another() {
    let mut w = World::new();
    w.make(K_ENDPOINT, 0, A);
    // List: A, second beginning of badge 1, first beginning, its copy.
    done(w.mint(A + 1, A, Rights::ALL, 1));
    done(w.copy(A + 2, A + 1, Rights::ALL));
    done(w.mint(A + 3, A, Rights::ALL, 1));
    done(w.delete(A + 1));
    done(w.revoke(A + 3));
    assert!(w.cap(A + 2) != Cap::Null, "the copy of another beginning went");
    done(w.revoke(A));
    assert_eq!((w.cap(A + 2), w.cap(A + 3)), (Cap::Null, Cap::Null));
    w.check();
}

#[test]
fn neighbours_and_strangers_change_places() {
    let mut w = World::new();
    for n in 0..5 {
        w.make(K_ENDPOINT, 0, A + n);
    }
    // Neighbours in either order, and two with others between them; guards change on the way.
    for (a, b) in [(A, A + 1), (A + 1, A), (A, A + 4), (A + 2, A + 3), (A + 4, A)] {
        let caps = (w.cap(a), w.cap(b));
        done(w.rotate(a, b, a));
        assert_eq!((w.cap(b), w.cap(a)), caps);
        w.check();
    }
    w.make(K_CNODE, 2, A + 6);
    w.make(K_CNODE, 2, A + 7);
    let guard = |bits: u64, value: u64| bits << capability_model::GUARD_BITS_SHIFT | value;
    let label = capability_model::Label::Rotate;
    let args = [A + 6, 64, ROOT, A + 7, 64, guard(2, 1), ROOT, A + 6, 64, guard(3, 5)];
    done(w.invoke(ROOT, label, &args));
    assert!(matches!(w.cap(A + 6), Cap::CNode { guard: 1, guard_bits: 2, .. }));
    assert!(matches!(w.cap(A + 7), Cap::CNode { guard: 5, guard_bits: 3, .. }));
    done(w.revoke(UNTYPED));
    assert!(!w.store.has_children(w.slot(UNTYPED)));
    w.check();
}
