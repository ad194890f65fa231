//! openat.

use super::{Outcome, done};
use crate::errno::*;
use crate::fs::device::{self, Kind};
use crate::fs::node::{Node, Proc, Stat};
use crate::fs::opened::Name;
use crate::fs::path::{Last, PATH_MAX, Walked};
use crate::fs::{CHARACTER, DIRECTORY, FIFO, REGULAR, SYMLINK, TYPE};
use crate::process::{Opening, Thing, Wait};
use crate::state::{Leads, Open, State};

const ACCESS: u32 = 3;
const CREAT: u32 = 0o100;
const EXCL: u32 = 0o200;
const NOCTTY: u32 = 0o400;
const TRUNC: u32 = 0o1000;
const NONBLOCK: u32 = 0o4000;
const DIRECTORY_FLAG: u32 = 0o40000;
const NOFOLLOW: u32 = 0o100000;
const DIRECT: u32 = 0o200000;
const LARGEFILE: u32 = 0o400000;
const CLOEXEC: u32 = 0o2000000;
const PATH: u32 = 0o10000000;
const TMPFILE: u32 = 0o20000000;
/// What F_GETFL does not tell.
const MOMENTARY: u32 = CREAT | EXCL | NOCTTY | TRUNC | CLOEXEC;
const KNOWN: u32 = 0o37777777 & !0o74;
/// Of a directory: S_ISVTX, and all may write.
const STICKY_FOR_ALL: u32 = 0o1002;
/// Who makes calls.
const CALLER: u32 = 0;

impl State {
    /// A path argument.
    pub fn path_argument(&mut self, s: u64, at: u64) -> Result<alloc::vec::Vec<u8>> {
        self.space(s).string(at, PATH_MAX, ENAMETOOLONG)
    }

    /// openat.
    pub fn openat(&mut self, s: u64, dirfd: u64, path: u64, flags: u32, mode: u32) -> Result<Outcome> {
        let mut flags = flags & KNOWN;
        if flags & PATH != 0 {
            flags &= PATH | DIRECTORY_FLAG | NOFOLLOW | CLOEXEC;
        }
        if flags & TMPFILE != 0 {
            let whole = flags & (CREAT | DIRECTORY_FLAG) == DIRECTORY_FLAG && flags & ACCESS != 0;
            return Err(if whole { EOPNOTSUPP } else { EINVAL });
        }
        if flags & (CREAT | DIRECTORY_FLAG) == CREAT | DIRECTORY_FLAG
            || flags & DIRECT != 0 && flags & PATH == 0
        {
            return Err(EINVAL);
        }
        let path = self.path_argument(s, path)?;
        let fd = self.free_fd(s, 0)?;
        if self.opens.size() >= abi::turn::OPEN_FILES_MAX {
            return Err(ENFILE);
        }
        let last = match flags & NOFOLLOW == 0 {
            follows if flags & CREAT != 0 => Last::Create(follows && flags & EXCL == 0),
            true => Last::Follow,
            false => Last::Keep,
        };
        let walked = self.walk(s, dirfd, &path, last)?;
        let mut made = false;
        let node = match walked.node {
            Some(_) if flags & (CREAT | EXCL) == CREAT | EXCL => return Err(EEXIST),
            Some(n) => n,
            None if flags & CREAT == 0 => return Err(ENOENT),
            None => {
                made = true;
                self.create(s, &walked, mode)?
            }
        };
        let stat = self.stat(node)?;
        self.may_open(&walked, &stat, flags, made)?;
        let name = self.name_of(&walked, node);
        let Some(leads) = self.leads(s, node, stat.mode, flags)? else { return self.wait_for_fifo(s, node) };
        if flags & TRUNC != 0
            && !made
            && let Leads::File(inode) = leads
        {
            let now = self.now_ns();
            self.files.truncate(inode, 0, now)?;
        }
        let large = if flags & PATH == 0 { LARGEFILE } else { 0 };
        let status = (flags & !MOMENTARY) | large;
        let node = if let Leads::Pipe(n, ..) = leads { self.pipe_node(n) } else { node };
        self.take_terminal(s, node, flags);
        let hangup_after = if let Leads::Pipe(n, true, false) = leads
            && flags & NONBLOCK != 0
        {
            // As Linux' fifo_open: the end of a pipe without a name that is opened again waits for no first writer.
            self.pipes.get(&n).filter(|p| p.fifo && p.writers == 0).map_or(0, |p| p.writers_seen + 1)
        } else {
            0
        };
        let open =
            self.add_open(Open { leads, node, flags: status, offset: 0, references: 0, name, hangup_after })?;
        self.set_fd(s, fd, open, flags & CLOEXEC != 0);
        done(fd)
    }

