//! Kernels that share no code: alone, in each other's place, and one more (R7, R33, R68). That the four agree in every case: `determinism`.

use std::time::Duration;
use system_tests::{Options, Session, images, run, strict};
use xtask::session::replay;

#[test]
fn one_of_them_alone_runs_and_says_the_same() {
    let script = "seq 1 300 | sort -rn | md5sum; ls -l /bin/ | wc -l; cat /proc/version; (exit 3); echo $?";
    let outputs = xtask::kernels::KERNELS.map(|kernel| {
        let alone = Options { kernel: Some(kernel.into()), ..Options::default() };
        run(script, alone).unwrap().console
    });
    assert!(outputs.iter().all(|o| *o == outputs[0]), "{outputs:#?}");
}

/// Names of what is open (docs/linux-abi.md): `names.txt` is what Linux 6.1 says, line for line. State is compared at every sync point.
#[test]
fn links_of_what_is_open_follow_its_name_as_on_linux() {
    let at = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("workloads");
    let right = std::fs::read_to_string(at.join("names.txt")).unwrap();
    let f = run("sh names.sh 2>&1", Options { files: vec![at.join("names.sh")], ..strict() }).unwrap();
    assert!(f.accusations().is_empty(), "{:#?}", f.operator);
    assert_eq!((f.status, f.console.replace('\r', "")), (Some(0), right), "{:?}", f.operator);
}

#[test]
fn the_smallest_kernel_votes_with_the_others() {
    let kernels = ["classic", "minimal", "actor", "journal"].map(str::to_owned).into();
    let script = "i=0; while [ $i -lt 99 ]; do i=$((i+1)); done; echo $i $$; x=1; while [ ${#x} -lt 9000 ]; do x=$x$x; done; echo $x; exit 7";
    let f = run(script, Options { kernels, ..Options::default() }).unwrap();
    assert!(f.accusations().is_empty(), "{:#?}", f.operator);
    assert_eq!((f.status, f.console.len()), (Some(7), "99 1\r\n".len() + 16384 + 2), "{:?}", f.operator);
}

#[test]
fn a_fault_in_any_kernel_is_named_and_changes_no_byte() {
    let script = "for i in 1 2 3 4; do (echo $i; seq 1 50 | tail -n 1) | cat; done; echo MARK; sleep 1; seq 1 2000 | md5sum; ls /; sleep 1; echo end; exit 5";
    let reference = run(script, strict()).unwrap();
    assert!(reference.accusations().is_empty(), "{:?}", reference.accusations());
    for (fault, victim, word) in [
        ("crash", "k2", "crashed"),
        ("lie", "k4", "wrong output"),
        ("diverge", "k2", "memory"),
        ("crash", "k3", "crashed"),
        ("hang", "k1", "late"),
        ("hang", "k4", "late"),
    ] {
        let mut s = Session::boot(&Options { command: Some(script.into()), ..strict() }).unwrap();
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
        let options = Options { kernels: kernels(recorded_on), tier: Some(2), ..Options::default() };
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
