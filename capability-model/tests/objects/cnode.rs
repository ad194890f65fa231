//! CNodes: what sel4test asserts of CNode operations and of lookups, and where this model differs on purpose.

use crate::common::*;
use capability_model::cap::Cap;
use capability_model::{ErrorKind, GUARD_BITS_SHIFT, Label, Rights, Status};

const A: u64 = FREE;
const B: u64 = FREE + 1;
const C: u64 = FREE + 2;

fn world() -> World {
    let mut world = World::new();
    world.make(K_ENDPOINT, 0, A);
    world
}

#[test]
fn copy_and_mint_blame_the_destination_first() {
    let mut w = world();
    // Both wrong: the destination is occupied, the source empty.
    fails(w.copy(A, B, Rights::ALL), ErrorKind::DeleteFirst, 1);
    fails(w.mint(A, B, Rights::ALL, 0), ErrorKind::DeleteFirst, 1);
    fails(w.copy(C, B, Rights::ALL), ErrorKind::FailedLookup, 4);
    done(w.copy(B, A, Rights::READ));
    assert_eq!(w.cap(B).rights(), Rights::READ);
    // Rights do not come back.
    done(w.copy(C, B, Rights::ALL));
    assert_eq!(w.cap(C).rights(), Rights::READ);
    w.check();
}

#[test]
fn a_badge_is_given_once() {
    let mut w = world();
    done(w.mint(B, A, Rights::ALL, 7));
    assert_eq!(w.cap(B).badge(), Some(7));
    fails(w.mint(C, B, Rights::ALL, 8), ErrorKind::IllegalOperation, 7);
    fails(w.mint(C, B, Rights::ALL, 7), ErrorKind::IllegalOperation, 7);
    done(w.copy(C, B, Rights::ALL));
    assert_eq!(w.cap(C).badge(), Some(7));
    // A badge given to a capability that keeps its place in the tree would begin below its own copies.
    fails(w.mutate(FREE + 3, A, 9), ErrorKind::IllegalOperation, 6);
    w.check();
}

#[test]
fn move_and_mutate_empty_the_source_and_a_failure_changes_nothing() {
    let mut w = world();
    let before = w.clone();
    fails(w.move_to(A, B), ErrorKind::DeleteFirst, 1);
    fails(w.move_to(C, B), ErrorKind::FailedLookup, 4);
    fails(w.mutate(ROOT, A, 0), ErrorKind::DeleteFirst, 1);
    assert!(w == before);
    done(w.move_to(B, A));
    assert_eq!(w.cap(A), Cap::Null);
    done(w.mutate(A, B, 0));
    assert_eq!(w.cap(B), Cap::Null);
    // What was moved is still the original.
    done(w.copy(B, A, Rights::ALL));
    done(w.revoke(A));
    assert_eq!(w.cap(B), Cap::Null);
    w.check();
}

#[test]
fn rotate() {
    let mut w = world();
    w.make(K_NOTIFICATION, 0, B);
    let (a, b) = (w.cap(A), w.cap(B));
    fails(w.rotate(C, A, A), ErrorKind::IllegalOperation, 4);
    fails(w.rotate(A, A, B), ErrorKind::IllegalOperation, 4);
    fails(w.rotate(UNTYPED, B, A), ErrorKind::DeleteFirst, 1);
    fails(w.rotate(C, FREE + 3, A), ErrorKind::FailedLookup, 4);
    // pivot to destination, source to pivot
    done(w.rotate(C, B, A));
    assert_eq!((w.cap(A), w.cap(B), w.cap(C)), (Cap::Null, a, b));
    w.check();
    // destination and source the same: exchanged, also when they are neighbours in the tree
    done(w.rotate(B, C, B));
    assert_eq!((w.cap(B), w.cap(C)), (b, a));
    w.check();
    done(w.copy(A, C, Rights::ALL));
    done(w.rotate(A, C, A));
    w.check();
    done(w.revoke(A));
    assert_eq!(w.cap(C), Cap::Null);
}

#[test]
fn delete_of_nothing_succeeds_and_nobody_but_the_slot_goes() {
    let mut w = world();
    done(w.delete(B));
    done(w.copy(B, A, Rights::ALL));
    done(w.delete(A));
    assert_eq!((w.cap(A), w.cap(B).badge()), (Cap::Null, Some(0)));
    done(w.delete(B));
    w.check();
    assert!(!w.store.has_children(w.slot(UNTYPED)));
}

#[test]
fn revoke_leaves_the_target_and_a_copy_cannot_revoke() {
    let mut w = world();
    done(w.revoke(B));
    done(w.copy(B, A, Rights::ALL));
    done(w.copy(C, B, Rights::ALL));
    done(w.revoke(B));
    assert!(w.cap(A) != Cap::Null && w.cap(C) != Cap::Null);
    done(w.revoke(A));
    assert_eq!((w.cap(B), w.cap(C)), (Cap::Null, Cap::Null));
    assert!(w.cap(A) != Cap::Null);
    w.check();
}

#[test]
fn a_badged_capability_revokes_its_badge_only() {
    let mut w = world();
    done(w.mint(B, A, Rights::ALL, 1));
    done(w.mint(C, A, Rights::ALL, 2));
    done(w.mint(FREE + 3, A, Rights::ALL, 1));
    done(w.copy(FREE + 4, B, Rights::ALL));
    done(w.revoke(B));
    w.check();
    assert_eq!(w.cap(FREE + 4), Cap::Null);
    // Another beginning of the same badge is not below this one.
    assert!(w.cap(FREE + 3) != Cap::Null && w.cap(C) != Cap::Null && w.cap(B) != Cap::Null);
}

