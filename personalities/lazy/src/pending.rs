//! Pending signals: a process' set, and each thread's own. "Signals" in `docs/turn-rule.md`, "Threads" in `docs/linux-abi.md`.

use crate::hw::{Event, Hardware};
use crate::kernel::Kernel;
use crate::process::{Continuation, Info, Place};
use crate::signal::*;

const STOPS: u64 = 1 << (SIGSTOP - 1) | 1 << (SIGTSTP - 1) | 1 << (SIGTTIN - 1) | 1 << (SIGTTOU - 1);

impl<H: Hardware> Kernel<H> {
    /// Adds `signal` to the pending set of process `serial`.
    pub fn generate(&mut self, serial: u64, signal: u32, info: Info) {
        self.generate_for(serial, false, signal, info);
    }

    /// Adds `signal` to the pending set of thread `serial` alone; the only thread of a process has the process' set.
    pub fn generate_own(&mut self, serial: u64, signal: u32, info: Info) {
        self.generate_for(serial, true, signal, info);
    }

    fn generate_for(&mut self, serial: u64, own: bool, signal: u32, info: Info) {
        let process = self.owner(serial);
        if self.processes.get(&process).is_none_or(|p| p.zombie) {
            return;
        }
        // Linux' `sig_ignored`: whom it is for, and that of a signal to the process is its first thread, whether that has ended or not.
        let addressee = if own { serial } else { process };
        let blocked = self.threads.get(&addressee).is_some_and(|t| t.mask & bit(signal) != 0);
        let own = own && self.has_threads(process);
        let stopped = self.is_stopped(process);
        if signal == SIGCONT {
            self.forget(process, STOPS);
            if stopped {
                self.continue_process(process);
            }
        } else if STOPS & bit(signal) != 0 {
            self.forget(process, bit(SIGCONT));
        }
        let ignored = self.disposition(process, signal) == Disposition::Ignore;
        let pending = match own {
            true => self.threads.get(&serial).map_or(0, |t| t.pending),
            false => self.processes.get(&process).map_or(0, |p| p.pending),
        };
        if ignored && !blocked && process != 1 && !stopped || pending & bit(signal) != 0 {
            return;
        }
        self.add_signal(serial, own, signal, info);
        // Whom it is for.
        let unblocked = |s: &u64| self.threads.get(s).is_some_and(|t| t.mask & bit(signal) == 0);
        let target = match own {
            true => Some(serial).filter(unblocked),
            false => self.members(process).into_iter().find(unblocked),
        };
        if let Some(target) = target {
            self.feel(target, signal, own, ignored);
        }
    }

    /// A signal was added that thread `target` has not blocked.
    fn feel(&mut self, target: u64, signal: u32, own: bool, ignored: bool) {
        let process = self.owner(target);
        let Some(t) = self.threads.get(&target) else { return };
        let vfork = matches!(t.continuation, Some(Continuation::Vfork(..)));
        match t.place {
            Place::Outside { .. } => return self.outside_signals(target),
            Place::Waiting if !ignored && !vfork => self.to_round(target),
            Place::Stopped if signal == SIGKILL => self.to_round(target),
            _ => {}
        }
        // The rest holds while another of its threads is outside.
        if !self.threads_of(process).any(|t| matches!(t.place, Place::Outside { .. })) {
            return;
        }
        match self.disposition(process, signal) {
            Disposition::End => {
                self.take_signal(target, signal, own);
                self.end_process(process, signal as i32);
            }
            Disposition::Stop => {
                self.take_signal(target, signal, own);
                let group = self.processes.get(&process).map_or(0, |p| p.group);
                if signal == SIGSTOP || !self.orphaned(group, None) {
                    self.note_of(process, |pid| Event::Stops(pid, signal));
                    self.stop_process(process, signal);
                }
            }
            _ => {}
        }
    }

