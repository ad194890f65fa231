//! Ed25519 on every message: what agreement costs when everything must travel. For comparison.

use super::{Authenticator, Members, Secret, Verifiers, sign};
use crate::wire::{HEADER, Trailer};
use crate::{Digest, ReplicaId};

/// A signature in each trailer.
#[derive(Clone, Debug)]
pub struct Signed {
    secret: Secret,
    verifiers: Verifiers,
}

impl Signed {
    /// A replica with its secrets, among `members`.
    pub fn new(secret: Secret, members: &Members) -> Self {
        Signed { secret, verifiers: Verifiers::new(members) }
    }
}

impl Authenticator for Signed {
    /// The epoch is in each header, under the signature.
    fn begin_epoch(&mut self, _: u64, members: &Members) {
        self.verifiers = Verifiers::new(members);
    }

    fn seal(&self, header: &[u8; HEADER]) -> Trailer {
        sign(&self.secret, header)
    }

    fn check(&self, sender: ReplicaId, header: &[u8; HEADER], trailer: &Trailer) -> bool {
        self.verifiers.verify(sender, header, trailer)
    }

    fn sign(&self, header: &[u8; HEADER]) -> Trailer {
        sign(&self.secret, header)
    }

    fn verify(&self, sender: ReplicaId, header: &[u8; HEADER], signature: &Trailer) -> bool {
        self.verifiers.verify(sender, header, signature)
    }

    fn digest(bytes: &[u8]) -> Digest {
        *blake3::hash(bytes).as_bytes()
    }
}
