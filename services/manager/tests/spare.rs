//! A kernel that is held cold takes another's place.

mod common;

use abi::bootinfo::{COLD_IMAGE, SparePolicy, incarnation};
use abi::vote::{Control, Progress, Verdict};
use common::{Desk, agreed, begun, manager, status, type_in, with_spare};
use manager::Manager;

const K2: u32 = 5;
const K5: u32 = 8;
const FOUR: u64 = 0xf0;

fn voters(m: &mut Manager, epoch: u64, set: u64) -> Desk {
    let mut desk = Desk::default();
    agreed(m, Progress::Voters { epoch, set, quorum: set.count_ones() / 2 + 1 }, &mut desk);
    desk
}

fn replace(restarts: u64, image: u32) -> String {
    let control = Control::Replace { domain: incarnation(K2, restarts), by: incarnation(K5, 0), image };
    format!("{control:?}")
}

fn take_back(domain: u32, restarts: u64) -> String {
    format!(
        "{:?}",
        Control::Restart { domain: incarnation(domain, restarts), image: COLD_IMAGE, again: false }
    )
}

#[test]
fn a_healthy_kernel_votes_until_the_spare_does_and_is_the_spare_then() {
    let m = &mut with_spare(SparePolicy::Manual);
    assert!(voters(m, 1, FOUR).acts.is_empty());
    let desk = type_in(m, "status\r");
    assert!(
        desk.lines.iter().any(|l| l.contains(" k5 ") && l.contains(" cold ") && l.ends_with(" spare")),
        "{:?}",
        desk.lines
    );
    let desk = type_in(m, "replace k2 spare lazy\r");
    assert_eq!(desk.acts, [replace(0, 6)]);
    assert_eq!(
        desk.lines,
        ["return: k2 (classic, replaced by order) is replaced by the spare: k5 begins as lazy"]
    );
    assert_eq!(type_in(m, "replace k2 spare\r").lines, ["k2 is being replaced already"]);
    assert_eq!(
        type_in(m, "replace k3 spare\r").lines,
        ["the spare is not ready: `status` shows what becomes of it"]
    );
    let desk = &mut Desk { now_us: 5_000, ..Desk::default() };
    begun(m, K5, 1, desk);
    assert_eq!(desk.lines, ["return: k5 runs on scrubbed memory 5 ms after k2 was lost"]);
    // The voters as they were: that asks for a snapshot, and nobody is superfluous.
    assert!(voters(m, 2, FOUR).acts.is_empty());
    let desk = voters(m, 3, 0x1d0);
    assert_eq!(desk.acts, [take_back(K2, 0)]);
    assert!(desk.lines[1].starts_with("return: k5 votes as lazy in place of k2, "), "{:?}", desk.lines);
    assert!(desk.lines[1].ends_with(": four vote again"));
    assert_eq!(desk.lines[2], "return: the place of k2 is taken back, to be the spare");
    let desk = &mut Desk::default();
    status(m, K2, 3, 0, desk);
    status(m, K2, 4, 1, desk);
    status(m, K2, 4, 1, desk);
    assert_eq!((&desk.lines[..], desk.acts.len()), (&["return: k2 is the spare".to_owned()][..], 0));
    // Its place is as good as the other was.
    assert_eq!(type_in(m, "replace k5 spare\r").acts.len(), 1);
    assert_eq!(type_in(m, "inject crash k2\r").lines, ["k2 is the spare: it does not run"]);
}

#[test]
fn who_does_not_come_back_in_its_own_place_gets_a_successor_in_the_spare() {
    let m = &mut with_spare(SparePolicy::AfterAttempts);
    voters(m, 1, FOUR);
    let desk = &mut Desk::default();
    for n in 0..3 {
        status(m, K2, 2, n, desk);
        m.on_verdict(&Verdict::Crashed { voter: K2 }, desk);
        if n == 0 {
            assert_eq!(voters(m, 2, 0xd0).acts.len(), 1);
        }
        begun(m, K2, n + 1, desk);
    }
    desk.acts.clear();
    status(m, K2, 2, 3, desk);
    // Rotated three times, and once more.
    assert_eq!(desk.acts, [replace(3, 6)], "{:?}", desk.lines);
    // What the gate says of the one in the bad place is of no account any more.
    let desk = &mut Desk::default();
    m.on_verdict(&Verdict::Crashed { voter: K2 }, desk);
    begun(m, K5, 1, desk);
    assert!(desk.acts.is_empty());
    assert_eq!(voters(m, 3, 0x1d0).acts, [take_back(K2, 3)]);
}

