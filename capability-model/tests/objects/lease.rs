//! Leases between cores.

use crate::common::*;
use capability_model::cap::{Cap, Leased};
use capability_model::lease::{About, Message};
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
    fails(w.invoke(CORE, Label::Lease, &[1, GOT, 64, ROOT, PLOT, 64]), ErrorKind::IllegalOperation, 0);
    fails(w.invoke(DOMAIN, Label::Lease, &[1, GOT, 64, ROOT, PLOT, 64]), ErrorKind::IllegalOperation, 0);
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
    let nine = PAGE_SLOT + 1;
    done(all[0].mint(nine, NOTE, Rights::READ, 9));
    fails(all[0].invoke(PLOT, Label::Bind, &[nine]), ErrorKind::InvalidCapability, 1);
    fails(all[0].invoke(PLOT, Label::Bind, &[UNTYPED]), ErrorKind::InvalidCapability, 1);
    done(all[0].delete(nine));
    done(all[0].mint(nine, NOTE, Rights::WRITE, 9));
    done(all[0].invoke(PLOT, Label::Bind, &[nine]));
    fails(all[0].invoke(PLOT, Label::Bind, &[nine]), ErrorKind::DeleteFirst, 0);
    let answer = all[0].invoke(ROOT, Label::Revoke, &[PLOT, 64]);
    assert_eq!(answer.map(|o| o.status), Ok(Status::InProgress));
    settle(&mut all);
    assert!(matches!(all[0].cap(PLOT), Cap::Untyped { free: 0, .. }));
    assert!((GOT..GOT + 4).all(|n| all[1].cap(n) == Cap::Null));
    assert!(all[1].store.memory.is_zero(base, 3 * PAGE));
    assert_eq!(all[0].invoke(NOTE, Label::Poll, &[]).map(|o| o.status), Ok(Status::Word(9)));
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
    assert_eq!(offer.about, About::Offer);
    all[0].revoke(PLOT).expect("called back");
    settle(&mut all);
    assert!(matches!(all[0].cap(PLOT), Cap::Untyped { .. }));
    // The offer comes late, twice.
    all[1].store.receive_message(0, offer);
    all[1].store.receive_message(0, offer);
    assert_eq!(all[1].cap(GOT), Cap::Null);
    settle(&mut all);
}

#[test]
fn device_memory_moves_and_is_never_touched() {
    let mut all = cores(2);
    let device = Cap::Untyped { base: 0x900_0000, size: 2 * PAGE, free: 0, clean: 0, device: true };
    let slot = all[0].slot(PLOT);
    assert!(all[0].store.install(slot, device));
    done(all[0].invoke(PLOT, Label::Lease, &[1, GOT, 64]));
    settle(&mut all);
    assert_eq!(all[1].cap(GOT), device);
    done(all[1].retype_from(GOT, K_FRAME, 0, GOT + 1, 2));
    all[0].revoke(PLOT).expect("called back");
    // There is no memory at that address in this test: a scrub would panic.
    settle(&mut all);
    assert_eq!((all[0].cap(PLOT), all[1].cap(GOT + 1)), (device, Cap::Null));
}

#[test]
fn only_what_can_be_read_is_shared() {
    let mut all = lent(2);
    done(all[0].mint(30, PAGE_SLOT, Rights::WRITE, 0));
    let share = [1, GOT + 1, 64, ROOT, 31, 64];
    fails(all[0].invoke(30, Label::Lease, &share), ErrorKind::IllegalOperation, 0);
    // The slot for the Lease: found, and empty.
    fails(all[0].invoke(PAGE_SLOT, Label::Lease, &[1, GOT + 1, 64, 33, 31, 64]), ErrorKind::FailedLookup, 4);
    fails(all[0].invoke(PAGE_SLOT, Label::Lease, &[1, GOT + 1, 64, ROOT, 30, 64]), ErrorKind::DeleteFirst, 5);
    let device = Cap::Untyped { base: 0x900_0000, size: PAGE, free: 0, clean: 0, device: true };
    let slot = all[0].slot(32);
    assert!(all[0].store.install(slot, device));
    done(all[0].retype_from(32, K_FRAME, 0, 33, 1));
    fails(all[0].invoke(33, Label::Lease, &share), ErrorKind::IllegalOperation, 0);
}

