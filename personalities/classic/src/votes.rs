//! What this kernel says: votes on its broadcast channel, effects numbered without gaps.

use abi::digest::effect_digest;
use abi::vote::{EffectKind, PAYLOAD_MAX, Vote};
use alloc::vec;
use alloc::vec::Vec;
use core::sync::atomic::AtomicU64;
use ipc::BroadcastWriter;

/// Bytes that a vote's encoding adds to its payload, generously.
const OVERHEAD: usize = 256;

/// Whether the readers must hear of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unheard {
    /// Nothing new.
    #[default]
    Nothing,
    /// Effects: they may wait for the end of the turn.
    Effects,
    /// Something that cannot wait.
    Urgent,
}

/// The writer.
pub struct Votes {
    writer: BroadcastWriter<'static>,
    buffer: Vec<u8>,
    effects: u64,
    unheard: Unheard,
    /// Falsify every effect (`faults.rs`).
    pub lies: bool,
}

impl Votes {
    /// A writer on the ring in `region`.
    pub fn new(region: &'static [AtomicU64]) -> Option<Votes> {
        let writer = BroadcastWriter::new(region)?;
        let buffer = vec![0; PAYLOAD_MAX + OVERHEAD];
        Some(Votes { writer, buffer, effects: 0, unheard: Unheard::Nothing, lies: false })
    }

    /// The first `effects` were posted by others.
    pub fn resume(&mut self, effects: u64) {
        self.effects = effects;
    }

    /// Effects posted so far.
    pub fn effects(&self) -> u64 {
        self.effects
    }

    /// Posts one vote.
    pub fn post(&mut self, vote: &Vote<'_>) -> Result<(), &'static str> {
        let urgency = if matches!(vote, Vote::Effect { .. }) { Unheard::Effects } else { Unheard::Urgent };
        let bytes = postcard::to_slice(vote, &mut self.buffer).map_err(|_| "votes: a vote is too long")?;
        self.writer.write(bytes).map_err(|_| "votes: the channel takes no record")?;
        self.unheard = self.unheard.max(urgency);
        Ok(())
    }

    /// Posts an effect of call `call`.
    pub fn effect(&mut self, call: u64, kind: EffectKind, payload: &[u8]) -> Result<(), &'static str> {
        let n = self.effects;
        self.effects += 1;
        let mut lie;
        let mut payload = payload;
        if self.lies {
            lie = payload.to_vec();
            if let Some(first) = lie.first_mut() {
                *first = !*first;
            }
            payload = &lie;
        }
        let digest = effect_digest(n, call, kind, payload);
        self.post(&Vote::Effect { n, call, kind, digest, payload })
    }

    /// What the readers have not heard of.
    pub fn unheard(&self) -> Unheard {
        self.unheard
    }

    /// The doorbell rang.
    pub fn heard(&mut self) {
        self.unheard = Unheard::Nothing;
    }
}
