//! The loop. Between calls, threads run by priority: a message for a thread (its turn, a wake-up) raises it, a slice of running lowers it.

use super::{Kernel, Want};
use crate::error::e;
use crate::log::Decision;
use crate::machine::{Event, Fault, Machine, Pace, Trap};
use crate::memory::{Growth, SpaceId, Trouble};
use crate::turns::Serial;
use abi::linux::nr;
use abi::monitor::Counter;
use abi::turn::{Class, class};
use abi::vote::{Control, Vote};

/// A slice of running, microseconds.
const SLICE_US: u64 = 2000;
/// What a message is worth.
const MESSAGE: u32 = 8;
const PRIORITY_MAX: u32 = 1000;

impl<M: Machine> Kernel<M> {
    /// One round of the loop: what the log allows, then a program's code, or sleep. An error is a log that cannot be followed.
    pub fn go(&mut self) -> Result<(), crate::log::Broken> {
        self.listen()?;
        while self.advance() {
            self.listen()?;
        }
        self.ask_to_rejoin();
        self.watch_progress();
        match self.choose().filter(|_| !self.over) {
            Some(serial) => {
                self.say_calls(false);
                self.run_thread(serial);
            }
            None => {
                self.say_calls(true);
                self.machine.sleep(None);
            }
        }
        Ok(())
    }

    /// Whether process 1 has ended.
    pub fn is_over(&self) -> bool {
        self.over
    }

    fn listen(&mut self) -> Result<(), crate::log::Broken> {
        while self.log.has_room()
            && let Some(length) = self.machine.receive(&mut self.buffer)
        {
            self.log.add(self.buffer.get(..length).unwrap_or(&[]))?;
        }
        let domain = self.machine.domain();
        while let Some(order) = self.machine.control() {
            match order {
                Control::Lie { domain: d } if d == domain => self.speech.lies = true,
                Control::Diverge { domain: d } if d == domain => self.corrupt_next = true,
                _ => {}
            }
        }
        Ok(())
    }

    /// Makes one step of the turn rule, if one can be made now.
    fn advance(&mut self) -> bool {
        if self.over {
            return false;
        }
        if self.turns.sync_due() {
            let Some(entry) = self.log.take(self.turns.next_sync()) else {
                self.say_calls(true);
                return false;
            };
            self.apply(&entry);
            return true;
        }
        let (call, Some(head)) = (self.turns.calls(), self.turns.head()) else { return false };
        let ran = if self.head_ran_us.0 == call { self.head_ran_us.1 } else { 0 };
        let stuck = ran >= self.stuck_us;
        let wants = self.threads.get(&head).is_some_and(|t| t.want != Want::Run);
        let decision = self.log.decision(call);
        let promised = self.speech.promised == Some(call);
        if decision == Some(Decision::Skip) && (wants || stuck) {
            self.skip(head, call);
            return true;
        }
        // What the others have passed needs no promise, and none that was made waits for an answer: the replicas do not remember old calls for
        // ever, and an answer behind more entries than are kept ahead could not be read.
        let settled = self.log.knows_beyond(self.turns.next_sync());
        if wants {
            if promised && decision != Some(Decision::Go) && !settled {
                self.say_calls(true);
                return false;
            }
            self.step(head, !promised && ran > self.stuck_us / 2);
            return true;
        }
        if stuck && !promised && decision.is_none() && !settled {
            self.promise();
        }
        false
    }

    fn skip(&mut self, head: Serial, call: u64) {
        self.machine.tell(Event::Skipped { serial: head, call });
        self.lose_private(head);
        self.turns.skip();
        self.call_made(call, false);
        self.signal_outside(head);
        self.deliver();
    }

    /// Threads outside the round that stand before a call say so.
    fn ask_to_rejoin(&mut self) {
        let outside: alloc::vec::Vec<Serial> = self.turns.outside().collect();
        for thread in outside {
            if self.threads.get(&thread).is_some_and(|t| t.want != Want::Run)
                && let Some(call) = self.turns.ask_to_rejoin(thread)
            {
                self.machine.post(&Vote::Rejoin { thread, call });
            }
        }
    }

    /// The turn is a message, and so is what was delivered: whoever entered the round goes before those that only ran.
    pub(super) fn raise_priorities(&mut self) {
        let last = self.turns.round().last();
        for serial in self.turns.head().into_iter().chain(last) {
            if let Some(t) = self.threads.get_mut(&serial) {
                t.priority = (t.priority + MESSAGE).min(PRIORITY_MAX);
            }
        }
    }

