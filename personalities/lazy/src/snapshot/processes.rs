//! The processes of a snapshot.

use super::begin::Found;
use super::read::{LARGEST, Reader, Refused};
use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::process::{Action, Descriptor, Info, Place, Process, Thread, limit_at_start};
use crate::signal::bit;
use abi::snapshot::{self as record, News, Record, State};
use abi::turn::{ARGUMENTS_MAX, CHARGE_PAGES, FDS_MAX, MEMORY_PAGES, OPEN_FILES_MAX, PID_MAX, PROCESSES_MAX};
use abi::vote::NO_DEADLINE;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Deadlines lie at most so far away: `LARGEST` behind a clock.
const FARTHEST: u64 = 2 * LARGEST;

impl<H: Hardware> Kernel<H> {
    pub(super) fn read_processes<'a>(
        &mut self,
        r: &mut Reader<'a>,
        found: &mut Found<'a>,
    ) -> Result<(), Refused> {
        let mut last = 0;
        while let Some(p) = r.take(|r| if let Record::Process(p) = r { Some(p) } else { None })? {
            r.check(p.serial > last && p.serial <= self.last_serial, "serials that do not ascend")?;
            last = p.serial;
            r.check(self.processes.len() < PROCESSES_MAX, "more processes than there can be")?;
            r.check(
                (1..PID_MAX).contains(&p.pid) && self.by_pid(p.pid).is_none(),
                "a pid that is none, or used",
            )?;
            self.check_process(r, &p, found)?;
            let mut process = held(&p);
            if p.state != State::Zombie {
                read_rest(r, &mut process, found)?;
            }
            self.processes.insert(p.serial, process);
            self.threads.insert(p.serial, thread(&p));
            found.parents.insert(p.serial, p.parent);
            found.programs.insert(p.serial, p.program);
        }
        r.check(self.by_pid(1).is_some_and(|p| p.serial == 1 && !p.zombie), "process 1 is not there")?;
        let mut round: Vec<u64> =
            self.threads.values().filter(|t| t.place == Place::Round).map(|t| t.serial).collect();
        let mut named = found.round.clone();
        named.sort();
        round.sort();
        r.check(named == round, "processes in the round that are not in Round, or the other way round")
    }

    fn check_process<'a>(
        &mut self,
        r: &Reader<'a>,
        p: &record::Process<'a>,
        found: &mut Found<'a>,
    ) -> Result<(), Refused> {
        r.check(
            (p.serial == 1) == (p.pid == 1) && (p.serial == 1) == (p.parent == 0),
            "process 1 it is, or not",
        )?;
        r.check(p.name.len() <= 15, "a name that is too long")?;
        r.check((-20..=19).contains(&p.nice), "a nice value that is none")?;
        let counts = [p.started_us, p.calls, p.children_calls, p.interval_us];
        r.check(counts.iter().all(|n| *n < LARGEST), "a counter that no program reaches")?;
        r.check(p.timer_us <= FARTHEST || p.timer_us == NO_DEADLINE, "a timer that nobody can set")?;
        r.check(p.charge.is_multiple_of(CHARGE_PAGES), "a charge that is not in chunks")?;
        self.memory.charged = self.memory.charged.saturating_add(p.charge);
        r.check(self.memory.charged <= MEMORY_PAGES, "more pages charged than there are")?;
        let alive = p.state != State::Zombie;
        r.check(
            alive || p.charge == 0 && p.call.is_none() && p.vfork.is_none(),
            "a zombie that has something",
        )?;
        r.check(p.call.is_some() || p.state != State::Waiting && p.vfork.is_none(), "it waits in no call")?;
        if let Some(call) = p.call {
            let twice = found.calls.values().any(|c| c.at == call.at);
            r.check(call.at < self.turn.call && !twice, "a call number that is none, or used")?;
            r.check(call.done < LARGEST, "more bytes than there are")?;
            r.check(
                call.deadline_us <= FARTHEST || call.deadline_us == NO_DEADLINE,
                "a deadline that is none",
            )?;
            found.calls.insert(p.serial, call);
        }
        if let Some(child) = p.vfork {
            // Children are younger: so no chain of them leads back.
            r.check(child > p.serial && child <= self.last_serial, "a vfork child that is none")?;
            found.vforks.insert(p.serial, child);
        }
        found.charges.insert(p.serial, p.charge);
        Ok(())
    }
}

