//! Pipes and FIFOs: bytes between processes.

use crate::errno::*;
use crate::fs::node::Node;
use crate::process::Thing;
use crate::state::{State, Wake};
use abi::turn::{PIPE_BUF, PIPE_CAPACITY, PIPES_MAX};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// A pipe.
#[derive(Clone)]
pub struct Pipe {
    /// What was written and not read.
    pub bytes: VecDeque<u8>,
    /// Open read ends.
    pub readers: u32,
    /// Open write ends.
    pub writers: u32,
    /// Readers that ever came.
    pub readers_seen: u64,
    /// Writers that ever came.
    pub writers_seen: u64,
    /// Its inode: of the pipe file system, or the FIFO's.
    pub inode: u64,
    /// The FIFO in the file system, if it is one.
    pub fifo: bool,
    /// Nanoseconds since 1970.
    pub made: i64,
    /// Access, modification, change: when it was made, or as utimensat, fchmod and fchown left them; a FIFO's are its file's.
    pub times: [i64; 3],
    /// Permissions, as fchmod left them; a FIFO's are its file's.
    pub mode: u32,
    /// User and group, as fchown left them.
    pub owner: [u32; 2],
}

impl Pipe {
    /// Permissions of a new one.
    pub const MODE: u32 = 0o600;

    /// Bytes that still fit.
    pub fn room(&self) -> usize {
        PIPE_CAPACITY - self.bytes.len()
    }

    /// Takes up to `count` bytes.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let n = count.min(self.bytes.len());
        let (front, back) = self.bytes.as_slices();
        let mut taken = Vec::with_capacity(n);
        // In two pieces at most: an iterator over single bytes costs a dozen instructions for each.
        taken.extend_from_slice(&front[..n.min(front.len())]);
        taken.extend_from_slice(&back[..n - taken.len()]);
        self.bytes.drain(..n);
        taken
    }

    /// Whether a write of PIPE_BUF bytes would fit.
    pub fn is_writable(&self) -> bool {
        self.room() >= PIPE_BUF
    }
}

impl State {
    /// A new pipe; of a FIFO if `inode` says so.
    pub fn add_pipe(&mut self, fifo: Option<u64>) -> Result<u64> {
        if self.pipes.size() >= PIPES_MAX {
            return Err(ENFILE);
        }
        let number = self.next_pipe;
        self.next_pipe += 1;
        let inode = fifo.unwrap_or(self.pipe_inodes + 1);
        self.pipe_inodes += u64::from(fifo.is_none());
        let made = self.now_ns();
        let pipe = Pipe {
            bytes: VecDeque::new(),
            readers: 0,
            writers: 0,
            readers_seen: 0,
            writers_seen: 0,
            inode,
            fifo: fifo.is_some(),
            made,
            times: [made; 3],
            mode: Pipe::MODE,
            owner: [0; 2],
        };
        self.pipes.insert_mut(number, pipe);
        Ok(number)
    }

    /// The pipe of a FIFO that is open.
    pub fn pipe_of_fifo(&self, inode: u64) -> Option<u64> {
        self.pipes.iter().find(|(_, p)| p.fifo && p.inode == inode).map(|(n, _)| *n)
    }

    /// An end more.
    pub fn open_pipe(&mut self, number: u64, read: bool, write: bool) {
        let Some(p) = self.pipes.get_mut(&number) else { return };
        let first = (read && p.readers == 0) || (write && p.writers == 0);
        p.readers += u32::from(read);
        p.writers += u32::from(write);
        p.readers_seen += u64::from(read);
        p.writers_seen += u64::from(write);
        if p.fifo && first {
            // Who opens does not wait yet, and does not wake itself.
            let waiting = self.queues.get(&Thing::Opening(p.inode)).cloned().unwrap_or_default();
            self.wakes.extend(waiting.into_iter().map(Wake::Thread));
        }
    }

    /// An end less; the last one takes the pipe along.
    pub fn close_pipe(&mut self, number: u64, read: bool, write: bool) {
        let Some(p) = self.pipes.get_mut(&number) else { return };
        p.readers -= u32::from(read);
        p.writers -= u32::from(write);
        let (readers, writers) = (p.readers, p.writers);
        if write && writers == 0 {
            self.wake(Thing::PipeReaders(number));
        }
        if read && readers == 0 {
            self.wake(Thing::PipeWriters(number));
        }
        if readers == 0 && writers == 0 {
            self.pipes.remove_mut(&number);
        }
    }

    /// The node of a pipe: a FIFO's file, or its own.
    pub fn pipe_node(&self, number: u64) -> Node {
        match self.pipes.get(&number) {
            Some(p) if p.fifo => Node::File(p.inode),
            _ => Node::Pipe(number),
        }
    }
}
