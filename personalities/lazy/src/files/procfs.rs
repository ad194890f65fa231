//! /proc: numbers, names and texts. "Texts of /proc" in `docs/linux-abi.md`.

use super::device::DEV;
use super::names::{DELETED, Entry};
use crate::errno::{ENOMEM, Result};
use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::memory::map::{Kind as MapKind, Mapping, Rights};
use crate::open::{Kind, Name, OpenFile};
use crate::process::{Place, Process};
use abi::turn::MEMORY_PAGES;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// Inode number of /proc.
pub const PROC: u64 = 1 << 33;
const PER_PID: u64 = 1024;
const FD_LINKS: u64 = 256;

const FIXED: [&[u8]; 9] =
    [b"self", b"filesystems", b"meminfo", b"mounts", b"stat", b"uptime", b"version", b"cpuinfo", b"loadavg"];
const ENTRIES: [&[u8]; 10] =
    [b"cmdline", b"comm", b"exe", b"cwd", b"fd", b"maps", b"mounts", b"stat", b"statm", b"status"];

/// What an inode number of /proc means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Node {
    /// /proc.
    Root,
    /// /proc/self.
    Own,
    /// Another fixed entry.
    Fixed(&'static [u8]),
    /// A pid's directory.
    Pid(u32),
    /// An entry of it.
    Entry(u32, &'static [u8]),
    /// A descriptor's link.
    Link(u32, u64),
}

/// The meaning of `ino`; `None`: it is none of /proc.
pub fn node(ino: u64) -> Option<Node> {
    let n = ino.checked_sub(PROC)?;
    if n < PER_PID {
        return match n {
            0 => Some(Node::Root),
            1 => Some(Node::Own),
            n => FIXED.get(n as usize - 1).map(|f| Node::Fixed(f)),
        };
    }
    let (pid, rest) = ((n / PER_PID) as u32, n % PER_PID);
    match rest {
        0 => Some(Node::Pid(pid)),
        FD_LINKS.. => Some(Node::Link(pid, rest - FD_LINKS)),
        n => ENTRIES.get(n as usize - 1).map(|e| Node::Entry(pid, e)),
    }
}

impl Node {
    /// Whether it is a directory.
    pub fn is_directory(self) -> bool {
        matches!(self, Node::Root | Node::Pid(_) | Node::Entry(_, b"fd"))
    }

    /// Whether it is a symbolic link.
    pub fn is_link(self) -> bool {
        matches!(self, Node::Own | Node::Entry(_, b"exe" | b"cwd") | Node::Link(..))
    }
}

fn pid_directory(pid: u32) -> u64 {
    PROC + PER_PID * u64::from(pid)
}

fn number(name: &[u8]) -> Option<u64> {
    let text = core::str::from_utf8(name).ok()?;
    let plain = !text.is_empty()
        && (text == "0" || !text.starts_with('0'))
        && text.bytes().all(|b| b.is_ascii_digit());
    if plain { text.parse().ok() } else { None }
}

impl<H: Hardware> Kernel<H> {
    /// The process with `pid`.
    pub fn by_pid(&self, pid: u32) -> Option<&Process> {
        self.processes.values().find(|p| p.pid == pid)
    }

    /// The process with `pid`, if it has not ended.
    pub fn living(&self, pid: u32) -> Option<&Process> {
        self.by_pid(pid).filter(|p| !p.zombie)
    }

    /// `name` in directory `dir` of /proc.
    pub fn proc_lookup(&self, dir: u64, name: &[u8]) -> Option<u64> {
        match node(dir)? {
            Node::Root => match FIXED.iter().position(|f| *f == name) {
                Some(i) => Some(PROC + 1 + i as u64),
                None => self.by_pid(number(name)?.try_into().ok()?).map(|p| pid_directory(p.pid)),
            },
            Node::Pid(pid) => {
                self.by_pid(pid)?;
                ENTRIES.iter().position(|e| *e == name).map(|i| dir + 1 + i as u64)
            }
            Node::Entry(pid, b"fd") => {
                let n = number(name)?;
                self.by_pid(pid)?.descriptor(n)?;
                Some(pid_directory(pid) + FD_LINKS + n)
            }
            _ => None,
        }
    }

    /// Entries of a directory of /proc: (sequence number, name, inode).
    pub fn proc_list(&self, dir: u64) -> Vec<(u64, Vec<u8>, u64)> {
        let mut out = Vec::new();
        match node(dir) {
            Some(Node::Root) => {
                out.extend(
                    FIXED.iter().enumerate().map(|(i, n)| (i as u64, n.to_vec(), PROC + 1 + i as u64)),
                );
                let mut pids: Vec<u32> = self.processes.values().map(|p| p.pid).collect();
                pids.sort();
                out.extend(
                    pids.iter()
                        .map(|p| (256 + u64::from(*p), format!("{p}").into_bytes(), pid_directory(*p))),
                );
            }
            Some(Node::Pid(pid)) if self.by_pid(pid).is_some() => {
                out.extend(
                    ENTRIES.iter().enumerate().map(|(i, n)| (i as u64, n.to_vec(), dir + 1 + i as u64)),
                );
            }
            Some(Node::Entry(pid, b"fd")) => {
                let open = self.by_pid(pid).map(|p| p.descriptors.as_slice()).unwrap_or(&[]);
                for (n, _) in open.iter().enumerate().filter(|(_, d)| d.is_some()) {
                    let n = n as u64;
                    out.push((n, format!("{n}").into_bytes(), pid_directory(pid) + FD_LINKS + n));
                }
            }
            _ => {}
        }
        out
    }

    /// Where a link of /proc leads, as text.
    pub fn proc_link(&self, serial: u64, n: Node) -> Result<Option<Vec<u8>>> {
        match n {
            Node::Own => Ok(self.process_of(serial).map(|p| format!("{}", p.pid).into_bytes())),
            Node::Entry(pid, b"exe") => self.living(pid).map_or(Ok(None), |p| shown_entry(&p.exe.1)),
            Node::Entry(pid, b"cwd") => self.living(pid).map_or(Ok(None), |p| self.shown_directory(p.cwd)),
            Node::Link(pid, fd) => {
                let file = self.by_pid(pid).and_then(|p| self.open.get(p.descriptor(fd)?.file));
                file.map_or(Ok(None), |f| self.shown(f))
            }
            _ => Ok(None),
        }
    }

    /// What the link of an open file description shows; none: there is nothing to show.
    pub fn shown(&self, file: &OpenFile) -> Result<Option<Vec<u8>>> {
        if let Name::Entry(e) = &file.name {
            return shown_entry(e);
        }
        if let Some(p) = file.nameless_pipe() {
            return Ok(self.pipes.get(p).map(|p| format!("pipe:[{}]", p.number).into_bytes()));
        }
        if file.kind == Kind::Directory || file.kind == Kind::Path && self.is_directory(file.inode) {
            return self.shown_directory(file.inode);
        }
        let Name::Mounted(dir, name) = &file.name else { return Ok(None) };
        let Some(mut path) = self.path_of_mounted(*dir) else { return Ok(None) };
        path.push(b'/');
        path.extend_from_slice(name);
        if self.lookup(*dir, name).ok() != Some(file.inode) {
            path.extend_from_slice(DELETED);
        }
        Ok(Some(path))
    }

    /// What a link to directory `dir` shows.
    fn shown_directory(&self, dir: u64) -> Result<Option<Vec<u8>>> {
        match self.files.directory(dir) {
            _ if dir >= DEV => Ok(self.path_of_mounted(dir)),
            Ok(d) => shown_entry(&d.entry),
            Err(_) => Ok(None),
        }
    }

    /// Bytes of the kernel's heap that the text of `n` takes at most, where a program decides how long it is; of more than `room` it does not matter how many.
    fn text_weight(&self, n: Node, room: usize) -> usize {
        let space = match n {
            Node::Entry(pid, b"maps") => self.by_pid(pid).and_then(|p| p.space),
            _ => None,
        };
        space.and_then(|s| self.memory.spaces.get(s)).map_or(0, |s| s.map.text_weight(room))
    }

    /// The text of a file of /proc, as it is now; ENOMEM: it is longer than this kernel's heap has room for.
    pub fn proc_text(&self, n: Node) -> Result<Vec<u8>> {
        let room = self.memory.physical.hw.heap_room();
        if self.text_weight(n, room) > room {
            return Err(ENOMEM);
        }
        let up = self.clock().saturating_sub(self.boot_us);
        let mounts = || "rootfs / ramfs rw 0 0\nproc /proc proc ro 0 0\ndev /dev devtmpfs ro 0 0\n".into();
        let text: String = match n {
            Node::Fixed(b"filesystems") => "nodev\tproc\nnodev\tramfs\nnodev\tdevtmpfs\n".into(),
            Node::Fixed(b"meminfo") => self.meminfo(),
            Node::Fixed(b"mounts") => mounts(),
            Node::Fixed(b"stat") => format!(
                "cpu  0 0 0 0 0 0 0 0 0 0\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\n",
                self.boot_us / 1_000_000,
                self.last_serial,
                self.turn.round.len()
            ),
            Node::Fixed(b"uptime") => format!("{}.{:02} 0.00\n", up / 1_000_000, up / 10_000 % 100),
            Node::Fixed(b"version") => "Linux version 6.1.0 (tetrarch) #1 SMP Tetrarch\n".into(),
            Node::Fixed(b"cpuinfo") => "processor\t: 0\nFeatures\t: fp asimd\n".into(),
            Node::Fixed(b"loadavg") => format!(
                "0.00 0.00 0.00 {}/{} {}\n",
                self.turn.round.len(),
                self.processes.len(),
                self.last_pid
            ),
            Node::Entry(_, b"mounts") => mounts(),
            Node::Entry(pid, name) => match self.by_pid(pid) {
                Some(p) => return Ok(self.process_text(p, name)),
                None => return Ok(Vec::new()),
            },
            _ => String::new(),
        };
        Ok(text.into_bytes())
    }

    fn meminfo(&self) -> String {
        let free = (MEMORY_PAGES - self.memory.charged) * 4;
        let rows = [
            ("MemTotal", MEMORY_PAGES * 4),
            ("MemFree", free),
            ("MemAvailable", free),
            ("Buffers", 0),
            ("Cached", 0),
            ("SwapTotal", 0),
            ("SwapFree", 0),
        ];
        let mut out = String::new();
        for (name, value) in rows {
            let _never_fails = writeln!(out, "{name}:{value:>width$} kB", width = 16 - name.len());
        }
        out
    }

    /// Pages that the process is charged for, in whole chunks.
    pub fn charged_pages(&self, p: &Process) -> u64 {
        let own = p.space.filter(|_| !p.borrowed);
        own.and_then(|s| self.memory.spaces.get(s)).map_or(0, |s| s.charge)
    }

    fn state(&self, p: &Process) -> (char, &'static str) {
        if p.zombie {
            return ('Z', "zombie");
        }
        match self.threads.get(&p.serial).map(|t| t.place) {
            Some(Place::Waiting) => ('S', "sleeping"),
            Some(Place::Stopped) => ('T', "stopped"),
            Some(Place::Ended) => ('Z', "zombie"),
            _ => ('R', "running"),
        }
    }

    fn process_text(&self, p: &Process, name: &[u8]) -> Vec<u8> {
        let parent = self.processes.get(&p.parent).map_or(0, |q| q.pid);
        let name_of = self.threads.get(&p.serial).map_or(&[][..], |t| &t.comm);
        let comm = String::from_utf8_lossy(name_of);
        let threads = self.threads_of(p.serial).count().max(1);
        let (letter, word) = self.state(p);
        match name {
            b"cmdline" if p.zombie => Vec::new(),
            b"cmdline" => p.cmdline.clone(),
            b"comm" => [name_of, b"\n"].concat(),
            b"maps" => self.maps(p),
            b"statm" => {
                let n = self.charged_pages(p);
                format!("{n} {n} 0 0 0 0 0\n").into_bytes()
            }
            b"status" => format!(
                "Name:\t{comm}\nState:\t{letter} ({word})\nPid:\t{}\nPPid:\t{parent}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
                p.pid
            )
            .into_bytes(),
            _ => {
                let terminal = self.terminal.session == p.session && p.session != 0;
                let (tty, group) =
                    if terminal { (34816, i64::from(self.terminal.foreground)) } else { (0, -1) };
                let calls = self.calls_of(p.serial) / 10_000;
                let start = p.started.saturating_sub(self.boot_us) / 10_000;
                let mut out = format!(
                    "{} ({comm}) {letter} {parent} {} {} {tty} {group} 0 0 0 0 0 0 {calls} 0 0 20 {} {threads} 0 {start} 0 {}",
                    p.pid, p.group, p.session, p.nice, self.charged_pages(p)
                );
                (25..=52).for_each(|_| out.push_str(" 0"));
                out.push('\n');
                out.into_bytes()
            }
        }
    }

    fn maps(&self, p: &Process) -> Vec<u8> {
        let Some(s) = p.space.and_then(|s| self.memory.spaces.get(s)) else { return Vec::new() };
        let mut out = Vec::new();
        let mut merged: Vec<Mapping> = Vec::new();
        for m in s.map.0.values() {
            match merged.last_mut() {
                Some(last) if last.joins(m) => last.end = m.end,
                _ => merged.push(m.clone()),
            }
        }
        // Of the entry before: a program's segments have the same.
        let (mut entry, mut path): (Option<&Rc<Entry>>, Vec<u8>) = (None, Vec::new());
        for m in &merged {
            let flag = |r, c| if m.rights.contains(r) { c } else { '-' };
            let (offset, dev, ino) = match &m.kind {
                MapKind::File(ino, _) => (m.offset * 4096, 1, *ino),
                _ => (0, 0, 0),
            };
            let mut line = format!(
                "{:08x}-{:08x} {}{}{}{} {offset:08x} 00:{dev:02x} {ino} ",
                m.start,
                m.end,
                flag(Rights::READ, 'r'),
                flag(Rights::WRITE, 'w'),
                flag(Rights::EXECUTE, 'x'),
                if m.shared { 's' } else { 'p' },
            )
            .into_bytes();
            let name: &[u8] = match &m.kind {
                MapKind::Anonymous => b"",
                MapKind::Heap => b"[heap]",
                MapKind::Stack => b"[stack]",
                MapKind::File(_, e) => {
                    if entry.is_none_or(|last| !Rc::ptr_eq(last, e)) {
                        (entry, path) = (Some(e), e.text().unwrap_or_default());
                    }
                    &path
                }
            };
            if !name.is_empty() {
                line.resize(line.len().max(73), b' ');
                line.extend_from_slice(name);
            }
            line.push(b'\n');
            out.extend_from_slice(&line);
        }
        out
    }
}

/// What a link to an entry shows; none: it is not known.
fn shown_entry(entry: &Entry) -> Result<Option<Vec<u8>>> {
    Ok(Some(entry.text()?).filter(|text| !text.is_empty()))
}
