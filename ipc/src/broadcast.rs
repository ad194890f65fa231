//! The ring whose writer never waits.
//!
//! Why a copy that passes the check is whole (a seqlock whose sequence number is `reserve`; H.-J. Boehm, "Can seqlocks
//! get along with programming language memory models?", MSPC 2012):
//!
//! - The writer: store `reserve`; *release fence* F; store data words (relaxed); store `head` (release).
//! - The reader: load `head` (acquire); load data words (relaxed); *acquire fence* G; load `reserve` (relaxed).
//!
//! 1. *Not too old.* A record below the loaded `head` was complete before that `head` was stored: release and acquire on `head` make its
//!    words visible.
//! 2. *Not too new.* Suppose one of the reader's data loads returned a word that the writer stored later, in a record that
//!    overwrites position p. That store comes after F, and the load before G; so F synchronises with G, and the store of
//!    `reserve` before F happens before the reader's load of `reserve`. The reader therefore sees `reserve > p + capacity`
//!    (it only grows) and throws the copy away.
//!
//! A hostile writer can make any copy pass. It could have written those bytes honestly, too: a copy is a claim of the writer, no more.

use crate::region::{Checked, Region};
use crate::seeded::{self, Bug};
use crate::word::Word;
use crate::{ReadError, WriteError};
use core::sync::atomic::AtomicU64;

/// Writes a broadcast ring.
pub struct BroadcastWriter<'a, W = AtomicU64> {
    region: Region<'a, W>,
    head: u64,
    reserve: u64,
}

impl<'a, W: Word> BroadcastWriter<'a, W> {
    /// Takes the ring in `region` over: makes its header, or goes on after a predecessor's last record in a new epoch.
    /// `None` when the region is too small.
    pub fn new(region: &'a [W]) -> Option<Self> {
        let region = Region::new(region)?;
        let (head, reserve) = region.take_over();
        Some(BroadcastWriter { region, head, reserve })
    }

    /// Writes one record; then ring the channel. Never waits.
    #[inline]
    pub fn write(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        let size = self.region.size_of(payload)?;
        self.put(size, payload);
        Ok(())
    }

    /// `size` is what [`BroadcastWriter::size_of`] said of this `payload`. Positions stay below 2^63 (`take_over`).
    #[inline]
    pub(crate) fn put(&mut self, size: u64, payload: &[u8]) {
        let end = self.head.wrapping_add(size);
        self.reserve = self.reserve.max(end);
        self.region.put(self.head, self.reserve, size, payload);
        self.head = end;
    }

    #[inline]
    pub(crate) fn size_of(&self, payload: &[u8]) -> Result<u64, WriteError> {
        self.region.size_of(payload)
    }

    pub(crate) fn capacity(&self) -> u64 {
        self.region.capacity()
    }

    /// The position after the last record.
    pub fn position(&self) -> u64 {
        self.head
    }

    /// Whether a reader that begins at the first record finds it overwritten.
    pub fn has_wrapped(&self) -> bool {
        self.reserve > self.region.capacity()
    }
}

/// Reads a broadcast ring that somebody else writes.
pub struct BroadcastReader<'a, W = AtomicU64> {
    region: Region<'a, W>,
    position: u64,
    checked: Option<Checked>,
}

impl<'a, W: Word> BroadcastReader<'a, W> {
    /// Reads `region` from its first record on. `None` when the region is too small.
    pub fn new(region: &'a [W]) -> Option<Self> {
        Self::starting_at(region, 0)
    }

    /// Reads `region` from `position` on, which must be the position of a record, as [`BroadcastReader::position`] gave it.
    pub fn starting_at(region: &'a [W], position: u64) -> Option<Self> {
        Some(BroadcastReader { region: Region::new(region)?, position, checked: None })
    }

    /// Copies the next record into `out` and returns its length; `None` when there is nothing new. After an error `out` may hold
    /// anything.
    ///
    /// Bounded: at most one record's worth of loads. A writer can always have another record ready, so a caller that serves several
    /// rings bounds how many it takes from one before it turns to the next.
    #[inline(always)]
    pub fn read(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError> {
        if !self.checked.is_some_and(|c| self.region.is_still(c)) && !self.check()? {
            return Ok(None);
        }
        let (head, p) = (self.region.head()?, self.position);
        if p >= head {
            return if p == head { Ok(None) } else { Err(ReadError::Overrun) };
        }
        let mut copied = self.region.copy_out(p, head, out);
        if seeded::has(Bug::SearchWithoutBound) {
            let mut found = (1..1000).map(|i| self.region.copy_out(p.wrapping_add(8 * i), head, out));
            copied = copied.or_else(|| found.find(Option::is_some).flatten());
        }
        let Some((length, size)) = copied else { return Err(self.blame(p)) };
        if !self.region.is_whole(p, head) {
            return Err(self.blame(p));
        }
        self.position = p.wrapping_add(size);
        if length > out.len() { Err(ReadError::TooLong(length)) } else { Ok(Some(length)) }
    }

    /// Why there is no record at `p`: it was overwritten meanwhile, or it never was one.
    #[cold]
    fn blame(&self, p: u64) -> ReadError {
        if self.region.is_lapped(p) { ReadError::Overrun } else { ReadError::Fault }
    }

    /// Looks at the whole header, the first time and when its epoch changed. `false`: there is none yet.
    #[cold]
    fn check(&mut self) -> Result<bool, ReadError> {
        let Some(checked) = self.region.check()? else { return Ok(false) };
        match self.checked.replace(checked) {
            Some(old) if old != checked => {
                // A writer that found no ring, but what its predecessor made of it, has begun at 0.
                if self.region.head().is_ok_and(|head| self.position > head) {
                    self.position = 0;
                }
                Err(ReadError::NewEpoch)
            }
            _ => Ok(true),
        }
    }

    /// The position of the next record to read.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Goes on at the writer's newest position: after [`ReadError::Overrun`], or to hear only what is said from now on.
    pub fn skip_to_head(&mut self) {
        if let (Ok(Some(_)), Ok(head)) = (self.region.check(), self.region.head()) {
            self.position = head;
        }
    }
}
