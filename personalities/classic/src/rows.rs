//! What file calls may know of the rest of the kernel, and the one place where they are made.

use crate::errno::{ENOMEM, ESRCH, Errno};
use crate::fs::{Caller, Entry, Fs, Ino, ProcessRow, System};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::{Effect, Life, Process};
use crate::signal::SigSet;
use crate::space::{HEAP_RESERVE, Kind, Space, UserView};
use crate::thread::Thread;
use crate::turns::{Serial, Turns};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;
use core::cell::Cell;

/// Heap that files, names and pipes leave to the rest of the kernel, bytes: less than mappings do, which no agreed limit bounds.
pub(crate) const FILES_RESERVE: usize = HEAP_RESERVE / 2;

/// The rest of the kernel during one file call.
struct Rest<'a> {
    procs: &'a BTreeMap<Serial, Process>,
    threads: &'a BTreeMap<Serial, Thread>,
    turns: &'a Turns,
    details: &'a [ProcessRow],
    /// Whose row was asked for and is not among them.
    wanted: Cell<Option<u32>>,
    charged: u64,
    caller: (Option<&'a Process>, SigSet),
    counts: (u64, u32),
    orphaned: bool,
}

impl System for Rest<'_> {
    fn processes(&self) -> Vec<ProcessRow> {
        let mut rows: Vec<ProcessRow> =
            self.procs.values().map(|p| plain_row(p, self.procs, self.threads, self.turns)).collect();
        rows.sort_unstable_by_key(|r| r.pid);
        rows
    }
    fn details(&self, pid: u32) -> Option<ProcessRow> {
        let row = self.details.iter().find(|row| row.pid == pid).cloned();
        if row.is_none() && self.procs.values().any(|p| p.pid == pid) {
            self.wanted.set(Some(pid));
        }
        row
    }
    fn exe(&self, pid: u32) -> Option<(Ino, Entry)> {
        self.procs.values().find(|p| p.pid == pid)?.exe.clone()
    }
    fn charged(&self) -> u64 {
        self.charged
    }
    fn counts(&self) -> (u64, u64, u32) {
        (self.turns.round().len() as u64, self.counts.0, self.counts.1)
    }
    fn group_in_session(&self, pgid: u32, sid: u32) -> bool {
        self.procs.values().any(|p| p.pgid == pgid && p.sid == sid)
    }
    fn caller_group_orphaned(&self) -> bool {
        self.orphaned
    }
    fn caller_ignores_or_blocks(&self, signal: u8) -> bool {
        let (process, mask) = self.caller;
        mask.has(signal) || process.is_some_and(|p| p.effect_of(signal) == Effect::Ignored)
    }
}

/// A row without what lies in spaces and files: all that a directory of pids or a look at groups needs.
fn plain_row(
    p: &Process,
    procs: &BTreeMap<Serial, Process>,
    threads: &BTreeMap<Serial, Thread>,
    turns: &Turns,
) -> ProcessRow {
    let mut own = threads.range(p.serial..).map(|(_, t)| t).filter(|t| t.process == p.serial).peekable();
    let first = own.peek().map_or(p.serial, |t| t.serial);
    ProcessRow {
        pid: p.pid,
        threads: own.count().max(1) as u32,
        ppid: procs.get(&p.parent).map_or(0, |parent| parent.pid),
        pgid: p.pgid,
        sid: p.sid,
        state: match p.life {
            Life::Zombie => b'Z',
            Life::Stopped => b'T',
            Life::Alive if turns.is_waiting(first) => b'S',
            Life::Alive => b'R',
        },
        comm: p.name.clone(),
        calls: p.calls,
        nice: p.nice,
        start_us: p.start_us.saturating_sub(turns.boot_us()),
        ..ProcessRow::default()
    }
}

impl<M: Machine> Kernel<M> {
    /// Calls into `fs` as thread `serial`, with no process' memory and files to be seen in /proc.
    pub(crate) fn with_files<R>(
        &mut self,
        serial: Serial,
        call: impl FnOnce(&mut Fs, &mut Caller<'_>, &mut UserView<'_, M>) -> R,
    ) -> Option<R> {
        self.with_files_and(serial, &[], call).map(|(result, _)| result)
    }

