//! The pipe server: bytes between ends. Who waits at a pipe is the turn server's knowledge; this one posts that there is a reason to wake them.

use crate::error::{Res, e};
use crate::files::node::Stamp;
use crate::post::{Note, Post};
use crate::turns::Thing;
use abi::turn::{PIPE_BUF, PIPE_CAPACITY, PIPES_MAX};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Names a pipe: its inode number, in order of making; FIFOs have numbers of their own from [`FIFOS`] on.
pub type PipeId = u64;

/// Pipes of FIFOs are numbered apart: theirs is no inode number.
const FIFOS: PipeId = 1 << 40;

/// A pipe.
pub struct Pipe {
    data: VecDeque<u8>,
    pub readers: u32,
    pub writers: u32,
    /// Readers and writers that have ever come.
    pub readers_seen: u64,
    pub writers_seen: u64,
    made: Stamp,
}

/// The server's state.
#[derive(Default)]
pub struct Pipes {
    pipes: BTreeMap<PipeId, Pipe>,
    next: PipeId,
    next_fifo: PipeId,
}

/// What a transfer comes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// So many bytes go at once.
    Bytes(usize),
    /// Nothing now; it must wait.
    Full,
    /// No reader is left.
    Broken,
}

impl Pipes {
    /// A pipe for pipe2 (both ends open) or for a FIFO (none yet).
    pub fn make(&mut self, fifo: bool, now: Stamp) -> Res<PipeId> {
        if self.pipes.len() >= PIPES_MAX {
            return Err(e::ENFILE);
        }
        let ends = u32::from(!fifo);
        let id = if fifo {
            self.next_fifo += 1;
            FIFOS + self.next_fifo
        } else {
            self.next += 1;
            self.next
        };
        let pipe = Pipe {
            data: VecDeque::new(),
            readers: ends,
            writers: ends,
            readers_seen: ends.into(),
            writers_seen: ends.into(),
            made: now,
        };
        self.pipes.insert(id, pipe);
        Ok(id)
    }

    pub fn get(&self, id: PipeId) -> Option<&Pipe> {
        self.pipes.get(&id)
    }

    pub fn made(&self, id: PipeId) -> Stamp {
        self.pipes.get(&id).map(|p| p.made).unwrap_or_default()
    }

    /// Ends more. The first reader and the first writer of a FIFO wake who waits in open: who does holds an other end. (The opener itself does not
    /// wait yet, so it is none of them.)
    pub fn open(&mut self, id: PipeId, reads: bool, writes: bool, post: &mut Post) {
        let Some(p) = self.pipes.get_mut(&id) else { return };
        let first = reads && p.readers == 0 && p.writers > 0 || writes && p.writers == 0 && p.readers > 0;
        p.readers += u32::from(reads);
        p.writers += u32::from(writes);
        p.readers_seen += u64::from(reads);
        p.writers_seen += u64::from(writes);
        if first {
            post.send(Note::Wake(Thing::Open(id)));
        }
    }

    /// Ends less; a pipe without any goes. `true`: it has gone.
    pub fn close(&mut self, id: PipeId, reads: bool, writes: bool, post: &mut Post) -> bool {
        let Some(p) = self.pipes.get_mut(&id) else { return false };
        p.readers -= u32::from(reads);
        p.writers -= u32::from(writes);
        if writes && p.writers == 0 {
            post.send(Note::Wake(Thing::Readers(id)));
        }
        if reads && p.readers == 0 {
            post.send(Note::Wake(Thing::Writers(id)));
        }
        let gone = p.readers == 0 && p.writers == 0;
        if gone {
            self.pipes.remove(&id);
        }
        gone
    }

    /// Bytes held.
    pub fn held(&self, id: PipeId) -> usize {
        self.pipes.get(&id).map_or(0, |p| p.data.len())
    }

