//! Positive controls: rings with one known fault each, which the campaign must find by the check that is named here.

mod adversary;

use adversary::{Found, Violation, WORDS, Watched};
use ipc::seeded::{self, Bug};
use std::panic::catch_unwind;

type Campaign = fn(&'static [Watched; WORDS], u64, u64) -> Found;

#[test]
fn every_seeded_fault_is_found() {
    static RING: [Watched; WORDS] = [const { Watched::new() }; WORDS];
    let cases: [(Bug, Campaign, &[Violation]); 9] = [
        (Bug::HeadReadTwice, adversary::reader, &[Violation::ReadTwice]),
        (Bug::LengthNotClamped, adversary::reader, &[Violation::Unclamped]),
        (Bug::EndNotChecked, adversary::reader, &[Violation::BeyondHead]),
        (Bug::NoCheckAfterCopy, adversary::broadcast, &[Violation::Torn, Violation::Accused]),
        (Bug::NoReserve, adversary::broadcast, &[Violation::Torn, Violation::Accused]),
        (Bug::HeadBeforeData, adversary::stream, &[Violation::Torn, Violation::Accused]),
        (Bug::WrapOffByOne, adversary::stream, &[Violation::Torn, Violation::Order]),
        (Bug::PositionNotChecked, adversary::writer, &[Violation::Believed]),
        (Bug::SearchWithoutBound, adversary::reader, &[Violation::Unbounded, Violation::Forged]),
    ];
    for (bug, campaign, expected) in cases {
        seeded::choose(Some(bug));
        let found = catch_unwind(|| campaign(&RING, 5, 1_000_000)).expect("a violation, not a panic");
        seeded::choose(None);
        match found {
            Err(violation) => assert!(expected.contains(&violation), "{bug:?}: found as {violation:?}"),
            Ok(report) => panic!("{bug:?} was not found: {report:?}"),
        }
        println!("{bug:?}: found as {:?}", found.unwrap_err());
    }
    for campaign in [adversary::reader, adversary::writer, adversary::broadcast, adversary::stream] {
        assert!(campaign(&RING, 5, 100_000).is_ok(), "found a fault where none was seeded");
    }
}
