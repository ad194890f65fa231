//! The spare core: a kernel that is held cold there takes another's place, by order or because that one does not come back; the program sees nothing of it.

use system_tests::marked::SCRIPT;
use system_tests::{Finished, Options, Session, accused, strict};
use xtask::kernels::KERNELS;

fn options() -> Options {
    Options { command: Some(SCRIPT.into()), kernels: KERNELS.map(str::to_owned).into(), ..strict() }
}

/// The script's run with `first` at the first mark and `second` at the second.
fn run(options: &Options, first: impl Fn(&mut Session), second: impl Fn(&mut Session)) -> Finished {
    let mut s = Session::boot(options).unwrap();
    s.expect("MARK 1").unwrap();
    first(&mut s);
    s.send("go\r").unwrap();
    s.expect("MARK 2").unwrap();
    second(&mut s);
    s.send("go\r").unwrap();
    s.finish().unwrap()
}

fn reference() -> &'static str {
    static ONCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| {
        let f = run(&options(), |_| {}, |_| {});
        assert_eq!(f.status, Some(5), "{}\n{:?}", f.console, f.operator);
        f.console
    })
}

fn assert_contained(f: &Finished, victims: &[&str]) {
    for line in f.operator.iter().filter(|l| ["return: ", "voters "].iter().any(|kind| l.starts_with(kind))) {
        println!("{line}");
    }
    assert_eq!(f.console, reference(), "{:#?}", f.operator);
    assert_eq!(f.status, Some(5));
    let others: Vec<_> = f.accusations();
    let other = others.iter().find(|l| accused(l).is_some_and(|(who, _)| !victims.contains(&who)));
    assert!(other.is_none(), "another is accused: {other:?} {:#?}", f.operator);
}

/// Replaces `lost` by `spare`, and waits until its place is the spare.
fn replace(s: &mut Session, lost: &str, spare: &str) {
    s.operate(&format!("replace {lost} spare")).unwrap();
    s.operator_says(&[&format!("return: {lost} ("), &format!("replaced by the spare: {spare} begins as")])
        .unwrap();
    s.operator_says(&[
        &format!("return: {spare} votes as"),
        &format!("in place of {lost}"),
        "four vote again",
    ])
    .unwrap();
    s.operator_says(&[&format!("return: {lost} is the spare")]).unwrap();
}

/// Who is healthy votes until the other does, so four vote all the time. The old place is the next spare, and as good.
#[test]
fn a_healthy_kernel_is_replaced_by_the_spare_and_its_place_is_the_next_spare() {
    let second = |s: &mut Session| {
        assert!(s.state().unwrap().contains("agree"));
        replace(s, "k3", "k2");
        s.operate("status").unwrap();
        s.operator_says(&[" k3 ", " cold ", " spare"]).unwrap();
        s.operator_says(&[" k5 ", " running ", " voting"]).unwrap();
        let state = s.state().unwrap();
        assert!(state.contains("core 5: k5") && state.contains("agree"), "{state}");
    };
    let f = run(&options(), |s| replace(s, "k2", "k5"), second);
    assert_contained(&f, &[]);
    let sets: Vec<_> = f.operator.iter().filter(|l| l.starts_with("voters ")).collect();
    assert!(sets.iter().all(|l| l.contains("3 equal votes decide")), "four vote all the time: {sets:?}");
    let mut designs = f.operator.iter().filter_map(|l| l.split_once("begins as ")).map(|(_, design)| design);
    assert_eq!([designs.next(), designs.next()], [Some("lazy"), Some("actor")]);
}

/// A place in which each kernel crashes at once: in the end one begins on the spare core.
#[test]
fn one_whose_place_is_bad_gets_its_successor_on_the_spare_core() {
    let bad = |s: &mut Session| {
        s.operate("inject crash k2").unwrap();
        // It executes its last turns again first, then each other design begins.
        for n in 1..=4 {
            s.operator_has_said(&["return: k2 runs on scrubbed memory"], n).unwrap();
            s.operate("inject crash k2").unwrap();
        }
        s.operator_says(&["return: k2 (", "is replaced by the spare: k5 begins as"]).unwrap();
        s.operator_says(&["return: k5 votes as", "in place of k2", "four vote again"]).unwrap();
        s.operator_says(&["return: k2 is the spare"]).unwrap();
    };
    // Nobody is begun anew there any more, but by order.
    let f = run(&options(), bad, |s| replace(s, "k4", "k2"));
    assert_contained(&f, &["k2"]);
}

/// The policy `first`: nobody waits for scrubbing.
#[test]
fn with_the_policy_first_the_spare_takes_over_at_once() {
    let crash = |lost: &'static str, spare: &'static str| {
        move |s: &mut Session| {
            s.operate("policy spare first").unwrap();
            s.operate(&format!("inject crash {lost}")).unwrap();
            s.operator_says(&[&format!("return: {spare} votes as"), &format!("in place of {lost}")]).unwrap();
            s.operator_says(&[&format!("return: {lost} is the spare")]).unwrap();
        }
    };
    let f = run(&options(), crash("k1", "k5"), crash("k4", "k1"));
    assert_contained(&f, &["k1", "k4"]);
}
