//! Who said it. One trait, three ways: keyed BLAKE3 vectors ([`Vector`]), Ed25519 on everything ([`Signed`]), nothing ([`Null`], for models).
//!
//! All work on the 64 bytes of a header as received, before anything is decoded beyond its shape. The rings already say whose words one reads
//! (only their owner maps them writable); a message's authenticator holds even if that mapping does not, and binds it to an epoch.
//!
//! Keys: a replica's 32 secret bytes come from EL2. Two keys are derived from them, one to sign, one for Diffie-Hellman; the public halves
//! are its [`Identity`]. Each ordered pair of replicas has a MAC key for each epoch, derived from their shared secret, the epoch and the
//! direction. Secrets and derived keys are wiped when dropped.

mod blake;
#[cfg(any(test, not(target_feature = "neon")))]
mod block;
#[cfg(any(test, target_feature = "neon"))]
mod lanes;
mod null;
mod signed;
mod vector;
#[cfg(any(test, target_feature = "neon"))]
mod wide;

pub use null::Null;
pub use signed::Signed;
pub use vector::Vector;

use crate::wire::{HEADER, Trailer};
use crate::{Digest, REPLICAS, ReplicaId};
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use zeroize::Zeroize;

/// Public keys of a replica: Ed25519, then X25519.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity(pub [u8; 64]);

impl Identity {
    /// The Ed25519 key and the X25519 key.
    pub fn halves(&self) -> ([u8; 32], [u8; 32]) {
        let (sign, exchange) = self.0.split_at(32);
        (sign.try_into().unwrap_or([0; 32]), exchange.try_into().unwrap_or([0; 32]))
    }
}

/// The identities of all replicas.
pub type Members = [Identity; REPLICAS];

/// Authenticates headers.
pub trait Authenticator {
    /// From now on the keys of `epoch` hold, between `members`.
    fn begin_epoch(&mut self, epoch: u64, members: &Members);
    /// Authenticates `header` to all members.
    fn seal(&self, header: &[u8; HEADER]) -> Trailer;
    /// Whether `sender` sealed `header` for us in this epoch. In constant time.
    fn check(&self, sender: ReplicaId, header: &[u8; HEADER], trailer: &Trailer) -> bool;
    /// Signs, so that a third party can check it.
    fn sign(&self, header: &[u8; HEADER]) -> Trailer;
    /// Whether `sender` signed `header`.
    fn verify(&self, sender: ReplicaId, header: &[u8; HEADER], signature: &Trailer) -> bool;
    /// Digest of a body.
    fn digest(bytes: &[u8]) -> Digest;
}

/// A replica's secrets; both keys wipe themselves when dropped.
#[derive(Clone)]
pub struct Secret {
    sign: SigningKey,
    exchange: x25519_dalek::StaticSecret,
}

impl Secret {
    /// From the 32 bytes that EL2 gave; wipe those.
    pub fn new(seed: &[u8; 32]) -> Self {
        let mut sign = blake3::derive_key("tetrarch consensus 1 sign", seed);
        let mut exchange = blake3::derive_key("tetrarch consensus 1 exchange", seed);
        let secret = Secret {
            sign: SigningKey::from_bytes(&sign),
            exchange: x25519_dalek::StaticSecret::from(exchange),
        };
        sign.zeroize();
        exchange.zeroize();
        secret
    }

    /// The public halves.
    pub fn identity(&self) -> Identity {
        let mut bytes = [0; 64];
        bytes[..32].copy_from_slice(self.sign.verifying_key().as_bytes());
        bytes[32..].copy_from_slice(x25519_dalek::PublicKey::from(&self.exchange).as_bytes());
        Identity(bytes)
    }
}

impl core::fmt::Debug for Secret {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Secret")
    }
}

/// The public keys to check signatures with; `None`: what is in the list is no key, and nothing verifies.
#[derive(Clone, Debug)]
struct Verifiers([Option<VerifyingKey>; REPLICAS]);

impl Verifiers {
    fn new(members: &Members) -> Self {
        Verifiers(members.map(|m| VerifyingKey::from_bytes(m.0.first_chunk()?).ok()))
    }

    /// Strict: of several encodings of one signature at most one passes, and no key of small order.
    fn verify(&self, sender: ReplicaId, header: &[u8; HEADER], signature: &Trailer) -> bool {
        let Some(Some(key)) = self.0.get(usize::from(sender)) else { return false };
        key.verify_strict(header, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }
}

fn sign(secret: &Secret, header: &[u8; HEADER]) -> Trailer {
    secret.sign.sign(header).to_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(id: u8) -> Secret {
        Secret::new(&[id + 1; 32])
    }

    fn members() -> Members {
        core::array::from_fn(|i| secret(i as u8).identity())
    }

    /// What `make(k)` seals and signs passes at the others, and nothing near it does.
    fn binds<A: Authenticator>(make: impl Fn(u8) -> A) {
        let all = [0, 1, 2, 3].map(make);
        let header: [u8; HEADER] = core::array::from_fn(|i| i as u8);
        let (sealed, signature) = (all[1].seal(&header), all[1].sign(&header));
        for (i, receiver) in all.iter().enumerate().filter(|(i, _)| *i != 1) {
            assert!(receiver.check(1, &header, &sealed) && receiver.verify(1, &header, &signature));
            for at in 0..HEADER {
                let mut other = header;
                other[at] ^= 1;
                assert!(!receiver.check(1, &other, &sealed) && !receiver.verify(1, &other, &signature));
            }
            for other in [0, 2, 3, 4].into_iter().filter(|o| *o != i as u8) {
                assert!(
                    !receiver.check(other, &header, &sealed) && !receiver.verify(other, &header, &signature)
                );
            }
            assert!(!receiver.check(1, &header, &[0; 64]) && !receiver.verify(1, &header, &[0; 64]));
        }
    }

    #[test]
    fn each_authenticator_binds_sender_and_header() {
        let members = members();
        binds(|i| Vector::new(i, secret(i), 0, &members));
        binds(|i| Signed::new(secret(i), &members));
        binds(|i| Null::new(Null::identity(i, 0), &Null::members()));
    }

    #[test]
    fn nobody_signs_for_a_member_without_keys() {
        let mut members = members();
        members[3] = Identity([0; 64]);
        let one = Vector::new(1, secret(1), 0, &members);
        let header = [7; HEADER];
        let mut small_order = [0; 64];
        small_order[0] = 1;
        for signature in [[0; 64], small_order, secret(3).sign.sign(&header).to_bytes()] {
            assert!(!one.verify(3, &header, &signature));
        }
    }

    #[test]
    fn a_vector_is_of_its_epoch_and_of_the_keys_of_its_members() {
        let members = members();
        let header = [7; HEADER];
        let mut one = Vector::new(1, secret(1), 0, &members);
        let two = Vector::new(2, secret(2), 0, &members);
        assert!(two.check(1, &header, &one.seal(&header)));
        one.begin_epoch(1, &members);
        assert!(!two.check(1, &header, &one.seal(&header)));
        let restarted = Vector::new(1, Secret::new(&[99; 32]), 0, &members);
        assert!(!two.check(1, &header, &restarted.seal(&header)));
        assert!(!two.verify(1, &header, &restarted.sign(&header)));
    }
}
