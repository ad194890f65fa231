//! The kernel-held part of a snapshot.

use super::Sink;
use crate::fs::opened::Texts;
use crate::fs::{CHARACTER, DIRECTORY, REGULAR, TYPE};
use crate::page::PAGE_SIZE;
use crate::process::{Place, Process, Progress, Wanted};
use crate::signals::Info;
use crate::state::{Leads, State};
use abi::snapshot::{
    Action, Call, DATA_MAX, Descriptor, DirectoryEntry, Head, Inode, Limit, News, OpenFile, Page, Pending,
    Pipe, Record, State as Stand, Terminal, VERSION,
};
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

/// News of a continuation, as wait4 has it.
pub const CONTINUED: i32 = 0xffff;
const BLOCK: u32 = 0o060000;

/// Whether the siginfo of a signal holds an address.
pub fn has_address(signal: u8, code: i32) -> bool {
    [4, 5, 7, 8, 11].contains(&signal) && code > 0 && code != crate::turns::SI_KERNEL
}

/// Bytes without the zeros at the end.
pub fn trimmed(bytes: &[u8]) -> &[u8] {
    let n = bytes.iter().rposition(|&b| b != 0).map_or(0, |i| i + 1);
    bytes.get(..n).unwrap_or_default()
}

fn in_pieces<'a>(bytes: &'a [u8], out: &mut Sink<'_>, make: impl Fn(&'a [u8]) -> Record<'a>) {
    bytes.chunks(DATA_MAX).for_each(|piece| out(&make(piece)));
}

fn words<'a>(words: impl Iterator<Item = &'a u64>) -> Vec<u8> {
    words.flat_map(|w| w.to_le_bytes()).collect()
}

impl State {
    /// Whether a snapshot can be taken now: nobody is outside or unagreed, and a parent that waits in vfork shares its child's space.
    pub fn is_whole(&self) -> bool {
        let whole = |p: &Process| match (&p.place, self.vfork_child(p)) {
            (Place::Zombie, _) => true,
            (Place::Outside(..), _) => false,
            (Place::Waiting(_), Some(child)) => {
                self.processes.get(&child).is_some_and(|c| c.space == p.space)
            }
            _ => true,
        };
        self.processes.values().all(|p| whole(p) && (p.is_zombie() || !p.unagreed))
    }

    /// The child of a vfork that a thread is in the middle of.
    pub fn vfork_child(&self, p: &Process) -> Option<u64> {
        match p.wanted {
            Wanted::Call { progress: Progress { child: Some((child, _)), .. }, .. } => Some(child),
            _ => None,
        }
    }

    /// Writes the kernel-held part at sync point `s`, whose entry was taken.
    pub fn write_held(&self, s: u64, effects: u64, boot: &[u8], out: &mut Sink<'_>) {
        out(&Record::Head(Head {
            version: VERSION,
            s,
            calls: self.call,
            effects,
            execs: self.execs,
            last_serial: self.last_serial,
            last_pid: self.last_pid,
            base_us: self.base,
            next_pipe: self.pipe_inodes + 1,
            next_inode: self.files.next,
            boot,
        }));
        self.write_terminal_state(out);
        out(&Record::Round(&words(self.round.iter())));
        let (mut opens, mut pipes, mut texts) = (Vec::new(), Vec::new(), self.files.texts());
        for p in self.processes.values() {
            self.write_process(p, &mut opens, &mut texts, out);
        }
        for (number, open) in opens.iter().enumerate() {
            self.write_open((number as u32, *open), &mut pipes, &mut texts, out);
        }
        for p in self.processes.values() {
            if let Wanted::Call { progress: Progress { opening: Some(o), .. }, .. } = p.wanted {
                pipes.push(o.pipe);
            }
        }
        self.write_pipes(pipes, out);
        self.write_files(out);
    }