#[test]
fn a_deleted_lease_and_one_that_is_waited_for_do_not_meet() {
    let mut all = lent(2);
    all[0].make(K_UNTYPED, 1, 30);
    done(all[0].invoke(30, Label::Lease, &[1, GOT + 1, 64]));
    settle(&mut all);
    done(all[0].mint(31, NOTE, Rights::ALL, 2));
    done(all[0].invoke(PLOT, Label::Bind, &[31]));
    done(all[0].delete(30));
    settle(&mut all);
    assert_eq!(all[1].cap(GOT + 1), Cap::Null);
    assert_eq!(all[0].invoke(NOTE, Label::Poll, &[]).map(|o| o.status), Ok(Status::Word(0)));
    all[0].revoke(PLOT).expect("called back");
    settle(&mut all);
    assert_eq!(all[0].invoke(NOTE, Label::Poll, &[]).map(|o| o.status), Ok(Status::Word(2)));
    done(all[0].revoke(UNTYPED));
    assert!(!all[0].store.has_children(all[0].slot(UNTYPED)));
}

#[test]
fn what_was_called_back_is_counted_until_it_is_back() {
    let mut all = lent(2);
    all[0].make(K_UNTYPED, 1, 30);
    done(all[0].invoke(30, Label::Lease, &[1, GOT + 1, 64]));
    settle(&mut all);
    assert_eq!(all[0].store.called_back(), 0);
    all[0].revoke(PLOT).expect("called back");
    assert_eq!(all[0].store.called_back(), 1);
    all[0].revoke(30).expect("called back");
    assert_eq!((all[0].store.called_back(), all[1].store.called_back()), (2, 0));
    settle(&mut all);
    assert_eq!(all[0].store.called_back(), 0);
}

/// What `message` of `peer` changes.
fn changes(w: &World, peer: u8, message: Message) -> bool {
    let mut after = w.clone();
    after.store.receive_message(peer, message);
    after != *w
}

#[test]
fn numbers_and_peers_that_do_not_exist_are_ignored() {
    let mut all = lent(2);
    let base = all[0].untyped_base() + 64 * PAGE;
    // What and depth share a word.
    let words = [Leased::Device as u64 | 64 << 16, base, PAGE, 40];
    let offer = |index| tell(About::Offer, index, 5, &words);
    for peer in [1, 8, 255] {
        assert!(!changes(&all[1], peer, offer(2)), "an offer of {peer}");
    }
    for index in [16, 17, 32, 255] {
        assert!(!changes(&all[1], 0, offer(index)), "offer {index}");
        assert!(!changes(&all[1], 0, tell(About::Revoke, index, 1, &[])), "revoke {index}");
        assert!(!changes(&all[0], 1, tell(About::Returned, index, 1, &[])), "return {index}");
    }
    assert!(changes(&all[1], 0, offer(15)) && changes(&all[1], 0, tell(About::Revoke, 0, 1, &[])));
    assert!(changes(&all[0], 1, tell(About::Returned, 0, 1, &[])));
    let fresh = &cores(2)[1];
    assert!(changes(fresh, 0, offer(0)) && !changes(fresh, 0, offer(16)), "a number beyond the last");
    // A return of an earlier use of the number, or of a number that is not lent.
    assert!(!changes(&all[0], 1, tell(About::Returned, 0, 0, &[])));
    assert!(!changes(&all[0], 1, tell(About::Returned, 1, 0, &[])));
    settle(&mut all);
}

