//! Kernels that share no code: the same cases and faults, the same bytes, the same state at every sync point (R7, R30, R33).

use std::time::Duration;
use system_tests::determinism::{CASES, run_cases};
use system_tests::{Options, Session, images, mixed, run};
use xtask::session::replay;

#[test]
fn unlike_kernels_agree_in_every_case() {
    for case in CASES {
        run_cases(std::slice::from_ref(case), &mixed()).unwrap_or_else(|e| panic!("{e:#}"));
    }
    run_cases(CASES, &mixed()).unwrap_or_else(|e| panic!("{e:#}"));
}

#[test]
fn one_of_them_alone_runs_and_says_the_same() {
    let script = "seq 1 300 | sort -rn | md5sum; ls -l /bin/ | wc -l; cat /proc/version; (exit 3); echo $?";
    let outputs = xtask::kernels::KERNELS.map(|kernel| {
        let alone = Options { kernel: Some(kernel.into()), ..Options::default() };
        run(script, alone).unwrap().console
    });
    assert!(outputs.iter().all(|o| *o == outputs[0]), "{outputs:#?}");
}

#[test]
fn a_fault_in_any_kernel_is_named_and_changes_no_byte() {
    let script = "for i in 1 2 3 4; do (echo $i; seq 1 50 | tail -n 1) | cat; done; echo MARK; sleep 1; seq 1 2000 | md5sum; ls /; sleep 1; echo end; exit 5";
    let reference = run(script, mixed()).unwrap();
    assert!(reference.accusations().is_empty(), "{:?}", reference.accusations());
    for (fault, victim, word) in [
        ("crash", "k2", "crashed"),
        ("lie", "k4", "wrong output"),
        ("diverge", "k2", "memory"),
        ("crash", "k3", "crashed"),
        ("hang", "k1", "late"),
        ("hang", "k4", "late"),
    ] {
        let mut s = Session::boot(&Options { command: Some(script.into()), ..mixed() }).unwrap();
        s.expect("MARK").unwrap();
        s.operate(&format!("inject {fault} {victim}")).unwrap();
        let f = s.finish().unwrap();
        assert_eq!(
            (f.status, &f.console),
            (Some(5), &reference.console),
            "{fault} {victim}: {:?}",
            f.operator
        );
        let others = f.accusations().into_iter().find(|l| !l.starts_with(&format!("verdict: {victim} ")));
        assert!(others.is_none(), "another is accused: {others:?}");
        let named = f.verdicts().into_iter().any(|l| l.contains(victim) && l.contains(word));
        assert!(named, "{fault} {victim}: {:#?}", f.operator);
    }
}

#[test]
fn what_one_kernel_did_the_other_repeats() {
    let kernels = |k: &str| vec![k.to_owned(); 4];
    for (recorded_on, replayed_on) in [("classic", "actor"), ("actor", "lazy")] {
        let options = Options { kernels: kernels(recorded_on), ..Options::default() };
        let script = "for i in 1 2 3; do (sleep 0.0$i; echo $i; date +%N) & done; wait; head -c 16 /dev/urandom | md5sum; echo $$";
        let f = run(script, options).unwrap();
        let replayed = Options {
            kernel: Some(replayed_on.into()),
            replay: Some(f.record.log.clone()),
            ..Options::default()
        };
        let again =
            replay(images(), &replayed, f.record.output.len(), Duration::from_secs(300)).unwrap().output;
        assert_eq!(String::from_utf8_lossy(&again), String::from_utf8_lossy(&f.record.output));
    }
}
