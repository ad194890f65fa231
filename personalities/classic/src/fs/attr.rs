//! Calls that change what a file is: mode, owner, times, size; and calls that change nothing.

use super::file::{Kind, is_anonymous_pipe};
use super::inode::{Meta, Time};
use super::linux::*;
use super::path::{read_nonempty, read_path};
use super::syscalls::{Answer, Call};
use super::{Fs, Ino};
use crate::errno::*;

const UTIME_NOW: u64 = 0x3fff_ffff;
const UTIME_OMIT: u64 = 0x3fff_fffe;

impl Fs {
    /// Changes a file's mode, owner or times.
    fn change(&mut self, call: &Call<'_, '_>, node: Ino, f: impl FnOnce(&mut Meta)) -> Answer {
        self.writable_mount(node)?;
        let meta = match self.pipes.get_mut(&node) {
            Some(pipe) if is_anonymous_pipe(node) => &mut pipe.meta,
            _ => &mut self.tree.get_mut(node).ok_or(ENOENT)?.meta,
        };
        f(meta);
        meta.ctime = Time::from_us(call.caller.now_us);
        Ok(0)
    }

    fn chmod(&mut self, call: &Call<'_, '_>, node: Ino, mode: u32) -> Answer {
        self.change(call, node, |meta| meta.mode = meta.mode & S_IFMT | mode & 0o7777)?;
        self.mark(node)
    }

    fn mark(&mut self, node: Ino) -> Answer {
        if let Some(inode) = self.tree.get_mut(node) {
            inode.changed = true;
        }
        Ok(0)
    }

    pub(super) fn fchmod(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let node = self.real_file(call.caller.fds, call.fd(0))?.1.node;
        self.chmod(call, node, call.u32(1))
    }