#[test]
fn a_call_back_that_comes_twice_is_answered_twice() {
    let mut all = lent(2);
    all[0].revoke(PLOT).expect("called back");
    let revoke = all[0].store.take_message(1).expect("a call back");
    all[1].store.receive_message(0, revoke);
    while all[1].store.work() {}
    let returned = tell(About::Returned, 0, 1, &[]);
    assert_eq!((all[1].store.take_message(0), all[1].store.take_message(0)), (Some(returned), None));
    all[1].store.receive_message(0, revoke);
    assert_eq!(all[1].store.take_message(0), Some(returned));
    // An older one says nothing new.
    assert!(!changes(&all[1], 0, tell(About::Revoke, 0, 0, &[])));
}

#[test]
fn giving_back_waits_without_work_for_what_was_lent_on() {
    let mut all = lent(3);
    done(all[1].invoke(GOT, Label::Lease, &[2, GOT, 64]));
    settle(&mut all);
    all[0].revoke(PLOT).expect("called back");
    let revoke = all[0].store.take_message(1).expect("a call back");
    all[1].store.receive_message(0, revoke);
    let steps = (0..100).take_while(|_| all[1].store.work()).count();
    assert!(steps < 100, "it goes on and on while core 2 has its page");
    assert_eq!(all[1].store.take_message(0), None);
    settle(&mut all);
    assert!(matches!(all[0].cap(PLOT), Cap::Untyped { free: 0, .. }));
}

#[test]
fn an_endorsement_counts_for_a_seat_that_is_lent_now() {
    let mut all = lent(2);
    let w = &mut all[0];
    w.make(K_GATE, 0, 30);
    for seat in 0..2 {
        done(w.invoke(30, Label::Seat, &[seat, ROOT, 31 + seat, 64]));
    }
    w.make(K_UNTYPED, 1, 33);
    done(w.invoke(30, Label::Seal, &[1, 2, ROOT, 0, 0, 33, 1]));
    let say = |index, generation| tell(About::Endorse, index, generation, &[0, 0, 5]);
    // Memory that was lent is made to look like a gate that any seat opens: it is none.
    let Cap::Lease { base, .. } = w.cap(PLOT) else { panic!("no lease") };
    let Cap::Gate { at } = w.cap(30) else { panic!("no gate") };
    for i in 0..200 {
        let word = w.store.memory.peek(at + 8 * i);
        w.store.memory.poke(base + 8 * i, word);
    }
    assert!(!changes(w, 1, say(0, 1)), "lent memory was taken for a gate");
    let share = [1, GOT + 1, 64, ROOT, 40, 64];
    done(w.invoke(32, Label::Lease, &share));
    settle(&mut all);
    assert!(changes(&all[0], 1, say(1, 1)));
    for (index, generation) in [(1, 0), (1, 2), (2, 0), (17, 1), (16, 1)] {
        assert!(!changes(&all[0], 1, say(index, generation)), "{index} {generation}");
    }
    // Called back, it is silent, also before it is back; and its number's next use is another lease.
    all[0].run(ROOT, Label::Revoke, &[40, 64]).expect("called back");
    assert!(!changes(&all[0], 1, say(1, 1)));
    settle(&mut all);
    done(all[0].invoke(32, Label::Lease, &share));
    settle(&mut all);
    assert!(!changes(&all[0], 1, say(1, 1)) && changes(&all[0], 1, say(1, 2)));
}

#[test]
fn an_endorsement_names_a_lease_that_exists() {
    let mut all = cores(2);
    let w = &mut all[0];
    w.make(K_GATE, 0, 30);
    done(w.invoke(30, Label::Seat, &[0, ROOT, 31, 64]));
    w.make(K_UNTYPED, 1, 33);
    done(w.invoke(30, Label::Seal, &[1, 1, ROOT, 0, 0, 33, 1]));
    done(w.invoke(31, Label::Lease, &[1, GOT, 64, ROOT, 40, 64]));
    let say = |index| tell(About::Endorse, index, 1, &[0, 0, 5]);
    assert!(changes(w, 1, say(0)) && !changes(w, 1, say(16)) && !changes(w, 2, say(0)));
}
