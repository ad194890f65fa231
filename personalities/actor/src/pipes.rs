//! The pipe server: bytes between ends. Who waits at a pipe is the turn server's knowledge; this one posts that there is a reason to wake them.

use crate::error::{Res, e};
use crate::files::Inode;
use crate::files::node::Stamp;
use crate::page::PAGE;
use crate::post::{Note, Post};
use crate::turns::Thing;
use abi::turn::{PIPE_BUF, PIPE_CAPACITY, PIPES_MAX};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Names a pipe: its inode number, in order of making; FIFOs have numbers of their own from [`FIFOS`] on.
pub type PipeId = u64;

/// Pipes of FIFOs are numbered apart: theirs is no inode number.
const FIFOS: PipeId = 1 << 40;

/// Bytes in order, as the messages that brought them: one that is read as it was written is handed on and never copied. Small ones are joined, so
/// there are never more than two for each page of bytes.
#[derive(Default)]
struct Bytes {
    pieces: VecDeque<Vec<u8>>,
    /// Bytes of the first piece that are gone already.
    gone: usize,
    length: usize,
}

impl Bytes {
    fn add(&mut self, mut bytes: Vec<u8>) {
        self.length += bytes.len();
        // Room that a sender made and did not need is not kept.
        bytes.shrink_to_fit();
        match self.pieces.back_mut() {
            Some(last) if last.len() + bytes.len() <= PAGE as usize => last.extend_from_slice(&bytes),
            _ => self.pieces.push_back(bytes),
        }
    }

    /// Takes `n` bytes, which are there.
    fn take(&mut self, n: usize) -> Vec<u8> {
        if self.gone == 0 && self.pieces.front().is_some_and(|p| p.len() == n) {
            self.length -= n;
            return self.pieces.pop_front().unwrap_or_default();
        }
        let mut out = Vec::with_capacity(n);
        while let Some(first) = self.pieces.front().filter(|_| out.len() < n) {
            let rest = &first[self.gone..];
            let here = rest.len().min(n - out.len());
            out.extend_from_slice(&rest[..here]);
            self.gone += here;
            if self.gone == first.len() {
                self.pieces.pop_front();
                self.gone = 0;
            }
        }
        self.length -= out.len();
        out
    }

    fn copy(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.length + self.gone);
        self.pieces.iter().for_each(|p| out.extend_from_slice(p));
        out.drain(..self.gone);
        out
    }
}

