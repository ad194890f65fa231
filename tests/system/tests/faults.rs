//! One of four crashes, hangs or lies: the output stays the same to the byte, and the culprit is named (R24, R26, R27, R75).

use std::time::Duration;
use system_tests::{Finished, Options, Session, accused, run};

/// Pipes, subshells, background jobs, redirections. MARK stands where the fault comes.
const SCRIPT: &str = r#"
mkdir /tmp/w; cd /tmp/w
work() {
    for i in 1 2 3 4 5 6 7 8; do
        (echo "$1 sub $i"; echo "line $i" >> log) | sed 's/sub/SUB/'
        seq 1 $((i * 30)) | sort -rn | head -n 2 > out.$i &
        cat < log | wc -l
    done
    wait
    cat out.*
}
work one
echo MARK
work two
md5sum log out.*
exit 5
"#;

fn reference() -> &'static str {
    static ONCE: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| {
        let f = run(SCRIPT, Options::default()).unwrap();
        assert_eq!(f.status, Some(5), "{}\n{:?}", f.console, f.operator);
        assert!(f.accusations().is_empty(), "{:?}", f.accusations());
        f.console
    })
}

fn in_the_middle(fault: &str, victim: &str) -> Finished {
    let mut s = Session::boot(&Options { command: Some(SCRIPT.into()), ..Options::default() }).unwrap();
    s.expect("MARK").unwrap();
    s.operate(&format!("inject {fault} {victim}")).unwrap();
    s.finish().unwrap()
}

fn assert_contained(f: &Finished, victim: &str, words: &[&str]) {
    assert_eq!(f.console, reference());
    assert_eq!(f.status, Some(5));
    let named = f.verdicts().into_iter().any(|l| l.contains(victim) && words.iter().any(|w| l.contains(w)));
    assert!(named, "{words:?} {victim}: {:#?}", f.operator);
    let others = f.accusations().into_iter().find(|l| accused(l).is_some_and(|(who, _)| who != victim));
    assert!(others.is_none(), "another is accused: {others:?}");
}

#[test]
fn a_crash_in_the_middle_changes_no_byte() {
    assert_contained(&in_the_middle("crash", "k2"), "k2", &["crashed"]);
}

#[test]
fn a_hang_in_the_middle_changes_no_byte() {
    assert_contained(&in_the_middle("hang", "k3"), "k3", &["late"]);
}

#[test]
fn a_lie_in_the_middle_changes_no_byte() {
    assert_contained(&in_the_middle("lie", "k4"), "k4", &["wrong output"]);
}

#[test]
fn the_first_voter_is_not_special() {
    assert_contained(&in_the_middle("crash", "k1"), "k1", &["crashed"]);
    assert_contained(&in_the_middle("lie", "k1"), "k1", &["wrong output"]);
}

#[test]
fn at_the_prompt_the_shell_goes_on() {
    for (fault, word) in [("crash", "crashed"), ("hang", "late"), ("lie", "wrong output")] {
        let mut s = Session::shell(&Options::default()).unwrap();
        s.operate(&format!("inject {fault} k2")).unwrap();
        s.run_for(Duration::from_millis(300));
        let out = s.command("for i in 1 2 3; do echo $i; done | tac").unwrap();
        assert!(out.starts_with("3\r\n2\r\n1\r\n"), "{fault}: {out:?}");
        s.operator_says(&["verdict: k2", word]).unwrap();
        s.send("exit\r").unwrap();
        assert_eq!(s.finish().unwrap().status, Some(0));
    }
}

/// At a prompt, and while a program computes and puts nothing out.
#[test]
fn a_hang_is_found_though_nothing_is_put_out() {
    let mut s = Session::shell(&Options::default()).unwrap();
    for (what, victim) in [("", "k2"), ("echo it is $((1 + 1)); while :; do test a = b; done\r", "k3")] {
        s.send(what).unwrap();
        if !what.is_empty() {
            s.expect("it is 2\r\n").unwrap();
        }
        // Of what was put out before, the victim has its part, too.
        s.run_for(Duration::from_secs(1));
        s.operate(&format!("inject hang {victim}")).unwrap();
        s.operator_says(&[&format!("verdict: {victim} silent: it hangs")]).unwrap();
        s.operator_says(&["return: ", victim, "is begun anew as"]).unwrap();
        // It does not catch up with a program that never waits.
        s.send("\x03").unwrap();
        s.operator_says(&[&format!("return: {victim} votes"), "(silent)", "four vote again"]).unwrap();
    }
    let f = s.stop().unwrap();
    let hang = |l: &&&String| l.contains("k2 silent") || l.contains("k3 silent");
    assert_eq!(f.accusations().iter().filter(hang).count(), f.accusations().len(), "{:?}", f.operator);
}

/// It never votes: the program never waits for it.
#[test]
fn a_newcomer_that_hangs_while_it_follows_the_log_is_begun_anew() {
    let mut s = Session::shell(&Options { iteration: Some("rotate"), ..Options::default() }).unwrap();
    s.send("echo it is $((1 + 1)); while :; do : < /dev/null; done\r").unwrap();
    s.expect("it is 2\r\n").unwrap();
    s.operate("inject crash k2").unwrap();
    s.operator_says(&["return: k2 begins with the snapshot"]).unwrap();
    s.operate("inject hang k2").unwrap();
    s.operator_says(&["verdict: k2 silent: it hangs"]).unwrap();
    s.operator_has_said(&["return: k2 begins with the snapshot"], 2).unwrap();
    s.send("\x03").unwrap();
    s.operator_says(&["return: k2 votes", "four vote again"]).unwrap();
    let f = s.stop().unwrap();
    assert!(f.accusations().iter().all(|l| l.starts_with("verdict: k2 ")), "{:?}", f.operator);
}

#[test]
fn the_operator_is_told_what_he_got_wrong() {
    let mut s = Session::shell(&Options::default()).unwrap();
    for (line, words) in [
        ("inject crash k9", &["k9"][..]),
        ("inject melt k1", &["melt"]),
        ("frobnicate", &["frobnicate", "help"]),
    ] {
        s.operate(line).unwrap();
        s.operator_says(words).unwrap();
    }
    s.stop().unwrap();
}
