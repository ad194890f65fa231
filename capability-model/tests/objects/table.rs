//! Tables.

use super::mapped::*;
use crate::common::*;
use capability_model::{ErrorKind, Label};

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
