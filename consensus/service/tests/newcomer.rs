//! A kernel begun anew: it disturbs nobody, and joins when it stands where the others do.

mod common;

use abi::log::{Entry, Event};
use abi::vote::{NO_DEADLINE, Progress, Verdict, Vote};
use common::{GRACE, HANG, Single, config, program};
use replica::clerk::Sink;

#[derive(Default)]
struct Log {
    entries: Vec<String>,
    progress: Vec<Progress>,
}

impl common::Log for Log {
    fn entry(&mut self, entry: &Entry<'_>) {
        self.entries.push(match entry {
            Entry::Boot(_) => "boot".into(),
            Entry::Sync(s) => format!("sync {}", s.s),
            Entry::Skip { call } => format!("skip {call}"),
            Entry::Go { call } => format!("go {call}"),
        });
    }
}

impl Sink for Log {
    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn decided(&mut self, _: &replica::snapshots::Decided) {}
}

fn passed(s: u64, runnable: bool) -> Vote<'static> {
    Vote::Passed { s, call: s * 16, effects: s, runnable, deadline_us: NO_DEADLINE, state: None }
}

/// Sync points that the three have passed before the fourth is begun anew; the program waits at the last.
const LAST: u64 = 6;

/// Voter 7 crashed, left, and is begun anew.
fn lost() -> (Single, Log) {
    let (mut line, mut log) = (Single::new(config(), program(), None), Log::default());
    line.on_verdict(&Verdict::Released { effects: 1000 });
    line.poll(0, &mut log);
    line.on_verdict(&Verdict::Crashed { voter: 7 });
    line.poll(1, &mut log);
    assert_eq!(line.voters.last().map(|v| (v.epoch, v.set, v.quorum)), Some((2, 0x70, 2)));
    for s in 0..=LAST {
        for voter in 4..7 {
            line.on_vote(voter, &passed(s, s + 1 < LAST), 10 + s, &mut log);
        }
        line.poll(10 + s, &mut log);
    }
    line.on_verdict(&Verdict::Restarted { voter: 7, epoch: 2 });
    line.poll(100, &mut log);
    (line, log)
}

#[test]
fn it_joins_when_it_has_passed_what_the_others_have() {
    let (mut line, mut log) = lost();
    let last = line.issued().unwrap();
    for s in 0..=last {
        assert_eq!(line.voters.len(), 2, "before {s}");
        line.on_vote(7, &passed(s, s + 1 < LAST), 200, &mut log);
        if s + 1 < last {
            line.poll(200, &mut log);
        }
    }
    line.poll(200, &mut log);
    assert_eq!(line.voters.last().map(|v| (v.epoch, v.set, v.quorum)), Some((3, 0xf0, 3)));
    assert!(
        log.progress.iter().all(|p| !matches!(p, Progress::Lagging { .. } | Progress::Contradicts { .. }))
    );
    // What the verdicts said of its predecessor is over.
    line.poll(300, &mut log);
    assert_eq!(line.voters.len(), 3);
}

/// Voter 7 has joined at `now`, as soon as it may: it has not passed the last sync point yet, which the others did long ago.
fn joined(now: u64) -> (Single, Log) {
    let (mut line, mut log) = lost();
    for s in 0..line.issued().unwrap() {
        line.on_vote(7, &passed(s, s + 1 < LAST), now, &mut log);
    }
    line.poll(now, &mut log);
    assert_eq!(line.voters.len(), 3);
    (line, log)
}

#[test]
fn it_has_a_grace_from_when_it_counts() {
    let now = 50 * GRACE;
    let lagging = |at: u64| {
        let (mut line, mut log) = joined(now);
        for input in 0..2u8 {
            let mut buf = [0; 8];
            assert!(line.on_input(postcard::to_slice(&Event::TtyData(&[input]), &mut buf).unwrap()));
            line.poll(at, &mut log);
        }
        log.progress.iter().any(|p| matches!(p, Progress::Lagging { .. }))
    };
    assert!(!lagging(now + GRACE - 1));
    assert!(lagging(now + GRACE));
}

#[test]
fn one_that_reports_something_else_does_not_join() {
    let (mut line, mut log) = lost();
    for s in 0..=line.issued().unwrap() {
        let call = if s == 3 { 1 + s * 16 } else { s * 16 };
        let vote = Vote::Passed {
            s,
            call,
            effects: s,
            runnable: s + 1 < LAST,
            deadline_us: NO_DEADLINE,
            state: None,
        };
        line.on_vote(7, &vote, 200, &mut log);
        line.poll(200, &mut log);
    }
    assert_eq!(line.voters.len(), 2);
    assert!(log.progress.contains(&Progress::Contradicts { voter: 7, s: 3 }), "{:?}", log.progress);
}

#[test]
fn its_promise_of_old_is_answered_by_go_and_makes_no_skip() {
    let (mut line, mut log) = lost();
    line.on_vote(7, &passed(0, true), 200, &mut log);
    line.on_vote(7, &Vote::Stuck { call: 3 }, 200, &mut log);
    line.poll(200, &mut log);
    assert_eq!(log.entries.last().unwrap(), "go 3");
    // Nor is it forgotten when it is the first word: behind a snapshot a thread can be stuck before the next sync point.
    let (mut line, mut log) = lost();
    line.on_vote(7, &Vote::Stuck { call: 3 }, 200, &mut log);
    line.poll(200, &mut log);
    assert_eq!(log.entries.last().unwrap(), "go 3");
    // Of a call that nobody has made it proves nothing.
    let (mut line, mut log) = lost();
    let before = log.entries.len();
    for s in 0..=line.issued().unwrap() {
        line.on_vote(7, &passed(s, s + 1 < LAST), 200, &mut log);
    }
    line.on_vote(7, &Vote::Stuck { call: 16 * LAST + 1 }, 200, &mut log);
    line.poll(200 + 100 * GRACE, &mut log);
    assert!(log.entries[before..].iter().all(|e| e.starts_with("sync")), "{:?}", log.entries);
}

#[test]
fn one_that_is_begun_anew_while_it_votes_leaves_first() {
    let (mut line, mut log) = lost();
    line.on_verdict(&Verdict::Restarted { voter: 6, epoch: 2 });
    line.poll(300, &mut log);
    assert_eq!(line.voters.last().map(|v| (v.epoch, v.set, v.quorum)), Some((3, 0x30, 2)));
}

#[test]
fn one_that_stands_still_behind_its_first_word_is_told_of_and_changes_no_voters() {
    let (mut line, mut log) = lost();
    line.on_vote(7, &passed(0, true), 200, &mut log);
    let before = line.voters.len();
    let mut now = 200;
    while let Some(at) = line.wake_at(now).filter(|at| *at <= 2 * HANG) {
        now = at.max(now);
        line.poll(now, &mut log);
    }
    assert_eq!(line.voters.len(), before);
    let told: Vec<_> = log.progress.iter().filter(|p| matches!(p, Progress::Hangs { .. })).collect();
    assert_eq!(told, [&Progress::Hangs { voter: 7, s: 1 }]);
}
