//! One of four replicas of the log stops, comes back with new keys, or tells each of the others something else: the console loses no byte and
//! doubles none. One session, because each fault must find what the ones before left.

use system_tests::{Options, Session};

/// Bytes typed ahead at most; the terminal's input queue holds 4,096 (`abi::turn::TTY_INPUT_MAX`).
const AHEAD: usize = 2048;

/// Types numbered lines into `cat`, each an input of its own to be ordered, and takes each back exactly once. At each of `faults` (a line's number) the operator types.
fn stream(s: &mut Session, lines: std::ops::Range<u32>, faults: &[(u32, &str)]) {
    let line = |n: u32| format!("{n:06}\r");
    let (mut typed, mut back) = (lines.start, lines.start);
    while back < lines.end {
        while typed < lines.end && ((typed - back) as usize + 1) * 7 <= AHEAD {
            if let Some((_, command)) = faults.iter().find(|(at, _)| *at == typed) {
                s.operate(command).unwrap();
            }
            s.send(&line(typed)).unwrap();
            typed += 1;
        }
        let before = s.expect(&format!("{back:06}\r\n")).unwrap();
        assert_eq!(before, "", "before line {back}");
        back += 1;
    }
}

fn session(inputs: u32) {
    // At its end kernels fail one after the other, until two are left.
    let mut s = Session::shell(&Options { iteration: Some("none"), ..Options::default() }).unwrap();
    s.command("echo $((6 * 7)); stty -echo").unwrap();
    s.send("cat\r").unwrap();
    let part = inputs / 5;
    let part = |i: u32| i * part..(i + 1) * part;
    let middle = |i: u32| part(i).start + inputs / 10;
    stream(&mut s, part(0), &[]);
    // A backup stops; three are enough.
    stream(&mut s, part(1), &[(middle(1), "inject crash r3")]);
    s.operator_says(&["el2: r3 crashed"]).unwrap();
    // It comes back with other keys: its state from the others, and an epoch that knows it.
    stream(&mut s, part(2), &[(middle(2), "restart r3")]);
    for r in ["r1", "r2", "r3", "r4"] {
        s.operator_says(&[&format!("[{r}] "), "epoch 1 begins"]).unwrap();
    }
    s.operator_says(&["[r3] ", "goes on from the state after"]).unwrap();
    // The primary equivocates: the others leave its view.
    stream(&mut s, part(3), &[(middle(3), "inject equivocate r1")]);
    for r in ["r2", "r3", "r4"] {
        s.operator_says(&[&format!("[{r}] "), "leaves view 0 for 1"]).unwrap();
    }
    // It hangs: now the one that came back is needed for every quorum.
    stream(&mut s, part(4), &[(middle(4), "inject hang r1")]);
    s.send("\x04").unwrap();
    s.expect(system_tests::PROMPT).unwrap();
    s.operate("status").unwrap();
    for k in ["k1", "k2", "k3", "k4"] {
        s.operator_says(&[k, "voting"]).unwrap();
    }
    // Voters are entries of the same log: who is proved wrong leaves, a majority of the rest decides; so two kernels may fail, one after the other.
    s.operate("inject crash k3").unwrap();
    s.operator_says(&["voters 2: k1 k2 k4 vote, 2 equal votes decide"]).unwrap();
    s.operate("inject lie k1").unwrap();
    // Its next effect is the first that it falsifies.
    s.run_for(std::time::Duration::from_millis(300));
    s.send("echo still $((2 * 21))\r").unwrap();
    assert_eq!(s.expect("still 42\r\n").unwrap(), "");
    s.expect(system_tests::PROMPT).unwrap();
    s.operator_says(&["voters 3: k2 k4 vote, 2 equal votes decide"]).unwrap();
    s.operator_says(&[
        "evidence: effect",
        "epoch 2: k2, k4 agree on",
        "k1 said something else",
        "cause: undetermined",
    ])
    .unwrap();
    s.send("exit 9\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(9));
    let others =
        f.accusations().into_iter().find(|l| !l.contains("k1 wrong output") && !l.contains("k3 crashed"));
    assert!(others.is_none(), "another is accused: {others:?}");
}

#[test]
fn one_stops_one_comes_back_one_equivocates_and_no_byte_is_lost_or_doubled() {
    session(5_000);
}

#[test]
#[ignore = "long; make campaign"]
fn a_hundred_thousand_inputs() {
    session(100_000);
}

/// Each in its turn loses memory and keys, and at last one of them twice at once: so nothing that one holds is needed.
#[test]
fn all_four_are_restarted_one_after_the_other() {
    let mut s = Session::shell(&Options::default()).unwrap();
    s.command("stty -echo").unwrap();
    s.send("cat\r").unwrap();
    for (i, victim) in ["r2", "r1", "r3", "r4", "r2"].into_iter().enumerate() {
        let first = i as u32 * 400;
        stream(&mut s, first..first + 400, &[(first + 100, &format!("restart {victim}"))]);
        for r in ["r1", "r2", "r3", "r4"] {
            s.operator_says(&[&format!("[{r}] "), &format!("epoch {} begins", i + 1)]).unwrap();
        }
    }
    stream(&mut s, 2000..2400, &[(2100, "restart r3"), (2101, "restart r3"), (2102, "restart r3")]);
    for r in ["r1", "r2", "r3", "r4"] {
        s.operator_says(&[&format!("[{r}] "), "epoch 6 begins"]).unwrap();
    }
    // Three are left, and all three are needed.
    s.operate("inject hang r4").unwrap();
    stream(&mut s, 2400..2800, &[]);
    s.send("\x04").unwrap();
    s.expect(system_tests::PROMPT).unwrap();
    s.send("exit 8\r").unwrap();
    let f = s.finish().unwrap();
    assert_eq!(f.status, Some(8));
    assert!(f.accusations().is_empty(), "{:?}", f.accusations());
}

/// Three replicas begin without one whose image is no replica: a backup, or the first primary.
#[test]
fn three_begin_without_one_that_says_nothing() {
    for silent in ["r4", "r1"] {
        let options = Options { images: vec![(silent.into(), "gate".into())], ..Options::default() };
        let mut s = Session::shell(&options).unwrap();
        for r in ["r1", "r2", "r3", "r4"].into_iter().filter(|r| *r != silent) {
            s.operator_says(&[&format!("[{r}] begins without one")]).unwrap();
        }
        s.command("stty -echo").unwrap();
        s.send("cat\r").unwrap();
        stream(&mut s, 0..400, &[]);
        s.send("\x04").unwrap();
        s.expect(system_tests::PROMPT).unwrap();
        s.send("exit 6\r").unwrap();
        assert_eq!(s.finish().unwrap().status, Some(6));
    }
}
