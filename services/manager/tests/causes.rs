//! Why a kernel was lost: its successor of the same design executes the same turns again.

mod common;

use abi::bootinfo::DomainStatus;
use abi::vote::{Progress, Verdict};
use common::{Desk, agreed, begun, manager, type_in};
use consensus::verdict::{Ballot, EFFECT, Evidence, Subject};
use manager::Manager;

const OWN: [u8; 32] = [0x3f; 32];
const QUORUM: [u8; 32] = [0x9b; 32];

fn output(n: u64, own: [u8; 32]) -> Verdict {
    Verdict::WrongOutput { voter: 5, n, call: 9, own, quorum: QUORUM, agreed: 0xd0 }
}

/// The policy is to execute again; k2 stood before sync point `s` when it was accused, and leaves.
fn lost(verdict: Verdict, s: u64) -> (Manager, Desk) {
    let (mut m, mut desk) = (manager(), Desk::default());
    type_in(&mut m, "policy iteration re-execute\r");
    agreed(&mut m, Progress::Voters { epoch: 1, set: 0xf0, quorum: 3 }, &mut desk);
    accuse(&mut m, verdict, s, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    (m, desk)
}

fn accuse(m: &mut Manager, verdict: Verdict, s: u64, desk: &mut Desk) {
    m.on_verdict(&Verdict::Stood { voter: 5, s }, desk);
    m.on_verdict(&verdict, desk);
}

/// Its successor begins behind the snapshot of sync point `s`.
fn begins(m: &mut Manager, s: u64, desk: &mut Desk) {
    begun(m, 5, 1, desk);
    agreed(m, Progress::Begun { voter: 5, s }, desk);
}

fn votes(m: &mut Manager, desk: &mut Desk) {
    agreed(m, Progress::Voters { epoch: 3, set: 0xf0, quorum: 3 }, desk);
}

fn cause(desk: &Desk) -> &str {
    let mut told = desk.lines.iter().filter(|l| l.starts_with("cause: "));
    let line = told.next().expect("a cause is told");
    assert_eq!(told.next(), None);
    assert!(desk.happened.contains(line), "the log has it, too");
    line
}

const SAME: &str = "Restart { domain: 5, image: 5, again: true }";
const NEXT: &str = "Restart { domain: 261, image: 6, again: false }";

#[test]
fn what_does_not_happen_again_was_transient() {
    let (mut m, mut desk) = lost(output(54, OWN), 40);
    begins(&mut m, 36, &mut desk);
    m.on_verdict(&Verdict::Vanished { voter: 5 }, &mut desk);
    votes(&mut m, &mut desk);
    assert_eq!(
        cause(&desk),
        "cause: k2 wrong output at effect 54: transient fault, it did not happen again (executed again from sync point 36)"
    );
    assert_eq!(desk.acts, [SAME]);
    assert!(desk.lines.last().unwrap().starts_with("return: k2 votes as classic"), "{:?}", desk.lines);
    let line = &type_in(&mut m, "status\r").lines[1];
    assert_eq!(line, "losses by cause: transient 1, one kernel 0, common mode 0, attack 0, undetermined 0");
    assert!(type_in(&mut m, "verdicts\r").lines.last().unwrap().contains("cause: k2 wrong output"));
    // A crash leaves nothing to compare: to go on beyond it is enough.
    let (mut m, mut desk) = lost(Verdict::Crashed { voter: 5 }, 40);
    begins(&mut m, 0, &mut desk);
    votes(&mut m, &mut desk);
    assert_eq!(
        cause(&desk),
        "cause: k2 crashed behind sync point 39: transient fault, it did not happen again (executed again from the log's beginning)"
    );
}

#[test]
fn what_happens_again_is_that_kernels_and_another_design_takes_its_place() {
    let wrong = Verdict::WrongState { voter: 5, s: 38, process: 2, own: OWN, quorum: QUORUM };
    for (verdict, what) in [
        (output(54, OWN), "wrong output at effect 54"),
        (wrong, "wrong state at sync point 38"),
        (Verdict::Crashed { voter: 5 }, "crashed behind sync point 39"),
        (Verdict::Malformed { voter: 5, position: 7 }, "malformed behind sync point 39"),
    ] {
        let (mut m, mut desk) = lost(verdict, 40);
        begins(&mut m, 36, &mut desk);
        accuse(&mut m, verdict, 40, &mut desk);
        let expect = format!(
            "cause: k2 {what}: a bug or an implant in that kernel, it repeats there alone (executed again from sync point 36)"
        );
        assert_eq!(cause(&desk), expect);
        assert_eq!(desk.acts, [SAME, NEXT]);
        begun(&mut m, 5, 2, &mut desk);
        votes(&mut m, &mut desk);
        assert_eq!(cause(&desk), expect, "told once");
        assert!(desk.lines.last().unwrap().starts_with("return: k2 votes as lazy"), "{:?}", desk.lines);
    }
    // Replicas find a hang, and say where.
    let (mut m, mut desk) = (manager(), Desk::default());
    type_in(&mut m, "policy iteration re-execute\r");
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    agreed(&mut m, Progress::Hangs { voter: 5, s: 40 }, &mut desk);
    begins(&mut m, 39, &mut desk);
    agreed(&mut m, Progress::Hangs { voter: 5, s: 40 }, &mut desk);
    assert!(cause(&desk).contains("silent behind sync point 39: a bug or an implant"), "{}", cause(&desk));
}

#[test]
fn nothing_is_said_of_what_was_not_executed_again() {
    let again = "undetermined (executed again from sync point";
    // It began behind the place; it was not compared there; it is lost elsewhere; it said something else there; nobody knows the place.
    let (mut m, mut desk) = lost(output(54, OWN), 40);
    begins(&mut m, 40, &mut desk);
    m.on_verdict(&Verdict::Vanished { voter: 5 }, &mut desk);
    votes(&mut m, &mut desk);
    assert!(cause(&desk).contains(&format!("{again} 40, which is too late)")), "{}", cause(&desk));
    let (mut m, mut desk) = lost(output(54, OWN), 40);
    begins(&mut m, 36, &mut desk);
    votes(&mut m, &mut desk);
    assert!(cause(&desk).contains(&format!("{again} 36, but not compared there)")), "{}", cause(&desk));
    for (verdict, s) in [(Verdict::Crashed { voter: 5 }, 60), (output(54, [7; 32]), 40)] {
        let (mut m, mut desk) = lost(output(54, OWN), 40);
        begins(&mut m, 36, &mut desk);
        accuse(&mut m, verdict, s, &mut desk);
        assert!(cause(&desk).contains(&format!("{again} 36; then ")), "{}", cause(&desk));
        assert_eq!(desk.acts, [SAME, NEXT]);
    }
    // It stands still: elsewhere, or where it had said something wrong.
    for (first, s) in [(Verdict::Silent { voter: 5, n: 54 }, 30), (output(54, OWN), 40)] {
        let (mut m, mut desk) = lost(first, 40);
        begins(&mut m, 20, &mut desk);
        agreed(&mut m, Progress::Hangs { voter: 5, s }, &mut desk);
        assert!(
            cause(&desk).contains("undetermined (executed again from sync point 20; then silent"),
            "{}",
            cause(&desk)
        );
    }
    let (mut m, mut desk) = lost(output(54, OWN), 40);
    begins(&mut m, 36, &mut desk);
    m.on_verdict(&Verdict::Vanished { voter: 5 }, &mut desk);
    accuse(&mut m, Verdict::Crashed { voter: 5 }, 41, &mut desk);
    assert!(cause(&desk).contains("; then crashed behind sync point 40)"), "{}", cause(&desk));
    let (mut m, mut desk) = (manager(), Desk::default());
    type_in(&mut m, "policy iteration re-execute\r");
    m.on_verdict(&Verdict::Crashed { voter: 5 }, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 2, set: 0xd0, quorum: 2 }, &mut desk);
    assert_eq!(cause(&desk), "cause: k2 crashed: undetermined (not executed again)");
    assert_eq!(desk.acts, ["Restart { domain: 5, image: 6, again: false }"]);
}

