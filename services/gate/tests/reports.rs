//! Reports of sync points the gate does not compare: the replicas do, and f + 1 of them are believed.

use abi::vote::{Output, Verdict};
use consensus::verdict::Evidence;
use gate::{Config, Gate, Sink};

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
        self.0.push(verdict);
    }
    fn evidence(&mut self, _: &Evidence) {}
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
