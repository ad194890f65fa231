//! What is known of one voter. Everything it says is checked against what a correct kernel could say at this place.

use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN};

/// A correct kernel makes fewer calls than this between two sync points (a sync point comes at the end of the turn in
/// which `CALLS_PER_SYNC` was reached); a claim beyond it is a lie. Generous, because the exact bound is the turn rule's.
const CALLS_AHEAD_MAX: u64 = 4 * (CALLS_PER_SYNC + CALLS_PER_TURN);

/// One voter.
#[derive(Clone, Copy, Debug, Default)]
pub struct Voter {
    /// It is in the voters' set.
    pub member: bool,
    /// It crashed, was found wrong, or says what cannot be: it neither counts nor is waited for.
    pub out: bool,
    /// Nobody waits for it until it has caught up.
    pub lagging: bool,
    /// Sync points passed: it has passed all below this number.
    pub passed: u64,
    /// Calls below this number are known to be made, or skipped.
    pub made: u64,
    /// The call that it promised not to make before it is told.
    pub promise: Option<u64>,
    /// When it last got further.
    pub heard_at_us: u64,
    /// For so many steps it has got no further, though a quorum has; and that was too many (`hung.rs`).
    pub still: u64,
    /// See `still`.
    pub hangs: bool,
    /// Votes were lost (its ring lapped us): nothing is checked until its next sync point.
    pub lost: bool,
    /// It was begun anew in this epoch of the voters, and neither counts nor is waited for until it is named by a later one.
    pub returning: Option<u64>,
    /// When it began to count, if it was begun anew; 0 of one that was there from the beginning.
    pub counts_since_us: u64,
    /// It returns, and what it reported of a sync point is what is believed.
    pub confirmed: bool,
    /// It was begun anew and has said where it stands: behind the snapshot of sync point `since`, or at 0.
    pub begun: bool,
    /// See `begun`; 0 of one that was there from the beginning.
    pub since: u64,
    /// It was cold, and is to take the place of this voter.
    pub stands_for: Option<u32>,
    /// In this epoch of the voters a snapshot is asked for, to begin with.
    pub asked: Option<u64>,
    pub(crate) last_promise: Option<u64>,
    pub(crate) passed_call: u64,
}

/// The vote is one that no correct kernel casts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible;

impl Voter {
    /// It counts.
    pub fn live(&self) -> bool {
        self.member && !self.out && self.returning.is_none()
    }

    /// It is listened to: it counts, or may do so later.
    pub fn heard(&self) -> bool {
        self.live() || self.returning.is_some() && !self.out
    }

    /// It began with the snapshot of `s`; only at its beginning.
    pub fn begins(&mut self, s: u64, call: u64) {
        if self.passed == 0 && self.made == 0 {
            self.passed = s.saturating_add(1);
            (self.passed_call, self.made) = (call, call);
        }
    }

    /// It passed `s`, an entry that there is.
    pub fn pass(&mut self, s: u64, call: u64, now_us: u64) -> Result<(), Implausible> {
        let in_order = if self.lost { s >= self.passed } else { s == self.passed };
        if !in_order || call < self.passed_call {
            return Err(Implausible);
        }
        if !self.lost {
            self.plausible(call)?;
        }
        self.lost = false;
        self.passed = s + 1;
        self.passed_call = call;
        self.made = self.made.max(call);
        self.heard_at_us = now_us;
        Ok(())
    }

    /// Calls below `made` are made, it says.
    pub fn has_made(&mut self, made: u64, now_us: u64) -> Result<(), Implausible> {
        if self.lost {
            return Ok(());
        }
        self.plausible(made)?;
        if made > self.made {
            self.made = made;
            self.heard_at_us = now_us;
        }
        Ok(())
    }

    /// It promises not to make `call`. A number is promised once, and promises go up.
    pub fn promises(&mut self, call: u64, now_us: u64) -> Result<(), Implausible> {
        if self.lost {
            // Unchecked, but not forgotten: it waits for the answer, and says nothing more before (so a newcomer that is stuck before its first sync point).
            self.promise = Some(call);
            return Ok(());
        }
        self.plausible(call)?;
        if call < self.passed_call || self.last_promise.is_some_and(|last| last >= call) {
            return Err(Implausible);
        }
        self.made = self.made.max(call);
        self.promise = Some(call);
        self.last_promise = self.promise;
        self.heard_at_us = now_us;
        Ok(())
    }

    fn plausible(&self, call: u64) -> Result<(), Implausible> {
        let limit = self.passed_call.saturating_add(CALLS_AHEAD_MAX);
        if call <= limit { Ok(()) } else { Err(Implausible) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sync_points_are_passed_in_order() {
        let mut v = Voter { member: true, ..Voter::default() };
        assert_eq!(v.pass(1, 0, 0), Err(Implausible));
        assert_eq!(v.pass(0, 0, 0), Ok(()));
        assert_eq!(v.pass(0, 0, 0), Err(Implausible));
        assert_eq!(v.pass(1, 20, 0), Ok(()));
        assert_eq!(v.pass(2, 19, 0), Err(Implausible));
    }

    #[test]
    fn a_claim_far_ahead_is_implausible() {
        let mut v = Voter { member: true, ..Voter::default() };
        assert_eq!(v.has_made(u64::MAX, 0), Err(Implausible));
        assert_eq!(v.promises(u64::MAX, 0), Err(Implausible));
        assert_eq!(v.has_made(CALLS_AHEAD_MAX, 0), Ok(()));
    }

    #[test]
    fn a_promise_is_heard_though_votes_were_lost() {
        let mut v = Voter { lost: true, ..Voter::default() };
        assert_eq!(v.promises(74_878, 0), Ok(()));
        assert_eq!((v.promise, v.made), (Some(74_878), 0));
    }

    #[test]
    fn a_number_is_promised_once() {
        let mut v = Voter { member: true, ..Voter::default() };
        assert_eq!(v.promises(3, 0), Ok(()));
        assert_eq!(v.promises(3, 0), Err(Implausible));
        assert_eq!(v.promises(2, 0), Err(Implausible));
        assert_eq!(v.promises(4, 0), Ok(()));
    }
}
