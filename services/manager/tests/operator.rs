//! What the operator reads and types.

mod common;

use abi::bootinfo::{DomainState, DomainStatus};
use abi::vote::{Progress, Verdict};
use common::{Desk, agreed, begun, manager, type_in};
use consensus::verdict::{Ballot, EFFECT, Evidence, Subject};
use proptest::prelude::*;

#[test]
fn a_verdict_is_one_line_that_names_the_culprit() {
    let (mut m, mut desk) = (manager(), Desk::default());
    let (own, quorum) = ([0x3f; 32], [0x9b; 32]);
    let status = DomainStatus { state: 2, restarts: 0, cause: 0x21, pc: 0x4000, address: 0x10, exits: 0 };
    m.on_domain(6, status, &mut desk);
    for verdict in [
        Verdict::Released { effects: 17 },
        Verdict::WrongOutput { voter: 5, n: 17, call: 1043, own, quorum, agreed: 0xd0 },
        Verdict::WrongState { voter: 4, s: 9, process: 3, own, quorum },
        Verdict::Late { voter: 7, n: 18 },
        Verdict::CaughtUp { voter: 7 },
        Verdict::Malformed { voter: 7, position: 160 },
        Verdict::Crashed { voter: 6 },
        Verdict::Contradicts { voter: 7, s: 12 },
        Verdict::NoQuorum { n: 18 },
    ] {
        m.on_verdict(&verdict, &mut desk);
    }
    let expect = [
        "verdict: k2 wrong output: effect 17 (call 1043) differs: own 3f3f3f3f.., quorum 9b9b9b9b.. by k1 k3 k4",
        "verdict: k1 wrong state: memory of process 3 at sync point 9 differs: own 3f3f3f3f.., quorum 9b9b9b9b..",
        "verdict: k4 late: effect 18 is missing 50 ms after the quorum's",
        "verdict: k4 has caught up",
        "verdict: k4 malformed: no valid vote at byte 160 of its ring",
        "verdict: k3 crashed (exception class 0x21, pc 0x4000, address 0x10)",
        "verdict: k4 contradicts the others at sync point 12",
        "verdict: no quorum is possible for effect 18: output stops here",
    ];
    assert_eq!(desk.lines, expect);
}

#[test]
fn the_end_is_two_lines_and_power_off_once() {
    for (status, line) in [
        (0x300, "tetrarch: program exited with status 3"),
        (0, "tetrarch: program exited with status 0"),
        (9, "tetrarch: program killed by signal 9"),
    ] {
        let (mut m, mut desk) = (manager(), Desk::default());
        m.on_verdict(&Verdict::Exit { status }, &mut desk);
        m.on_verdict(&Verdict::Exit { status }, &mut desk);
        assert_eq!(desk.lines, [line, "tetrarch: power off"]);
        assert_eq!(desk.acts, ["off"]);
    }
}

#[test]
fn status_shows_how_each_voter_stands() {
    let (mut m, mut desk) = (manager(), Desk::default());
    for domain in 0..8 {
        let state = if domain == 7 { 2 } else { 1 };
        let status = DomainStatus { state, restarts: 0, cause: 0, pc: 0, address: 0, exits: 5 };
        m.on_domain(domain, status, &mut desk);
    }
    let (own, quorum) = ([1; 32], [2; 32]);
    m.on_verdict(&Verdict::WrongOutput { voter: 4, n: 2, call: 3, own, quorum, agreed: 0 }, &mut desk);
    m.on_verdict(&Verdict::Crashed { voter: 7 }, &mut desk);
    m.on_verdict(&Verdict::Released { effects: 12 }, &mut desk);
    for replica in [0, 3] {
        m.on_progress(replica, &Progress::Lagging { voter: 5, s: 40 }, &mut desk);
        m.on_progress(
            replica,
            &Progress::Issued { s: 256, call: 4096, runnable: false, lagging: 0 },
            &mut desk,
        );
        // One replica alone accuses nobody.
        m.on_progress(1, &Progress::Contradicts { voter: 6, s: 40 }, &mut desk);
    }
    let desk = type_in(&mut m, "status\r");
    let expect = [
        "program waiting; sync point 256, call 4096, 12 effects released",
        "   domain           core design       MiB state       exits starts vote",
        " 0 manager             0 service       16 running         5      1 ",
        " 1 r1                  0 service       16 running         5      1 ",
        " 2 gate                0 service       16 running         5      1 ",
        " 3 devices             0 service       16 running         5      1 ",
        " 4 k1                  1 classic       16 running         5      1 wrong since effect 2",
        " 5 k2                  1 classic       16 running         5      1 lagging since sync point 40",
        " 6 k3                  1 classic       16 running         5      1 voting",
        " 7 k4                  1 classic       16 crashed         5      1 crashed",
    ];
    assert_eq!(desk.lines, expect);
}

