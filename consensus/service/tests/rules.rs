//! The rules of issue, one by one.

mod common;

use abi::log::{Boot, Entry, Event, Sync};
use abi::vote::{NO_DEADLINE, Progress, Verdict, Vote};
use common::{GRACE, HANG, Single, config, program};
use replica::clerk::{Clerk, Config, Sink};

/// Hangs are counted in such steps.
const STEP: u64 = 100_000;

#[derive(Default)]
struct Log {
    entries: Vec<String>,
    progress: Vec<Progress>,
}

impl common::Log for Log {
    fn entry(&mut self, entry: &Entry<'_>) {
        self.entries.push(match entry {
            Entry::Boot(_) => "boot".into(),
            Entry::Sync(s) => format!("sync {} {} {}", s.s, s.time_us, s.events().count()),
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

fn passed(s: u64, runnable: bool, deadline_us: u64) -> Vote<'static> {
    Vote::Passed { s, call: s * 16, effects: s, runnable, deadline_us, state: None }
}

fn all(seq: &mut Single, voters: core::ops::Range<u32>, vote: &Vote, now: u64, log: &mut Log) {
    for voter in voters {
        seq.on_vote(voter, vote, now, log);
    }
    seq.poll(now, log);
}

#[test]
fn a_running_program_gets_two_entries_ahead_and_output_holds_it_back() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.poll(10, &mut log);
    assert_eq!(log.entries, ["boot"]);
    all(&mut seq, 4..7, &passed(0, true, NO_DEADLINE), 20, &mut log);
    assert_eq!(log.entries, ["boot"], "the fourth is waited for");
    all(&mut seq, 7..8, &passed(0, true, NO_DEADLINE), 30, &mut log);
    assert_eq!(log.entries, ["boot", "sync 1 1030 0", "sync 2 1030 0"]);
    all(&mut seq, 4..8, &passed(1, true, NO_DEADLINE), 40, &mut log);
    assert_eq!(log.entries.len(), 3, "one effect has not left the gate");
    seq.on_verdict(&Verdict::Released { effects: 1 });
    seq.poll(50, &mut log);
    assert_eq!(log.entries.last().unwrap(), "sync 3 1050 0");
}

#[test]
fn a_late_voter_costs_one_grace_and_comes_back() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.poll(0, &mut log);
    all(&mut seq, 4..7, &passed(0, true, NO_DEADLINE), 20, &mut log);
    assert_eq!(seq.wake_at(20), Some(20 + GRACE));
    seq.poll(20 + GRACE - 1, &mut log);
    assert_eq!(log.entries.len(), 1);
    seq.poll(20 + GRACE, &mut log);
    assert_eq!(log.entries.len(), 3);
    assert_eq!(log.progress, [Progress::Lagging { voter: 7, s: 0 }]);
    for s in 1..5 {
        all(&mut seq, 4..7, &passed(s, true, NO_DEADLINE), 30 + GRACE, &mut log);
    }
    assert_eq!(seq.issued(), Some(6), "nobody waits for a lagging voter");
    for s in 0..6 {
        all(&mut seq, 7..8, &passed(s, true, NO_DEADLINE), 40 + GRACE, &mut log);
    }
    assert_eq!(log.progress[1..], [Progress::CaughtUp { voter: 7, s: 5 }]);
    for s in 5..7 {
        all(&mut seq, 4..7, &passed(s, true, NO_DEADLINE), 50 + GRACE, &mut log);
    }
    assert_eq!(seq.issued(), Some(7), "now it is waited for again");
}

#[test]
fn an_idle_program_gets_one_entry_for_input_and_one_for_its_deadline() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.poll(0, &mut log);
    all(&mut seq, 4..8, &passed(0, false, 6000), 20, &mut log);
    assert_eq!((log.entries.len(), seq.wake_at(20)), (1, Some(5000)));
    let mut buf = [0; 16];
    assert!(seq.on_input(postcard::to_slice(&Event::TtyData(b"x"), &mut buf).unwrap()));
    assert!(seq.on_input(b"\xff\xff no event"), "what is no event has no effect");
    assert!(seq.on_input(postcard::to_slice(&Event::Rejoin { thread: 1, call: 1 }, &mut buf).unwrap()));
    seq.poll(30, &mut log);
    assert_eq!(log.entries[1..], ["sync 1 1030 1"]);
    all(&mut seq, 4..8, &passed(1, false, 6000), 40, &mut log);
    seq.poll(4999, &mut log);
    assert_eq!(log.entries.len(), 2);
    seq.poll(5000, &mut log);
    assert_eq!(log.entries[2..], ["sync 2 6000 0"]);
}

