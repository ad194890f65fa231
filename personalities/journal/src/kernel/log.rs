//! Entries of the agreed log, and the operator's faults on demand.

use super::{Kernel, Waiting};
use crate::machine::Machine;
use crate::space::WRITE;
use abi::log::{Entry, Event, Sync};
use abi::vote::{Control, Vote};
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// Takes all entries that are there.
    pub(super) fn read_log(&mut self) {
        let mut buffer = core::mem::take(&mut self.buffer);
        while let Some(n) = self.machine.entry(&mut buffer) {
            let Some(bytes) = buffer.get(..n) else { break };
            match postcard::from_bytes::<Entry<'_>>(bytes) {
                Ok(Entry::Boot(boot)) if self.state.is_none() => {
                    self.boot = bytes.to_vec();
                    if let Err(why) = self.boot(&boot) {
                        panic!("cannot begin: {why}");
                    }
                }
                Ok(Entry::Boot(_)) => {}
                Ok(Entry::Sync(s)) if s.s <= self.from => {}
                Ok(Entry::Sync(s)) => {
                    self.entries.push_back(Waiting { time_us: s.time_us, events: s.events.to_vec() });
                }
                Ok(Entry::Skip { call }) => self.skips.push(call),
                Ok(Entry::Go { call }) => self.goes.push(call),
                Err(_) => panic!("the agreed log holds what is no entry"),
            }
        }
        self.buffer = buffer;
    }

    /// Takes the entry of the sync point that is due.
    pub(super) fn take(&mut self, entry: &Waiting) {
        let s = self.state().sync;
        let sync = Sync { s, time_us: entry.time_us, events: &entry.events };
        let events: Vec<Event<'_>> = sync.events().map_while(Result::ok).collect();
        self.state().take_entry(entry.time_us, &events);
        self.ran_us = 0;
        self.drain();
        if core::mem::take(&mut self.state().snapshot_due) {
            self.begin_snapshot(s);
        }
        self.passed(s);
    }

    /// Posts that sync point `s` was passed, with what is due there.
    pub(super) fn passed(&mut self, s: u64) {
        let effects = self.effects;
        let Some(state) = &mut self.state else { return };
        let interval = state.birth.digest_interval;
        let due = interval != 0 && s.is_multiple_of(interval);
        let runnable = !state.round.is_empty();
        let vote = Vote::Passed {
            s,
            call: state.call,
            effects,
            runnable,
            deadline_us: if runnable { abi::vote::NO_DEADLINE } else { state.deadline() },
            state: due.then(|| state.state_digest()),
        };
        if due {
            let serials: Vec<u64> =
                state.processes.values().filter(|p| !p.is_zombie()).map(|p| p.serial).collect();
            for serial in serials {
                state.process_mut(serial).digest_due = Some(s);
            }
        }
        self.machine.post(&vote);
        self.said();
        self.tell_monitor();
    }

    pub(super) fn read_control(&mut self) {
        while let Some(control) = self.machine.control() {
            let own = self.machine.domain();
            match control {
                Control::Lie { domain } if domain == own => self.lies = true,
                Control::Diverge { domain } if domain == own => self.diverges = true,
                _ => {}
            }
        }
    }

    /// What is due before a call of `head`: a digest of its memory, a fault on demand.
    pub(super) fn before_call(&mut self, head: u64) {
        if core::mem::take(&mut self.diverges) {
            let space = self.state().space(head);
            let lowest = space.regions.iter().find(|(_, r)| r.rights & WRITE != 0).map(|(start, _)| *start);
            let mut byte = [0];
            if let Some(at) = lowest
                && space.get(at, &mut byte).is_ok()
            {
                let _ = space.put(at, &[!byte[0]]);
            }
        }
        let Some(state) = &mut self.state else { return };
        if state.process(head).digest_due.is_none() {
            return;
        }
        let Some(s) = state.process_mut(head).digest_due.take() else { return };
        let p = state.process(head);
        if p.unagreed {
            return;
        }
        if let Some(digest) = state.memory_digest(p) {
            self.machine.post(&Vote::Memory { s, process: head, pid: p.pid, digest });
        }
    }

    /// The head has run for long without a call.
    pub(super) fn look_stuck(&mut self, serial: u64) {
        let state = self.state();
        let call = state.call;
        if state.process(serial).wanted != crate::process::Wanted::Nothing || self.ran_us < self.stuck_us {
            return;
        }
        if self.promised != Some(call) && !self.skips.contains(&call) && !self.goes.contains(&call) {
            self.promised = Some(call);
            self.machine.post(&Vote::Stuck { call });
            self.said();
        }
    }

    /// Says the last call that was made.
    pub(super) fn took(&mut self) {
        if let Some(call) = self.state().call.checked_sub(1) {
            self.machine.post(&Vote::Took { call });
        }
        self.said();
    }

    pub(super) fn said(&mut self) {
        self.said_us = self.machine.now_us();
        self.unsaid = false;
    }
}
