//! What one sequence number orders: up to 64 items, in runs.
//!
//! ```text
//! run:  id u64 (origin << 56 | number of the first) · items u16 · length u16 · so many payloads of that length
//! ```
//! A batch without runs is a null request. Items of one origin have numbers 1, 2, 3, ...; so one that is ordered twice shows. What an origin said in
//! records of one length is one run, as it stands in [`crate::inputs::Inputs`]: it is compared in one piece, and a batch is little more than its payloads.

use crate::wire::Writer;

/// Items in a batch at most; a batch closes there or when nothing waits.
pub const ITEMS_MAX: usize = 64;
/// Bytes of a run beside its payloads.
pub const RUN_HEADER: usize = 12;
/// Where the number of its items stands in it.
const COUNT_AT: usize = 8;
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

/// Items of one origin, with consecutive numbers and payloads of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run<'a> {
    /// Where they come from.
    pub origin: u8,
    /// Number of the first.
    pub first: u64,
    /// How many.
    pub items: u16,
    /// Bytes of each.
    pub length: usize,
    /// Their payloads, one after the other.
    pub payloads: &'a [u8],
}

impl<'a> Run<'a> {
    #[inline]
    fn split(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (id, rest) = bytes.split_first_chunk::<8>()?;
        let (items, rest) = rest.split_first_chunk::<2>()?;
        let (length, rest) = rest.split_first_chunk::<2>()?;
        let (id, items) = (u64::from_le_bytes(*id), u16::from_le_bytes(*items));
        let length = usize::from(u16::from_le_bytes(*length));
        let (payloads, rest) = rest.split_at_checked(usize::from(items) * length)?;
        let (origin, first) = ((id >> 56) as u8, id & NUMBER_MAX);
        let fits = items > 0 && first <= NUMBER_MAX - u64::from(items);
        fits.then_some((Run { origin, first, items, length, payloads }, rest))
    }

    /// Its items in order.
    #[inline]
    pub fn items(self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        let (mut rest, mut number) = (self.payloads, self.first);
        (0..self.items).map_while(move |_| {
            let (payload, tail) = rest.split_at_checked(self.length)?;
            let item = Item { origin: self.origin, number, payload };
            (rest, number) = (tail, number.wrapping_add(1));
            Some(item)
        })
    }
}

/// A well-formed batch.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a>(&'a [u8]);

impl<'a> Batch<'a> {
    /// A null request.
    pub const NULL: Batch<'static> = Batch(&[]);

    /// `None`: these bytes are no batch.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (mut rest, mut items) = (bytes, 0);
        while !rest.is_empty() {
            let (run, tail) = Run::split(rest)?;
            rest = tail;
            items += usize::from(run.items);
            if items > ITEMS_MAX {
                return None;
            }
        }
        Some(Batch(bytes))
    }

    /// What a correct replica wrote or parsed before.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        Batch(bytes)
    }

    /// Its runs in order.
    #[inline]
    pub fn runs(&self) -> impl Iterator<Item = Run<'a>> + use<'a> {
        let mut rest = self.0;
        core::iter::from_fn(move || {
            let (run, tail) = Run::split(rest)?;
            rest = tail;
            Some(run)
        })
    }

    /// Its items in order.
    #[inline]
    pub fn items(&self) -> impl Iterator<Item = Item<'a>> + use<'a> {
        self.runs().flat_map(Run::items)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// The run that is being written; without items: none.
#[derive(Default)]
struct Open {
    at: usize,
    origin: u8,
    next: u64,
    items: u16,
    length: u16,
}

/// Collects items into a batch.
pub struct BatchWriter<'a> {
    writer: Writer<'a>,
    open: Open,
    items: usize,
    items_max: usize,
}

impl<'a> BatchWriter<'a> {
    /// Into `space`, at most `items_max` items (and never more than [`ITEMS_MAX`]).
    pub fn new(space: &'a mut [u8], items_max: usize) -> Self {
        let items_max = items_max.min(ITEMS_MAX);
        BatchWriter { writer: Writer::new(space), open: Open::default(), items: 0, items_max }
    }

    /// Appends an item whose payload comes in two parts. `false`: the batch is closed, the item is not in it.
    #[inline]
    pub fn push(&mut self, origin: u8, number: u64, payload: (&[u8], &[u8])) -> bool {
        let size = payload.0.len() + payload.1.len();
        let Ok(length) = u16::try_from(size) else { return false };
        let o = &self.open;
        let goes_on = o.next == number && o.length == length && o.origin == origin && o.items > 0;
        let need = size + if goes_on { 0 } else { RUN_HEADER };
        if self.items >= self.items_max || self.writer.room() < need || number >= NUMBER_MAX {
            return false;
        }
        if !goes_on {
            self.begin(origin, number, length);
        }
        (self.open.items, self.open.next) = (self.open.items.saturating_add(1), number + 1);
        self.writer.patch(self.open.at + COUNT_AT, self.open.items.to_le_bytes());
        let _fits = self.writer.bytes(payload.0);
        if !payload.1.is_empty() {
            let _fits = self.writer.bytes(payload.1);
        }
        self.items += 1;
        true
    }

    #[cold]
    fn begin(&mut self, origin: u8, number: u64, length: u16) {
        self.open = Open { at: self.writer.length(), origin, next: number, items: 0, length };
        let _fits = self.writer.u64(u64::from(origin) << 56 | number);
        let _fits = self.writer.bytes(&[0; 2]);
        let _fits = self.writer.bytes(&length.to_le_bytes());
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
        fn what_is_pushed_comes_out(what in prop::collection::vec((0..3u8, 0..4u64, 0..3usize), 0..80)) {
            let mut space = [0; 900];
            let mut writer = BatchWriter::new(&mut space, 64);
            let taken: Vec<_> = what
                .into_iter()
                .take_while(|(origin, number, length)| writer.push(*origin, *number, (&[7; 3][..*length], &[])))
                .collect();
            let length = writer.length();
            let batch = Batch::parse(&space[..length]).unwrap();
            let items: Vec<_> = batch.items().map(|i| (i.origin, i.number, i.payload.len())).collect();
            prop_assert_eq!(items, taken);
        }

        #[test]
        fn any_bytes_are_a_batch_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Some(batch) = Batch::parse(&bytes) {
                let length: usize = batch.runs().map(|r| RUN_HEADER + r.payloads.len()).sum();
                prop_assert_eq!(length, bytes.len());
                prop_assert_eq!(batch.items().count(), batch.runs().map(|r| usize::from(r.items)).sum::<usize>());
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
        assert_eq!((batch.items().count(), length), (64, RUN_HEADER + 64 * 3));
        assert_eq!(batch.items().last().unwrap(), Item { origin: 7, number: 64, payload: &[1, 2, 64] });
        let mut small = [0; 22];
        let mut writer = BatchWriter::new(&mut small, 64);
        assert!(writer.push(1, 1, (&[0; 10], &[])) && !writer.push(1, 2, (&[], &[])));
    }
}
