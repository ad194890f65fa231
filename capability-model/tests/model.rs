//! Exploration: random operations on one store, and every interleaving between several. `make model` prints the table.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use cluster::{Cluster, Explored, Topic, holds};
use stateright::{Checker, Model};
use std::time::Instant;

/// LONG=1 asks for the long run.
fn size(short: u64) -> u64 {
    if std::env::var("LONG").is_ok_and(|long| !long.is_empty()) { short * 10 } else { short }
}

fn explore(name: &str, stores: usize, topic: Topic, times: u8, states: u64) {
    let start = Instant::now();
    let model = Explored::new(Cluster { stores, topic, fault: None, times });
    let checker = model.checker().target_state_count(states as usize).spawn_bfs().join();
    if let Some(path) = checker.discovery("all invariants hold on every core and across") {
        let place = holds(path.last_state());
        panic!("{place:?} after {:?}", path.into_actions());
    }
    println!(
        "| {name} | {} steps | {} states | depth {} | {:.0} s | holds |",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn loans_between_two_stores() {
    explore("loans, 2 stores", 2, Topic::Loans, 2, size(60_000));
}

#[test]
fn loans_between_three_stores() {
    explore("loans, 3 stores", 3, Topic::Loans, 2, size(60_000));
}

#[test]
fn a_gate_with_seats_on_other_cores() {
    explore("gate, 3 stores", 3, Topic::Gate, 1, size(60_000));
}