#[test]
fn sixty_four_one_bit_cnodes_only_the_exact_path_resolves() {
    let mut w = World::new();
    // A chain of 58 in the last slot of the root, of one bit each: 6 + 58 = 64 bits.
    let mut path = 0u64;
    let nodes: Vec<u64> = (0..58).map(|i| i % 2).collect();
    w.make(K_CNODE, 1, FREE);
    // Build from the end: node i holds node i + 1 in the slot that its bit names.
    for bit in nodes.iter().take(57) {
        w.make(K_CNODE, 1, FREE + 1);
        done(w.invoke(FREE + 1, Label::Move, &[*bit, 1, ROOT, FREE, 64]));
        done(w.move_to(FREE, FREE + 1));
    }
    for bit in nodes.iter().take(57).rev() {
        path = path << 1 | bit;
    }
    // The chain is reached from a CNode capability without a guard.
    let (free, last) = (FREE, path << 1);
    done(w.invoke(free, Label::Copy, &[last, 58, ROOT, IRQ, 64, 15]));
    for wrong in 0..58 {
        let other = (last ^ 1 << wrong) & ((1 << 58) - 1);
        let answer = w.invoke(free, Label::Delete, &[other, 58]);
        match wrong {
            0 => done(answer),
            _ => fails(answer, ErrorKind::FailedLookup, 1),
        }
    }
    fails(w.invoke(free, Label::Copy, &[last, 58, ROOT, IRQ, 64, 15]), ErrorKind::DeleteFirst, 1);
    w.check();
}

#[test]
fn guards_must_match_and_fit() {
    let mut w = World::new();
    w.make(K_CNODE, 2, A);
    let guard = |bits: u64, value: u64| bits << GUARD_BITS_SHIFT | value;
    fails(w.mint(B, A, Rights::ALL, guard(63, 0)), ErrorKind::RangeError, 7);
    fails(w.mint(B, A, Rights::ALL, guard(3, 8)), ErrorKind::InvalidArgument, 7);
    done(w.mint(B, A, Rights::ALL, guard(3, 5)));
    done(w.invoke(B, Label::Copy, &[5 << 2 | 1, 5, ROOT, IRQ, 64, 15]));
    fails(w.invoke(B, Label::Delete, &[4 << 2 | 1, 5]), ErrorKind::FailedLookup, 1);
    fails(w.invoke(B, Label::Delete, &[5 << 2 | 1, 4]), ErrorKind::FailedLookup, 1);
    fails(w.invoke(B, Label::Delete, &[5 << 2 | 1, 0]), ErrorKind::RangeError, 2);
    fails(w.invoke(B, Label::Delete, &[5 << 2 | 1, 65]), ErrorKind::RangeError, 2);
    // Unlike a badge, a guard may be changed again.
    done(w.mutate(C, B, guard(1, 1)));
    done(w.invoke(C, Label::Delete, &[1 << 2 | 1, 3]));
    w.check();
}

#[test]
fn deleting_a_cnode_empties_it_in_steps_with_cycles_and_nesting() {
    let mut w = World::new();
    w.make(K_CNODE, 8, A);
    w.make(K_CNODE, 8, B);
    // Each holds the other's original and itself.
    done(w.invoke(A, Label::Copy, &[3, 8, ROOT, A, 64, 15]));
    done(w.invoke(B, Label::Copy, &[5, 8, ROOT, A, 64, 15]));
    done(w.invoke(A, Label::Move, &[7, 8, ROOT, B, 64]));
    w.check();
    assert_eq!(w.invoke(ROOT, Label::Revoke, &[UNTYPED, 64]).map(|o| o.status), Ok(Status::Again));
    w.check();
    done(w.revoke(UNTYPED));
    w.check();
    assert!(!w.store.has_children(w.slot(UNTYPED)));
}

#[test]
fn the_caller_may_be_destroyed_half_way() {
    let mut w = World::new();
    // A domain whose CSpace is a CNode that it deletes, with itself in it.
    let at = w.domain_in(A);
    w.make(K_CNODE, 10, B);
    let guard = 54 << GUARD_BITS_SHIFT;
    done(w.mint(C, B, Rights::ALL, guard));
    done(w.invoke(C, Label::Copy, &[9, 64, ROOT, ROOT, 64, 15]));
    done(w.invoke(C, Label::Copy, &[3, 64, ROOT, C, 64, 15]));
    done(w.invoke(A, Label::Configure, &[C, 0, 0]));
    done(w.invoke(C, Label::Move, &[2, 64, ROOT, A, 64]));
    // The root is 54 + 10 bits, slot 9 leads on: only with depth 64 from the inner root.
    let root = 3;
    // It deletes its own domain: its CSpace goes with it.
    let answer = w.invoke_as(at, root, Label::Delete, &[2, 64]);
    assert!(answer.is_ok());
    assert_eq!(w.store.domain_state(at), capability_model::domain::State::Inactive);
    w.check();
    done(w.delete(B));
    done(w.delete(C));
    // What is left of the deletion is anybody's: here the kernel's idle time.
    while w.store.work() {
        w.check();
    }
    done(w.revoke(UNTYPED));
    assert!(!w.store.has_children(w.slot(UNTYPED)));
    w.check();
}

#[test]
fn time_loans_and_tables_are_not_copied() {
    let mut w = World::new();
    w.make(K_TABLE, 3, A);
    fails(w.copy(B, A, Rights::ALL), ErrorKind::IllegalOperation, 4);
    fails(w.copy(B, CORE, Rights::ALL), ErrorKind::IllegalOperation, 4);
    fails(w.copy(B, UNTYPED, Rights::ALL), ErrorKind::RevokeFirst, 4);
    w.check();
}
