//! Deleting, revoking, and taking objects apart in steps.
//!
//! Emptying a slot is O(1). If the last capability of an object goes and the object holds more than a constant (a CNode its
//! slots, an endpoint its waiters), the capability moves into the object's grave as a zombie and joins a queue; each step
//! takes one thing out. Until the zombie is gone it counts as a child of its Untyped, so the memory stays out of use. No step
//! recurses, cycles of CNodes are nothing special, and it does not matter who goes on: the invocation that is made again, another
//! one, or the microkernel in idle time. seL4 keeps the zombie in the slot that is being deleted and swaps nested ones outward;
//! that needs the deleting thread to go on.

use crate::cap::{Cap, Remains, cnode_size};
use crate::derivation::Altered;
use crate::error::Status;
use crate::faults::Fault;
use crate::layout::{GATE_GRAVE, HEAD, HELD_MAX, WAIT_GRAVE, domain, gate, notification};
use crate::memory::{Memory, SLOT, Slot};
use crate::store::{STEPS_PER_ENTRY, Store};
use crate::words::{self, kind};

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
        let cap = self.cap(slot);
        let last = self.is_final(slot) && !self.seeded(Fault::DeleteForgetsFinal);
        if last {
            if let Cap::Notification { at, .. } = cap {
                self.unbind(at);
            }
            if let Some((grave, zombie)) = self.grave(&cap) {
                self.gate_stops(&cap);
                self.transplant_whole(slot, grave);
                self.set_cap(grave, zombie);
                self.bury(grave);
                return;
            }
        }
        match cap {
            Cap::Null | Cap::Zombie { .. } => return,
            Cap::Lease { peer, index, .. } => return self.orphan_lease(slot, peer, index),
            Cap::Frame { .. } if self.seeded(Fault::DeleteKeepsMapping) => {}
            Cap::Frame { .. } | Cap::PageTable { .. } => self.unmap(slot),
            Cap::SchedContext { domain: runs, .. } => {
                if runs != 0 {
                    self.set_word(runs, domain::CONTEXT, 0);
                }
                if !self.seeded(Fault::ContextKeepsShare) {
                    self.utilisation -= self.share_of(&cap).min(self.utilisation);
                }
            }
            _ if last => self.end_object(&cap),
            _ => {}
        }
        self.unlink(slot);
    }

    /// Where the last capability of an object waits until the object is empty, if that can take long.
    fn grave(&self, cap: &Cap) -> Option<(Slot, Cap)> {
        let zombie = |at, what, radix, left| Cap::Zombie { at, what, radix, left, next: 0 };
        match *cap {
            Cap::CNode { at, radix, .. } => {
                Some((Slot(at + cnode_size(radix) - SLOT), zombie(at, Remains::CNode, radix, 1 << radix)))
            }
            Cap::Endpoint { at, .. } if self.word(at, HEAD) != 0 => {
                Some((Slot(at + WAIT_GRAVE), zombie(at, Remains::Endpoint, 0, 0)))
            }
            Cap::Notification { at, .. } if self.word(at, HEAD) != 0 => {
                Some((Slot(at + WAIT_GRAVE), zombie(at, Remains::Notification, 0, 0)))
            }
            Cap::Gate { at } | Cap::Seat { at, .. } => {
                Some((Slot(at + GATE_GRAVE), zombie(at, Remains::Gate, 0, HELD_MAX as u64)))
            }
            _ => None,
        }
    }

    /// What ends with the last capability and is done at once.
    fn end_object(&mut self, cap: &Cap) {
        match *cap {
            Cap::Reply { at } => self.end_reply(at),
            Cap::Space { vmid, .. } => self.end_space(vmid),
            Cap::Domain { at } => self.end_domain(at),
            Cap::Irq { number } => self.empty_slot(Slot(self.tables.irq(number))),
            _ => {}
        }
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

    fn bury(&mut self, grave: Slot) {
        match self.reap.last {
            0 => self.reap.first = grave.0,
            last => self.chain(Slot(last), grave.0),
        }
        self.reap.last = grave.0;
    }

    fn chain(&mut self, grave: Slot, to: u64) {
        if let Cap::Zombie { at, what, radix, left, .. } = self.cap(grave) {
            self.set_cap(grave, Cap::Zombie { at, what, radix, left, next: to });
        }
    }

    /// Takes one thing out of the first object in the queue. False if there is none.
    pub(crate) fn reap_step(&mut self) -> bool {
        let grave = Slot(self.reap.first);
        if grave.0 == 0 {
            return false;
        }
        let Cap::Zombie { at, what, radix, left, next } = self.cap(grave) else { return false };
        let more = match what {
            Remains::CNode | Remains::Gate => left > 0,
            Remains::Endpoint | Remains::Notification => self.word(at, HEAD) != 0,
        };
        if !more {
            self.reap.first = next;
            if next == 0 {
                self.reap.last = 0;
            }
            self.unlink(grave);
            return true;
        }
        match what {
            Remains::CNode | Remains::Gate => {
                let left = left - 1;
                let first = if what == Remains::CNode { Slot(at) } else { Slot(at + gate::HELD) };
                self.set_cap(grave, Cap::Zombie { at, what, radix, left, next });
                self.empty_slot(first.plus(left));
            }
            Remains::Endpoint | Remains::Notification => self.abort_first(at),
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
        if let Cap::Lease { peer, index, .. } = self.cap(slot) {
            self.call_back(peer, index);
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
