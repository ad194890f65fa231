//! Opening by path, in the order of checks of Linux 6.1 (`path_openat`). What waits (FIFOs) or belongs to others (texts, terminal) the caller goes on with.

use super::flags::*;
use super::node::{Body, NodeId, PIPES, Realm, S_IFREG, realm};
use super::virtuals::{self, Device, Text};
use super::walk::{Follow, Last};
use super::{Dentry, Files, Target};
use crate::error::{Res, e};
use crate::pipes::PipeId;
use crate::turns::Serial;
use alloc::rc::Rc;

/// Mode of a directory that all may write to, and where each keeps what is his (S_ISVTX and S_IWOTH).
const STICKY_FOR_ALL: u32 = 0o1002;

/// What a new handle is made of.
pub struct Opened {
    pub target: Target,
    pub node: NodeId,
    pub name: Option<Rc<Dentry>>,
    pub writers_before: Option<u64>,
}

impl Opened {
    /// Of something that no directory names.
    pub fn nameless(target: Target, node: NodeId) -> Opened {
        Opened { target, node, name: None, writers_before: None }
    }
}

/// What stands at a path that may be opened.
pub enum What {
    Place,
    File,
    Directory,
    Text(Text),
    Fifo,
    /// A pipe that is open already, by /proc/self/fd.
    Pipe(PipeId),
    Device(Device),
}

/// The outcome of a walk that found something to open.
pub struct Opening {
    pub what: What,
    pub node: NodeId,
    /// The dentry by which it is opened, where it has not one of its own.
    pub name: Option<Rc<Dentry>>,
}

/// Status flags that a handle keeps.
pub fn status(flags: u32) -> u32 {
    if flags & O_PATH != 0 {
        return flags & (O_PATH | O_DIRECTORY | O_NOFOLLOW);
    }
    let kept = O_ACCMODE | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | FASYNC | O_LARGEFILE | O_NOATIME;
    flags & (kept | O_DIRECTORY | O_NOFOLLOW)
}

impl Files {
    /// Walks, creates, truncates. `flags` as given.
    pub fn open(&mut self, me: Serial, start: NodeId, path: &[u8], flags: u32, mode: u32) -> Res<Opening> {
        let creates = flags & O_CREAT != 0;
        let exclusive = creates && flags & O_EXCL != 0;
        let follow = if flags & O_NOFOLLOW != 0 || exclusive { Follow::No } else { Follow::Yes };
        let spot = self.walk_to(me, start, path, follow, creates)?;
        let Some(node) = spot.node else {
            let Last::Name(last) = &spot.last else { return Err(e::ENOENT) };
            if !creates {
                return Err(e::ENOENT);
            }
            let mode = mode & 0o7777 & !self.table(me)?.umask;
            let node = self.make(spot.directory, last, S_IFREG | mode, Body::File(Default::default()))?;
            if flags & O_DIRECT != 0 {
                return Err(e::EINVAL);
            }
            return Ok(Opening { what: What::File, node, name: self.opened_by(&spot, node) });
        };
        let directory = self.is_directory(node);
        if exclusive {
            return Err(e::EEXIST);
        }
        if creates {
            self.may_create_over(spot.directory, node)?;
        }
        if (flags & O_DIRECTORY != 0 || spot.slash) && !directory {
            return Err(e::ENOTDIR);
        }
        if flags & O_PATH != 0 {
            return Ok(Opening { what: What::Place, node, name: self.opened_by(&spot, node) });
        }
        if self.leads(me, node).is_some() {
            return Err(e::ELOOP);
        }
        let writes = (flags + 1) & 2 != 0 || flags & O_ACCMODE == O_ACCMODE || flags & O_TRUNC != 0;
        if directory && writes {
            return Err(e::EISDIR);
        }
        let what = self.what(node, writes)?;
        if flags & O_DIRECT != 0 {
            return Err(e::EINVAL);
        }
        if flags & O_TRUNC != 0 && matches!(what, What::File) {
            self.truncate(node, 0)?;
        }
        Ok(Opening { what, node, name: self.opened_by(&spot, node) })
    }

    /// What is there when O_CREAT is given, found in `directory`. As Linux' `may_create_in_sticky` with its two settings at 0: regular files and FIFOs are
    /// spared, anything else in a sticky directory that all may write to must be the directory's owner's, or the caller's, who is uid 0.
    fn may_create_over(&self, directory: NodeId, node: NodeId) -> Res {
        if self.is_directory(node) {
            return Err(e::EISDIR);
        }
        // No directory but those of the root file system is like that.
        let (Some(d), Some(n)) = (self.nodes.get(&directory), self.nodes.get(&node)) else { return Ok(()) };
        let is_spared = matches!(n.body, Body::File(_) | Body::Fifo(_));
        let is_open_to_all = d.mode & STICKY_FOR_ALL == STICKY_FOR_ALL;
        if is_open_to_all && !is_spared && n.uid != d.uid && n.uid != 0 { Err(e::EACCES) } else { Ok(()) }
    }

    pub(super) fn what(&self, node: NodeId, writes: bool) -> Res<What> {
        if self.is_directory(node) {
            return Ok(What::Directory);
        }
        match realm(node) {
            Realm::Pipe => Ok(What::Pipe(node - PIPES)),
            Realm::Dev => Files::device_of(node).map(What::Device).ok_or(e::ENXIO),
            Realm::Proc => {
                let text = Files::text_of(node).ok_or(e::ENOENT)?;
                if writes { Err(e::EROFS) } else { Ok(What::Text(text)) }
            }
            Realm::Root => match &self.node(node)?.body {
                Body::File(_) => Ok(What::File),
                Body::Fifo(_) => Ok(What::Fifo),
                Body::Device(number) => {
                    let character = self.node(node)?.mode & super::node::S_IFMT == super::node::S_IFCHR;
                    virtuals::device(*number).filter(|_| character).map(What::Device).ok_or(e::ENXIO)
                }
                _ => Err(e::ENXIO),
            },
        }
    }
}
