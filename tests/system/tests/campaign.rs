//! The determinism cases, RUNS times each, while the host is kept busy. `make campaign`.

use system_tests::determinism::{CASES, Load, run_case};
use system_tests::strict;

#[test]
#[ignore = "long; make campaign"]
fn four_kernels_agree_under_host_load() {
    let runs: u32 = std::env::var("RUNS").ok().and_then(|r| r.parse().ok()).unwrap_or(50);
    let load = Load::start();
    let mut failures = 0;
    for case in CASES {
        let mut agreed = 0;
        for run in 0..runs {
            match run_case(case, &strict()) {
                Ok(()) => agreed += 1,
                Err(e) => println!("{} run {run}: {e:#}", case.name),
            }
        }
        println!("{:<28} {agreed} of {runs} runs agreed", case.name);
        failures += runs - agreed;
    }
    drop(load);
    assert_eq!(failures, 0);
}