fn held(p: &record::Process<'_>) -> Process {
    let zombie = p.state == State::Zombie;
    Process {
        serial: p.serial,
        pid: p.pid,
        parent: 0,
        group: p.group,
        session: p.session,
        execed: p.has_execed,
        space: None,
        borrowed: false,
        vfork_parent: None,
        zombie,
        status: if zombie { p.status as i32 } else { 0 },
        report: match p.news {
            News::None => None,
            News::Stopped => Some(p.status as i32),
            News::Continued => Some(0xffff),
        },
        pending: 0,
        infos: BTreeMap::new(),
        actions: [Action::default(); 65],
        descriptors: Vec::new(),
        cwd: p.directory,
        umask: p.umask & 0o777,
        cmdline: Vec::new(),
        exe: Default::default(),
        gone_calls: 0,
        child_calls: p.children_calls,
        random: 0,
        nice: p.nice,
        limits: BTreeMap::new(),
        prctl: [p.death_signal.into(), p.dumpable.into(), p.no_new_privileges.into()],
        timer: (p.timer_us != NO_DEADLINE).then_some((p.timer_us, p.interval_us)),
        unagreed: false,
        digest_due: None,
        started: p.started_us,
    }
}

fn thread(p: &record::Process<'_>) -> Thread {
    Thread {
        place: match p.state {
            State::Round => Place::Round,
            State::Waiting => Place::Waiting,
            State::Stopped => Place::Stopped,
            State::Zombie => Place::Ended,
        },
        mask: p.mask,
        saved_mask: p.saved_mask,
        calls: p.calls,
        made: p.call.map_or(0, |c| c.at),
        comm: p.name.to_vec(),
        ..Thread::new(p.serial, p.serial, p.pid)
    }
}

/// What follows the record of a process that has not ended.
fn read_rest<'a>(r: &mut Reader<'a>, p: &mut Process, found: &mut Found<'a>) -> Result<(), Refused> {
    while let Some(piece) = r.take(|r| if let Record::CommandLine(b) = r { Some(b) } else { None })? {
        p.cmdline.extend_from_slice(piece);
        r.check(p.cmdline.len() <= ARGUMENTS_MAX, "a command line that is too long")?;
    }
    let mut last = 0;
    while let Some(a) = r.take(|r| if let Record::Action(a) = r { Some(a) } else { None })? {
        r.check(a.signal > last && a.signal <= 64, "signals that do not ascend")?;
        last = a.signal;
        let record::Action { handler, flags, restorer, mask, .. } = a;
        if let Some(slot) = p.actions.get_mut(usize::from(a.signal)) {
            *slot = Action { handler, flags, restorer, mask };
        }
    }
    last = 0;
    while let Some(s) = r.take(|r| if let Record::Pending(s) = r { Some(s) } else { None })? {
        r.check(s.signal > last && s.signal <= 64, "signals that do not ascend")?;
        last = s.signal;
        let address = (s.address != 0).then_some(s.address);
        let info = Info { code: s.code, fields: [s.pid, 0, s.status as u32], address };
        p.pending |= bit(s.signal.into());
        p.infos.insert(s.signal.into(), info);
    }
    while let Some(l) = r.take(|r| if let Record::Limit(l) = r { Some(l) } else { None })? {
        let ascends = p.limits.keys().all(|n| *n < l.resource.into());
        let most = limit_at_start(l.resource.into()).1;
        let right = ascends && l.resource < 16 && l.soft <= l.hard && l.hard <= most;
        r.check(right, "a limit that nobody can set")?;
        p.limits.insert(l.resource.into(), (l.soft, l.hard));
    }
    while let Some(d) = r.take(|r| if let Record::Descriptor(d) = r { Some(d) } else { None })? {
        let (fd, file) = (d.number as usize, d.file as usize);
        r.check(fd >= p.descriptors.len() && fd < FDS_MAX && d.flags <= 1, "descriptors that do not ascend")?;
        r.check(
            file <= found.refs.len() && file < OPEN_FILES_MAX,
            "files that are not numbered as they come",
        )?;
        match found.refs.get_mut(file) {
            Some(refs) => *refs += 1,
            None => found.refs.push(1),
        }
        p.set_descriptor(fd, Some(Descriptor { file: d.file, cloexec: d.flags == 1 }));
    }
    Ok(())
}
