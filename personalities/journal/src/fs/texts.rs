//! The texts of /proc, as `docs/linux-abi.md` has them.

use super::node::Proc;
use crate::process::Process;
use crate::space::{EXECUTE, READ, WRITE};
use crate::state::State;
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

impl State {
    /// Pages charged to a process.
    pub fn charge_of(&self, p: &Process) -> u64 {
        if p.vfork || p.is_zombie() {
            return 0;
        }
        self.spaces.get(&p.space).map_or(0, |s| s.chunks * CHARGE_PAGES)
    }

    /// The text of a node of /proc; none: it has none.
    pub fn proc_text(&self, node: Proc) -> Option<Vec<u8>> {
        Some(match node {
            Proc::Fixed(n) => self.system_text(n)?.into_bytes(),
            Proc::Entry(pid, n) => self.process_text(self.by_pid(pid)?, n)?,
            _ => return None,
        })
    }

    fn system_text(&self, n: usize) -> Option<String> {
        let up = self.monotonic() - 1_000_000;
        Some(match n {
            1 => "nodev\tproc\nnodev\tramfs\nnodev\tdevtmpfs\n".into(),
            2 => {
                let free = MEMORY_PAGES - self.chunks() * CHARGE_PAGES;
                let rows = [
                    ("MemTotal", MEMORY_PAGES * 4),
                    ("MemFree", free * 4),
                    ("MemAvailable", free * 4),
                    ("Buffers", 0),
                    ("Cached", 0),
                    ("SwapTotal", 0),
                    ("SwapFree", 0),
                ];
                let mut text = String::new();
                for (name, kb) in rows {
                    let _ = writeln!(text, "{name}:{kb:>width$} kB", width = 16 - name.len());
                }
                text
            }
            3 => MOUNTS.into(),
            4 => format!(
                "cpu  0 0 0 0 0 0 0 0 0 0\nbtime {}\nprocesses {}\nprocs_running {}\nprocs_blocked 0\n",
                self.birth.time_us / 1_000_000,
                self.last_serial,
                self.round.len()
            ),
            5 => format!("{}.{:02} 0.00\n", up / 1_000_000, up % 1_000_000 / 10_000),
            6 => "Linux version 6.1.0 (tetrarch) #1 SMP Tetrarch\n".into(),
            7 => "processor\t: 0\nFeatures\t: fp asimd\n".into(),
            8 => format!("0.00 0.00 0.00 {}/{} {}\n", self.round.len(), self.processes.size(), self.last_pid),
            _ => return None,
        })
    }

    fn process_text(&self, p: &Process, n: usize) -> Option<Vec<u8>> {
        let name = String::from_utf8_lossy(&p.name);
        Some(match n {
            0 if p.is_zombie() => Vec::new(),
            0 => p.arguments.to_vec(),
            1 => format!("{name}\n").into_bytes(),
            5 => self.maps(p)?.into_bytes(),
            6 => MOUNTS.into(),
            7 => self.stat_text(p, &name).into_bytes(),
            8 => {
                let charge = self.charge_of(p);
                format!("{charge} {charge} 0 0 0 0 0\n").into_bytes()
            }
            9 => {
                let state = match p.letter() {
                    'R' => "R (running)",
                    'S' => "S (sleeping)",
                    'T' => "T (stopped)",
                    _ => "Z (zombie)",
                };
                let parent = self.processes.get(&p.parent).map_or(0, |q| q.pid);
                format!(
                    "Name:\t{name}\nState:\t{state}\nPid:\t{}\nPPid:\t{parent}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n",
                    p.pid
                )
                .into_bytes()
            }
            _ => return None,
        })
    }

    fn stat_text(&self, p: &Process, name: &str) -> String {
        let parent = self.processes.get(&p.parent).map_or(0, |q| q.pid);
        let own = self.tty.session != 0 && self.tty.session == p.session;
        let (tty, foreground) = if own { (34816, i64::from(self.tty.foreground)) } else { (0, -1) };
        let start = (p.started - self.birth.time_us) / 10_000;
        let mut text = format!(
            "{} ({name}) {} {parent} {} {} {tty} {foreground} 0 0 0 0 0 0 {} 0 0 20 {} 1 0 {start} 0 {}",
            p.pid,
            p.letter(),
            p.group,
            p.session,
            p.calls / 10_000,
            p.nice,
            self.charge_of(p)
        );
        // Fields 25 to 52.
        for _ in 25..=52 {
            text.push_str(" 0");
        }
        text.push('\n');
        text
    }

    /// None: more than this kernel makes in one piece.
    fn maps(&self, p: &Process) -> Option<String> {
        let mut text = String::new();
        let mut texts = self.files.texts();
        let Some(space) = self.spaces.get(&p.space) else { return Some(text) };
        for (start, r) in space.regions.iter() {
            let start = space.begins(*start, r);
            if start == r.end {
                continue;
            }
            let flag = |right, letter| if r.rights & right != 0 { letter } else { '-' };
            let offset = match r.backing {
                crate::space::Backing::File(_, page) => page * 4096,
                _ => 0,
            };
            let (device, inode) = r.label.as_ref().map_or((0, 0), |l| (u64::from(l.inode != 0), l.inode));
            let mut line = format!(
                "{start:08x}-{:08x} {}{}{}{} {offset:08x} 00:{device:02x} {inode} ",
                r.end,
                flag(READ, 'r'),
                flag(WRITE, 'w'),
                flag(EXECUTE, 'x'),
                if r.shared { 's' } else { 'p' }
            );
            if let Some(l) = &r.label {
                while line.len() < 73 {
                    line.push(' ');
                }
                line.push_str(&String::from_utf8_lossy(&texts.of(&l.name)));
            }
            let _ = writeln!(text, "{line}");
            if text.len() > MAPS_MAX {
                return None;
            }
        }
        Some(text)
    }
}

/// Bytes of a text of `maps`; a mapping's path may have 4 KiB, and there may be 65,530 of them.
const MAPS_MAX: usize = 2 << 20;

const MOUNTS: &str = "rootfs / ramfs rw 0 0\nproc /proc proc ro 0 0\ndev /dev devtmpfs ro 0 0\n";
