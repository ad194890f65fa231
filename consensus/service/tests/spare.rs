//! A kernel that was cold takes the place of a voter, or an empty seat; four vote at most.

mod common;

use abi::log::{Entry, Event};
use abi::vote::{NO_DEADLINE, Progress, Verdict, Vote};
use common::{Single, config, program};
use consensus::line::Voters;
use replica::clerk::Sink;

/// The fifth.
const SPARE: u32 = 8;
/// At this sync point the program waits.
const LAST: u64 = 6;

#[derive(Default)]
struct Log {
    /// Entries that asked for a snapshot.
    asked: usize,
    progress: Vec<Progress>,
}

impl common::Log for Log {
    fn entry(&mut self, entry: &Entry<'_>) {
        if let Entry::Sync(sync) = entry {
            self.asked += sync.events().filter(|e| *e == Ok(Event::Snapshot)).count();
        }
    }
}

impl Sink for Log {
    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }

    fn decided(&mut self, _: &replica::snapshots::Decided) {}
}

fn passed(s: u64) -> Vote<'static> {
    let runnable = s + 1 < LAST;
    Vote::Passed { s, call: s * 16, effects: s, runnable, deadline_us: NO_DEADLINE, state: None }
}

struct World {
    line: Single,
    log: Log,
    now: u64,
    /// By domain: sync points passed.
    passed: [u64; 9],
}

impl World {
    /// The four have come to where the program waits.
    fn new() -> World {
        let mut w = World {
            line: Single::new(config(), program(), None),
            log: Log::default(),
            now: 0,
            passed: [0; 9],
        };
        w.line.on_verdict(&Verdict::Released { effects: 1000 });
        w.line.poll(0, &mut w.log);
        w.all(4..8);
        w
    }

    /// These pass all that there is.
    fn all(&mut self, who: impl Iterator<Item = u32> + Clone) {
        while self.line.issued().is_some_and(|last| who.clone().any(|k| self.passed[k as usize] <= last)) {
            self.now += 10;
            let last = self.line.issued().unwrap();
            for k in who.clone().filter(|k| *k < 9) {
                while self.passed[k as usize] <= last {
                    self.line.on_vote(k, &passed(self.passed[k as usize]), self.now, &mut self.log);
                    self.passed[k as usize] += 1;
                }
            }
            self.line.poll(self.now, &mut self.log);
        }
    }

    fn restarted(&mut self, voter: u32) {
        self.passed[voter as usize] = 0;
        self.line.on_verdict(&Verdict::Restarted { voter, epoch: self.voters().0 });
        self.line.poll(self.now, &mut self.log);
    }

    fn voters(&self) -> (u64, u64, u32) {
        self.line.voters.last().map(|v| (v.epoch, v.set, v.quorum)).unwrap()
    }

    /// Never more than four, and in no step more than one that comes and one that goes.
    fn check(&self) {
        assert!(self.line.voters.iter().all(|v| v.set.count_ones() <= 4));
        assert!(
            self.line.voters.windows(2).all(|w| w[1].check_after(&w[0]).is_ok()),
            "{:?}",
            self.line.voters
        );
        assert!(
            !self
                .log
                .progress
                .iter()
                .any(|p| matches!(p, Progress::Contradicts { .. } | Progress::Hangs { .. }))
        );
    }
}

#[test]
fn it_finds_a_snapshot_and_takes_the_place_in_one_entry() {
    let mut w = World::new();
    w.line.on_replace(SPARE, 5);
    w.restarted(SPARE);
    assert_eq!(w.voters(), (2, 0xf0, 3), "the voters as they were: a snapshot is asked for");
    w.all(4..8);
    assert_eq!((w.log.asked, w.voters().0), (1, 2));
    w.all(8..9);
    assert_eq!(w.voters(), (3, 0x1d0, 3));
    w.all([4, 6, 7, 8].into_iter());
    assert_eq!((w.log.asked, w.voters().0), (1, 3), "nobody begins: no other snapshot");
    // The one whose place it took can take another's.
    w.line.on_replace(5, 4);
    w.restarted(5);
    w.all([4, 5, 6, 7, 8].into_iter());
    assert_eq!(w.voters(), (5, 0x1e0, 3));
    w.check();
}

#[test]
fn without_an_order_there_is_no_fifth_seat() {
    let mut w = World::new();
    w.restarted(SPARE);
    w.all(4..9);
    assert_eq!((w.voters(), w.log.asked), ((1, 0xf0, 3), 0));
    // One that votes already is nobody's spare.
    w.line.on_replace(5, 4);
    w.all(4..9);
    assert_eq!(w.voters(), (1, 0xf0, 3));
    w.check();
}

#[test]
fn an_empty_seat_is_for_one_of_two() {
    let mut w = World::new();
    w.line.on_verdict(&Verdict::Crashed { voter: 5 });
    w.line.poll(w.now, &mut w.log);
    assert_eq!(w.voters(), (2, 0xd0, 2));
    w.line.on_replace(SPARE, 5);
    w.restarted(SPARE);
    w.restarted(5);
    w.all([4, 6, 7, 8].into_iter());
    assert_eq!(w.voters(), (4, 0x1d0, 3));
    // The lost one is back, too late.
    w.all([4, 5, 6, 7, 8].into_iter());
    assert_eq!(w.voters(), (4, 0x1d0, 3));
    w.check();
}

#[test]
fn one_that_says_something_else_takes_no_place() {
    let mut w = World::new();
    w.line.on_replace(SPARE, 5);
    w.restarted(SPARE);
    w.all(4..8);
    let wrong =
        Vote::Passed { s: 0, call: 1, effects: 0, runnable: true, deadline_us: NO_DEADLINE, state: None };
    w.line.on_vote(SPARE, &wrong, w.now, &mut w.log);
    w.passed[SPARE as usize] = 1;
    w.all(4..9);
    assert_eq!(w.voters(), (2, 0xf0, 3));
}

/// Three vote and two decide: two of then and two of now could have nobody in common, so nobody takes another's place.
#[test]
fn quorums_of_before_and_of_then_have_somebody_in_common() {
    let old = Voters { epoch: 7, set: 0b0111, quorum: 2 };
    let check = |set, quorum| Voters { epoch: 8, set, quorum }.check_after(&old).is_ok();
    assert!(check(0b0111, 2) && check(0b1111, 3) && check(0b0011, 2));
    assert!(!check(0b1011, 2) && check(0b1011, 3) && !check(0b1_1001, 3));
    let four = Voters { epoch: 7, set: 0b1111, quorum: 3 };
    assert!(Voters { epoch: 8, set: 0b1_0111, quorum: 3 }.check_after(&four).is_ok());
    assert!(Voters { epoch: 8, set: 0b11_0011, quorum: 3 }.check_after(&four).is_err());
}
