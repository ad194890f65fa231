//! Verdicts: who said what of the same effect, what the policy makes of it, and who is to blame.
//!
//! A vote is about a [`Subject`]: (epoch, turn, thread, kind of effect), or a state digest at a sync point; what is voted is a digest. A
//! [`Policy`] is data: changing it alone changes verdicts (R49). Everything is a pure function of the votes, so every holder of
//! the same votes gives the same verdict; the votes are the evidence, and are kept ([`Evidence`]) and exported in the layout of `evidence.rs`.

mod cause;
mod evidence;
mod policy;

pub use cause::{Cause, Causes, History};
pub use evidence::{EVIDENCE, Evidence, EvidenceLog};
pub use policy::{Decision, Policy};

use crate::Digest;
use crate::seeded::{self, Bug};
use core::fmt;

/// Voters at most, a bit each.
pub const VOTERS: usize = 8;

/// What a vote is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subject {
    /// Epoch of the voters.
    pub epoch: u64,
    /// The turn: number of the call that caused it; for a state digest, the sync point; for the n-th effect, n (its call and kind are under its digest).
    pub turn: u64,
    /// Serial of the thread, or of the process whose state it is; 0: the kernel-held state.
    pub thread: u64,
    /// Number of the [`abi::vote::EffectKind`]; [`STATE`] for a state digest, [`EFFECT`] for the n-th effect, whatever it is.
    pub kind: u8,
}

/// Kind of a state digest.
pub const STATE: u8 = 255;
/// Kind of the n-th effect: voters may differ in its kind, too.
pub const EFFECT: u8 = 254;

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Subject { epoch, turn, thread, kind } = self;
        match *kind {
            STATE if *thread == 0 => write!(f, "the kernel-held state at sync point {turn}, epoch {epoch}"),
            STATE => write!(f, "the state of process {thread} at sync point {turn}, epoch {epoch}"),
            EFFECT => write!(f, "effect {turn}, epoch {epoch}"),
            _ => {
                let what = match kind {
                    0 => "terminal output",
                    1 => "terminal modes",
                    2 => "terminal flush",
                    3 => "exit status",
                    _ => "effect",
                };
                write!(f, "{what} of thread {thread} in turn {turn}, epoch {epoch}")
            }
        }
    }
}

/// The votes on one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ballot {
    /// What it is about.
    pub subject: Subject,
    votes: [Option<Digest>; VOTERS],
}

/// What became of a vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// Counted.
    Counted,
    /// The voter had said the same.
    Again,
    /// The voter had said something else: its first word stays, and it is faulty.
    Contradicts,
    /// It is about another subject (an old epoch, another turn), or from nobody.
    Refused,
}

impl Ballot {
    /// Nobody has voted yet.
    pub fn new(subject: Subject) -> Self {
        Ballot { subject, votes: [None; VOTERS] }
    }

    /// `voter` votes. One vote each, the first.
    pub fn cast(&mut self, voter: u8, subject: &Subject, digest: Digest) -> Cast {
        let epoch_only = Subject { epoch: self.subject.epoch, ..*subject };
        let same = *subject == self.subject || seeded::has(Bug::VoteOfOldEpoch) && epoch_only == self.subject;
        let Some(slot) = self.votes.get_mut(usize::from(voter)).filter(|_| same) else {
            return Cast::Refused;
        };
        match slot {
            Some(known) if *known == digest => Cast::Again,
            Some(_) if !seeded::has(Bug::LaterVoteCounts) => Cast::Contradicts,
            _ => {
                *slot = Some(digest);
                Cast::Counted
            }
        }
    }

    /// What `voter` said.
    pub fn of(&self, voter: u8) -> Option<Digest> {
        self.votes.get(usize::from(voter)).copied().flatten()
    }

    /// Who said `digest`, a bit each.
    pub fn for_digest(&self, digest: &Digest) -> u64 {
        self.mask(|v| v == digest)
    }

    /// Who voted, a bit each.
    pub fn voted(&self) -> u64 {
        self.mask(|_| true)
    }

    fn mask(&self, holds: impl Fn(&Digest) -> bool) -> u64 {
        let bit = |(i, v): (usize, &Option<Digest>)| u64::from(v.as_ref().is_some_and(&holds)) << i;
        self.votes.iter().enumerate().map(bit).sum()
    }

    /// The digests voted, each once, in the order of the voters.
    pub fn digests(&self) -> impl Iterator<Item = Digest> + '_ {
        let first = |i: &usize| self.votes[*i].is_some_and(|d| !self.votes[..*i].contains(&Some(d)));
        (0..VOTERS).filter(first).filter_map(|i| self.votes[i])
    }
}

/// What is found about one ballot. Displays as one line that says it all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// What it is about.
    pub subject: Subject,
    /// What the policy decided.
    pub decision: Decision,
    /// Who said something else than what was decided, a bit each.
    pub wrong: u64,
    /// Which members have said nothing, a bit each.
    pub silent: u64,
    /// Why, as far as it can be judged; none: nothing is wrong.
    pub cause: Option<Cause>,
}

impl Verdict {
    /// Judges `ballot` of `members` (a bit each) by `policy`.
    pub fn of(ballot: &Ballot, members: u64, policy: &Policy, cause: Option<Cause>) -> Self {
        let decision = policy.decide(ballot, members);
        let wrong = match decision {
            Decision::Agreed { digest, .. } => ballot.voted() & members & !ballot.for_digest(&digest),
            Decision::Open | Decision::Impossible => 0,
        };
        let cause = cause.filter(|_| wrong != 0 || decision == Decision::Impossible);
        Verdict { subject: ballot.subject, decision, wrong, silent: members & !ballot.voted(), cause }
    }
}

/// A verdict as one line in which voters have names.
pub struct Named<'a, F>(&'a Verdict, F);

impl Verdict {
    /// The line, with `name` for what each voter is called.
    pub fn named<'a, N: fmt::Display, F: Fn(u32) -> N>(&'a self, name: F) -> Named<'a, F> {
        Named(self, name)
    }
}

/// What the bits in `mask` are called, with `between` between them.
fn names<N: fmt::Display>(
    f: &mut fmt::Formatter<'_>,
    mask: u64,
    name: impl Fn(u32) -> N,
    between: &str,
) -> fmt::Result {
    let mut first = "";
    for i in (0..u64::BITS).filter(|i| mask >> i & 1 == 1) {
        write!(f, "{first}{}", name(i))?;
        first = between;
    }
    Ok(())
}

impl<N: fmt::Display, F: Fn(u32) -> N> fmt::Display for Named<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Named(verdict, name) = self;
        write!(f, "{}: ", verdict.subject)?;
        match verdict.decision {
            Decision::Agreed { digest: [a, b, c, d, ..], by } => {
                names(f, by, name, ", ")?;
                write!(f, " agree on {a:02x}{b:02x}{c:02x}{d:02x}")?;
            }
            Decision::Open => f.write_str("not decided yet")?,
            Decision::Impossible => f.write_str("no decision is possible, nothing is released")?,
        }
        if verdict.wrong != 0 {
            f.write_str("; ")?;
            names(f, verdict.wrong, name, ", ")?;
            f.write_str(" said something else")?;
        }
        if verdict.silent != 0 {
            f.write_str("; ")?;
            names(f, verdict.silent, name, ", ")?;
            f.write_str(" said nothing")?;
        }
        if let Some(cause) = verdict.cause {
            write!(f, "; cause: {cause}")?;
        }
        Ok(())
    }
}

/// Voters go by their numbers.
impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.named(|i| i), f)
    }
}

#[cfg(test)]
mod tests;
