//! What is known of files: stat and its kin; modes, owners, times.

use super::{Args, Outcome, done, ok};
use crate::errno::*;
use crate::fs::node::{Node, Stat};
use crate::fs::path::{HERE, Last};
use crate::fs::{SYMLINK, TYPE};
use crate::state::{Leads, State};
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::vec::Vec;

const NO_FOLLOW: u32 = 0x100;
const EMPTY_PATH: u32 = 0x1000;
const NO_AUTOMOUNT: u32 = 0x800;
/// AT_STATX_SYNC_TYPE: of no effect.
const SYNC_TYPE: u32 = 0x6000;
const UTIME_NOW: i64 = 0x3fff_ffff;
const UTIME_OMIT: i64 = 0x3fff_fffe;

fn stat_bytes(st: &Stat) -> Vec<u8> {
    let mut out = Vec::with_capacity(128);
    out.extend_from_slice(&st.dev.to_le_bytes());
    out.extend_from_slice(&st.inode.to_le_bytes());
    for v in [st.mode, st.links, st.uid, st.gid] {
        out.extend_from_slice(&v.to_le_bytes());
    }
    for v in [st.rdev, 0, st.size] {
        out.extend_from_slice(&v.to_le_bytes());
    }
    out.extend_from_slice(&4096u64.to_le_bytes());
    out.extend_from_slice(&st.blocks.to_le_bytes());
    for t in st.times {
        out.extend_from_slice(&t.div_euclid(1_000_000_000).to_le_bytes());
        out.extend_from_slice(&t.rem_euclid(1_000_000_000).to_le_bytes());
    }
    out.extend_from_slice(&[0; 8]);
    out
}

impl State {
    /// What `dirfd`, `path` and `flags` name.
    fn named(&mut self, s: u64, dirfd: u64, path: u64, flags: u32) -> Result<Node> {
        let path = self.path_argument(s, path)?;
        if path.is_empty() && flags & EMPTY_PATH != 0 {
            if dirfd as i32 == HERE {
                return Ok(self.process(s).cwd);
            }
            return Ok(self.open_of(s, dirfd & 0xffff_ffff)?.1.node);
        }
        let last = if flags & NO_FOLLOW != 0 { Last::Keep } else { Last::Follow };
        self.walk(s, dirfd, &path, last)?.there()
    }

    /// newfstatat.
    pub fn fstatat(&mut self, s: u64, dirfd: u64, path: u64, at: u64, flags: u32) -> Result<Outcome> {
        if flags & !(NO_FOLLOW | EMPTY_PATH | NO_AUTOMOUNT | SYNC_TYPE) != 0 {
            return Err(EINVAL);
        }
        let node = self.named(s, dirfd, path, flags)?;
        let stat = self.stat(node)?;
        self.space(s).put(at, &stat_bytes(&stat))?;
        ok()
    }

    /// fstat.
    pub fn fstat(&mut self, s: u64, fd: u64, at: u64) -> Result<Outcome> {
        let node = self.open_of(s, fd & 0xffff_ffff)?.1.node;
        let stat = self.stat(node)?;
        self.space(s).put(at, &stat_bytes(&stat))?;
        ok()
    }

    /// statx.
    pub fn statx(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let flags = a[2] as u32;
        if flags & !(NO_FOLLOW | EMPTY_PATH | NO_AUTOMOUNT | SYNC_TYPE) != 0 || flags & SYNC_TYPE == SYNC_TYPE
        {
            return Err(EINVAL);
        }
        if a[3] & 0x8000_0000 != 0 {
            return Err(EINVAL);
        }
        let node = self.named(s, a[0], a[1], flags)?;
        let st = self.stat(node)?;
        let mut out = alloc::vec![0u8; 256];
        let mut set = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
        set(0, &0x7ffu32.to_le_bytes());
        set(4, &4096u32.to_le_bytes());
        set(16, &st.links.to_le_bytes());
        set(20, &st.uid.to_le_bytes());
        set(24, &st.gid.to_le_bytes());
        set(28, &(st.mode as u16).to_le_bytes());
        set(32, &st.inode.to_le_bytes());
        set(40, &st.size.to_le_bytes());
        set(48, &st.blocks.to_le_bytes());
        // atime, (btime), ctime, mtime.
        for (at, i) in [(64, 0), (96, 2), (112, 1)] {
            set(at, &st.times[i].div_euclid(1_000_000_000).to_le_bytes());
            set(at + 8, &(st.times[i].rem_euclid(1_000_000_000) as u32).to_le_bytes());
        }
        let (major, minor) =
            ((st.rdev >> 8) as u32 & 0xfff, (st.rdev as u32 & 0xff) | (st.rdev >> 12) as u32 & !0xff);
        set(128, &major.to_le_bytes());
        set(132, &minor.to_le_bytes());
        set(136, &((st.dev >> 8) as u32).to_le_bytes());
        set(140, &(st.dev as u32 & 0xff).to_le_bytes());
        self.space(s).put(a[4], &out)?;
        ok()
    }

