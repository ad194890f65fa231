//! What a clerk permits while nothing is ordered, and what it takes back.

mod common;

use abi::vote::{NO_DEADLINE, Progress, Verdict, Vote};
use common::{HANG, config};
use consensus::line::{Proposal, Voters};
use replica::clerk::{Agreed, Clerk, Sink, Taken};
use replica::snapshots::Decided;

/// Hangs are counted in such steps.
const STEP: u64 = 100_000;

#[derive(Default)]
struct Log {
    progress: Vec<Progress>,
}

impl Sink for Log {
    fn progress(&mut self, progress: Progress) {
        self.progress.push(progress);
    }
    fn decided(&mut self, _: &Decided) {}
}

fn passed(s: u64, runnable: bool, deadline_us: u64) -> Vote<'static> {
    Vote::Passed { s, call: s * 16, effects: s, runnable, deadline_us, state: None }
}

/// What is permitted, and never ordered.
struct Unordered(Vec<Proposal>);

impl Agreed for Unordered {
    fn next(&self) -> u64 {
        2
    }
    fn voters(&self) -> Voters {
        Voters { epoch: 1, set: 0xf0, quorum: 3 }
    }
    fn has_input(&self) -> bool {
        false
    }
    fn is_decided(&self, _: u64) -> bool {
        false
    }
    fn is_done(&self, _: &Proposal) -> bool {
        false
    }
    fn permit(&mut self, what: Proposal, _: u64) {
        self.0.push(what);
    }
    fn forbid(&mut self, what: &Proposal) {
        self.0.retain(|p| p != what);
    }
    fn forbid_all(&mut self) {
        self.0.clear();
    }
}

/// Others may have counted less: then it is one that was slow.
#[test]
fn who_comes_on_before_it_has_left_stays() {
    let (mut clerk, mut log, mut line) = (Clerk::new(config()).unwrap(), Log::default(), Unordered(vec![]));
    let leaves = Proposal::Voters(Voters { epoch: 2, set: 0x70, quorum: 2 });
    for voter in 4..7 {
        for s in 0..2 {
            clerk.on_vote(voter, &passed(s, false, NO_DEADLINE), 2, 0, &mut log);
        }
    }
    (1..=HANG / STEP).for_each(|n| clerk.poll(n * STEP, &mut line, &mut log));
    assert!(line.0.contains(&leaves));
    for s in 0..2 {
        clerk.on_vote(7, &passed(s, false, NO_DEADLINE), 2, HANG + 1, &mut log);
    }
    clerk.poll(HANG + STEP, &mut line, &mut log);
    assert!(!line.0.contains(&leaves), "{:?}", line.0);
    assert!(!log.progress.iter().any(|p| matches!(p, Progress::Hangs { .. })));
}

/// Else replicas that read another promise last of one that floods would each propose an answer that the others do not permit, view after view.
#[test]
fn a_promise_is_answered_before_the_next_is_heard_and_none_of_one_that_is_gone() {
    let (mut clerk, mut log, mut line) = (Clerk::new(config()).unwrap(), Log::default(), Unordered(vec![]));
    let go = Proposal::Go { call: 3 };
    for voter in 4..7 {
        clerk.on_vote(voter, &Vote::Took { call: 9 }, 2, 0, &mut log);
    }
    assert_eq!(clerk.on_vote(7, &Vote::Stuck { call: 3 }, 2, 0, &mut log), Taken::Yes);
    clerk.poll(0, &mut line, &mut log);
    assert!(line.0.contains(&go), "{:?}", line.0);
    assert_eq!(clerk.on_vote(7, &Vote::Stuck { call: 5 }, 2, 0, &mut log), Taken::Later);
    clerk.on_out(7);
    clerk.poll(0, &mut line, &mut log);
    assert!(!line.0.contains(&go), "{:?}", line.0);
    // One that is begun anew before anybody has said that it is out.
    clerk.on_vote(6, &Vote::Stuck { call: 12 }, 2, 0, &mut log);
    clerk.on_vote(5, &Vote::Took { call: 20 }, 2, 0, &mut log);
    clerk.poll(0, &mut line, &mut log);
    assert!(line.0.contains(&Proposal::Go { call: 12 }), "{:?}", line.0);
    clerk.on_verdict(&Verdict::Restarted { voter: 6, epoch: 1 });
    clerk.poll(0, &mut line, &mut log);
    assert!(!line.0.contains(&Proposal::Go { call: 12 }), "{:?}", line.0);
}