    fn write_terminal_state(&self, out: &mut Sink<'_>) {
        let t = &self.tty;
        let queue: Vec<u8> = t.bytes.iter().copied().collect();
        let mut lines = t.lines().peekable();
        let mut ends: Vec<u8> = Vec::new();
        for end in &t.ends {
            while lines.next_if(|line| line < end).is_some() {}
            // The first end behind a '\n' is that line's.
            if lines.next_if_eq(end).is_none() {
                ends.extend((*end as u32).to_le_bytes());
            }
        }
        out(&Record::Terminal(Terminal {
            modes: &t.modes,
            rows: t.rows,
            columns: t.columns,
            x_pixels: t.pixels.0,
            y_pixels: t.pixels.1,
            session: t.session,
            foreground: t.foreground,
            queue: &queue,
            ends: &ends,
        }));
    }

    fn call_of(&self, p: &Process) -> Option<Call> {
        let Wanted::Call { progress, .. } = &p.wanted else { return None };
        let came = progress.opening.is_some_and(|o| {
            let seen = |p: &crate::pipe::Pipe| if o.read { p.writers_seen } else { p.readers_seen };
            self.pipes.get(&o.pipe).is_some_and(|p| seen(p) != o.seen)
        });
        progress.begun.then_some(Call {
            at: progress.at,
            done: progress.child.map_or(progress.done, |(_, pid)| pid.into()),
            deadline_us: progress.deadline.unwrap_or(NO_DEADLINE),
            came,
        })
    }

