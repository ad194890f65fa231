//! /proc: names, inode numbers and texts.

use super::linux::*;
use super::{Caller, Entry, Fs, Ino, ProcessRow};
use abi::turn::MEMORY_PAGES;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// The inode of /proc. Its fixed entries follow; a process' directory is `PROC + STRIDE * pid`, its entries follow that.
pub const PROC: Ino = 1 << 33;
const STRIDE: u64 = 1024;
const FIRST_FD: u64 = 256;
const END: Ino = PROC + (1 << 32);

/// Entries of /proc before the pids.
pub const FIXED: [&[u8]; 9] =
    [b"self", b"filesystems", b"meminfo", b"mounts", b"stat", b"uptime", b"version", b"cpuinfo", b"loadavg"];
/// Entries of a process' directory.
pub const OF_PROCESS: [&[u8]; 10] =
    [b"cmdline", b"comm", b"exe", b"cwd", b"fd", b"maps", b"mounts", b"stat", b"statm", b"status"];

/// A place in /proc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// /proc.
    Top,
    /// An entry of [`FIXED`].
    Fixed(&'static [u8]),
    /// A process' directory.
    Process(u32),
    /// An entry of [`OF_PROCESS`].
    Entry(u32, &'static [u8]),
    /// A link in /proc/PID/fd.
    Fd(u32, u32),
}

/// The place with inode `ino`.
pub fn place(ino: Ino) -> Option<Place> {
    let n = ino.checked_sub(PROC).filter(|_| ino < END)?;
    let (pid, rest) = ((n / STRIDE) as u32, n % STRIDE);
    Some(match (pid, rest) {
        (0, 0) => Place::Top,
        (0, i) => Place::Fixed(FIXED.get(i as usize - 1)?),
        (pid, 0) => Place::Process(pid),
        (pid, i) if i >= FIRST_FD => Place::Fd(pid, (i - FIRST_FD) as u32),
        (pid, i) => Place::Entry(pid, OF_PROCESS.get(i as usize - 1)?),
    })
}

/// The inode of a process' directory.
pub fn process(pid: u32) -> Ino {
    PROC + STRIDE * u64::from(pid)
}

fn index(list: &[&[u8]], name: &[u8]) -> Option<u64> {
    list.iter().position(|n| *n == name).map(|i| i as u64 + 1)
}

fn number(name: &[u8]) -> Option<u32> {
    let plain = name.iter().all(u8::is_ascii_digit) && (name == b"0" || !name.starts_with(b"0"));
    core::str::from_utf8(name).ok().filter(|_| plain)?.parse().ok()
}

/// `S_IFMT` and permissions of a place.
pub fn mode(place: Place) -> u32 {
    match place {
        Place::Top | Place::Process(_) => S_IFDIR | 0o555,
        Place::Entry(_, b"fd") => S_IFDIR | 0o500,
        Place::Fd(..) => S_IFLNK | 0o700,
        Place::Fixed(b"self") | Place::Entry(_, b"exe" | b"cwd") => S_IFLNK | 0o777,
        _ => S_IFREG | 0o444,
    }
}

/// An entry as getdents64 lists it: sequence number, name, inode.
pub type Listed = (u64, Vec<u8>, Ino);

impl Fs {
    fn process_exists(&self, caller: &Caller<'_>, pid: u32) -> bool {
        pid == caller.pid || caller.system.processes().iter().any(|row| row.pid == pid)
    }

    /// The descriptors of a process.
    fn process_fds(&self, caller: &Caller<'_>, pid: u32) -> Vec<u32> {
        if pid == caller.pid {
            caller.fds.iter().map(|(fd, _)| fd as u32).collect()
        } else {
            caller.system.details(pid).map_or(Vec::new(), |r| r.fds.into_iter().map(|(fd, _)| fd).collect())
        }
    }

    /// Whether `node` lists the descriptors of a process whose row has to be made first: a listing must not go on from its middle.
    pub(super) fn lists_what_is_missing(&self, caller: &Caller<'_>, node: Ino) -> bool {
        match place(node) {
            Some(Place::Entry(pid, b"fd")) if pid != caller.pid => {
                caller.system.details(pid).is_none() && self.process_exists(caller, pid)
            }
            _ => false,
        }
    }

    /// The entry `name` of a directory of /proc.
    pub(super) fn proc_lookup(&self, caller: &Caller<'_>, dir: Place, name: &[u8]) -> Option<Ino> {
        match dir {
            Place::Top => match index(&FIXED, name) {
                Some(i) => Some(PROC + i),
                None => number(name).filter(|pid| self.process_exists(caller, *pid)).map(process),
            },
            Place::Process(pid) if self.process_exists(caller, pid) => {
                Some(process(pid) + index(&OF_PROCESS, name)?)
            }
            Place::Entry(pid, b"fd") => {
                let fd = number(name)?;
                let there = self.process_fds(caller, pid).contains(&fd);
                there.then_some(process(pid) + FIRST_FD + u64::from(fd))
            }
            _ => None,
        }
    }

    /// The directory a directory of /proc lies in.
    pub(super) fn proc_parent(&self, dir: Place) -> Ino {
        match dir {
            Place::Entry(pid, _) | Place::Fd(pid, _) => process(pid),
            Place::Process(_) | Place::Fixed(_) => PROC,
            Place::Top => super::tree::ROOT,
        }
    }

    /// All entries of a directory of /proc.
    pub(super) fn proc_list(&self, caller: &Caller<'_>, dir: Place) -> Vec<Listed> {
        let fixed = |names: &[&[u8]], base: Ino| -> Vec<Listed> {
            names.iter().zip(0u64..).map(|(name, i)| (i, name.to_vec(), base + 1 + i)).collect()
        };
        let digits = |n: u32| format!("{n}").into_bytes();
        match dir {
            Place::Top => {
                let mut list = fixed(&FIXED, PROC);
                let rows = caller.system.processes();
                list.extend(
                    rows.iter().map(|r| (FIRST_FD + u64::from(r.pid), digits(r.pid), process(r.pid))),
                );
                list
            }
            Place::Process(pid) if self.process_exists(caller, pid) => fixed(&OF_PROCESS, process(pid)),
            Place::Entry(pid, b"fd") => {
                let ino = |fd: u32| process(pid) + FIRST_FD + u64::from(fd);
                let fds = self.process_fds(caller, pid);
                fds.into_iter().map(|fd| (u64::from(fd), digits(fd), ino(fd))).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Where a symbolic link of /proc leads, as readlink shows it.
    pub(super) fn proc_link(&self, caller: &Caller<'_>, link: Place) -> Option<Vec<u8>> {
        match link {
            Place::Fixed(b"self") => Some(format!("{}", caller.pid).into_bytes()),
            Place::Entry(pid, b"cwd") if pid == caller.pid => Some(self.path_of(*caller.cwd)),
            Place::Entry(pid, b"exe") => caller.system.exe(pid).map(|(_, entry)| entry.text()),
            Place::Entry(pid, _) => {
                caller.system.details(pid).map(|row| row.cwd).filter(|path| !path.is_empty())
            }
            Place::Fd(pid, fd) if pid == caller.pid => {
                self.file(caller.fds, fd as i32).ok().map(|open| self.show_file(open))
            }
            Place::Fd(pid, fd) => {
                let fds = caller.system.details(pid).map_or(Vec::new(), |row| row.fds);
                fds.into_iter().find(|(n, _)| *n == fd).map(|(_, text)| text)
            }
            _ => None,
        }
    }

    /// Links of /proc that lead straight to a file, whatever its name: the caller's own descriptors and working directory, and programs.
    pub(super) fn proc_jump(&self, caller: &Caller<'_>, link: Place) -> Option<(Ino, Option<Entry>)> {
        match link {
            Place::Fd(pid, fd) if pid == caller.pid => {
                self.file(caller.fds, fd as i32).ok().map(|open| (open.node, open.entry.clone()))
            }
            Place::Entry(pid, b"cwd") if pid == caller.pid => {
                Some((*caller.cwd, self.tree.entry_of(*caller.cwd).cloned()))
            }
            // Programs are not held: one whose last name went is gone.
            Place::Entry(pid, b"exe") => {
                let (ino, entry) = caller.system.exe(pid)?;
                self.tree.get(ino).map(|_| (ino, Some(entry)))
            }
            _ => None,
        }
    }

    /// The text of a file of /proc; None if its process is gone.
    pub(super) fn proc_text(&self, caller: &Caller<'_>, file: Place) -> Option<Vec<u8>> {
        match file {
            Place::Fixed(name) => Some(self.system_text(caller, name).into_bytes()),
            Place::Entry(_, b"mounts") => Some(MOUNTS.into()),
            Place::Entry(pid, name) => caller.system.details(pid).map(|row| self.process_text(row, name)),
            _ => None,
        }
    }

    fn system_text(&self, caller: &Caller<'_>, name: &[u8]) -> String {
        let (round, serials, last_pid) = caller.system.counts();
        let up_us = caller.now_us.saturating_sub(self.boot_us);
        match name {
            b"filesystems" => "nodev\tproc\nnodev\tramfs\nnodev\tdevtmpfs\n".into(),
            b"mounts" => MOUNTS.into(),
            b"version" => "Linux version 6.1.0 (tetrarch) #1 SMP Tetrarch\n".into(),
            b"cpuinfo" => "processor\t: 0\nFeatures\t: fp asimd\n".into(),
            b"uptime" => format!("{}.{:02} 0.00\n", up_us / 1_000_000, up_us / 10_000 % 100),
            b"loadavg" => {
                format!("0.00 0.00 0.00 {round}/{} {last_pid}\n", caller.system.processes().len())
            }
            b"stat" => format!(
                "cpu  0 0 0 0 0 0 0 0 0 0\nbtime {}\nprocesses {serials}\nprocs_running {round}\nprocs_blocked 0\n",
                self.boot_us / 1_000_000
            ),
            b"meminfo" => meminfo(MEMORY_PAGES * 4, MEMORY_PAGES.saturating_sub(caller.system.charged()) * 4),
            _ => String::new(),
        }
    }

    fn process_text(&self, row: ProcessRow, name: &[u8]) -> Vec<u8> {
        match name {
            b"cmdline" => row.cmdline,
            b"comm" => [&row.comm[..], b"\n"].concat(),
            b"maps" => row.maps,
            b"stat" => self.stat_line(&row),
            b"statm" => format!("{0} {0} 0 0 0 0 0\n", row.charged_pages).into_bytes(),
            b"status" => status_lines(&row),
            _ => Vec::new(),
        }
    }

    fn stat_line(&self, row: &ProcessRow) -> Vec<u8> {
        let (tty, foreground) = match self.tty.session {
            Some(sid) if sid == row.sid => (34816, i64::from(self.tty.foreground)),
            _ => (0, -1),
        };
        let head = [format!("{} (", row.pid).as_bytes(), &row.comm, b") ", &[row.state]].concat();
        let tail = format!(
            " {} {} {} {tty} {foreground} 0 0 0 0 0 0 {} 0 0 20 {} {} 0 {} 0 {}{}\n",
            row.ppid,
            row.pgid,
            row.sid,
            row.calls / 10_000,
            row.nice,
            row.threads,
            row.start_us / 10_000,
            row.charged_pages,
            " 0".repeat(28)
        );
        [&head[..], tail.as_bytes()].concat()
    }
}

const MOUNTS: &str = "rootfs / ramfs rw 0 0\nproc /proc proc ro 0 0\ndev /dev devtmpfs ro 0 0\n";

fn meminfo(total: u64, free: u64) -> String {
    let lines = [
        ("MemTotal", total),
        ("MemFree", free),
        ("MemAvailable", free),
        ("Buffers", 0),
        ("Cached", 0),
        ("SwapTotal", 0),
        ("SwapFree", 0),
    ];
    lines.iter().map(|(name, value)| format!("{name}:{value:width$} kB\n", width = 16 - name.len())).collect()
}

fn status_lines(row: &ProcessRow) -> Vec<u8> {
    let state = match row.state {
        b'R' => "R (running)",
        b'S' => "S (sleeping)",
        b'T' => "T (stopped)",
        _ => "Z (zombie)",
    };
    let rest = format!(
        "\nState:\t{state}\nPid:\t{}\nPPid:\t{}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
        row.pid, row.ppid
    );
    [b"Name:\t", &row.comm[..], rest.as_bytes()].concat()
}
