//! Why a kernel was lost, found by executing the same turns again (`consensus::verdict`, "causes"; decision 11).
//!
//! Under the policy `re-execute` a lost kernel is begun anew as it was, from before the place where it was lost. It goes past that place and votes again: what
//! happened did not happen again. It is lost there again: it does that each time. Anything else says nothing, and stays undetermined.
//!
//! What is known of the input around divergences is not told to the manager, so no attack is scored here.

use crate::{Board, Manager, Out};
use abi::bootinfo::Iteration;
use abi::digest::Digest;
use abi::vote::Progress;
use consensus::verdict::{Ballot, Cause, History};
use core::fmt;

/// A kernel may be so many sync points beyond what was read of it when it was lost: flow control lets it be no further ahead.
const AHEAD: u64 = 2;

/// What a kernel was lost in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Loss {
    pub(crate) why: Out,
    /// What it said, if that was wrong.
    own: Option<Digest>,
    /// The last sync point at which it was right; none: nobody can tell.
    right_at: Option<u64>,
    /// It is executed again.
    again: Option<Again>,
}

/// How that goes.
#[derive(Clone, Copy, Debug, Default)]
struct Again {
    /// Behind which sync point it began; 0: at the log's first entry.
    began: Option<u64>,
    /// It has said the right thing where its predecessor said the wrong one.
    vanished: bool,
    /// When EL2's table said that it crashed.
    crashed_us: Option<u64>,
}

/// A crash that the gate does not speak of for so long is not spoken of any more, microseconds.
const UNHEARD_US: u64 = 1_000_000;

impl Loss {
    /// Whether `other`, of a kernel that executes the same turns again, is the same once more.
    fn repeats_in(&self, other: &Loss) -> bool {
        let said_otherwise = self.why == other.why && self.own != other.own;
        let silent = [self, other].map(|loss| loss.why == Out::Silent);
        let (Some(first), Some(second)) = (self.right_at, other.right_at) else { return false };
        // One that stands still elsewhere, or where another thing had happened, has not come to the place: nothing is known of that.
        let elsewhere = silent[1] && second.saturating_add(AHEAD) < first;
        second <= first.saturating_add(AHEAD) && !said_otherwise && silent[0] == silent[1] && !elsewhere
    }

    /// The turns that it was lost in are executed again.
    fn began_before(&self) -> bool {
        let began = self.again.and_then(|again| again.began);
        began.zip(self.right_at).is_some_and(|(began, right_at)| began <= right_at)
    }

    /// What was found when the successor votes, or is `lost` too.
    fn history(&self, lost: Option<&Loss>) -> History {
        let compared = matches!(self.why, Out::WrongOutput(_) | Out::WrongState(_));
        let vanished = self.again.is_some_and(|again| again.vanished);
        match lost {
            _ if !self.began_before() => History::default(),
            None if vanished || !compared => History { again: 1, ..History::default() },
            Some(lost) if !vanished && self.repeats_in(lost) => {
                History { again: 1, repeated: 1, ..History::default() }
            }
            _ => History::default(),
        }
    }
}

/// What a kernel was lost in, and where.
impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.why {
            Out::WrongOutput(n) => return write!(f, "wrong output at effect {n}"),
            Out::WrongState(s) => return write!(f, "wrong state at sync point {s}"),
            Out::Contradicts(s) => return write!(f, "contradicts the others at sync point {s}"),
            Out::FalseSnapshot(s) => return write!(f, "false snapshot of sync point {s}"),
            Out::Malformed => f.write_str("malformed")?,
            Out::Crashed => f.write_str("crashed")?,
            Out::Silent => f.write_str("silent")?,
        }
        self.right_at.map_or(Ok(()), |s| write!(f, " behind sync point {s}"))
    }
}

impl Manager {
    /// What is known when `voter` is lost.
    pub(crate) fn loss(&self, voter: u32, why: Out) -> Loss {
        let row = self.rows.get(voter as usize);
        let (stood, own) = (row.and_then(|r| r.stood), row.and_then(|r| r.said));
        let wrong_at = match why {
            // What is wrong at a sync point went wrong before it.
            Out::WrongState(s) | Out::Contradicts(s) | Out::FalseSnapshot(s) => Some(s),
            _ => None,
        };
        let right_at = [stood, wrong_at].into_iter().flatten().min().map(|s| s.saturating_sub(1));
        let own = own.filter(|_| matches!(why, Out::WrongOutput(_) | Out::WrongState(_)));
        Loss { why, own, right_at, again: None }
    }

