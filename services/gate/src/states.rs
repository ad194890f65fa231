//! State digests: one row for each (sync point, process), compared like effects, but released nowhere.

use abi::digest::Digest;
use consensus::verdict::{Ballot, Decision, Policy, STATE, Subject, VOTERS};

/// Voters at most: 3f + 1 with f = 2 fits.
pub const VOTERS_MAX: usize = VOTERS;
/// Rows kept.
const ROWS: usize = 512;
/// A voter may have opened so many rows that are not agreed; a further one takes the place of its own oldest, so that a
/// flood does not push out the others' rows. A correct voter is hardly so far ahead: it waits for the log every few calls.
const OPEN_PER_VOTER: usize = 60;

/// In place of a process: the root of a snapshot.
pub const ROOT: u64 = u64::MAX;

/// What a digest is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Sync point at which it was due.
    pub s: u64,
    /// Serial of the process; 0: kernel-held state.
    pub process: u64,
}

#[derive(Clone, Copy)]
struct Row {
    key: Key,
    used: bool,
    opened_by: usize,
    votes: [Option<Digest>; VOTERS_MAX],
    agreed: Option<Digest>,
}

const FREE: Row =
    Row { key: Key { s: 0, process: 0 }, used: false, opened_by: 0, votes: [None; VOTERS_MAX], agreed: None };

/// The rows.
pub struct States {
    rows: [Row; ROWS],
    next: usize,
}

/// A row as a ballot, in `epoch`.
pub fn ballot(votes: &[Option<Digest>; VOTERS_MAX], key: Key, epoch: u64) -> Ballot {
    let subject = Subject { epoch, turn: key.s, thread: key.process, kind: STATE };
    let mut ballot = Ballot::new(subject);
    for (slot, vote) in votes.iter().enumerate() {
        vote.map(|vote| ballot.cast(slot as u8, &subject, vote));
    }
    ballot
}

/// Votes on an agreed row.
pub struct Agreed {
    /// The quorum's digest.
    pub digest: Digest,
    /// What each voter said.
    pub votes: [Option<Digest>; VOTERS_MAX],
}

impl States {
    pub const fn new() -> Self {
        States { rows: [FREE; ROWS], next: 0 }
    }

    /// Takes the digest of voter `slot`. Answers when `policy` has the row decided by the voters in `live` (a bit a slot).
    pub fn vote(
        &mut self,
        slot: usize,
        key: Key,
        digest: Digest,
        policy: &Policy,
        live: u64,
    ) -> Option<Agreed> {
        let row = self.row(slot, key)?;
        row.votes.get_mut(slot)?.get_or_insert(digest);
        if row.agreed.is_none()
            && let Decision::Agreed { digest, .. } = policy.decide(&ballot(&row.votes, key, 0), live)
        {
            row.agreed = Some(digest);
        }
        row.agreed.map(|digest| Agreed { digest, votes: row.votes })
    }

    /// What voter `slot` said is forgotten: it was another kernel.
    pub fn forget(&mut self, slot: usize) {
        for row in &mut self.rows {
            if let Some(vote) = row.votes.get_mut(slot) {
                *vote = None;
            }
        }
    }

    fn row(&mut self, slot: usize, key: Key) -> Option<&mut Row> {
        let at = match self.rows.iter().position(|r| r.used && r.key == key) {
            Some(at) => at,
            None => self.open(slot, key)?,
        };
        self.rows.get_mut(at)
    }

    fn open(&mut self, slot: usize, key: Key) -> Option<usize> {
        let own = |r: &&Row| r.used && r.agreed.is_none() && r.opened_by == slot;
        let at = if self.rows.iter().filter(own).count() >= OPEN_PER_VOTER {
            let oldest = self.rows.iter().enumerate().filter(|(_, r)| own(r)).min_by_key(|(_, r)| r.key.s)?;
            oldest.0
        } else {
            // At most VOTERS_MAX * OPEN_PER_VOTER rows are open, so an agreed or free one is found.
            let usable = |at: &usize| self.rows.get(*at).is_some_and(|r| !r.used || r.agreed.is_some());
            let at = (0..ROWS).map(|i| (self.next + i) % ROWS).find(usable)?;
            self.next = (at + 1) % ROWS;
            at
        };
        *self.rows.get_mut(at)? = Row { key, used: true, opened_by: slot, ..FREE };
        Some(at)
    }
}

const _: () = assert!(VOTERS_MAX * OPEN_PER_VOTER < ROWS);

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy::Quorum { k: 3 };

    #[test]
    fn a_flood_of_one_voter_leaves_the_others_rows_alone() {
        let mut states = States::new();
        let key = Key { s: 9, process: 2 };
        assert!(states.vote(0, key, [1; 32], &POLICY, 15).is_none());
        for process in 0..5000 {
            assert!(states.vote(3, Key { s: 1, process }, [9; 32], &POLICY, 15).is_none());
        }
        assert!(states.vote(1, key, [1; 32], &POLICY, 15).is_none());
        assert!(states.vote(3, key, [2; 32], &POLICY, 15).is_none());
        let agreed = states.vote(2, key, [1; 32], &POLICY, 15).unwrap();
        assert_eq!((agreed.digest, agreed.votes[3]), ([1; 32], Some([2; 32])));
        for s in 100..2000 {
            for slot in 0..3 {
                assert_eq!(
                    states.vote(slot, Key { s, process: 0 }, [1; 32], &POLICY, 15).is_some(),
                    slot == 2
                );
            }
        }
    }

    #[test]
    fn a_voter_has_one_vote_and_one_that_is_out_has_none() {
        let mut states = States::new();
        let key = Key { s: 0, process: 0 };
        for _ in 0..5 {
            assert!(states.vote(0, key, [1; 32], &POLICY, 7).is_none());
        }
        assert!(states.vote(3, key, [1; 32], &POLICY, 7).is_none());
        assert!(states.vote(1, key, [1; 32], &POLICY, 7).is_none());
        assert!(states.vote(2, key, [1; 32], &POLICY, 7).is_some());
    }
}
