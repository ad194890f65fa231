//! Digests: BLAKE3, 32 bytes, with the purpose as the first field of what is hashed.

use crate::vote::EffectKind;

/// A BLAKE3 digest.
pub type Digest = [u8; 32];

/// Digest of an external effect. Its number and call are inside, so that equal bytes at another place are another effect.
pub fn effect_digest(n: u64, call: u64, kind: EffectKind, payload: &[u8]) -> Digest {
    let mut e = Encoder::new("effect");
    e.u64(n).u64(call).u64(kind as u64).bytes(payload);
    e.finish()
}

/// Hashes a sequence of fields unambiguously: numbers as u64 little-endian, byte strings preceded by their length.
pub struct Encoder(blake3::Hasher);

impl Encoder {
    /// A digest for `purpose`.
    pub fn new(purpose: &str) -> Self {
        let mut e = Encoder(blake3::Hasher::new());
        e.bytes(purpose.as_bytes());
        e
    }

    /// Appends a number.
    pub fn u64(&mut self, v: u64) -> &mut Self {
        self.0.update(&v.to_le_bytes());
        self
    }

    /// Appends a byte string.
    pub fn bytes(&mut self, b: &[u8]) -> &mut Self {
        self.u64(b.len() as u64);
        self.0.update(b);
        self
    }

    /// Appends bytes whose length the reader knows (a page, a digest).
    pub fn raw(&mut self, b: &[u8]) -> &mut Self {
        self.0.update(b);
        self
    }

    /// The digest.
    pub fn finish(&self) -> Digest {
        *self.0.finalize().as_bytes()
    }
}
