//! Deleting, revoking, and taking objects apart in steps.
//!
//! Emptying a slot is O(1). If the last capability of an object goes and the object holds more than a constant (a CNode its
//! slots, an endpoint its waiters), the capability moves into the object's grave as a zombie and joins a queue; each step
//! takes one thing out. Until the zombie is gone it counts as a child of its Untyped, so the memory stays out of use. No step
//! recurses, cycles of CNodes are nothing special, and it does not matter who goes on: the invocation that is made again, another
//! one, or the microkernel in idle time. seL4 keeps the zombie in the slot that is being deleted and swaps nested ones outward;
//! that needs the deleting thread to go on.

use crate::cap::{Remains, cnode_size};
use crate::derivation::Altered;
use crate::error::Status;
use crate::faults::Fault;
use crate::layout::{GATE_GRAVE, HEAD, HELD_MAX, WAIT_GRAVE, domain, gate, notification};
use crate::memory::{Memory, SLOT, Slot};
use crate::rights::Rights;
use crate::store::{STEPS_PER_ENTRY, Store};
use crate::words::{self, Head, kind};

/// What a step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Worked,
    Waiting(Slot),
    Nothing,
}

impl<M: Memory> Store<M> {
    /// Empties a slot: O(1), whatever is in it.
    #[inline]
    pub(crate) fn empty_slot(&mut self, slot: Slot) {
        let head = self.head(slot);
        // One of several of an object, and mapped nowhere: nothing ends with it.
        let plain = head.has_identity() && !head.is_mapped() && !head.is(kind::LEASE);
        if plain && !self.is_final(slot) {
            self.unlink(slot);
        } else {
            self.empty_last(slot);
        }
    }

    /// The same for what may be more than a slot's content.
    fn empty_last(&mut self, slot: Slot) {
        let (head, at) = (self.head(slot), self.object(slot));
        let last = self.is_final(slot) && !self.seeded(Fault::DeleteForgetsFinal);
        if last && self.bury(slot, head, at) {
            return;
        }
        match head.kind() {
            kind::NULL | kind::ZOMBIE => return,
            kind::LEASE => return self.orphan_lease(slot, head.small(), head.more()),
            kind::FRAME if self.seeded(Fault::DeleteKeepsMapping) => {}
            kind::FRAME | kind::PAGE_TABLE => self.unmap(slot),
            kind::SCHED_CONTEXT => {
                if at != 0 {
                    self.set_word(at, domain::CONTEXT, 0);
                }
                if !self.seeded(Fault::ContextKeepsShare) {
                    self.return_share(slot);
                }
            }
            // What ends with the last capability and is done at once.
            kind::REPLY if last => self.end_reply(at),
            kind::SPACE if last => self.end_space(self.word(slot.0, words::DATA) as u16),
            kind::DOMAIN if last => self.end_domain(at),
            kind::IRQ if last => self.empty_slot(Slot(self.tables.irq(at as u16))),
            _ => {}
        }
        self.unlink(slot);
    }

    /// The last capability of an object is about to go: if the object can take long to empty, it moves to its grave and joins the queue.
    fn bury(&mut self, slot: Slot, head: Head, at: u64) -> bool {
        if head.is(kind::NOTIFICATION) {
            self.unbind(at);
        }
        let (offset, what, left) = match head.kind() {
            kind::CNODE => (cnode_size(head.small()) - SLOT, Remains::CNode, 1 << head.small()),
            kind::ENDPOINT if self.word(at, HEAD) != 0 => (WAIT_GRAVE, Remains::Endpoint, 0),
            kind::NOTIFICATION if self.word(at, HEAD) != 0 => (WAIT_GRAVE, Remains::Notification, 0),
            kind::GATE | kind::SEAT => {
                self.gate_stops(at);
                (GATE_GRAVE, Remains::Gate, HELD_MAX as u64)
            }
            _ => return false,
        };
        let grave = Slot(at + offset);
        self.transplant_whole(slot, grave);
        let zombie = Head::new(kind::ZOMBIE, Rights::NONE, what as u8, head.small()).marked_as(head);
        self.set_words(grave.0, 0, &[zombie.0, at, left, 0, 0]);
        match self.reap.last {
            0 => self.reap.first = grave.0,
            last => self.set_word(last, words::NEXT_GRAVE, grave.0),
        }
        self.reap.last = grave.0;
        true
    }

