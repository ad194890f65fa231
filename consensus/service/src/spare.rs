//! A kernel that was held cold begins, to vote in another's place.
//!
//! The manager orders it ([`abi::vote::Control::Replace`]); begun it is as all others are (`restarts.rs`), and it joins as all newcomers do, when it has come
//! to where the others are (`due.rs`). There are as many seats as there were first voters. Where one is empty the newcomer takes it; else it takes that of the
//! kernel it was begun for, in one entry: who is replaced votes until then, so four vote all the time.
//!
//! It needs a snapshot to begin with, and nobody has left of whose leaving one would have come. So the voters are agreed on once more as they are, which asks for one.

use crate::clerk::{Agreed, Clerk};
use consensus::line::{Proposal, Voters};

impl Clerk {
    /// The order: `spare`, which is begun anew next, is to take the place of `voter`.
    pub fn on_replace(&mut self, spare: u32, voter: u32) {
        if let Some(v) = self.voters.get_mut(spare as usize).filter(|v| !v.member && spare != voter) {
            (v.stands_for, v.asked) = (Some(voter), None);
        }
    }

    /// One that begins for another is to find a snapshot: once, if nobody leaves, which would bring one.
    pub(crate) fn permit_snapshot(&mut self, now_us: u64, log: &mut impl Agreed) {
        let now = log.voters();
        let begins = |v: &&mut crate::voter::Voter| {
            v.returning.is_some() && !v.member && !v.out && !v.begun && v.stands_for.is_some()
        };
        let mut asks = false;
        for v in self.voters.iter_mut().filter(begins) {
            asks |= *v.asked.get_or_insert(now.epoch) == now.epoch;
        }
        if asks {
            log.permit(Proposal::Voters(Voters { epoch: now.epoch.saturating_add(1), ..now }), now_us);
        }
    }
}

/// The voters with `newcomer`, of whom a majority decides; `None`: all `seats` are taken, and `stands_for`, whose it is to take, has none; or a
/// quorum of then could have nobody in common with one of now, as where only three vote.
pub(crate) fn with(now: &Voters, newcomer: u32, stands_for: Option<u32>, seats: u32) -> Option<Proposal> {
    let bit = |d: u32| 1u64.checked_shl(d).unwrap_or(0);
    let full = now.set.count_ones() >= seats;
    let left = stands_for.map_or(0, bit) & now.set;
    if full && left == 0 {
        return None;
    }
    let set = if full { now.set & !left } else { now.set } | bit(newcomer);
    let (epoch, quorum) = (now.epoch.saturating_add(1), set.count_ones() / 2 + 1);
    let voters = Voters { epoch, set, quorum };
    voters.check_after(now).is_ok().then_some(Proposal::Voters(voters))
}
