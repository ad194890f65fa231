//! Orders that are no faults, what is told again, and kernels that are slowed.

mod common;

use abi::vote::{Progress, Verdict};
use common::{Desk, agreed, begun, manager, type_in};

#[test]
fn inputs_from_outside_are_ordered_by_name_or_number() {
    let m = &mut manager();
    assert_eq!(type_in(m, "resize 50 132\r").acts, ["Resize { rows: 50, columns: 132 }"]);
    for typed in ["signal TERM", "signal SIGTERM", "signal 15"] {
        let desk = type_in(m, &format!("{typed}\r"));
        assert_eq!(desk.acts, ["Signal { signal: 15 }"]);
        assert_eq!(desk.lines, ["to be agreed: SIGTERM for the terminal's foreground process group"]);
    }
}

#[test]
fn a_policy_that_changes_counts_from_then_on() {
    let (mut m, mut desk) = (manager(), Desk::default());
    assert_eq!(
        type_in(&mut m, "policy\r").lines,
        ["policy: iteration is rotate: the next design takes a lost kernel's place"]
    );
    type_in(&mut m, "policy iteration refresh\r");
    m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    type_in(&mut m, "policy iteration none\r");
    m.on_verdict(&Verdict::Crashed { voter: 6 }, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 3, set: 0x90, quorum: 2 }, &mut desk);
    assert_eq!(desk.acts, ["Restart { domain: 5, image: 5, again: false }"], "as it was, and then nothing");
}

#[test]
fn what_happened_is_told_again_and_as_json() {
    let (mut m, mut desk) = (manager(), Desk::default());
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    desk.now_us = 12_345_678;
    m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    assert_eq!(type_in(&mut m, "verdicts\r").lines, ["    12.345 verdict: k2 crashed"]);
    let log = type_in(&mut m, "log\r").lines;
    assert_eq!(
        log[..2],
        ["     0.000 voters 2: k1 k3 k4 vote, 2 equal votes decide", "    12.345 verdict: k2 crashed"]
    );
    type_in(&mut m, "json on\r");
    let mut desk = Desk { now_us: 7, ..Desk::default() };
    m.on_verdict(&Verdict::CaughtUp { voter: 4 }, &mut desk);
    assert_eq!(desk.lines, [r#"{"us":7,"kind":"verdict","text":"k1 has caught up"}"#]);
    let status = type_in(&mut m, "status\r").lines;
    assert_eq!(
        status[5],
        r#"{"kind":"domain","index":4,"name":"k1","core":1,"design":"classic","mib":16,"state":"absent","exits":0,"starts":1,"vote":"voting"}"#
    );
    type_in(&mut m, "json off\r");
    for n in 0..100 {
        m.on_verdict(&Verdict::Late { voter: 4, n }, &mut desk);
    }
    assert_eq!(type_in(&mut m, "verdicts\r").lines.len(), 32);
}

#[test]
fn a_slowed_kernel_stands_still_nine_tenths_of_the_time_until_it_is_resumed_or_replaced() {
    let mut m = manager();
    assert_eq!(m.wakes_at(), None);
    type_in(&mut m, "inject slow k2\r");
    let mut desk = Desk { now_us: 1_000, ..Desk::default() };
    for _ in 0..4 {
        m.on_time(&mut desk);
        m.on_time(&mut desk);
        desk.now_us = m.wakes_at().unwrap();
    }
    assert_eq!(desk.acts, ["Pause 5 at 1000", "Resume 5 at 19000", "Pause 5 at 21000", "Resume 5 at 39000"]);
    assert_eq!(type_in(&mut m, "resume k2\r").acts, ["Resume 5"]);
    assert_eq!(m.wakes_at(), None);
    type_in(&mut m, "inject slow k2\r");
    begun(&mut m, 5, 1, &mut desk);
    assert_eq!(desk.acts.last().unwrap(), "Resume 5 at 41000");
    assert!(!type_in(&mut m, "inject slow gate\r").lines[0].starts_with("injected"));
}
