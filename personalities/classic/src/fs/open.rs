//! openat, and files to execute or map.

use super::content::Content;
use super::dev::{self, Device};
use super::file::{FileId, Kind, Slot, is_anonymous_pipe};
use super::inode::{Body, Time};
use super::linux::*;
use super::path::{Ending, Last, read_nonempty};
use super::proc;
use super::stat::mount;
use super::syscalls::{Answer, Call, Stop};
use super::{Caller, Entry, ExecFile, FdTable, Fs, Ino};
use crate::errno::*;

impl Fs {
    pub(super) fn openat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = open_flags(call.u32(2))?;
        let path = read_nonempty(call.user, call.args[1])?;
        let fd = call.caller.fds.free(0)?;
        self.files.room(1)?;
        let mode = call.u32(3) & 0o7777 & !*call.caller.umask;
        let node = self.open_node(call.caller, call.fd(0), &path, flags, mode);
        let file = node
            .map_err(Stop::from)
            .and_then(|(node, entry)| self.open_file(call.caller, node, entry, flags));
        if !matches!(file, Err(Stop::Out(_))) {
            // A blocked open that is made again may end otherwise than it began: the name may be gone.
            self.forget_opener(call.caller.tid);
        }
        let file = file?;
        call.caller.fds.set(fd, Slot { file, cloexec: flags & O_CLOEXEC != 0 });
        Ok(fd as i64)
    }

    /// Finds or makes the file.
    fn open_node(
        &mut self,
        caller: &Caller<'_>,
        dirfd: i32,
        path: &[u8],
        flags: u32,
        mode: u32,
    ) -> Result<(Ino, Option<Entry>), Errno> {
        let follow = flags & O_NOFOLLOW == 0;
        if flags & O_CREAT == 0 {
            let last = if follow { Last::Follow } else { Last::Keep };
            let found = self.walk(caller, dirfd, path, last)?;
            let node = found.node()?;
            self.may_open(node, flags)?;
            return Ok((node, self.entry_at(&found, node)));
        }
        let last = Last::Create { follow: follow && flags & O_EXCL == 0 };
        let found = self.walk(caller, dirfd, path, last)?;
        if let Some(node) = found.node {
            if flags & O_EXCL != 0 {
                return Err(EEXIST);
            }
            if self.is_dir(node) {
                return Err(EISDIR);
            }
            self.may_create_in_sticky(found.dir, node)?;
            self.may_open(node, flags)?;
            return Ok((node, self.entry_at(&found, node)));
        }
        self.writable_mount(found.dir)?;
        let Ending::Name(name) = &found.ending else { return Err(EISDIR) };
        let now = Time::from_us(caller.now_us);
        let node = self.tree.make(found.dir, name, S_IFREG | mode, Body::Regular(Content::new()), now)?;
        Ok((node, self.tree.hold_entry(found.dir, name)))
    }

    /// EACCES for O_CREAT of a special file that is neither the caller's nor the directory's owner's, where all may make files and remove only their
    /// own: who wanted a file of its own does not get what somebody has put there. (As Linux, where regular files and FIFOs are protected likewise only if
    /// the administrator says so.)
    fn may_create_in_sticky(&self, dir: Ino, node: Ino) -> Result<(), Errno> {
        const CALLER: u32 = 0; // there is one user
        const OF_ALL: u32 = S_ISVTX | 0o2;
        let plain = matches!(self.mode(node) & S_IFMT, S_IFREG | S_IFIFO);
        let owner = |ino| self.meta(ino).map_or(0, |meta| meta.uid);
        let others = owner(node) != CALLER && owner(node) != owner(dir);
        if !plain && self.mode(dir) & OF_ALL == OF_ALL && others { Err(EACCES) } else { Ok(()) }
    }

    fn may_open(&self, node: Ino, flags: u32) -> Result<(), Errno> {
        let kind = self.mode(node) & S_IFMT;
        if flags & O_DIRECTORY != 0 && kind != S_IFDIR {
            return Err(ENOTDIR);
        }
        if flags & O_PATH != 0 {
            return Ok(());
        }
        let write = flags & O_ACCMODE != 0 || flags & O_TRUNC != 0;
        match kind {
            S_IFLNK => Err(ELOOP),
            S_IFDIR if write => Err(EISDIR),
            S_IFREG if write => self.writable_mount(node),
            S_IFSOCK => Err(ENXIO),
            _ => Ok(()),
        }
    }

    /// Makes the open file description.
    fn open_file(
        &mut self,
        caller: &Caller<'_>,
        node: Ino,
        entry: Option<Entry>,
        flags: u32,
    ) -> Result<FileId, Stop> {
        let kept = flags & !(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC);
        let kind = match self.mode(node) & S_IFMT {
            _ if flags & O_PATH != 0 => Kind::Path,
            S_IFDIR => Kind::Directory,
            S_IFIFO => self.open_pipe(node, flags, caller.tid, caller.now_us)?,
            S_IFCHR | S_IFBLK => self.open_device(caller, node, flags)?,
            _ => match proc::place(node) {
                Some(place) => Kind::Text(self.proc_text(caller, place).ok_or(ESRCH)?),
                None => Kind::Regular,
            },
        };
        if kind == Kind::Regular && flags & O_DIRECT != 0 {
            return Err(EINVAL.into());
        }
        if kind == Kind::Regular && flags & O_TRUNC != 0 {
            self.tree.truncate(node, 0, Time::from_us(caller.now_us))?;
        }
        self.tree.hold(node);
        Ok(self.files.add(node, kind, kept, entry))
    }

    fn open_device(&mut self, caller: &Caller<'_>, node: Ino, flags: u32) -> Result<Kind, Errno> {
        let number = match dev::entry(node) {
            Some((_, dev::Entry::Node(number, _))) => *number,
            _ => self.tree.get(node).filter(|i| i.meta.mode & S_IFMT == S_IFCHR).ok_or(ENXIO)?.rdev(),
        };
        let device = dev::device(number).ok_or(ENXIO)?;
        Ok(match device {
            Device::Null => Kind::Null,
            Device::Zero => Kind::Zero,
            Device::Full => Kind::Full,
            Device::Random => Kind::Random,
            Device::ControllingTty if !self.controls(caller) => return Err(ENXIO),
            Device::Tty => {
                // A session leader without a terminal takes it, if it reads.
                let leader = caller.pid == caller.sid && self.tty.session.is_none();
                let reads = matches!(flags & O_ACCMODE, 0 | O_RDWR);
                if leader && flags & O_NOCTTY == 0 && reads {
                    self.tty.session = Some(caller.sid);
                    self.tty.foreground = caller.pgid;
                }
                Kind::Tty
            }
            Device::ControllingTty | Device::Console => Kind::Tty,
        })
    }

    pub(super) fn find_exec(
        &mut self,
        caller: &Caller<'_>,
        dirfd: i32,
        path: &[u8],
    ) -> Result<ExecFile, Errno> {
        let found = self.walk(caller, dirfd, path, Last::Follow)?;
        let node = found.node()?;
        let inode = self.tree.get(node).filter(|_| !is_anonymous_pipe(node)).ok_or(EACCES)?;
        let executable = inode.meta.mode & S_IFMT == S_IFREG && inode.meta.mode & 0o111 != 0;
        let size = inode.size();
        if executable {
            Ok(ExecFile { ino: node, size, entry: self.entry_at(&found, node) })
        } else {
            Err(EACCES)
        }
    }

    pub(super) fn find_mmap(&self, fds: &FdTable, fd: i32) -> Result<ExecFile, Errno> {
        let (_, open) = self.real_file(fds, fd)?;
        if !open.readable() {
            return Err(EACCES);
        }
        if open.kind != Kind::Regular || mount(open.node) as u64 != 1 {
            return Err(ENODEV);
        }
        Ok(ExecFile { ino: open.node, size: self.size(open.node), entry: open.entry.clone() })
    }
}

