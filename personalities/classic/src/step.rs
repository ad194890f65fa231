//! One step of the thread that holds the turn: signals, then its call or fault, then signals again.

use crate::calls::Ended;
use crate::deliver::{Delivered, user_info};
use crate::fs::SignalTarget;
use crate::kernel::Kernel;
use crate::machine::{Fault, Machine};
use crate::process::Life;
use crate::signal::{Info, SIGBUS, SIGILL, SIGSEGV, SIGTRAP, code};
use crate::space::{Touch, UserView};
use crate::thread::Want;
use crate::turns::{After, Key, Serial};
use abi::vote::Vote;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// The head's call number `c`: one atomic step.
    pub(crate) fn step(&mut self, serial: Serial) {
        self.before_call(serial);
        let process = self.threads.get(&serial).map(|t| t.process);
        let want = self.threads.get(&serial).and_then(|t| t.want);
        self.budget.in_turn = true;
        self.stepping = Some(serial);
        let after = self.look_and_do(serial);
        let serial = self.stepping.take().unwrap_or(serial);
        self.budget.in_turn = false;
        self.budget.wants_turn = false;
        if let Some(t) = self.threads.get_mut(&serial) {
            t.calls += 1;
        }
        if let Some(p) = process.and_then(|p| self.procs.get_mut(&p)) {
            p.calls += 1;
        }
        let result = self.threads.get(&serial).map_or(0, |t| t.registers.x[0]);
        self.watcher.made(self.turns.call(), serial, want, result);
        self.turns.made_call(after);
    }

    /// Hooks on the state as it is before the call: the a snapshot's own part, the memory digest, the divergence on demand.
    fn before_call(&mut self, serial: Serial) {
        self.take_before_call(serial);
        if self.faults.diverge {
            self.faults.diverge = false;
            self.invert_a_byte(serial);
        }
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let Some(p) = self.procs.get(&t.process) else { return };
        if let Some(s) = t.digest_due.take()
            && !p.unagreed
        {
            let (process, pid) = (p.serial, p.pid);
            let digest = self.memory_digest(process, &[serial]);
            self.post(&Vote::Memory { s, process, pid, digest });
        }
    }

    fn look_and_do(&mut self, serial: Serial) -> After {
        // Of a vfork, and of a wait that a futex ended, the repetition is the second half of the call: signals wait for its end.
        let came = self.threads.get(&serial).is_some_and(|t| t.came);
        if !came
            && !self.is_second_half(serial)
            && let Some(after) = self.look(serial)
        {
            return after;
        }
        let want = self.threads.get(&serial).and_then(|t| t.want);
        let ended = match want {
            None => return After::Stays,
            Some(_) if came => Ended::Result(0),
            Some(Want::Fault(fault)) => self.do_fault(serial, fault),
            Some(Want::Call { number, args }) => match self.dispatch(serial, number, &args) {
                Ended::Expired => match self.look_within(serial) {
                    Some(after) => return after,
                    None => self.dispatch(serial, number, &args),
                },
                ended => ended,
            },
        };
        // execve makes the caller its process' first thread.
        let serial = self.stepping.unwrap_or(serial);
        let waits = self.settle(serial, ended);
        self.drain(serial);
        if self.halted || !self.threads.contains_key(&serial) {
            return After::Leaves;
        }
        if matches!(waits, Some(After::Waits { ref keys, .. }) if matches!(keys.first(), Some(Key::Vfork(_))))
        {
            return waits.unwrap_or(After::Stays);
        }
        match self.look(serial) {
            Some(after) => after,
            // Another of its process' threads, outside, stopped them all.
            None if self.process(serial).is_none_or(|p| p.life != Life::Alive) => After::Leaves,
            None if waits.is_none() && self.yields(want, serial) => After::Yields,
            None => waits.unwrap_or(After::Stays),
        }
    }

    /// sched_yield of a thread that shares its memory.
    fn yields(&self, want: Option<Want>, serial: Serial) -> bool {
        matches!(want, Some(Want::Call { number: abi::linux::nr::sched_yield, .. }))
            && self.turns.is_sharer(serial)
    }

    fn is_second_half(&self, serial: Serial) -> bool {
        self.threads.get(&serial).is_some_and(|t| {
            t.repeated && matches!(t.want, Some(Want::Call { number: abi::linux::nr::clone, .. }))
        })
    }

    /// Looks at pending signals; says where the thread goes if one of them decided the step.
    fn look(&mut self, serial: Serial) -> Option<After> {
        match self.deliver(serial) {
            Delivered::Nothing => None,
            Delivered::Handler => Some(After::Stays),
            Delivered::Left => Some(After::Leaves),
        }
    }

    /// Looks at pending signals in the middle of a call, as if it began to wait now.
    fn look_within(&mut self, serial: Serial) -> Option<After> {
        let call = self.turns.call();
        let t = self.threads.get_mut(&serial)?;
        (t.made_at, t.repeated) = (call, true);
        self.look(serial)
    }

    /// Writes a call's end into its thread; says what it waits for if it blocks.
    fn settle(&mut self, serial: Serial, ended: Ended) -> Option<After> {
        let call = self.turns.call();
        let t = self.threads.get_mut(&serial)?;
        t.made_at = call;
        match ended {
            Ended::Result(value) => t.finish_call(value),
            Ended::NoResult => t.end_call(),
            Ended::Again | Ended::Expired => t.repeated = true,
            Ended::Restart => {
                t.repeated = true;
                t.progress = crate::fs::Progress::default();
            }
            Ended::Block { keys, deadline_us } => {
                t.repeated = true;
                return Some(After::Waits { keys, deadline_us });
            }
            Ended::NeedsTurn => t.finish_call(crate::errno::ENOMEM.to_result()),
        }
        None
    }

    /// A private call, or one of class Memory, outside its turn: done at once unless it needs a chunk.
    pub(crate) fn try_private(&mut self, serial: Serial) {
        let Some(Want::Call { number, args }) = self.threads.get(&serial).and_then(|t| t.want) else {
            return;
        };
        self.budget.wants_turn = false;
        let ended = self.dispatch(serial, number, &args);
        let again = core::mem::take(&mut self.budget.wants_turn);
        if let Ended::Result(value) = ended
            && !again
            && let Some(t) = self.threads.get_mut(&serial)
        {
            self.watcher.private += 1;
            t.finish_call(value);
        }
    }

    /// User mode faulted: what the mapping array allows is repaired at once, the rest waits for the turn.
    pub(crate) fn faulted(&mut self, serial: Serial, fault: Fault) {
        if let Fault::Access { address, needs } = fault
            && self.touch(serial, address, needs) == Touch::Fine
        {
            self.watcher.repaired += 1;
            return;
        }
        self.budget.wants_turn = false;
        if let Some(t) = self.threads.get_mut(&serial) {
            t.want = Some(Want::Fault(fault));
        }
    }

    fn touch(&mut self, serial: Serial, address: u64, needs: crate::machine::Rights) -> Touch {
        let Some(space) = self.process(serial).map(|p| p.space) else { return Touch::Nothing };
        let Some(shared) = self.spaces.get_mut(&space) else { return Touch::Nothing };
        shared.space.touch(&mut self.m, &mut self.budget, address, needs)
    }

    fn do_fault(&mut self, serial: Serial, fault: Fault) -> Ended {
        let (signal, code, address) = match fault {
            Fault::Access { address, needs } => match self.touch(serial, address, needs) {
                Touch::Fine => return Ended::NoResult,
                Touch::Denied => (SIGSEGV, code::SEGV_ACCERR, address),
                Touch::Beyond => (SIGBUS, code::BUS_ADRERR, address),
                Touch::Nothing | Touch::NeedsTurn => (SIGSEGV, code::SEGV_MAPERR, address),
            },
            Fault::Alignment { address } => (SIGBUS, code::BUS_ADRALN, address),
            Fault::Instruction => (SIGILL, code::ILL_ILLOPC, self.pc(serial)),
            Fault::Breakpoint => (SIGTRAP, code::TRAP_BRKPT, self.pc(serial)),
        };
        if let Some(t) = self.threads.get_mut(&serial) {
            t.end_call();
        }
        self.force(serial, signal, Info { code, address, ..Info::default() });
        Ended::NoResult
    }

    fn pc(&self, serial: Serial) -> u64 {
        self.threads.get(&serial).map_or(0, |t| t.registers.pc)
    }

    /// Carries out what a file call or an event left in the queues: effects, signals, wake-ups.
    pub(crate) fn drain(&mut self, caller: Serial) {
        let call = self.turns.call();
        let process = self.threads.get(&caller).map_or(caller, |t| t.process);
        for (kind, payload) in core::mem::take(&mut self.fs.effects) {
            if let Err(why) = self.votes.effect(call, kind, &payload) {
                self.m.crash(why);
            }
        }
        for (target, signal) in core::mem::take(&mut self.fs.signals) {
            match target {
                // SIGPIPE, which Linux sends as the writer's own.
                SignalTarget::Caller => {
                    let pid = self.procs.get(&process).map_or(0, |p| p.pid);
                    self.generate(process, signal, user_info(code::SI_USER, pid));
                }
                SignalTarget::Group(pgid) => self.generate_group(pgid, signal, Info::kernel()),
            }
        }
        for key in core::mem::take(&mut self.fs.wakeups) {
            self.turns.wake(Key::File(key));
        }
    }

    /// The memory that a thread sees, for the time of one call.
    pub(crate) fn view(&mut self, serial: Serial) -> Option<UserView<'_, M>> {
        let id = self.process(serial)?.space;
        let shared = self.spaces.get_mut(&id)?;
        Some(UserView { machine: &mut self.m, space: &mut shared.space, budget: &mut self.budget })
    }

    /// The members of a group, ascending.
    pub(crate) fn members(&self, pgid: u32) -> Vec<Serial> {
        self.procs.values().filter(|p| p.pgid == pgid).map(|p| p.serial).collect()
    }
}
