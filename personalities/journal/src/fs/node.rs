//! What a path leads to: a file, or something that only looks like one.

use super::device::{self, Kind};
use super::opened::{Name, Texts};
use super::path::PATH_MAX;
use super::{CHARACTER, DIRECTORY, FIFO, ROOT, SYMLINK};
use crate::errno::*;
use crate::page::PAGE;
use crate::process::Process;
use crate::state::{Open, State};
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// An inode of the file system.
    File(u64),
    /// /dev (none) or an entry of it.
    Device(Option<usize>),
    /// Of /proc.
    Proc(Proc),
    /// A pipe.
    Pipe(u64),
}

/// Inode number of /proc.
const BASE: u64 = 1 << 33;
/// A process' numbers are apart by so much; its descriptors' begin at [`FDS`].
const STRIDE: u64 = 1024;
const FDS: u64 = 256;

impl Node {
    /// The node that has this inode number, whether or not it is there; none: no node has it, or a pipe.
    pub fn of_inode(inode: u64) -> Option<Node> {
        if inode < device::INODE {
            return (inode > 0).then_some(Node::File(inode));
        }
        if inode < BASE {
            let place = (inode - device::INODE) as usize;
            return (place <= device::TABLE.len()).then(|| Node::Device(place.checked_sub(1)));
        }
        let (pid, place) = (u32::try_from((inode - BASE) / STRIDE).ok()?, (inode - BASE) % STRIDE);
        Some(Node::Proc(match (pid, place) {
            (0, 0) => Proc::Root,
            (0, n) if n as usize <= FIXED_COUNT => Proc::Fixed(n as usize - 1),
            (0, _) => return None,
            (_, 0) => Proc::Pid(pid),
            (_, n) if n as usize <= ENTRIES.len() => Proc::Entry(pid, n as usize - 1),
            (_, n) if n >= FDS => Proc::Fd(pid, (n - FDS) as u32),
            _ => return None,
        }))
    }
}

/// A node of /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proc {
    /// The directory.
    Root,
    /// Entry number n of [`FIXED`].
    Fixed(usize),
    /// A process' directory.
    Pid(u32),
    /// Entry number n of [`ENTRIES`].
    Entry(u32, usize),
    /// A descriptor's link.
    Fd(u32, u32),
}

/// Behind the path of what is open by a name that was removed.
pub const DELETED: &[u8] = b" (deleted)";

/// Entries of /proc before the pids.
pub const FIXED: [&str; 10] =
    ["self", "filesystems", "meminfo", "mounts", "stat", "uptime", "version", "cpuinfo", "loadavg", ""];
/// Entries of a process' directory.
pub const ENTRIES: [&str; 10] =
    ["cmdline", "comm", "exe", "cwd", "fd", "maps", "mounts", "stat", "statm", "status"];
const FIXED_COUNT: usize = 9;
/// Positions in [`ENTRIES`].
pub const EXE: usize = 2;
#[allow(missing_docs)]
pub const CWD: usize = 3;
#[allow(missing_docs)]
pub const FD: usize = 4;

/// What stat tells.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stat {
    /// st_dev and on.
    pub dev: u64,
    /// Inode number.
    pub inode: u64,
    /// Type and permissions.
    pub mode: u32,
    /// Names.
    pub links: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number.
    pub rdev: u64,
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    /// Access, modification, change; nanoseconds.
    pub times: [i64; 3],
}

/// A line of a directory listing: sequence number, inode, type bits of the mode, name.
pub type Listed = (u64, u64, u32, Rc<[u8]>);

