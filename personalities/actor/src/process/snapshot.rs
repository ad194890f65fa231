//! The process server's part of a snapshot (`docs/snapshot.md`).

use super::signals::{CLD_CONTINUED, CLD_EXITED, SI_KERNEL};
use super::{Action, AltStack, Info, Payload, Process, Processes, default_limits, sig};
use crate::snapshot::read::ProcessPart;
use crate::snapshot::{NUMBERS, Out, Read, Wrong, check, pieces};
use crate::turns::Serial;
use abi::snapshot::{self, News, Record, State};
use abi::turn::{PID_MAX, PROCESSES_MAX};
use abi::vote::NO_DEADLINE;
use alloc::collections::BTreeMap;

fn info(p: &snapshot::Pending) -> Info {
    let payload = match (p.signal, p.code) {
        (_, SI_KERNEL) => Payload::Nothing,
        (sig::SIGCHLD, CLD_EXITED..=CLD_CONTINUED) => Payload::Child { pid: p.pid, status: p.status },
        (_, ..=0) => Payload::Sender { pid: p.pid },
        _ => Payload::Address(p.address),
    };
    Info { signal: p.signal, code: p.code, payload }
}

fn pending(info: &Info) -> snapshot::Pending {
    let (pid, status, address) = match info.payload {
        Payload::Nothing => (0, 0, 0),
        Payload::Sender { pid } => (pid, 0, 0),
        Payload::Child { pid, status } => (pid, status, 0),
        Payload::Address(address) => (0, 0, address),
    };
    snapshot::Pending { signal: info.signal, code: info.code, pid, status, address }
}

impl Process {
    /// What this server knows; the rest is for others to fill in.
    pub fn record(&self, state: State) -> snapshot::Process<'_> {
        let (news, status) = match (self.ended, self.stopped) {
            (Some(status), _) => (News::None, status as u32),
            (None, Some(signal)) if self.stop_news => (News::Stopped, u32::from(signal) << 8 | 0x7f),
            (None, None) if self.continue_news => (News::Continued, 0),
            _ => (News::None, 0),
        };
        let lives = self.ended.is_none();
        let timer = self.timer_us;
        snapshot::Process {
            serial: self.serial,
            pid: self.pid,
            parent: 0,
            group: self.pgid,
            session: self.sid,
            state,
            status,
            news,
            name: &self.name,
            program: b"",
            directory: 0,
            umask: 0,
            nice: self.nice,
            has_execed: self.has_execed,
            no_new_privileges: self.no_new_privs && lives,
            dumpable: if lives { self.dumpable as u32 } else { 0 },
            death_signal: if lives { self.death_signal as u32 } else { 0 },
            started_us: self.start_us,
            calls: self.calls,
            children_calls: self.children_calls,
            charge: 0,
            timer_us: if lives && timer.0 != 0 { timer.0 } else { NO_DEADLINE },
            interval_us: if lives { timer.1 } else { 0 },
            mask: if lives { self.signals.mask } else { 0 },
            saved_mask: self.signals.saved_mask.filter(|_| lives),
            call: None,
            vfork: None,
        }
    }

    /// Command line, actions, pending signals, limits.
    pub fn write_lists(&self, out: &mut Out<'_>) {
        if self.ended.is_some() {
            return;
        }
        pieces(&self.cmdline, out, Record::CommandLine);
        for signal in 1..=sig::LAST {
            let Action { handler, flags, restorer, mask } = self.signals.action(signal);
            if (handler, flags, restorer, mask) != (0, 0, 0, 0) {
                out(&Record::Action(snapshot::Action { signal, handler, flags, restorer, mask }));
            }
        }
        self.signals.pending.values().for_each(|i| out(&Record::Pending(pending(i))));
        let changed = self.limits.iter().zip(default_limits()).enumerate().filter(|(_, (a, b))| *a != b);
        for (resource, ((soft, hard), _)) in changed {
            out(&Record::Limit(snapshot::Limit { resource: resource as u8, soft: *soft, hard: *hard }));
        }
    }

    /// What a process changes without a call.
    pub fn set_private(&mut self, p: &snapshot::Private<'_>) {
        let [sp, flags, size] = p.alternate_stack;
        self.signals.stack = AltStack { sp, flags: flags as u32, size };
        (self.clear_child_tid, self.robust_list) = (p.clear_child_tid, p.robust_list);
        self.random_read = p.random_used;
    }

    fn read(part: &ProcessPart<'_>, boot_us: u64, now_us: u64) -> Read<Process> {
        let (p, at) = (&part.process, part.record);
        let good = |good, what| check(good, at, what);
        good((1..PID_MAX).contains(&p.pid), "a pid that none is")?;
        good(p.name.len() <= 15, "a name that is too long")?;
        good((-20..20).contains(&p.nice) && p.umask <= 0o777, "a nice value or a mask that none is")?;
        good(p.dumpable <= 1 && p.death_signal <= 64, "a value of prctl that none is")?;
        good((boot_us..=now_us).contains(&p.started_us), "a process that began at no time")?;
        good(p.calls < NUMBERS && p.children_calls < NUMBERS, "more calls than can be")?;
        let dead = p.state == State::Zombie;
        let news = match p.state {
            State::Zombie => p.news == News::None,
            State::Stopped => p.news != News::Continued,
            _ => p.news != News::Stopped,
        };
        good(news, "news that are none")?;
        let mut made = Process::new(p.serial, p.pid, p.started_us);
        (made.pgid, made.sid) = (p.group, p.session);
        made.name = p.name.to_vec();
        made.cmdline = part.command_line.clone();
        made.ended = dead.then_some(p.status as i32);
        made.stopped = (p.state == State::Stopped).then_some(match p.news {
            News::Stopped => (p.status >> 8) as u8,
            _ => sig::SIGSTOP,
        });
        good(made.stopped.is_none_or(|s| (1..=sig::LAST).contains(&s)), "a stop by no signal")?;
        made.stop_news = p.news == News::Stopped;
        made.continue_news = p.news == News::Continued;
        (made.has_execed, made.no_new_privs) = (p.has_execed, p.no_new_privileges);
        (made.calls, made.children_calls, made.nice) = (p.calls, p.children_calls, p.nice);
        (made.dumpable, made.death_signal) = (p.dumpable.into(), p.death_signal.into());
        made.timer_us = (if p.timer_us == NO_DEADLINE { 0 } else { p.timer_us }, p.interval_us);
        (made.signals.mask, made.signals.saved_mask) = (p.mask, p.saved_mask);
        made.read_lists(part)?;
        Ok(made)
    }

    fn read_lists(&mut self, part: &ProcessPart<'_>) -> Read {
        let is_signal = |s: u8| (1..=sig::LAST).contains(&s);
        for (at, a) in &part.actions {
            let changeable = is_signal(a.signal) && !matches!(a.signal, sig::SIGKILL | sig::SIGSTOP);
            check(changeable, *at, "an action of no signal that has one")?;
            let (handler, flags, restorer, mask) = (a.handler, a.flags, a.restorer, a.mask);
            self.signals.set_action(a.signal, Action { handler, flags, restorer, mask });
        }
        for (at, p) in &part.pending {
            check(is_signal(p.signal), *at, "a pending signal that is none")?;
            self.signals.pending.insert(p.signal, info(p));
        }
        for (at, l) in &part.limits {
            let known = self.limits.get_mut(usize::from(l.resource)).filter(|_| l.soft <= l.hard);
            let what = "a limit that none is";
            *known.ok_or(Wrong { record: *at, what })? = (l.soft, l.hard);
        }
        Ok(())
    }
}

