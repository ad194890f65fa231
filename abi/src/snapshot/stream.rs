//! A snapshot as a sequence of records: its digest, and its form in a module.

use super::RECORD_MAX;
use crate::digest::{Digest, Encoder};

/// Bytes of the length before a record in a module.
pub const LENGTH_SIZE: usize = 4;

/// The digest of a snapshot as it grows.
pub struct Root {
    encoder: Encoder,
    records: u64,
    bytes: u64,
}

impl Default for Root {
    fn default() -> Self {
        Root { encoder: Encoder::new("snapshot"), records: 0, bytes: 0 }
    }
}

impl Root {
    /// Takes the next record, encoded.
    pub fn push(&mut self, record: &[u8]) {
        self.encoder.bytes(record);
        self.records = self.records.saturating_add(1);
        self.bytes = self.bytes.saturating_add(LENGTH_SIZE as u64 + record.len() as u64);
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Bytes of the records so far, as they stand in a module.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all records so far; of a whole snapshot, [`Record::End`] included.
    pub fn digest(&self) -> Digest {
        self.encoder.finish()
    }
}

/// The records of a snapshot that stands in a module, each still encoded. Ends early, with an error, where the bytes are no snapshot.
pub fn records(mut module: &[u8]) -> impl Iterator<Item = Result<&[u8], Damaged>> {
    let whole = module.len();
    core::iter::from_fn(move || {
        let (length, rest) = match module.split_first_chunk::<LENGTH_SIZE>() {
            Some((length, rest)) => (u32::from_le_bytes(*length) as usize, rest),
            None if module.is_empty() => return None,
            None => (usize::MAX, module),
        };
        let at = whole - module.len();
        module = &[];
        if length > RECORD_MAX {
            return Some(Err(Damaged(at)));
        }
        match rest.split_at_checked(length) {
            Some((record, tail)) => {
                module = tail;
                Some(Ok(record))
            }
            None => Some(Err(Damaged(at))),
        }
    })
}

/// No record stands at this byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Damaged(pub usize);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::{DATA_MAX, Page, Record};

    #[test]
    fn records_come_back_and_damage_is_told_once() {
        let mut bytes = Vec::new();
        let all =
            [Record::Round(&[1; 8]), Record::FilePage(Page { at: 3, bytes: &[7; DATA_MAX] }), Record::End(2)];
        for record in &all {
            let mut buffer = [0; RECORD_MAX];
            let encoded = postcard::to_slice(record, &mut buffer).unwrap();
            bytes.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
            bytes.extend_from_slice(encoded);
        }
        let back: Vec<_> =
            records(&bytes).map(|r| postcard::from_bytes::<Record>(r.unwrap()).unwrap()).collect();
        assert_eq!(back, all);
        let cut = &bytes[..bytes.len() - 1];
        let ends: Vec<_> = records(cut).collect();
        assert_eq!((ends.len(), ends[2]), (3, Err(Damaged(bytes.len() - 6))));
        assert_eq!(records(&[255; 9]).collect::<Vec<_>>(), [Err(Damaged(0))]);
        assert_eq!(records(&[1, 0]).collect::<Vec<_>>(), [Err(Damaged(0))]);
    }

    #[test]
    fn the_root_depends_on_where_records_end() {
        let root = |parts: &[&[u8]]| {
            let mut root = Root::default();
            parts.iter().for_each(|p| root.push(p));
            (root.records(), root.digest())
        };
        assert_ne!(root(&[b"ab", b"c"]).1, root(&[b"a", b"bc"]).1);
        assert_eq!(root(&[b"ab", b"c"]).0, 2);
    }
}
