//! Taking a snapshot: what the kernel holds, noted at the sync point.

use super::{Current, Writer};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::{Life, News, Process, first_limits};
use crate::signal::{Action, SIGNALS_MAX};
use crate::turns::Serial;
use abi::snapshot as form;
use abi::snapshot::{Record, State, VERSION};
use abi::vote::{NO_DEADLINE, Vote};
use alloc::format;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Begins a snapshot of sync point `s`, if an entry asked for one: all but what the threads of the round hold themselves.
    pub(crate) fn take_if_asked(&mut self, s: u64) {
        if !core::mem::take(&mut self.snapshots.asked) {
            return;
        }
        self.snapshots.give_up();
        let unknown =
            self.turns.outside().len() > 0 || self.procs.values().any(|p| p.is_alive() && self.is_beyond(p));
        if self.snapshots.has_channel() && !unknown {
            self.take(s);
        }
    }

    /// What no snapshot can hold: memory that nobody agreed on, and threads beside the first.
    fn is_beyond(&self, p: &Process) -> bool {
        p.unagreed || self.threads_of(p.serial) != [p.serial]
    }

    /// Takes the whole snapshot at once: every process stands where its part was taken.
    pub(crate) fn take_at_once(&mut self, s: u64) {
        self.take(s);
        let round: Vec<Serial> = self.turns.round().collect();
        for serial in round {
            self.take_before_call(serial);
        }
    }

    fn take(&mut self, s: u64) {
        let (call, effects) = (self.turns.call(), self.votes.effects());
        let left = self.turns.round().collect();
        let mut out = core::mem::take(&mut self.snapshots);
        out.begin(Current { s, call, effects, left });
        self.put_head(&mut out, s);
        self.fs.put_terminal(&mut out);
        let round: Vec<u8> = self.turns.round().flat_map(u64::to_le_bytes).collect();
        out.put(&Record::Round(&round));
        let mut numbering = Vec::new();
        for p in self.procs.values() {
            self.put_process(&mut out, p, &mut numbering);
        }
        self.fs.put_files(&numbering, &mut out);
        let still = |p: &&Process| p.life == Life::Stopped || self.turns.is_waiting(p.serial);
        let still: Vec<Serial> =
            self.procs.values().filter(|p| p.is_alive()).filter(still).map(|p| p.serial).collect();
        self.save_fp();
        for serial in still {
            self.put_own(&mut out, serial);
        }
        self.snapshots = out;
        self.finish_snapshot();
    }

    /// The head is about to make a call: its own part, if a snapshot waits for it.
    pub(crate) fn take_before_call(&mut self, serial: Serial) {
        let Some(current) = self.snapshots.current() else { return };
        if current.left.front() != Some(&serial) {
            if current.left.contains(&serial) {
                self.snapshots.give_up();
            }
            return;
        }
        current.left.pop_front();
        self.save_fp();
        let mut out = core::mem::take(&mut self.snapshots);
        self.put_own(&mut out, serial);
        self.snapshots = out;
        self.finish_snapshot();
    }

    /// A thread is skipped: a snapshot that waits for its own part never gets it.
    pub(crate) fn skipped_before_own(&mut self, serial: Serial) {
        if self.snapshots.current().is_some_and(|c| c.left.contains(&serial)) {
            self.snapshots.give_up();
        }
    }

    /// The end, when nothing is left to come, or when it is known that there is none.
    fn finish_snapshot(&mut self) {
        let Some(&mut Current { s, ref left, .. }) = self.snapshots.current() else { return };
        if left.is_empty()
            && let Some((Current { s, call, effects, .. }, root)) = self.snapshots.end()
        {
            self.post(&Vote::Snapshot { s, call, effects, root });
        }
        if let Some(why) = self.snapshots.refused() {
            self.m.text(&format!("no snapshot of sync point {s}: {why}"));
        }
    }

    fn put_head(&self, out: &mut Writer, s: u64) {
        let (next_pipe, next_inode) = self.fs.next_numbers();
        out.put(&Record::Head(form::Head {
            version: VERSION,
            s,
            calls: self.turns.call(),
            effects: self.votes.effects(),
            execs: self.execs,
            last_serial: self.last_serial,
            last_pid: self.last_pid,
            base_us: self.turns.base_us(),
            next_pipe,
            next_inode,
            boot: &self.start.entry,
        }));
    }

    fn put_process(&self, out: &mut Writer, p: &Process, numbering: &mut Vec<u64>) {
        let program = p.exe.as_ref().map_or_else(Vec::new, |(_, entry)| entry.text());
        out.put(&Record::Process(self.process_record(p, &program)));
        if !p.is_alive() {
            return;
        }
        out.put_bytes(&p.cmdline, Record::CommandLine);
        for signal in 1..=SIGNALS_MAX {
            let action = p.action(signal);
            let Action { handler, flags, restorer, mask } = action;
            if action != Action::default() {
                out.put(&Record::Action(form::Action { signal, handler, flags, restorer, mask: mask.0 }));
            }
        }
        for (signal, info) in p.pending.iter() {
            let (code, pid, status, address) = (info.code, info.pid, info.status, info.address);
            out.put(&Record::Pending(form::Pending { signal, code, pid, status, address }));
        }
        for ((resource, (soft, hard)), first) in (0..).zip(p.limits).zip(first_limits()) {
            if (soft, hard) != first {
                out.put(&Record::Limit(form::Limit { resource, soft, hard }));
            }
        }
        self.fs.put_descriptors(&p.fds, numbering, out);
    }

    fn process_record<'a>(&self, p: &'a Process, program: &'a [u8]) -> form::Process<'a> {
        let alive = p.is_alive();
        let thread = self.threads.get(&p.serial);
        let kept = |value: u64| if alive { value } else { 0 };
        let (status, news) = match p.news {
            _ if !alive => (p.status as u32, form::News::None),
            News::None => (0, form::News::None),
            News::Stopped(signal) => (u32::from(signal) << 8 | 0x7f, form::News::Stopped),
            News::Continued => (0, form::News::Continued),
        };
        let (timer_us, interval_us) = p.alarm.filter(|_| alive).unwrap_or((NO_DEADLINE, 0));
        form::Process {
            serial: p.serial,
            pid: p.pid,
            parent: self.pid_of(p.parent),
            group: p.pgid,
            session: p.sid,
            state: match p.life {
                Life::Zombie => State::Zombie,
                Life::Stopped => State::Stopped,
                Life::Alive if self.turns.is_waiting(p.serial) => State::Waiting,
                Life::Alive => State::Round,
            },
            status,
            news,
            name: &p.name,
            program,
            directory: kept(p.cwd),
            umask: kept(p.umask.into()) as u32,
            nice: p.nice.into(),
            has_execed: p.did_exec,
            no_new_privileges: alive && p.stored.no_new_privs != 0,
            dumpable: kept(p.stored.dumpable) as u32,
            death_signal: kept(p.stored.death_signal.into()) as u32,
            started_us: p.start_us,
            calls: p.calls,
            children_calls: p.child_calls,
            charge: self.charge_of(p),
            timer_us,
            interval_us,
            mask: thread.map_or(0, |t| t.mask.0),
            saved_mask: thread.and_then(|t| t.saved_mask).map(|m| m.0),
            call: thread.filter(|t| t.repeated).map(|t| form::Call {
                at: t.made_at,
                done: t.progress.done,
                deadline_us: t.progress.deadline_us.unwrap_or(NO_DEADLINE),
                came: t.came || self.fs.other_end_came(t.tid),
            }),
            vfork: thread.and_then(|t| t.vfork_child),
        }
    }
}