#[test]
fn faults_are_injected_by_name_or_number() {
    let m = &mut manager();
    assert_eq!(type_in(m, "inject crash k2\r").acts, ["Crash 5"]);
    assert_eq!(type_in(m, "inject hang 2\r\n").acts, ["Hang 5"]);
    assert_eq!(type_in(m, "inject lie k4\n").acts, ["Lie { domain: 7 }"]);
    assert_eq!(type_in(m, " inject  diverge 1 \r").acts, ["Diverge { domain: 4 }"]);
    assert_eq!(type_in(m, "pause 1\r").acts, ["Pause 4"]);
    assert_eq!(type_in(m, "resume k1\r").acts, ["Resume 4"]);
    assert_eq!(type_in(m, "inject corrupt k3\r").acts, ["Corrupt 6"]);
    assert_eq!(type_in(m, "inject equivocate r1\r").acts, ["Equivocate { domain: 1 }"]);
    let desk = type_in(m, "restart r1\r");
    assert_eq!(desk.acts, ["Restart { domain: 1, image: 0, again: false }"]);
    assert_eq!(desk.lines, ["the replicas are asked to restart r1"]);
    let mut desk = Desk::default();
    begun(m, 1, 1, &mut desk);
    assert_eq!(desk.lines, ["restarted: r1"]);
    let desk = type_in(m, "inject crash devices\r");
    assert_eq!(desk.lines, ["EL2 refuses crash in devices: Denied"]);
}

#[test]
fn what_cannot_be_done_is_said() {
    for (typed, answer) in [
        ("reboot", "unknown command `reboot`; try `help`"),
        ("inject", "usage: inject crash|hang|slow|corrupt|lie|diverge|equivocate K, e.g. `inject lie k2`"),
        ("pause", "usage: pause K, resume K, restart R, e.g. `pause k2`"),
        ("pause manager", "the manager does not harm itself"),
        (
            "inject melt k1",
            "unknown fault `melt`: there are crash, hang, slow, corrupt, lie, diverge, equivocate and usurp",
        ),
        ("inject lie k9", "no domain `k9`: give a name of `status`, or a voter's number from 1"),
        ("inject lie 0", "no domain `0`: give a name of `status`, or a voter's number from 1"),
        ("inject lie gate", "gate is no kernel: only a voter can lie"),
        ("inject equivocate k1", "k1 is no replica: only one can equivocate"),
        ("restart gate", "gate is no replica: only one can restart"),
        ("inject crash manager", "the manager does not harm itself"),
        ("inject usurp k1", "only the manager can usurp"),
        ("status all", "`status all`: nothing may follow that command"),
        ("log all", "`log all`: nothing may follow that command"),
        ("counters", "usage: counters K [json], e.g. `counters k2`"),
        ("verdicts", "nothing so far"),
        (
            "policy iteration sideways",
            "usage: policy, policy iteration re-execute|rotate|refresh|none, policy spare after-attempts|first|manual",
        ),
        ("resize 0 80", "rows and columns are numbers from 1 to 65535"),
        ("resize 24", "usage: resize ROWS COLUMNS, signal TERM, json on|off, policy iteration refresh"),
        ("signal 32", "no signal `32`: give a name such as TERM, or a number from 1 to 31"),
        ("json maybe", "usage: resize ROWS COLUMNS, signal TERM, json on|off, policy iteration refresh"),
    ] {
        let desk = type_in(&mut manager(), &format!("{typed}\r"));
        assert_eq!(desk.lines, [answer]);
        assert!(desk.acts.is_empty());
    }
    assert!(type_in(&mut manager(), "\r\r").lines.is_empty());
    assert_eq!(type_in(&mut manager(), "help\r").lines.len(), 20);
}