    fn put_statfs(&mut self, s: u64, node: Node, at: u64) -> Result<Outcome> {
        let free = self.files.pages_left();
        let (magic, counts) = match node {
            Node::File(_) => (0x8584_58f6u64, [FILE_PAGES, free, free, INODES_MAX, self.files.inodes_left()]),
            Node::Device(_) => (0x0102_1994, [0; 5]),
            Node::Proc(_) => (0x9fa0, [0; 5]),
            Node::Pipe(_) => (0x5049_5045, [0; 5]),
        };
        let mut words = alloc::vec![magic, 4096];
        words.extend(counts);
        words.extend([0, 255, 4096, 0, 0, 0, 0, 0]);
        let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
        self.space(s).put(at, &bytes)?;
        ok()
    }

    /// statfs.
    pub fn statfs(&mut self, s: u64, path: u64, at: u64) -> Result<Outcome> {
        let node = self.named(s, HERE as u64, path, 0)?;
        self.put_statfs(s, node, at)
    }

    /// fstatfs.
    pub fn fstatfs(&mut self, s: u64, fd: u64, at: u64) -> Result<Outcome> {
        let node = self.open_of(s, fd & 0xffff_ffff)?.1.node;
        self.put_statfs(s, node, at)
    }

    /// faccessat and faccessat2, for uid 0.
    pub fn faccessat(&mut self, s: u64, dirfd: u64, path: u64, mode: u32, flags: u32) -> Result<Outcome> {
        if mode & !7 != 0 || flags & !(0x200 | NO_FOLLOW | EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let node = self.named(s, dirfd, path, flags)?;
        let stat = self.stat(node)?;
        let kind = stat.mode & TYPE;
        // As Linux: nothing of procfs is executed; that the file system is read-only is found next, before what the file allows.
        if mode & 1 != 0 && kind == crate::fs::REGULAR && matches!(node, Node::Proc(_)) {
            return Err(EACCES);
        }
        let fixed = kind == crate::fs::REGULAR || kind == crate::fs::DIRECTORY || kind == SYMLINK;
        if mode & 2 != 0 && fixed && matches!(node, Node::Proc(_) | Node::Device(_)) {
            return Err(EROFS);
        }
        if mode & 1 != 0 && kind != crate::fs::DIRECTORY && stat.mode & 0o111 == 0 {
            return Err(EACCES);
        }
        ok()
    }

    /// readlinkat.
    pub fn readlinkat(&mut self, s: u64, dirfd: u64, path: u64, at: u64, room: i32) -> Result<Outcome> {
        if room <= 0 {
            return Err(EINVAL);
        }
        let text = self.path_argument(s, path)?;
        let node = if text.is_empty() {
            if dirfd as i32 == HERE {
                return Err(ENOENT);
            }
            let node = self.open_of(s, dirfd & 0xffff_ffff)?.1.node;
            if !self.is_link(node) {
                return Err(ENOENT);
            }
            node
        } else {
            self.walk(s, dirfd, &text, Last::Keep)?.there()?
        };
        let target = self.read_link(node, s)?;
        let n = target.len().min(room as usize);
        self.space(s).put(at, &target[..n])?;
        done(n)
    }

    fn changeable(&self, node: Node) -> Result<u64> {
        match node {
            Node::File(inode) => Ok(inode),
            _ => Err(EROFS),
        }
    }

    fn set_mode(&mut self, node: Node, mode: u32) -> Result<Outcome> {
        let now = self.now_ns();
        if let Node::Pipe(n) = node {
            let pipe = self.pipes.get_mut(&n).ok_or(EBADF)?;
            (pipe.mode, pipe.times[2]) = (mode & 0o7777, now);
            return ok();
        }
        let inode = self.changeable(node)?;
        if self.files.inode(inode).is_some_and(|i| i.mode & TYPE == SYMLINK) {
            return Err(EOPNOTSUPP);
        }
        self.files.change(inode, |i| {
            i.mode = i.mode & TYPE | mode & 0o7777;
            (i.times[2], i.touched) = (now, true);
        });
        ok()
    }

    /// fchmod.
    pub fn fchmod(&mut self, s: u64, fd: u64, mode: u32) -> Result<Outcome> {
        let node = self.usable(s, fd)?.1.node;
        self.set_mode(node, mode)
    }

    /// fchmodat.
    pub fn fchmodat(&mut self, s: u64, dirfd: u64, path: u64, mode: u32) -> Result<Outcome> {
        let node = self.named(s, dirfd, path, 0)?;
        self.set_mode(node, mode)
    }

    fn set_owner(&mut self, node: Node, [uid, gid]: [u32; 2]) -> Result<Outcome> {
        // Of all but directories the bits that would lend the new owner's rights go.
        let kept = |mode: u32| mode & if mode & 0o010 != 0 { !0o6000 } else { !0o4000 };
        let now = self.now_ns();
        if let Node::Pipe(n) = node {
            let pipe = self.pipes.get_mut(&n).ok_or(EBADF)?;
            pipe.times[2] = now;
            for (own, new) in pipe.owner.iter_mut().zip([uid, gid]) {
                *own = if new == u32::MAX { *own } else { new };
            }
            pipe.mode = kept(pipe.mode);
            return ok();
        }
        let inode = self.changeable(node)?;
        self.files.change(inode, |i| {
            if uid != u32::MAX {
                i.uid = uid;
            }
            if gid != u32::MAX {
                i.gid = gid;
            }
            if i.mode & TYPE != crate::fs::DIRECTORY {
                i.mode = kept(i.mode);
            }
            (i.times[2], i.touched) = (now, true);
        });
        ok()
    }

    /// fchown.
    pub fn fchown(&mut self, s: u64, fd: u64, uid: u32, gid: u32) -> Result<Outcome> {
        let node = self.usable(s, fd)?.1.node;
        self.set_owner(node, [uid, gid])
    }

    /// fchownat.
    pub fn fchownat(
        &mut self,
        s: u64,
        dirfd: u64,
        path: u64,
        owner: [u32; 2],
        flags: u32,
    ) -> Result<Outcome> {
        if flags & !(NO_FOLLOW | EMPTY_PATH) != 0 {
            return Err(EINVAL);
        }
        let node = self.named(s, dirfd, path, flags)?;
        self.set_owner(node, owner)
    }

    /// Seconds and nanoseconds of `utimensat`'s two times, as they stand in the program.
    fn two_times(&mut self, s: u64, at: u64) -> Result<[(i64, i64); 2]> {
        let mut bytes = [0; 32];
        self.space(s).get(at, &mut bytes)?;
        let word = |n: usize| bytes[n * 8..].first_chunk().map_or(0, |b| i64::from_le_bytes(*b));
        Ok([(word(0), word(1)), (word(2), word(3))])
    }

    /// utimensat, in Linux' order: the two times are read, what they say is looked at behind the path.
    pub fn utimensat(&mut self, s: u64, dirfd: u64, path: u64, times: u64, flags: u32) -> Result<Outcome> {
        let now = self.now_ns();
        let times = if times == 0 { [(0, UTIME_NOW); 2] } else { self.two_times(s, times)? };
        if times.iter().all(|t| t.1 == UTIME_OMIT) {
            return ok();
        }
        let of_descriptor = path == 0 && dirfd as i32 != HERE;
        if flags & !(NO_FOLLOW | EMPTY_PATH) != 0 || of_descriptor && flags != 0 {
            return Err(EINVAL);
        }
        let node = if of_descriptor {
            let (_, open) = self.open_of(s, dirfd & 0xffff_ffff)?;
            if matches!(open.leads, Leads::Path) {
                return Err(EBADF);
            }
            open.node
        } else {
            self.named(s, dirfd, path, flags)?
        };
        let mut wanted = [None; 2];
        for (to, (seconds, nanoseconds)) in wanted.iter_mut().zip(times) {
            *to = match nanoseconds {
                UTIME_NOW => Some(now),
                UTIME_OMIT => None,
                0..1_000_000_000 => {
                    Some(seconds.clamp(-9_000_000_000, 9_000_000_000) * 1_000_000_000 + nanoseconds)
                }
                _ => return Err(EINVAL),
            };
        }
        if let Node::Pipe(n) = node {
            let times = &mut self.pipes.get_mut(&n).ok_or(EBADF)?.times;
            *times = [wanted[0].unwrap_or(times[0]), wanted[1].unwrap_or(times[1]), now];
            return ok();
        }
        let inode = self.changeable(node)?;
        self.files.change(inode, |i| {
            i.times[0] = wanted[0].unwrap_or(i.times[0]);
            i.times[1] = wanted[1].unwrap_or(i.times[1]);
            (i.times[2], i.dated) = (now, true);
        });
        ok()
    }
}
