//! The words of one ring, common to all kinds: header, record copy in, record copy out.

use crate::seeded::{self, Bug};
use crate::word::Word;
use crate::{ReadError, WriteError};
use abi::ring;
use core::num::NonZeroU64;
use core::sync::atomic::Ordering;
use zerocopy::FromBytes;

const WORD: usize = 8;
const DATA: usize = ring::OFFSET_DATA / WORD;
const MAGIC: usize = ring::OFFSET_MAGIC / WORD;
const VERSION_EPOCH: usize = ring::OFFSET_VERSION_EPOCH / WORD;
const CAPACITY: usize = ring::OFFSET_CAPACITY / WORD;
const RESERVE: usize = ring::OFFSET_RESERVE / WORD;
const HEAD: usize = ring::OFFSET_HEAD / WORD;
/// A writer that resumes believes no head beyond this, so that positions never come near the end of u64.
const POSITION_MAX: u64 = 1 << 62;
/// Words copied in one step of the loops.
const STRIDE: usize = 4;

/// A region with the capacity that its *size* gives; the header's capacity is only ever compared with it.
pub(crate) struct Region<'a, W> {
    header: &'a [W; DATA],
    /// A power of two of words.
    data: &'a [W],
}

/// What a reader found in the header, each word read once.
#[derive(Clone, Copy)]
struct Header {
    head: u64,
    reserve: u64,
}

/// The version and epoch word of a header that was checked whole.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Checked(NonZeroU64);

impl<'a, W: Word> Region<'a, W> {
    /// `None`: the region is too small for a ring.
    pub fn new(words: &'a [W]) -> Option<Self> {
        let capacity = ring::capacity(words.len().checked_mul(WORD)?)?;
        let (header, data) = words.split_first_chunk()?;
        Some(Region { header, data: data.get(..capacity / WORD)? })
    }

    #[inline]
    pub fn capacity(&self) -> u64 {
        self.data.len().wrapping_mul(WORD) as u64
    }

    /// Index of the word of the data area at position `p`: inside for every `p`.
    #[inline]
    fn index(&self, p: u64) -> usize {
        (p as usize / WORD) & self.data.len().wrapping_sub(1)
    }