    fn end_domain(&mut self, at: u64) {
        self.suspend(at);
        self.end_agent(at);
        let bound = self.word(at, domain::NOTIFICATION);
        if bound != 0 {
            self.unbind(bound);
        }
        self.unbind_context(at);
        for slot in [domain::CSPACE, domain::SPACE, domain::FAULT] {
            self.empty_slot(Slot(at + slot));
        }
    }

    /// Ends the bond between a notification and its domain.
    pub(crate) fn unbind(&mut self, at: u64) {
        let bound = self.word(at, notification::BOUND);
        if bound != 0 {
            self.set_word(bound, domain::NOTIFICATION, 0);
            self.set_word(at, notification::BOUND, 0);
        }
    }

    /// Takes one thing out of the first object in the queue. False if there is none.
    pub(crate) fn reap_step(&mut self) -> bool {
        let grave = Slot(self.reap.first);
        if grave.0 == 0 {
            return false;
        }
        let (what, at) = (words::remains(self.head(grave).small()), self.object(grave));
        let waits = matches!(what, Remains::Endpoint | Remains::Notification);
        let left = if waits { self.word(at, HEAD) } else { self.word(grave.0, words::DATA) };
        if left == 0 {
            self.reap.first = self.word(grave.0, words::NEXT_GRAVE);
            if self.reap.first == 0 {
                self.reap.last = 0;
            }
            self.unlink(grave);
        } else if waits {
            self.abort(left);
        } else {
            let first = if what == Remains::CNode { Slot(at) } else { Slot(at + gate::HELD) };
            self.set_word(grave.0, words::DATA, left - 1);
            self.empty_slot(first.plus(left - 1));
        }
        true
    }

    /// Deletes what is in a slot. Again while anything is left to be taken apart.
    pub(crate) fn delete(&mut self, slot: Slot) -> Status {
        self.empty_slot(slot);
        self.reap(STEPS_PER_ENTRY)
    }

    /// Up to so many steps of taking apart.
    #[inline]
    pub(crate) fn reap(&mut self, steps: u32) -> Status {
        for _ in 0..steps {
            if self.reap.first == 0 || !self.reap_step() {
                return Status::Done;
            }
        }
        if self.reap.first == 0 { Status::Done } else { Status::Again }
    }

    /// Deletes what descends from `slot`; the capability itself stays, unless it descends from itself. A lease on the
    /// way is called back and waited for.
    pub(crate) fn revoke(&mut self, slot: Slot) -> Status {
        let head = self.head(slot);
        if head.is(kind::LEASE) {
            self.call_back(head.small(), head.more());
            return Status::InProgress;
        }
        let (mut behind, mut waiting) = (slot, false);
        for _ in 0..STEPS_PER_ENTRY {
            match self.revoke_step(slot, behind) {
                Step::Worked => {}
                Step::Waiting(lease) => (behind, waiting) = (lease, true),
                Step::Nothing if waiting => return Status::InProgress,
                Step::Nothing => return Status::Done,
            }
        }
        if waiting { Status::InProgress } else { Status::Again }
    }

    /// One step on the first descendant of `slot` that stands after `behind`.
    #[inline(always)]
    fn revoke_step(&mut self, slot: Slot, behind: Slot) -> Step {
        let next = Slot(self.word(behind.0, words::NEXT));
        if next.0 == 0 || !self.is_above(slot, next) {
            return Step::Nothing;
        }
        let Altered { head, data } = self.altered(next);
        match head.kind() {
            kind::LEASE => {
                self.call_back(head.small(), head.more());
                Step::Waiting(next)
            }
            kind::ZOMBIE => {
                self.reap_step();
                Step::Worked
            }
            _ if self.seeded(Fault::RevokeForgetsBadged) && head.has_badge() && data != 0 => Step::Nothing,
            _ => {
                self.empty_slot(next);
                Step::Worked
            }
        }
    }

    /// A bounded part of whatever waits: taking apart, leases to give back, acts of gates. For the microkernel's idle time and
    /// the mailbox's budget. False if nothing is left that this core can do.
    pub fn work(&mut self) -> bool {
        let reaped = self.reap.first != 0;
        if reaped {
            self.reap(STEPS_PER_ENTRY);
            return true;
        }
        self.import_work() || self.gate_work() || self.request_work()
    }
}
