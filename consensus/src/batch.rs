//! What one sequence number orders: up to 64 items.
//!
//! ```text
//! item:  id u64 (origin << 56 | number) · length u16 · payload
//! ```
//! A batch without items is a null request. Items of one origin have numbers 1, 2, 3, ...; so one that is ordered twice shows.

use crate::wire::Writer;

/// Items in a batch at most; a batch closes there or when nothing waits.
pub const ITEMS_MAX: usize = 64;
/// Bytes of an item beside its payload.
pub const ITEM_HEADER: usize = 10;
/// Greatest number of an item.
pub const NUMBER_MAX: u64 = (1 << 56) - 1;

/// One item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item<'a> {
    /// Where it comes from.
    pub origin: u8,
    /// Its number there.
    pub number: u64,
    /// Its bytes.
    pub payload: &'a [u8],
}

/// A well-formed batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a>(&'a [u8]);

#[inline]
fn split(bytes: &[u8]) -> Option<(Item<'_>, &[u8])> {
    let (id, rest) = bytes.split_first_chunk::<8>()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (payload, rest) = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))?;
    let id = u64::from_le_bytes(*id);
    Some((Item { origin: (id >> 56) as u8, number: id & NUMBER_MAX, payload }, rest))
}

impl<'a> Batch<'a> {
    /// A null request.
    pub const NULL: Batch<'static> = Batch(&[]);

    /// `None`: these bytes are no batch.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (mut rest, mut items) = (bytes, 0);
        while !rest.is_empty() {
            rest = split(rest)?.1;
            items += 1;
        }
        (items <= ITEMS_MAX).then_some(Batch(bytes))
    }

    /// What a correct replica wrote or parsed before.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Batch(bytes)
    }

    /// Its items in order.
    #[inline]
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (item, tail) = split(rest)?;
            rest = tail;
            Some(item)
        })
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Collects items into a batch.
pub struct BatchWriter<'a> {
    writer: Writer<'a>,
    items: usize,
    items_max: usize,
}

impl<'a> BatchWriter<'a> {
    /// Into `space`, at most `items_max` items (and never more than [`ITEMS_MAX`]).
    pub fn new(space: &'a mut [u8], items_max: usize) -> Self {
        BatchWriter { writer: Writer::new(space), items: 0, items_max: items_max.min(ITEMS_MAX) }
    }

    /// Appends an item whose payload comes in two parts. `false`: the batch is closed, the item is not in it.
    pub fn push(&mut self, origin: u8, number: u64, payload: (&[u8], &[u8])) -> bool {
        let length = payload.0.len() + payload.1.len();
        let Ok(length) = u16::try_from(length) else { return false };
        let fits = self.items < self.items_max && self.writer.room() >= ITEM_HEADER + usize::from(length);
        if fits {
            let id = u64::from(origin) << 56 | number & NUMBER_MAX;
            let _fits = self.writer.u64(id);
            let _fits = self.writer.bytes(&length.to_le_bytes());
            let _fits = self.writer.bytes(payload.0);
            let _fits = self.writer.bytes(payload.1);
            self.items += 1;
        }
        fits
    }

    /// Bytes so far.
    pub fn length(&self) -> usize {
        self.writer.length()
    }

    /// Nothing yet.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_batch_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(batch) = Batch::parse(&bytes) {
                let length: usize = batch.items().map(|i| ITEM_HEADER + i.payload.len()).sum();
                prop_assert_eq!(length, bytes.len());
            }
        }
    }

    #[test]
    fn what_is_written_is_read_and_a_batch_closes() {
        let mut space = [0; 4096];
        let mut writer = BatchWriter::new(&mut space, 100);
        for n in 1..=64 {
            assert!(writer.push(7, n, (&[1, 2], &[n as u8])));
        }
        assert!(!writer.push(7, 65, (&[], &[])));
        let length = writer.length();
        let batch = Batch::parse(&space[..length]).unwrap();
        assert_eq!(batch.items().count(), 64);
        assert_eq!(batch.items().last().unwrap(), Item { origin: 7, number: 64, payload: &[1, 2, 64] });
        let mut small = [0; 20];
        let mut writer = BatchWriter::new(&mut small, 64);
        assert!(writer.push(1, 1, (&[0; 10], &[])) && !writer.push(1, 2, (&[], &[])));
    }
}