    /// Whether `voter`, which was lost, is to execute the same turns again; notes it.
    pub(crate) fn tries_again(&mut self, voter: u32) -> bool {
        let wanted = self.config.iteration == Iteration::ReExecute;
        let loss = self.returns.get_mut(voter as usize).and_then(|r| r.loss.as_mut());
        let Some(loss) = loss.filter(|loss| wanted && loss.right_at.is_some() && loss.again.is_none()) else {
            return false;
        };
        loss.again = Some(Again::default());
        true
    }

    /// Whether `voter` executes the turns again in which its predecessor was lost.
    pub(crate) fn is_trying(&self, voter: u32) -> bool {
        self.returns.get(voter as usize).and_then(|r| r.loss).is_some_and(|loss| loss.again.is_some())
    }

    fn again(&mut self, voter: u32) -> Option<&mut Again> {
        self.returns.get_mut(voter as usize)?.loss.as_mut()?.again.as_mut()
    }

    /// `voter` begins behind the snapshot of sync point `s`.
    pub(crate) fn begins_behind(&mut self, voter: u32, s: u64) {
        if let Some(again) = self.again(voter) {
            again.began = Some(s);
        }
    }

    /// The gate: `voter` says what the quorum had said where its predecessor did not.
    pub(crate) fn has_vanished(&mut self, voter: u32) {
        if let Some(again) = self.again(voter) {
            again.vanished = true;
        }
    }

    /// EL2's table says that `voter` crashed. Where it stood the gate tells; whether that is not to be waited for any more.
    pub(crate) fn crashed_unheard(&mut self, voter: u32, now_us: u64) -> bool {
        let Some(again) = self.again(voter) else { return true };
        now_us >= again.crashed_us.get_or_insert(now_us).saturating_add(UNHEARD_US)
    }

    /// It is known now why `voter` was lost, as far as it ever will be: it votes again, it is `lost` again, or its turns are not executed again.
    pub(crate) fn conclude(&mut self, voter: u32, lost: Option<Loss>, board: &mut impl Board) {
        let Some(loss) = self.returns.get_mut(voter as usize).and_then(|r| r.loss.take()) else { return };
        let cause = loss.history(lost.as_ref()).cause();
        self.causes.count(cause);
        if self.config.iteration != Iteration::ReExecute && loss.again.is_none() {
            return;
        }
        let (name, how) = (self.name(voter), How { loss: &loss, lost: lost.as_ref(), cause });
        self.say(board, format_args!("cause: {name} {loss}: {cause} ({how})"));
    }

    /// How many kernels of another kind said the same wrong thing, if nobody can tell which of two things is wrong: both were said by two that are unlike.
    pub(crate) fn alike(&self, ballot: &Ballot) -> u32 {
        let voters = || (0..self.config.domains).filter(|d| self.voter(*d));
        let unlike = |mask: u64| {
            let mut designs =
                (0u32..).zip(voters()).filter(|(slot, _)| mask >> slot & 1 == 1).map(|(_, d)| self.image(d));
            designs.next().is_some_and(|first| designs.any(|other| other != first))
        };
        u32::from(ballot.digests().filter(|digest| unlike(ballot.for_digest(digest))).count() > 1)
    }

    /// What the replicas say of a newcomer's beginning.
    pub(crate) fn note_beginning(&mut self, progress: &Progress) {
        if let Progress::Begun { voter, s } = *progress {
            self.begins_behind(voter, s);
        }
    }
}

/// By what a cause was found.
struct How<'a> {
    loss: &'a Loss,
    lost: Option<&'a Loss>,
    cause: Cause,
}

impl fmt::Display for How<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(again) = self.loss.again else { return f.write_str("not executed again") };
        match again.began {
            None => f.write_str("it did not begin to execute again")?,
            Some(0) => f.write_str("executed again from the log's beginning")?,
            Some(s) => write!(f, "executed again from sync point {s}")?,
        }
        match (self.lost, self.cause) {
            (_, Cause::Undetermined) if again.began.is_some() && !self.loss.began_before() => {
                f.write_str(", which is too late")
            }
            (Some(lost), Cause::Undetermined) => write!(f, "; then {lost}"),
            (None, Cause::Undetermined) => f.write_str(", but not compared there"),
            _ => Ok(()),
        }
    }
}