#[test]
fn input_that_does_not_fit_waits_for_the_next_entry() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    let (data, mut buf) = ([b'x'; 1000], [0; 1100]);
    let event = postcard::to_slice(&Event::TtyData(&data), &mut buf).unwrap();
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.poll(0, &mut log);
    assert!((0..10).all(|_| seq.on_input(event)));
    seq.poll(0, &mut log);
    let fit = abi::log::EVENTS_MAX / event.len();
    all(&mut seq, 4..8, &passed(0, false, NO_DEADLINE), 1, &mut log);
    assert_eq!(log.entries[1..], [format!("sync 1 1001 {fit}"), format!("sync 2 1001 {}", 10 - fit)]);
    let full = (0..100).take_while(|_| seq.on_input(event)).count();
    assert_eq!(full, abi::vote::INPUT_BYTES_MAX / event.len());
}

#[test]
fn a_crashed_voter_is_not_waited_for_and_a_contradicting_one_is_named() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.poll(0, &mut log);
    all(&mut seq, 4..7, &passed(0, true, NO_DEADLINE), 1, &mut log);
    seq.on_out(7);
    seq.poll(2, &mut log);
    assert_eq!(seq.issued(), Some(2));
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.on_vote(4, &passed(1, false, NO_DEADLINE), 3, &mut log);
    all(&mut seq, 5..7, &passed(1, true, NO_DEADLINE), 3, &mut log);
    assert_eq!(log.progress, [Progress::Contradicts { voter: 4, s: 1 }]);
    assert_eq!(seq.issued(), Some(2), "two are no quorum");
    // It leaves by the gate's word, which believes two replicas.
    let sets = |seq: &Single| seq.voters.iter().map(|v| v.set).collect::<Vec<_>>();
    assert_eq!(sets(&seq), [0xf0]);
    seq.on_verdict(&Verdict::Contradicts { voter: 4, s: 1 });
    seq.poll(4, &mut log);
    assert_eq!(sets(&seq), [0xf0, 0xe0]);
}

#[test]
fn the_manager_hears_of_a_running_program_as_running() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.poll(0, &mut log);
    for s in 0..300 {
        all(&mut seq, 4..8, &passed(s, true, NO_DEADLINE), s, &mut log);
    }
    assert_eq!(log.progress, [Progress::Issued { s: 256, call: 254 * 16, runnable: true, lagging: 0 }]);
}

#[test]
fn a_rejoin_needs_a_quorum_and_comes_once() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.poll(0, &mut log);
    all(&mut seq, 4..8, &passed(0, false, NO_DEADLINE), 1, &mut log);
    let rejoin = Vote::Rejoin { thread: 3, call: 9 };
    all(&mut seq, 4..6, &rejoin, 2, &mut log);
    assert_eq!(log.entries.len(), 1);
    all(&mut seq, 6..7, &rejoin, 3, &mut log);
    assert_eq!(log.entries[1..], ["sync 1 1003 1"]);
    all(&mut seq, 7..8, &rejoin, 4, &mut log);
    assert_eq!(log.entries.len(), 2);
}

