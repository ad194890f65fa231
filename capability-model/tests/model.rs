//! Exploration: random operations on one store, and every interleaving between several. `make model` prints the table.

#[path = "common/cluster.rs"]
mod cluster;
mod common;

use cluster::{Cluster, Explored, Topic, holds};
use common::Random;
use stateright::{Checker, Model};
use std::time::Instant;

/// Distinct states to see in each topic; `make model` builds for release, LONG=1 asks for the long run.
fn size() -> u64 {
    if cfg!(debug_assertions) {
        5_000
    } else if long() {
        6_000_000
    } else {
        400_000
    }
}

fn long() -> bool {
    std::env::var("LONG").is_ok_and(|long| !long.is_empty())
}

fn explore(name: &str, stores: usize, topic: Topic, times: u8, states: u64) {
    let start = Instant::now();
    let model = Explored::new(Cluster { stores, topic, fault: None, times });
    if cfg!(miri) {
        return walk(&model);
    }
    // The checker counts steps; three to four of them lead to one new state.
    let builder = model.checker().target_state_count(states as usize * 4);
    if long() {
        // Depth first: pending states of so many would not fit into memory breadth first.
        report(name, start, states, builder.spawn_dfs().join());
    } else {
        report(name, start, states, builder.spawn_bfs().join());
    }
}

/// One random path: for Miri, whose business is the code and not the states. The checker looks at 1500 states before it asks whether
/// these are enough.
fn walk(model: &Explored) {
    let mut random = Random(1);
    let mut state = model.init_states().remove(0);
    for _ in 0..40 {
        let mut actions = Vec::new();
        model.actions(&state, &mut actions);
        if actions.is_empty() {
            return;
        }
        let action = actions.swap_remove(random.below(actions.len() as u64) as usize);
        state = model.next_state(&state, action).unwrap_or(state);
        assert_eq!(holds(&state), Ok(()));
    }
}

fn report(name: &str, start: Instant, states: u64, checker: impl Checker<Explored>) {
    if let Some(path) = checker.discovery("all invariants hold on every core and across") {
        let place = holds(path.last_state());
        panic!("{place:?} after {:?}", path.into_actions());
    }
    let all = if (checker.state_count() as u64) < states * 4 { ", all of them" } else { "" };
    println!(
        "| {name} | {} steps | {} states{all} | depth {} | {:.0} s | holds |",
        checker.state_count(),
        checker.unique_state_count(),
        checker.max_depth(),
        start.elapsed().as_secs_f64()
    );
}

#[test]
fn loans_between_two_stores() {
    explore("loans, 2 stores", 2, Topic::Loans, 2, size());
}

#[test]
fn loans_between_two_stores_each_operation_once() {
    explore("loans, 2 stores, each operation once", 2, Topic::Loans, 1, size());
}

#[test]
fn loans_between_three_stores() {
    explore("loans, 3 stores", 3, Topic::Loans, 2, size());
}

#[test]
fn requests_to_another_core() {
    explore("requests to another core", 2, Topic::Mailbox, 2, size());
}

#[test]
fn a_core_that_is_lent() {
    explore("core that is lent, 3 stores", 3, Topic::LentCore, 2, size());
}

#[test]
fn a_gate_that_lends() {
    explore("gate that lends, 2 stores", 2, Topic::GateLends, 1, size());
}

#[test]
fn a_gate_with_seats_on_other_cores() {
    explore("gate, 3 stores", 3, Topic::Gate, 1, size());
}