    fn standing<'a>(&self, p: &'a Process) -> abi::snapshot::Process<'a> {
        let parent = self.processes.get(&p.parent).map_or(0, |q| q.pid);
        let (state, status) = match p.place {
            Place::Round | Place::Outside(..) => (Stand::Round, 0),
            Place::Waiting(_) => (Stand::Waiting, 0),
            Place::Stopped(_) => (Stand::Stopped, 0),
            Place::Zombie => (Stand::Zombie, p.status as u32),
        };
        abi::snapshot::Process {
            serial: p.serial,
            pid: p.pid,
            parent,
            group: p.group,
            session: p.session,
            state,
            status,
            news: News::None,
            name: &p.name,
            program: &[],
            directory: 0,
            umask: 0,
            nice: p.nice,
            has_execed: p.execed,
            no_new_privileges: false,
            dumpable: 0,
            death_signal: 0,
            started_us: p.started,
            calls: p.calls,
            children_calls: p.child_calls,
            charge: 0,
            timer_us: NO_DEADLINE,
            interval_us: 0,
            mask: 0,
            saved_mask: None,
            call: None,
            vfork: None,
        }
    }

    fn write_process(&self, p: &Process, opens: &mut Vec<u64>, texts: &mut Texts<'_>, out: &mut Sink<'_>) {
        let program = texts.of(&p.exe.name);
        let mut r = self.standing(p);
        if p.is_zombie() {
            out(&Record::Process(r));
            return;
        }
        (r.news, r.status) = match p.news {
            None => (News::None, 0),
            Some(CONTINUED) => (News::Continued, 0),
            Some(stop) => (News::Stopped, stop as u32),
        };
        (r.program, r.umask) = (&program, p.umask);
        r.directory = self.stat(p.cwd).map_or(0, |s| s.inode);
        (r.death_signal, r.dumpable) = (p.controls[0] as u32, p.controls[1] as u32);
        r.no_new_privileges = p.controls[2] != 0;
        r.charge = self.charge_of(p);
        if p.timer.0 != 0 {
            (r.timer_us, r.interval_us) = p.timer;
        }
        (r.mask, r.saved_mask) = (p.signals.mask, p.signals.saved);
        (r.call, r.vfork) = (self.call_of(p), self.vfork_child(p));
        out(&Record::Process(r));
        in_pieces(&p.arguments, out, Record::CommandLine);
        self.write_signals(p, out);
        for (resource, (soft, hard)) in p.limits.iter() {
            if crate::calls::limits::default(*resource) != (*soft, *hard) {
                out(&Record::Limit(Limit { resource: *resource as u8, soft: *soft, hard: *hard }));
            }
        }
        for (number, fd) in p.fds.iter() {
            let file = opens.iter().position(|o| *o == fd.open).unwrap_or_else(|| {
                opens.push(fd.open);
                opens.len() - 1
            });
            let (number, flags, file) = (*number, fd.cloexec.into(), file as u32);
            out(&Record::Descriptor(Descriptor { number, flags, file }));
        }
    }

    fn write_signals(&self, p: &Process, out: &mut Sink<'_>) {
        for (i, a) in p.signals.actions.iter().enumerate() {
            if *a != crate::signals::Action::default() {
                let (signal, handler, flags) = (i as u8 + 1, a.handler, a.flags);
                out(&Record::Action(Action { signal, handler, flags, restorer: a.restorer, mask: a.mask }));
            }
        }
        let mut infos: Vec<&Info> = p.signals.infos.iter().collect();
        infos.sort_unstable_by_key(|i| i.signal);
        for i in infos {
            let mut r = Pending { signal: i.signal, code: i.code, pid: 0, status: 0, address: 0 };
            if has_address(i.signal, i.code) {
                r.address = i.fields[0];
            } else {
                (r.pid, r.status) = (i.fields[0] as u32, i.fields[1] as i32);
            }
            out(&Record::Pending(r));
        }
    }

    fn write_open(
        &self,
        (number, open): (u32, u64),
        pipes: &mut Vec<u64>,
        texts: &mut Texts<'_>,
        out: &mut Sink<'_>,
    ) {
        let Some(o) = self.opens.get(&open) else { return };
        let (mut inode, mut offset) = (self.stat(o.node).map_or(0, |s| s.inode), o.offset);
        let mut before_writers = false;
        if let Leads::Pipe(n, ..) = o.leads {
            pipes.push(n);
            let pipe = self.pipes.get(&n);
            (inode, offset) = (pipe.map_or(0, |p| p.inode), 0);
            before_writers = o.hangup_after != 0 && pipe.is_some_and(|p| p.writers_seen < o.hangup_after);
        }
        if matches!(o.leads, Leads::Terminal) {
            offset = 0;
        }
        let path = self.open_text(o, texts).unwrap_or_default();
        let kind = o.kind();
        out(&Record::OpenFile(OpenFile {
            number,
            kind,
            inode,
            flags: o.flags,
            offset,
            before_writers,
            path: &path,
        }));
        if let Leads::Text(text) = &o.leads {
            in_pieces(text, out, Record::Text);
        }
    }

    fn write_pipes(&self, pipes: Vec<u64>, out: &mut Sink<'_>) {
        let mut pipes: Vec<&crate::pipe::Pipe> = pipes.iter().filter_map(|n| self.pipes.get(n)).collect();
        pipes.sort_unstable_by_key(|p| (p.fifo, p.inode));
        pipes.dedup_by_key(|p| (p.fifo, p.inode));
        for p in pipes {
            let made_us = if p.fifo { 0 } else { p.made as u64 / 1000 };
            out(&Record::Pipe(Pipe { number: p.inode, fifo: p.fifo, made_us }));
            let bytes: Vec<u8> = p.bytes.iter().copied().collect();
            in_pieces(&bytes, out, Record::PipeData);
        }
    }

    fn write_files(&self, out: &mut Sink<'_>) {
        for (number, i) in self.files.changed() {
            let kind = i.mode & TYPE;
            let directory = kind == DIRECTORY;
            let from_image = kind == REGULAR && i.base.is_some();
            out(&Record::Inode(Inode {
                number,
                mode: i.mode,
                uid: i.uid,
                gid: i.gid,
                links: i.links,
                size: i.size,
                device: if kind == CHARACTER || kind == BLOCK { i.rdev } else { 0 },
                accessed_ns: i.times[0],
                modified_ns: i.times[1],
                changed_ns: i.times[2],
                target: i.target.as_deref().unwrap_or_default(),
                from_image,
                next_sequence: if directory { i.sequence } else { 0 },
                parent: if directory { i.parent } else { 0 },
            }));
            if directory {
                for (sequence, name, inode) in self.files.entries(number, 0) {
                    out(&Record::Entry(DirectoryEntry { sequence, inode, name: &name }));
                }
            } else if kind == REGULAR && !from_image {
                for (at, page) in self.files.counted(number) {
                    let mut bytes = [0; PAGE_SIZE];
                    self.pool.read(page, 0, &mut bytes);
                    out(&Record::FilePage(Page { at, bytes: trimmed(&bytes) }));
                }
            }
        }
    }
}
