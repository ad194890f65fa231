//! Snapshots: asked for when a voter leaves, believed on two equal words, and who says or writes something else is named.

mod common;

use abi::log::{Entry, Event};
use abi::snapshot::{Head, Record, Root};
use abi::vote::{NO_DEADLINE, Progress, Verdict, Vote};
use common::{GRACE, Single, config, program};
use replica::clerk::Sink;
use replica::snapshots::{Decided, Follower, Written};

#[derive(Default)]
struct Log {
    /// Sync points whose entries ask for a snapshot.
    asked: Vec<u64>,
    progress: Vec<Progress>,
    decided: Vec<Decided>,
}

impl common::Log for Log {
    fn entry(&mut self, entry: &Entry<'_>) {
        if let Entry::Sync(sync) = entry
            && sync.events().any(|event| event == Ok(Event::Snapshot))
        {
            self.asked.push(sync.s);
        }
    }
}

impl Sink for Log {
    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn decided(&mut self, snapshot: &Decided) {
        self.decided.push(*snapshot);
    }
}

fn passed(s: u64) -> Vote<'static> {
    Vote::Passed { s, call: s * 16, effects: s, runnable: true, deadline_us: NO_DEADLINE, state: None }
}

/// Voters 4 to 7; 7 crashes, and the others pass the sync point whose entry asks for a snapshot.
fn asked() -> (Single, Log, u64) {
    let (mut line, mut log) = (Single::new(config(), program(), None), Log::default());
    line.on_verdict(&Verdict::Released { effects: 1000 });
    line.poll(0, &mut log);
    line.on_verdict(&Verdict::Crashed { voter: 7 });
    line.poll(1, &mut log);
    run(&mut line, &mut log, 0..4);
    assert_eq!(log.asked.len(), 1, "{:?}", log.asked);
    let s = log.asked[0];
    (line, log, s)
}

/// The three pass these sync points.
fn run(line: &mut Single, log: &mut Log, points: std::ops::Range<u64>) {
    for s in points {
        for voter in 4..7 {
            line.on_vote(voter, &passed(s), 10 + s, log);
        }
        line.poll(10 + s, log);
    }
}

fn vote(s: u64, root: u8) -> Vote<'static> {
    Vote::Snapshot { s, call: s * 16, effects: s, root: [root; 32] }
}

fn written(s: u64, root: u8) -> Option<Option<Written>> {
    Some(Some(Written { s, position: 64, records: 3, bytes: 999, root: [root; 32] }))
}

#[test]
fn two_equal_words_are_believed_when_all_have_spoken() {
    let (mut line, mut log, s) = asked();
    for voter in 4..7 {
        assert_eq!(log.decided, []);
        line.on_vote(voter, &vote(s, 1), 100, &mut log);
        line.on_written(voter, written(s, 1), &mut log);
        line.poll(100, &mut log);
    }
    assert!(log.progress.contains(&Progress::Snapshot { s, root: [1; 32], bytes: 999, by: 0x70 }));
    assert_eq!(log.decided.len(), 1);
    assert_eq!(log.decided[0].places.iter().flatten().count(), 3);
}

#[test]
fn one_that_says_nothing_is_waited_for_and_named() {
    let (mut line, mut log, s) = asked();
    for voter in [4, 6] {
        line.on_vote(voter, &vote(s, 1), 100, &mut log);
        line.on_written(voter, written(s, 1), &mut log);
    }
    line.poll(100, &mut log);
    assert_eq!((log.decided.len(), line.wake_at(101)), (0, Some(100 + GRACE)));
    line.poll(100 + GRACE, &mut log);
    assert_eq!(log.decided.len(), 1);
    assert!(log.progress.contains(&Progress::Snapshot { s, root: [1; 32], bytes: 999, by: 0x50 }));
    run(&mut line, &mut log, 4..100);
    let missing = log.progress.iter().filter(|p| matches!(p, Progress::SnapshotMissing { .. }));
    assert_eq!(missing.collect::<Vec<_>>(), [&Progress::SnapshotMissing { voter: 5, s }]);
}

#[test]
fn who_writes_something_else_than_it_votes_for_leaves() {
    // Nothing, one of an earlier sync point, another.
    for case in 0..3 {
        let (mut line, mut log, s) = asked();
        let other = [Some(None), written(s - 1, 1), written(s, 2)][case];
        for voter in 4..7 {
            line.on_vote(voter, &vote(s, 1), 100, &mut log);
            let lies = voter == 5;
            line.on_written(voter, if lies { other } else { written(s, 1) }, &mut log);
        }
        line.poll(100, &mut log);
        assert!(log.progress.contains(&Progress::FalseSnapshot { voter: 5, s }), "{:?}", log.progress);
        assert_eq!(line.voters.last().map(|v| v.set), Some(0x50));
        assert!(log.progress.contains(&Progress::Snapshot { s, root: [1; 32], bytes: 999, by: 0x50 }));
    }
}

