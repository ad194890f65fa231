//! What a verdict rests on, kept and exportable.
//!
//! ```text
//! evidence:  version u8 (1) · kind u8 · members u64 · epoch u64 · turn u64 · thread u64
//!            for each of 8 voters:  voted u8 · digest [32]
//! ```
//! It is the ballot itself: whoever has the policy finds the verdict again. A replica signs an export like any header whose digest
//! is that of these bytes.

use super::{Ballot, Subject, VOTERS};
use crate::wire::{Reader, Writer};

/// Version of the layout.
const VERSION: u8 = 1;
/// Bytes of one piece of evidence.
pub const EVIDENCE: usize = 2 + 4 * 8 + VOTERS * 33;

/// A ballot and who could vote in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The votes.
    pub ballot: Ballot,
    /// Who could vote, a bit each.
    pub members: u64,
}

impl Evidence {
    /// The bytes to export.
    pub fn encode(&self) -> [u8; EVIDENCE] {
        let mut out = [0; EVIDENCE];
        let (mut w, s) = (Writer::new(&mut out), &self.ballot.subject);
        let _fits = w.bytes(&[VERSION, s.kind]);
        for word in [self.members, s.epoch, s.turn, s.thread] {
            let _fits = w.u64(word);
        }
        for vote in &self.ballot.votes {
            let _fits = w.bytes(&[u8::from(vote.is_some())]);
            let _fits = w.bytes(&vote.unwrap_or([0; 32]));
        }
        out
    }

    /// Reads an export. `None`: it is none.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let mut r = Reader(bytes);
        if r.u8()? != VERSION {
            return None;
        }
        let kind = r.u8()?;
        let (members, epoch, turn, thread) = (r.u64()?, r.u64()?, r.u64()?, r.u64()?);
        let mut ballot = Ballot::new(Subject { epoch, turn, thread, kind });
        for vote in &mut ballot.votes {
            let (voted, digest) = (r.u8()?, r.array()?);
            *vote = match voted {
                0 if digest == [0; 32] => None,
                1 => Some(digest),
                _ => return None,
            };
        }
        r.0.is_empty().then_some(Evidence { ballot, members })
    }
}

/// The newest `N` pieces of evidence.
#[derive(Clone, Debug)]
pub struct EvidenceLog<const N: usize> {
    list: [Option<Evidence>; N],
    next: usize,
}

impl<const N: usize> Default for EvidenceLog<N> {
    fn default() -> Self {
        EvidenceLog { list: [None; N], next: 0 }
    }
}

impl<const N: usize> EvidenceLog<N> {
    /// Keeps one, in the place of the oldest.
    pub fn keep(&mut self, evidence: Evidence) {
        if let Some(slot) = self.list.get_mut(self.next) {
            *slot = Some(evidence);
            self.next = (self.next + 1) % N;
        }
    }

    /// All that is kept, the oldest first.
    pub fn all(&self) -> impl Iterator<Item = &Evidence> {
        (0..N).filter_map(move |i| self.list[(self.next + i) % N].as_ref())
    }
}