    fn create(&mut self, s: u64, walked: &Walked, mode: u32) -> Result<Node> {
        let dir = self.place_for(walked)?;
        self.make_named(s, dir, &walked.name, REGULAR | mode & 0o7777).map(Node::File)
    }

    /// Linux' may_create_in_sticky (fs/namei.c), with fs.protected_fifos and fs.protected_regular 0. What a link of /proc led to directly was not
    /// looked up where it lies.
    fn may_create_in_sticky(&self, walked: &Walked, stat: &Stat) -> Result<()> {
        if matches!(stat.mode & TYPE, REGULAR | FIFO) || walked.led.is_some() {
            return Ok(());
        }
        let dir = self.stat(walked.dir)?;
        let owned = stat.uid == dir.uid || stat.uid == CALLER;
        if dir.mode & STICKY_FOR_ALL == STICKY_FOR_ALL && !owned { Err(EACCES) } else { Ok(()) }
    }

    fn may_open(&self, walked: &Walked, stat: &Stat, flags: u32, made: bool) -> Result<()> {
        let (mode, writes) = (stat.mode, flags & ACCESS != 0);
        // In the order of do_open and may_open (fs/namei.c): that it must be a directory comes before that it is a link.
        if flags & CREAT != 0 && !made {
            if mode & TYPE == DIRECTORY {
                return Err(EISDIR);
            }
            self.may_create_in_sticky(walked, stat)?;
        }
        match mode & TYPE {
            kind if kind != DIRECTORY && (flags & DIRECTORY_FLAG != 0 || walked.slash) => {
                return Err(ENOTDIR);
            }
            SYMLINK if flags & PATH == 0 => return Err(ELOOP),
            DIRECTORY if flags & PATH == 0 && (writes || flags & TRUNC != 0) => return Err(EISDIR),
            _ => {}
        }
        let fixed = matches!(walked.node, Some(Node::Proc(_)));
        if fixed && flags & PATH == 0 && (writes || flags & TRUNC != 0) && mode & TYPE == REGULAR {
            return Err(EROFS);
        }
        Ok(())
    }

    /// What an open file leads to; none: it is a FIFO whose other end lacks.
    fn leads(&mut self, s: u64, node: Node, mode: u32, flags: u32) -> Result<Option<Leads>> {
        if flags & PATH != 0 {
            return Ok(Some(Leads::Path));
        }
        let access = flags & ACCESS;
        let is_pipe = matches!(node, Node::Pipe(_)) || mode & TYPE == FIFO && matches!(node, Node::File(_));
        if is_pipe && access == ACCESS {
            return Err(EINVAL);
        }
        Ok(Some(match node {
            Node::Pipe(n) => {
                self.open_pipe(n, access != 1, access != 0);
                Leads::Pipe(n, access != 1, access != 0)
            }
            _ if mode & TYPE == DIRECTORY => Leads::Directory(node),
            Node::Device(Some(i)) => self.open_device(s, i)?,
            Node::File(inode) => match mode & TYPE {
                REGULAR => Leads::File(inode),
                CHARACTER => {
                    let rdev = self.files.inode(inode).map_or(0, |i| i.rdev);
                    self.open_device(s, device::find(rdev).ok_or(ENXIO)?)?
                }
                FIFO => return self.open_fifo(s, inode, access, flags & NONBLOCK != 0),
                _ => return Err(ENXIO),
            },
            Node::Proc(p) => Leads::Text(self.proc_text(p).ok_or(ENOMEM)?.into()),
            Node::Device(None) => Leads::Directory(node),
        }))
    }