    /// The words of a record of `size` bytes at `p`, if it does not wrap.
    #[inline]
    fn straight(&self, p: u64, size: usize) -> Option<&'a [W]> {
        let start = self.index(p);
        self.data.get(start..start.wrapping_add(size / WORD))
    }

    /// The word at position `p`, for records that wrap.
    fn data(&self, p: u64) -> Option<&W> {
        let index = self.index(p);
        if seeded::has(Bug::WrapOffByOne) && index == 0 && p > 0 {
            return self.data.get(1);
        }
        self.data.get(index)
    }

    /// The version and epoch word, after a look at all of the header that stays as it is; `None` while no writer has made one.
    pub fn check(&self) -> Result<Option<Checked>, ReadError> {
        match self.header[MAGIC].load(Ordering::Acquire) {
            0 => return Ok(None),
            ring::MAGIC => {}
            _ => return Err(ReadError::Fault),
        }
        let version_epoch = self.header[VERSION_EPOCH].load(Ordering::Relaxed);
        let capacity = self.header[CAPACITY].load(Ordering::Relaxed);
        if version_epoch as u32 != ring::VERSION || capacity != self.capacity() {
            return Err(ReadError::Fault);
        }
        Ok(NonZeroU64::new(version_epoch).map(Checked))
    }

    /// Whether the header is still the one that was checked. Its other constant words decide nothing: the reader's own
    /// capacity does.
    #[inline]
    pub fn is_still(&self, checked: Checked) -> bool {
        self.header[VERSION_EPOCH].load(Ordering::Relaxed) == checked.0.get()
    }

    /// The position of the newest complete record's end.
    #[inline]
    pub fn head(&self) -> Result<u64, ReadError> {
        let head = self.header[HEAD].load(Ordering::Acquire);
        // Below 2^63, and a multiple of a word.
        let sane = head & (1 << 63 | 7) == 0;
        let head =
            if seeded::has(Bug::HeadReadTwice) { self.header[HEAD].load(Ordering::Acquire) } else { head };
        if sane { Ok(head) } else { Err(ReadError::Fault) }
    }

    /// Where a new writer begins: after the last complete record of its predecessor, in the next epoch; at zero, in the epoch
    /// that it finds, when nobody has written yet (EL2 makes the first header before any domain runs, and readers may have seen
    /// it); at zero, in the next epoch, when the header makes no sense. Returns (head, reserve).
    pub fn take_over(&self) -> (u64, u64) {
        let head = self.check().ok().flatten().and_then(|_| self.head().ok());
        // `head` comes before `reserve`: a correct writer raises `reserve` first.
        let reserve = self.header[RESERVE].load(Ordering::Relaxed);
        let old = head.filter(|h| *h <= reserve).map(|head| Header { head, reserve });
        let epoch = (self.header[VERSION_EPOCH].load(Ordering::Relaxed) >> 32) as u32;
        let blank = self.header[MAGIC].load(Ordering::Relaxed) == 0;
        let unwritten = old.is_some_and(|h| h.reserve == 0);
        let epoch = if blank || unwritten { epoch } else { epoch.wrapping_add(1) };
        // One further, and no reader could take the successor's records: they would all look overwritten.
        let furthest = (ring::record_size(ring::RECORD_MAX) as u64).min(self.capacity());
        let (head, reserve) = match old {
            // A predecessor that died while it wrote a record leaves a reserve beyond its head; going below it again would
            // tell a reader that half-overwritten records are whole.
            Some(h) if h.head <= POSITION_MAX && h.reserve - h.head <= furthest => (h.head, h.reserve),
            _ => (0, 0),
        };
        self.header[CAPACITY].store(self.capacity(), Ordering::Relaxed);
        self.header[RESERVE].store(reserve, Ordering::Relaxed);
        self.header[HEAD].store(head, Ordering::Relaxed);
        let version_epoch = u64::from(ring::VERSION) | u64::from(epoch) << 32;
        self.header[VERSION_EPOCH].store(version_epoch, Ordering::Relaxed);
        self.header[MAGIC].store(ring::MAGIC, Ordering::Release);
        (head, reserve)
    }

    /// Size in the ring of a record with `payload`, or why it cannot be.
    #[inline]
    pub fn size_of(&self, payload: &[u8]) -> Result<u64, WriteError> {
        if payload.is_empty() || payload.len() > ring::RECORD_MAX {
            return Err(WriteError::BadLength);
        }
        let size = ring::record_size(payload.len()) as u64;
        if size > self.capacity() { Err(WriteError::BadLength) } else { Ok(size) }
    }

    /// Writes one record of `size` bytes at `head` and makes it visible.
    ///
    /// Order (the writer's half of the argument in `broadcast.rs`): `reserve`, release fence, data, `head` with release.
    #[inline]
    pub fn put(&self, head: u64, reserve: u64, size: u64, payload: &[u8]) {
        let end = head.wrapping_add(size);
        if !seeded::has(Bug::NoReserve) {
            self.header[RESERVE].store(reserve, Ordering::Relaxed);
        }
        W::fence(Ordering::Release);
        if seeded::has(Bug::HeadBeforeData) {
            self.header[HEAD].store(end, Ordering::Release);
        }
        let first = first_word(payload.len(), head);
        match self.straight(head, size as usize).and_then(|record| record.split_first()) {
            Some((to, rest)) => {
                to.store(first, Ordering::Relaxed);
                write_words(rest, payload);
            }
            None => self.put_wrapped(head, first, payload),
        }
        let order = if seeded::has(Bug::HeadRelaxed) { Ordering::Relaxed } else { Ordering::Release };
        self.header[HEAD].store(end, order);
    }

    /// The same across the end of the data area, word by word.
    #[cold]
    fn put_wrapped(&self, head: u64, first: u64, payload: &[u8]) {
        self.put_word(head, first);
        let mut p = head;
        for chunk in payload.chunks(WORD) {
            p = p.wrapping_add(WORD as u64);
            self.put_word(p, padded(chunk));
        }
    }

    fn put_word(&self, p: u64, value: u64) {
        if let Some(w) = self.data(p) {
            w.store(value, Ordering::Relaxed);
        }
    }

    /// Copies the record at `p` into `out`: its length and its size in the ring. `p < head` and both are multiples of 8.
    /// Whether what was copied is whole is for [`Region::is_whole`] to say, afterwards; so is the blame for `None`.
    ///
    /// A record that fills `out` exactly is the usual case of records with a fixed layout. Its first word is known beforehand, so
    /// one comparison checks length and position, and where the compiler knows the length of `out`, all else but the end is known too.
    #[inline(always)]
    pub fn copy_out(&self, p: u64, head: u64, out: &mut [u8]) -> Option<(usize, u64)> {
        let start = self.index(p);
        let first = self.data.get(start)?.load(Ordering::Relaxed);
        let length = out.len();
        if length.wrapping_sub(1) < ring::RECORD_MAX && first == first_word(length, p) {
            let size = ring::record_size(length) as u64;
            let inside = size <= head.wrapping_sub(p) || seeded::has(Bug::EndNotChecked);
            if inside && let Some(record) = self.payload(start, length) {
                read_words(record, out);
                return Some((length, size));
            }
        }
        self.copy_any(p, first, head, out)
    }

    /// The same for a record of any length, whose first word was read.
    #[inline(never)]
    fn copy_any(&self, p: u64, first: u64, head: u64, out: &mut [u8]) -> Option<(usize, u64)> {
        let length = first as u32 as usize;
        let clamped = length.wrapping_sub(1) < ring::RECORD_MAX || seeded::has(Bug::LengthNotClamped);
        if (first >> 32) as u32 != p as u32 || !clamped {
            return None;
        }
        let size = ring::record_size(length) as u64;
        if size > head.wrapping_sub(p) && !seeded::has(Bug::EndNotChecked) {
            return None;
        }
        let Some(out) = out.get_mut(..length) else { return Some((length, size)) };
        match self.payload(self.index(p), length) {
            Some(record) => read_words(record, out),
            None => self.copy_wrapped(p, out),
        }
        Some((length, size))
    }

    /// The words of `length` bytes behind the record header at `start`, if they do not wrap.
    #[inline(always)]
    fn payload(&self, start: usize, length: usize) -> Option<&'a [W]> {
        let from = start.wrapping_add(1);
        self.data.get(from..from.wrapping_add(length.div_ceil(WORD)))
    }

    /// The payload of a record at `p` across the end of the data area, word by word.
    #[cold]
    fn copy_wrapped(&self, p: u64, out: &mut [u8]) {
        let mut at = p;
        for chunk in out.chunks_mut(WORD) {
            at = at.wrapping_add(WORD as u64);
            let word = self.data(at).map_or(0, |w| w.load(Ordering::Relaxed));
            cut(chunk, word);
        }
    }

    /// Whether what was copied from position `p` on, below `head`, had not been overwritten when the loads before this call were made.
    /// A correct writer raises `reserve` before `head`, so what is read here is never less.
    #[inline]
    pub fn is_whole(&self, p: u64, head: u64) -> bool {
        if seeded::has(Bug::NoCheckAfterCopy) {
            return true;
        }
        if !seeded::has(Bug::NoFenceAfterCopy) {
            W::fence(Ordering::Acquire);
        }
        let reserve = self.header[RESERVE].load(Ordering::Relaxed);
        reserve >= head && reserve.wrapping_sub(p) <= self.capacity()
    }

    /// Whether `reserve` says that the writer went beyond `p`: the name of an error, no more.
    pub fn is_lapped(&self, p: u64) -> bool {
        W::fence(Ordering::Acquire);
        self.header[RESERVE].load(Ordering::Relaxed).saturating_sub(self.capacity()) > p
    }
}