#[test]
fn stuck_is_answered_by_skip_when_all_promise_and_by_go_when_one_made_the_call() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.poll(0, &mut log);
    all(&mut seq, 4..8, &Vote::Stuck { call: 5 }, 1, &mut log);
    assert_eq!(log.entries[1..], ["skip 5"]);
    // One kernel's thread was quicker.
    all(&mut seq, 4..6, &Vote::Stuck { call: 6 }, 2, &mut log);
    all(&mut seq, 7..8, &Vote::Took { call: 6 }, 3, &mut log);
    all(&mut seq, 6..7, &Vote::Stuck { call: 6 }, 4, &mut log);
    assert_eq!(log.entries[2..], ["go 6"]);
    all(&mut seq, 4..7, &Vote::Stuck { call: 8 }, 5, &mut log);
    seq.poll(4 + GRACE, &mut log);
    assert_eq!((log.entries.len(), seq.wake_at(4 + GRACE)), (3, Some(5 + GRACE)));
    seq.poll(5 + GRACE, &mut log);
    assert_eq!(log.entries[3..], ["skip 8"]);
}

#[test]
fn a_promise_that_comes_after_the_skip_changes_nothing() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.poll(0, &mut log);
    all(&mut seq, 4..7, &Vote::Stuck { call: 5 }, 1, &mut log);
    seq.poll(1 + GRACE, &mut log);
    assert_eq!(log.entries[1..], ["skip 5"]);
    all(&mut seq, 4..7, &Vote::Took { call: 6 }, 2 + GRACE, &mut log);
    all(&mut seq, 7..8, &Vote::Stuck { call: 5 }, 3 + GRACE, &mut log);
    assert_eq!(log.entries.len(), 2);
}

#[test]
fn a_replay_issues_what_was_recorded_and_answers_who_is_slower_now() {
    let boot = Boot {
        version: 1,
        seed: [3; 32],
        time_us: 7,
        digest_interval: 0,
        rows: 24,
        columns: 80,
        program: program(),
    };
    let sync = |s| Entry::Sync(Sync { s, time_us: s, events: &[] });
    let mut recording = Vec::new();
    for entry in [Entry::Boot(boot), sync(1), sync(2), Entry::Skip { call: 4 }, sync(3)] {
        let mut buf = [0; 256];
        let bytes = postcard::to_slice(&entry, &mut buf).unwrap();
        recording.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
        recording.extend_from_slice(bytes);
    }
    let config = Config { voters: 0x10, quorum: 1, ..config() };
    let recording = Box::leak(recording.into_boxed_slice());
    let (mut seq, mut log) = (Single::new(config, program(), Some(recording)), Log::default());
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.poll(0, &mut log);
    assert_eq!(log.entries, ["boot", "skip 4"]);
    all(&mut seq, 4..5, &Vote::Stuck { call: 6 }, 1, &mut log);
    assert_eq!(log.entries[2..], ["go 6"]);
    all(&mut seq, 4..5, &passed(0, false, NO_DEADLINE), 2, &mut log);
    assert_eq!(log.entries[3..], ["sync 1 1 0", "sync 2 2 0"]);
    all(&mut seq, 4..5, &passed(1, false, NO_DEADLINE), 3, &mut log);
    all(&mut seq, 4..5, &passed(2, false, NO_DEADLINE), 3, &mut log);
    assert_eq!(log.entries[5..], ["sync 3 3 0"]);
    all(&mut seq, 4..5, &passed(3, true, NO_DEADLINE), 4, &mut log);
    all(&mut seq, 4..5, &Vote::Stuck { call: 50 }, 5, &mut log);
    seq.poll(1 << 40, &mut log);
    assert_eq!(log.entries[6..], ["go 50"], "behind the last entry, too, and nothing else");
}

#[test]
fn bad_parameters_are_refused() {
    assert!(Clerk::new(config()).is_some());
    assert!(Clerk::new(Config { voters: 0x30, ..config() }).is_none());
    assert!(Clerk::new(Config { quorum: 0, ..config() }).is_none());
}

