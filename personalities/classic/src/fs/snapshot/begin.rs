//! Terminal, pipes, open file descriptions and descriptors, as a snapshot has them.

use super::super::file::{FIFO, Kind, PIPE, Slot};
use super::super::inode::{Body, Time};
use super::super::linux::*;
use super::super::pipe::Pipe;
use super::super::tty::{Item, TERMIOS};
use super::super::{FdTable, Fs, Ino, dev, proc};
use super::pipe_key;
use crate::snapshot::{NUMBER_MAX, Wrong};
use abi::snapshot as form;
use abi::turn::{FDS_MAX, PIPE_CAPACITY, PIPES_MAX, TTY_INPUT_MAX};
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// What an open file description's path begins with if it is a pipe without a name.
const ANONYMOUS: &[u8] = b"pipe:[";

impl Fs {
    /// The terminal.
    pub(crate) fn begin_terminal(&mut self, t: &form::Terminal<'_>) -> Result<(), Wrong> {
        let modes: [u8; TERMIOS] = t.modes.try_into().map_err(|_| "the terminal's modes are not 36 bytes")?;
        let mut queue: VecDeque<Item> = VecDeque::new();
        let (ends, []) = t.ends.as_chunks::<4>() else { return Err("ends that are not of 4 bytes each") };
        let mut ends = ends.iter().map(|end| u32::from_le_bytes(*end) as usize).peekable();
        for at in 0..=t.queue.len() {
            while ends.next_if_eq(&at).is_some() {
                // Behind another end, or a line that is whole, it is a line of no bytes.
                let open = matches!(queue.back(), Some(Item::Byte(b)) if *b != b'\n');
                queue.push_back(if open { Item::LineEnd } else { Item::Eof });
            }
            queue.extend(t.queue.get(at).map(|b| Item::Byte(*b)));
        }
        if ends.next().is_some() {
            return Err("an end that is out of order, or behind the queue");
        }
        if queue.iter().filter(|item| **item != Item::LineEnd).count() > TTY_INPUT_MAX {
            return Err("the terminal's queue holds more than it can");
        }
        self.tty.modes = modes;
        self.tty.size = [t.rows, t.columns, t.x_pixels, t.y_pixels];
        self.tty.session = (t.session != 0).then_some(t.session);
        self.tty.foreground = t.foreground;
        self.tty.set_items(queue);
        Ok(())
    }

    /// The numbers that the next pipe and the next inode get.
    pub(crate) fn begin_numbers(&mut self, next_pipe: u64, next_inode: u64) -> Result<(), Wrong> {
        if next_inode < self.tree.next || next_inode >= dev::DEV || !(1..PIPE).contains(&next_pipe) {
            return Err("the next pipe's or inode's number cannot be that");
        }
        (self.next_pipe, self.tree.next) = (next_pipe, next_inode);
        Ok(())
    }

    /// A pipe without ends; its bytes come next.
    pub(crate) fn begin_pipe(&mut self, p: &form::Pipe) -> Result<(), Wrong> {
        let known = if p.fifo { self.tree.next } else { self.next_pipe };
        if p.number == 0 || p.number >= known || p.made_us >= NUMBER_MAX {
            return Err("a pipe's number or time cannot be that");
        }
        let key = pipe_key(p.fifo, p.number);
        if self.pipes.last_key_value().is_some_and(|(last, _)| *last >= key) || self.pipes.len() >= PIPES_MAX
        {
            return Err("pipes that are out of order, or too many");
        }
        self.pipes.insert(key, Pipe::new(Time::from_us(p.made_us)));
        Ok(())
    }

    /// Further bytes in the last pipe.
    pub(crate) fn begin_pipe_data(&mut self, data: &[u8]) -> Result<(), Wrong> {
        let mut last = self.pipes.last_entry().ok_or("bytes of no pipe")?;
        let bytes = &mut last.get_mut().bytes;
        if data.len() > PIPE_CAPACITY - bytes.len() {
            return Err("a pipe holds more than it can");
        }
        bytes.extend(data);
        Ok(())
    }

    /// An open file description, with its text if it has one. All inodes and pipes are there.
    pub(crate) fn begin_open(&mut self, o: &form::OpenFile<'_>, text: Vec<u8>) -> Result<(), Wrong> {
        self.files.room(1).map_err(|_| "too many open file descriptions")?;
        if o.offset > i64::MAX as u64 || o.inode >= PIPE {
            return Err("an open file description's offset or inode cannot be that");
        }
        let (node, kind) = match o.kind {
            2 | 3 => self.begin_pipe_end(o)?,
            _ => (o.inode, self.begin_kind(o, text)?),
        };
        if self.digest_kind_of(node, &kind) != u64::from(o.kind) {
            return Err("an open file description's kind is not its file's");
        }
        self.tree.hold(node);
        let entry = self.begin_name(node, o.path);
        let id = self.files.add(node, kind, o.flags, entry);
        if id != o.number as usize {
            return Err("open file descriptions are not numbered in their order");
        }
        if let Some(open) = self.files.get_mut(id) {
            (open.offset, open.refs) = (o.offset, 0);
        }
        Ok(())
    }

