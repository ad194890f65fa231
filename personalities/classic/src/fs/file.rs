//! Open file descriptions and descriptors.

use super::linux::*;
use super::stat::special_path;
use super::syscalls::{Answer, Call};
use super::{Entry, FdTable, Fs, Ino, WaitKey};
use crate::errno::*;
use abi::turn::OPEN_FILES_MAX;
use alloc::format;
use alloc::vec::Vec;

/// Number of an open file description.
pub type FileId = usize;

/// Anonymous pipes are nodes too (a link in /proc/PID/fd leads to them): this plus the pipe's number.
pub const PIPE: Ino = 1 << 48;
/// The pipe of a FIFO: this plus the FIFO's inode number.
pub const FIFO: u64 = 1 << 49;

/// Whether `node` is a pipe without a name.
pub fn is_anonymous_pipe(node: Ino) -> bool {
    node & PIPE != 0
}

/// What an open file description leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file of the root file system.
    Regular,
    /// A directory.
    Directory,
    /// A pipe or FIFO.
    Pipe {
        /// Its key in the table of pipes.
        pipe: u64,
        /// Whether this is a read end.
        read: bool,
        /// Whether this is a write end.
        write: bool,
        /// Write ends that came and went before a FIFO was opened for reading without waiting: they are no hang-up.
        seen: u64,
    },
    /// The terminal.
    Tty,
    /// /dev/null.
    Null,
    /// /dev/zero.
    Zero,
    /// /dev/full.
    Full,
    /// /dev/random and /dev/urandom.
    Random,
    /// A file of /proc: its text, made at open.
    Text(Vec<u8>),
    /// Opened with O_PATH: only a place.
    Path,
}

/// An open file description.
#[derive(Debug)]
pub struct Open {
    /// The file.
    pub node: Ino,
    /// By which entry it was opened; files of /proc and /dev and pipes have none.
    pub entry: Option<Entry>,
    /// What it is.
    pub kind: Kind,
    /// Access mode and status flags, as F_GETFL shows them.
    pub flags: u32,
    /// File offset.
    pub offset: u64,
    /// Descriptors that stand for it.
    pub refs: u32,
}

impl Open {
    /// Whether reads are allowed.
    pub fn readable(&self) -> bool {
        self.flags & O_PATH == 0 && matches!(self.flags & O_ACCMODE, 0 | O_RDWR)
    }
    /// Whether writes are allowed.
    pub fn writable(&self) -> bool {
        self.flags & O_PATH == 0 && matches!(self.flags & O_ACCMODE, O_WRONLY | O_RDWR)
    }
    /// Whether calls fail instead of waiting.
    pub fn nonblocking(&self) -> bool {
        self.flags & O_NONBLOCK != 0
    }
}

/// All open file descriptions.
#[derive(Debug, Default)]
pub struct Files {
    slots: Vec<Option<Open>>,
    count: usize,
}

impl Files {
    /// Whether there is room for `n` more.
    pub fn room(&self, n: usize) -> Result<(), Errno> {
        if self.count + n > OPEN_FILES_MAX { Err(ENFILE) } else { Ok(()) }
    }
    /// Adds one, with one descriptor.
    pub fn add(&mut self, node: Ino, kind: Kind, flags: u32, entry: Option<Entry>) -> FileId {
        let open = Some(Open { node, entry, kind, flags, offset: 0, refs: 1 });
        self.count += 1;
        match self.slots.iter().position(Option::is_none) {
            Some(free) => {
                self.slots[free] = open;
                free
            }
            None => {
                self.slots.push(open);
                self.slots.len() - 1
            }
        }
    }
    /// One of them.
    pub fn get(&self, id: FileId) -> Option<&Open> {
        self.slots.get(id)?.as_ref()
    }
    /// One of them.
    pub fn get_mut(&mut self, id: FileId) -> Option<&mut Open> {
        self.slots.get_mut(id)?.as_mut()
    }
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Open> {
        self.slots.iter().flatten()
    }
    fn remove(&mut self, id: FileId) -> Option<Open> {
        let open = self.slots.get_mut(id)?.take()?;
        self.count -= 1;
        Some(open)
    }
}

/// One descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its open file description.
    pub file: FileId,
    /// FD_CLOEXEC.
    pub cloexec: bool,
}

impl FdTable {
    /// The descriptor `fd`.
    pub(super) fn slot(&self, fd: i32) -> Result<Slot, Errno> {
        usize::try_from(fd).ok().and_then(|fd| *self.slots.get(fd)?).ok_or(EBADF)
    }
    /// The descriptor `fd`, to be changed.
    pub(super) fn slot_mut(&mut self, fd: i32) -> Result<&mut Slot, Errno> {
        usize::try_from(fd).ok().and_then(|fd| self.slots.get_mut(fd)?.as_mut()).ok_or(EBADF)
    }
    /// The lowest free descriptor from `from` on.
    pub(super) fn free(&self, from: usize) -> Result<usize, Errno> {
        let free = (from..self.slots.len())
            .find(|fd| self.slots[*fd].is_none())
            .unwrap_or(self.slots.len().max(from));
        if free < self.limit { Ok(free) } else { Err(EMFILE) }
    }
    /// Fills a free descriptor below the limit.
    pub(super) fn set(&mut self, fd: usize, slot: Slot) {
        if self.slots.len() <= fd {
            self.slots.resize(fd + 1, None);
        }
        self.slots[fd] = Some(slot);
    }
    /// Empties a descriptor.
    pub(super) fn take(&mut self, fd: usize) -> Option<Slot> {
        self.slots.get_mut(fd)?.take()
    }
    /// All descriptors, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, Slot)> {
        self.slots.iter().enumerate().filter_map(|(fd, slot)| Some((fd, (*slot)?)))
    }
}