#[test]
fn whom_the_gate_proved_wrong_leaves_and_a_majority_of_the_rest_decides() {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.poll(0, &mut log);
    for voter in [5, 7, 4] {
        seq.on_verdict(&Verdict::Crashed { voter });
        seq.poll(1, &mut log);
    }
    let voters: Vec<_> = seq.voters.iter().map(|v| (v.epoch, v.set, v.quorum)).collect();
    assert_eq!(voters, [(1, 0xf0, 3), (2, 0xd0, 2), (3, 0x50, 2)], "two are the fewest");
    all(&mut seq, 4..7, &passed(0, true, NO_DEADLINE), 2, &mut log);
    assert_eq!(seq.issued(), Some(0), "one of the two that are left has crashed");
}

/// Polls when the clerk wants to, as long as that is before `until`; `voters` pass each entry at once. When voters were agreed on, if they were.
fn wait(
    seq: &mut Single,
    log: &mut Log,
    voters: core::ops::Range<u32>,
    from: u64,
    until: u64,
) -> Option<u64> {
    let (mut now, agreed) = (from, seq.voters.len());
    let mut next = seq.issued()? + 1;
    while let Some(at) = seq.wake_at(now).filter(|at| *at < until) {
        now = at.max(now);
        seq.poll(now, log);
        while seq.issued() >= Some(next) {
            all(seq, voters.clone(), &passed(next, false, NO_DEADLINE), now, log);
            next += 1;
        }
        if seq.voters.len() > agreed {
            return Some(now);
        }
    }
    None
}

/// Four voters at a prompt.
fn at_a_prompt() -> (Single, Log) {
    let (mut seq, mut log) = (Single::new(config(), program(), None), Log::default());
    seq.on_verdict(&Verdict::Released { effects: 1000 });
    seq.poll(0, &mut log);
    all(&mut seq, 4..8, &passed(0, false, NO_DEADLINE), 0, &mut log);
    (seq, log)
}

#[test]
fn a_hang_shows_at_a_prompt_in_entries_with_nothing_in_them() {
    let (mut seq, mut log) = at_a_prompt();
    let at = wait(&mut seq, &mut log, 4..7, 0, u64::MAX).unwrap();
    assert_eq!(log.entries[1], format!("sync 1 {} 0", 1000 + HANG / 4));
    assert!((HANG / 4 + HANG..HANG / 4 + HANG + 2 * STEP).contains(&at), "{at}");
    assert_eq!(seq.voters.last().map(|v| (v.set, v.quorum)), Some((0x70, 2)));
    seq.poll(at, &mut log);
    let told: Vec<_> = log.progress.iter().filter(|p| !matches!(p, Progress::Issued { .. })).collect();
    assert_eq!(told, [&Progress::Lagging { voter: 7, s: 0 }, &Progress::Hangs { voter: 7, s: 1 }]);
}

#[test]
fn who_comes_on_however_slowly_does_not_hang_nor_does_one_while_nobody_comes_on() {
    let (mut seq, mut log) = at_a_prompt();
    for n in 1..6 {
        let from = n * (HANG - STEP);
        assert_eq!(wait(&mut seq, &mut log, 4..7, from, from + HANG - STEP), None);
        seq.on_vote(7, &Vote::Took { call: n }, from + HANG - STEP, &mut log);
    }
    // Nothing to be come to is known when two are no quorum.
    let (mut seq, mut log) = at_a_prompt();
    assert_eq!(wait(&mut seq, &mut log, 4..6, 0, 10 * HANG), None);
    // Nor is anything waited for: it would be the same in vain.
    assert_eq!((seq.issued(), seq.wake_at(10 * HANG)), (Some(1), None));
}

#[test]
fn while_the_replica_itself_stands_still_nobody_hangs() {
    let (mut seq, mut log) = at_a_prompt();
    for n in 1..=HANG / STEP {
        seq.poll(n * HANG, &mut log);
        if n == 1 {
            all(&mut seq, 4..7, &passed(1, false, NO_DEADLINE), HANG, &mut log);
        }
    }
    assert_eq!(seq.voters.len(), 1, "a step is all that is counted each time");
    seq.poll((1 + HANG / STEP) * HANG, &mut log);
    assert_eq!(seq.voters.len(), 2);
}