    fn open_device(&self, s: u64, i: usize) -> Result<Leads> {
        match device::TABLE.get(i).map(|(_, k)| k) {
            Some(Kind::Device(..)) if i == device::TTY => {
                let own = self.tty.session != 0 && self.process(s).session == self.tty.session;
                if own { Ok(Leads::Terminal) } else { Err(ENXIO) }
            }
            Some(Kind::Device(..)) if i == device::CONSOLE || i == device::SERIAL => Ok(Leads::Terminal),
            Some(Kind::Device(..)) => Ok(Leads::Device(i)),
            _ => Err(ENXIO),
        }
    }

    /// A session leader without terminal takes /dev/ttyAMA0.
    fn take_terminal(&mut self, s: u64, node: Node, flags: u32) {
        let p = self.process(s);
        let serial = node == Node::Device(Some(device::SERIAL));
        let leader = p.session == p.pid && self.tty.session == 0;
        if serial && leader && flags & (NOCTTY | PATH) == 0 && flags & ACCESS != 1 {
            (self.tty.session, self.tty.foreground) = (p.session, p.group);
        }
    }

    fn open_fifo(&mut self, s: u64, inode: u64, access: u32, nonblock: bool) -> Result<Option<Leads>> {
        if let Some(o) = self.progress(s).opening {
            let pipe = self.pipes.get(&o.pipe).ok_or(ENXIO)?;
            let seen = if o.read { pipe.writers_seen } else { pipe.readers_seen };
            if seen == o.seen {
                return Ok(None);
            }
            self.progress(s).opening = None;
            return Ok(Some(Leads::Pipe(o.pipe, o.read, !o.read)));
        }
        let existing = self.pipe_of_fifo(inode);
        let (readers, writers) =
            existing.and_then(|n| self.pipes.get(&n)).map_or((0, 0), |p| (p.readers, p.writers));
        if access == 1 && nonblock && readers == 0 {
            return Err(ENXIO);
        }
        let n = match existing {
            Some(n) => n,
            None => self.add_pipe(Some(inode))?,
        };
        let (read, write) = (access != 1, access != 0);
        self.open_pipe(n, read, write);
        let waits = !(nonblock || read && write) && if read { writers == 0 } else { readers == 0 };
        if waits {
            let pipe = self.pipes.get(&n).ok_or(ENXIO)?;
            let seen = if read { pipe.writers_seen } else { pipe.readers_seen };
            self.progress(s).opening = Some(Opening { pipe: n, read, seen });
            return Ok(None);
        }
        Ok(Some(Leads::Pipe(n, read, write)))
    }

    fn wait_for_fifo(&mut self, _s: u64, node: Node) -> Result<Outcome> {
        match node {
            Node::File(inode) => Ok(Outcome::Wait(Wait::on(Thing::Opening(inode)))),
            _ => Err(ENXIO),
        }
    }

    /// Process 1's descriptors 0, 1 and 2.
    pub fn open_console(&mut self, s: u64) -> Result<()> {
        let name = Name::fixed(b"/dev/console");
        let node = Node::Device(Some(device::CONSOLE));
        let open =
            Open { leads: Leads::Terminal, node, flags: 2, offset: 0, references: 0, name, hangup_after: 0 };
        let open = self.add_open(open)?;
        (0..3).for_each(|fd| self.set_fd(s, fd, open, false));
        Ok(())
    }

    /// Whether a node is the mounted /proc or /dev.
    pub fn is_mount(node: Node) -> bool {
        matches!(node, Node::Proc(Proc::Root) | Node::Device(None))
    }
}
