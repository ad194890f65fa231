//! The words of one ring, common to all kinds: header, record copy in, record copy out.

use crate::{ReadError, WriteError};
use abi::ring;
use core::sync::atomic::{AtomicU64, Ordering, fence};

const WORD: usize = 8;
const DATA: usize = ring::OFFSET_DATA / WORD;
/// A writer that resumes believes no head beyond this, so that positions never come near the end of u64.
const POSITION_MAX: u64 = 1 << 62;

/// A region with the capacity that its *size* gives; the header's capacity is only ever compared with it.
#[derive(Clone, Copy)]
pub(crate) struct Region<'a> {
    words: &'a [AtomicU64],
    capacity: u64,
}

/// What a reader found in the header, each word read once.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub epoch: u32,
    pub head: u64,
    pub reserve: u64,
}

impl<'a> Region<'a> {
    /// `None`: the region is too small for a ring.
    pub fn new(words: &'a [AtomicU64]) -> Option<Self> {
        let capacity = ring::capacity(words.len().checked_mul(WORD)?)? as u64;
        Some(Region { words, capacity })
    }

    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    fn load(&self, offset: usize, order: Ordering) -> u64 {
        self.words.get(offset / WORD).map_or(0, |w| w.load(order))
    }

    fn store(&self, offset: usize, value: u64, order: Ordering) {
        if let Some(w) = self.words.get(offset / WORD) {
            w.store(value, order);
        }
    }

    /// The word of the data area at position `p`. The mask keeps the index inside for every `p`.
    fn data(&self, p: u64) -> Option<&AtomicU64> {
        self.words.get(DATA + ((p & (self.capacity - 1)) as usize) / WORD)
    }

    fn word(&self, p: u64) -> u64 {
        self.data(p).map_or(0, |w| w.load(Ordering::Relaxed))
    }

    /// The header, `None` while no writer has made one.
    ///
    /// `head` comes before `reserve`: a correct writer raises `reserve` first, so what is read here has
    /// `reserve >= head`, however old `head` is by then.
    pub fn header(&self) -> Result<Option<Header>, ReadError> {
        match self.load(ring::OFFSET_MAGIC, Ordering::Acquire) {
            0 => return Ok(None),
            ring::MAGIC => {}
            _ => return Err(ReadError::Fault),
        }
        let version_epoch = self.load(ring::OFFSET_VERSION_EPOCH, Ordering::Relaxed);
        let capacity = self.load(ring::OFFSET_CAPACITY, Ordering::Relaxed);
        let head = self.load(ring::OFFSET_HEAD, Ordering::Acquire);
        let reserve = self.load(ring::OFFSET_RESERVE, Ordering::Relaxed);
        let sane = version_epoch as u32 == ring::VERSION
            && capacity == self.capacity
            && head.is_multiple_of(WORD as u64)
            && head <= reserve
            && head <= POSITION_MAX * 2;
        if !sane {
            return Err(ReadError::Fault);
        }
        Ok(Some(Header { epoch: (version_epoch >> 32) as u32, head, reserve }))
    }

    /// Where a new writer begins: after the last complete record of its predecessor, in the next epoch; at zero, in the epoch
    /// that it finds, when nobody has written yet (EL2 makes the first header before any domain runs, and readers may have seen
    /// it); at zero, in the next epoch, when the header makes no sense. Returns (head, reserve).
    pub fn take_over(&self) -> (u64, u64) {
        let old = self.header().ok().flatten();
        let epoch = (self.load(ring::OFFSET_VERSION_EPOCH, Ordering::Relaxed) >> 32) as u32;
        let blank = self.load(ring::OFFSET_MAGIC, Ordering::Relaxed) == 0;
        let unwritten = old.is_some_and(|h| h.reserve == 0);
        let epoch = if blank || unwritten { epoch } else { epoch.wrapping_add(1) };
        let furthest = ring::record_size(ring::RECORD_MAX) as u64;
        let (head, reserve) = match old {
            // A predecessor that died while it wrote a record leaves a reserve beyond its head; going below it again would
            // tell a reader that half-overwritten records are whole.
            Some(h) if h.head <= POSITION_MAX && h.reserve - h.head <= furthest => (h.head, h.reserve),
            _ => (0, 0),
        };
        self.store(ring::OFFSET_CAPACITY, self.capacity, Ordering::Relaxed);
        self.store(ring::OFFSET_RESERVE, reserve, Ordering::Relaxed);
        self.store(ring::OFFSET_HEAD, head, Ordering::Relaxed);
        let version_epoch = u64::from(ring::VERSION) | u64::from(epoch) << 32;
        self.store(ring::OFFSET_VERSION_EPOCH, version_epoch, Ordering::Relaxed);
        self.store(ring::OFFSET_MAGIC, ring::MAGIC, Ordering::Release);
        (head, reserve)
    }

    /// Size in the ring of a record with `payload`, or why it cannot be.
    pub fn size_of(&self, payload: &[u8]) -> Result<u64, WriteError> {
        if payload.is_empty() || payload.len() > ring::RECORD_MAX {
            return Err(WriteError::BadLength);
        }
        let size = ring::record_size(payload.len()) as u64;
        if size > self.capacity { Err(WriteError::BadLength) } else { Ok(size) }
    }

    /// Writes one record of `size` bytes at `head` and makes it visible.
    ///
    /// Order (the writer's half of the argument in `broadcast.rs`): `reserve`, release fence, data, `head` with release.
    pub fn put(&self, head: u64, reserve: u64, size: u64, payload: &[u8]) {
        self.store(ring::OFFSET_RESERVE, reserve, Ordering::Relaxed);
        fence(Ordering::Release);
        let first = payload.len() as u64 | u64::from(head as u32) << 32;
        self.put_word(head, first);
        let mut p = head + ring::RECORD_HEADER as u64;
        for chunk in payload.chunks(WORD) {
            let mut word = [0; WORD];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.put_word(p, u64::from_le_bytes(word));
            p += WORD as u64;
        }
        self.store(ring::OFFSET_HEAD, head + size, Ordering::Release);
    }

    fn put_word(&self, p: u64, value: u64) {
        if let Some(w) = self.data(p) {
            w.store(value, Ordering::Relaxed);
        }
    }

    /// Copies the record at `p` into `out`: its length and its size in the ring. `p < head` and both are multiples of 8.
    /// Whether what was copied is whole is for [`Region::still_inside`] to say, afterwards; so is the blame for an error.
    pub fn copy_out(&self, p: u64, head: u64, out: &mut [u8]) -> Result<(usize, u64), ReadError> {
        let first = self.word(p);
        let length = first as u32 as usize;
        if (first >> 32) as u32 != p as u32 || length == 0 || length > ring::RECORD_MAX {
            return Err(ReadError::Fault);
        }
        let size = ring::record_size(length) as u64;
        if size > head - p {
            return Err(ReadError::Fault);
        }
        let Some(out) = out.get_mut(..length) else { return Ok((length, size)) };
        for (i, chunk) in out.chunks_mut(WORD).enumerate() {
            let word = self.word(p + (ring::RECORD_HEADER + i * WORD) as u64).to_le_bytes();
            for (to, from) in chunk.iter_mut().zip(word) {
                *to = from;
            }
        }
        Ok((length, size))
    }

    /// Whether nothing from position `p` on had been overwritten when the loads before this call were made.
    pub fn still_inside(&self, p: u64) -> bool {
        fence(Ordering::Acquire);
        self.load(ring::OFFSET_RESERVE, Ordering::Relaxed).saturating_sub(self.capacity) <= p
    }
}
