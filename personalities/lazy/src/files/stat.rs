//! What stat, statx and statfs say.

use super::procfs::{self, PROC};
use super::walk::Node;
use super::*;
use crate::kernel::Kernel;
use crate::open::{Kind, OpenFile};
use crate::pipe::Attributes;
use abi::turn::{FILE_PAGES, INODES_MAX};

/// The fields of `struct stat`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stat {
    /// File system: root 1, /proc 2, /dev 3, pipes 4.
    pub dev: u64,
    /// Number.
    pub ino: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Names.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Access, modification, change.
    pub times: [Time; 3],
}

fn words(out: &mut Vec<u8>, values: &[u64]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

fn halves(out: &mut Vec<u8>, values: &[u32]) {
    values.iter().for_each(|v| out.extend_from_slice(&v.to_le_bytes()));
}

impl Stat {
    /// arm64's `struct stat`.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        words(&mut out, &[self.dev, self.ino]);
        halves(&mut out, &[self.mode, self.nlink, self.uid, self.gid]);
        words(&mut out, &[self.rdev, 0, self.size]);
        halves(&mut out, &[4096, 0]);
        words(&mut out, &[self.blocks]);
        for t in self.times {
            words(&mut out, &[t.0 as u64, t.1.into()]);
        }
        words(&mut out, &[0]);
        out
    }

    /// An inode that says the same of itself, and is nobody's.
    pub fn as_inode(&self, body: Body) -> Inode {
        Inode { nlink: self.nlink, ..Inode::new(self.mode, [self.uid, self.gid], self.times, body) }
    }

    /// `struct statx`.
    pub fn encode_statx(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(256);
        halves(&mut out, &[0x7ff, 4096]);
        words(&mut out, &[0]);
        halves(&mut out, &[self.nlink, self.uid, self.gid, self.mode & 0xffff]);
        words(&mut out, &[self.ino, self.size, self.blocks, 0]);
        let time = |out: &mut Vec<u8>, t: Time| {
            words(out, &[t.0 as u64]);
            halves(out, &[t.1, 0]);
        };
        time(&mut out, self.times[0]);
        time(&mut out, Time::default());
        time(&mut out, self.times[2]);
        time(&mut out, self.times[1]);
        let parts = |n: u64| {
            [((n >> 8 & 0xfff) | (n >> 32 & !0xfff)) as u32, ((n & 0xff) | (n >> 12 & !0xff)) as u32]
        };
        halves(&mut out, &parts(self.rdev));
        halves(&mut out, &parts(self.dev));
        out.resize(256, 0);
        out
    }
}

fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(4096)
}

impl<H: Hardware> Kernel<H> {
    /// Of inode `ino`, wherever it lies.
    pub fn stat_inode(&self, ino: u64) -> Result<Stat> {
        let boot = Time::of_us(self.boot_us);
        if let Some(n) = procfs::node(ino) {
            return self.stat_proc(ino, n);
        }
        if device::is_dev(ino) {
            let mut s = Stat { dev: 3, ino, nlink: 1, times: [boot; 3], ..Stat::default() };
            match device::entry(ino) {
                None => (s.mode, s.nlink, s.size, s.blocks) = (S_IFDIR | 0o755, 2, 4096, 8),
                Some(device::Entry::Device(rdev, mode)) => (s.mode, s.rdev) = (S_IFCHR | mode, rdev),
                Some(device::Entry::Link(to)) => (s.mode, s.size) = (S_IFLNK | 0o777, to.len() as u64),
            }
            return Ok(s);
        }
        let i = self.files.inode(ino)?;
        let (mut size, mut blocks, mut rdev) = (0, 0, 0);
        match &i.body {
            Body::File(c) => (size, blocks) = (c.size, pages(c.size) * 8),
            Body::Directory(_) => (size, blocks) = (4096, 8),
            Body::Link(to) => {
                size = to.len() as u64;
                blocks = if size >= 60 { 8 } else { 0 };
            }
            Body::Device(n) => rdev = *n,
            Body::Fifo(_) => {}
        }
        let Inode { mode, uid, gid, nlink, times, .. } = *i;
        Ok(Stat { dev: 1, ino, mode, nlink, uid, gid, rdev, size, blocks, times })
    }

