//! The model checker over the replicas themselves. `make model` prints the table.

use consensus_simulator::cluster::{Cluster, Topic};
use stateright::{Checker, Model};
use std::time::Instant;

/// Steps to take in each topic, breadth first and depth first; two to four of them lead to a new state. LONG=1 asks for the long run.
fn size() -> [usize; 2] {
    match std::env::var("LONG").is_ok_and(|l| !l.is_empty()) {
        _ if cfg!(debug_assertions) => [2_000, 4_000],
        true => [600_000, 1_500_000],
        false => [60_000, 150_000],
    }
}

fn report(name: &str, start: Instant, checker: impl Checker<Cluster>) {
    for property in ["all execute the same, each input once", "equal numbers, equal states"] {
        if let Some(path) = checker.discovery(property) {
            panic!("not so: {property}: {:?}", path.into_actions());
        }
    }
    let reached = checker.discovery("all three execute something").is_some();
    println!(
        "| consensus, {name} | {} steps | {} states | depth {} | {:.0} s | holds{} |",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64(),
        if reached { ", all three execute" } else { "" }
    );
}

fn explore(name: &str, topic: Topic) {
    let ([breadth, depth], start) = (size(), Instant::now());
    let checker = Cluster::new(topic).checker().target_state_count(breadth).spawn_bfs().join();
    report(&format!("{name}, breadth first"), start, checker);
    let start = Instant::now();
    let checker = Cluster::new(topic).checker().target_state_count(depth).spawn_dfs().join();
    report(&format!("{name}, depth first"), start, checker);
}

#[test]
fn an_equivocating_primary() {
    explore("equivocating primary", Topic::Proposals);
}

#[test]
fn a_view_change_after_one_executed() {
    explore("view change after one executed", Topic::ViewChange);
}

#[test]
fn a_second_view_change() {
    explore("second view change", Topic::SecondViewChange);
}
