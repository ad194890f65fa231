//! Leases between cores.

use crate::common::*;
use capability_model::cap::Cap;
use capability_model::lease::Message;
use capability_model::memory::PAGE;
use capability_model::{ErrorKind, Label, Memory, Rights, Status};

const PLOT: u64 = FREE;
const NOTE: u64 = FREE + 1;
const PAGE_SLOT: u64 = FREE + 2;
const GOT: u64 = 20;

/// Core 0 lends three pages to core 1's slot 20.
fn lent(n: u8) -> Vec<World> {
    let mut all = cores(n);
    all[0].make(K_UNTYPED, 3, PLOT);
    all[0].make(K_NOTIFICATION, 0, NOTE);
    all[0].make(K_FRAME, 0, PAGE_SLOT);
    done(all[0].invoke(PLOT, Label::Lease, &[1, GOT, 64]));
    settle(&mut all);
    all
}

#[test]
fn what_cannot_be_lent() {
    let mut all = cores(2);
    let w = &mut all[0];
    fails(w.invoke(UNTYPED, Label::Lease, &[0, GOT, 64]), ErrorKind::InvalidArgument, 1);
    fails(w.invoke(UNTYPED, Label::Lease, &[8, GOT, 64]), ErrorKind::InvalidArgument, 1);
    fails(w.invoke(UNTYPED, Label::Lease, &[1, GOT, 65]), ErrorKind::RangeError, 3);
    fails(w.invoke(CORE, Label::Lease, &[1, GOT, 64]), ErrorKind::IllegalOperation, 0);
    w.make(K_ENDPOINT, 0, PLOT);
    fails(w.invoke(UNTYPED, Label::Lease, &[1, GOT, 64]), ErrorKind::RevokeFirst, 0);
    done(w.revoke(UNTYPED));
    for n in 0..16 {
        w.make(K_UNTYPED, 1, PLOT + n);
        done(w.invoke(PLOT + n, Label::Lease, &[1, GOT, 64]));
    }
    w.make(K_UNTYPED, 1, PLOT + 16);
    fails(w.invoke(PLOT + 16, Label::Lease, &[1, GOT, 64]), ErrorKind::NotEnoughMemory, 1);
    // Only one finds the slot empty; the others come back by themselves.
    settle(&mut all);
    let back = (0..16).filter(|n| matches!(all[0].cap(PLOT + n), Cap::Untyped { .. })).count();
    assert_eq!(back, 15);
}

#[test]
fn memory_moves_and_comes_back_scrubbed_with_a_signal() {
    let mut all = lent(2);
    assert!(matches!(all[0].cap(PLOT), Cap::Lease { .. }));
    let Cap::Untyped { base, size, .. } = all[1].cap(GOT) else { panic!("nothing came") };
    assert_eq!(size, 3 * PAGE);
    done(all[1].retype_from(GOT, K_FRAME, 0, GOT + 1, 3));
    all[1].store.memory.write(base + 2 * PAGE, 1);
    fails(all[0].retype_from(PLOT, K_FRAME, 0, GOT, 1), ErrorKind::IllegalOperation, 0);
    done(all[0].invoke(PLOT, Label::Bind, &[NOTE]));
    let answer = all[0].invoke(ROOT, Label::Revoke, &[PLOT, 64]);
    assert_eq!(answer.map(|o| o.status), Ok(Status::InProgress));
    settle(&mut all);
    assert!(matches!(all[0].cap(PLOT), Cap::Untyped { free: 0, .. }));
    assert!((GOT..GOT + 4).all(|n| all[1].cap(n) == Cap::Null));
    assert!(all[1].store.memory.is_zero(base, 3 * PAGE));
    assert!(all[0].invoke(NOTE, Label::Poll, &[]).is_ok());
    done(all[0].retype_from(PLOT, K_FRAME, 0, GOT, 3));
}

#[test]
fn revoking_what_stands_above_waits_for_the_other_cores() {
    let mut all = lent(3);
    done(all[1].invoke(GOT, Label::Lease, &[2, GOT, 64]));
    settle(&mut all);
    done(all[2].retype_from(GOT, K_ENDPOINT, 0, GOT + 1, 1));
    assert_eq!(all[0].revoke(UNTYPED).map(|o| o.status), Ok(Status::InProgress));
    assert!(all[0].store.has_children(all[0].slot(UNTYPED)));
    settle(&mut all);
    done(all[0].revoke(UNTYPED));
    assert!(!all[0].store.has_children(all[0].slot(UNTYPED)));
    assert_eq!((all[2].cap(GOT), all[1].cap(GOT)), (Cap::Null, Cap::Null));
}

#[test]
fn a_deleted_lease_is_called_back_and_its_memory_stays_out_of_use() {
    let mut all = lent(2);
    done(all[0].move_to(PLOT + 5, PLOT));
    done(all[0].delete(PLOT + 5));
    assert_eq!(all[0].cap(PLOT + 5), Cap::Null);
    assert!(all[0].store.has_children(all[0].slot(UNTYPED)));
    settle(&mut all);
    assert_eq!(all[1].cap(GOT), Cap::Null);
    done(all[0].revoke(UNTYPED));
    assert!(!all[0].store.has_children(all[0].slot(UNTYPED)));
}

#[test]
fn a_shared_frame_is_read_only_there() {
    let mut all = lent(2);
    done(all[0].invoke(PAGE_SLOT, Label::Lease, &[1, GOT + 1, 64, ROOT, GOT + 2, 64]));
    settle(&mut all);
    assert_eq!(all[1].cap(GOT + 1).rights(), Rights::READ);
    done(all[1].copy(GOT + 2, GOT + 1, Rights::ALL));
    assert_eq!(all[1].cap(GOT + 2).rights(), Rights::READ);
    // The frame goes, the loan holds its memory.
    assert_eq!(all[0].revoke(PAGE_SLOT).map(|o| o.status), Ok(Status::InProgress));
    settle(&mut all);
    done(all[0].revoke(PAGE_SLOT));
    assert_eq!((all[1].cap(GOT + 1), all[1].cap(GOT + 2)), (Cap::Null, Cap::Null));
    assert!(matches!(all[0].cap(PAGE_SLOT), Cap::Frame { .. }));
}

#[test]
fn a_call_back_that_overtakes_its_offer() {
    let mut all = cores(2);
    all[0].make(K_UNTYPED, 1, PLOT);
    done(all[0].invoke(PLOT, Label::Lease, &[1, GOT, 64]));
    let offer = all[0].store.take_message(1).expect("an offer");
    assert!(matches!(offer, Message::Offer { .. }));
    all[0].revoke(PLOT).expect("called back");
    settle(&mut all);
    assert!(matches!(all[0].cap(PLOT), Cap::Untyped { .. }));
    // The offer comes late, twice.
    all[1].store.receive_message(0, offer);
    all[1].store.receive_message(0, offer);
    assert_eq!(all[1].cap(GOT), Cap::Null);
    settle(&mut all);
}
