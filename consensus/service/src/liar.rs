//! Equivocation on demand: of each proposal and vote of this replica two versions leave, each with tags that only some of the others accept.
//!
//! A ring shows the same bytes to all, so a replica lies selectively by its vectors of tags: what a receiver cannot authenticate it never heard. Both versions of
//! a proposal are acceptable (times a microsecond apart), so the receivers have nothing but the protocol to tell them apart. For tests and demonstrations;
//! the operator asks for it by `inject equivocate`.

use consensus::auth::{Authenticator, Vector};
use consensus::batch::{Batch, BatchWriter};
use consensus::line::{PROPOSALS, Proposal};
use consensus::wire::{BODY, HEADER, Header, Kind, Message, TRAILER};
use consensus::{REPLICAS, ReplicaId};

/// Bytes of one receiver's tag.
const TAG: usize = TRAILER / REPLICAS;

/// A replica's second tongue.
pub struct Liar {
    me: ReplicaId,
    epoch: u64,
    keys: Vector,
}

impl Liar {
    /// With the replica's own keys, which hold until `epoch` ends.
    pub fn new(me: ReplicaId, epoch: u64, keys: Vector) -> Self {
        Liar { me, epoch, keys }
    }

    /// Whose keys it has.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The first version, in place: its tags for the upper half of the others are spoilt. Then the second, in `other`, with those for the lower half spoilt; its
    /// length, or `None` when `record` is left alone.
    pub fn fork(&self, record: &mut [u8], other: &mut [u8]) -> Option<usize> {
        let length = self.second(record, other)?;
        self.spoil(record, |receiver| receiver > 1);
        self.spoil(other, |receiver| receiver <= 1);
        Some(length)
    }

    fn second(&self, record: &[u8], other: &mut [u8]) -> Option<usize> {
        let m = Message::parse(record).ok().filter(|m| m.header.sender == self.me)?;
        let header = match m.header.kind {
            Kind::PrePrepare => {
                let length = later(m.body, other.get_mut(BODY..)?)?;
                let body = other.get(BODY..BODY + length)?;
                Header { length: length as u32, digest: Vector::digest(body), ..m.header }
            }
            Kind::Prepare | Kind::Commit => Header { digest: Vector::digest(&m.header.digest), ..m.header },
            _ => return None,
        };
        let bytes = header.encode();
        other.get_mut(..HEADER)?.copy_from_slice(&bytes);
        other.get_mut(HEADER..BODY)?.copy_from_slice(&self.keys.seal(&bytes));
        Some(BODY + header.length as usize)
    }

    fn spoil(&self, record: &mut [u8], whose: impl Fn(usize) -> bool) {
        let tags = record.get_mut(HEADER..BODY).unwrap_or(&mut []).chunks_exact_mut(TAG);
        for (_, tag) in tags.enumerate().filter(|(i, _)| whose(*i)) {
            tag.iter_mut().for_each(|b| *b ^= 0xff);
        }
    }
}

/// The same batch, every time in it a microsecond later. `None`: there is no time in it.
fn later(body: &[u8], space: &mut [u8]) -> Option<usize> {
    let mut writer = BatchWriter::new(space, usize::MAX);
    let mut changed = false;
    for item in Batch::parse(body)?.items() {
        let mut bytes = [0; 96];
        let mut payload = item.payload;
        if item.origin == PROPOSALS
            && let Ok(Proposal::Sync { s, time_us }) = postcard::from_bytes(item.payload)
        {
            changed = true;
            payload =
                postcard::to_slice(&Proposal::Sync { s, time_us: time_us.saturating_add(1) }, &mut bytes)
                    .ok()?;
        }
        if !writer.push(item.origin, item.number, (payload, &[])) {
            return None;
        }
    }
    changed.then_some(writer.length())
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::auth::{Members, Secret};

    #[test]
    fn each_receiver_believes_one_of_two_versions() {
        let secret = |i: usize| Secret::new(&[i as u8 + 1; 32]);
        let members: Members = core::array::from_fn(|i| secret(i).identity());
        let keys = core::array::from_fn::<_, 4, _>(|i| Vector::new(i as u8, secret(i), 0, &members));
        let mut body = [0; 256];
        let mut writer = BatchWriter::new(&mut body, 64);
        let mut proposal = [0; 96];
        let proposal = postcard::to_slice(&Proposal::Sync { s: 7, time_us: 1000 }, &mut proposal).unwrap();
        assert!(writer.push(PROPOSALS, 0, (proposal, &[])));
        let length = writer.length();
        let body = &body[..length];
        let header = Header {
            kind: Kind::PrePrepare,
            sender: 0,
            length: body.len() as u32,
            epoch: 0,
            view: 0,
            sequence: 9,
            digest: Vector::digest(body),
        };
        let bytes = header.encode();
        let mut first = [&bytes[..], &keys[0].seal(&bytes)[..], body].concat();
        let mut second = [0; 512];
        let length = Liar::new(0, 0, keys[0].clone()).fork(&mut first, &mut second).unwrap();
        let versions = [&first[..], &second[..length]].map(|r| Message::parse(r).unwrap());
        assert_ne!(versions[0].header.digest, versions[1].header.digest);
        for (receiver, believed) in [(1, 0), (2, 1), (3, 1)] {
            for (i, m) in versions.iter().enumerate() {
                assert_eq!(keys[receiver].check(0, m.bytes, m.trailer), i == believed);
                assert_eq!(Vector::digest(m.body), m.header.digest);
            }
        }
    }
}
