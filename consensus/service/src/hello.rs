//! How replicas learn each other's keys: the first record in each replica's ring says who it is.
//!
//! ```text
//! hello:  0x48 ("H"; no version of `consensus::wire`) · Ed25519 [32] · X25519 [32] · share [32]
//! ```
//! Whose ring it stands in says EL2, by who maps it writable. Whose hellos count at the start of the machine says `start.rs`. The run's seed is the hash of
//! their shares, so nobody chooses it. A replica that was restarted, or was left out at the start, says hello again and again; the others answer with
//! theirs, and order a `Member` entry, which ends the epoch.

use consensus::REPLICAS;
use consensus::auth::{Identity, Members};

/// First byte of a hello.
const TAG: u8 = 0x48;
/// Bytes of a hello.
pub const SIZE: usize = 1 + 64 + 32;

/// One replica's hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Its public keys.
    pub identity: Identity,
    /// Its share of the run's seed.
    pub share: [u8; 32],
}

impl Hello {
    /// The record.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let (tag, rest) = bytes.split_at_mut(1);
        let (identity, share) = rest.split_at_mut(64);
        tag.copy_from_slice(&[TAG]);
        identity.copy_from_slice(&self.identity.0);
        share.copy_from_slice(&self.share);
        bytes
    }

    /// `None`: the record is no hello.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let bytes: &[u8; SIZE] = record.try_into().ok()?;
        let (tag, rest) = bytes.split_first()?;
        (*tag == TAG).then_some(Self::from_body(rest.try_into().ok()?))
    }

    /// From what stands behind the tag.
    pub(crate) fn from_body(body: &[u8; SIZE - 1]) -> Self {
        let (mut identity, mut share) = ([0; 64], [0; 32]);
        identity.copy_from_slice(&body[..64]);
        share.copy_from_slice(&body[64..]);
        Hello { identity: Identity(identity), share }
    }
}

/// The share that a replica with these 32 secret bytes contributes; it tells nothing of them.
pub fn share(entropy: &[u8; 32]) -> [u8; 32] {
    blake3::derive_key("tetrarch replica 1 share of the seed", entropy)
}

/// The identities, once all hellos are there.
pub fn members(hellos: &[Option<Hello>; REPLICAS]) -> Option<Members> {
    let mut members = [Identity([0; 64]); REPLICAS];
    for (member, hello) in members.iter_mut().zip(hellos) {
        *member = hello.as_ref()?.identity;
    }
    Some(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_is_heard() {
        let mut hellos: [Option<Hello>; REPLICAS] = core::array::from_fn(|i| {
            Some(Hello { identity: Identity([i as u8; 64]), share: share(&[i as u8; 32]) })
        });
        for hello in hellos.iter().flatten() {
            assert_eq!(Hello::decode(&hello.encode()), Some(*hello));
        }
        assert_eq!(members(&hellos).unwrap()[3], Identity([3; 64]));
        hellos[1] = None;
        assert!(members(&hellos).is_none());
    }

    #[test]
    fn a_message_is_no_hello() {
        let mut bytes = Hello { identity: Identity([1; 64]), share: [2; 32] }.encode();
        assert!(Hello::decode(&bytes[..SIZE - 1]).is_none());
        bytes[0] = consensus::wire::VERSION;
        assert!(Hello::decode(&bytes).is_none());
    }
}
