//! The processes of a snapshot: rows of the process table, then, when files are there, their descriptors, then their own parts.

use super::{NUMBER_MAX, Reader, Wrong};
use crate::fs::{Fs, Ino, Progress};
use crate::machine::{FpRegisters, NZCV, Registers};
use crate::process::{LIMITS, Life, News, Process};
use crate::signal::{Action, AltStack, Info, SIGNALS_MAX, SigSet};
use crate::thread::{Thread, Want};
use crate::turns::Serial;
use abi::snapshot as form;
use abi::snapshot::{Record, State};
use abi::turn::{ARGUMENTS_MAX, CHARGE_PAGES, FDS_MAX, MEMORY_PAGES, PID_MAX, PROCESSES_MAX};
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

/// A process as far as it is known from its records, and what waits for later ones.
pub(super) struct Row {
    pub process: Process,
    /// Its only thread.
    pub thread: Thread,
    pub state: State,
    pub call: Option<form::Call>,
    pub charge: u64,
    /// Its parent's pid.
    pub parent: u32,
    /// What its link `exe` shows.
    pub program: Vec<u8>,
    descriptors: Vec<form::Descriptor>,
}

impl Row {
    /// It waits for its vfork child, which has its address space.
    pub fn lends(&self) -> Option<Serial> {
        self.thread.vfork_child.filter(|_| self.state == State::Waiting)
    }
}

/// All processes, by serial.
pub(super) fn read(reader: &mut Reader<'_>, last_serial: Serial) -> Result<Vec<Row>, Wrong> {
    let mut rows: Vec<Row> = Vec::new();
    while let Some(p) = reader.next(|r| if let Record::Process(p) = r { Some(p) } else { None })? {
        let behind = rows.last().is_none_or(|last| last.process.serial < p.serial);
        if !behind || p.serial > last_serial || rows.len() >= PROCESSES_MAX {
            return Err("processes out of order, too many, or with serials that were never given");
        }
        if rows.iter().any(|row| row.process.pid == p.pid) {
            return Err("two processes of one pid");
        }
        let mut row = row(&p)?;
        read_rest(reader, &mut row)?;
        rows.push(row);
    }
    let first = rows.first().ok_or("no process")?;
    if (first.process.serial, first.process.pid, first.parent) != (1, 1, 0) || first.state == State::Zombie {
        return Err("process 1 is not the first");
    }
    link(&mut rows)?;
    Ok(rows)
}

/// Parents and vfork children are processes too.
fn link(rows: &mut [Row]) -> Result<(), Wrong> {
    let pids: Vec<(u32, Serial)> = rows.iter().map(|r| (r.process.pid, r.process.serial)).collect();
    for row in rows.iter_mut().skip(1) {
        let parent = pids.iter().find(|(pid, _)| *pid == row.parent).ok_or("a parent that is no process")?;
        row.process.parent = parent.1;
    }
    for parent in 0..rows.len() {
        let Some((lender, child)) = rows.get(parent).and_then(|r| Some((r.process.serial, r.lends()?)))
        else {
            continue;
        };
        let child = rows.iter_mut().find(|r| r.process.serial == child && r.state != State::Zombie);
        let child = child.ok_or("a vfork child that is no process")?;
        // Younger than its parent: so nobody lends in a circle.
        if child.process.serial <= lender || child.charge != 0 || child.process.vfork_parent.is_some() {
            return Err("a vfork child that cannot be one");
        }
        child.process.vfork_parent = Some(lender);
    }
    Ok(())
}

fn row(p: &form::Process<'_>) -> Result<Row, Wrong> {
    let numbers = [p.started_us, p.calls, p.children_calls, p.interval_us];
    let known = p.pid > 0 && p.pid < PID_MAX && p.group < PID_MAX && p.session < PID_MAX;
    if !known
        || numbers.iter().any(|n| *n >= NUMBER_MAX)
        || p.name.len() > 15
        || !(-20..=19).contains(&p.nice)
    {
        return Err("a process' number, name or nice value cannot be that");
    }
    if p.charge > MEMORY_PAGES || !p.charge.is_multiple_of(CHARGE_PAGES) || p.umask > 0o777 {
        return Err("a process' charge or umask cannot be that");
    }
    let news = match (p.news, p.status & 0xff, p.status >> 8) {
        (form::News::None, ..) => News::None,
        (form::News::Stopped, 0x7f, signal @ 1..=64) => News::Stopped(signal as u8),
        (form::News::Continued, ..) => News::Continued,
        _ => return Err("a stop without a signal is no news"),
    };
    let zombie = p.state == State::Zombie;
    if zombie && (p.call.is_some() || p.vfork.is_some()) || p.vfork.is_some() && p.call.is_none() {
        return Err("a process cannot stand in that call");
    }
    let progress = p.call.map_or(Progress::default(), |c| Progress {
        done: c.done,
        deadline_us: (c.deadline_us != NO_DEADLINE).then_some(c.deadline_us),
    });
    if progress.done >= NUMBER_MAX || p.call.is_some_and(|c| c.at >= NUMBER_MAX) {
        return Err("a call cannot be that far");
    }
    let mut process = Process::first(Default::default(), 0, p.started_us);
    (process.serial, process.pid, process.pgid, process.sid) = (p.serial, p.pid, p.group, p.session);
    process.name = p.name.to_vec();
    let mut thread = Thread::first(p.serial, p.pid);
    // One that was alone all its life made all the calls.
    (thread.name, thread.calls) = (p.name.to_vec(), p.calls);
    (process.cwd, process.umask, process.nice) = (p.directory, p.umask, p.nice as i8);
    (process.calls, process.child_calls) = (p.calls, p.children_calls);
    (process.did_exec, process.news) = (p.has_execed, news);
    process.stored.no_new_privs = p.no_new_privileges.into();
    process.stored.dumpable = p.dumpable.into();
    process.stored.death_signal = p.death_signal;
    process.alarm = (p.timer_us != NO_DEADLINE).then_some((p.timer_us, p.interval_us));
    thread.mask = SigSet(p.mask).without(SigSet::UNBLOCKABLE);
    thread.saved_mask = p.saved_mask.map(|mask| SigSet(mask).without(SigSet::UNBLOCKABLE));
    (thread.repeated, thread.progress) = (p.call.is_some(), progress);
    (thread.made_at, thread.vfork_child) = (p.call.map_or(0, |c| c.at), p.vfork);
    process.status = if zombie { p.status as i32 } else { 0 };
    process.life = match p.state {
        State::Zombie => Life::Zombie,
        State::Stopped => Life::Stopped,
        State::Round | State::Waiting => Life::Alive,
    };
    Ok(Row {
        process,
        thread,
        state: p.state,
        call: p.call,
        charge: p.charge,
        parent: p.parent,
        program: p.program.to_vec(),
        descriptors: Vec::new(),
    })
}