#[test]
fn typing_is_echoed_and_erased() {
    let desk = type_in(&mut manager(), "\x7fhx\x7felp\r");
    assert_eq!(desk.echo, b"hx\x08 \x08elp\r\n");
    assert_eq!(desk.lines.len(), 20);
}

proptest! {
    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..600), numbers in any::<(u32, u64)>()) {
        let (mut m, mut desk) = (manager(), Desk::default());
        for byte in bytes {
            m.on_byte(byte, &mut desk);
        }
        let (voter, n) = numbers;
        let (own, quorum) = ([0; 32], [0; 32]);
        m.on_verdict(&Verdict::WrongOutput { voter, n, call: n, own, quorum, agreed: n }, &mut desk);
        for replica in 0..5 {
            m.on_progress(replica, &Progress::Lagging { voter, s: n }, &mut desk);
        }
    }
}

#[test]
fn evidence_is_judged_once_more_and_names_everybody() {
    let subject = Subject { epoch: 1, turn: 54, thread: 0, kind: EFFECT };
    let mut ballot = Ballot::new(subject);
    for (voter, digest) in [(0, 7), (2, 7), (3, 7), (1, 9)] {
        ballot.cast(voter, &subject, [digest; 32]);
    }
    let record = Evidence { ballot, members: 15 }.encode();
    let (mut m, mut desk) = (manager(), Desk::default());
    m.on_evidence(&record, &mut desk);
    assert!(desk.lines.is_empty(), "by which policy?");
    for replica in [0, 1] {
        m.on_progress(replica, &Progress::Voters { epoch: 1, set: 0xf0, quorum: 3 }, &mut desk);
    }
    m.on_evidence(&record, &mut desk);
    m.on_evidence(&record[1..], &mut desk);
    assert_eq!(
        desk.lines,
        [
            "evidence: effect 54, epoch 1: k1, k3, k4 agree on 07070707; k2 said something else; cause: undetermined"
        ]
    );
    // It is counted when the voter leaves.
    m.on_verdict(&Verdict::Silent { voter: 5, n: 54 }, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    let status = type_in(&mut m, "status\r").lines;
    assert_eq!(
        status[1],
        "losses by cause: transient 0, one kernel 0, common mode 0, attack 0, undetermined 1"
    );
}

#[test]
fn a_lost_kernel_is_begun_anew_with_the_next_design_and_told_of_until_it_votes() {
    let (mut m, mut desk) = (manager(), Desk::default());
    agreed(&mut m, Progress::Voters { epoch: 1, set: 0xf0, quorum: 3 }, &mut desk);
    m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    assert!(desk.acts.is_empty(), "it votes still");
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    desk.now_us = 70_000;
    begun(&mut m, 5, 1, &mut desk);
    desk.now_us = 500_000;
    agreed(&mut m, Progress::Voters { epoch: 3, set: 0xf0, quorum: 3 }, &mut desk);
    assert_eq!(desk.acts, ["Restart { domain: 5, image: 6, again: false }"]);
    let expect = [
        "verdict: k2 crashed",
        "voters 2: k1 k3 k4 vote, 2 equal votes decide",
        "return: k2 (classic, crashed) is begun anew as lazy",
        "return: k2 runs on scrubbed memory 70 ms after it was lost",
        "voters 3: k1 k2 k3 k4 vote, 3 equal votes decide",
        "return: k2 votes as lazy, 500 ms after it was lost (crashed), 430 ms of them following the log: four vote again",
    ];
    assert_eq!(desk.lines, expect);
    // Its orders have another name now.
    assert_eq!(type_in(&mut m, "inject lie k2\r").acts, ["Lie { domain: 261 }"]);
}

/// The gate had accused it for what its predecessor left, and says no more of it.
#[test]
fn a_newcomer_that_crashes_unheard_is_begun_anew_once() {
    let (mut m, mut desk) = (manager(), Desk::default());
    m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    begun(&mut m, 5, 1, &mut desk);
    let state = DomainState::Crashed as u16;
    let crashed = DomainStatus { state, restarts: 1, cause: 0, pc: 0, address: 0, exits: 0 };
    for _ in 0..3 {
        m.on_domain(5, crashed, &mut desk);
    }
    // Should the gate speak of it, too, it is the same crash.
    m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    assert_eq!(
        desk.acts,
        ["Restart { domain: 5, image: 6, again: false }", "Restart { domain: 261, image: 7, again: false }"]
    );
}

#[test]
fn one_that_hangs_is_begun_anew_each_time() {
    let (mut m, mut desk) = (manager(), Desk::default());
    for n in 0..2 {
        let without = Progress::Voters { epoch: 2 + 2 * n, set: 0xd0, quorum: 2 };
        agreed(&mut m, without, &mut desk);
        agreed(&mut m, Progress::Hangs { voter: 5, s: 9 + n }, &mut desk);
        begun(&mut m, 5, n as u16 + 1, &mut desk);
        agreed(&mut m, Progress::Begun { voter: 5, s: 9 }, &mut desk);
        agreed(&mut m, Progress::Voters { epoch: 3 + 2 * n, set: 0xf0, quorum: 3 }, &mut desk);
    }
    assert_eq!(
        desk.acts,
        ["Restart { domain: 5, image: 6, again: false }", "Restart { domain: 261, image: 7, again: false }"]
    );
    let told = "verdict: k2 silent: it hangs: the others have passed sync point 9, from it nothing came for 10000 ms";
    assert_eq!(desk.lines[1], told);
    // So is one that follows the log.
    agreed(&mut m, Progress::Voters { epoch: 6, set: 0xd0, quorum: 2 }, &mut desk);
    agreed(&mut m, Progress::Hangs { voter: 5, s: 12 }, &mut desk);
    begun(&mut m, 5, 3, &mut desk);
    agreed(&mut m, Progress::Begun { voter: 5, s: 12 }, &mut desk);
    agreed(&mut m, Progress::Hangs { voter: 5, s: 14 }, &mut desk);
    assert_eq!(
        desk.acts[2..],
        [
            "Restart { domain: 517, image: 5, again: false }",
            "Restart { domain: 773, image: 6, again: false }"
        ]
    );
    // Nobody was there to bring it back.
    let (mut m, mut desk) = (manager(), Desk::default());
    for from in [0, 1] {
        m.recall_progress(from, &Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, 0);
        m.recall_progress(from, &Progress::Hangs { voter: 5, s: 9 }, 0);
    }
    m.recalled(&mut desk);
    assert_eq!(desk.acts, ["Restart { domain: 5, image: 6, again: false }"]);
}

#[test]
fn a_newcomer_that_fails_is_begun_anew_until_it_is_enough() {
    let (mut m, mut desk) = (manager(), Desk::default());
    m.on_verdict(&Verdict::Silent { voter: 5, n: 3 }, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    for restarts in 1..=3 {
        begun(&mut m, 5, restarts, &mut desk);
        m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    }
    assert_eq!(
        desk.acts,
        [
            "Restart { domain: 5, image: 6, again: false }",
            "Restart { domain: 261, image: 7, again: false }",
            "Restart { domain: 517, image: 5, again: false }"
        ]
    );
    assert_eq!(
        desk.lines.last().unwrap(),
        "return: k2 stays out: begun anew 3 times, and lost again before it voted"
    );
}

#[test]
fn replace_says_what_it_does_or_why_not() {
    let m = &mut manager();
    let mut desk = Desk::default();
    agreed(m, Progress::Voters { epoch: 1, set: 0xf0, quorum: 3 }, &mut desk);
    for (typed, answer) in [
        ("replace", "usage: replace K [spare] [design], e.g. `replace k2 lazy`, `replace k2 spare`"),
        ("replace r1", "no kernel `r1`: give a name of `status`, or its number from 1"),
        ("replace k1 linux", "no design `linux`: there are classic lazy actor"),
    ] {
        let desk = type_in(m, &format!("{typed}\r"));
        assert_eq!((desk.lines, desk.acts), (vec![answer.to_owned()], vec![]));
    }
    let desk = type_in(m, "replace k1 actor\r");
    assert_eq!(desk.acts, ["Restart { domain: 4, image: 7, again: false }"]);
    assert_eq!(desk.lines, ["return: k1 (classic, replaced by order) is begun anew as actor"]);
    let mut desk = Desk::default();
    agreed(m, Progress::Voters { epoch: 2, set: 0x30, quorum: 2 }, &mut desk);
    assert_eq!(type_in(m, "replace k1\r").lines, ["k1 is needed: fewer than three vote"]);
}

#[test]
fn a_manager_that_begins_anew_goes_on_where_the_last_one_ended() {
    let (mut m, mut desk) = (manager(), Desk { now_us: 5_000, ..Desk::default() });
    let row = DomainStatus { state: 1, restarts: 0, cause: 0, pc: 0, address: 0, exits: 0 };
    for (domain, restarts) in [(4, 0), (5, 1), (6, 0), (7, 1)] {
        m.on_domain(domain, DomainStatus { restarts, ..row }, &mut desk);
    }
    let said = [
        Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 },
        Progress::Voters { epoch: 3, set: 0x90, quorum: 2 },
        // Nobody else says this.
        Progress::Voters { epoch: 4, set: 0xf0, quorum: 3 },
    ];
    for (i, word) in said.iter().enumerate() {
        (0..if i == 2 { 1 } else { 2 }).for_each(|from| m.recall_progress(from, word, 5_000));
    }
    // k2 was lost and is on its way back; k4 was, and votes again; k3 was lost when nobody was there to bring it back.
    m.recall_verdict(&Verdict::Crashed { voter: 5 }, 5_000);
    m.recall_verdict(&Verdict::Restarted { voter: 5, epoch: 2 }, 5_000);
    m.recall_verdict(&Verdict::Silent { voter: 7, n: 1 }, 5_000);
    m.recall_verdict(&Verdict::Restarted { voter: 7, epoch: 2 }, 5_000);
    m.recall_verdict(&Verdict::Silent { voter: 6, n: 3 }, 5_000);
    assert!(desk.lines.is_empty() && desk.acts.is_empty());
    m.recalled(&mut desk);
    assert_eq!(desk.acts, ["Restart { domain: 6, image: 6, again: false }"]);
    let mut desk = Desk { now_us: 9_000, ..Desk::default() };
    agreed(&mut m, Progress::Voters { epoch: 5, set: 0xb0, quorum: 3 }, &mut desk);
    assert_eq!(
        desk.lines.last().unwrap(),
        "return: k2 votes, lost before this manager began: three vote again"
    );
    assert!(desk.acts.is_empty());
}

#[test]
fn an_end_that_nobody_heard_is_told_by_the_next_manager() {
    let (mut m, mut desk) = (manager(), Desk::default());
    m.recall_verdict(&Verdict::Exit { status: 3 << 8 }, 0);
    m.recalled(&mut desk);
    assert!(desk.lines.contains(&"tetrarch: program exited with status 3".to_owned()), "{:?}", desk.lines);
}

#[test]
fn a_usurper_tries_all_and_tells() {
    let desk = type_in(&mut manager(), "inject usurp manager\r");
    assert_eq!(
        (desk.acts.len(), &*desk.acts[0], &*desk.acts[8]),
        (9, "usurp", "Restart { domain: 7, image: 0, again: false }")
    );
    let told = "injected: usurp: 9 invocations, 0 took effect; 8 orders to begin somebody anew";
    assert_eq!(desk.lines, [told]);
}
