//! Where a kernel that is begun anew may begin: what a replica says of a snapshot (channel `begin-NAME`).

use crate::bootinfo::KERNELS_MAX;
use crate::digest::Digest;

/// Bytes of one.
const SIZE: usize = 5 * 8 + 32 + KERNELS_MAX * 8;

/// One replica's word. The first five are agreed: a kernel believes them when [`crate::log::VOUCHERS`] replicas say the same. The positions are where each found
/// things in rings; a wrong one leads to no bytes with that root, or to no entry that others vouch for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The snapshot's sync point.
    pub s: u64,
    /// Number of that sync point's entry in the log.
    pub entry: u64,
    /// Records of the snapshot.
    pub records: u64,
    /// Bytes of the snapshot, as a module.
    pub bytes: u64,
    /// Its root.
    pub root: Digest,
    /// Where the entry stands in this replica's ring `agreed-NAME`.
    pub log: u64,
    /// Where the snapshot begins in the ring `snapshot-NAME` of each kernel, in the order of their domains; `u64::MAX`: not there.
    pub places: [u64; KERNELS_MAX],
}

impl Beginning {
    /// Bytes of an encoded one. All are of one length, so that a reader finds the last ones from the ring's head.
    pub const SIZE: usize = SIZE;

    /// As it stands in the ring: the fields in their order, numbers little-endian.
    pub fn encode(&self) -> [u8; SIZE] {
        let mut out = [0; SIZE];
        let (numbers, rest) = out.split_at_mut(32);
        let (root, positions) = rest.split_at_mut(32);
        root.copy_from_slice(&self.root);
        let first = [self.s, self.entry, self.records, self.bytes];
        let places = core::iter::once(self.log).chain(self.places);
        let to = numbers.chunks_exact_mut(8).chain(positions.chunks_exact_mut(8));
        to.zip(first.into_iter().chain(places)).for_each(|(to, n)| to.copy_from_slice(&n.to_le_bytes()));
        out
    }

    /// What a record says; `None`: it has another length.
    pub fn decode(record: &[u8]) -> Option<Self> {
        let record: &[u8; SIZE] = record.try_into().ok()?;
        let number = |at: usize| Some(u64::from_le_bytes(record.get(at..at + 8)?.try_into().ok()?));
        let mut places = [u64::MAX; KERNELS_MAX];
        for (i, place) in places.iter_mut().enumerate() {
            *place = number(72 + 8 * i)?;
        }
        Some(Beginning {
            s: number(0)?,
            entry: number(8)?,
            records: number(16)?,
            bytes: number(24)?,
            root: record.get(32..64)?.try_into().ok()?,
            log: number(64)?,
            places,
        })
    }

    /// The word of a replica that `incarnation` ([`crate::bootinfo::incarnation`]) is to begin not after sync point `s`: one without records, which no snapshot is.
    pub fn not_after(incarnation: u32, s: u64) -> Self {
        let (records, bytes, root, log) = (0, 0, [0; 32], 0);
        Beginning { s, entry: incarnation.into(), records, bytes, root, log, places: [u64::MAX; KERNELS_MAX] }
    }

    /// The sync point that [`Beginning::not_after`] names, if this is such a word about `incarnation`.
    pub fn bound_of(&self, incarnation: u32) -> Option<u64> {
        (self.records == 0 && self.entry == u64::from(incarnation)).then_some(self.s)
    }

    /// Whether two replicas say the same of what is agreed.
    pub fn agrees(&self, other: &Self) -> bool {
        let agreed = |b: &Self| (b.s, b.entry, b.records, b.bytes, b.root);
        agreed(self) == agreed(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let b = Beginning {
            s: 1,
            entry: 2,
            records: 3,
            bytes: 4,
            root: core::array::from_fn(|i| i as u8),
            log: 5,
            places: [6, 7, 8, u64::MAX, 9, 10, 11, 12],
        };
        assert_eq!(Beginning::decode(&b.encode()), Some(b));
        assert_eq!(Beginning::decode(&b.encode()[1..]), None);
        let bound = Beginning::decode(&Beginning::not_after(261, 40).encode()).unwrap();
        assert_eq!((bound.bound_of(261), bound.bound_of(5), b.bound_of(2)), (Some(40), None, None));
        assert!(b.agrees(&Beginning { log: 9, ..b }) && !b.agrees(&Beginning { s: 9, ..b }));
    }
}
