//! The crate against a naive model, by proptest and in bulk.

mod common;
#[path = "common/random.rs"]
mod random;
#[path = "common/reference.rs"]
mod reference;

use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 2 } else { 64 }, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_seed_the_naive_model_agrees(seed: u64, operations in 1u64..200) {
        prop_assert_eq!(random::run(seed, operations, None), Ok(()));
    }
}

/// 10^6 operations, with LONG=1 10^7: `make model`.
#[test]
fn in_bulk() {
    let long = std::env::var("LONG").is_ok_and(|long| !long.is_empty());
    let (runs, each) = if cfg!(miri) {
        (1, 200)
    } else {
        (
            if cfg!(debug_assertions) {
                50
            } else if long {
                5000
            } else {
                500
            },
            2000,
        )
    };
    let start = std::time::Instant::now();
    for seed in 0..runs {
        if let Err(place) = random::run(seed, each, None) {
            panic!("seed {seed}: {place}");
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "| one store against the naive model | {} operations | | | {seconds:.0} s | agrees |",
        runs * each
    );
}