impl State {
    /// Metadata of a node.
    pub fn stat(&self, node: Node) -> Result<Stat> {
        let boot = [self.birth.time_us as i64 * 1000; 3];
        let fixed = |dev, inode, mode: u32, links, size| {
            let blocks = if mode & super::TYPE == DIRECTORY { 8 } else { 0 };
            Stat { dev, inode, mode, links, size, blocks, times: boot, ..Stat::default() }
        };
        Ok(match node {
            Node::File(n) => self.stat_file(n)?,
            Node::Device(None) => fixed(3, device::INODE, DIRECTORY | 0o755, 2, 4096),
            Node::Device(Some(i)) => {
                let inode = device::INODE + 1 + i as u64;
                match device::TABLE.get(i).map(|(_, k)| k).ok_or(ENOENT)? {
                    Kind::Device(a, b, mode) => {
                        Stat { rdev: device::number(*a, *b), ..fixed(3, inode, CHARACTER | mode, 1, 0) }
                    }
                    Kind::Link(to) => fixed(3, inode, SYMLINK | 0o777, 1, to.len() as u64),
                }
            }
            Node::Proc(p) => self.stat_proc(p, fixed)?,
            Node::Pipe(n) => {
                let pipe = self.pipes.get(&n).ok_or(ENOENT)?;
                Stat {
                    dev: 4,
                    inode: pipe.inode,
                    mode: FIFO | pipe.mode,
                    links: 1,
                    uid: pipe.owner[0],
                    gid: pipe.owner[1],
                    times: pipe.times,
                    ..Stat::default()
                }
            }
        })
    }

    fn stat_file(&self, n: u64) -> Result<Stat> {
        let i = self.files.inode(n).ok_or(ENOENT)?;
        let blocks = match i.mode & super::TYPE {
            DIRECTORY => 8,
            super::REGULAR => i.size.div_ceil(PAGE) * 8,
            SYMLINK if i.size >= 60 => i.size.div_ceil(PAGE) * 8,
            _ => 0,
        };
        Ok(Stat {
            dev: 1,
            inode: n,
            mode: i.mode,
            links: i.links,
            uid: i.uid,
            gid: i.gid,
            rdev: i.rdev,
            size: i.size,
            blocks,
            times: i.times,
        })
    }

    fn stat_proc(&self, p: Proc, fixed: impl Fn(u64, u64, u32, u32, u64) -> Stat) -> Result<Stat> {
        let alive = |pid| self.by_pid(pid).ok_or(ENOENT);
        let live = self.processes.size() as u32;
        Ok(match p {
            Proc::Root => fixed(2, BASE, DIRECTORY | 0o555, 2 + live, 4096),
            Proc::Fixed(0) => fixed(2, BASE + 1, SYMLINK | 0o777, 1, 0),
            Proc::Fixed(i) => fixed(2, BASE + 1 + i as u64, super::REGULAR | 0o444, 1, 0),
            Proc::Pid(pid) => {
                alive(pid)?;
                fixed(2, BASE + 1024 * u64::from(pid), DIRECTORY | 0o555, 3, 4096)
            }
            Proc::Entry(pid, i) => {
                alive(pid)?;
                let (mode, links, size) = match i {
                    EXE | CWD => (SYMLINK | 0o777, 1, 0),
                    FD => (DIRECTORY | 0o500, 2, 4096),
                    _ => (super::REGULAR | 0o444, 1, 0),
                };
                fixed(2, BASE + 1024 * u64::from(pid) + 1 + i as u64, mode, links, size)
            }
            Proc::Fd(pid, fd) => {
                let inode = BASE + 1024 * u64::from(pid) + 256 + u64::from(fd);
                alive(pid)?.fds.get(&fd).ok_or(ENOENT)?;
                fixed(2, inode, SYMLINK | 0o700, 1, 64)
            }
        })
    }

    /// Whether a node is a directory.
    pub fn is_directory(&self, node: Node) -> bool {
        self.stat(node).is_ok_and(|s| s.mode & super::TYPE == DIRECTORY)
    }

