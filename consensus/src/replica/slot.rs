//! What is known of one sequence number.

use crate::digest::{Aligned, same};
use crate::seeded::{self, Bug};
use crate::wire::Record;
use crate::{Digest, QUORUM, REPLICAS, ReplicaId, WEAK};

/// A digest in a view.
#[derive(Clone, Copy, Debug, Eq)]
pub struct Vote {
    /// View.
    pub view: u64,
    /// Digest of the batch.
    pub digest: Digest,
}

impl PartialEq for Vote {
    #[inline(always)]
    fn eq(&self, other: &Self) -> bool {
        self.view == other.view && same(&self.digest, &other.digest)
    }
}

impl core::hash::Hash for Vote {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.view.hash(state);
        self.digest.hash(state);
    }
}

/// The newest vote of each replica.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Votes([Option<Vote>; REPLICAS]);

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// It is the sender's newest now.
    New,
    /// It was known, or is older than what is known.
    Known,
    /// The sender said something else in the same view: it is faulty.
    Contradicts,
}

impl Votes {
    /// `sender` votes. Its first vote of its latest view counts.
    #[inline]
    pub fn cast(&mut self, sender: ReplicaId, vote: Vote) -> Cast {
        let Some(slot) = self.0.get_mut(usize::from(sender)) else { return Cast::Known };
        match slot {
            Some(old) if old.view > vote.view => Cast::Known,
            Some(old) if *old == vote => Cast::Known,
            Some(old) if old.view == vote.view && !seeded::has(Bug::SecondVoteReplaces) => Cast::Contradicts,
            _ => {
                *slot = Some(vote);
                Cast::New
            }
        }
    }

    /// How many say `vote`, `but` not counted.
    #[inline]
    pub fn count(&self, vote: &Vote, but: Option<ReplicaId>) -> usize {
        let but = but.map_or(REPLICAS, usize::from);
        let same =
            |(i, v): (usize, &Option<Vote>)| usize::from(i != but && v.as_ref().is_some_and(|v| v == vote));
        self.0.iter().enumerate().map(same).sum()
    }

    /// What at least `need` replicas say.
    pub fn agreed(&self, need: usize) -> Option<Vote> {
        if self.0.iter().flatten().count() < need {
            return None;
        }
        self.0.iter().flatten().find(|v| self.count(v, None) >= need).copied()
    }

    /// The newest vote of `replica`.
    #[inline]
    pub fn of(&self, replica: ReplicaId) -> Option<Vote> {
        self.0.get(usize::from(replica)).copied().flatten()
    }
}

/// One sequence number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot<const M: usize> {
    /// What the primary of the current view proposed (or the new view); `None`: nothing yet.
    pub proposal: Option<Vote>,
    /// The new view chose it: one correct replica has checked it before.
    pub chosen: bool,
    /// The batch held, as the message that brought it, and its digest.
    pub record: Record<M>,
    /// Digest of the batch in `record`; `None`: none is held.
    pub held: Option<Aligned>,
    /// Q: what this replica last sent a prepare or pre-prepare for; it holds the batch.
    pub endorsed: Option<Vote>,
    /// P: what was last prepared here.
    pub prepared: Option<Vote>,
    /// Prepares; the primary's pre-prepare is not among them.
    pub prepares: Votes,
    /// Commits.
    pub commits: Votes,
    /// Who says that it is committed, with which digest; the view is always 0.
    pub reported: Votes,
    /// A quorum committed the batch that is held.
    pub committed: bool,
}

impl<const M: usize> Slot<M> {
    /// Nothing is known.
    pub const EMPTY: Self = Slot {
        proposal: None,
        chosen: false,
        record: Record::EMPTY,
        held: None,
        endorsed: None,
        prepared: None,
        prepares: Votes([None; REPLICAS]),
        commits: Votes([None; REPLICAS]),
        reported: Votes([None; REPLICAS]),
        committed: false,
    };

    /// Forgets all.
    pub fn clear(&mut self) {
        self.proposal = None;
        self.chosen = false;
        self.record.clear();
        self.held = None;
        self.endorsed = None;
        self.prepared = None;
        self.prepares = Votes::default();
        self.commits = Votes::default();
        self.reported = Votes::default();
        self.committed = false;
    }

    /// What is committed: `need` replicas committed it in one view, or f+1 report that they saw such a quorum.
    pub fn decided(&self, need: usize) -> Option<Vote> {
        let reporters = if seeded::has(Bug::OneReportBelieved) { 1 } else { WEAK };
        if let Some(own) = &self.prepared
            && self.commits.count(own, None) >= need
        {
            return Some(*own);
        }
        self.commits.agreed(need).or_else(|| self.reported.agreed(reporters))
    }

    /// The digest of a batch that is needed here and not held.
    pub fn wanted(&self) -> Option<Digest> {
        let digest = self.decided(QUORUM).or_else(|| self.proposal.filter(|_| self.chosen))?.digest;
        (!self.holds(&digest)).then_some(digest)
    }

    /// It holds the batch of this digest.
    #[inline]
    pub fn holds(&self, digest: &Digest) -> bool {
        self.held.as_ref().is_some_and(|held| same(&held.0, digest))
    }

    /// f+1 other backups prepared the proposal: one of them is correct, and has checked it.
    pub fn is_vouched(&self, primary: ReplicaId) -> bool {
        self.proposal.is_some_and(|p| self.prepares.count(&p, Some(primary)) >= WEAK)
    }
}
