//! Four starts, one of them a liar's or silent: who begins, begins with the same members; in time three begin without the fourth.

use consensus::auth::Identity;
use proptest::prelude::*;
use replica::hello::Hello;
use replica::start::{Outcome, PATIENCE_US, Start};

fn hello(who: u8, version: u8) -> Hello {
    Hello { identity: Identity([16 * version + who + 1; 64]), share: [16 * version + who; 32] }
}

/// A record that is to reach `to` at `at`.
struct Under {
    at: u64,
    from: u8,
    to: u8,
    record: Vec<u8>,
}

/// Correct replicas 0 to 2 and a liar, 3. All that correct ones say arrives within `delay`; `lies` are (time, reader, kind, version) of the liar's words.
fn run(delays: &[u64], lies: &[(u64, u8, u8, u8)], begins_at: [u64; 3]) -> [Option<(u64, Outcome)>; 3] {
    let mut starts = [0, 1, 2].map(|i| Start::new(i, hello(i, 0), begins_at[usize::from(i)]));
    let (mut said, mut outcomes) = ([0; 3], [None; 3]);
    let mut delays = delays.iter().cycle();
    let mut way: Vec<Under> = Vec::new();
    for i in 0..3u8 {
        for to in (0..3u8).filter(|to| *to != i) {
            let at = begins_at[usize::from(i)] + delays.next().unwrap();
            way.push(Under { at, from: i, to, record: hello(i, 0).encode().to_vec() });
        }
    }
    for (at, to, kind, version) in lies {
        let own = hello(3, *version);
        let mut liar = Start::new(3, own, 0);
        (0..3u8).filter(|i| version >> i & 1 == 0).for_each(|i| liar.take(i, &hello(i, 0).encode()));
        liar.poll(PATIENCE_US);
        let heard = liar.records().next().unwrap();
        let mut begin = heard;
        begin[0] = 0x42;
        let record = match kind % 3 {
            0 => own.encode().to_vec(),
            1 => heard.to_vec(),
            _ => begin.to_vec(),
        };
        way.push(Under { at: *at, from: 3, to: *to % 3, record });
    }
    let step = PATIENCE_US / 20;
    for now in (0..200).map(|k| k * step) {
        let (arrived, rest): (Vec<_>, Vec<_>) = way.into_iter().partition(|u| u.at <= now);
        way = rest;
        arrived.iter().for_each(|u| starts[usize::from(u.to)].take(u.from, &u.record));
        for i in 0..3usize {
            if now < begins_at[i] {
                continue;
            }
            let outcome = starts[i].poll(now);
            outcomes[i] = outcomes[i].or(outcome.map(|o| (now, o)));
            for record in starts[i].records().skip(said[i]) {
                said[i] += 1;
                for to in (0..3).filter(|to| usize::from(*to) != i) {
                    let at = now + delays.next().unwrap();
                    way.push(Under { at, from: i as u8, to, record: record.to_vec() });
                }
            }
        }
    }
    outcomes
}

fn members(outcome: Option<(u64, Outcome)>) -> usize {
    match outcome {
        Some((_, Outcome::Begin(members, _))) => members.iter().filter(|m| m.0 != [0; 64]).count(),
        _ => 0,
    }
}

#[test]
fn all_four_begin_at_once_and_three_after_a_while() {
    let all = |who| (0..3).map(move |to| (1, to, who, 0));
    let four = run(&[1], &all(0).chain(all(1)).collect::<Vec<_>>(), [0; 3]);
    let three = run(&[1], &[], [0; 3]);
    for i in 0..3 {
        assert_eq!((members(four[i]), members(three[i])), (4, 3));
        assert!(four[i].unwrap().0 < PATIENCE_US / 2 && three[i].unwrap().0 <= 3 * PATIENCE_US);
    }
    assert!(four[0] != three[0] && three[0].unwrap().1 == three[2].unwrap().1);
}

/// The liar's hello reaches two, who have then heard all at once; what it says it heard leaves one of them out, and the third has waited for its hello.
#[test]
fn who_heard_all_at_once_waits_for_who_did_not() {
    let outcomes = run(&[0; 11], &[(0, 0, 0, 2), (0, 0, 1, 1), (0, 1, 0, 2)], [0; 3]);
    assert!(outcomes.iter().all(|o| members(*o) == 4), "{outcomes:?}");
}

#[test]
fn who_comes_late_is_left_out_and_knows_it() {
    let outcomes = run(&[1], &[], [0; 3]);
    let mut late = Start::new(3, hello(3, 0), 9 * PATIENCE_US);
    let Some((_, begun)) = outcomes[0] else { panic!("nobody began") };
    let mut others = [0, 1, 2].map(|i| Start::new(i, hello(i, 0), 0));
    for from in 0..3u8 {
        others.iter_mut().for_each(|s| s.take(from, &hello(from, 0).encode()));
    }
    for now in [PATIENCE_US, 2 * PATIENCE_US] {
        assert!(others.iter_mut().all(|s| s.poll(now).is_none()));
        let words: Vec<Vec<_>> = others.iter().map(|s| s.records().collect()).collect();
        for (from, words) in words.iter().enumerate() {
            words.iter().for_each(|w| others.iter_mut().for_each(|s| s.take(from as u8, w)));
        }
    }
    assert_eq!(others[1].poll(2 * PATIENCE_US), Some(begun));
    for (from, other) in others.iter().enumerate() {
        assert_eq!(late.poll(9 * PATIENCE_US), None, "three words are needed");
        late.take(from as u8, &other.last_word().unwrap());
    }
    assert_eq!(late.poll(9 * PATIENCE_US), Some(Outcome::LeftOut));
}

proptest! {
    /// Whatever the delays, and whatever the liar says to whom.
    #[test]
    fn who_begins_begins_with_the_same(
        delays in prop::collection::vec(0..3 * PATIENCE_US, 1..40),
        lies in prop::collection::vec((0..4 * PATIENCE_US, 0..3u8, 0..3u8, 0..3u8), 0..12),
        starts in [0..2 * PATIENCE_US, 0..2 * PATIENCE_US, 0..2 * PATIENCE_US],
    ) {
        let outcomes = run(&delays, &lies, starts);
        let begun: Vec<_> = outcomes.iter().flatten().filter(|(_, o)| *o != Outcome::LeftOut).collect();
        prop_assert!(begun.windows(2).all(|w| w[0].1 == w[1].1), "{outcomes:?}");
    }

    /// In time, whatever the liar says to whom, all three correct ones begin.
    #[test]
    fn in_time_all_correct_ones_begin(
        delays in prop::collection::vec(0..PATIENCE_US / 4, 1..40),
        lies in prop::collection::vec((0..4 * PATIENCE_US, 0..3u8, 0..3u8, 0..3u8), 0..12),
        starts in [0..PATIENCE_US / 4, 0..PATIENCE_US / 4, 0..PATIENCE_US / 4],
    ) {
        let outcomes = run(&delays, &lies, starts);
        prop_assert!(outcomes.iter().all(|o| members(*o) >= 3), "{outcomes:?}");
        let first = outcomes[0].unwrap().1;
        prop_assert!(outcomes.iter().all(|o| o.unwrap().1 == first));
    }
}
