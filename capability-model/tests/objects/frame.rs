//! Frames: mapping, rights, what deletion takes out of the tables.

use super::mapped::*;
use crate::common::*;
use capability_model::cap::Cap;
use capability_model::invariants::dump;
use capability_model::{ErrorKind, Label, Memory, Rights};

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
