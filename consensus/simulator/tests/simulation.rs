//! A few seeds for each build; `make simulate` runs 10,000.

use consensus_simulator::plan::Plan;
use consensus_simulator::shrink::{run, story};

#[test]
fn clusters_are_safe_and_live_after_the_calm() {
    let (mut decisions, mut views, mut epochs) = (0, 0, 0);
    for seed in 0..150 {
        let plan = Plan::new(seed);
        let outcome = run(&plan);
        assert_eq!(outcome.failure, None, "{}", story(&plan, 40));
        decisions += outcome.decisions;
        views += outcome.views;
        epochs += outcome.epochs;
    }
    // The runs are what they are meant to be: full of view changes and restarts.
    assert!(decisions > 3_000 && views > 500 && epochs > 50);
}

#[test]
fn a_seed_replays_all() {
    let plan = Plan::new(4711);
    assert_eq!(run(&plan), run(&plan));
    assert_eq!(story(&plan, 1_000), story(&plan, 1_000));
}

/// 202224: a primary that came back into a view which the others had left proposed over what they had committed meanwhile: what it held was no longer what it had executed.
/// 209648: a primary began one view in two ways, both valid; those who followed different ones held claims that together chose nothing, for ever.
#[test]
fn seeds_that_once_failed() {
    for seed in [202_224, 209_648] {
        assert_eq!(run(&Plan::new(seed)).failure, None, "{}", story(&Plan::new(seed), 40));
    }
}
