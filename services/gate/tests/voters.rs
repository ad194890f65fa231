//! Four simulated voters, one of them faulty, in any order of arrival; and voters that write rubbish.

use abi::digest::{Digest, effect_digest};
use abi::vote::{EffectKind, Output, Verdict, Vote};
use consensus::verdict::{self, Evidence, Policy};
use gate::{Config, Gate, Sink, VOTE_MAX};
use proptest::prelude::*;

const GRACE: u64 = 50_000;
/// So far back the gate can judge.
const HISTORY: u64 = 4096;

#[derive(Default)]
struct Out {
    outputs: Vec<(u64, Vec<u8>)>,
    verdicts: Vec<Verdict>,
    evidence: Vec<Evidence>,
    full: bool,
    busy: bool,
}

impl Sink for Out {
    fn output(&mut self, output: &Output<'_>) -> bool {
        if !self.full {
            self.outputs.push((output.n, output.payload.to_vec()));
        }
        !self.full
    }
    fn drained(&mut self) -> bool {
        !self.busy
    }
    fn verdict(&mut self, verdict: Verdict) {
        self.verdicts.push(verdict);
    }
    fn evidence(&mut self, evidence: &Evidence) {
        self.evidence.push(Evidence::decode(&evidence.encode()).unwrap());
    }
}

impl Out {
    /// What was found, without the news of progress.
    fn found(&self) -> Vec<Verdict> {
        let found = |v: &&Verdict| !matches!(v, Verdict::Released { .. } | Verdict::Stood { .. });
        self.verdicts.iter().filter(found).copied().collect()
    }
}

fn gate() -> Box<Gate> {
    Box::new(Gate::new(Config { epoch: 1, kernels: 0xf0, voters: 0xf0, quorum: 3, grace_us: GRACE }).unwrap())
}

fn encode(vote: &Vote) -> Vec<u8> {
    let mut buf = [0; VOTE_MAX];
    postcard::to_slice(vote, &mut buf).unwrap().to_vec()
}

fn effect_of(n: u64, kind: EffectKind, payload: &[u8]) -> Vec<u8> {
    let call = n * 10;
    encode(&Vote::Effect { n, call, kind, digest: effect_digest(n, call, kind, payload), payload })
}

fn effect(n: u64) -> Vec<u8> {
    effect_of(n, EffectKind::TtyOutput, format!("line {n}").as_bytes())
}

fn put(gate: &mut Gate, voter: u32, record: &[u8], out: &mut Out) -> bool {
    let Some(buffer) = gate.wants(voter) else { return false };
    buffer[..record.len()].copy_from_slice(record);
    gate.on_record(voter, record.len(), 77, out);
    true
}

fn put_all(gate: &mut Gate, voters: core::ops::Range<u32>, record: &[u8], now: u64, out: &mut Out) {
    for voter in voters {
        assert!(put(gate, voter, record, out));
    }
    gate.poll(now, out);
}

fn state(s: u64, digest: Option<Digest>) -> Vec<u8> {
    encode(&Vote::Passed { s, call: s, effects: 0, runnable: true, deadline_us: 0, state: digest })
}

#[test]
fn three_release_and_the_fourth_is_held_against_them() {
    let (mut gate, mut out) = (gate(), Out::default());
    put_all(&mut gate, 4..6, &effect(0), 0, &mut out);
    assert!(out.outputs.is_empty());
    assert!(gate.wants(4).is_none(), "one that is ahead is not read");
    put_all(&mut gate, 6..7, &effect(0), 0, &mut out);
    assert_eq!(out.outputs, [(0, b"line 0".to_vec())]);
    assert_eq!(out.verdicts, [Verdict::Released { effects: 1 }]);
    put_all(&mut gate, 7..8, &effect_of(0, EffectKind::TtyOutput, b"lie"), 1, &mut out);
    let [Verdict::WrongOutput { voter: 7, n: 0, call: 0, own, quorum, agreed: 0x70 }] = out.found()[..]
    else {
        panic!("{:?}", out.verdicts)
    };
    // Whoever holds the evidence and the policy finds the verdict again.
    let [evidence] = out.evidence[..] else { panic!("{:?}", out.evidence) };
    let again = verdict::Verdict::of(&evidence.ballot, evidence.members, &Policy::Quorum { k: 3 }, None);
    assert_eq!((again.wrong, again.silent), (8, 0));
    assert!(again.to_string().starts_with("effect 0, epoch 1: 0, 1, 2 agree on "), "{again}");
    assert_ne!(own, quorum);
    assert!(gate.wants(7).is_none());
}