/// What Linux makes of an open's flags; unknown ones are ignored.
fn open_flags(flags: u32) -> Result<u32, Errno> {
    const KNOWN: u32 = O_ACCMODE
        | O_CREAT
        | O_EXCL
        | O_NOCTTY
        | O_TRUNC
        | O_APPEND
        | O_NONBLOCK
        | O_SYNC
        | O_DSYNC
        | 0o20000
        | O_DIRECT
        | O_LARGEFILE
        | O_DIRECTORY
        | O_NOFOLLOW
        | O_NOATIME
        | O_CLOEXEC
        | O_PATH
        | O_TMPFILE_BIT;
    let mut flags = flags & KNOWN;
    if flags & O_PATH != 0 {
        return Ok(flags & (O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC));
    }
    if flags & O_TMPFILE_BIT != 0 {
        let complete = flags & O_DIRECTORY != 0
            && flags & O_CREAT == 0
            && matches!(flags & O_ACCMODE, O_WRONLY | O_RDWR);
        return Err(if complete { EOPNOTSUPP } else { EINVAL });
    }
    if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY {
        return Err(EINVAL);
    }
    if flags & O_SYNC == O_SYNC & !O_DSYNC {
        flags |= O_DSYNC;
    }
    Ok(flags | O_LARGEFILE)
}
