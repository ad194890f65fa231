//! The ring with one reader, which the writer waits for.
//!
//! Back pressure: the reader publishes its position in a word that only it can write. The writer overwrites a record only after it saw a
//! position beyond it. The position is stored with release *after* the copy's loads and loaded with acquire *before* the data
//! stores, so no such store can show up in the reader's copy.
//!
//! Both sides distrust: a writer that overruns costs its reader wrong bytes in its own copy (checked as in a broadcast);
//! a reader that publishes nonsense gets [`WriteError::PeerFault`] and the writer keeps its own state.

use crate::seeded::{self, Bug};
use crate::word::Word;
use crate::{BroadcastReader, BroadcastWriter, ReadError, WriteError};
use core::sync::atomic::{AtomicU64, Ordering};

/// Writes a stream.
pub struct StreamWriter<'a, W = AtomicU64> {
    ring: BroadcastWriter<'a, W>,
    peer: &'a W,
}

impl<'a, W: Word> StreamWriter<'a, W> {
    /// Takes the ring in `region` over; `peer` is the word in which the reader publishes its position.
    pub fn new(region: &'a [W], peer: &'a W) -> Option<Self> {
        Some(StreamWriter { ring: BroadcastWriter::new(region)?, peer })
    }

    /// Writes one record, or nothing at all; then ring the channel.
    #[inline]
    pub fn write(&mut self, payload: &[u8]) -> Result<(), WriteError> {
        let size = self.ring.size_of(payload)?;
        let unread = self.unread()?;
        if unread.saturating_add(size) > self.ring.capacity() {
            return Err(WriteError::Full);
        }
        self.ring.put(size, payload);
        Ok(())
    }

    /// Bytes that the reader has not taken yet, record headers included. Zero: everything is consumed.
    #[inline]
    pub fn unread(&self) -> Result<u64, WriteError> {
        let peer = self.peer.load(Ordering::Acquire);
        match self.ring.position().checked_sub(peer) {
            Some(unread) if unread <= self.ring.capacity() => Ok(unread),
            _ if seeded::has(Bug::PositionNotChecked) => Ok(0),
            _ => Err(WriteError::PeerFault),
        }
    }
}

/// Reads a stream; there is only one.
pub struct StreamReader<'a, W = AtomicU64> {
    ring: BroadcastReader<'a, W>,
    published: &'a W,
}

impl<'a, W: Word> StreamReader<'a, W> {
    /// Reads `region`, going on at the position that `published` (this domain's own word) holds.
    pub fn new(region: &'a [W], published: &'a W) -> Option<Self> {
        let ring = BroadcastReader::starting_at(region, published.load(Ordering::Relaxed))?;
        Some(StreamReader { ring, published })
    }

    /// Copies the next record into `out`, returns its length and gives its room back to the writer; then ring the channel, so
    /// that a waiting writer goes on.
    #[inline]
    pub fn read(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError> {
        let length = self.ring.read(out);
        self.publish();
        length
    }

    /// Copies the next record into `out` and leaves it in the ring: it counts as unread until [`StreamReader::take`]. For a reader whose
    /// writer must know when the record has really been dealt with.
    pub fn peek(&mut self, out: &mut [u8]) -> Result<Option<usize>, ReadError> {
        self.ring.read(out)
    }

    /// Gives the room of everything peeked so far back to the writer.
    pub fn take(&mut self) {
        self.publish();
    }

    /// Goes on at the writer's newest position.
    pub fn skip_to_head(&mut self) {
        self.ring.skip_to_head();
        self.publish();
    }

    fn publish(&self) {
        self.published.store(self.ring.position(), Ordering::Release);
    }
}
