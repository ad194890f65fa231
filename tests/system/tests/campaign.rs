//! The determinism cases, all of them in one session, RUNS sessions, while the host is kept busy. `make campaign`; CASE=text takes only
//! the cases whose names hold it, KERNELS=classic,lazy,actor,journal sets who runs on which slot.

use std::time::Instant;
use system_tests::determinism::{CASES, Case, Load, run_cases};
use system_tests::{Options, strict};

#[test]
#[ignore = "long; make campaign"]
fn four_kernels_agree_under_host_load() {
    let runs: u32 = std::env::var("RUNS").ok().and_then(|r| r.parse().ok()).unwrap_or(50);
    let wanted = std::env::var("CASE").unwrap_or_default();
    let cases: Vec<Case> = CASES.iter().filter(|c| c.name.contains(&wanted)).copied().collect();
    let kernels = std::env::var("KERNELS").map(|k| k.split(',').map(str::to_owned).collect());
    let options = Options { kernels: kernels.unwrap_or_default(), ..strict() };
    let load = Load::start();
    let mut failures = 0;
    for run in 1..=runs {
        let began = Instant::now();
        let result = run_cases(&cases, &options);
        let seconds = began.elapsed().as_secs();
        match result {
            Ok(()) => println!("run {run}: {} cases agreed, {seconds} s", cases.len()),
            Err(e) => {
                failures += 1;
                println!("run {run}: {e:#}, {seconds} s");
            }
        }
    }
    drop(load);
    println!("{} of {runs} runs agreed in all {} cases", runs - failures, cases.len());
    assert_eq!(failures, 0);
}