/// The first word of a record of `length` bytes at `p`.
#[inline(always)]
fn first_word(length: usize, p: u64) -> u64 {
    length as u64 | p << 32
}

#[inline(always)]
fn padded(chunk: &[u8]) -> u64 {
    let mut word = [0; WORD];
    for (to, from) in word.iter_mut().zip(chunk) {
        *to = *from;
    }
    u64::from_le_bytes(word)
}

#[inline(always)]
fn cut(chunk: &mut [u8], word: u64) {
    for (to, from) in chunk.iter_mut().zip(word.to_le_bytes()) {
        *to = from;
    }
}

/// Stores `payload` into `words`, the last of them padded with zeros. AArch64 without unaligned accesses assembles a word from eight
/// bytes where it does not know better, hence the case of an aligned buffer.
#[inline]
fn write_words<W: Word>(words: &[W], payload: &[u8]) {
    let whole = payload.len() / WORD;
    match <[u64]>::ref_from_prefix_with_elems(payload, whole) {
        Ok((aligned, tail)) => {
            let (strides, rest) = aligned.as_chunks::<STRIDE>();
            let (head, last) = words.split_at(words.len().min(strides.len() * STRIDE));
            for (to, from) in head.as_chunks::<STRIDE>().0.iter().zip(strides) {
                for (to, from) in to.iter().zip(from) {
                    to.store(u64::from_le(*from), Ordering::Relaxed);
                }
            }
            for (to, from) in last.iter().zip(rest) {
                to.store(u64::from_le(*from), Ordering::Relaxed);
            }
            if let Some(to) = words.get(whole).filter(|_| !tail.is_empty()) {
                to.store(padded(tail), Ordering::Relaxed);
            }
        }
        Err(_) => {
            let (chunks, tail) = payload.as_chunks::<WORD>();
            for (to, from) in words.iter().zip(chunks) {
                to.store(u64::from_le_bytes(*from), Ordering::Relaxed);
            }
            if let Some(to) = words.get(whole).filter(|_| !tail.is_empty()) {
                to.store(padded(tail), Ordering::Relaxed);
            }
        }
    }
}

