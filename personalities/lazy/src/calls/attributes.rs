//! What changes an inode and not its name: modes, owners, times, length.

use super::name::{AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW};
use super::*;
use crate::files::stat::Stat;
use crate::files::walk::{AT_FDCWD, Node};
use crate::files::{Body, S_IFDIR, S_IFMT, S_IFREG, Time};
use crate::open::{Kind, O_PATH};
use crate::pipe::Attributes;

impl<H: Hardware> Kernel<H> {
    /// Changes an inode of the root file system.
    pub(super) fn change_inode(
        &mut self,
        node: Node,
        change: impl FnOnce(&mut crate::files::Inode),
    ) -> CallResult {
        let stat = self.stat_node(node)?;
        let now = self.now();
        match stat.dev {
            1 => {
                let i = self.files.inodes.get_mut(&stat.ino).ok_or(ENOENT)?;
                i.changed = true;
                change(i);
                i.times[2] = now;
                done(0)
            }
            2 | 3 => Err(EROFS),
            _ => self.change_pipe(node, stat, change),
        }
    }

    /// The same of a pipe without a name, by its descriptor.
    fn change_pipe(
        &mut self,
        node: Node,
        stat: Stat,
        change: impl FnOnce(&mut crate::files::Inode),
    ) -> CallResult {
        let now = self.now();
        let Node::Open(file) = node else { return Err(EBADF) };
        let pipe = self.open.get(file).and_then(|f| f.nameless_pipe()).ok_or(EBADF)?;
        let pipe = self.pipes.get_mut(pipe).ok_or(EBADF)?;
        let mut inode = stat.as_inode(Body::Fifo(None));
        change(&mut inode);
        let [accessed, modified, _] = inode.times;
        pipe.attributes = Some(Attributes {
            mode: inode.mode & 0o7777,
            owner: [inode.uid, inode.gid],
            times: [accessed, modified, now],
        });
        done(0)
    }

    pub(super) fn sys_fchmod(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let file = self.file(serial, a[0])?;
        let mode = a[1] as u32 & 0o7777;
        self.change_inode(Node::Open(file), |i| i.mode = i.mode & S_IFMT | mode)
    }

    pub(super) fn sys_fchmodat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let node = self.node_at(serial, a[0], a[1], 0, true)?;
        let mode = a[2] as u32 & 0o7777;
        self.change_inode(node, |i| i.mode = i.mode & S_IFMT | mode)
    }

    pub(super) fn chown(&mut self, node: Node, uid: u32, gid: u32) -> CallResult {
        self.change_inode(node, |i| {
            if uid != u32::MAX {
                i.uid = uid;
            }
            if gid != u32::MAX {
                i.gid = gid;
            }
            // As Linux: the set-id bits go, but for directories and a group bit without execution.
            if i.mode & S_IFMT != S_IFDIR {
                i.mode &= !0o4000;
                if i.mode & 0o10 != 0 {
                    i.mode &= !0o2000;
                }
            }
        })
    }

    pub(super) fn sys_fchown(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let file = self.file(serial, a[0])?;
        self.chown(Node::Open(file), a[1] as u32, a[2] as u32)
    }

    pub(super) fn sys_fchownat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[4] & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, a[0], a[1], a[4], a[4] & AT_SYMLINK_NOFOLLOW == 0)?;
        self.chown(node, a[2] as u32, a[3] as u32)
    }

    pub(super) fn sys_utimensat(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const NOW: u64 = 0x3fff_ffff;
        const OMIT: u64 = 0x3fff_fffe;
        let now = self.now();
        let mut times = [Some(now), Some(now)];
        let mut valid = true;
        if a[2] != 0 {
            let space = self.space(serial)?;
            let mut words = [0; 4];
            for (i, w) in words.iter_mut().enumerate() {
                *w = self.memory.read_u64(space, a[2].wrapping_add(i as u64 * 8))?;
            }
            for (t, w) in times.iter_mut().zip(words.chunks_exact(2)) {
                *t = match w[1] {
                    NOW => Some(now),
                    OMIT => None,
                    n if n < 1_000_000_000 => Some(Time(w[0] as i64, n as u32)),
                    _ => {
                        valid = false;
                        Some(now)
                    }
                };
            }
            if times == [None, None] {
                return done(0);
            }
        }
        let node = if a[1] == 0 && a[0] as i32 != AT_FDCWD {
            if a[3] != 0 {
                return Err(EINVAL);
            }
            Node::Open(self.file(serial, a[0])?)
        } else {
            if a[3] & !(AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0 {
                return Err(EINVAL);
            }
            self.node_at(serial, a[0], a[1], a[3], a[3] & AT_SYMLINK_NOFOLLOW == 0)?
        };
        // As Linux' vfs_utimes: behind the walk, before the mount is asked.
        if !valid {
            return Err(EINVAL);
        }
        let changed = match self.stat_node(node)? {
            s if s.dev == 1 => self.files.inode(s.ino)?.changed,
            _ => true,
        };

        self.change_inode(node, |i| {
            for (slot, t) in i.times.iter_mut().zip(times) {
                if let Some(t) = t {
                    *slot = t;
                }
            }
            // "Times do not count" as a change, what was changed before does.
            i.changed = changed;
            i.touched = true;
        })
    }

    pub(super) fn sys_truncate(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if (a[1] as i64) < 0 {
            return Err(EINVAL);
        }
        let node = self.node_at(serial, AT_FDCWD as u64, a[0], 0, true)?;
        let Stat { ino, mode, .. } = self.stat_node(node)?;
        match mode & S_IFMT {
            S_IFDIR => Err(EISDIR),
            S_IFREG => self.truncate_inode(ino, a[1]),
            _ => Err(EINVAL),
        }
    }

    pub(super) fn sys_ftruncate(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if (a[1] as i64) < 0 {
            return Err(EINVAL);
        }
        let id = self.any_file(serial, a[0])?;
        let f = self.open.get(id).ok_or(EBADF)?;
        if f.flags & O_PATH != 0 {
            return Err(EBADF);
        }
        if f.kind != Kind::File || !f.writable() {
            return Err(EINVAL);
        }
        self.truncate_inode(f.inode, a[1])
    }

    pub(super) fn truncate_inode(&mut self, ino: u64, size: u64) -> CallResult {
        if self.files.inode(ino).is_err() {
            return Err(EROFS);
        }
        if size > crate::files::SIZE_MAX {
            return Err(EFBIG);
        }
        let now = self.now();
        let kept = size.div_ceil(4096);
        self.files
            .change(&mut self.memory.physical, ino, kept, |c, p, _| c.truncate(p, size))?
            .map_err(|_| ENOSPC)?;
        if let Some(i) = self.files.inodes.get_mut(&ino) {
            i.times[1] = now;
            i.times[2] = now;
        }
        done(0)
    }
}