#[test]
fn the_policy_first_does_not_wait_and_manual_does_not_begin() {
    for (policy, expected) in [
        (SparePolicy::First, replace(0, 6)),
        (SparePolicy::Manual, format!("{:?}", Control::Restart { domain: K2, image: 6, again: false })),
    ] {
        let m = &mut with_spare(policy);
        voters(m, 1, FOUR);
        status(m, K2, 2, 0, &mut Desk::default());
        m.on_verdict(&Verdict::Crashed { voter: K2 }, &mut Desk::default());
        assert_eq!(voters(m, 2, 0xd0).acts, [expected]);
    }
    let m = &mut with_spare(SparePolicy::First);
    assert_eq!(
        type_in(m, "policy spare manual\r").lines[1],
        "policy: spare is manual: it takes over by `replace K spare`"
    );
    assert_eq!(type_in(m, "policy spare never\r").lines.len(), 1);
}

#[test]
fn a_successor_that_fails_is_tried_thrice_and_given_up() {
    let m = &mut with_spare(SparePolicy::First);
    voters(m, 1, FOUR);
    assert_eq!(type_in(m, "replace k2 spare\r").acts.len(), 1);
    let desk = &mut Desk::default();
    for n in 1..=3 {
        begun(m, K5, n, desk);
        desk.acts.clear();
        status(m, K5, 2, n, desk);
        assert_eq!(desk.acts.len(), 1, "{:?}", desk.lines);
    }
    assert_eq!(desk.acts, [take_back(K5, 3)]);
    // It was begun anew for somebody before the order came: it is given again.
    begun(m, K5, 4, desk);
    assert_eq!(desk.acts.last(), Some(&take_back(K5, 4)));
    status(m, K5, 4, 5, desk);
    assert_eq!(type_in(m, "replace k2 spare\r").acts.len(), 1);
}

#[test]
fn an_empty_seat_is_for_whoever_comes_first_and_the_other_becomes_the_spare() {
    let m = &mut with_spare(SparePolicy::Manual);
    voters(m, 1, FOUR);
    m.on_verdict(&Verdict::Crashed { voter: K2 }, &mut Desk::default());
    assert_eq!(
        type_in(m, "replace k5\r").lines,
        ["k5 is the spare: `replace K spare` gives it the place of K"]
    );
    voters(m, 2, 0xd0);
    begun(m, K2, 1, &mut Desk::default());
    assert_eq!(type_in(m, "replace k3 spare\r").acts.len(), 0);
    assert_eq!(
        type_in(m, "replace k5\r").acts,
        [format!("{:?}", Control::Restart { domain: K5, image: 5, again: false })]
    );
    begun(m, K5, 1, &mut Desk::default());
    assert_eq!(voters(m, 3, 0xf0).acts, [take_back(K5, 1)]);
}

#[test]
fn a_machine_without_a_spare_core_says_so() {
    let m = &mut manager();
    assert_eq!(
        type_in(m, "replace k2 spare\r").lines,
        ["this machine has no spare core: all of its kernels vote"]
    );
    assert_eq!(type_in(m, "replace k2 spare lazy more\r").lines.len(), 1);
    assert_eq!(type_in(m, "policy\r").lines.len(), 1);
}

#[test]
fn a_new_manager_takes_what_is_cold_for_the_spare() {
    let m = &mut with_spare(SparePolicy::First);
    let desk = &mut Desk::default();
    for replica in [0, 1] {
        m.recall_progress(replica, &Progress::Voters { epoch: 5, set: 0x1d0, quorum: 3 }, 0);
    }
    for voter in [K2, K5] {
        m.recall_verdict(&Verdict::Restarted { voter, epoch: 4 }, 0);
    }
    status(m, K2, 4, 1, desk);
    status(m, K5, 1, 1, desk);
    m.recalled(desk);
    assert!(desk.acts.is_empty(), "{:?}", desk.acts);
    assert_eq!(type_in(m, "replace k5 spare\r").acts.len(), 1);
}