    fn stat_proc(&self, ino: u64, n: procfs::Node) -> Result<Stat> {
        let mut s = Stat { dev: 2, ino, nlink: 1, times: [Time::of_us(self.boot_us); 3], ..Stat::default() };
        let pid = match n {
            procfs::Node::Pid(pid) | procfs::Node::Entry(pid, _) | procfs::Node::Link(pid, _) => Some(pid),
            _ => None,
        };
        if pid.is_some_and(|p| self.by_pid(p).is_none()) {
            return Err(ENOENT);
        }
        s.mode = match n {
            procfs::Node::Link(..) => {
                s.size = 64;
                S_IFLNK | 0o700
            }
            n if n.is_link() => S_IFLNK | 0o777,
            procfs::Node::Entry(_, b"fd") => S_IFDIR | 0o500,
            n if n.is_directory() => S_IFDIR | 0o555,
            _ => S_IFREG | 0o444,
        };
        if n.is_directory() {
            let below = match n {
                procfs::Node::Root => self.processes.len() as u32,
                procfs::Node::Pid(_) => 1,
                _ => 0,
            };
            s.nlink = 2 + below;
            (s.size, s.blocks) = (4096, 8);
        }
        Ok(s)
    }

    /// Of an open file description.
    pub fn stat_open(&self, file: &OpenFile) -> Result<Stat> {
        match file.nameless_pipe() {
            Some(p) => {
                let pipe = self.pipes.get(p).ok_or(EBADF)?;
                let Attributes { mode, owner: [uid, gid], times } = pipe.attributes();
                let mode = S_IFIFO | mode;
                Ok(Stat { dev: 4, ino: pipe.number, mode, nlink: 1, uid, gid, times, ..Stat::default() })
            }
            // A text of a process that has ended since is still open.
            _ => self.stat_inode(file.inode).or_else(|e| {
                if matches!(file.kind, Kind::Text(_)) {
                    Ok(Stat {
                        dev: 2,
                        ino: file.inode,
                        mode: S_IFREG | 0o444,
                        nlink: 1,
                        times: [Time::of_us(self.boot_us); 3],
                        ..Stat::default()
                    })
                } else {
                    Err(e)
                }
            }),
        }
    }

    /// Of what a walk led to.
    pub fn stat_node(&self, node: Node) -> Result<Stat> {
        match node {
            Node::Inode(ino) => self.stat_inode(ino),
            Node::Open(f) => self.stat_open(self.open.get(f).ok_or(EBADF)?),
        }
    }

    /// `struct statfs` of the file system that `dev` names.
    pub fn statfs(&self, dev: u64) -> Vec<u8> {
        let mut out = Vec::with_capacity(120);
        let root = dev == 1;
        let kind = match dev {
            2 => 0x9fa0,
            3 => 0x0102_1994,
            4 => 0x5049_5045,
            _ => 0x8584_58f6u64,
        };
        let free = FILE_PAGES.saturating_sub(self.files.pages);
        let counts = [FILE_PAGES, free, free, INODES_MAX, INODES_MAX.saturating_sub(self.files.made)];
        words(&mut out, &[kind, 4096]);
        words(&mut out, &if root { counts } else { [0; 5] });
        words(&mut out, &[0, 255, 4096, 0]);
        out.resize(120, 0);
        out
    }

    /// Entries of directory `dir` behind position `after`: (d_off, name, inode).
    pub fn list(&self, dir: u64, after: u64) -> Result<Vec<(u64, Vec<u8>, u64)>> {
        let mut out = Vec::new();
        if after < 1 {
            out.push((1, b".".to_vec(), dir));
        }
        if after < 2 {
            out.push((2, b"..".to_vec(), self.above(dir)));
        }
        let from = after.saturating_sub(2);
        match dir {
            device::DEV => {
                for (i, (name, _)) in device::ENTRIES.iter().enumerate().skip(from as usize) {
                    out.push((3 + i as u64, name.to_vec(), device::DEV + 1 + i as u64));
                }
            }
            PROC.. => {
                let all = self.proc_list(dir).into_iter().filter(|e| e.0 >= from);
                out.extend(all.map(|(seq, name, ino)| (3 + seq, name, ino)));
            }
            _ => {
                let entries = self.files.directory(dir)?.entries.range(from..).take(1024);
                out.extend(entries.map(|(seq, (name, ino))| (3 + seq, name.clone(), *ino)));
            }
        }
        Ok(out)
    }
}
