//! One call of the head, as one step ("Turns", 2, and "Signals" in the turn rule).

use super::{Again, Flow, Kernel, Out, Restart, Want};
use crate::error::{Errno, Res, e};
use crate::machine::{Event, Fault, Machine};
use crate::memory::{Growth, Trouble};
use crate::process::{Delivery, Info, Payload, SA_RESTART, sig};
use crate::turns::Serial;

const SEGV_MAPERR: i32 = 1;
const SEGV_ACCERR: i32 = 2;
const BUS_ADRALN: i32 = 1;
const BUS_ADRERR: i32 = 2;
const ILL_ILLOPC: i32 = 1;
const TRAP_BRKPT: i32 = 1;

/// Bytes of an instruction.
const SVC: u64 = 4;

impl<M: Machine> Kernel<M> {
    /// The head makes its call.
    pub(super) fn step(&mut self, me: Serial, late: bool) {
        let call = self.turns.calls();
        let now = self.turns.clock_us();
        self.files.set_time(now);
        self.corrupt(me);
        self.take_private(me);
        self.say_memory(me);
        self.watch_call(me);
        let in_vfork = self.threads.get(&me).is_some_and(|t| t.again.vfork.is_some());
        if in_vfork || !self.look(me, Moment::Before) {
            self.carry_out(me);
            self.deliver();
            let here = self.threads.get(&me).is_some_and(|t| !t.again.blocked);
            if here {
                self.look(me, Moment::After);
            }
        }
        if let Ok(p) = self.processes.get_mut(me) {
            p.calls += 1;
        }
        self.deliver();
        self.turns.made(me);
        self.call_made(call, late);
        self.watch_result(call, me);
    }

    fn carry_out(&mut self, me: Serial) {
        let call = self.turns.calls();
        let Some(t) = self.threads.get_mut(&me) else { return };
        match t.want {
            Want::Call => {
                t.again.at = call;
                let out = self.perform(me, Growth::Turn);
                self.settle(me, out);
            }
            Want::Fault(fault) => self.fault(me, fault),
            Want::Run => {}
        }
    }

    /// What became of a call, in its thread.
    fn settle(&mut self, me: Serial, out: Out) {
        let flow = out.unwrap_or_else(|errno| Flow::Done(errno.result()));
        let Some(t) = self.threads.get_mut(&me) else { return };
        match flow {
            Flow::Done(value) => self.answer(me, value),
            Flow::Registers => (t.want, t.again) = (Want::Run, Again::default()),
            Flow::Slice => t.again.blocked = false,
            Flow::Gone | Flow::NeedsTurn => {}
            Flow::Block { things, deadline_us, restart } => {
                t.again.blocked = true;
                t.again.restart = restart;
                t.again.deadline_us = deadline_us;
                // What disturbs lets it not wait: the signal ends the call in this same step.
                if t.again.vfork.is_none() && self.is_disturbed(me) {
                    return;
                }
                self.turns.wait(me, things, deadline_us);
            }
        }
    }

    /// Of a call that blocks: looks at what is pending under the mask in force; whether a signal decided the step. If none did, those that are ignored and let
    /// through have gone.
    pub(crate) fn is_disturbed(&mut self, me: Serial) -> bool {
        let disturbed = self.processes.get(me).is_ok_and(|p| p.is_disturbed());
        if disturbed && self.look(me, Moment::Before) {
            return true;
        }
        if let Ok(p) = self.processes.get_mut(me) {
            p.drop_ignored();
        }
        false
    }

    /// A call's value, in its thread's x0. A mask that was for the call alone goes.
    pub(super) fn answer(&mut self, me: Serial, value: u64) {
        if let Ok(p) = self.processes.get_mut(me)
            && let Some(mask) = p.signals.saved_mask.take()
        {
            p.signals.mask = mask;
        }
        if let Some(t) = self.threads.get_mut(&me) {
            t.user.x[0] = value;
            (t.want, t.again) = (Want::Run, Again::default());
        }
    }

    /// Looks at pending signals; whether one decided the step.
    pub(super) fn look(&mut self, me: Serial, moment: Moment) -> bool {
        let mut decided = false;
        while let Some(delivery) = self.processes.take(me) {
            match delivery {
                Delivery::Handler(info, action) => {
                    if self.end_poll(me).is_err() && self.processes.take_back(me, info, action) {
                        decided = true;
                        continue;
                    }
                    self.interrupt_call(me, action.flags);
                    self.push_handler(me, info, action);
                }
                Delivery::Stop(signal) => {
                    self.processes.stop(me, signal, &mut self.post);
                    self.turns.stop(me);
                    return true;
                }
                Delivery::End(status) => {
                    // Who lent it its memory (vfork) sees that.
                    let _ = self.end_poll(me);
                    self.release_open_end(me);
                    self.end(me, status);
                    return true;
                }
            }
            decided = true;
        }
        debug_assert!(moment == Moment::Before || !decided || self.threads.contains_key(&me));
        decided
    }

