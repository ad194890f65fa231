//! Untyped and Retype.

use crate::common::*;
use capability_model::cap::Cap;
use capability_model::memory::PAGE;
use capability_model::{ErrorKind, Label, Memory, Rights, Status};

const A: u64 = FREE;

#[test]
fn counts_and_places_are_checked() {
    let mut w = World::new();
    let before = w.clone();
    fails(w.retype(K_ENDPOINT, 0, A, 0), ErrorKind::RangeError, 7);
    fails(w.retype(K_ENDPOINT, 0, A, 65), ErrorKind::RangeError, 7);
    fails(w.retype(K_ENDPOINT, 0, 60, 5), ErrorKind::RangeError, 7);
    fails(w.retype(K_ENDPOINT, 0, 64, 1), ErrorKind::RangeError, 6);
    fails(w.retype(K_ENDPOINT, 0, CORE, 1), ErrorKind::DeleteFirst, 6);
    fails(w.retype(K_ENDPOINT, 1, A, 1), ErrorKind::RangeError, 2);
    fails(w.retype(10, 0, A, 1), ErrorKind::InvalidArgument, 1);
    fails(w.retype(K_CNODE, 0, A, 1), ErrorKind::RangeError, 2);
    fails(w.retype(K_CNODE, 17, A, 1), ErrorKind::RangeError, 2);
    fails(w.retype_from(ROOT, K_ENDPOINT, 0, A, 1), ErrorKind::IllegalOperation, 0);
    fails(w.retype_from(A, K_ENDPOINT, 0, A, 1), ErrorKind::FailedLookup, 0);
    assert!(w == before, "an error changes nothing");
}

#[test]
fn exact_fit_works_and_one_more_does_not() {
    let mut w = World::with_pages(16);
    fails(w.retype(K_UNTYPED, 17, A, 1), ErrorKind::NotEnoughMemory, 0);
    fails(w.retype(K_FRAME, 0, A, 17), ErrorKind::NotEnoughMemory, 0);
    done(w.retype(K_FRAME, 0, A, 16));
    fails(w.retype(K_FRAME, 0, A + 16, 1), ErrorKind::NotEnoughMemory, 0);
    w.check();
    done(w.revoke(UNTYPED));
    done(w.retype(K_UNTYPED, 16, A, 1));
    // Any number of pages, not powers of two only.
    done(w.retype_from(A, K_UNTYPED, 5, A + 1, 3));
    fails(w.retype_from(A, K_UNTYPED, 5, A + 4, 1), ErrorKind::NotEnoughMemory, 0);
    done(w.retype_from(A, K_UNTYPED, 1, A + 4, 1));
    w.check();
}

#[test]
fn memory_comes_scrubbed_again_and_again() {
    let mut w = World::with_pages(32);
    for round in 1..4u64 {
        done(w.retype(K_FRAME, 0, A, 20));
        for n in 0..20 {
            let Cap::Frame { base, .. } = w.cap(A + n) else { panic!("no frame") };
            assert!(w.store.memory.is_zero(base, PAGE));
            w.store.memory.write(base + 8 * round, 0xdead);
        }
        w.check();
        done(w.revoke(UNTYPED));
    }
}

#[test]
fn a_large_retype_goes_in_steps_that_anybody_continues() {
    let mut w = World::with_pages(64);
    let other = w.domain_in(A);
    let args = [K_FRAME, 0, ROOT, 0, 0, A + 1, 30];
    let first = w.invoke(UNTYPED, Label::Retype, &args);
    assert_eq!(first.map(|o| o.status), Ok(Status::Again));
    w.check();
    let scrubs = w.store.memory.scrubs;
    while w.invoke_as(other, UNTYPED, Label::Retype, &args).map(|o| o.status) == Ok(Status::Again) {}
    // Nothing was scrubbed twice.
    assert!(w.store.memory.scrubs - scrubs <= 30);
    assert!(matches!(w.cap(A + 30), Cap::Frame { .. }));
    w.check();
}

#[test]
fn each_kind_is_aligned_as_it_needs() {
    let mut w = World::new();
    w.make(K_ENDPOINT, 0, A);
    for (i, (kind, parameter)) in RETYPES.into_iter().enumerate() {
        done(w.retype(kind, parameter, A + 1 + i as u64, 1));
        w.check();
    }
    let Cap::Frame { base, .. } = w.cap(A + 6) else { panic!("no frame") };
    assert!(base.is_multiple_of(PAGE));
}

#[test]
fn device_memory_makes_frames_and_is_never_touched() {
    let mut w = World::new();
    let device = Cap::Untyped { base: 0x900_0000, size: 4 * PAGE, free: 0, clean: 0, device: true };
    assert!(w.store.install(w.slot(A), device));
    fails(w.retype_from(A, K_ENDPOINT, 0, A + 1, 1), ErrorKind::InvalidArgument, 1);
    // There is no memory at that address in this test: a scrub would panic.
    done(w.retype_from(A, K_FRAME, 0, A + 1, 2));
    assert!(matches!(w.cap(A + 1), Cap::Frame { device: true, .. }));
    w.check();
}

#[test]
fn a_copy_of_untyped_takes_all_of_it() {
    let mut w = World::new();
    done(w.retype(K_UNTYPED, 8, A, 1));
    done(w.copy(A + 1, A, Rights::ALL));
    fails(w.copy(A + 2, A, Rights::ALL), ErrorKind::RevokeFirst, 4);
    fails(w.retype_from(A, K_ENDPOINT, 0, A + 2, 1), ErrorKind::NotEnoughMemory, 0);
    done(w.retype_from(A + 1, K_FRAME, 0, A + 2, 8));
    let Cap::Frame { base, .. } = w.cap(A + 2) else { panic!("no frame") };
    w.store.memory.write(base, 1);
    w.check();
    done(w.revoke(A));
    // What was dirtied through the copy is not taken for clean.
    done(w.retype_from(A, K_FRAME, 0, A + 2, 8));
    assert!(w.store.memory.is_zero(base, PAGE));
    w.check();
}

#[test]
fn sixty_four_at_once_and_no_more() {
    let mut w = World::new();
    w.make(K_CNODE, 7, A);
    let args = |count: u64| [K_REPLY, 0, A, 0, 0, 3, count];
    fails(w.run(UNTYPED, Label::Retype, &args(65)), ErrorKind::RangeError, 7);
    done(w.run(UNTYPED, Label::Retype, &args(64)));
    fails(w.run(UNTYPED, Label::Retype, &[K_REPLY, 0, A, 0, 0, 127, 2]), ErrorKind::RangeError, 7);
    done(w.run(UNTYPED, Label::Retype, &[K_REPLY, 0, A, 0, 0, 127, 1]));
    w.check();
}

#[test]
fn a_block_is_aligned_and_only_its_own_pages_are_scrubbed() {
    let mut w = World::with_pages(1024);
    w.make(K_ENDPOINT, 0, A);
    fails(w.retype(K_FRAME, 2, A + 1, 1), ErrorKind::RangeError, 2);
    let before = w.store.memory.scrubs;
    done(w.retype(K_FRAME, 1, A + 1, 1));
    assert_eq!(w.store.memory.scrubs - before, 512);
    let Cap::Frame { base, .. } = w.cap(A + 1) else { panic!("no frame") };
    assert!(base.is_multiple_of(2 << 20));
    fails(w.retype(K_FRAME, 1, A + 2, 1), ErrorKind::NotEnoughMemory, 0);
    w.check();
}