#[test]
fn under_another_policy_or_by_order_nothing_is_executed_again() {
    let (mut m, mut desk) = lost(output(54, OWN), 40);
    type_in(&mut m, "replace k2 actor\r");
    begun(&mut m, 5, 1, &mut desk);
    votes(&mut m, &mut desk);
    type_in(&mut m, "policy iteration rotate\r");
    accuse(&mut m, Verdict::Crashed { voter: 6 }, 40, &mut desk);
    agreed(&mut m, Progress::Voters { epoch: 4, set: 0xb0, quorum: 2 }, &mut desk);
    assert_eq!(desk.acts, [SAME, "Restart { domain: 6, image: 6, again: false }"]);
    let line = &type_in(&mut m, "status\r").lines[1];
    assert_eq!(line, "losses by cause: transient 0, one kernel 0, common mode 0, attack 0, undetermined 2");
}

/// The gate has said all that it will of one whose ring was malformed from the beginning.
#[test]
fn a_crash_that_the_gate_does_not_tell_of_is_one_after_a_while() {
    let (mut m, mut desk) = lost(Verdict::Crashed { voter: 5 }, 40);
    begins(&mut m, 36, &mut desk);
    let crashed = DomainStatus { state: 2, restarts: 1, cause: 0, pc: 0, address: 0, exits: 0 };
    m.on_domain(5, crashed, &mut desk);
    assert_eq!(desk.acts, [SAME]);
    desk.now_us += 1_000_000;
    m.on_domain(5, crashed, &mut desk);
    assert_eq!(desk.acts, [SAME, NEXT]);
    assert!(cause(&desk).contains("undetermined"), "{}", cause(&desk));
}

#[test]
fn two_unlike_kernels_on_either_side_are_common_mode() {
    // The first and the last are of one design.
    for (votes, cause) in
        [([7, 9, 7, 9], "common mode, unlike kernels err alike"), ([7, 9, 9, 7], "undetermined")]
    {
        let (mut m, mut desk) = (manager(), Desk::default());
        agreed(&mut m, Progress::Voters { epoch: 1, set: 0xf0, quorum: 3 }, &mut desk);
        for (domain, order) in [(5, "replace k2 lazy\r"), (6, "replace k3 actor\r")] {
            type_in(&mut m, order);
            begun(&mut m, domain, 1, &mut desk);
        }
        agreed(&mut m, Progress::Voters { epoch: 3, set: 0xf0, quorum: 3 }, &mut desk);
        let subject = Subject { epoch: 3, turn: 54, thread: 0, kind: EFFECT };
        let mut ballot = Ballot::new(subject);
        for (voter, digest) in (0..).zip(votes) {
            ballot.cast(voter, &subject, [digest; 32]);
        }
        m.on_evidence(&Evidence { ballot, members: 15 }.encode(), &mut desk);
        let told = desk.lines.last().unwrap();
        assert!(
            told.ends_with(&format!("no decision is possible, nothing is released; cause: {cause}")),
            "{told}"
        );
    }
}
