//! Spaces and their VMIDs.

use super::mapped::*;
use crate::common::*;
use capability_model::{ErrorKind, Label};

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
