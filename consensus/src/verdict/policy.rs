//! Policies are data: they come from the manifest, or as agreed entries while the system runs.

use super::{Ballot, VOTERS};
use crate::Digest;
use crate::seeded::{self, Bug};
use serde::{Deserialize, Serialize};

/// When votes decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Policy {
    /// `k` equal votes.
    Quorum {
        /// How many.
        k: u32,
    },
    /// All members, equal.
    Unanimous,
    /// Equal votes whose weights reach the threshold; weights come from the voters' records.
    Weighted {
        /// Weight of each voter.
        weights: [u16; VOTERS],
        /// What must be reached.
        threshold: u32,
    },
}

/// What a policy makes of a ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Enough say this.
    Agreed {
        /// What.
        digest: Digest,
        /// Who, a bit each.
        by: u64,
    },
    /// Further votes may decide.
    Open,
    /// Whatever the others say, nothing reaches what is asked.
    Impossible,
}

impl Policy {
    /// Why this is no safe policy for `members` (a bit each): two digests could both be agreed, or none ever.
    pub fn check(&self, members: u64) -> Result<(), &'static str> {
        let (all, need) = (self.weight(members), self.need(members));
        if need == 0 || need > all {
            Err("it asks for nothing, or for more votes than there are")
        } else if need * 2 <= all {
            Err("two different digests could both be agreed")
        } else {
            Ok(())
        }
    }

    fn weight(&self, voters: u64) -> u64 {
        match self {
            Policy::Weighted { weights, .. } => {
                weights.iter().enumerate().map(|(i, w)| u64::from(*w) * (voters >> i & 1)).sum()
            }
            Policy::Quorum { .. } | Policy::Unanimous => u64::from(voters.count_ones()),
        }
    }

    fn need(&self, members: u64) -> u64 {
        let short = u64::from(seeded::has(Bug::PolicyOneShort));
        match self {
            Policy::Quorum { k } => u64::from(*k) - short,
            Policy::Unanimous => self.weight(members) - short,
            Policy::Weighted { threshold, .. } => u64::from(*threshold) - short,
        }
    }

    /// Votes of who is no member do not count.
    pub fn decide(&self, ballot: &Ballot, members: u64) -> Decision {
        let members = if seeded::has(Bug::StrangersVote) { u64::MAX } else { members };
        let need = self.need(members);
        let open = self.weight(members & !ballot.voted());
        let mut best = 0;
        for digest in ballot.digests() {
            let by = ballot.for_digest(&digest) & members;
            let weight = self.weight(by);
            if weight >= need && need > 0 {
                return Decision::Agreed { digest, by };
            }
            best = best.max(weight);
        }
        if best + open >= need { Decision::Open } else { Decision::Impossible }
    }
}