#[test]
fn a_digest_that_is_not_of_its_payload_is_a_wrong_vote() {
    let (mut gate, mut out) = (gate(), Out::default());
    let payload = b"line 0";
    let vote = Vote::Effect { n: 0, call: 0, kind: EffectKind::TtyOutput, digest: [5; 32], payload };
    put_all(&mut gate, 4..5, &encode(&vote), 0, &mut out);
    put_all(&mut gate, 5..7, &effect(0), 0, &mut out);
    assert!(out.outputs.is_empty());
    put_all(&mut gate, 7..8, &effect(0), 0, &mut out);
    let [Verdict::WrongOutput { voter: 4, own, .. }] = out.found()[..] else { panic!("{:?}", out.verdicts) };
    assert_eq!((out.outputs.len(), own), (1, [5; 32]));
}

#[test]
fn a_missing_voter_is_late_once_and_catches_up() {
    let (mut gate, mut out) = (gate(), Out::default());
    for n in 0..3 {
        put_all(&mut gate, 4..7, &effect(n), 10, &mut out);
    }
    assert_eq!(gate.wake_at(10), Some(10 + GRACE));
    gate.poll(9 + GRACE, &mut out);
    assert!(out.found().is_empty());
    gate.poll(10 + GRACE, &mut out);
    gate.poll(20 + GRACE, &mut out);
    assert_eq!(out.found(), [Verdict::Late { voter: 7, n: 0 }]);
    for n in 0..3 {
        put_all(&mut gate, 7..8, &effect(n), 30 + GRACE, &mut out);
    }
    assert_eq!(out.found()[1..], [Verdict::CaughtUp { voter: 7 }]);
}

#[test]
fn a_late_lie_is_found_and_one_too_late_to_judge_is_malformed() {
    for (behind, found) in [(HISTORY - 1, true), (HISTORY + 1, false)] {
        let (mut gate, mut out) = (gate(), Out::default());
        for n in 0..behind {
            put_all(&mut gate, 4..7, &effect(n), 0, &mut out);
        }
        put(&mut gate, 7, &effect_of(0, EffectKind::TtyOutput, b"lie"), &mut out);
        assert_eq!(matches!(out.found()[..], [Verdict::WrongOutput { voter: 7, n: 0, .. }]), found);
        assert_eq!(matches!(out.found()[..], [Verdict::Malformed { voter: 7, position: 77 }]), !found);
    }
}

#[test]
fn two_against_two_stop_the_output() {
    let (mut gate, mut out) = (gate(), Out::default());
    put_all(&mut gate, 4..6, &effect(0), 0, &mut out);
    put_all(&mut gate, 6..7, &effect_of(0, EffectKind::TtyOutput, b"other"), 0, &mut out);
    assert!(out.verdicts.is_empty());
    put_all(&mut gate, 7..8, &effect_of(0, EffectKind::TtyOutput, b"other"), 0, &mut out);
    assert_eq!(out.verdicts, [Verdict::NoQuorum { n: 0 }]);
    assert!(gate.wants(4).is_none());
    assert!(matches!(out.evidence[..], [Evidence { ballot, members: 15 }] if ballot.digests().count() == 2));
}

#[test]
fn one_crash_is_survived_and_two_are_not() {
    let (mut gate, mut out) = (gate(), Out::default());
    gate.on_crashed(4, &mut out);
    put_all(&mut gate, 5..8, &effect(0), 0, &mut out);
    assert_eq!(out.outputs.len(), 1);
    gate.on_crashed(4, &mut out);
    gate.on_crashed(6, &mut out);
    gate.poll(1, &mut out);
    let crashed = |voter| Verdict::Crashed { voter };
    assert_eq!(
        (out.found(), out.evidence.len()),
        (vec![crashed(4), crashed(6), Verdict::NoQuorum { n: 1 }], 0)
    );
}

#[test]
fn exit_waits_for_the_output_and_nothing_follows() {
    let (mut gate, mut out) = (gate(), Out { busy: true, ..Out::default() });
    put_all(&mut gate, 4..7, &effect_of(0, EffectKind::Exit, &[0, 3, 0, 0]), 0, &mut out);
    assert!(out.found().is_empty() && out.outputs.is_empty());
    out.busy = false;
    gate.poll(1, &mut out);
    gate.poll(2, &mut out);
    assert_eq!(out.found(), [Verdict::Exit { status: 0x300 }]);
    gate.on_crashed(4, &mut out);
    gate.on_crashed(5, &mut out);
    gate.poll(3, &mut out);
    assert!(!out.found().contains(&Verdict::NoQuorum { n: 1 }));
}

#[test]
fn a_device_without_room_delays_and_loses_nothing() {
    let (mut gate, mut out) = (gate(), Out { full: true, ..Out::default() });
    put_all(&mut gate, 4..8, &effect(0), 0, &mut out);
    assert!(out.verdicts.is_empty());
    out.full = false;
    gate.poll(1, &mut out);
    assert_eq!((out.outputs.len(), out.verdicts.len()), (1, 1));
}

