//! Roots of snapshots are held against each other as state digests are; a kernel begun anew begins behind one.

use abi::digest::effect_digest;
use abi::vote::{EffectKind, Output, SNAPSHOT, Verdict, Vote};
use consensus::verdict::Evidence;
use gate::{Config, Gate, Sink, VOTE_MAX};

#[derive(Default)]
struct Out {
    outputs: u64,
    verdicts: Vec<Verdict>,
    evidence: usize,
}

impl Sink for Out {
    fn output(&mut self, _: &Output<'_>) -> bool {
        self.outputs += 1;
        true
    }
    fn drained(&mut self) -> bool {
        true
    }
    fn verdict(&mut self, verdict: Verdict) {
        if !matches!(verdict, Verdict::Released { .. } | Verdict::Stood { .. }) {
            self.verdicts.push(verdict);
        }
    }
    fn evidence(&mut self, _: &Evidence) {
        self.evidence += 1;
    }
}

fn put(gate: &mut Gate, voter: u32, vote: &Vote<'_>, out: &mut Out) {
    let mut bytes = [0; VOTE_MAX];
    let length = postcard::to_slice(vote, &mut bytes).unwrap().len();
    gate.wants(voter).expect("it is read")[..length].copy_from_slice(&bytes[..length]);
    gate.on_record(voter, length, 77, out);
    gate.poll(0, out);
}

fn passed(s: u64) -> Vote<'static> {
    Vote::Passed { s, call: s, effects: 0, runnable: true, deadline_us: 0, state: None }
}

fn effect(n: u64) -> Vote<'static> {
    let (call, kind, payload) = (n, EffectKind::TtyOutput, b"x");
    Vote::Effect { n, call, kind, digest: effect_digest(n, call, kind, payload), payload }
}

fn snapshot(root: u8) -> Vote<'static> {
    Vote::Snapshot { s: 1, call: 2, effects: 1, root: [root; 32] }
}

/// Four voters stand behind sync point 1 and have put out one effect.
fn gate() -> (Box<Gate>, Out) {
    let config = Config { epoch: 1, kernels: 0xf0, voters: 0xf0, quorum: 3, grace_us: 50_000 };
    let (mut gate, mut out) = (Box::new(Gate::new(config).unwrap()), Out::default());
    for vote in [passed(0), effect(0), passed(1)] {
        (4..8).for_each(|voter| put(&mut gate, voter, &vote, &mut out));
    }
    assert_eq!((out.outputs, &out.verdicts[..]), (1, &[][..]));
    (gate, out)
}

#[test]
fn who_votes_for_another_root_is_wrong() {
    let (mut gate, mut out) = gate();
    put(&mut gate, 4, &snapshot(9), &mut out);
    (5..8).for_each(|voter| put(&mut gate, voter, &snapshot(1), &mut out));
    let wrong = Verdict::WrongState { voter: 4, s: 1, process: SNAPSHOT, own: [9; 32], quorum: [1; 32] };
    assert_eq!((&out.verdicts[..], out.evidence), (&[wrong][..], 1));
    assert!(gate.wants(4).is_none());
}

#[test]
fn a_snapshot_of_what_is_not_passed_is_no_vote() {
    let (mut gate, mut out) = gate();
    put(&mut gate, 4, &Vote::Snapshot { s: 3, call: 2, effects: 1, root: [1; 32] }, &mut out);
    assert_eq!(out.verdicts, [Verdict::Malformed { voter: 4, position: 77 }]);
}

/// The same with voter 7 begun anew; its first word names this root.
fn newcomer(root: u8) -> (Box<Gate>, Out) {
    let (mut gate, mut out) = gate();
    (4..7).for_each(|voter| put(&mut gate, voter, &snapshot(1), &mut out));
    gate.on_crashed(7, &mut out);
    gate.set_voters(2, 0x70, 2, 0);
    gate.on_restarted(7, &mut out);
    out.verdicts.clear();
    put(&mut gate, 7, &snapshot(root), &mut out);
    (gate, out)
}

#[test]
fn a_newcomer_goes_on_behind_it() {
    let (mut gate, mut out) = newcomer(1);
    for vote in [passed(2), effect(1)] {
        (4..8).for_each(|voter| put(&mut gate, voter, &vote, &mut out));
    }
    gate.set_voters(3, 0xf0, 3, 0);
    (4..8).for_each(|voter| put(&mut gate, voter, &effect(2), &mut out));
    assert_eq!((out.outputs, &out.verdicts[..]), (3, &[][..]));
}

#[test]
fn a_newcomer_that_stands_elsewhere_is_wrong() {
    let (_, out) = newcomer(2);
    let wrong = Verdict::WrongState { voter: 7, s: 1, process: SNAPSHOT, own: [2; 32], quorum: [1; 32] };
    assert_eq!(out.verdicts, [wrong]);
}