    /// Of a ppoll that a signal ends: that nothing was ready is written. What cannot be written is the call's result, with which its mask goes.
    fn end_poll(&mut self, me: Serial) -> Res {
        let again = self.threads.get(&me).map(|t| &t.again).filter(|a| a.blocked);
        let Some(Restart::Unready(at, count)) = again.map(|a| a.restart) else { return Ok(()) };
        let written = self.write_revents(me, at, core::iter::repeat_n(0, count));
        if let Err(errno) = written {
            self.answer(me, errno.result());
        }
        written
    }

    /// A handler comes in place of a call: it is made again afterwards, or ends now.
    fn interrupt_call(&mut self, me: Serial, action_flags: u64) {
        let now = self.turns.clock_us();
        let Some(t) = self.threads.get_mut(&me) else { return };
        let again = core::mem::take(&mut t.again);
        if t.want != Want::Call {
            t.want = Want::Run;
            return;
        }
        t.want = Want::Run;
        let errno = e::EINTR.result();
        let mut remaining = None;
        match (again.blocked || again.done > 0, again.restart) {
            // A fresh call has not been made yet.
            (false, _) => t.user.pc -= SVC,
            _ if again.done > 0 => t.user.x[0] = again.done,
            (_, Restart::ByAction) if action_flags & SA_RESTART != 0 => t.user.pc -= SVC,
            (_, Restart::Remaining(at)) => {
                t.user.x[0] = errno;
                remaining = again.deadline_us.filter(|_| at != 0).map(|d| (at, d.saturating_sub(now)));
            }
            _ => t.user.x[0] = errno,
        }
        if let Some((at, left)) = remaining {
            let mut out = crate::bytes::Out::default();
            out.u64(left / 1_000_000).u64(left % 1_000_000 * 1000);
            if self.bytes_out(me, at, &out.0).is_err()
                && let Some(t) = self.threads.get_mut(&me)
            {
                t.user.x[0] = e::EFAULT.result();
            }
        }
        if let Some(end) = again.open_end {
            self.drop_open_end(end);
        }
    }

    /// A fault in its turn: repaired, if it only needed a chunk of charge, or a signal.
    fn fault(&mut self, me: Serial, fault: Fault) {
        let Some(t) = self.threads.get_mut(&me) else { return };
        t.want = Want::Run;
        let (space, pc) = (t.space, t.user.pc);
        let (signal, code, address) = match fault {
            Fault::Page { address, access } => {
                match self.memory.fault(space, address, access, Growth::Turn) {
                    Ok(mapping) => {
                        self.forget_stale(space);
                        self.machine.map(space, address, mapping.page, mapping.rights);
                        return;
                    }
                    Err(Trouble::Denied) => (sig::SIGSEGV, SEGV_ACCERR, address),
                    Err(Trouble::Beyond) => (sig::SIGBUS, BUS_ADRERR, address),
                    Err(Trouble::NoPage) => {
                        let pid = self.processes.get(me).map_or(0, |p| p.pid);
                        self.machine.tell(Event::NoPage { pid });
                        self.end(me, sig::SIGKILL.into());
                        return;
                    }
                    Err(Trouble::Nothing | Trouble::Turn) => (sig::SIGSEGV, SEGV_MAPERR, address),
                }
            }
            Fault::Alignment { address } => (sig::SIGBUS, BUS_ADRALN, address),
            Fault::Instruction => (sig::SIGILL, ILL_ILLOPC, pc),
            Fault::Breakpoint => (sig::SIGTRAP, TRAP_BRKPT, pc),
        };
        self.processes.force(me, Info { signal, code, payload: Payload::Address(address) });
    }

    /// Fault on demand.
    fn corrupt(&mut self, me: Serial) {
        if core::mem::take(&mut self.corrupt_next)
            && let Ok(space) = self.space_of(me)
        {
            self.memory.corrupt(space);
        }
    }

    /// A private call, whenever its thread comes to it.
    pub(super) fn private_call(&mut self, me: Serial) {
        self.memory.leave_turn();
        let out = self.perform(me, Growth::Private);
        if self.memory.return_to_turn() {
            return;
        }
        match out {
            Ok(Flow::NeedsTurn) => {}
            Ok(Flow::Registers) => {
                if let Some(t) = self.threads.get_mut(&me) {
                    t.want = Want::Run;
                }
            }
            Ok(Flow::Done(value)) => self.value(me, value),
            Err(Errno(n)) => self.value(me, Errno(n).result()),
            Ok(other) => debug_assert!(other == Flow::Gone, "a private call neither blocks nor waits"),
        }
    }

    fn value(&mut self, me: Serial, value: u64) {
        if let Some(t) = self.threads.get_mut(&me) {
            t.user.x[0] = value;
            t.want = Want::Run;
        }
    }
}

/// When signals are looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Moment {
    Before,
    After,
}
