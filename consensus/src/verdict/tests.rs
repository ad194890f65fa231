//! Verdicts, and the seeded faults in them (`checks` answers what is wrong, if anything is).

use super::*;
use proptest::prelude::*;

const SUBJECT: Subject = Subject { epoch: 3, turn: 812, thread: 2, kind: 0 };

fn ballot(votes: &[(u8, u8)]) -> Ballot {
    let mut ballot = Ballot::new(SUBJECT);
    for (voter, digest) in votes {
        ballot.cast(*voter, &SUBJECT, [*digest; 32]);
    }
    ballot
}

#[test]
fn a_vote_counts_once_in_its_epoch_and_turn() {
    let mut b = ballot(&[(4, 1)]);
    assert_eq!(b.cast(4, &SUBJECT, [1; 32]), Cast::Again);
    assert_eq!(b.cast(4, &SUBJECT, [2; 32]), Cast::Contradicts);
    assert_eq!(b.cast(5, &Subject { epoch: 2, ..SUBJECT }, [1; 32]), Cast::Refused);
    assert_eq!(b.cast(5, &Subject { turn: 813, ..SUBJECT }, [1; 32]), Cast::Refused);
    assert_eq!(b.cast(5, &Subject { kind: 1, ..SUBJECT }, [1; 32]), Cast::Refused);
    assert_eq!(b.cast(8, &SUBJECT, [1; 32]), Cast::Refused);
    assert_eq!(b.voted(), 1 << 4);
}

#[test]
fn changing_the_policy_alone_changes_the_verdict() {
    let b = ballot(&[(4, 1), (5, 1), (6, 1), (7, 2)]);
    let agreed = Decision::Agreed { digest: [1; 32], by: 0b0111_0000 };
    assert_eq!(Policy::Quorum { k: 3 }.decide(&b, 0xf0), agreed);
    assert_eq!(Policy::Unanimous.decide(&b, 0xf0), Decision::Impossible);
    let weights = [0, 0, 0, 0, 1, 1, 1, 9];
    let heavy = Policy::Weighted { weights, threshold: 7 };
    assert_eq!(heavy.decide(&b, 0xf0), Decision::Agreed { digest: [2; 32], by: 0x80 });
    assert_eq!(Policy::Quorum { k: 3 }.decide(&b, 0xb0), Decision::Impossible);
}

#[test]
fn a_policy_under_which_two_could_win_is_refused() {
    assert!(Policy::Quorum { k: 3 }.check(0xf0).is_ok());
    assert!(Policy::Quorum { k: 2 }.check(0x70).is_ok());
    assert!(Policy::Quorum { k: 2 }.check(0xf0).is_err());
    assert!(Policy::Quorum { k: 5 }.check(0xf0).is_err());
    assert!(Policy::Quorum { k: 0 }.check(0xf0).is_err());
    assert!(Policy::Weighted { weights: [0, 0, 0, 0, 1, 1, 1, 9], threshold: 6 }.check(0xf0).is_err());
}

#[test]
fn every_verdict_is_one_line_that_says_it_all() {
    let b = ballot(&[(4, 1), (5, 1), (7, 1), (6, 0xab)]);
    let v = Verdict::of(&b, 0x1f0, &Policy::Quorum { k: 3 }, Some(Cause::Transient));
    assert_eq!(
        v.to_string(),
        "terminal output of thread 2 in turn 812, epoch 3: 4, 5, 7 agree on 01010101; 6 said something else; 8 said nothing; \
         cause: transient fault, it did not happen again"
    );
    let none = Verdict::of(&ballot(&[(4, 1), (5, 2)]), 0x30, &Policy::Quorum { k: 2 }, None);
    assert!(none.to_string().ends_with("no decision is possible, nothing is released"));
}

#[test]
fn causes_follow_from_what_was_seen() {
    let h = |again, repeated| History { again, repeated, ..History::default() };
    assert_eq!(h(0, 0).cause(), Cause::Undetermined);
    assert_eq!(h(2, 0).cause(), Cause::Transient);
    assert_eq!(h(2, 2).cause(), Cause::OneKernel);
    assert_eq!(h(2, 1).cause(), Cause::Undetermined);
    assert_eq!(History { alike: 1, ..h(2, 2) }.cause(), Cause::CommonMode);
    let attack = History { divergences: 10, after_input: 9, input_rate: 100, ..h(2, 2) };
    assert_eq!(attack.cause(), Cause::Attack { score: 900 });
    assert_eq!(History { input_rate: 800, ..attack }.cause(), Cause::OneKernel);
}

proptest! {
    #[test]
    fn evidence_travels_and_gives_the_same_verdict(votes in prop::collection::vec((0u8..8, 0u8..3), 0..12), members: u8, noise in prop::collection::vec(any::<u8>(), 0..400)) {
        let evidence = Evidence { ballot: ballot(&votes), members: u64::from(members) };
        let bytes = evidence.encode();
        prop_assert_eq!(Evidence::decode(&bytes), Some(evidence));
        prop_assert_eq!(Evidence::decode(&bytes[1..]), None);
        let _ = Evidence::decode(&noise);
    }

    #[test]
    fn under_a_checked_policy_never_two_digests_win(votes in prop::collection::vec((0u8..8, 0u8..3), 0..12), members: u8, k in 1u32..8) {
        let (policy, members) = (Policy::Quorum { k }, u64::from(members));
        prop_assume!(policy.check(members).is_ok());
        let b = ballot(&votes);
        let winners = b.digests().filter(|d| (b.for_digest(d) & members).count_ones() >= k).count();
        prop_assert!(winners <= 1);
        prop_assert_eq!(winners == 1, matches!(policy.decide(&b, members), Decision::Agreed { .. }));
    }
}

#[test]
fn the_newest_evidence_is_kept() {
    let mut log = EvidenceLog::<3>::default();
    for turn in 0..5 {
        log.keep(Evidence { ballot: Ballot::new(Subject { turn, ..SUBJECT }), members: 1 });
    }
    let turns: Vec<u64> = log.all().map(|e| e.ballot.subject.turn).collect();
    assert_eq!(turns, [2, 3, 4]);
}
