//! A kernel that the gate knew from the beginning, and that did not vote, takes another's place.

use abi::digest::effect_digest;
use abi::vote::{EffectKind, Output, Verdict, Vote};
use consensus::verdict::Evidence;
use gate::{Config, Gate, Sink};

#[derive(Default)]
struct Out {
    outputs: u64,
    verdicts: Vec<Verdict>,
}

impl Sink for Out {
    fn output(&mut self, output: &Output<'_>) -> bool {
        assert_eq!(output.n, self.outputs);
        self.outputs += 1;
        true
    }
    fn drained(&mut self) -> bool {
        true
    }
    fn verdict(&mut self, verdict: Verdict) {
        if !matches!(verdict, Verdict::Released { .. }) {
            self.verdicts.push(verdict);
        }
    }
    fn evidence(&mut self, _: &Evidence) {}
}

/// `voter` posts effect `n`. Whether that was wanted.
fn put(gate: &mut Gate, voter: u32, n: u64, text: &str, out: &mut Out) -> bool {
    let (call, kind, payload) = (n * 10, EffectKind::TtyOutput, text.as_bytes());
    let vote = Vote::Effect { n, call, kind, digest: effect_digest(n, call, kind, payload), payload };
    let Some(buffer) = gate.wants(voter) else { return false };
    let length = postcard::to_slice(&vote, buffer).unwrap().len();
    gate.on_record(voter, length, 0, out);
    true
}

#[test]
fn the_cold_one_is_not_heard_until_it_begins_and_counts_when_it_is_a_voter() {
    let config = Config { epoch: 1, kernels: 0x1f0, voters: 0xf0, quorum: 3, grace_us: 50_000 };
    assert!(Gate::new(Config { voters: 0x2f0, ..config }).is_none(), "a voter that is no kernel");
    let (mut gate, mut out) = (Box::new(Gate::new(config).unwrap()), Out::default());
    assert!(!put(&mut gate, 8, 0, "one", &mut out));
    gate.on_restarted(8, &mut out);
    assert_eq!(out.verdicts, [Verdict::Restarted { voter: 8, epoch: 1 }]);
    // Three voices, one of which is no voter's: nothing leaves.
    for voter in [4, 5, 8] {
        assert!(put(&mut gate, voter, 0, "one", &mut out));
    }
    gate.poll(0, &mut out);
    assert_eq!(out.outputs, 0);
    assert!(put(&mut gate, 6, 0, "one", &mut out) && put(&mut gate, 7, 0, "one", &mut out));
    gate.poll(0, &mut out);
    assert_eq!(out.outputs, 1);
    // It takes 5's place: nobody waits for that one any more, and a lie of the new one is found.
    gate.set_voters(2, 0x1d0, 3, 0);
    assert!(!put(&mut gate, 5, 1, "two", &mut out));
    for voter in [4, 6, 8] {
        assert!(put(&mut gate, voter, 1, "two", &mut out));
    }
    gate.poll(0, &mut out);
    assert!(put(&mut gate, 7, 1, "two", &mut out));
    assert_eq!((out.outputs, out.verdicts.len()), (2, 1));
    for voter in [4, 6, 7] {
        assert!(put(&mut gate, voter, 2, "three", &mut out));
    }
    assert!(put(&mut gate, 8, 2, "lie", &mut out));
    gate.poll(10, &mut out);
    let accused = |v: &Verdict| matches!(v, Verdict::WrongOutput { voter: 8, agreed: 0xd0, .. });
    assert!(out.verdicts.iter().any(accused), "{:?}", out.verdicts);
}
