//! View changes as they travel: what a replica claims of its past when it leaves a view.
//!
//! ```text
//! body:  stable u64 · installed u64 · checkpoints u8, P u8, Q u8
//!        checkpoint:  sequence u64 · digest [32]       states it holds or knows vouched for, the stable one first
//!        claim of P:  sequence u64 · view u64 · digest [32]       prepared here, in the latest view
//!        claim of Q:  likewise                                    pre-prepared here (a prepare or pre-prepare was sent)
//! ```
//! The encoding is canonical: claims go up by sequence number. So a decoded change encodes to the same bytes, and the signature still holds.

use super::slot::Vote;
use crate::digest::same;
use crate::wire::{HEADER, Header, Kind, Message, Reader, TRAILER, Trailer, Writer};
use crate::{Digest, ReplicaId};

/// States a replica may hold: stable, and two after it.
pub const CHECKPOINTS: usize = 3;

/// A state after a sequence number.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct StateId {
    /// The last sequence number in it.
    pub sequence: u64,
    /// Its digest.
    pub digest: Digest,
}

impl PartialEq for StateId {
    #[inline]
    fn eq(&self, other: &Self) -> bool {
        self.sequence == other.sequence && same(&self.digest, &other.digest)
    }
}

impl core::hash::Hash for StateId {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.sequence.hash(state);
        self.digest.hash(state);
    }
}

/// What a replica says when it leaves all views below `view`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Change<const W: usize> {
    /// Who.
    pub sender: ReplicaId,
    /// Epoch.
    pub epoch: u64,
    /// The view it wants.
    pub view: u64,
    /// Its low watermark.
    pub stable: u64,
    /// The last view whose beginning it knows.
    pub installed: u64,
    /// States it vouches for.
    pub checkpoints: [Option<StateId>; CHECKPOINTS],
    /// P: what was prepared at it, at [`index`] of its sequence number.
    pub prepared: [Option<Vote>; W],
    /// Q: what it pre-prepared.
    pub endorsed: [Option<Vote>; W],
    /// Digest of the body.
    pub digest: Digest,
    /// Its signature of the header.
    pub signature: Trailer,
}

/// Where sequence number `n` stands in arrays of a window.
#[inline]
pub fn index<const W: usize>(n: u64) -> usize {
    (n % W as u64) as usize
}

impl<const W: usize> Change<W> {
    fn claims<'a>(&self, list: &'a [Option<Vote>; W]) -> impl Iterator<Item = (u64, Vote)> + use<'a, W> {
        let first = self.stable + 1;
        (first..first + W as u64).filter_map(|n| Some((n, list[index::<W>(n)]?)))
    }

    /// The claim of P for `n`.
    pub fn prepared(&self, n: u64) -> Option<Vote> {
        self.claim(&self.prepared, n)
    }

    /// The claim of Q for `n`.
    pub fn endorsed(&self, n: u64) -> Option<Vote> {
        self.claim(&self.endorsed, n)
    }

    fn claim(&self, list: &[Option<Vote>; W], n: u64) -> Option<Vote> {
        let inside = n > self.stable && n - self.stable <= W as u64;
        if inside { list[index::<W>(n)] } else { None }
    }

    /// Writes the body. `None`: no room.
    pub fn encode(&self, out: &mut [u8]) -> Option<usize> {
        let mut w = Writer::new(out);
        w.u64(self.stable)?.u64(self.installed)?;
        let count = |list: &[Option<Vote>; W]| self.claims(list).count() as u8;
        let states = self.checkpoints.iter().flatten();
        w.bytes(&[states.clone().count() as u8, count(&self.prepared), count(&self.endorsed)])?;
        for state in states {
            w.u64(state.sequence)?.bytes(&state.digest)?;
        }
        for list in [&self.prepared, &self.endorsed] {
            for (n, vote) in self.claims(list) {
                w.u64(n)?.u64(vote.view)?.bytes(&vote.digest)?;
            }
        }
        Some(w.length())
    }

    /// The header that is signed, for a body of `length` bytes.
    pub fn header(&self, length: usize) -> Header {
        Header {
            kind: Kind::ViewChange,
            sender: self.sender,
            length: length as u32,
            epoch: self.epoch,
            view: self.view,
            sequence: self.stable,
            digest: self.digest,
        }
    }

    /// The whole message again. `None`: no room.
    pub fn record(&self, out: &mut [u8]) -> Option<usize> {
        let (head, body) = out.split_at_mut_checked(HEADER + TRAILER)?;
        let length = self.encode(body)?;
        head.get_mut(..HEADER)?.copy_from_slice(&self.header(length).encode());
        head.get_mut(HEADER..)?.copy_from_slice(&self.signature);
        Some(HEADER + TRAILER + length)
    }

    /// Reads a message whose signature and digest hold. `None`: it says what no correct replica says.
    pub fn decode(message: &Message<'_>) -> Option<Self> {
        let h = &message.header;
        let mut r = Reader(message.body);
        let (stable, installed) = (r.u64()?, r.u64()?);
        let counts = [r.u8()?, r.u8()?, r.u8()?];
        if stable != h.sequence || stable >= u64::MAX - 4 * W as u64 || usize::from(counts[0]) > CHECKPOINTS {
            return None;
        }
        let mut change = Change {
            sender: h.sender,
            epoch: h.epoch,
            view: h.view,
            stable,
            installed,
            checkpoints: [None; CHECKPOINTS],
            prepared: [None; W],
            endorsed: [None; W],
            digest: h.digest,
            signature: *message.trailer,
        };
        let mut last = None;
        for slot in change.checkpoints.iter_mut().take(usize::from(counts[0])) {
            let state = StateId { sequence: r.u64()?, digest: r.array()? };
            if state.sequence < stable || state.sequence > stable + W as u64 || last >= Some(state.sequence) {
                return None;
            }
            last = Some(state.sequence);
            *slot = Some(state);
        }
        for (count, list) in [(counts[1], &mut change.prepared), (counts[2], &mut change.endorsed)] {
            let mut last = stable;
            for _ in 0..count {
                let (n, vote) = (r.u64()?, Vote { view: r.u64()?, digest: r.array()? });
                if n <= last || n > stable + W as u64 || vote.view >= h.view {
                    return None;
                }
                last = n;
                list[index::<W>(n)] = Some(vote);
            }
        }
        (r.0.is_empty() && installed < h.view).then_some(change)
    }
}
