//! What the tests of spaces, tables and frames share.

use crate::common::*;
use capability_model::Label;
use capability_model::cap::Cap;
use capability_model::invariants::dump;

pub const S: u64 = FREE;
pub const L2: u64 = FREE + 1;
pub const L3: u64 = FREE + 2;
pub const F: u64 = FREE + 3;
pub const X: u64 = FREE + 5;
pub const RW: u64 = 3;
pub const IPA: u64 = 0x4020_3000;

pub fn world() -> World {
    let mut w = World::new();
    w.make(K_SPACE, 0, S);
    w.make(K_TABLE, 2, L2);
    w.make(K_TABLE, 3, L3);
    w.make(K_FRAME, 0, F);
    w
}

pub fn entries(w: &World) -> usize {
    match w.cap(S) {
        Cap::Space { at, .. } => dump(&w.store, at).len(),
        _ => 0,
    }
}

pub fn build(w: &mut World) {
    done(w.invoke(L2, Label::Map, &[S, IPA & !0x3fff_ffff]));
    done(w.invoke(L3, Label::Map, &[S, IPA & !0x1f_ffff]));
    done(w.invoke(F, Label::Map, &[S, IPA, RW]));
    assert_eq!(entries(w), 3);
    w.check();
}
