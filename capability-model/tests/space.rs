//! Spaces, tables, frames; cores and scheduling contexts.

mod common;
use capability_model::cap::Cap;
use capability_model::invariants::dump;
use capability_model::{ErrorKind, Label, Memory, Rights};
use common::*;

const S: u64 = FREE;
const L2: u64 = FREE + 1;
const L3: u64 = FREE + 2;
const F: u64 = FREE + 3;
const X: u64 = FREE + 5;
const RW: u64 = 3;
const IPA: u64 = 0x4020_3000;

fn world() -> World {
    let mut w = World::new();
    w.make(K_SPACE, 0, S);
    w.make(K_TABLE, 2, L2);
    w.make(K_TABLE, 3, L3);
    w.make(K_FRAME, 0, F);
    w
}

fn entries(w: &World) -> usize {
    match w.cap(S) {
        Cap::Space { at, .. } => dump(&w.store, at).len(),
        _ => 0,
    }
}

fn build(w: &mut World) {
    done(w.invoke(L2, Label::Map, &[S, IPA & !0x3fff_ffff]));
    done(w.invoke(L3, Label::Map, &[S, IPA & !0x1f_ffff]));
    done(w.invoke(F, Label::Map, &[S, IPA, RW]));
    assert_eq!(entries(w), 3);
    w.check();
}

#[test]
fn mapping_needs_tables_alignment_and_room() {
    let mut w = world();
    fails(w.invoke(F, Label::Map, &[S, IPA, RW]), ErrorKind::FailedLookup, 2);
    fails(w.invoke(F, Label::Map, &[S, IPA + 8, RW]), ErrorKind::AlignmentError, 2);
    fails(w.invoke(F, Label::Map, &[S, 1 << 39, RW]), ErrorKind::RangeError, 2);
    fails(w.invoke(F, Label::Map, &[F, IPA, RW]), ErrorKind::InvalidCapability, 1);
    fails(w.invoke(L3, Label::Map, &[S, IPA & !0x1f_ffff]), ErrorKind::FailedLookup, 2);
    build(&mut w);
    fails(w.invoke(F, Label::Map, &[S, IPA + 0x1000, RW]), ErrorKind::IllegalOperation, 0);
    done(w.copy(X, F, Rights::READ));
    fails(w.invoke(X, Label::Map, &[S, IPA, RW]), ErrorKind::DeleteFirst, 2);
    done(w.invoke(X, Label::Map, &[S, IPA + 0x1000, RW]));
    w.check();
}

#[test]
fn a_deleted_frame_is_unmapped() {
    for revoke in [false, true] {
        let mut w = world();
        build(&mut w);
        done(w.copy(X, F, Rights::ALL));
        done(w.invoke(X, Label::Map, &[S, IPA + 0x1000, RW]));
        done(if revoke { w.revoke(F) } else { w.delete(X) });
        assert_eq!(entries(&w), 3);
        assert_eq!(w.store.memory.forgotten.last(), Some(&(1, Some(IPA + 0x1000))));
        w.check();
    }
}

#[test]
fn unmap_after_the_space_is_gone_is_safe() {
    let mut w = world();
    build(&mut w);
    done(w.delete(S));
    w.check();
    // Another space takes the VMID, and builds the same place with other tables.
    w.make(K_SPACE, 0, S);
    w.make(K_TABLE, 2, X);
    w.make(K_TABLE, 3, X + 1);
    w.make(K_FRAME, 0, X + 2);
    done(w.invoke(X, Label::Map, &[S, IPA & !0x3fff_ffff]));
    done(w.invoke(X + 1, Label::Map, &[S, IPA & !0x1f_ffff]));
    done(w.invoke(X + 2, Label::Map, &[S, IPA, RW]));
    done(w.invoke(F, Label::Unmap, &[]));
    assert_eq!(entries(&w), 3);
    w.check();
    // A table whose space went comes back empty.
    done(w.invoke(X + 2, Label::Unmap, &[]));
    done(w.invoke(X + 1, Label::Unmap, &[]));
    done(w.invoke(L3, Label::Map, &[S, IPA & !0x1f_ffff]));
    assert_eq!(entries(&w), 2);
    w.check();
}

#[test]
fn a_table_taken_out_takes_its_mappings() {
    let mut w = world();
    build(&mut w);
    done(w.invoke(L2, Label::Unmap, &[]));
    assert_eq!(entries(&w), 0);
    assert_eq!(w.store.memory.forgotten.last(), Some(&(1, None)));
    w.check();
    // The frame thinks it is mapped: it finds that out by unmapping.
    fails(w.invoke(F, Label::Map, &[S, IPA, RW]), ErrorKind::IllegalOperation, 0);
    done(w.invoke(F, Label::Unmap, &[]));
    done(w.invoke(L3, Label::Unmap, &[]));
    build(&mut w);
}

#[test]
fn vmids_end_and_come_back() {
    let mut w = World::with_pages(300);
    w.make(K_CNODE, 8, FREE);
    let args = |offset: u64, count: u64| [K_SPACE, 0, FREE, 0, 0, offset, count];
    for i in 0..5 {
        let count = if i < 4 { 60 } else { 15 };
        done(w.run(UNTYPED, Label::Retype, &args(i * 60, count)));
    }
    fails(w.run(UNTYPED, Label::Retype, &args(255, 1)), ErrorKind::NotEnoughMemory, 1);
    done(w.invoke(FREE, Label::Delete, &[7, 8]));
    done(w.run(UNTYPED, Label::Retype, &args(255, 1)));
    w.check();
}

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

#[test]
fn a_frame_maps_no_more_than_its_rights() {
    let mut w = world();
    done(w.copy(X, F, Rights::READ));
    done(w.invoke(L2, Label::Map, &[S, IPA & !0x3fff_ffff]));
    done(w.invoke(L3, Label::Map, &[S, IPA & !0x1f_ffff]));
    done(w.invoke(X, Label::Map, &[S, IPA, RW]));
    let Cap::Space { at, .. } = w.cap(S) else { panic!("no space") };
    let leaf = dump(&w.store, at).into_iter().find(|(_, level, _)| *level == 3).expect("mapped");
    assert_eq!(capability_model::space::descriptor_rights(leaf.2), Rights::READ);
    assert!(w.store.memory.read(w.root) != 1);
    w.check();
}
