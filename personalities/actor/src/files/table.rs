//! Handles and descriptors: an open file description is a handle of this server; a process has a table of descriptors that name handles.

use super::flags::{O_ACCMODE, O_CLOEXEC, O_PATH};
use super::node::{NodeId, ROOT};
use super::virtuals::Device;
use super::{Dentry, Files, Opened};
use crate::error::{Res, e};
use crate::pipes::PipeId;
use crate::turns::Serial;
use abi::turn::{FDS_MAX, OPEN_FILES_MAX};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Names a handle; never used again.
pub type HandleId = u64;

/// What a handle leads to.
#[derive(Clone)]
pub enum Target {
    /// O_PATH.
    Place,
    File,
    Directory,
    Pipe {
        pipe: PipeId,
        reads: bool,
        writes: bool,
    },
    Terminal,
    Device(Device),
    /// A text of /proc, as it was at open.
    Text(Rc<Vec<u8>>),
}

/// An open file description.
pub struct Handle {
    pub target: Target,
    pub node: NodeId,
    /// The dentry it was opened by, where it has not one of its own.
    pub name: Option<Rc<Dentry>>,
    /// Status flags, as F_GETFL gives them.
    pub flags: u32,
    pub offset: u64,
    /// Of a FIFO opened without waiting: how many writers had come before.
    pub writers_before: Option<u64>,
    pub(super) refs: u32,
}

impl Handle {
    pub fn reads(&self) -> bool {
        self.flags & O_PATH == 0 && (self.flags + 1) & 1 != 0 && self.flags & O_ACCMODE != O_ACCMODE
    }

    pub fn writes(&self) -> bool {
        self.flags & O_PATH == 0 && (self.flags + 1) & 2 != 0 && self.flags & O_ACCMODE != O_ACCMODE
    }

    pub fn nonblocking(&self) -> bool {
        self.flags & super::flags::O_NONBLOCK != 0
    }
}

/// A descriptor.
#[derive(Clone, Copy)]
pub struct Descriptor {
    pub handle: HandleId,
    pub cloexec: bool,
}

/// A number that no node has.
pub const NO_NODE: NodeId = 0;

/// The program that a process executes. It holds the dentry, not the file: once that is gone its number leads nowhere.
#[derive(Clone)]
pub struct Program {
    pub node: NodeId,
    pub dentry: Rc<Dentry>,
}

/// What a process holds of the file server.
#[derive(Clone, Default)]
pub struct Table {
    pub cwd: NodeId,
    pub umask: u32,
    pub exe: Option<Program>,
    pub fds: BTreeMap<u32, Descriptor>,
    /// RLIMIT_NOFILE's soft limit.
    pub limit: u64,
}

/// What the last close of a handle leaves to others: its pipe has an end less.
pub type Closed = Option<(PipeId, bool, bool)>;

impl Files {
    /// Process 1 begins.
    pub fn first(&mut self, me: Serial, pid: u32) {
        self.people.insert(pid, me);
        self.tables.insert(me, Table { cwd: ROOT, umask: 0o022, limit: FDS_MAX as u64, ..Table::default() });
        self.hold(ROOT);
    }

    /// A forked child holds what its parent holds.
    pub fn fork(&mut self, parent: Serial, child: Serial, pid: u32) {
        let table = self.tables.get(&parent).cloned().unwrap_or_default();
        for d in table.fds.values() {
            if let Some(h) = self.handles.get_mut(&d.handle) {
                h.refs += 1;
            }
        }
        self.hold(table.cwd);
        self.people.insert(pid, child);
        self.tables.insert(child, table);
    }

    /// A process has ended: its descriptors close, in ascending order.
    pub fn end(&mut self, me: Serial) -> Vec<Closed> {
        let Some(table) = self.tables.remove(&me) else { return Vec::new() };
        let closed = table.fds.values().map(|d| self.drop_handle(d.handle)).collect();
        self.let_go(table.cwd);
        closed
    }

    /// A pid is nobody's any more.
    pub fn forget(&mut self, pid: u32) {
        self.people.remove(&pid);
    }

    /// The descriptors that close at exec.
    pub fn close_on_exec(&mut self, me: Serial) -> Vec<Closed> {
        let Some(table) = self.tables.get_mut(&me) else { return Vec::new() };
        let gone: Vec<Descriptor> = table.fds.values().filter(|d| d.cloexec).copied().collect();
        table.fds.retain(|_, d| !d.cloexec);
        gone.into_iter().map(|d| self.drop_handle(d.handle)).collect()
    }

