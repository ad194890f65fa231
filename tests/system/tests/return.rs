//! A lost kernel comes back: what was lost is named, what took its place too, and the output is what it would have been without (R27, R28, R75).

use system_tests::{Finished, Options, Session, mixed};

/// Pipes, subshells, background jobs. At each MARK comes a fault; then the program waits for a while.
const SCRIPT: &str = r#"
stty -echo
mkdir /tmp/w; cd /tmp/w
work() {
    for i in 1 2 3 4; do
        (echo "$1 sub $i"; echo "line $i" >> log) | sed 's/sub/SUB/'
        seq 1 $((i * 30)) | sort -rn | head -n 2 > out.$i &
        cat < log | wc -l
    done
    wait
    cat out.*
}
work one
echo MARK 1
work two
read line < /dev/tty
echo "MARK 2 $line"
work three
read line < /dev/tty
md5sum log out.*
echo "$line"
exit 5
"#;

/// One of each kernel.
fn options() -> Options {
    Options { kernels: xtask::kernels::KERNELS.map(str::to_owned).into(), ..Options::default() }
}

fn reference() -> &'static str {
    static ONCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| {
        let mut s = Session::boot(&Options { command: Some(SCRIPT.into()), ..options() }).unwrap();
        for mark in ["MARK 1", "MARK 2"] {
            s.expect(mark).unwrap();
            s.send("go\r").unwrap();
        }
        let f = s.finish().unwrap();
        assert_eq!(f.status, Some(5), "{}\n{:?}", f.console, f.operator);
        assert!(f.accusations().is_empty(), "{:?}", f.accusations());
        f.console
    })
}

/// A fault in `first` at the first mark, one in `second` at the second, with time to come back after each.
fn twice(first: (&str, &str, &str), second: (&str, &str, &str)) -> Finished {
    twice_with(options(), first, second)
}

fn twice_with(options: Options, first: (&str, &str, &str), second: (&str, &str, &str)) -> Finished {
    let mut s = Session::boot(&Options { command: Some(SCRIPT.into()), ..options }).unwrap();
    for (i, (fault, victim, word)) in [first, second].into_iter().enumerate() {
        s.expect(&format!("MARK {}", i + 1)).unwrap();
        s.operate(&format!("inject {fault} {victim}")).unwrap();
        s.operator_says(&[&format!("verdict: {victim}"), word]).unwrap();
        s.operator_has_said(&["return: k", " votes as ", "four vote again"], i + 1).unwrap();
        s.send("go\r").unwrap();
    }
    s.finish().unwrap()
}

fn assert_contained(f: &Finished, victims: &[&str]) {
    assert_eq!(f.console, reference(), "{:#?}", f.operator);
    assert_eq!(f.status, Some(5));
    let whose = |l: &&&String| !victims.iter().any(|v| l.starts_with(&format!("verdict: {v} ")));
    let others: Vec<_> = f.accusations();
    let others = others.iter().find(whose);
    assert!(others.is_none(), "another is accused: {others:?} {:#?}", f.operator);
}

const CRASH: (&str, &str) = ("crash", "crashed");
const HANG: (&str, &str) = ("hang", "silent");
const LIE: (&str, &str) = ("lie", "wrong output");
const DIVERGE: (&str, &str) = ("diverge", "wrong state");

fn case(
    (fault, word): (&'static str, &'static str),
    victim: &'static str,
) -> (&'static str, &'static str, &'static str) {
    (fault, victim, word)
}

#[test]
fn two_crashes_one_after_the_other() {
    let f = twice(case(CRASH, "k1"), case(CRASH, "k2"));
    assert_contained(&f, &["k1", "k2"]);
}

#[test]
fn a_lie_and_a_hang() {
    let f = twice(case(LIE, "k3"), case(HANG, "k4"));
    assert_contained(&f, &["k3", "k4"]);
}

#[test]
fn a_hang_and_a_lie() {
    let f = twice(case(HANG, "k2"), case(LIE, "k1"));
    assert_contained(&f, &["k1", "k2"]);
}

#[test]
fn a_corrupted_memory_and_a_crash() {
    let f = twice_with(mixed(), case(DIVERGE, "k3"), case(CRASH, "k2"));
    assert_contained(&f, &["k2", "k3"]);
}

/// Each fault in each slot, and afterwards another in another.
#[test]
#[ignore = "long; make campaign"]
fn each_fault_in_each_slot() {
    let slots = ["k1", "k2", "k3", "k4"];
    for (i, fault) in [CRASH, HANG, LIE, DIVERGE].into_iter().enumerate() {
        for (j, slot) in slots.into_iter().enumerate() {
            let second = (slots[(j + 1) % 4], [LIE, CRASH, HANG][(i + j) % 3]);
            let f = twice_with(mixed(), case(fault, slot), case(second.1, second.0));
            assert_contained(&f, &[slot, second.0]);
            let told = f.operator.iter().filter(|l| l.starts_with("return: ") && l.contains(" votes as "));
            println!(
                "{} in {slot}, then {} in {}: {:#?}",
                fault.0,
                second.1.0,
                second.0,
                told.collect::<Vec<_>>()
            );
        }
    }
}

#[test]
fn who_lies_again_is_thrown_out_again() {
    let f = twice(case(LIE, "k4"), case(LIE, "k4"));
    assert_contained(&f, &["k4"]);
    let accused = f.verdicts().into_iter().filter(|l| l.contains("k4 wrong output")).count();
    assert_eq!(accused, 2, "{:#?}", f.operator);
}

#[test]
fn at_a_prompt_a_healthy_kernel_is_replaced_by_order() {
    let mut s = Session::shell(&options()).unwrap();
    s.command("echo before | tac").unwrap();
    s.operate("replace k2 journal").unwrap();
    s.operator_says(&["return: k2 (lazy, replaced by order) is begun anew as journal"]).unwrap();
    s.operator_says(&["return: k2 votes as journal", "four vote again"]).unwrap();
    let out = s.command("for i in 1 2 3; do echo $i; done | tac").unwrap();
    assert!(out.starts_with("3\r\n2\r\n1\r\n"), "{out:?}");
    s.operate("inject crash k1").unwrap();
    s.operator_says(&["return: k1 votes as lazy", "four vote again"]).unwrap();
    s.send("exit\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(0));
    assert!(!f.accusations().iter().any(|l| !l.contains("k1 crashed")), "{:?}", f.accusations());
}