    /// Takes up to `count` bytes.
    pub fn read(&mut self, id: PipeId, count: usize, post: &mut Post) -> Vec<u8> {
        let Some(p) = self.pipes.get_mut(&id) else { return Vec::new() };
        let n = count.min(p.data.len());
        if n > 0 {
            post.send(Note::Wake(Thing::Writers(id)));
        }
        let (first, second) = p.data.as_slices();
        let from_first = n.min(first.len());
        let bytes = [&first[..from_first], &second[..n - from_first]].concat();
        p.data.drain(..n);
        bytes
    }

    /// How much of `count` bytes goes in now. `whole`: all or nothing if it is at most PIPE_BUF.
    pub fn room(&self, id: PipeId, count: usize, whole: bool) -> Room {
        let Some(p) = self.pipes.get(&id).filter(|p| p.readers > 0) else { return Room::Broken };
        let room = PIPE_CAPACITY - p.data.len();
        match room {
            0 => Room::Full,
            _ if room < count && whole && count <= PIPE_BUF => Room::Full,
            _ => Room::Bytes(room.min(count)),
        }
    }

    /// Puts bytes in for which there is room.
    pub fn write(&mut self, id: PipeId, bytes: &[u8], post: &mut Post) {
        if let Some(p) = self.pipes.get_mut(&id).filter(|_| !bytes.is_empty()) {
            p.data.extend(bytes);
            post.send(Note::Wake(Thing::Readers(id)));
        }
    }

    /// poll's bits of an end. `writers_before`: of a FIFO opened without waiting.
    pub fn poll(&self, id: PipeId, reads: bool, writes: bool, writers_before: Option<u64>) -> u16 {
        use linux_raw_sys::general::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
        let Some(p) = self.pipes.get(&id) else { return 0 };
        let mut bits = 0;
        if reads {
            if !p.data.is_empty() {
                bits |= POLLIN | POLLRDNORM;
            }
            if p.writers == 0 && writers_before != Some(p.writers_seen) {
                bits |= POLLHUP;
            }
        }
        if writes {
            if PIPE_CAPACITY - p.data.len() >= PIPE_BUF {
                bits |= POLLOUT | POLLWRNORM;
            }
            if p.readers == 0 {
                bits |= POLLERR;
            }
        }
        bits as u16
    }

    /// Ends that have ever come to the other side of a pipe, and whether one is there; `reads`: this side is the readers'.
    pub fn others(&self, id: PipeId, reads: bool) -> (u64, bool) {
        self.pipes.get(&id).map_or((0, false), |p| match reads {
            true => (p.writers_seen, p.writers > 0),
            false => (p.readers_seen, p.readers > 0),
        })
    }

    /// Number of the next pipe.
    pub fn next(&self) -> u64 {
        self.next + 1
    }

    /// A pipe of a snapshot, without ends yet. Of a FIFO: its number is made up.
    pub fn restore(&mut self, number: Option<PipeId>, made: Stamp, data: &[u8]) -> PipeId {
        let id = number.unwrap_or_else(|| {
            self.next_fifo += 1;
            FIFOS + self.next_fifo
        });
        let data = data.iter().copied().collect();
        self.pipes.insert(id, Pipe { data, readers: 0, writers: 0, readers_seen: 0, writers_seen: 0, made });
        id
    }

    /// Whether a pipe has an end.
    pub fn is_held(&self, id: PipeId) -> bool {
        self.pipes.get(&id).is_some_and(|p| p.readers > 0 || p.writers > 0)
    }

    /// Whether each has an end.
    pub fn are_held(&self) -> bool {
        self.pipes.keys().all(|id| self.is_held(*id))
    }

    /// The next pipe's number is `next` from now on. `false`: it cannot be.
    pub fn count_from(&mut self, next: u64) -> bool {
        self.next = next.saturating_sub(1);
        let last = self.pipes.keys().rev().find(|id| **id < FIFOS);
        next > 0 && next < FIFOS && last.is_none_or(|id| *id < next)
    }

    /// The bytes held, for the state digest.
    pub fn contents(&self, id: PipeId) -> Vec<u8> {
        self.pipes.get(&id).map(|p| p.data.iter().copied().collect()).unwrap_or_default()
    }
}
