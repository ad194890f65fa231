//! A kernel begun anew executes again what its predecessor was accused of: the gate knows what the quorum had said, however long ago that was. What only the
//! replicas compare, reports of sync points, it takes their word for, and of the successor none that was meant for its predecessor.

use abi::digest::effect_digest;
use abi::vote::{EffectKind, Output, Verdict, Vote};
use consensus::verdict::Evidence;
use gate::{Config, Gate, Sink, VOTE_MAX};

#[derive(Default)]
struct Out(Vec<Verdict>);

impl Sink for Out {
    fn output(&mut self, _: &Output<'_>) -> bool {
        true
    }
    fn drained(&mut self) -> bool {
        true
    }
    fn verdict(&mut self, verdict: Verdict) {
        if !matches!(verdict, Verdict::Released { .. }) {
            self.0.push(verdict);
        }
    }
    fn evidence(&mut self, _: &Evidence) {}
}

fn put(gate: &mut Gate, voters: core::ops::Range<u32>, vote: &Vote<'_>, out: &mut Out) {
    let mut bytes = [0; VOTE_MAX];
    let length = postcard::to_slice(vote, &mut bytes).unwrap().len();
    for voter in voters {
        gate.wants(voter).expect("it is read")[..length].copy_from_slice(&bytes[..length]);
        gate.on_record(voter, length, 77, out);
        gate.poll(0, out);
    }
}

fn passed(s: u64, state: u8) -> Vote<'static> {
    Vote::Passed { s, call: s, effects: 0, runnable: true, deadline_us: 0, state: Some([state; 32]) }
}

fn effect(n: u64, payload: &[u8]) -> Vote<'_> {
    let (call, kind) = (n, EffectKind::TtyOutput);
    Vote::Effect { n, call, kind, digest: effect_digest(n, call, kind, payload), payload }
}

/// Voter 7 says `wrong` after sync points 0 and 1, where the others say `right`; they go on until the gate has forgotten that, and 7 is begun anew.
fn begun_anew(right: &Vote<'_>, wrong: &Vote<'_>) -> (Box<Gate>, Out) {
    let config = Config { epoch: 1, kernels: 0xf0, voters: 0xf0, quorum: 3, grace_us: 50_000 };
    let (mut gate, mut out) = (Box::new(Gate::new(config).unwrap()), Out::default());
    for s in 0..2 {
        put(&mut gate, 4..8, &passed(s, 1), &mut out);
    }
    put(&mut gate, 4..7, right, &mut out);
    put(&mut gate, 7..8, wrong, &mut out);
    gate.set_voters(2, 0x70, 2, 0);
    for n in 0..5000 {
        let (s, n) = if matches!(right, Vote::Passed { .. }) { (n + 3, n) } else { (n + 2, n + 1) };
        put(&mut gate, 4..7, &effect(n, b"x"), &mut out);
        put(&mut gate, 4..7, &passed(s, 1), &mut out);
    }
    gate.on_restarted(7, &mut out);
    for s in 0..2 {
        put(&mut gate, 7..8, &passed(s, 1), &mut out);
    }
    (gate, out)
}

#[test]
fn what_is_right_the_second_time_has_vanished() {
    for (right, wrong) in [(effect(0, b"right"), effect(0, b"wrong")), (passed(2, 1), passed(2, 9))] {
        let (mut gate, mut out) = begun_anew(&right, &wrong);
        let [stood, accused, Verdict::Restarted { voter: 7, .. }] = out.0[..] else { panic!("{:?}", out.0) };
        // The sync point itself is passed with the wrong state.
        let s = if matches!(right, Vote::Passed { .. }) { 3 } else { 2 };
        assert_eq!(stood, Verdict::Stood { voter: 7, s });
        out.0.clear();
        let (mut same, mut again) = begun_anew(&right, &wrong);
        put(&mut gate, 7..8, &right, &mut out);
        assert_eq!(out.0, [Verdict::Vanished { voter: 7 }]);
        // The same once more is the same accusation.
        again.0.clear();
        put(&mut same, 7..8, &wrong, &mut again);
        assert_eq!(again.0, [stood, accused]);
    }
}

#[test]
fn who_contradicts_leaves_by_two_replicas_word_and_by_no_ones_alone() {
    let config = Config { epoch: 1, kernels: 0xf0, voters: 0xf0, quorum: 3, grace_us: 50_000 };
    let (mut gate, mut out) = (Box::new(Gate::new(config).unwrap()), Out::default());
    for _ in 0..3 {
        gate.on_contradicts(4, 1, 9, &mut out);
    }
    gate.on_contradicts(5, 2, 9, &mut out);
    gate.on_contradicts(99, 2, 9, &mut out);
    gate.on_contradicts(4, 99, 9, &mut out);
    assert!(out.0.is_empty(), "{:?}", out.0);
    gate.on_contradicts(4, 3, 9, &mut out);
    gate.on_contradicts(4, 0, 9, &mut out);
    assert_eq!(out.0, [Verdict::Stood { voter: 4, s: 0 }, Verdict::Contradicts { voter: 4, s: 9 }]);
    assert!(gate.wants(4).is_none(), "it is not heard any more");
    // What the others had still to say of it is not about its successor, nor what one said of another.
    gate.set_voters(2, 0xe0, 2, 0);
    gate.on_restarted(4, &mut out);
    gate.on_contradicts(4, 2, 9, &mut out);
    gate.set_voters(3, 0xf0, 3, 0);
    gate.on_contradicts(4, 1, 9, &mut out);
    assert!(gate.wants(4).is_some());
    assert_eq!(out.0.len(), 3, "{:?}", out.0);
}
