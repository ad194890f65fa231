//! What a replica endorses: who may begin anew.

use abi::bootinfo::{COLD_IMAGE, DomainState, DomainStatus, incarnation};
use consensus::line::Voters;
use replica::restarts::{Agreed, Endorsement, MANAGERS, Restarts, Roles};

/// Kernels 3 to 6, replicas 7 to 10, the manager 0.
const ROLES: Roles = Roles { kernels: 0b111_1000, replicas: 0b111_1000_0000, manager: 1 };

struct Board {
    agreed: Agreed,
    rows: [DomainStatus; 11],
    restarts: Restarts,
    /// It is known where kernels were lost.
    placed: bool,
}

fn board() -> Board {
    let row = DomainStatus { state: 1, restarts: 0, cause: 0, pc: 0, address: 0, exits: 0 };
    Board {
        agreed: Agreed { voters: Voters { epoch: 1, set: ROLES.kernels, quorum: 3 }, keys: 0 },
        rows: [row; 11],
        restarts: Restarts::new(ROLES),
        placed: true,
    }
}

impl Board {
    fn next(&mut self) -> Option<Endorsement> {
        self.restarts.next(&self.agreed, |d| self.rows.get(d as usize).copied(), |_| self.placed)
    }

    fn order(&mut self, domain: u32) -> Option<Endorsement> {
        self.name(domain, self.rows[domain as usize].restarts.into(), 0);
        self.next()
    }

    fn name(&mut self, domain: u32, restarts: u64, image: u32) {
        // Whether it executes again changes nothing of who may.
        self.restarts.order(incarnation(domain, restarts), image, image > 4, &self.agreed);
    }

    fn set(&mut self, domain: usize, state: DomainState, restarts: u16) {
        (self.rows[domain].state, self.rows[domain].restarts) = (state as u16, restarts);
    }
}

fn yes(domain: u32, sequence: u64) -> Option<Endorsement> {
    Some(Endorsement { domain, sequence, image: 0, again: false })
}

#[test]
fn an_order_counts_once_and_for_whom_it_names() {
    let mut b = board();
    b.set(4, DomainState::Running, 2);
    b.name(4, 1, 0);
    b.name(15, 0, 0);
    assert_eq!(b.next(), None);
    // It is to execute again, and where it was lost is heard later than the order.
    b.name(4, 2, 5);
    b.placed = false;
    assert_eq!((b.next(), b.next()), (None, None));
    b.placed = true;
    assert_eq!(b.next(), Some(Endorsement { domain: 4, sequence: 2, image: 5, again: true }));
    assert_eq!(b.next(), None);
    // A stale order does not wait for its number to come round.
    b.set(4, DomainState::Running, 1);
    assert_eq!(b.next(), None);
}

#[test]
fn voters_are_given_up_one_at_a_time_and_never_below_two() {
    let mut b = board();
    assert_eq!(b.order(3), yes(3, 0));
    // It may be asked for again, for another who missed it; another one not before these have agreed on other voters.
    assert_eq!(b.order(3), yes(3, 0));
    assert_eq!((b.order(4), b.order(5)), (None, None));
    // Who leaves the voters meanwhile was meant as one that is lost; who stays was not.
    b.agreed.voters = Voters { epoch: 2, set: 0b110_1000, quorum: 2 };
    assert_eq!((b.next(), b.next()), (yes(4, 0), None));
    assert_eq!(b.order(3), yes(3, 0));
    b.agreed.voters = Voters { epoch: 3, set: 0b110_0000, quorum: 2 };
    assert_eq!(b.order(5), None);
    // Who does not vote may begin anew at any time.
    b.set(3, DomainState::Crashed, 1);
    assert_eq!(b.order(3), yes(3, 1));
    b.set(3, DomainState::Restarting, 1);
    assert_eq!(b.order(3), None);
}

#[test]
fn one_that_comes_late_gives_up_nobody_else() {
    let mut b = board();
    assert_eq!(b.next(), None);
    // The others have endorsed the order for 3 already.
    for (state, restarts) in [(DomainState::Restarting, 0), (DomainState::Running, 1)] {
        b.set(3, state, restarts);
        b.name(3, 0, 0);
        assert_eq!(b.order(4), None);
    }
    b.set(6, DomainState::Crashed, 0);
    b.agreed.voters = Voters { epoch: 2, set: 0b111_0000, quorum: 2 };
    assert_eq!((b.next(), b.order(4)), (None, None), "6 is about to leave them");
    b.agreed.voters = Voters { epoch: 3, set: 0b011_1000, quorum: 2 };
    assert_eq!((b.next(), b.order(4)), (None, yes(4, 0)));
}

#[test]
fn who_votes_is_not_made_cold_and_who_does_not_is() {
    let mut b = board();
    b.name(4, 0, COLD_IMAGE);
    assert_eq!(b.next(), None);
    // Once it has left the order counts.
    b.agreed.voters = Voters { epoch: 2, set: 0b110_1000, quorum: 2 };
    assert_eq!(b.next(), Some(Endorsement { domain: 4, sequence: 0, image: COLD_IMAGE, again: true }));
    b.set(4, DomainState::Cold, 1);
    assert_eq!(b.order(4), yes(4, 1));
    // A replica has no such place.
    b.name(7, 0, COLD_IMAGE);
    assert_eq!(b.next(), None);
}

/// The epoch of the voters can change though nobody leaves, whenever a spare begins. Who was given up before is still one of them.
#[test]
fn another_epoch_gives_up_nobody_else_while_one_is_about_to_leave() {
    let mut b = board();
    assert_eq!(b.order(3), yes(3, 0));
    b.set(3, DomainState::Running, 1);
    for epoch in 2..5 {
        b.agreed.voters.epoch = epoch;
        assert_eq!((b.next(), b.order(4)), (None, None));
    }
    b.agreed.voters = Voters { epoch: 5, set: 0b111_0000, quorum: 2 };
    assert_eq!(b.order(4), yes(4, 0));
}

#[test]
fn replicas_go_one_at_a_time_and_nobody_else_by_order() {
    let mut b = board();
    assert_eq!(b.order(7), yes(7, 0));
    b.set(7, DomainState::Restarting, 0);
    assert_eq!(b.order(8), None);
    b.set(7, DomainState::Running, 1);
    // The others do not know its keys yet.
    assert_eq!((b.next(), b.order(8)), (None, None));
    b.agreed.keys = 1;
    assert_eq!(b.order(8), yes(8, 0));
    // Two that crashed do not wait for each other.
    b.set(9, DomainState::Crashed, 0);
    b.set(10, DomainState::Crashed, 0);
    assert_eq!([b.order(9), b.order(10)], [yes(9, 0), yes(10, 0)]);
    // With another image it would be no replica. The gate, the devices and the manager itself are nobody's to order.
    b.set(9, DomainState::Running, 0);
    b.set(10, DomainState::Running, 0);
    b.name(9, 0, 2);
    assert_eq!((b.next(), b.order(0), b.order(1), b.order(2)), (None, None, None, None));
}

#[test]
fn a_manager_that_crashed_begins_anew_without_an_order() {
    let mut b = board();
    for n in 0..MANAGERS + 2 {
        b.set(0, DomainState::Crashed, n);
        assert_eq!(b.next(), if n < MANAGERS { yes(0, n.into()) } else { None });
        assert_eq!(b.next(), None);
        b.set(0, DomainState::Running, n + 1);
        assert_eq!(b.next(), None);
    }
}