    /// Who runs next: the head, unless it has just used up a slice; else who has the most messages.
    fn choose(&mut self) -> Option<Serial> {
        let runs = |s: &Serial| self.threads.get(s).is_some_and(|t| t.want == Want::Run);
        let head = self.turns.head().filter(runs);
        let others = self.turns.round().chain(self.turns.outside()).filter(|s| Some(*s) != head && runs(s));
        let best =
            others.max_by_key(|s| (self.threads.get(s).map_or(0, |t| t.priority), core::cmp::Reverse(*s)));
        match (head, best) {
            (Some(head), Some(best)) => Some(if core::mem::take(&mut self.yielded) { best } else { head }),
            (head, best) => head.or(best),
        }
    }

    /// Lets the machine forget what memory has changed.
    pub(super) fn forget_stale(&mut self, space: SpaceId) {
        for gone in self.memory.take_gone() {
            self.machine.forget_space(gone);
        }
        for (start, end) in self.memory.take_stale(space) {
            self.machine.forget(space, start, end);
        }
    }

    fn run_thread(&mut self, serial: Serial) {
        let Some(space) = self.threads.get(&serial).map(|t| t.space) else { return };
        let stored = self.store_exclusive(serial);
        self.forget_stale(space);
        if self.fp_in != Some(serial) {
            self.settle_fp();
            self.watch.add(Counter::Switches);
        }
        let is_head = self.turns.head() == Some(serial);
        let Some(t) = self.threads.get_mut(&serial) else { return };
        if self.fp_in != Some(serial) {
            self.machine.load_fp(&t.user.fp);
            self.fp_in = Some(serial);
        }
        let pace = if t.stepping.is_some() { Pace::Step } else { Pace::Free(SLICE_US) };
        let begin = self.machine.now_us();
        let trap = match stored {
            true => Trap::Step,
            false => self.machine.run(&mut t.user, space, pace),
        };
        let took = self.machine.now_us() - begin;
        if is_head {
            let call = self.turns.calls();
            let before = if self.head_ran_us.0 == call { self.head_ran_us.1 } else { 0 };
            self.head_ran_us = (call, before + took);
        }
        match trap {
            Trap::Call => self.trapped_call(serial),
            Trap::Fault(fault) => self.trapped_fault(serial, fault),
            Trap::Interrupt => {
                self.watch.add(Counter::Interrupts);
                t.priority /= 2;
                self.yielded = is_head && took >= SLICE_US;
            }
            Trap::Step => {}
        }
        self.stepped(serial, trap);
    }

    /// A program has made a system call: a private one is carried out, another waits for its turn.
    fn trapped_call(&mut self, serial: Serial) {
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let (number, x) = (t.user.x[8], &t.user.x);
        let arguments = [x[0], x[1], x[2], x[3], x[4], x[5]];
        t.want = Want::Call;
        let unagreed = self.processes.get(serial).is_ok_and(|p| p.unagreed);
        if self.search_ends_at(serial, number) {
            return;
        }
        let private = match class(number, &arguments) {
            Class::Private | Class::Memory => true,
            Class::Turn => unagreed && number == nr::rt_sigreturn,
        };
        if private {
            self.watch.add(Counter::Private);
            self.private_call(serial);
        }
    }

    /// A program has faulted: what a mapping repairs is repaired, the rest waits for its turn.
    fn trapped_fault(&mut self, serial: Serial, fault: Fault) {
        let Some(t) = self.threads.get_mut(&serial) else { return };
        t.want = Want::Fault(fault);
        let Fault::Page { address, access } = fault else { return };
        let space = t.space;
        match self.memory.fault(space, address, access, Growth::Private) {
            Ok(mapping) => {
                t.want = Want::Run;
                self.watch.add(Counter::Repaired);
                self.forget_stale(space);
                self.machine.map(space, address, mapping.page, mapping.rights);
            }
            Err(trouble) => {
                debug_assert!(trouble != Trouble::Turn || access != crate::memory::Access::Execute)
            }
        }
    }

    /// A call that this kernel does not have; each number is told of once.
    pub(crate) fn unknown(&mut self, number: u64) -> super::Out {
        if self.unknown.insert(number) {
            self.machine.tell(Event::Unknown { number });
        }
        Err(e::ENOSYS)
    }
}