    fn begin_kind(&self, o: &form::OpenFile<'_>, text: Vec<u8>) -> Result<Kind, Wrong> {
        if o.flags & O_PATH != 0 {
            return Ok(Kind::Path);
        }
        let number = match dev::entry(o.inode) {
            Some((_, dev::Entry::Node(number, _))) => Some(*number),
            _ => self.tree.get(o.inode).filter(|i| i.meta.mode & S_IFMT == S_IFCHR).map(|i| i.rdev()),
        };
        match (o.kind, self.mode(o.inode) & S_IFMT) {
            (0, S_IFREG) if self.tree.get(o.inode).is_some_and(|i| matches!(i.body, Body::Regular(_))) => {
                Ok(Kind::Regular)
            }
            (1, S_IFDIR) => Ok(Kind::Directory),
            (6, S_IFREG) if proc::place(o.inode).is_some() => Ok(Kind::Text(text)),
            (4 | 5, S_IFCHR) => match number.and_then(dev::device) {
                Some(dev::Device::Null) => Ok(Kind::Null),
                Some(dev::Device::Zero) => Ok(Kind::Zero),
                Some(dev::Device::Full) => Ok(Kind::Full),
                Some(dev::Device::Random) => Ok(Kind::Random),
                Some(_) => Ok(Kind::Tty),
                None => Err("an open file description of a device that nobody knows"),
            },
            _ => Err("an open file description's kind is not its file's"),
        }
    }

    /// An end of a pipe counts there.
    fn begin_pipe_end(&mut self, o: &form::OpenFile<'_>) -> Result<(Ino, Kind), Wrong> {
        let fifo = !o.path.starts_with(ANONYMOUS);
        if fifo && self.tree.get(o.inode).is_none_or(|i| !matches!(i.body, Body::Fifo)) {
            return Err("an open file description of a FIFO that is none");
        }
        let key = pipe_key(fifo, o.inode);
        let pipe = self.pipes.get_mut(&key).ok_or("an open file description of a pipe that is not there")?;
        let (read, write) = match o.flags & O_ACCMODE {
            0 => (true, false),
            O_WRONLY => (false, true),
            O_RDWR => (true, true),
            _ => return Err("an end of a pipe for neither reading nor writing"),
        };
        pipe.begin_end(read, write);
        // Those that came and went count as one.
        let seen = u64::from(o.before_writers);
        let node = if fifo { o.inode } else { key };
        Ok((node, Kind::Pipe { pipe: key, read, write, seen }))
    }

    /// A descriptor of a process.
    pub(crate) fn begin_descriptor(&mut self, fds: &mut FdTable, d: &form::Descriptor) -> Result<(), Wrong> {
        let (fd, file) = (d.number as usize, d.file as usize);
        if fd >= FDS_MAX || fds.slot(fd as i32).is_ok() || d.flags > 1 {
            return Err("a descriptor cannot be that");
        }
        let open = self.files.get_mut(file).ok_or("a descriptor of no open file description")?;
        open.refs += 1;
        fds.set(fd, Slot { file, cloexec: d.flags == 1 });
        Ok(())
    }

    /// A process' descriptors, none yet, and its hold on its working directory.
    pub(crate) fn begin_table(&mut self, limit: u64, cwd: Ino) -> Result<FdTable, Wrong> {
        if !self.is_dir(cwd) {
            return Err("a working directory that is none");
        }
        self.tree.hold(cwd);
        Ok(FdTable { limit: limit.min(FDS_MAX as u64) as usize, slots: Vec::new(), cwd })
    }

    /// When all that refers to something is there: whatever nobody refers to is wrong.
    pub(crate) fn check_begun(&mut self) -> Result<(), Wrong> {
        if self.files.all().any(|open| open.refs == 0) {
            return Err("an open file description without a descriptor");
        }
        if self
            .pipes
            .iter()
            .any(|(key, p)| p.readers == 0 && p.writers == 0 || *key & FIFO == 0 && p.openers() > 0)
        {
            return Err("a pipe without ends");
        }
        self.tree.entries.begun.clear();
        self.tree.check_held()
    }
}
