//! The turn rule, sentence by sentence.

use super::*;

fn stays(t: &mut Turns, n: u64) {
    for _ in 0..n {
        t.made_call(After::Stays);
    }
}

fn waits(t: &mut Turns, keys: &[Key], deadline_us: Option<u64>) {
    t.made_call(After::Waits { keys: keys.to_vec(), deadline_us });
}

const PIPE: Key = Key::File(WaitKey::PipeRead(1));
const TTY: Key = Key::File(WaitKey::TtyRead);

#[test]
fn a_turn_is_eight_calls_and_its_thread_goes_behind_those_it_made() {
    let mut t = Turns::start(0);
    stays(&mut t, 7);
    t.enter(2);
    assert_eq!(t.head(), Some(1));
    stays(&mut t, 1);
    assert_eq!(t.round().collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn a_sync_point_comes_at_the_first_end_of_a_turn_after_sixteen_calls() {
    let mut t = Turns::start(5);
    stays(&mut t, 15);
    assert_eq!(t.sync_due(), None);
    stays(&mut t, 1);
    assert_eq!((t.sync_due(), t.head(), t.clock_us()), (Some(1), None, 21));
    t.begin_sync(7);
    assert_eq!(t.clock_us(), 21, "the clock never runs backwards");
    t.pass_deadlines();
    assert!(t.end_sync());
    assert_eq!((t.head(), t.call()), (Some(1), 16));
}

#[test]
fn an_empty_round_is_a_sync_point_at_once_and_again_until_somebody_runs() {
    let mut t = Turns::start(0);
    waits(&mut t, &[TTY], Some(100));
    for s in 1..4 {
        assert_eq!(t.sync_due(), Some(s));
        t.begin_sync(s);
        t.pass_deadlines();
        assert!(!t.end_sync());
    }
    assert_eq!(t.earliest_deadline_us(), 100);
    t.begin_sync(100);
    t.pass_deadlines();
    assert!(t.end_sync());
    assert_eq!(t.head(), Some(1));
}

#[test]
fn a_wake_up_wakes_all_in_order_and_a_thread_leaves_all_its_queues() {
    let mut t = Turns::start(0);
    t.enter(2);
    t.enter(3);
    waits(&mut t, &[TTY, PIPE], None);
    waits(&mut t, &[PIPE], None);
    t.wake(PIPE);
    assert_eq!(t.round().collect::<Vec<_>>(), [3, 1, 2]);
    t.wake(TTY);
    assert_eq!(t.round().len(), 3);
}

#[test]
fn deadlines_pass_in_the_order_of_deadline_then_serial() {
    let mut t = Turns::start(0);
    for s in 2..=4 {
        t.enter(s);
    }
    waits(&mut t, &[], Some(20));
    waits(&mut t, &[], Some(10));
    waits(&mut t, &[], Some(20));
    waits(&mut t, &[], Some(30));
    t.begin_sync(20);
    t.pass_deadlines();
    assert_eq!(t.round().collect::<Vec<_>>(), [2, 1, 3]);
}

fn skip(t: &mut Turns) -> Option<Serial> {
    let head = t.begin_skip();
    t.end_skip();
    head
}

#[test]
fn a_skip_uses_its_number_up() {
    let mut t = Turns::start(0);
    t.enter(2);
    t.decide(0, Decision::Skip);
    assert_eq!(t.decision(), Some(Decision::Skip));
    assert_eq!(skip(&mut t), Some(1));
    assert_eq!((t.head(), t.call(), t.clock_us(), t.decision()), (Some(2), 1, 1, None));
    assert_eq!(t.skipped_at(1), Some(0));
    t.enter(1);
    assert_eq!(t.skipped_at(1), None);
    assert_eq!(t.round().collect::<Vec<_>>(), [2, 1]);
}

#[test]
fn decisions_are_remembered_until_their_call_and_void_after_it() {
    let mut t = Turns::start(0);
    t.decide(2, Decision::Go);
    stays(&mut t, 2);
    assert_eq!(t.decision(), Some(Decision::Go));
    stays(&mut t, 1);
    t.decide(2, Decision::Skip);
    assert_eq!(t.decision(), None);
    assert_eq!(t.decisions.len(), 0);
}

#[test]
fn whom_a_skipped_threads_end_wakes_is_in_the_round_before_the_turn_ends() {
    let mut t = Turns::start(0);
    t.enter(2);
    waits(&mut t, &[Key::Children(1)], None);
    assert_eq!(t.begin_skip(), Some(2));
    t.retire(2);
    t.wake(Key::Children(1));
    t.end_skip();
    assert_eq!((t.sync_due(), t.head()), (None, Some(1)));
}

#[test]
fn the_last_thread_skipped_leaves_an_empty_round() {
    let mut t = Turns::start(0);
    skip(&mut t);
    assert_eq!(t.sync_due(), Some(1));
}