    /// Puts a signal into a pending set: the process' or, of several threads, this one's own.
    pub fn add_signal(&mut self, serial: u64, own: bool, signal: u32, info: Info) {
        let process = self.owner(serial);
        if own && self.has_threads(process) {
            if let Some(t) = self.threads.get_mut(&serial) {
                t.pending |= bit(signal);
                t.infos.insert(signal, info);
            }
        } else if let Some(p) = self.processes.get_mut(&process) {
            p.pending |= bit(signal);
            p.infos.insert(signal, info);
        }
    }

    /// Takes a signal out of a pending set.
    pub fn take_signal(&mut self, serial: u64, signal: u32, own: bool) -> Info {
        let process = self.owner(serial);
        let (pending, infos) = match (own, self.threads.get_mut(&serial), self.processes.get_mut(&process)) {
            (true, Some(t), _) => (&mut t.pending, &mut t.infos),
            (false, _, Some(p)) => (&mut p.pending, &mut p.infos),
            _ => return Info::default(),
        };
        *pending &= !bit(signal);
        infos.remove(&signal).unwrap_or_default()
    }

    /// `signals` are pending no more, for nobody in a process.
    pub fn forget(&mut self, process: u64, signals: u64) {
        for t in self.threads.values_mut().filter(|t| t.process == process) {
            t.pending &= !signals;
            t.infos.retain(|signal, _| bit(*signal) & signals == 0);
        }
        if let Some(p) = self.processes.get_mut(&process) {
            p.pending &= !signals;
            p.infos.retain(|signal, _| bit(*signal) & signals == 0);
        }
    }

    /// The next signal to be taken, and whether out of the thread's own set: SIGKILL before all, then its own, then the process'. `ignored` ones
    /// too, or not.
    pub fn next_signal(&self, serial: u64, ignored: bool) -> Option<(u32, bool)> {
        let (p, t) = (self.process_of(serial)?, self.threads.get(&serial)?);
        let felt = !t.mask | bit(SIGKILL);
        let sets = [(t.pending & felt, true), (p.pending & felt, false)];
        if let Some((_, own)) = sets.iter().find(|(set, _)| set & bit(SIGKILL) != 0) {
            return Some((SIGKILL, *own))
                .filter(|_| ignored || self.disposition(serial, SIGKILL) != Disposition::Ignore);
        }
        sets.into_iter().find_map(|(set, own)| {
            let wanted = |s: &u32| {
                set & bit(*s) != 0 && (ignored || self.disposition(serial, *s) != Disposition::Ignore)
            };
            (1..=64).find(wanted).map(|s| (s, own))
        })
    }

    /// Whether a process is stopped.
    pub fn is_stopped(&self, process: u64) -> bool {
        self.threads_of(process).any(|t| t.place == Place::Stopped)
    }

    fn continue_process(&mut self, process: u64) {
        for serial in self.members(process) {
            if self.threads.get(&serial).is_some_and(|t| t.place == Place::Stopped) {
                self.to_round(serial);
            }
        }
        if let Some(p) = self.processes.get_mut(&process) {
            p.report = Some(0xffff);
        }
        self.tell_parent(process, CLD_CONTINUED, SIGCONT as i32);
    }

    /// All threads stop, but for one that waits in vfork.
    pub fn stop_process(&mut self, serial: u64, signal: u32) {
        let process = self.owner(serial);
        for member in self.members(process) {
            let Some(t) = self.threads.get(&member) else { continue };
            if t.place == Place::Waiting && matches!(t.continuation, Some(Continuation::Vfork(..))) {
                continue;
            }
            self.leave_queues(member);
            self.leave_round(member, Place::Stopped);
        }
        if let Some(p) = self.processes.get_mut(&process) {
            p.report = Some((signal as i32) << 8 | 0x7f);
        }
        self.release_held(self.processes.get(&process).and_then(|p| p.space));
        self.tell_parent(process, CLD_STOPPED, signal as i32);
    }
}