/// A pipe.
pub struct Pipe {
    data: Bytes,
    pub readers: u32,
    pub writers: u32,
    /// Readers and writers that have ever come.
    pub readers_seen: u64,
    pub writers_seen: u64,
    /// Of one without a name: what stat tells of it.
    inode: Inode,
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
            data: Bytes::default(),
            readers: ends,
            writers: ends,
            readers_seen: ends.into(),
            writers_seen: ends.into(),
            inode: Inode::of_pipe(now),
            made: now,
        };
        self.pipes.insert(id, pipe);
        Ok(id)
    }

    pub fn get(&self, id: PipeId) -> Option<&Pipe> {
        self.pipes.get(&id)
    }

    /// When it was made, whatever utimensat made of its times.
    pub fn made(&self, id: PipeId) -> Stamp {
        self.pipes.get(&id).map(|p| p.made).unwrap_or_default()
    }

    pub fn inode(&self, id: PipeId) -> Res<&Inode> {
        self.pipes.get(&id).map(|p| &p.inode).ok_or(e::ENOENT)
    }

    pub fn inode_mut(&mut self, id: PipeId) -> Res<&mut Inode> {
        self.pipes.get_mut(&id).map(|p| &mut p.inode).ok_or(e::ENOENT)
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
        self.pipes.get(&id).map_or(0, |p| p.data.length)
    }

    /// Takes up to `count` bytes.
    pub fn read(&mut self, id: PipeId, count: usize, post: &mut Post) -> Vec<u8> {
        let Some(p) = self.pipes.get_mut(&id) else { return Vec::new() };
        let n = count.min(p.data.length);
        if n > 0 {
            post.send(Note::Wake(Thing::Writers(id)));
        }
        p.data.take(n)
    }

    /// How much of `count` bytes goes in now. `whole`: all or nothing if it is at most PIPE_BUF.
    pub fn room(&self, id: PipeId, count: usize, whole: bool) -> Room {
        let Some(p) = self.pipes.get(&id).filter(|p| p.readers > 0) else { return Room::Broken };
        let room = PIPE_CAPACITY - p.data.length;
        match room {
            0 => Room::Full,
            _ if room < count && whole && count <= PIPE_BUF => Room::Full,
            _ => Room::Bytes(room.min(count)),
        }
    }

    /// Puts bytes in for which there is room.
    pub fn write(&mut self, id: PipeId, bytes: Vec<u8>, post: &mut Post) {
        if let Some(p) = self.pipes.get_mut(&id).filter(|_| !bytes.is_empty()) {
            p.data.add(bytes);
            post.send(Note::Wake(Thing::Readers(id)));
        }
    }

    /// poll's bits of an end. `writers_before`: of a FIFO opened without waiting.
    pub fn poll(&self, id: PipeId, reads: bool, writes: bool, writers_before: Option<u64>) -> u16 {
        use linux_raw_sys::general::{POLLERR, POLLHUP, POLLIN, POLLOUT, POLLRDNORM, POLLWRNORM};
        let Some(p) = self.pipes.get(&id) else { return 0 };
        let mut bits = 0;
        if reads {
            if p.data.length > 0 {
                bits |= POLLIN | POLLRDNORM;
            }
            if p.writers == 0 && writers_before != Some(p.writers_seen) {
                bits |= POLLHUP;
            }
        }
        if writes {
            if PIPE_CAPACITY - p.data.length >= PIPE_BUF {
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
        let mut held = Bytes::default();
        data.chunks(PAGE as usize).for_each(|piece| held.add(piece.to_vec()));
        let pipe = Pipe {
            data: held,
            readers: 0,
            writers: 0,
            readers_seen: 0,
            writers_seen: 0,
            inode: Inode::of_pipe(made),
            made,
        };
        self.pipes.insert(id, pipe);
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
        self.pipes.get(&id).map(|p| p.data.copy()).unwrap_or_default()
    }
}

#[cfg(test)]
mod test {
    use super::*;

    #[test]
    fn bytes_come_out_in_order_however_they_are_cut() {
        let mut pipes = Pipes::default();
        let id = pipes.make(false, Stamp::default()).unwrap();
        let mut post = Post::default();
        let (mut state, mut put, mut got) = (7u32, 0u32, 0u32);
        let mut next = |below: usize| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as usize % below
        };
        for _ in 0..5000 {
            let most = [3, 600, 4097, 70_000][next(4)];
            let n = next(most);
            if next(2) == 0 {
                let Room::Bytes(n) = pipes.room(id, n, false) else { continue };
                let bytes: Vec<u8> = (0..n as u32).map(|i| ((put + i) % 251) as u8).collect();
                pipes.write(id, bytes, &mut post);
                put += n as u32;
            } else {
                let all = pipes.contents(id);
                let bytes = pipes.read(id, n, &mut post);
                assert_eq!(bytes.len(), n.min(all.len()));
                assert_eq!(bytes, all[..bytes.len()]);
                assert!(bytes.iter().enumerate().all(|(i, b)| *b == ((got + i as u32) % 251) as u8));
                got += bytes.len() as u32;
            }
            let pieces = pipes.pipes[&id].data.pieces.len();
            assert_eq!(pipes.held(id), (put - got) as usize);
            assert!(pieces <= 2 * PIPE_CAPACITY / PAGE as usize + 2, "{pieces}");
        }
        assert!(got > 1_000_000);
    }
}
