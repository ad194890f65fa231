//! Programs whose course depends on timing everywhere else: here four kernels agree at every sync point (R30, R33).

use system_tests::determinism::{CASES, run_cases};
use system_tests::{Session, strict};

#[test]
fn four_kernels_agree_in_every_case() {
    for case in CASES {
        run_cases(std::slice::from_ref(case), &strict()).unwrap_or_else(|e| panic!("{e:#}"));
    }
    // And one after the other, as a person would.
    run_cases(CASES, &strict()).unwrap_or_else(|e| panic!("{e:#}"));
}

#[test]
fn a_seeded_divergence_is_found_at_the_sync_point_where_it_happens() {
    let mut s = Session::shell(&strict()).unwrap();
    s.command("echo before").unwrap();
    s.operate("inject diverge k3").unwrap();
    s.run_for(std::time::Duration::from_millis(300));
    let out = s.command("echo after").unwrap();
    assert!(out.starts_with("after\r\n"), "{out:?}");
    let line = s.operator_says(&["verdict: k3", "memory"]).unwrap();
    assert!(line.contains("sync point"), "{line}");
    let f = s.stop().unwrap();
    assert!(f.accusations().iter().all(|l| l.contains("k3")), "{:?}", f.accusations());
}

/// The manifest has one every 1,024 sync points; here they come in the middle of everything.
#[test]
fn a_snapshot_every_few_sync_points_disturbs_nobody() {
    let mut options = strict();
    options.run.push(("snapshot-interval".into(), 32));
    run_cases(CASES, &options).unwrap_or_else(|e| panic!("{e:#}"));
}
