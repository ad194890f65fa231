//! The decision procedure of a new view: a pure function of the view changes in it, so that the primary and each backup come to the same.
//!
//! As in section 4.5.2 of the TOCS paper: claims in view changes are not proofs (a vector of MACs convinces nobody else), so what counts is how
//! many make them.
//!
//! - *Base*: the highest state that f+1 vouch for, such that 2f+1 have no higher low watermark.
//! - For each n above it, `d` is *chosen* when somebody claims (n, d, v) prepared and
//!   A1: 2f+1 have their low watermark below n and claim nothing prepared for n in a later view, nor something else in v;
//!   A2: f+1 claim to have pre-prepared d for n in v or later, so one correct replica did, and holds the batch.
//! - It is *null* when B: 2f+1 have their low watermark below n and claim nothing prepared for n.
//! - If neither holds for some n, these view changes do not suffice.

use super::change::{CHECKPOINTS, Change, StateId, index};
use super::slot::Vote;
use crate::seeded::{self, Bug};
use crate::{Digest, QUORUM, REPLICAS, WEAK};

/// What a new view begins with.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Selection<const W: usize> {
    /// The state below.
    pub base: StateId,
    /// The last sequence number that is proposed again.
    pub last: u64,
    /// For each n in base+1..=last, at [`index`]: the digest; `None`: null.
    chosen: [Option<Digest>; W],
}

/// What a new view says of a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// It is in the state below.
    Below,
    /// It is proposed again with this digest.
    Batch(Digest),
    /// It is proposed again with the null request.
    Null,
    /// It was not proposed.
    Open,
}

impl<const W: usize> Selection<W> {
    /// What becomes of `n`.
    pub fn of(&self, n: u64) -> Chosen {
        if n <= self.base.sequence {
            Chosen::Below
        } else if n > self.last {
            Chosen::Open
        } else {
            self.chosen[index::<W>(n)].map_or(Chosen::Null, Chosen::Batch)
        }
    }
}

/// The view changes of one view, one a replica at most.
pub type Changes<const W: usize> = [Option<Change<W>>; REPLICAS];

/// What follows from `changes`; `None`: they do not suffice.
pub fn select<const W: usize>(changes: &Changes<W>) -> Option<Selection<W>> {
    if changes.iter().flatten().count() < quorum() {
        return None;
    }
    let base = base(changes)?;
    let mut selection = Selection { base, last: base.sequence, chosen: [None; W] };
    for n in base.sequence + 1..=base.sequence + W as u64 {
        if let Some(digest) = batch(changes, n) {
            selection.chosen[index::<W>(n)] = Some(digest);
            selection.last = n;
        } else if !null(changes, n) {
            return None;
        }
    }
    Some(selection)
}

fn quorum() -> usize {
    if seeded::has(Bug::NewViewFromTooFew) { WEAK } else { QUORUM }
}

fn base<const W: usize>(changes: &Changes<W>) -> Option<StateId> {
    let all = || changes.iter().flatten();
    let vouched = |s: &StateId| {
        let below = all().filter(|m| m.stable <= s.sequence).count();
        let claimed = all().filter(|m| m.checkpoints.contains(&Some(*s))).count();
        let need = if seeded::has(Bug::BaseFromOneClaim) { 1 } else { WEAK };
        (below >= quorum() || seeded::has(Bug::BaseBelowWatermarks)) && claimed >= need
    };
    let states = all().flat_map(|m: &Change<W>| -> [Option<StateId>; CHECKPOINTS] { m.checkpoints });
    if seeded::has(Bug::BaseLowest) {
        return states.flatten().filter(vouched).min_by_key(|s| s.sequence);
    }
    states.flatten().filter(vouched).max_by_key(|s| (s.sequence, s.digest))
}

/// The chosen digest for `n`: of the latest view, if there are several.
fn batch<const W: usize>(changes: &Changes<W>, n: u64) -> Option<Digest> {
    if seeded::has(Bug::PreparedDroppedInNewView) {
        return None;
    }
    let candidates = changes.iter().flatten().filter_map(|m| m.prepared(n));
    let chosen = candidates.filter(|c| a1(changes, n, c) && a2(changes, n, c));
    if seeded::has(Bug::OldestPreparedChosen) {
        return chosen.min_by_key(|c| (c.view, c.digest)).map(|c| c.digest);
    }
    chosen.max_by_key(|c| (c.view, c.digest)).map(|c| c.digest)
}

fn a1<const W: usize>(changes: &Changes<W>, n: u64, c: &Vote) -> bool {
    let agrees = |m: &&Change<W>| {
        m.stable < n && m.prepared(n).is_none_or(|p| p.view < c.view || p == *c || seeded::has(Bug::NoA1))
    };
    changes.iter().flatten().filter(agrees).count() >= quorum()
}

fn a2<const W: usize>(changes: &Changes<W>, n: u64, c: &Vote) -> bool {
    let backs = |m: &&Change<W>| {
        m.endorsed(n)
            .is_some_and(|q| q.digest == c.digest && (q.view >= c.view || seeded::has(Bug::A2IgnoresView)))
    };
    seeded::has(Bug::NoA2) || changes.iter().flatten().filter(backs).count() >= WEAK
}

/// B.
fn null<const W: usize>(changes: &Changes<W>, n: u64) -> bool {
    let nothing = |m: &&Change<W>| m.stable < n && m.prepared(n).is_none();
    let need = if seeded::has(Bug::NullFromTooFew) { WEAK } else { quorum() };
    changes.iter().flatten().filter(nothing).count() >= need
}
