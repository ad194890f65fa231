//! Pipes and FIFOs.

use crate::files::Time;
use abi::turn::PIPE_CAPACITY;
use alloc::collections::VecDeque;

/// What fchmod, fchown and utimensat change of a pipe without a name; a FIFO's are its inode's.
#[derive(Clone, Copy)]
pub struct Attributes {
    /// Permissions.
    pub mode: u32,
    /// Owner and group.
    pub owner: [u32; 2],
    /// Access, modification, change.
    pub times: [Time; 3],
}

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
    /// O_PATH descriptions of one without a name.
    pub paths: u32,
    /// How often a read end was opened.
    pub readers_seen: u64,
    /// How often a write end was opened.
    pub writers_seen: u64,
    /// Clock at its making.
    pub made: u64,
    /// None: as it was made.
    pub attributes: Option<Attributes>,
}

impl Pipe {
    /// Its attributes, as they are.
    pub fn attributes(&self) -> Attributes {
        let made = Attributes { mode: 0o600, owner: [0; 2], times: [Time::of_us(self.made); 3] };
        self.attributes.unwrap_or(made)
    }

    /// Whether an end of it is open.
    pub fn is_open(&self) -> bool {
        self.readers + self.writers > 0
    }

    /// Bytes that fit.
    pub fn room(&self) -> usize {
        PIPE_CAPACITY.saturating_sub(self.data.len())
    }
}