    /// The node `name` of a directory; `..` and `.` too.
    pub fn child(&self, dir: Node, name: &[u8], serial: u64) -> Option<Node> {
        match (dir, name) {
            (_, b".") => return Some(dir),
            (_, b"..") => return Some(self.above(dir)),
            (Node::File(ROOT), b"proc") => return Some(Node::Proc(Proc::Root)),
            (Node::File(ROOT), b"dev") => return Some(Node::Device(None)),
            _ => {}
        }
        let text = core::str::from_utf8(name).ok();
        match dir {
            Node::File(n) => self.files.lookup(n, name).map(Node::File),
            Node::Device(None) => {
                device::TABLE.iter().position(|(n, _)| n.as_bytes() == name).map(|i| Node::Device(Some(i)))
            }
            Node::Proc(Proc::Root) => {
                if let Some(i) = FIXED[..FIXED_COUNT].iter().position(|n| n.as_bytes() == name) {
                    return Some(Node::Proc(Proc::Fixed(i)));
                }
                let pid = decimal(text?)?;
                self.by_pid(pid).map(|_| Node::Proc(Proc::Pid(pid)))
            }
            Node::Proc(Proc::Pid(pid)) => {
                self.by_pid(pid)?;
                ENTRIES.iter().position(|n| n.as_bytes() == name).map(|i| Node::Proc(Proc::Entry(pid, i)))
            }
            Node::Proc(Proc::Entry(pid, FD)) => {
                let fd = decimal(text?)?;
                self.by_pid(pid)?.fds.get(&fd).map(|_| Node::Proc(Proc::Fd(pid, fd)))
            }
            _ => {
                let _ = serial;
                None
            }
        }
    }

    /// The directory above.
    pub fn above(&self, dir: Node) -> Node {
        match dir {
            Node::File(n) => {
                Node::File(self.files.inode(n).map_or(ROOT, |i| if i.parent == 0 { ROOT } else { i.parent }))
            }
            Node::Proc(Proc::Pid(_) | Proc::Fixed(_)) => Node::Proc(Proc::Root),
            Node::Proc(Proc::Entry(pid, _)) => Node::Proc(Proc::Pid(pid)),
            Node::Proc(Proc::Fd(pid, _)) => Node::Proc(Proc::Entry(pid, FD)),
            Node::Device(Some(_)) => Node::Device(None),
            _ => Node::File(ROOT),
        }
    }

    /// What a symbolic link leads to, as text; none: it is no link.
    pub fn link_text(&self, node: Node, serial: u64) -> Option<Vec<u8>> {
        match node {
            Node::File(n) => self.files.inode(n)?.target.as_ref().map(|t| t.to_vec()),
            Node::Device(Some(i)) => match device::TABLE.get(i)?.1 {
                Kind::Link(to) => Some(to.as_bytes().to_vec()),
                Kind::Device(..) => None,
            },
            Node::Proc(Proc::Fixed(0)) => Some(format!("{}", self.process(serial).pid).into_bytes()),
            Node::Proc(Proc::Entry(pid, EXE)) => Some(self.files.texts().of(&self.by_pid(pid)?.exe.name)),
            Node::Proc(Proc::Entry(pid, CWD)) => Some(self.files.texts().of(&self.by_pid(pid)?.cwd_name)),
            Node::Proc(Proc::Fd(pid, fd)) => self
                .open_text(self.opens.get(&self.by_pid(pid)?.fds.get(&fd)?.open)?, &mut self.files.texts()),
            _ => None,
        }
    }

    fn alive(&self, pid: u32) -> Result<&Process> {
        self.by_pid(pid).filter(|p| !p.is_zombie()).ok_or(ENOENT)
    }

    /// What readlink tells of a node. Linux makes the texts of /proc's links in one page.
    pub fn read_link(&self, node: Node, serial: u64) -> Result<Vec<u8>> {
        if let Node::Proc(Proc::Entry(pid, EXE | CWD)) = node {
            self.alive(pid)?;
        }
        let text = self.link_text(node, serial).ok_or(EINVAL)?;
        let made = matches!(node, Node::Proc(_));
        if made && text.len() > PATH_MAX { Err(ENAMETOOLONG) } else { Ok(text) }
    }

    /// What the link of a descriptor in /proc shows.
    pub fn open_text(&self, open: &Open, texts: &mut Texts<'_>) -> Option<Vec<u8>> {
        match open.node {
            Node::Pipe(n) => Some(format!("pipe:[{}]", self.pipes.get(&n)?.inode).into_bytes()),
            _ => Some(texts.of(&open.name)),
        }
    }

