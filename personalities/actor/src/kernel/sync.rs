//! Sync points: an entry of the log is applied ("Sync points" in the turn rule).

use super::Kernel;
use crate::log::Sync;
use crate::machine::Machine;
use crate::process::{Info, sig};
use abi::log::Event;
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Sync point 0.
    pub(super) fn begin(&mut self) {
        self.report(0);
    }

    /// Applies an entry.
    pub(super) fn apply(&mut self, entry: &Sync) {
        self.turns.begin_sync(entry.time_us);
        let now = self.turns.base_us();
        self.files.set_time(now);
        let borrowed = abi::log::Sync { s: entry.s, time_us: entry.time_us, events: &entry.events };
        let mut wanted = false;
        for event in borrowed.events() {
            // What is no event ends the entry: on all kernels alike.
            let Ok(event) = event else { break };
            wanted |= event == Event::Snapshot;
            self.event(event);
            self.deliver();
        }
        self.timers(now);
        self.turns.deadlines();
        let s = self.turns.end_sync();
        if wanted {
            self.take_snapshot(s);
        }
        self.report(s);
    }

    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::TtyData(bytes) => self.terminal.data(bytes, &mut self.post),
            Event::TtyLine(bytes) => self.terminal.line(bytes, &mut self.post),
            Event::TtySignal(signal) if (1..=sig::LAST).contains(&signal) => {
                self.terminal.signal(signal, &mut self.post);
            }
            Event::TtySignal(_) => {}
            Event::WindowSize { rows, columns } => {
                (self.terminal.size[0], self.terminal.size[1]) = (rows, columns);
                let info = Info::kernel(sig::SIGWINCH);
                self.post.send(crate::post::Note::Group(self.terminal.foreground, info));
            }
            Event::Rejoin { thread, call } => self.turns.rejoin(thread, call),
            // Taken when all else is done.
            Event::Snapshot => {}
        }
    }

    /// ITIMER_REAL timers that are due.
    fn timers(&mut self, now: u64) {
        let due =
            |p: &&crate::process::Process| p.timer_us.0 != 0 && p.timer_us.0 <= now && p.ended.is_none();
        let mut due: Vec<(u64, u64)> =
            self.processes.iter().filter(due).map(|p| (p.timer_us.0, p.serial)).collect();
        due.sort_unstable();
        for (at, serial) in due {
            if let Ok(p) = self.processes.get_mut(serial) {
                let interval = p.timer_us.1;
                let periods = (now - at).checked_div(interval).map_or(0, |n| n + 1);
                p.timer_us.0 =
                    if interval == 0 { 0 } else { at.saturating_add(periods.saturating_mul(interval)) };
            }
            self.processes.generate(serial, Info::kernel(sig::SIGALRM), &mut self.post);
            self.deliver();
        }
    }

    fn report(&mut self, s: u64) {
        let runnable = self.turns.head().is_some();
        let timers =
            self.processes.iter().filter(|p| p.ended.is_none()).map(|p| p.timer_us.0).filter(|t| *t != 0);
        let waiting = self.turns.deadlines_waiting().map(|(at, _)| at);
        let deadline = timers.chain(waiting).min().filter(|_| !runnable).unwrap_or(NO_DEADLINE);
        let due = self.digest_interval != 0 && s.is_multiple_of(self.digest_interval);
        let state = due.then(|| self.state_digest());
        if due {
            let processes = &self.processes;
            for (serial, thread) in &mut self.threads {
                let agreed = processes.get(*serial).is_ok_and(|p| !p.unagreed);
                thread.digest_due = agreed.then_some(s);
            }
        }
        self.passed(s, state, runnable, deadline);
    }
}