impl Processes {
    /// All processes of a snapshot, whose clock is `now_us`.
    pub fn restore(parts: &[ProcessPart<'_>], last: (Serial, u32), times: (u64, u64)) -> Read<Processes> {
        let (last_serial, last_pid) = last;
        let mut all: BTreeMap<Serial, Process> = BTreeMap::new();
        check(parts.len() <= PROCESSES_MAX, 0, "more processes than can be")?;
        check(last_serial < NUMBERS && last_pid < PID_MAX, 0, "counters that none are")?;
        for part in parts {
            let ascends = all.last_key_value().is_none_or(|(s, _)| *s < part.process.serial);
            check(ascends && part.process.serial <= last_serial, part.record, "a serial out of order")?;
            let twice = all.values().any(|p| p.pid == part.process.pid);
            check(!twice, part.record, "a pid for the second time")?;
            all.insert(part.process.serial, Process::read(part, times.0, times.1)?);
        }
        let first = all.get(&1).is_some_and(|p| p.pid == 1 && p.ended.is_none());
        check(first, 0, "process 1 is missing")?;
        for part in parts {
            let parent = all.values().find(|p| p.pid == part.process.parent && p.ended.is_none());
            let parent = parent.map_or(0, |p| p.serial);
            let is_first = part.process.serial == 1;
            let fits = if is_first { part.process.parent == 0 } else { parent != 0 };
            check(fits && parent != part.process.serial, part.record, "a parent that is none")?;
            all.entry(part.process.serial).and_modify(|p| p.parent = parent);
        }
        Ok(Processes { all, last_serial, last_pid })
    }
}