    /// The same with whole rows of some processes; also the pid of a process whose row was wanted and is not among them.
    pub(crate) fn with_files_and<R>(
        &mut self,
        serial: Serial,
        details: &[ProcessRow],
        call: impl FnOnce(&mut Fs, &mut Caller<'_>, &mut UserView<'_, M>) -> R,
    ) -> Option<(R, Option<u32>)> {
        let pgid = self.process(serial)?.pgid;
        let orphaned = self.is_orphaned(pgid, None);
        let t = self.threads.get(&serial)?;
        let (process, tid, mask, mut progress) = (t.process, t.tid, t.mask, t.progress);
        let p = self.procs.get_mut(&process)?;
        // The caller's own parts step out of the table, so that the rest of it can be looked at meanwhile.
        let mut fds = core::mem::take(&mut p.fds);
        let (mut cwd, mut umask, mut random_offset) = (p.cwd, p.umask, p.random_offset);
        let (pid, sid, space) = (p.pid, p.sid, p.space);
        let counts = (self.last_serial, self.last_pid);
        let (procs, threads, turns) = (&self.procs, &self.threads, &self.turns);
        let caller = (procs.get(&process), mask);
        let (wanted, charged) = (Cell::new(None), self.budget.charged);
        let system = Rest { procs, threads, turns, details, wanted, charged, caller, counts, orphaned };
        let mut caller = Caller {
            fds: &mut fds,
            cwd: &mut cwd,
            umask: &mut umask,
            pid,
            tid,
            pgid,
            sid,
            process,
            random_offset: &mut random_offset,
            progress: &mut progress,
            now_us: self.turns.clock_us(),
            system: &system,
        };
        self.fs.set_room(self.m.free_heap().saturating_sub(FILES_RESERVE));
        let shared = self.spaces.get_mut(&space)?;
        let mut view = UserView { machine: &mut self.m, space: &mut shared.space, budget: &mut self.budget };
        let result = call(&mut self.fs, &mut caller, &mut view);
        let wanted = system.wanted.get();
        let p = self.procs.get_mut(&process)?;
        (p.fds, p.cwd, p.umask, p.random_offset) = (fds, cwd, umask, random_offset);
        self.threads.get_mut(&serial)?.progress = progress;
        Some((result, wanted))
    }

    /// A process' row as /proc shows it. ENOMEM where the heap does not hold it and the copies that a call makes of it: programs decide how
    /// long its texts are. ESRCH: nobody has the pid.
    pub(crate) fn row_of(&self, pid: u32) -> Result<ProcessRow, Errno> {
        let row = self.procs.values().find(|p| p.pid == pid).map(|p| self.row(p)).ok_or(ESRCH)?;
        let bytes = row.maps.len() + row.cmdline.len() + row.fds.iter().map(|fd| fd.1.len()).sum::<usize>();
        if self.has_room_for_copies(bytes) { Ok(row) } else { Err(ENOMEM) }
    }

    /// Whether the heap holds four times as much: a text that grows is laid anew in a power of two.
    fn has_room_for_copies(&self, bytes: usize) -> bool {
        self.m.free_heap() >= HEAP_RESERVE.saturating_add(bytes.saturating_mul(4))
    }

    fn row(&self, p: &Process) -> ProcessRow {
        let space = self.spaces.get(&p.space).filter(|_| p.is_alive()).map(|s| &s.space);
        ProcessRow {
            cmdline: p.cmdline.clone(),
            charged_pages: self.charge_of(p),
            maps: space.map_or_else(Vec::new, |s| self.maps(s)),
            fds: self.fs.show_fds(&p.fds, |bytes| self.has_room_for_copies(bytes)),
            cwd: if p.is_alive() { self.fs.path_of(p.cwd) } else { Vec::new() },
            ..plain_row(p, &self.procs, &self.threads, &self.turns)
        }
    }

    /// Pages a process is charged for: a vfork child for none, a zombie for none.
    pub(crate) fn charge_of(&self, p: &Process) -> u64 {
        if !p.is_alive() || p.vfork_parent.is_some() {
            return 0;
        }
        self.spaces.get(&p.space).map_or(0, |s| s.space.charge)
    }

    /// The pid of a process by serial, 0 for nobody.
    pub(crate) fn pid_of(&self, serial: Serial) -> u32 {
        self.procs.get(&serial).map_or(0, |p| p.pid)
    }

    /// The text of /proc/PID/maps; it breaks off where there is no room for more, and whoever asked is told ENOMEM.
    fn maps(&self, space: &Space) -> Vec<u8> {
        let mut text = Vec::new();
        for a in space.areas() {
            let flag = |bit: u8, c: char| if a.rights.0 & bit != 0 { c } else { '-' };
            let (offset, ino) = match a.kind {
                Kind::File { ino, offset, .. } => (offset, ino),
                _ => (0, 0),
            };
            let device = if ino == 0 { "00:00" } else { "00:01" };
            let rights = (flag(4, 'r'), flag(2, 'w'), flag(1, 'x'));
            let shared = if a.shared { 's' } else { 'p' };
            let mut line = format!(
                "{:08x}-{:08x} {}{}{}{shared} {offset:08x} {device} {ino} ",
                a.start, a.end, rights.0, rights.1, rights.2
            )
            .into_bytes();
            let name = match a.kind {
                Kind::File { .. } => a.entry.as_ref().map_or_else(Vec::new, Entry::text),
                Kind::Heap => b"[heap]".to_vec(),
                Kind::Stack => b"[stack]".to_vec(),
                Kind::Anonymous => Vec::new(),
            };
            if !name.is_empty() {
                line.resize(line.len().max(73), b' ');
                line.extend_from_slice(&name);
            }
            line.push(b'\n');
            text.append(&mut line);
            if !self.has_room_for_copies(text.len()) {
                break;
            }
        }
        text
    }
}