    pub fn table(&self, me: Serial) -> Res<&Table> {
        self.tables.get(&me).ok_or(e::ESRCH)
    }

    pub fn table_mut(&mut self, me: Serial) -> Res<&mut Table> {
        self.tables.get_mut(&me).ok_or(e::ESRCH)
    }

    pub fn cwd(&self, me: Serial) -> Res<NodeId> {
        Ok(self.table(me)?.cwd)
    }

    pub fn set_cwd(&mut self, me: Serial, node: NodeId) -> Res {
        if !self.is_directory(node) {
            return Err(e::ENOTDIR);
        }
        self.hold(node);
        let old = core::mem::replace(&mut self.table_mut(me)?.cwd, node);
        self.let_go(old);
        Ok(())
    }

    pub fn descriptor(&self, me: Serial, fd: u32) -> Res<Descriptor> {
        self.table(me)?.fds.get(&fd).copied().ok_or(e::EBADF)
    }

    /// The handle of a descriptor.
    pub fn handle(&self, me: Serial, fd: u32) -> Res<&Handle> {
        self.handles.get(&self.descriptor(me, fd)?.handle).ok_or(e::EBADF)
    }

    pub fn handle_mut(&mut self, me: Serial, fd: u32) -> Res<&mut Handle> {
        let id = self.descriptor(me, fd)?.handle;
        self.handles.get_mut(&id).ok_or(e::EBADF)
    }

    /// A handle that can be read or written or both, no O_PATH one.
    pub fn active(&self, me: Serial, fd: u32) -> Res<&Handle> {
        self.handle(me, fd).ok().filter(|h| h.flags & O_PATH == 0).ok_or(e::EBADF)
    }

    /// The smallest unused descriptor from `from` on.
    pub fn free_fd(&self, me: Serial, from: u32) -> Res<u32> {
        let table = self.table(me)?;
        let limit = table.limit.min(FDS_MAX as u64) as u32;
        (from..limit).find(|fd| !table.fds.contains_key(fd)).ok_or(e::EMFILE)
    }

    /// Whether `n` more handles can be had.
    pub fn room_for_handles(&self, n: usize) -> Res {
        if self.handles.len() + n > OPEN_FILES_MAX { Err(e::ENFILE) } else { Ok(()) }
    }

    /// A new handle, at the smallest descriptor.
    pub fn install(&mut self, me: Serial, opened: Opened, flags: u32) -> Res<u32> {
        let fd = self.free_fd(me, 0)?;
        self.room_for_handles(1)?;
        let id = self.next_handle;
        self.next_handle += 1;
        self.hold(opened.node);
        let Opened { target, node, name, writers_before } = opened;
        let handle = Handle {
            target,
            node,
            name,
            flags: super::open::status(flags),
            offset: 0,
            writers_before,
            refs: 1,
        };
        self.handles.insert(id, handle);
        let cloexec = flags & O_CLOEXEC != 0;
        self.table_mut(me)?.fds.insert(fd, Descriptor { handle: id, cloexec });
        Ok(fd)
    }

    /// Descriptor `to` names the handle of `from`; what `to` named is closed.
    pub fn duplicate(&mut self, me: Serial, from: u32, to: u32, cloexec: bool) -> Res<Closed> {
        let handle = self.descriptor(me, from)?.handle;
        if let Some(h) = self.handles.get_mut(&handle) {
            h.refs += 1;
        }
        let old = self.table_mut(me)?.fds.insert(to, Descriptor { handle, cloexec });
        Ok(old.and_then(|d| self.drop_handle(d.handle)))
    }

    pub fn set_cloexec(&mut self, me: Serial, fd: u32, on: bool) -> Res {
        self.table_mut(me)?.fds.get_mut(&fd).ok_or(e::EBADF)?.cloexec = on;
        Ok(())
    }

    pub fn close(&mut self, me: Serial, fd: u32) -> Res<Closed> {
        let gone = self.table_mut(me)?.fds.remove(&fd).ok_or(e::EBADF)?;
        Ok(self.drop_handle(gone.handle))
    }

    fn drop_handle(&mut self, id: HandleId) -> Closed {
        let handle = self.handles.get_mut(&id)?;
        handle.refs -= 1;
        if handle.refs > 0 {
            return None;
        }
        let handle = self.handles.remove(&id)?;
        self.let_go(handle.node);
        match handle.target {
            Target::Pipe { pipe, reads, writes } => Some((pipe, reads, writes)),
            _ => None,
        }
    }
}
