//! Domains: what runs. Registers are the microkernel's; here is what a domain may reach and what it waits for.

use crate::error::{Error, ErrorKind, Outcome, Status};
use crate::layout::{domain, endpoint, notification, reply};
use crate::memory::{Memory, Registers, Slot};
use crate::plan::{Patience, Plan};
use crate::rights::Rights;
use crate::store::Store;
use crate::words::kind;

/// Where Configure has nothing to put.
const NO_SLOT: Slot = Slot(0);

/// What a domain does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started, suspended, or destroyed.
    Inactive,
    /// It can run.
    Running,
    /// It waits at an endpoint for a receiver.
    Sending,
    /// It waits at an endpoint for a sender.
    Receiving,
    /// It waits for a signal.
    Waiting,
    /// It waits for an answer.
    Replying,
}

/// How a wait ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// With what was waited for.
    Fine,
    /// What was waited at is gone, or the send was cancelled.
    Aborted,
}

impl<M: Memory> Store<M> {
    /// What the domain at this address does.
    pub fn domain_state(&self, at: u64) -> State {
        use State::*;
        match self.word(at, domain::STATE) {
            1 => Running,
            2 => Sending,
            3 => Receiving,
            4 => Waiting,
            5 => Replying,
            _ => Inactive,
        }
    }

    /// How the domain's last wait ended, the badge it got, and whether a capability came along.
    pub fn domain_result(&self, at: u64) -> (Ending, u64, bool) {
        let ending = if self.word(at, domain::RESULT) == 0 { Ending::Fine } else { Ending::Aborted };
        (ending, self.word(at, domain::RESULT_BADGE), self.word(at, domain::RESULT_CAP) != 0)
    }

    /// Configure: addresses of a CSpace root, a space and a fault endpoint; 0 leaves that one as it is.
    pub(crate) fn decode_configure(&self, caller: u64, at: u64, args: [u64; 3]) -> Result<Plan, Error> {
        const WANTED: [(u8, Rights); 3] =
            [(kind::CNODE, Rights::NONE), (kind::SPACE, Rights::NONE), (kind::ENDPOINT, Rights::WRITE)];
        let mut sources = [NO_SLOT; 3];
        for (((argument, (kind, rights)), address), source) in (1..).zip(WANTED).zip(args).zip(&mut sources) {
            if address == 0 {
                continue;
            }
            *source = self.lookup_kind(caller, address, argument, kind, rights)?;
            if kind == kind::ENDPOINT && !self.head(*source).rights().may_call() {
                return Err(ErrorKind::InvalidCapability.of(argument));
            }
        }
        if sources.iter().any(|slot| (at + domain::CSPACE..=at + domain::FAULT).contains(&slot.0)) {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        Ok(Plan::Configure { at, sources })
    }

    pub(crate) fn configure(&mut self, at: u64, sources: [Slot; 3]) {
        for (offset, source) in [domain::CSPACE, domain::SPACE, domain::FAULT].into_iter().zip(sources) {
            if source == NO_SLOT {
                continue;
            }
            let (slot, cap) = (Slot(at + offset), self.altered(source));
            // The new one first, on the side of the old one's neighbours: an object whose only other capability was here must not end.
            if self.same_object(slot, source) {
                self.unlink(slot);
            } else {
                self.empty_slot(slot);
            }
            if !self.is_empty(source) {
                self.insert(source, slot, cap);
            }
        }
        self.memory.respaced();
    }

    /// Boot only: a new domain gets a copy of a CSpace root and runs.
    pub fn configure_boot_domain(&mut self, at: u64, root: Slot) {
        self.configure(at, [root, NO_SLOT, NO_SLOT]);
        self.set_word(at, domain::STATE, State::Running as u64);
    }

    /// WriteRegisters: with what a domain that does not run begins. One that waits is suspended first: nothing of its wait is left then.
    pub(crate) fn decode_write_registers(&self, at: u64, registers: Registers) -> Result<Plan, Error> {
        match self.domain_state(at) {
            State::Inactive => Ok(Plan::WriteRegisters { at, registers }),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    /// BindNotification: the address of a notification with the read right.
    pub(crate) fn decode_bind(&self, caller: u64, at: u64, address: u64) -> Result<Plan, Error> {
        let bound = self.object(self.lookup_kind(caller, address, 1, kind::NOTIFICATION, Rights::READ)?);
        if self.word(at, domain::NOTIFICATION) != 0 {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if self.word(bound, notification::BOUND) != 0 || self.word(bound, crate::layout::HEAD) != 0 {
            return Err(ErrorKind::IllegalOperation.of(1));
        }
        Ok(Plan::BindNotification { at, notification: bound })
    }

    /// The domain goes on, or for the first time; for the microkernel what Resume is for others.
    pub fn resume(&mut self, at: u64) {
        self.set_word(at, domain::STATE, State::Running as u64);
        self.memory.woken(at);
    }

    /// The domain stops, whatever it does.
    pub fn suspend(&mut self, at: u64) {
        self.leave(at);
        self.set_word(at, domain::STATE, State::Inactive as u64);
        self.memory.stopped(at);
    }

    /// The domain stops, and begins anew when the microkernel has made its memory what it was.
    pub(crate) fn restart(&mut self, at: u64, image: u64) {
        self.suspend(at);
        self.memory.restart(at, image);
    }

    /// The domain's wait ends without what it waited for.
    pub(crate) fn abort(&mut self, at: u64) {
        self.leave(at);
        self.wake(at, Ending::Aborted);
    }

    pub(crate) fn wake(&mut self, at: u64, ending: Ending) {
        self.set_word(at, domain::STATE, State::Running as u64);
        self.set_word(at, domain::RESULT, ending as u64);
        self.memory.woken(at);
    }

    /// The domain waits for nothing any more.
    pub(crate) fn leave(&mut self, waiting: u64) {
        let at = self.word(waiting, domain::AT);
        match self.domain_state(waiting) {
            State::Inactive | State::Running => return,
            State::Waiting => self.dequeue(at, waiting),
            State::Sending => self.leave_endpoint(at, waiting),
            State::Receiving => {
                self.leave_endpoint(at, waiting);
                let answer = self.word(waiting, domain::REPLY);
                if answer != 0 {
                    self.set_word(answer, reply::RECEIVER, 0);
                    self.set_word(waiting, domain::REPLY, 0);
                }
            }
            State::Replying => self.set_word(at, reply::CALLER, 0),
        }
        self.set_word(waiting, domain::AT, 0);
        self.set_word(waiting, domain::STATE, State::Inactive as u64);
    }

    /// The domain faulted: a call to its fault endpoint, or without one the end of its running.
    pub fn fault(&mut self, at: u64) -> Outcome {
        self.set_word(at, domain::SENDS, 0);
        match self.decode_send(Slot(at + domain::FAULT), Patience::Wait, true, 0) {
            Ok(send) => self.send(at, send),
            _ => {
                self.suspend(at);
                Status::Blocked.into()
            }
        }
    }

    /// Whether the domain's faults go anywhere.
    pub fn has_fault_endpoint(&self, at: u64) -> bool {
        !self.is_empty(Slot(at + domain::FAULT))
    }

    /// Whether nobody waits at an endpoint or notification, and no cancellation is under way.
    pub fn is_idle(&self, at: u64) -> bool {
        self.word(at, crate::layout::HEAD) == 0 && self.word(at, endpoint::CANCELLING) == 0
    }
}
