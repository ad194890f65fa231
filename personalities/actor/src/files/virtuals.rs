//! `/dev` and `/proc`: nodes that are numbers only. What a text of /proc says is the proc server's business (`crate::proc`); here are names,
//! numbers and where links lead.

use super::node::{DEV, NodeId, PIPES, PROC, ROOT, Realm, S_IFCHR, S_IFDIR, S_IFLNK, S_IFREG, realm};
use super::walk::PATH_MAX;
use super::{Dentry, Files};
use crate::error::{Res, e};
use crate::turns::Serial;
use abi::turn::FDS_MAX;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A device that this system has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    Null,
    Zero,
    Full,
    Random,
    /// /dev/tty: the controlling terminal.
    Tty,
    Console,
    SerialLine,
}

enum Entry {
    Device(Device, u32),
    Link(&'static [u8]),
}

const DEV_ENTRIES: [(&[u8], Entry); 12] = [
    (b"null", Entry::Device(Device::Null, 0o666)),
    (b"zero", Entry::Device(Device::Zero, 0o666)),
    (b"full", Entry::Device(Device::Full, 0o666)),
    (b"random", Entry::Device(Device::Random, 0o666)),
    (b"urandom", Entry::Device(Device::Random, 0o666)),
    (b"tty", Entry::Device(Device::Tty, 0o666)),
    (b"console", Entry::Device(Device::Console, 0o600)),
    (b"ttyAMA0", Entry::Device(Device::SerialLine, 0o600)),
    (b"fd", Entry::Link(b"/proc/self/fd")),
    (b"stdin", Entry::Link(b"/proc/self/fd/0")),
    (b"stdout", Entry::Link(b"/proc/self/fd/1")),
    (b"stderr", Entry::Link(b"/proc/self/fd/2")),
];
const DEV_NUMBERS: [(u64, u64); 8] = [(1, 3), (1, 5), (1, 7), (1, 8), (1, 9), (5, 0), (5, 1), (204, 64)];

/// Fixed entries of /proc; the first is a link.
const PROC_ENTRIES: [&[u8]; 9] =
    [b"self", b"filesystems", b"meminfo", b"mounts", b"stat", b"uptime", b"version", b"cpuinfo", b"loadavg"];
const PID_ENTRIES: [&[u8]; 10] =
    [b"cmdline", b"comm", b"exe", b"cwd", b"fd", b"maps", b"mounts", b"stat", b"statm", b"status"];
const PID_STEP: u64 = 1024;
const FD_AT: u64 = 256;
/// Numbers of entries of a pid's directory that are no texts.
const EXE: u64 = 3;
const CWD: u64 = 4;
const FD: u64 = 5;

/// st_rdev of a device number.
fn rdev(major: u64, minor: u64) -> u64 {
    major << 8 | minor & 0xff | (minor & !0xff) << 12
}

/// The device that a character node with this number is.
pub fn device(number: u64) -> Option<Device> {
    let at = DEV_NUMBERS.iter().position(|(major, minor)| rdev(*major, *minor) == number)?;
    match DEV_ENTRIES.get(at)?.1 {
        Entry::Device(device, _) => Some(device),
        Entry::Link(_) => None,
    }
}

/// A text of /proc.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Text {
    /// Of the system, by its name in /proc.
    System(&'static [u8]),
    /// Of a pid, by its name in the pid's directory.
    Of(u32, &'static [u8]),
}

/// What a number below [`PIPES`] and above the root's is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    DevRoot,
    Device(usize),
    DevLink(&'static [u8]),
    ProcRoot,
    ProcSelf,
    Text(Text),
    Pid(u32),
    Exe(u32),
    Cwd(u32),
    FdDirectory(u32),
    Fd(u32, u32),
}

fn kind(node: NodeId) -> Option<Kind> {
    if !(DEV..PIPES).contains(&node) {
        return None;
    }
    if realm(node) == Realm::Dev {
        let Some(i) = (node - DEV).checked_sub(1) else { return Some(Kind::DevRoot) };
        return match DEV_ENTRIES.get(i as usize)?.1 {
            Entry::Device(..) => Some(Kind::Device(i as usize)),
            Entry::Link(to) => Some(Kind::DevLink(to)),
        };
    }
    let (pid, within) = ((node - PROC) / PID_STEP, (node - PROC) % PID_STEP);
    if pid == 0 {
        return match within {
            0 => Some(Kind::ProcRoot),
            1 => Some(Kind::ProcSelf),
            i => PROC_ENTRIES.get(i as usize - 1).map(|name| Kind::Text(Text::System(name))),
        };
    }
    let pid = u32::try_from(pid).ok()?;
    match within {
        0 => Some(Kind::Pid(pid)),
        EXE => Some(Kind::Exe(pid)),
        CWD => Some(Kind::Cwd(pid)),
        FD => Some(Kind::FdDirectory(pid)),
        FD_AT.. => Some(Kind::Fd(pid, (within - FD_AT) as u32)),
        i => PID_ENTRIES.get(i as usize - 1).map(|name| Kind::Text(Text::Of(pid, name))),
    }
}

/// Where a link leads.
pub enum Leads {
    Text(Vec<u8>),
    /// To the thing itself, whatever its name is, and the dentry by which it was opened.
    Node(NodeId, Option<Rc<Dentry>>),
}

fn number(name: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(name).ok()?;
    let canonical = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !canonical || text.len() > 1 && text.starts_with('0') {
        return None;
    }
    text.parse().ok()
}

impl Files {
    fn pid_node(pid: u32) -> NodeId {
        PROC + u64::from(pid) * PID_STEP
    }

    /// The table of a process that has not ended.
    fn table_of(&self, pid: u32) -> Option<&super::table::Table> {
        self.tables.get(self.people.get(&pid)?)
    }

    /// Whether a number of /dev or /proc is one, now.
    pub(super) fn virtual_exists(&self, node: NodeId) -> bool {
        match kind(node) {
            None => false,
            Some(Kind::Fd(pid, fd)) => self.table_of(pid).is_some_and(|t| t.fds.contains_key(&fd)),
            Some(
                Kind::Pid(pid)
                | Kind::Exe(pid)
                | Kind::Cwd(pid)
                | Kind::FdDirectory(pid)
                | Kind::Text(Text::Of(pid, _)),
            ) => self.people.contains_key(&pid),
            Some(_) => true,
        }
    }

    /// Mode with type, st_rdev, size and links of a node of /dev or /proc.
    pub(super) fn virtual_attributes(&self, node: NodeId) -> Res<(u32, u64, u64, u32)> {
        if !self.virtual_exists(node) {
            return Err(e::ENOENT);
        }
        Ok(match kind(node).ok_or(e::ENOENT)? {
            Kind::DevRoot => (S_IFDIR | 0o755, 0, 4096, 2),
            Kind::Device(i) => {
                let mode = if let Entry::Device(_, mode) = DEV_ENTRIES[i].1 { mode } else { 0 };
                let (major, minor) = DEV_NUMBERS.get(i).copied().unwrap_or_default();
                (S_IFCHR | mode, rdev(major, minor), 0, 1)
            }
            Kind::DevLink(to) => (S_IFLNK | 0o777, 0, to.len() as u64, 1),
            Kind::ProcRoot => (S_IFDIR | 0o555, 0, 4096, 2 + self.people.len() as u32),
            Kind::ProcSelf | Kind::Exe(_) | Kind::Cwd(_) => (S_IFLNK | 0o777, 0, 0, 1),
            Kind::Text(_) => (S_IFREG | 0o444, 0, 0, 1),
            Kind::Pid(_) => (S_IFDIR | 0o555, 0, 4096, 3),
            Kind::FdDirectory(_) => (S_IFDIR | 0o500, 0, 4096, 2),
            Kind::Fd(..) => (S_IFLNK | 0o700, 0, 64, 1),
        })
    }

    pub(super) fn virtual_is_directory(node: NodeId) -> bool {
        matches!(kind(node), Some(Kind::DevRoot | Kind::ProcRoot | Kind::Pid(_) | Kind::FdDirectory(_)))
    }

    pub(super) fn virtual_parent(node: NodeId) -> NodeId {
        match kind(node) {
            Some(Kind::Pid(_)) => PROC,
            Some(Kind::FdDirectory(pid)) => Files::pid_node(pid),
            _ => ROOT,
        }
    }

    pub(super) fn virtual_find(&self, directory: NodeId, name: &[u8]) -> Option<NodeId> {
        let place = |list: &[&[u8]]| list.iter().position(|n| *n == name).map(|i| i as u64 + 1);
        let found = match kind(directory)? {
            Kind::DevRoot => DEV + 1 + DEV_ENTRIES.iter().position(|(n, _)| *n == name)? as u64,
            Kind::ProcRoot => match place(&PROC_ENTRIES) {
                Some(i) => PROC + i,
                None => Files::pid_node(number(name)?),
            },
            Kind::Pid(pid) => Files::pid_node(pid) + place(&PID_ENTRIES)?,
            Kind::FdDirectory(pid) => {
                let fd = number(name).filter(|fd| (*fd as usize) < FDS_MAX)?;
                Files::pid_node(pid) + FD_AT + u64::from(fd)
            }
            _ => return None,
        };
        self.virtual_exists(found).then_some(found)
    }

    /// Entries of a directory: sequence number, name, node.
    pub(super) fn virtual_entries(&self, directory: NodeId) -> Vec<(u64, Vec<u8>, NodeId)> {
        let fixed = |list: &[&[u8]], at: NodeId| -> Vec<_> {
            list.iter().enumerate().map(|(i, n)| (i as u64, n.to_vec(), at + 1 + i as u64)).collect()
        };
        match kind(directory) {
            Some(Kind::DevRoot) => {
                let names: Vec<&[u8]> = DEV_ENTRIES.iter().map(|(n, _)| *n).collect();
                fixed(&names, DEV)
            }
            Some(Kind::ProcRoot) => {
                let mut all = fixed(&PROC_ENTRIES, PROC);
                let pid = |p: &u32| (256 + u64::from(*p), format!("{p}").into_bytes(), Files::pid_node(*p));
                all.extend(self.people.keys().map(pid));
                all
            }
            Some(Kind::Pid(pid)) => fixed(&PID_ENTRIES, Files::pid_node(pid)),
            Some(Kind::FdDirectory(pid)) => {
                let fds = self.table_of(pid).into_iter().flat_map(|t| t.fds.keys());
                let at = Files::pid_node(pid) + FD_AT;
                fds.map(|fd| (u64::from(*fd), format!("{fd}").into_bytes(), at + u64::from(*fd))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where a link of /dev or /proc leads for process `me`; `None`: it is no link.
    pub(super) fn virtual_link(&self, me: Serial, node: NodeId) -> Option<Res<Leads>> {
        let mine = |pid: &u32| self.people.get(pid) == Some(&me);
        let leads = match kind(node)? {
            Kind::DevLink(to) => Ok(Leads::Text(to.to_vec())),
            Kind::ProcSelf => {
                let pid = self.people.iter().find(|(_, s)| **s == me).map(|(pid, _)| *pid);
                pid.map(|pid| Leads::Text(format!("{pid}").into_bytes())).ok_or(e::ENOENT)
            }
            Kind::Exe(pid) => {
                let program = self.table_of(pid).and_then(|t| t.exe.as_ref());
                program.map(|p| Leads::Node(p.node, Some(p.dentry.clone()))).ok_or(e::ENOENT)
            }
            Kind::Cwd(pid) => self.table_of(pid).map(|t| Leads::Node(t.cwd, None)).ok_or(e::ENOENT),
            Kind::Fd(pid, fd) => match self.table_of(pid).and_then(|t| t.fds.get(&fd)) {
                None => Err(e::ENOENT),
                Some(_) if !mine(&pid) => self.virtual_link_text(node).map(Leads::Text),
                Some(d) => {
                    let handle = self.handles.get(&d.handle);
                    handle.map(|h| Leads::Node(h.node, h.name.clone())).ok_or(e::ENOENT)
                }
            },
            _ => return None,
        };
        Some(leads)
    }

    /// What readlink says of a link of /dev or /proc; ENAMETOOLONG: it is longer than a path.
    pub(super) fn virtual_link_text(&self, node: NodeId) -> Res<Vec<u8>> {
        match kind(node).ok_or(e::ENOENT)? {
            Kind::Exe(pid) => {
                let table = self.table_of(pid).ok_or(e::ENOENT)?;
                table.exe.as_ref().ok_or(e::ENOENT)?.dentry.text(PATH_MAX)
            }
            Kind::Cwd(pid) => self.path_of(self.table_of(pid).ok_or(e::ENOENT)?.cwd, None),
            Kind::Fd(pid, fd) => {
                let table = self.table_of(pid).ok_or(e::ENOENT)?;
                let handle = table.fds.get(&fd).and_then(|d| self.handles.get(&d.handle)).ok_or(e::ENOENT)?;
                self.path_of(handle.node, handle.name.as_ref())
            }
            _ => Err(e::EINVAL),
        }
    }

    /// The text that a node of /proc is.
    pub(super) fn text_of(node: NodeId) -> Option<Text> {
        match (realm(node) == Realm::Proc).then(|| kind(node))?? {
            Kind::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The device that a node of /dev is.
    pub(super) fn device_of(node: NodeId) -> Option<Device> {
        match kind(node)? {
            Kind::Device(i) => match DEV_ENTRIES[i].1 {
                Entry::Device(device, _) => Some(device),
                Entry::Link(_) => None,
            },
            _ => None,
        }
    }

    /// The path of a node of /dev, /proc or of a pipe.
    pub(super) fn virtual_path(&self, node: NodeId) -> Vec<u8> {
        if node >= PIPES {
            return format!("pipe:[{}]", node - PIPES).into_bytes();
        }
        let parent = Files::virtual_parent(node);
        let entry = |directory| self.virtual_entries(directory).into_iter().find(|(_, _, n)| *n == node);
        match node {
            DEV => b"/dev".to_vec(),
            PROC => b"/proc".to_vec(),
            _ => {
                // Nodes that are no directories stand in the one that lists them.
                let up = [DEV, parent, Files::pid_node(((node - PROC.min(node)) / PID_STEP) as u32), PROC];
                let found = up.into_iter().find_map(|d| entry(d).map(|(_, name, _)| (d, name)));
                match found {
                    Some((d, name)) => [&self.virtual_path(d)[..], b"/", &name[..]].concat(),
                    None => Vec::new(),
                }
            }
        }
    }
}
