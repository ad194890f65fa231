//! Sync points: where the outside reaches the program.

use crate::kernel::Kernel;
use crate::machine::{Machine, Trace};
use crate::process::{Life, Process};
use crate::signal::{Info, SIGALRM};
use crate::turns::Serial;
use abi::log::{Event, Sync};
use abi::vote::{NO_DEADLINE, Vote};
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Takes the entry of sync point `s`; false: it is not there yet.
    pub(crate) fn take_sync(&mut self, s: u64) -> bool {
        let entry = match self.log.sync(s) {
            Ok(Some(entry)) => entry,
            Ok(None) => return false,
            Err(why) => self.m.crash(why),
        };
        self.turns.begin_sync(entry.time_us);
        let sync = Sync { s, time_us: entry.time_us, events: &entry.events };
        for event in sync.events() {
            match event {
                Ok(event) => self.event(event),
                Err(_) => self.m.crash("log: an event cannot be decoded"),
            }
        }
        self.pass_alarms();
        self.turns.pass_deadlines();
        let runnable = self.turns.end_sync();
        self.take_if_asked(s);
        self.passed(s, runnable);
        true
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Rejoin { thread, call } => {
                if self.turns.skipped_at(thread) == Some(call) {
                    self.turns.enter(thread);
                }
            }
            Event::Snapshot => self.snapshots.asked = true,
            other => {
                self.fs.tty_event(other);
                self.drain(0);
            }
        }
    }

    /// ITIMER_REAL: SIGALRM to the processes whose time has come, in the order (deadline, serial), before threads are woken.
    fn pass_alarms(&mut self) {
        let now = self.turns.clock_us();
        let mut due: Vec<(u64, Serial)> = Vec::new();
        for p in self.procs.values_mut() {
            if let Some((at, interval)) = p.alarm
                && at <= now
                && p.life != Life::Zombie
            {
                due.push((at, p.serial));
                // The next expiry after now: missed ones are not made up for.
                p.alarm = (interval > 0).then(|| (at + interval * ((now - at) / interval + 1), interval));
            }
        }
        due.sort_unstable();
        for (_, serial) in due {
            self.generate(serial, SIGALRM, Info::kernel());
        }
    }

    /// Says that sync point `s` is passed, with a digest of the state where one is due.
    pub(crate) fn passed(&mut self, s: u64, runnable: bool) {
        let interval = u64::from(self.start.digest_interval);
        let due = interval > 0 && s.is_multiple_of(interval);
        let state = due.then(|| self.state_digest());
        if due {
            let several: Vec<Serial> = self.procs.keys().copied().filter(|&p| self.has_several(p)).collect();
            for t in self.threads.values_mut() {
                t.digest_due = Some(s).filter(|_| !several.contains(&t.process));
            }
        }
        let deadline_us = if runnable { NO_DEADLINE } else { self.earliest_deadline_us() };
        let (call, effects) = (self.turns.call(), self.votes.effects());
        self.m.trace(Trace::Passed { s, call });
        self.post(&Vote::Passed { s, call, effects, runnable, deadline_us, state });
        if due {
            self.post_shared_memories(s);
        }
    }

    /// Threads of one memory run in turns only: at a sync point it stands still, and is digested there.
    fn post_shared_memories(&mut self, s: u64) {
        let known = |p: &&Process| p.is_alive() && !p.unagreed && self.has_several(p.serial);
        let several: Vec<(Serial, u32)> =
            self.procs.values().filter(known).map(|p| (p.serial, p.pid)).collect();
        for (process, pid) in several {
            let threads = self.threads_of(process);
            if threads.iter().all(|&t| self.turns.skipped_at(t).is_none()) {
                let digest = self.memory_digest(process, &threads);
                self.post(&Vote::Memory { s, process, pid, digest });
            }
        }
    }

    fn earliest_deadline_us(&self) -> u64 {
        let alarms = self.procs.values().filter(|p| p.life != Life::Zombie).filter_map(|p| p.alarm);
        alarms.map(|(at, _)| at).fold(self.turns.earliest_deadline_us(), u64::min)
    }
}
