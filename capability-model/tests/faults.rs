//! Seeded faults: each known way to be wrong must be found, and the table says by which check.

#[path = "common/cluster.rs"]
mod cluster;
mod common;
#[path = "common/random.rs"]
mod random;
#[path = "common/reference.rs"]
mod reference;
#[path = "common/scripts.rs"]
mod scripts;

use capability_model::faults::Fault;
use cluster::{Cluster, Explored, Topic, holds};
use stateright::{Checker, Model};

/// Answers what it found.
type Check = fn(Fault) -> Option<String>;

/// The naive model and the invariants on random operations.
fn by_random(fault: Fault) -> Option<String> {
    (0..40).find_map(|seed| random::run(seed, 150, Some(fault)).err())
}

/// The interleavings of several stores.
fn by_model(fault: Fault) -> Option<String> {
    let topics = [(Topic::Loans, 2, 2), (Topic::Gate, 3, 1), (Topic::Mailbox, 2, 2), (Topic::LentCore, 3, 1)];
    topics.into_iter().find_map(|(topic, stores, times)| {
        let model = Explored::new(Cluster { stores, topic, fault: Some(fault), times });
        let checker = model.checker().target_state_count(200_000).spawn_bfs().join();
        let path = checker.discovery("all invariants hold on every core and across")?;
        let what = holds(path.last_state()).err().unwrap_or_default();
        Some(format!("{what} after {} steps", path.into_actions().len()))
    })
}

/// The scripts of `scripts.rs`, each with its expectation or an invariant broken.
fn by_script(fault: Fault) -> Option<String> {
    scripts::ALL.iter().find_map(|script| script(Some(fault)).err())
}

#[test]
fn no_fault_no_finding() {
    for script in scripts::ALL {
        assert_eq!(script(None), Ok(()));
    }
}

#[test]
#[cfg_attr(debug_assertions, ignore = "long: `make model` runs it")]
fn each_is_found() {
    println!("| Seeded fault | Found by | As |\n|---|---|---|");
    let mut missed = Vec::new();
    for fault in Fault::ALL {
        let checks: [(&str, Check); 3] =
            [("naive model, random", by_random), ("script", by_script), ("interleavings", by_model)];
        let found = checks.into_iter().find_map(|(name, check)| Some((name, check(fault)?)));
        match found {
            Some((name, what)) => {
                let short: String = what.replace('|', "/").chars().take(110).collect();
                println!("| {fault:?} | {name} | {short} |");
            }
            None => missed.push(fault),
        }
    }
    assert!(missed.is_empty(), "not found: {missed:?}");
}