/// Command line, actions, pending signals, limits and descriptors.
fn read_rest(reader: &mut Reader<'_>, row: &mut Row) -> Result<(), Wrong> {
    let p = &mut row.process;
    while let Some(part) = reader.next(|r| if let Record::CommandLine(b) = r { Some(b) } else { None })? {
        p.cmdline.extend_from_slice(part);
        if p.cmdline.len() > ARGUMENTS_MAX {
            return Err("a command line that is too long");
        }
    }
    let signal =
        |s: u8| if (1..=SIGNALS_MAX).contains(&s) { Ok(usize::from(s)) } else { Err("no such signal") };
    while let Some(a) = reader.next(|r| if let Record::Action(a) = r { Some(a) } else { None })? {
        let mask = SigSet(a.mask).without(SigSet::UNBLOCKABLE);
        let slot = p.actions.get_mut(signal(a.signal)?).ok_or("no such signal")?;
        if SigSet::UNBLOCKABLE.has(a.signal) {
            return Err("a signal that nobody can catch is caught");
        }
        *slot = Action { handler: a.handler, flags: a.flags, restorer: a.restorer, mask };
    }
    while let Some(n) = reader.next(|r| if let Record::Pending(n) = r { Some(n) } else { None })? {
        signal(n.signal)?;
        let info = Info { code: n.code, pid: n.pid, uid: 0, status: n.status, address: n.address };
        p.pending.add(n.signal, info);
    }
    while let Some(l) = reader.next(|r| if let Record::Limit(l) = r { Some(l) } else { None })? {
        let slot = p.limits.get_mut(usize::from(l.resource)).ok_or("no such limit")?;
        *slot = (l.soft, l.hard);
    }
    while let Some(d) = reader.next(|r| if let Record::Descriptor(d) = r { Some(d) } else { None })? {
        if row.descriptors.len() >= FDS_MAX {
            return Err("more descriptors than there can be");
        }
        row.descriptors.push(d);
    }
    Ok(())
}

/// The descriptors, when files are there.
pub(super) fn open_descriptors(fs: &mut Fs, row: &mut Row) -> Result<(), Wrong> {
    if row.state == State::Zombie {
        return if row.descriptors.is_empty() { Ok(()) } else { Err("a zombie has descriptors") };
    }
    const { assert!(LIMITS > RLIMIT_NOFILE) };
    let p = &mut row.process;
    let cwd: Ino = p.cwd;
    p.exe = fs.begin_program(&row.program);
    p.fds = fs.begin_table(p.limits[RLIMIT_NOFILE].0, cwd)?;
    row.descriptors.iter().try_for_each(|d| fs.begin_descriptor(&mut p.fds, d))
}

const RLIMIT_NOFILE: usize = 7;

/// Registers and what else a process changes without a call.
pub(super) fn set_own(row: &mut Row, own: &form::Private<'_>) -> Result<(), Wrong> {
    let (words, []) = own.registers.as_chunks::<8>() else {
        return Err("registers that are not of 8 bytes each");
    };
    let [x @ .., sp, pc]: [u64; 33] = words
        .iter()
        .map(|w| u64::from_le_bytes(*w))
        .collect::<Vec<_>>()
        .try_into()
        .map_err(|_| "not 33 registers")?;
    let mut vectors = [0; 512];
    vectors.get_mut(..own.vectors.len()).ok_or("more than 32 vectors")?.copy_from_slice(own.vectors);
    let t = &mut row.thread;
    let pstate = u64::from(own.flags) & NZCV;
    t.registers = Registers { x, sp, pc, pstate, tpidr: own.thread_pointer, ..Registers::default() };
    let v = core::array::from_fn(|i| u128::from_le_bytes(vectors.as_chunks::<16>().0[i]));
    *t.fp = FpRegisters { v, fpsr: own.fpsr.into(), fpcr: own.fpcr.into() };
    let [base, flags, size] = own.alternate_stack;
    t.altstack =
        AltStack { base, size, flags: u32::try_from(flags).map_err(|_| "flags of no alternate stack")? };
    (t.clear_child_tid, t.robust_list) = (own.clear_child_tid, own.robust_list);
    if own.random_used >= NUMBER_MAX {
        return Err("a random stream cannot be that far");
    }
    row.process.random_offset = own.random_used;
    if row.call.is_some() && !own.at_call {
        return Err("a process in the middle of a call is not at one");
    }
    let args = core::array::from_fn(|i| x[i]);
    t.want = own.at_call.then_some(Want::Call { number: x[8], args });
    Ok(())
}