/// Loads `out` from `words`, each once.
#[inline(always)]
fn read_words<W: Word>(words: &[W], out: &mut [u8]) {
    let whole = out.len() / WORD;
    let (Some((words, last)), Ok((aligned, tail))) =
        (words.split_at_checked(whole), <[u64]>::mut_from_prefix_with_elems(out, whole))
    else {
        return read_unaligned(words, out);
    };
    let (strides, rest) = aligned.as_chunks_mut::<STRIDE>();
    let (from_strides, from_rest) = words.as_chunks::<STRIDE>();
    for (from, to) in from_strides.iter().zip(strides) {
        for (from, to) in from.iter().zip(to) {
            *to = u64::from_le(from.load(Ordering::Relaxed));
        }
    }
    for (from, to) in from_rest.iter().zip(rest) {
        *to = u64::from_le(from.load(Ordering::Relaxed));
    }
    if let ([from, ..], [_, ..]) = (last, &*tail) {
        cut(tail, from.load(Ordering::Relaxed));
    }
}

#[inline(never)]
fn read_unaligned<W: Word>(words: &[W], out: &mut [u8]) {
    for (from, to) in words.iter().zip(out.chunks_mut(WORD)) {
        match to.as_chunks_mut::<WORD>().0 {
            [to] => *to = from.load(Ordering::Relaxed).to_le_bytes(),
            _ => cut(to, from.load(Ordering::Relaxed)),
        }
    }
}
