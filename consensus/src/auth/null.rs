//! No secrets: for models, where what an adversary can say is a rule of the model and not of mathematics.
//!
//! The trailer is a checksum of the header and the signer's identity. Whoever plays the adversary seals only for the replicas it owns, and so a wrong
//! checksum is what a forgery is. A digest is a fast hash of 64 bits, four times; the simulator makes no collisions on purpose.

use super::{Authenticator, Identity, Members};
use crate::wire::{HEADER, TRAILER, Trailer};
use crate::{Digest, REPLICAS, ReplicaId};

/// Authenticates by a checksum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Null {
    own: Identity,
    members: Members,
}

/// FNV-1a over words, with a final mix.
fn mix(seed: u64, bytes: &[u8]) -> u64 {
    let mut h = seed ^ 0xcbf2_9ce4_8422_2325;
    for chunk in bytes.chunks(8) {
        let word = chunk.iter().rev().fold(0u64, |w, b| w << 8 | u64::from(*b));
        h = (h ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 29;
    }
    (h ^ bytes.len() as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

fn sum(domain: u64, identity: &Identity, header: &[u8; HEADER]) -> Trailer {
    let mut trailer = [0; TRAILER];
    let sum = mix(domain ^ mix(1, &identity.0[..8]), header);
    trailer[..8].copy_from_slice(&sum.to_le_bytes());
    trailer
}

impl Null {
    /// The identity that stands for incarnation `k` of replica `me`.
    pub fn identity(me: ReplicaId, k: u8) -> Identity {
        let mut bytes = [0; 64];
        bytes[..2].copy_from_slice(&[me + 1, k]);
        Identity(bytes)
    }

    /// Members that never were restarted.
    pub fn members() -> Members {
        core::array::from_fn(|i| Null::identity(i as u8, 0))
    }

    /// Whoever has identity `own`, among `members`.
    pub fn new(own: Identity, members: &Members) -> Self {
        Null { own, members: *members }
    }

    fn of(&self, sender: ReplicaId) -> Option<&Identity> {
        self.members.get(usize::from(sender)).filter(|_| usize::from(sender) < REPLICAS)
    }
}

impl Authenticator for Null {
    fn begin_epoch(&mut self, _: u64, members: &Members) {
        self.members = *members;
    }

    fn seal(&self, header: &[u8; HEADER]) -> Trailer {
        sum(1, &self.own, header)
    }

    fn check(&self, sender: ReplicaId, header: &[u8; HEADER], trailer: &Trailer) -> bool {
        self.of(sender).is_some_and(|identity| sum(1, identity, header) == *trailer)
    }

    fn sign(&self, header: &[u8; HEADER]) -> Trailer {
        sum(2, &self.own, header)
    }

    fn verify(&self, sender: ReplicaId, header: &[u8; HEADER], signature: &Trailer) -> bool {
        self.of(sender).is_some_and(|identity| sum(2, identity, header) == *signature)
    }

    fn digest(bytes: &[u8]) -> Digest {
        let mut digest = [0; 32];
        for (i, part) in digest.chunks_exact_mut(8).take(2).enumerate() {
            part.copy_from_slice(&mix(i as u64 + 7, bytes).to_le_bytes());
        }
        digest
    }
}
