//! What a primary may propose, and when two proposals, or two sets of voters, fit together.

use crate::ReplicaId;
use crate::seeded::{self, Bug};
use serde::{Deserialize, Serialize};

/// What the primary may propose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Proposal {
    /// The beginning, with the run's seed.
    Boot {
        /// All chance comes from here.
        seed: [u8; 32],
        /// Wall clock, µs.
        time_us: u64,
    },
    /// The entry of sync point `s`.
    Sync {
        /// Sync point.
        s: u64,
        /// Wall clock, µs.
        time_us: u64,
    },
    /// See [`abi::log::Entry::Skip`].
    Skip {
        /// The call.
        call: u64,
    },
    /// See [`abi::log::Entry::Go`].
    Go {
        /// The call.
        call: u64,
    },
    /// See [`abi::log::Event::Rejoin`].
    Rejoin {
        /// Serial number of the thread.
        thread: u64,
        /// The call at which it was skipped.
        call: u64,
    },
    /// The voters change.
    Voters(Voters),
    /// Replica `replica` was restarted with these public keys (Ed25519, X25519).
    Member {
        /// Which.
        replica: ReplicaId,
        /// Ed25519.
        sign: [u8; 32],
        /// X25519.
        exchange: [u8; 32],
    },
}

/// Who executes and votes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Voters {
    /// Counts the changes.
    pub epoch: u64,
    /// A bit a domain.
    pub set: u64,
    /// Equal votes that decide.
    pub quorum: u32,
}

impl Voters {
    /// Why this cannot follow `old`; an error says what is wrong.
    pub fn check_after(&self, old: &Voters) -> Result<(), &'static str> {
        let (n, k) = (self.set.count_ones(), self.quorum);
        let (joined, left) = ((self.set & !old.set).count_ones(), (old.set & !self.set).count_ones());
        if self.epoch != old.epoch + 1 {
            Err("the epochs of voters follow each other without a gap")
        } else if k == 0 || k > n {
            Err("the quorum is zero, or larger than the set")
        } else if n > 1 && 2 * k <= n {
            Err("two disjoint quorums are possible")
        } else if old.epoch != 0 && (joined > 1 || left > 1) {
            Err("more than one voter joins or leaves at a time")
        } else if joined.min(left) == 1 && k + old.quorum <= n + left {
            Err("a voter takes another's place, and a quorum of before and one of then have nobody in common")
        } else {
            Ok(())
        }
    }
}

/// The same but for its time, which the primary chooses.
pub(super) fn same(a: &Proposal, b: &Proposal) -> bool {
    match (a, b) {
        (Proposal::Boot { seed: a, .. }, Proposal::Boot { seed: b, .. }) => {
            a == b || seeded::has(Bug::SeedUnchecked)
        }
        (Proposal::Sync { s: a, .. }, Proposal::Sync { s: b, .. }) => a == b,
        _ => a == b,
    }
}

pub(super) fn both(sign: &[u8; 32], exchange: &[u8; 32]) -> [u8; 64] {
    let mut identity = [0; 64];
    identity[..32].copy_from_slice(sign);
    identity[32..].copy_from_slice(exchange);
    identity
}
