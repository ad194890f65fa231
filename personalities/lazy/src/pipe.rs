//! Pipes and FIFOs.

use abi::turn::PIPE_CAPACITY;
use alloc::collections::VecDeque;

/// A pipe.
#[derive(Default)]
pub struct Pipe {
    /// Its number as an inode of the pipes' file system; of a FIFO: 0.
    pub number: u64,
    /// The FIFO's inode.
    pub fifo: Option<u64>,
    /// Bytes held.
    pub data: VecDeque<u8>,
    /// Open read ends, blocked openers included.
    pub readers: u32,
    /// Open write ends, blocked openers included.
    pub writers: u32,
    /// How often a read end was opened.
    pub readers_seen: u64,
    /// How often a write end was opened.
    pub writers_seen: u64,
    /// Clock at its making.
    pub made: u64,
}

impl Pipe {
    /// Bytes that fit.
    pub fn room(&self) -> usize {
        PIPE_CAPACITY.saturating_sub(self.data.len())
    }
}
