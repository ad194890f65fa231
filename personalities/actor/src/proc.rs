//! The proc server: texts of /proc, made of what the other servers answer (`docs/linux-abi.md`, "Texts of /proc").

use crate::error::{Res, e};
use crate::files::Text;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::Process;
use crate::turns::Place;
use abi::turn::MEMORY_PAGES;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

const MOUNTS: &str = "rootfs / ramfs rw 0 0\nproc /proc proc ro 0 0\ndev /dev devtmpfs ro 0 0\n";
const TTY_NUMBER: u32 = 34816;
/// Fields of /proc/PID/stat.
const STAT_FIELDS: usize = 52;

impl<M: Machine> Kernel<M> {
    /// A text as it is now.
    pub(crate) fn proc_text(&self, text: Text) -> Res<Vec<u8>> {
        match text {
            Text::System(name) => Ok(self.system_text(name).into_bytes()),
            Text::Of(pid, name) => {
                self.process_text(self.processes.by_pid(pid).map_err(|_| e::ENOENT)?, name)
            }
        }
    }

    fn system_text(&self, name: &[u8]) -> String {
        let since_boot = self.now_us() - self.turns.boot_us();
        let round = self.turns.round_length();
        match name {
            b"filesystems" => "nodev\tproc\nnodev\tramfs\nnodev\tdevtmpfs\n".into(),
            b"meminfo" => {
                let (total, free) = (MEMORY_PAGES * 4, (MEMORY_PAGES - self.memory.charged()) * 4);
                let lines = [
                    ("MemTotal", total),
                    ("MemFree", free),
                    ("MemAvailable", free),
                    ("Buffers", 0),
                    ("Cached", 0),
                    ("SwapTotal", 0),
                    ("SwapFree", 0),
                ];
                let line = |(name, value): (&str, u64)| {
                    format!("{name}:{value:width$} kB\n", width = 16 - name.len())
                };
                lines.into_iter().map(line).collect()
            }
            b"mounts" => MOUNTS.into(),
            b"stat" => format!(
                "cpu  0 0 0 0 0 0 0 0 0 0\nbtime {}\nprocesses {}\nprocs_running {round}\nprocs_blocked 0\n",
                self.turns.boot_us() / 1_000_000,
                self.processes.last_serial()
            ),
            b"uptime" => format!("{}.{:02} 0.00\n", since_boot / 1_000_000, since_boot % 1_000_000 / 10_000),
            b"version" => "Linux version 6.1.0 (tetrarch) #1 SMP Tetrarch\n".into(),
            b"cpuinfo" => "processor\t: 0\nFeatures\t: fp asimd\n".into(),
            b"loadavg" => {
                let (all, last) = (self.processes.count(), self.processes.last_pid());
                format!("0.00 0.00 0.00 {round}/{all} {last}\n")
            }
            _ => String::new(),
        }
    }

    fn process_text(&self, p: &Process, name: &[u8]) -> Res<Vec<u8>> {
        let space = self.threads.get(&p.serial).and_then(|t| self.memory.space(t.space));
        let charge = self.charge_of(p.serial);
        Ok(match name {
            b"cmdline" => space.map(|_| p.cmdline.clone()).unwrap_or_default(),
            b"comm" => [&p.name[..], b"\n"].concat(),
            b"maps" => space.map_or(Ok(Vec::new()), |s| s.maps())?,
            b"mounts" => MOUNTS.into(),
            b"stat" => self.stat_text(p),
            b"statm" => format!("{charge} {charge} 0 0 0 0 0\n").into_bytes(),
            b"status" => {
                let (letter, word) = self.state_letter(p);
                let mut out = [b"Name:\t", &p.name[..]].concat();
                let (pid, parent) = (p.pid, self.parent_pid(p.parent));
                let rest = format!(
                    "\nState:\t{letter} ({word})\nPid:\t{pid}\nPPid:\t{parent}\nUid:\t0\t0\t0\t0\nGid:\t0\t0\t0\t0\n"
                );
                out.extend_from_slice(rest.as_bytes());
                out
            }
            _ => Vec::new(),
        })
    }

    fn state_letter(&self, p: &Process) -> (char, &'static str) {
        match self.turns.place(p.serial) {
            Some(Place::Round | Place::Outside { .. }) => ('R', "running"),
            Some(Place::Waiting { .. }) => ('S', "sleeping"),
            Some(Place::Stopped) => ('T', "stopped"),
            None => ('Z', "zombie"),
        }
    }

    fn stat_text(&self, p: &Process) -> Vec<u8> {
        let has_terminal = self.terminal.session == Some(p.sid);
        let (tty, foreground) =
            if has_terminal { (TTY_NUMBER, self.terminal.foreground as i64) } else { (0, -1) };
        let mut out = format!("{} (", p.pid).into_bytes();
        out.extend_from_slice(&p.name);
        let parent = self.parent_pid(p.parent);
        let head = format!(") {} {parent} {} {} {tty} {foreground}", self.state_letter(p).0, p.pgid, p.sid);
        out.extend_from_slice(head.as_bytes());
        let start = (p.start_us - self.turns.boot_us()) / 10_000;
        for field in 9..=STAT_FIELDS {
            let value: i64 = match field {
                15 => (p.calls / 10_000) as i64,
                18 => 20,
                19 => p.nice.into(),
                20 => 1,
                22 => start as i64,
                24 => self.charge_of(p.serial) as i64,
                _ => 0,
            };
            out.extend_from_slice(format!(" {value}").as_bytes());
        }
        out.push(b'\n');
        out
    }
}