#[test]
fn what_a_replica_could_not_read_accuses_nobody() {
    let (mut line, mut log, s) = asked();
    for voter in 4..7 {
        line.on_vote(voter, &vote(s, 1), 100, &mut log);
        let found = [None, written(s + 9, 3), None][voter as usize - 4];
        line.on_written(voter, found, &mut log);
    }
    line.poll(100, &mut log);
    assert!(!log.progress.iter().any(|p| matches!(p, Progress::FalseSnapshot { .. })));
    assert!(log.progress.contains(&Progress::Snapshot { s, root: [1; 32], bytes: 0, by: 0x70 }));
    assert_eq!(log.decided, [], "nobody can begin with it");
}

#[test]
fn three_different_words_are_none() {
    let (mut line, mut log, s) = asked();
    for voter in 4..7 {
        line.on_vote(voter, &vote(s, voter as u8), 100, &mut log);
        line.on_written(voter, written(s, voter as u8), &mut log);
    }
    line.poll(100 + 2 * GRACE, &mut log);
    line.poll(100 + 3 * GRACE, &mut log);
    assert_eq!(log.decided, []);
    assert_eq!(log.progress.iter().filter(|p| **p == Progress::NoSnapshot { s }).count(), 1);
}

/// Voter 7 is begun anew, and its first word is a snapshot with this root.
fn newcomer(root: u8) -> (Single, Log, u64) {
    let (mut line, mut log, s) = asked();
    for voter in 4..7 {
        line.on_vote(voter, &vote(s, 1), 100, &mut log);
        line.on_written(voter, written(s, 1), &mut log);
    }
    line.poll(100, &mut log);
    line.on_verdict(&Verdict::Restarted { voter: 7, epoch: 2 });
    line.on_vote(7, &vote(s, root), 200, &mut log);
    line.on_written(7, written(s, root), &mut log);
    (line, log, s)
}

#[test]
fn a_newcomer_begins_there_and_joins() {
    let (mut line, mut log, s) = newcomer(1);
    assert!(log.progress.contains(&Progress::Begun { voter: 7, s }));
    for t in s + 1..=line.issued().unwrap() {
        line.on_vote(7, &passed(t), 200, &mut log);
    }
    line.poll(200, &mut log);
    assert_eq!(line.voters.last().map(|v| (v.epoch, v.set)), Some((3, 0xf0)), "{:?}", log.progress);
}

#[test]
fn a_newcomer_joins_at_once_where_nothing_has_happened_since() {
    for (before, joined) in [(0, true), (2, false)] {
        let (mut line, mut log, s) = asked();
        // Three votes and nothing after them: the program waits.
        line.on_verdict(&Verdict::Restarted { voter: 7, epoch: 2 });
        let last = line.issued().unwrap() - before;
        assert!(s <= last);
        for voter in 4..8 {
            line.on_vote(voter, &vote(last, 1), 200, &mut log);
            line.on_written(voter, written(last, 1), &mut log);
        }
        line.poll(200, &mut log);
        line.poll(201, &mut log);
        assert_eq!(line.voters.len() == 3, joined, "{before}: {:?}", log.progress);
    }
}

#[test]
fn a_newcomer_that_stands_elsewhere_does_not_join() {
    let (mut line, mut log, s) = newcomer(2);
    assert!(log.progress.iter().any(|p| matches!(p, Progress::Contradicts { voter: 7, .. })));
    for t in s + 1..=line.issued().unwrap() {
        line.on_vote(7, &passed(t), 200, &mut log);
    }
    line.poll(200, &mut log);
    assert_eq!(line.voters.len(), 2);
}

#[test]
fn a_ring_is_followed_from_head_to_end() {
    let head = Head {
        version: 1,
        s: 7,
        calls: 0,
        effects: 0,
        execs: 0,
        last_serial: 0,
        last_pid: 0,
        base_us: 0,
        next_pipe: 0,
        next_inode: 0,
        boot: &[],
    };
    let records = [Record::Head(head), Record::Round(&[1; 8]), Record::End(2)];
    let (mut follower, mut root) = (Follower::default(), Root::default());
    // The rest of one whose beginning was not seen counts for nothing.
    follower.take(0, &encoded(&Record::End(0)));
    assert_eq!(follower.found(), Some(None));
    for (i, record) in records.iter().enumerate() {
        assert_eq!(follower.found(), Some(None));
        follower.take(100 + i as u64, &encoded(record));
        root.push(&encoded(record));
    }
    let whole = Written { s: 7, position: 100, records: 3, bytes: root.bytes(), root: root.digest() };
    assert_eq!(follower.found(), Some(Some(whole)));
    follower.on_lapped();
    assert_eq!(follower.found(), None);
    follower.take(300, &encoded(&records[0]));
    assert_eq!(follower.found(), Some(Some(whole)));
    follower.on_renewed();
    assert_eq!(follower.found(), Some(None));
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    let mut bytes = [0; 512];
    postcard::to_slice(record, &mut bytes).unwrap().to_vec()
}