    /// The node to which a link of /proc leads directly, and the name that the link has; none: it leads where its text does. ENOENT: it is one
    /// of a process that has ended, or leads to a program whose file is gone.
    pub fn magic(&self, node: Node, serial: u64) -> Result<Option<(Node, Name)>> {
        let own = self.process(serial).pid;
        Ok(match node {
            Node::Proc(Proc::Fd(pid, fd)) if pid == own => {
                let fd = self.by_pid(pid).and_then(|p| p.fds.get(&fd));
                fd.and_then(|fd| self.opens.get(&fd.open)).map(|open| (open.node, open.name.clone()))
            }
            Node::Proc(Proc::Entry(pid, CWD)) => {
                let p = self.alive(pid)?;
                Some((p.cwd, p.cwd_name.clone()))
            }
            Node::Proc(Proc::Entry(pid, EXE)) => {
                let exe = &self.alive(pid)?.exe;
                self.files.inode(exe.inode).ok_or(ENOENT)?;
                Some((Node::File(exe.inode), exe.name.clone()))
            }
            _ => None,
        })
    }

    /// The path of a directory; none: it was removed.
    pub fn path_of(&self, dir: Node) -> Option<Vec<u8>> {
        Some(match dir {
            Node::File(n) => self.files.directory_path(n)?,
            Node::Device(None) => b"/dev".to_vec(),
            Node::Device(Some(i)) => format!("/dev/{}", device::TABLE.get(i)?.0).into_bytes(),
            Node::Proc(Proc::Root) => b"/proc".to_vec(),
            Node::Proc(Proc::Fixed(i)) => format!("/proc/{}", FIXED.get(i)?).into_bytes(),
            Node::Proc(Proc::Pid(pid)) => format!("/proc/{pid}").into_bytes(),
            Node::Proc(Proc::Entry(pid, i)) => format!("/proc/{pid}/{}", ENTRIES.get(i)?).into_bytes(),
            Node::Proc(Proc::Fd(pid, fd)) => format!("/proc/{pid}/fd/{fd}").into_bytes(),
            Node::Pipe(_) => return None,
        })
    }

    /// What a directory holds, in order of sequence numbers, from `from` on.
    pub fn list(&self, dir: Node, from: u64) -> Vec<Listed> {
        let line = |slot: u64, node: Node, name: &[u8]| {
            let stat = self.stat(node).ok()?;
            (slot >= from).then(|| (slot, stat.inode, stat.mode, Rc::from(name)))
        };
        match dir {
            Node::File(n) => {
                let one = |(slot, name, inode): super::names::Entry| {
                    let mode = self.files.inode(inode)?.mode;
                    Some((slot, inode, mode, name))
                };
                self.files.entries(n, from).into_iter().filter_map(one).collect()
            }
            Node::Device(None) => {
                let all = device::TABLE.iter().enumerate();
                all.filter_map(|(i, (name, _))| line(i as u64, Node::Device(Some(i)), name.as_bytes()))
                    .collect()
            }
            Node::Proc(Proc::Root) => {
                let fixed = FIXED[..FIXED_COUNT].iter().enumerate();
                let fixed = fixed.map(|(i, n)| (i as u64, Node::Proc(Proc::Fixed(i)), n.as_bytes().to_vec()));
                let mut pids: Vec<u32> = self.processes.values().map(|p| p.pid).collect();
                pids.sort_unstable();
                let pids = pids.into_iter().map(|pid| {
                    (256 + u64::from(pid), Node::Proc(Proc::Pid(pid)), format!("{pid}").into_bytes())
                });
                fixed.chain(pids).filter_map(|(slot, node, name)| line(slot, node, &name)).collect()
            }
            Node::Proc(Proc::Pid(pid)) => {
                let all = ENTRIES.iter().enumerate();
                all.filter_map(|(i, n)| line(i as u64, Node::Proc(Proc::Entry(pid, i)), n.as_bytes()))
                    .collect()
            }
            Node::Proc(Proc::Entry(pid, FD)) => {
                let fds: Vec<u32> =
                    self.by_pid(pid).map(|p| p.fds.keys().copied().collect()).unwrap_or_default();
                let one =
                    |fd: u32| line(u64::from(fd), Node::Proc(Proc::Fd(pid, fd)), format!("{fd}").as_bytes());
                fds.into_iter().filter_map(one).collect()
            }
            _ => Vec::new(),
        }
    }
}

fn decimal(text: &str) -> Option<u32> {
    let plain = !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}
