//! What a snapshot says of the whole, asked of the servers one after the other.

use super::{Out, trimmed};
use crate::bytes::Out as Bytes;
use crate::files::{Files, Numbering};
use crate::kernel::{Again, Thread, Want};
use crate::memory::Memory;
use crate::pipes::{PipeId, Pipes};
use crate::process::Processes;
use crate::terminal::Terminal;
use crate::turns::{Place, Serial, Turns};
use abi::snapshot::{Call, Head, Pipe, Private, Record, State};
use abi::vote::NO_DEADLINE;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

const NZCV: u64 = 0xf000_0000;

/// All that a snapshot speaks of.
pub struct View<'a> {
    pub turns: &'a Turns,
    pub processes: &'a Processes,
    pub threads: &'a BTreeMap<Serial, Thread>,
    pub memory: &'a Memory,
    pub files: &'a Files,
    pub pipes: &'a Pipes,
    pub terminal: &'a Terminal,
    /// The log's first entry.
    pub boot: &'a [u8],
    pub effects: u64,
    pub execs: u64,
}

/// Whether a thread is in the middle of a call that it will make again.
fn is_amid(again: &Again) -> bool {
    again.blocked || again.done > 0 || again.vfork.is_some()
}

/// Pages that a process is charged for.
pub fn charge(threads: &BTreeMap<Serial, Thread>, memory: &Memory, serial: Serial) -> u64 {
    let payer = threads.get(&serial).filter(|t| !t.guest);
    payer.and_then(|t| memory.space(t.space)).map_or(0, |s| s.charge)
}

impl View<'_> {
    /// Whether the program is in a state that all kernels share.
    pub fn is_agreed(&self) -> bool {
        self.turns.outside().next().is_none()
            && self.processes.iter().all(|p| p.ended.is_some() || !p.unagreed)
    }

    /// The kernel-held part, at sync point `s`.
    pub fn held(&self, s: u64, out: &mut Out<'_>) {
        out(&Record::Head(Head {
            version: abi::snapshot::VERSION,
            s,
            calls: self.turns.calls(),
            effects: self.effects,
            execs: self.execs,
            last_serial: self.processes.last_serial(),
            last_pid: self.processes.last_pid(),
            base_us: self.turns.base_us(),
            next_pipe: self.pipes.next(),
            next_inode: self.files.next_node(),
            boot: self.boot,
        }));
        self.terminal.write(out);
        let round: Vec<u8> = self.turns.round().flat_map(u64::to_le_bytes).collect();
        out(&Record::Round(&round));
        let mut numbering = Numbering::default();
        for p in self.processes.iter() {
            let amid = self.threads.get(&p.serial).map(|t| &t.again).filter(|a| is_amid(a));
            let mut record = p.record(self.state(p.serial));
            let program = self.files.program(p.serial);
            record.parent = self.processes.get(p.parent).map_or(0, |q| q.pid);
            record.charge = charge(self.threads, self.memory, p.serial);
            record.program = &program;
            record.call = amid.map(|a| self.call(a));
            record.vfork = amid.and_then(|a| a.vfork).map(|(child, _)| child);
            if let Ok(table) = self.files.table(p.serial) {
                (record.directory, record.umask) = (table.cwd, table.umask);
            }
            out(&Record::Process(record));
            p.write_lists(out);
            self.files.write_table(p.serial, &mut numbering, out);
        }
        self.files.write_handles(&numbering, self.pipes, out);
        self.write_pipes(&numbering, out);
        self.files.write_layer(out);
    }

    fn state(&self, serial: Serial) -> State {
        match self.turns.place(serial) {
            Some(Place::Round | Place::Outside { .. }) => State::Round,
            Some(Place::Waiting { .. }) => State::Waiting,
            Some(Place::Stopped) => State::Stopped,
            None => State::Zombie,
        }
    }

    fn call(&self, again: &Again) -> Call {
        let child = again.vfork.map(|(_, pid)| u64::from(pid));
        Call {
            at: again.at,
            done: child.unwrap_or(again.done),
            deadline_us: again.deadline_us.unwrap_or(NO_DEADLINE),
            came: again.open_end.is_some_and(|e| self.pipes.others(e.pipe, e.reads).0 != e.others_seen),
        }
    }

    /// The pipes that somebody has open, those without a name first.
    fn write_pipes(&self, numbering: &Numbering, out: &mut Out<'_>) {
        let held = self.threads.values().filter_map(|t| t.again.open_end).map(|e| (true, e.node, e.pipe));
        let open: BTreeSet<(bool, u64, PipeId)> = self.files.open_pipes(numbering).chain(held).collect();
        for (fifo, number, pipe) in open {
            let made_us = if fifo { 0 } else { self.pipes.made(pipe).us() };
            out(&Record::Pipe(Pipe { number, fifo, made_us }));
            super::pieces(&self.pipes.contents(pipe), out, Record::PipeData);
        }
    }

    /// Processes that wait or are stopped.
    pub fn standing(&self) -> impl Iterator<Item = Serial> {
        let stands =
            |s: &Serial| matches!(self.turns.place(*s), Some(Place::Waiting { .. } | Place::Stopped));
        self.processes.iter().map(|p| p.serial).filter(stands)
    }

    /// A process' own part. Its floating-point registers are not in the processor.
    pub fn private(&self, me: Serial, out: &mut Out<'_>) {
        let (Some(t), Ok(p)) = (self.threads.get(&me), self.processes.get(me)) else { return };
        let u = &t.user;
        let mut registers = Bytes::default();
        u.x.iter().chain([&u.sp, &u.pc]).for_each(|x| _ = registers.u64(*x));
        let vectors: Vec<u8> = u.fp.v.iter().flat_map(|v| v.to_le_bytes()).collect();
        // While a process waits in vfork, its memory is its child's.
        let lent = t.again.vfork.is_some() && self.state(me) == State::Waiting;
        let space = self.memory.space(t.space).filter(|_| !lent);
        let stack = &p.signals.stack;
        out(&Record::Private(Private {
            serial: me,
            registers: &registers.0,
            flags: (u.pstate & NZCV) as u32,
            at_call: t.want == Want::Call,
            thread_pointer: u.tls,
            vectors: trimmed(&vectors),
            fpsr: u.fp.fpsr as u32,
            fpcr: u.fp.fpcr as u32,
            alternate_stack: [stack.sp, stack.flags.into(), stack.size],
            clear_child_tid: p.clear_child_tid,
            robust_list: p.robust_list,
            random_used: p.random_read,
            layout: space.map_or(0, |s| s.exec),
            break_start: space.map_or(0, |s| s.brk_start),
            break_end: space.map_or(0, |s| s.brk),
        }));
        if let Some(space) = space {
            space.write(self.files, out);
        }
    }
}
