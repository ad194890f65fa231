//! Why a kernel was lost: it is begun anew as it was and executes the same turns again (R53, R62).

use system_tests::seeded::images_with_bugs;
use system_tests::{Options, Session, accuses, strict};

/// Something that all four do for a while, and the same each time.
const WORK: &str = "for i in 1 2 3 4 5 6; do seq 1 $((i * 9)) | sort -rn | head -n 1; done";
const TRANSIENT: &str = "transient fault, it did not happen again (executed again from";

/// Faults on demand happen once: executed again the turns are right, and the kernel votes as the design that it was.
#[test]
fn a_fault_on_demand_does_not_happen_again() {
    let mut s = Session::shell(&strict()).unwrap();
    let right = s.command(WORK).unwrap();
    for (fault, victim) in [("crash", "k1"), ("lie", "k2"), ("diverge", "k3"), ("hang", "k4")] {
        let from = s.operator.lines.len();
        s.operate(&format!("inject {fault} {victim}")).unwrap();
        s.operator_says_since(from, &[&format!("injected: {fault} in {victim}")]).unwrap();
        assert_eq!(s.command(WORK).unwrap(), right);
        let told = s.operator_says_since(from, &[&format!("cause: {victim} ")]).unwrap();
        println!("{fault}: {told}");
        assert!(told.contains(TRANSIENT), "{told}: {:#?}", s.operator.lines);
        let back = s.operator_says_since(from, &[&format!("return: {victim} votes as ")]).unwrap();
        println!("{back}");
    }
    let from = s.operator.lines.len();
    s.operate("status").unwrap();
    s.operator_says_since(from, &["losses by cause: transient 4, one kernel 0", "undetermined 0"]).unwrap();
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));
    let anew: Vec<_> = f.operator.iter().filter(|l| l.contains(" is begun anew as ")).collect();
    assert!(
        anew.len() == 4 && anew.iter().all(|l| l.ends_with("to execute its last turns again")),
        "{anew:#?}"
    );
}

/// A bug of one kernel shows each time: it is its own, and another design takes its place.
#[test]
fn a_bug_in_one_kernel_happens_again_there_alone() {
    let mut s = Session::shell_of(&images_with_bugs(&["actor"]), &strict()).unwrap();
    s.command(WORK).unwrap();
    for _ in 0..2 {
        let shown = s.command("cat /proc/cpuinfo").unwrap();
        assert!(shown.contains("fp asimd\r\n"), "{shown}");
        let told = s.operator_says(&["cause: k3 "]).unwrap();
        println!("{told}");
        assert!(told.contains(": a bug or an implant in that kernel, it repeats there alone ("), "{told}");
        s.operator_says(&["return: k3 votes as journal", "four vote again"]).unwrap();
    }
    s.operate("status").unwrap();
    s.operator_says(&["losses by cause: transient 0, one kernel 1, common mode 0"]).unwrap();
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));
    let first = f.operator.iter().position(|l| accuses(l)).unwrap();
    println!("{}", f.operator[first..].join("\n"));
    assert!(f.accusations().iter().all(|l| l.contains(": k3 ")), "{:?}", f.accusations());
}

/// With f = 1 the same bug in two of four stops the output, and that is all that one can say of it: whose it is nobody knows.
#[test]
fn a_bug_in_two_unlike_kernels_is_common_mode() {
    let mut s = Session::shell_of(&images_with_bugs(&["actor", "journal"]), &Options::default()).unwrap();
    s.send("cat /proc/cpuinfo\r").unwrap();
    s.expect("\r\n").unwrap();
    s.operator_says(&["verdict: no quorum is possible for effect"]).unwrap();
    s.operator_says(&["evidence: effect", "cause: common mode, unlike kernels err alike"]).unwrap();
    s.operate("status").unwrap();
    s.operator_says(&["losses by cause: transient 0, one kernel 0, common mode 1"]).unwrap();
    s.run_for(std::time::Duration::from_secs(1));
    assert!(!String::from_utf8_lossy(&s.console).contains("asimd"), "nothing of it is let out");
    s.stop().unwrap();
}

/// Rings that keep some 2000 sync points, and a program that has passed 3000: the place to begin is a snapshot that was taken meanwhile.
#[test]
fn when_the_logs_beginning_is_gone_a_snapshot_taken_meanwhile_is_the_place() {
    let channels = (1..=4).map(|r| (format!("agreed-r{r}"), 0x11000)).collect();
    let mut s = Session::shell(&Options { channels, ..Options::default() }).unwrap();
    s.command("dd if=/dev/zero of=/dev/null bs=1 count=24000 2>/dev/null").unwrap();
    for (fault, victim) in [("crash", "k2"), ("lie", "k3")] {
        let from = s.operator.lines.len();
        s.operate(&format!("inject {fault} {victim}")).unwrap();
        s.operator_says_since(from, &[&format!("injected: {fault} in {victim}")]).unwrap();
        s.command("echo on we go").unwrap();
        let told = s.operator_says_since(from, &[&format!("cause: {victim} ")]).unwrap();
        println!("{told}");
        assert!(told.contains("it did not happen again (executed again from sync point"), "{told}");
        println!("{}", s.operator_says_since(from, &[&format!("return: {victim} votes as ")]).unwrap());
    }
    let f = s.stop().unwrap();
    f.operator.iter().filter(|l| l.starts_with("snapshot: ")).for_each(|line| println!("{line}"));
}

/// What snapshots cost that are taken every so many sync points (0: none): the same 100,000 calls.
#[test]
#[ignore = "measures"]
fn what_snapshots_cost() {
    for round in 0..3 {
        for interval in [0, 1024, 64] {
            let run = vec![("snapshot-interval".into(), interval)];
            let mut s = Session::shell(&Options { run, ..Options::default() }).unwrap();
            let begun = std::time::Instant::now();
            s.command("dd if=/dev/zero of=/dev/null bs=1 count=50000 2>/dev/null").unwrap();
            let taken = s.operator.lines.iter().filter(|l| l.starts_with("snapshot: ")).count();
            println!("round {round}, every {interval}: {:?}, {taken} snapshots", begun.elapsed());
            s.stop().unwrap();
        }
    }
}
