//! What is known of one voter. Everything it says is checked against what a correct kernel could say at this place.

use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN};

/// A correct kernel makes fewer calls than this between two sync points (a sync point comes at the end of the turn in
/// which `CALLS_PER_SYNC` was reached); a claim beyond it is a lie. Generous, because the exact bound is the turn rule's.
const CALLS_AHEAD_MAX: u64 = 4 * (CALLS_PER_SYNC + CALLS_PER_TURN);

/// The promise of [`abi::vote::Vote::Stuck`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// The call that the voter will not make before it is told.
    pub call: u64,
    /// How many promises for this call the voter had made before: a skip does not use the call's number up, so the next
    /// thread may be stuck at it too.
    pub nth: u32,
}

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
    /// Calls below this number are known to be made.
    pub made: u64,
    /// Its open promise.
    pub promise: Option<Promise>,
    /// When it last got further.
    pub heard_at_us: u64,
    /// Votes were lost (its ring lapped us): nothing is checked until its next sync point.
    pub lost: bool,
    pub(crate) last_promise: Option<Promise>,
    pub(crate) passed_call: u64,
}

/// The vote is one that no correct kernel casts here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Implausible;

impl Voter {
    /// It counts.
    pub fn live(&self) -> bool {
        self.member && !self.out
    }

    /// It passed `s`, the last entry issued being `issued`.
    pub fn pass(&mut self, s: u64, call: u64, issued: u64, now_us: u64) -> Result<(), Implausible> {
        let in_order = if self.lost { s >= self.passed } else { s == self.passed };
        if !in_order || s > issued || call < self.passed_call {
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

    /// It promises not to make `call`. Promises go up; the same call again is the next thread's, stuck at the same number.
    pub fn promises(&mut self, call: u64, now_us: u64) -> Result<(), Implausible> {
        if self.lost {
            return Ok(());
        }
        self.plausible(call)?;
        let nth = match self.last_promise {
            Some(last) if last.call > call => return Err(Implausible),
            Some(last) if last.call == call => last.nth.saturating_add(1),
            _ => 0,
        };
        if call < self.passed_call {
            return Err(Implausible);
        }
        self.made = self.made.max(call);
        self.promise = Some(Promise { call, nth });
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
    fn sync_points_are_passed_in_order_and_not_before_they_are_issued() {
        let mut v = Voter { member: true, ..Voter::default() };
        assert_eq!(v.pass(1, 0, 5, 0), Err(Implausible));
        assert_eq!(v.pass(0, 0, 5, 0), Ok(()));
        assert_eq!(v.pass(0, 0, 5, 0), Err(Implausible));
        assert_eq!(v.pass(1, 20, 5, 0), Ok(()));
        assert_eq!(v.pass(2, 19, 5, 0), Err(Implausible));
        assert_eq!(v.pass(2, 21, 1, 0), Err(Implausible));
    }

    #[test]
    fn a_claim_far_ahead_is_implausible() {
        let mut v = Voter { member: true, ..Voter::default() };
        assert_eq!(v.has_made(u64::MAX, 0), Err(Implausible));
        assert_eq!(v.promises(u64::MAX, 0), Err(Implausible));
        assert_eq!(v.has_made(CALLS_AHEAD_MAX, 0), Ok(()));
    }

    #[test]
    fn the_same_call_again_is_the_next_promise() {
        let mut v = Voter { member: true, ..Voter::default() };
        v.promises(3, 0).unwrap();
        v.promises(3, 0).unwrap();
        assert_eq!(v.promise, Some(Promise { call: 3, nth: 1 }));
        assert_eq!(v.promises(2, 0), Err(Implausible));
    }
}
