//! A tag of 16 bytes for each receiver: keyed BLAKE3 of the header. Ed25519 only for what travels.

use super::blake::{Key, words};
#[cfg(not(target_feature = "neon"))]
use super::block::tag;
#[cfg(target_feature = "neon")]
use super::wide::{hash, tag};
use super::{Authenticator, Members, Secret, Verifiers, sign};
use crate::wire::{HEADER, TRAILER, Trailer};
use crate::{Digest, REPLICAS, ReplicaId};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

const TAG: usize = TRAILER / REPLICAS;

#[derive(Clone, Zeroize, ZeroizeOnDrop)]
struct Keys {
    to: [Key; REPLICAS],
    from: [Key; REPLICAS],
}

/// Vectors of keyed BLAKE3 tags; signatures by Ed25519.
#[derive(Clone)]
pub struct Vector {
    me: ReplicaId,
    secret: Secret,
    keys: Keys,
    verifiers: Verifiers,
}

fn key(shared: &[u8; 32], epoch: u64, from: usize, to: usize) -> Key {
    let mut hasher = blake3::Hasher::new_derive_key("tetrarch consensus 1 MAC");
    hasher.update(shared).update(&epoch.to_le_bytes()).update(&[from as u8, to as u8]);
    words(hasher.finalize().as_bytes())
}

impl Vector {
    /// Replica `me` with its secrets, among `members`, in `epoch`.
    pub fn new(me: ReplicaId, secret: Secret, epoch: u64, members: &Members) -> Self {
        let keys = Keys { to: [[0; 8]; REPLICAS], from: [[0; 8]; REPLICAS] };
        let mut vector = Vector { me, secret, keys, verifiers: Verifiers::new(members) };
        vector.begin_epoch(epoch, members);
        vector
    }
}

impl Authenticator for Vector {
    fn begin_epoch(&mut self, epoch: u64, members: &Members) {
        self.verifiers = Verifiers::new(members);
        let me = usize::from(self.me);
        for (i, member) in members.iter().enumerate() {
            let Some(public) = member.0.last_chunk::<32>() else { continue };
            // A public key of small order gives a secret that all know: whoever published it lets others speak in its name, in no one else's.
            let shared = self.secret.exchange.diffie_hellman(&x25519_dalek::PublicKey::from(*public));
            self.keys.to[i] = key(shared.as_bytes(), epoch, me, i);
            self.keys.from[i] = key(shared.as_bytes(), epoch, i, me);
        }
    }

    #[inline]
    fn seal(&self, header: &[u8; HEADER]) -> Trailer {
        let mut trailer = [0; TRAILER];
        for (i, (slot, key)) in trailer.chunks_exact_mut(TAG).zip(&self.keys.to).enumerate() {
            if i != usize::from(self.me) {
                let (words, _) = slot.as_chunks_mut::<4>();
                for (to, word) in words.iter_mut().zip(tag(key, header)) {
                    *to = word.to_le_bytes();
                }
            }
        }
        trailer
    }

    #[inline]
    fn check(&self, sender: ReplicaId, header: &[u8; HEADER], trailer: &Trailer) -> bool {
        let Some(key) = self.keys.from.get(usize::from(sender)) else { return false };
        let Some(own) = trailer.chunks_exact(TAG).nth(usize::from(self.me)) else { return false };
        let (is, should) = (tag(key, header), words::<4>(own));
        let differs = is.iter().zip(should).fold(0, |d, (is, should)| d | (is ^ should));
        sender != self.me && differs.ct_eq(&0).into()
    }

    fn sign(&self, header: &[u8; HEADER]) -> Trailer {
        sign(&self.secret, header)
    }

    fn verify(&self, sender: ReplicaId, header: &[u8; HEADER], signature: &Trailer) -> bool {
        self.verifiers.verify(sender, header, signature)
    }

    fn digest(bytes: &[u8]) -> Digest {
        hash(bytes)
    }
}

#[cfg(not(target_feature = "neon"))]
fn hash(bytes: &[u8]) -> Digest {
    *blake3::hash(bytes).as_bytes()
}
