//! One call of the head, whole: "Turns", 2, and "Signals" of `docs/turn-rule.md`.

use crate::calls::{Outcome, Wait, arguments};
use crate::hw::{Access, Exception, Hardware};
use crate::kernel::Kernel;
use crate::memory::space::Resolved;
use crate::monitor::{NO_NUMBER, number};
use crate::process::{Continuation, Fault, Info, Place, Stand};
use crate::signal::{Looked, SIGBUS, SIGILL, SIGSEGV, SIGTRAP, When};
use abi::linux::nr;

impl<H: Hardware> Kernel<H> {
    /// The head's call takes effect. Its serial afterwards (execve can change it), and the number of a system call.
    pub fn step(&mut self, head: u64) -> (u64, u16) {
        self.diverge(head);
        self.take_own(head);
        self.post_memory_digest(head);
        let first = |c| matches!(c, Some(Continuation::Vfork(..) | Continuation::Woken));
        let done = self.threads.get(&head).is_some_and(|t| first(t.continuation));
        if !done && self.look(head, When::Before) == Looked::Decided {
            return (head, NO_NUMBER);
        }
        let owner = self.owner(head);
        let number = self.threads.get(&head).map_or(NO_NUMBER, number);
        match self.threads.get(&head).map(|t| t.stand) {
            Some(Stand::Call) => self.call(head),
            Some(Stand::Fault(fault)) => self.fault(head, fault),
            _ => return (head, NO_NUMBER),
        }
        let renamed = u64::from(number) == nr::execve && !self.threads.contains_key(&head);
        let head = if renamed { owner } else { head };
        if self.threads.get(&head).is_some_and(|t| t.stand == Stand::User && t.place == Place::Round) {
            self.look(head, When::After);
        }
        (head, number)
    }

    fn call(&mut self, head: u64) {
        let Some(t) = self.threads.get_mut(&head) else { return };
        let continuation = t.continuation.take();
        t.made = self.turn.call;
        let (number, args) = (t.registers.x[8], arguments(&t.registers));
        let result = match self.dispatch(head, number, &args, continuation) {
            Ok(Outcome::Done(value)) => value,
            Err(errno) => errno.value(),
            Ok(Outcome::Replaced) => return,
            Ok(Outcome::GoOn(next)) => {
                if let Some(t) = self.threads.get_mut(&head) {
                    t.continuation = Some(next);
                }
                return;
            }
            Ok(Outcome::Block(wait)) => return self.block(head, wait),
        };
        let Some(t) = self.threads.get_mut(&head) else { return };
        t.registers.x[0] = result;
        t.stand = Stand::User;
        if let Some(mask) = t.saved_mask.take() {
            t.mask = mask;
        }
    }

    /// The thread waits, unless a signal that it would feel is pending already. What its call's own mask lets through and is ignored is dropped.
    fn block(&mut self, head: u64, wait: Wait) {
        let Some(t) = self.threads.get_mut(&head) else { return };
        t.continuation = Some(wait.next);
        let (vfork, own_mask) = (matches!(wait.next, Continuation::Vfork(..)), t.saved_mask.is_some());
        if !vfork && (own_mask || self.interrupted(head)) && self.look(head, When::Before) == Looked::Decided
        {
            return;
        }
        self.leave_round(head, Place::Waiting);
        for key in &wait.keys {
            self.turn.queues.entry(*key).or_default().push_back(head);
        }
        if let Some(t) = self.threads.get_mut(&head) {
            t.keys = wait.keys;
            t.deadline = wait.deadline;
        }
    }

    /// A fault is a call: the stack takes its chunk, or a signal comes.
    fn fault(&mut self, head: u64, fault: Fault) {
        self.stand(head, Stand::User);
        let pc = self.threads.get(&head).map_or(0, |t| t.registers.pc);
        let (signal, code, address) = match fault {
            Fault::Access(address, access) => {
                let Some(space) = self.process_of(head).and_then(|p| p.space) else { return };
                match self.memory.resolve(space, address, access, true) {
                    Resolved::Frame(_) => return,
                    Resolved::NoRight => (SIGSEGV, 2, address),
                    Resolved::Beyond => (SIGBUS, 2, address),
                    Resolved::NoMemory => return self.out_of_memory(head),
                    Resolved::NoMapping | Resolved::NeedsTurn => (SIGSEGV, 1, address),
                }
            }
            Fault::Exception(Exception::Illegal) => (SIGILL, 1, pc),
            Fault::Exception(Exception::Breakpoint) => (SIGTRAP, 1, pc),
            Fault::Exception(Exception::Alignment(address)) => (SIGBUS, 1, address),
        };
        self.force(head, signal, Info { code, address: Some(address), ..Info::default() });
    }

    /// A fault on demand: inverts a byte of the process that makes a call.
    fn diverge(&mut self, head: u64) {
        if !core::mem::take(&mut self.diverges) {
            return;
        }
        let Some(space) = self.process_of(head).and_then(|p| p.space) else { return };
        let writable =
            |m: &&crate::memory::map::Mapping| m.rights.contains(crate::memory::map::Rights::WRITE);
        let start =
            self.memory.spaces.get(space).and_then(|s| s.map.0.values().find(writable).map(|m| m.start));
        if let Some(start) = start
            && let Resolved::Frame(frame) = self.memory.resolve(space, start, Access::Write, true)
        {
            let page = self.memory.physical.hw.page_mut(frame);
            page[0] = !page[0];
        }
    }
}