    pub(super) fn fchmodat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let path = read_nonempty(call.user, call.args[1])?;
        let node = self.resolve(call.caller, call.fd(0), &path, 0)?;
        self.chmod(call, node, call.u32(2))
    }

    fn chown(&mut self, call: &Call<'_, '_>, node: Ino, uid: u32, gid: u32) -> Answer {
        self.change(call, node, |meta| {
            meta.uid = if uid == u32::MAX { meta.uid } else { uid };
            meta.gid = if gid == u32::MAX { meta.gid } else { gid };
            // A new owner does not inherit set-id bits, whoever gives the file away.
            if meta.mode & S_IFMT != S_IFDIR {
                meta.mode &= !S_ISUID;
                if meta.mode & 0o010 != 0 {
                    meta.mode &= !S_ISGID;
                }
            }
        })?;
        self.mark(node)
    }

    pub(super) fn fchown(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let node = self.real_file(call.caller.fds, call.fd(0))?.1.node;
        self.chown(call, node, call.u32(1), call.u32(2))
    }

    pub(super) fn fchownat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let flags = call.u32(4);
        if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL.into());
        }
        let path = read_path(call.user, call.args[1])?;
        let node = self.resolve(call.caller, call.fd(0), &path, flags)?;
        self.chown(call, node, call.u32(2), call.u32(3))
    }

    pub(super) fn utimensat(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let mut times = [(0, UTIME_NOW); 2];
        if call.args[2] != 0 {
            let bytes: [u8; 32] = call.get(call.args[2])?;
            let word = |i: usize| bytes[i..i + 8].iter().rev().fold(0u64, |n, b| n << 8 | u64::from(*b));
            times = [(word(0), word(8)), (word(16), word(24))];
            if times.iter().all(|(_, nsec)| *nsec == UTIME_OMIT) {
                return Ok(0);
            }
        }
        let flags = call.u32(3);
        let node = if call.args[1] == 0 && call.fd(0) != AT_FDCWD {
            if flags != 0 {
                return Err(EINVAL.into());
            }
            self.real_file(call.caller.fds, call.fd(0))?.1.node
        } else {
            if flags & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
                return Err(EINVAL.into());
            }
            let path = read_path(call.user, call.args[1])?;
            self.resolve(call.caller, call.fd(0), &path, flags)?
        };
        // As Linux: asked when it is known whose times they are, and before whether that can be written.
        let good = |nsec: u64| nsec < 1_000_000_000 || nsec == UTIME_NOW || nsec == UTIME_OMIT;
        if times.iter().any(|(_, nsec)| !good(*nsec)) {
            return Err(EINVAL.into());
        }
        let now = Time::from_us(call.caller.now_us);
        let set = |old: Time, (sec, nsec): (u64, u64)| match nsec {
            UTIME_NOW => now,
            UTIME_OMIT => old,
            _ => Time { sec: sec as i64, nsec: nsec as u32 },
        };
        self.change(call, node, |meta| {
            meta.atime = set(meta.atime, times[0]);
            meta.mtime = set(meta.mtime, times[1]);
        })
    }

    fn set_size(&mut self, call: &Call<'_, '_>, node: Ino, size: u64) -> Answer {
        if size > FILE_SIZE_MAX {
            return Err(EFBIG.into());
        }
        self.tree.truncate(node, size, Time::from_us(call.caller.now_us))?;
        Ok(0)
    }

    pub(super) fn truncate(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let size = u64::try_from(call.args[1] as i64).map_err(|_| EINVAL)?;
        let path = read_nonempty(call.user, call.args[0])?;
        let node = self.resolve(call.caller, AT_FDCWD, &path, 0)?;
        match self.mode(node) & S_IFMT {
            S_IFDIR => return Err(EISDIR.into()),
            S_IFREG => self.writable_mount(node)?,
            _ => return Err(EINVAL.into()),
        }
        self.set_size(call, node, size)
    }

    pub(super) fn ftruncate(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let size = u64::try_from(call.args[1] as i64).map_err(|_| EINVAL)?;
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        if open.kind != Kind::Regular || !open.writable() {
            return Err(EINVAL.into());
        }
        self.set_size(call, open.node, size)
    }

    /// As Linux on a file system without it: the arguments are looked at, then EOPNOTSUPP.
    pub(super) fn fallocate(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        let (offset, len) = (call.args[2] as i64, call.args[3] as i64);
        if offset < 0 || len <= 0 {
            return Err(EINVAL.into());
        }
        check_fallocate_mode(call.u32(1))?;
        if !open.writable() {
            return Err(EBADF.into());
        }
        let beyond = offset.checked_add(len).is_none_or(|end| end as u64 > FILE_SIZE_MAX);
        Err(match open.kind {
            Kind::Pipe { .. } => ESPIPE,
            Kind::Directory => EISDIR,
            Kind::Regular if beyond => EFBIG,
            Kind::Regular => EOPNOTSUPP,
            _ => ENODEV,
        }
        .into())
    }

    pub(super) fn umask(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let old = *call.caller.umask;
        *call.caller.umask = call.u32(0) & 0o777;
        Ok(i64::from(old))
    }

    pub(super) fn sync(&mut self, _call: &mut Call<'_, '_>) -> Answer {
        Ok(0)
    }

    pub(super) fn fsync(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        let stored =
            matches!(open.kind, Kind::Regular | Kind::Directory) && self.tree.get(open.node).is_some();
        if stored { Ok(0) } else { Err(EINVAL.into()) }
    }

    pub(super) fn fadvise64(&mut self, call: &mut Call<'_, '_>) -> Answer {
        let (_, open) = self.real_file(call.caller.fds, call.fd(0))?;
        if matches!(open.kind, Kind::Pipe { .. }) {
            return Err(ESPIPE.into());
        }
        if (call.args[2] as i64) < 0 || call.u32(3) > 5 { Err(EINVAL.into()) } else { Ok(0) }
    }

    pub(super) fn xattr_of_path(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.xattr(call, 0)
    }

    pub(super) fn xattr_of_link(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.xattr(call, AT_SYMLINK_NOFOLLOW)
    }

    fn xattr(&mut self, call: &mut Call<'_, '_>, flags: u32) -> Answer {
        let path = read_nonempty(call.user, call.args[0])?;
        self.resolve(call.caller, AT_FDCWD, &path, flags)?;
        Err(EOPNOTSUPP.into())
    }

    pub(super) fn xattr_of_file(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.real_file(call.caller.fds, call.fd(0))?;
        Err(EOPNOTSUPP.into())
    }

    pub(super) fn socket(&mut self, _call: &mut Call<'_, '_>) -> Answer {
        Err(EAFNOSUPPORT.into())
    }

    pub(super) fn not_a_socket(&mut self, call: &mut Call<'_, '_>) -> Answer {
        self.real_file(call.caller.fds, call.fd(0))?;
        Err(ENOTSOCK.into())
    }
}

/// fallocate's modes that Linux knows, and together with which others: EOPNOTSUPP, EINVAL.
fn check_fallocate_mode(mode: u32) -> Result<(), Errno> {
    const KEEP_SIZE: u32 = 1;
    const PUNCH_HOLE: u32 = 2;
    const COLLAPSE_RANGE: u32 = 8;
    const ZERO_RANGE: u32 = 0x10;
    const INSERT_RANGE: u32 = 0x20;
    const UNSHARE_RANGE: u32 = 0x40;
    const KNOWN: u32 = KEEP_SIZE | PUNCH_HOLE | COLLAPSE_RANGE | ZERO_RANGE | INSERT_RANGE | UNSHARE_RANGE;
    let has = |bit: u32| mode & bit != 0;
    if has(!KNOWN) || has(PUNCH_HOLE) && (has(ZERO_RANGE) || !has(KEEP_SIZE)) {
        return Err(EOPNOTSUPP);
    }
    let mixed = |bit: u32, with: u32| has(bit) && has(!(bit | with));
    if mixed(COLLAPSE_RANGE, 0) || mixed(INSERT_RANGE, 0) || mixed(UNSHARE_RANGE, KEEP_SIZE) {
        return Err(EINVAL);
    }
    Ok(())
}