#[test]
fn a_state_digest_against_the_quorum_is_proof() {
    let (mut gate, mut out) = (gate(), Out::default());
    for voter in 4..8 {
        let wrong = voter == 5;
        put(&mut gate, voter, &state(0, Some([u8::from(wrong); 32])), &mut out);
    }
    let (own, quorum) = ([1; 32], [0; 32]);
    assert_eq!(out.found(), [Verdict::WrongState { voter: 5, s: 0, process: 0, own, quorum }]);
    for voter in [4, 6, 7] {
        let digest = [u8::from(voter == 7); 32];
        let memory = Vote::Memory { s: 0, process: 2, pid: 12, digest };
        put(&mut gate, voter, &encode(&memory), &mut out);
    }
    assert_eq!(out.found().len(), 1, "two are no quorum");
}

#[test]
fn what_is_out_of_order_is_malformed() {
    let memory = Vote::Memory { s: 0, process: 2, pid: 12, digest: [0; 32] };
    for bad in [effect(1), state(1, None), encode(&memory), vec![200], [effect(0), vec![0]].concat()] {
        let (mut gate, mut out) = (gate(), Out::default());
        put(&mut gate, 4, &bad, &mut out);
        assert_eq!(out.found(), [Verdict::Malformed { voter: 4, position: 77 }]);
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    Crash(u64),
    Hang(u64),
    Lie(u64),
    Rubbish(u64),
}

fn fault() -> impl Strategy<Value = Fault> {
    prop_oneof![
        (0u64..60).prop_map(Fault::Crash),
        (0u64..60).prop_map(Fault::Hang),
        (0u64..60).prop_map(Fault::Lie),
        (0u64..60).prop_map(Fault::Rubbish),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever one voter does and however the votes arrive: all output leaves, once, in order, right; and the culprit is
    /// named, nobody else.
    #[test]
    fn one_faulty_voter_of_four(fault in fault(), culprit in 4u32..8,
                                order in prop::collection::vec(4u32..8, 100..900), full in any::<u64>()) {
        let (mut gate, mut out) = (gate(), Out::default());
        let mut next = [0u64; 8];
        let calm = (0..400).map(|i| 4 + i % 4);
        for (step, voter) in order.into_iter().chain(calm).enumerate() {
            let n = next[voter as usize];
            let mut record = if n < 60 { effect(n) } else { state(n - 60, None) };
            if voter == culprit {
                match fault {
                    Fault::Crash(at) if n >= at => {
                        gate.on_crashed(culprit, &mut out);
                        continue;
                    }
                    Fault::Hang(at) if n >= at => continue,
                    Fault::Lie(at) if n == at => record = effect_of(n, EffectKind::TtyOutput, b"lie"),
                    Fault::Rubbish(at) if n == at => record = vec![1, 255, 3],
                    _ => {}
                }
            }
            out.full = step < 500 && full >> (step % 64) & 1 == 1;
            next[voter as usize] += u64::from(put(&mut gate, voter, &record, &mut out));
            gate.poll(step as u64, &mut out);
        }
        out.full = false;
        gate.poll(10_000_000, &mut out);
        let expect: Vec<_> = (0..60).map(|n| (n, format!("line {n}").into_bytes())).collect();
        prop_assert_eq!(&out.outputs, &expect);
        let found = out.found();
        let named = match fault {
            Fault::Crash(_) => matches!(found[..], [Verdict::Crashed { voter }] if voter == culprit),
            Fault::Hang(_) => matches!(found[..], [Verdict::Late { voter, .. }] if voter == culprit),
            Fault::Lie(at) => {
                matches!(found[..], [Verdict::WrongOutput { voter, n, .. }] if voter == culprit && n == at)
            }
            Fault::Rubbish(_) => matches!(found[..], [Verdict::Malformed { voter, .. }] if voter == culprit),
        };
        prop_assert!(named, "{:?}", found);
    }

    /// Rubbish from everybody: nothing leaves that three did not post, and nothing breaks.
    #[test]
    fn any_bytes_are_survived(records in prop::collection::vec(
        (4u32..8, prop::collection::vec(any::<u8>(), 0..80), 0u64..3, 0u8..4), 0..200)) {
        let (mut gate, mut out) = (gate(), Out::default());
        let mut said = std::collections::HashMap::<Vec<u8>, std::collections::HashSet<u32>>::new();
        for (voter, bytes, n, how) in records {
            let payload = &bytes[..bytes.len().min(1)];
            let record = match how {
                0 => bytes.clone(),
                1 => effect_of(n, EffectKind::TtyOutput, payload),
                2 => state(n, None),
                _ => encode(&Vote::Memory { s: n, process: n, pid: 0, digest: [bytes.len() as u8; 32] }),
            };
            if put(&mut gate, voter, &record, &mut out) && how == 1 {
                said.entry(record).or_default().insert(voter);
            }
            gate.poll(n, &mut out);
        }
        for (n, payload) in out.outputs {
            prop_assert!(said[&effect_of(n, EffectKind::TtyOutput, &payload)].len() >= 3);
        }
    }
}

/// Three of four go on; the fourth crashed, left, and is begun anew.
fn returning(released: u64) -> (Box<Gate>, Out) {
    let (mut gate, mut out) = (gate(), Out::default());
    gate.on_crashed(7, &mut out);
    gate.set_voters(2, 0x70, 2, 0);
    for n in 0..released {
        put_all(&mut gate, 4..7, &effect(n), 10, &mut out);
    }
    gate.on_restarted(7, &mut out);
    (gate, out)
}

#[test]
fn a_newcomer_releases_nothing_again_is_never_late_and_counts_when_it_joins() {
    let (mut gate, mut out) = returning(3);
    assert_eq!(out.found(), [Verdict::Crashed { voter: 7 }, Verdict::Restarted { voter: 7, epoch: 2 }]);
    assert!(gate.is_returning(7));
    put_all(&mut gate, 7..8, &effect(0), 20, &mut out);
    gate.poll(100 * GRACE, &mut out);
    // What was lost of it is passed over.
    put_all(&mut gate, 7..8, &effect(2), 20, &mut out);
    assert_eq!((out.outputs.len(), out.found().len()), (3, 2));
    // Its vote is none: with it two would agree.
    put_all(&mut gate, 7..8, &effect(3), 20, &mut out);
    put_all(&mut gate, 4..5, &effect(3), 20, &mut out);
    assert_eq!(out.outputs.len(), 3);
    put_all(&mut gate, 5..7, &effect(3), 20, &mut out);
    assert_eq!(out.outputs.len(), 4);
    gate.set_voters(3, 0xf0, 3, 30);
    assert!(!gate.is_returning(7));
    put_all(&mut gate, 4..6, &effect(4), 40, &mut out);
    put_all(&mut gate, 7..8, &effect(4), 40, &mut out);
    assert_eq!(out.outputs.len(), 5);
    put_all(&mut gate, 7..8, &effect(6), 40, &mut out);
    assert_eq!(
        out.found().last(),
        Some(&Verdict::Malformed { voter: 7, position: 77 }),
        "a voter leaves no gap"
    );
}

#[test]
fn a_newcomer_that_says_something_else_is_accused_before_it_votes() {
    let (mut gate, mut out) = returning(3);
    put_all(&mut gate, 7..8, &effect_of(0, EffectKind::TtyOutput, b"lie"), 20, &mut out);
    assert!(matches!(out.found()[2..], [Verdict::WrongOutput { voter: 7, n: 0, .. }]), "{:?}", out.found());
    assert!(gate.wants(7).is_none());
    // Another is begun in its place, and too long ago is too long ago.
    let (mut gate, mut out) = returning(HISTORY + 2);
    put_all(&mut gate, 7..8, &effect_of(0, EffectKind::TtyOutput, b"lie"), 20, &mut out);
    assert_eq!(out.found().len(), 2);
}

#[test]
fn a_state_that_a_predecessor_voted_is_not_its_successors() {
    let (mut gate, mut out) = (gate(), Out::default());
    for s in 0..1 {
        put_all(&mut gate, 7..8, &state(s, Some([9; 32])), 0, &mut out);
    }
    gate.on_crashed(7, &mut out);
    gate.set_voters(2, 0x70, 2, 0);
    gate.on_restarted(7, &mut out);
    put_all(&mut gate, 4..8, &state(0, Some([1; 32])), 0, &mut out);
    assert_eq!(out.found().len(), 2, "{:?}", out.found());
}

#[test]
fn who_is_late_and_says_nothing_at_all_is_taken_for_dead() {
    let (mut gate, mut out) = (gate(), Out::default());
    put_all(&mut gate, 4..7, &effect(0), 10, &mut out);
    gate.poll(10 + GRACE, &mut out);
    assert_eq!(out.found(), [Verdict::Late { voter: 7, n: 0 }]);
    // It still says something, if not that.
    put(&mut gate, 7, &state(0, None), &mut out);
    gate.poll(10 + 5 * GRACE, &mut out);
    let dead = 10 + 15 * GRACE;
    assert_eq!(gate.wake_at(10 + 5 * GRACE), Some(dead));
    gate.poll(dead - 1, &mut out);
    assert_eq!(out.found().len(), 1);
    gate.poll(dead, &mut out);
    assert_eq!(out.found()[1..], [Verdict::Silent { voter: 7, n: 0 }]);
}
