//! Seeded faults: each known way to be wrong must be found; the table says by which seed, and as what.

use consensus::seeded::{Bug, choose};
use consensus::verdict::{Ballot, Cast, Decision, Policy, Subject};
use consensus_simulator::plan::Plan;
use consensus_simulator::shrink::run;

/// Seeds tried for each fault.
const SEEDS: u64 = 2_500;

/// The first seed whose run fails, and how.
fn by_simulation() -> Option<(String, String)> {
    (0..SEEDS).find_map(|seed| Some((format!("seed {seed}"), run(&Plan::new(seed)).failure?)))
}

/// What a verdict must be, whatever the code says.
fn by_ballot() -> Option<(String, String)> {
    let subject = Subject { epoch: 3, turn: 8, thread: 1, kind: 0 };
    let mut b = Ballot::new(subject);
    b.cast(4, &subject, [1; 32]);
    b.cast(5, &subject, [1; 32]);
    let quorum = Policy::Quorum { k: 3 };
    let found = |what: &str| Some(("ballot".to_string(), format!("VERDICT: {what}")));
    if b.cast(6, &Subject { epoch: 2, ..subject }, [1; 32]) != Cast::Refused {
        return found("a vote of epoch 2 counts in epoch 3");
    }
    if b.cast(4, &subject, [2; 32]) != Cast::Contradicts {
        return found("a voter that said two things has its second one counted");
    }
    if quorum.decide(&b, 0xf0) != Decision::Open {
        return found("two of four votes decide where three are asked");
    }
    b.cast(0, &subject, [1; 32]);
    if quorum.decide(&b, 0xf0) != Decision::Open {
        return found("who is no member decides");
    }
    None
}

#[test]
#[cfg_attr(debug_assertions, ignore = "long: `make model` runs it")]
fn each_is_found() {
    choose(None);
    assert_eq!(by_ballot(), None);
    println!("| Seeded fault | What is wrong | Found by | As |\n|---|---|---|---|");
    let mut missed = Vec::new();
    let only = std::env::var("ONLY").unwrap_or_default();
    for bug in Bug::ALL.iter().filter(|b| format!("{b:?}").contains(&only)) {
        choose(Some(*bug));
        let found = by_ballot().or_else(by_simulation);
        choose(None);
        match found {
            Some((how, what)) => {
                let short: String = what.replace('|', "/").chars().take(90).collect();
                println!("| {bug:?} | {} | {how} | {short} |", bug.what());
            }
            None => missed.push(*bug),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