impl Fs {
    /// The open file description of a descriptor, O_PATH ones included.
    pub(super) fn file(&self, fds: &FdTable, fd: i32) -> Result<&Open, Errno> {
        self.files.get(fds.slot(fd)?.file).ok_or(EBADF)
    }

    /// The open file description of a descriptor that is more than a place.
    pub(super) fn real_file(&self, fds: &FdTable, fd: i32) -> Result<(FileId, &Open), Errno> {
        let id = fds.slot(fd)?.file;
        let open = self.files.get(id).filter(|open| open.kind != Kind::Path).ok_or(EBADF)?;
        Ok((id, open))
    }

    /// A further descriptor stands for `id`.
    pub(super) fn retain(&mut self, id: FileId) {
        if let Some(open) = self.files.get_mut(id) {
            open.refs += 1;
        }
    }

    /// A descriptor for `id` is gone: with the last one the description goes, and what was waiting for its end wakes.
    pub(super) fn drop_file(&mut self, id: FileId) {
        let Some(open) = self.files.get_mut(id) else { return };
        open.refs -= 1;
        if open.refs > 0 {
            return;
        }
        let Some(open) = self.files.remove(id) else { return };
        if let Kind::Pipe { pipe, read, write, .. } = open.kind {
            self.leave_pipe(pipe, read, write);
        }
        self.tree.release(open.node);
    }

    /// What a link of /proc/PID/fd shows.
    pub(super) fn show_file(&self, open: &Open) -> Vec<u8> {
        if is_anonymous_pipe(open.node) {
            return format!("pipe:[{}]", open.node - PIPE).into_bytes();
        }
        open.entry.as_ref().map_or_else(|| self.path_of_node(open.node), Entry::text)
    }

    /// Path of a directory, or of a file of /proc or /dev.
    pub(super) fn path_of_node(&self, node: Ino) -> Vec<u8> {
        special_path(node).or_else(|| self.tree.entry_of(node).map(Entry::text)).unwrap_or_default()
    }

    pub(super) fn show_table(&self, fds: &FdTable, room: impl Fn(usize) -> bool) -> Vec<(u32, Vec<u8>)> {
        let (mut shown, mut bytes) = (Vec::new(), 0);
        for (fd, open) in fds.iter().filter_map(|(fd, slot)| Some((fd, self.files.get(slot.file)?))) {
            let text = self.show_file(open);
            bytes += text.len();
            shown.push((fd as u32, text));
            if !room(bytes) {
                break;
            }
        }
        shown
    }

    pub(super) fn close(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let slot = usize::try_from(call.fd(0)).ok().and_then(|fd| call.caller.fds.take(fd)).ok_or(EBADF)?;
        self.drop_file(slot.file);
        Ok(0)
    }

    pub(super) fn close_range(&mut self, call: &mut Call<'_, '_>) -> Answer {
        const UNSHARE: u32 = 2;
        const CLOEXEC: u32 = 4;
        let (first, last, flags) = (call.u32(0), call.u32(1), call.u32(2));
        if flags & !(UNSHARE | CLOEXEC) != 0 || first > last {
            return Err(EINVAL.into());
        }
        let fds: Vec<usize> = call.caller.fds.iter().map(|(fd, _)| fd).collect();
        for fd in fds.into_iter().filter(|fd| (first as usize..=last as usize).contains(fd)) {
            if flags & CLOEXEC != 0 {
                call.caller.fds.slot_mut(fd as i32)?.cloexec = true;
            } else if let Some(slot) = call.caller.fds.take(fd) {
                self.drop_file(slot.file);
            }
        }
        Ok(0)
    }

    pub(super) fn dup(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let file = call.caller.fds.slot(call.fd(0))?.file;
        self.dup_to(call, file, 0, false)
    }

    /// The lowest free descriptor from `from` on for `file`.
    pub(super) fn dup_to(
        &mut self,
        call: &mut Call<'_, '_>,
        file: FileId,
        from: usize,
        cloexec: bool,
    ) -> Answer {
        let fd = call.caller.fds.free(from)?;
        self.retain(file);
        call.caller.fds.set(fd, Slot { file, cloexec });
        Ok(fd as i64)
    }

    pub(super) fn dup3(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (old, new, flags) = (call.fd(0), call.fd(1), call.u32(2));
        if flags & !O_CLOEXEC != 0 || old == new {
            return Err(EINVAL.into());
        }
        let new = usize::try_from(new).ok().filter(|fd| *fd < call.caller.fds.limit).ok_or(EBADF)?;
        let file = call.caller.fds.slot(old)?.file;
        self.retain(file);
        let replaced = call.caller.fds.take(new);
        call.caller.fds.set(new, Slot { file, cloexec: flags & O_CLOEXEC != 0 });
        if let Some(slot) = replaced {
            self.drop_file(slot.file);
        }
        Ok(new as i64)
    }

    /// Adds a wake-up.
    pub(super) fn wake(&mut self, key: WaitKey) {
        self.wakeups.push(key);
    }
}
