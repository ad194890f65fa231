//! The two invocations that nearly all messages are, when nothing stands in their way: a Call to a receiver that waits, and a ReplyRecv to
//! a caller that waits while no sender does. One-level CSpaces, no capability to pass, no cancellation.
//!
//! Each does what [`Store::invoke`] would, word for word but for the results that a waiting domain finds in its registers anyway
//! (`tests/objects/fast.rs` holds the two against each other). First it is asked who would be met; the microkernel looks whether it
//! can switch to that domain at once; then the meeting takes place, or `invoke` is asked and nothing has changed.
//!
//! Sums wrap: they are of addresses in memory, far from the end of u64, and of an index below 2^32.

use crate::domain::State;
use crate::endpoint::{RECEIVERS, SENDERS};
use crate::layout::{HEAD, NEXT, PREVIOUS, TAIL, domain, endpoint, notification, reply};
use crate::memory::{Memory, SLOT};
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, Head, kind};

/// Two domains that can meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// The other one.
    pub peer: u64,
    /// The badge that he sees.
    pub badge: u64,
    /// Root table and VMID of his space.
    pub space: (u64, u64),
    endpoint: u64,
    reply: u64,
    /// What the one who now waits grants.
    grants: u64,
}

impl<M: Memory> Store<M> {
    /// The slot at `address` if the caller's CSpace is one CNode with a guard that takes all other bits.
    #[inline(always)]
    fn simple_slot(&self, caller: u64, address: u64) -> Option<u64> {
        let root = caller.wrapping_add(domain::CSPACE);
        let head = Head(self.word(root, 0));
        let (radix, guard_bits) = (u32::from(head.small()), u32::from(head.more()));
        let guard = self.word(root, words::DATA);
        let whole = radix.wrapping_add(guard_bits) == u64::BITS && guard == 0 && radix < 32;
        let ours = head.is(kind::CNODE) && whole && address >> (radix & 31) == 0;
        ours.then(|| self.word(root, words::OBJECT).wrapping_add(address.wrapping_mul(SLOT)))
    }

    /// Space of a domain that has time to run.
    #[inline(always)]
    fn can_run(&self, at: u64) -> Option<(u64, u64)> {
        self.domain_space(at).filter(|_| self.word(at, domain::CONTEXT) != 0)
    }

    /// Whether a domain runs as far as its store knows: it waits for nothing, has time and a space.
    #[inline(always)]
    pub fn is_runnable(&self, at: u64) -> bool {
        self.word(at, domain::STATE) == State::Running as u64 && self.can_run(at).is_some()
    }

    /// Whom a Call on the endpoint at `address` would meet.
    #[inline(always)]
    pub fn call_meets(&self, caller: u64, address: u64) -> Option<Meeting> {
        self.endpoint_meets(self.simple_slot(caller, address)?)
    }

    /// Whom a fault of the domain at `at` would meet; [`Store::call_met`] is what happens then.
    #[inline(always)]
    pub fn fault_meets(&self, at: u64) -> Option<Meeting> {
        self.endpoint_meets(at.wrapping_add(domain::FAULT))
    }

    #[inline(always)]
    fn endpoint_meets(&self, slot: u64) -> Option<Meeting> {
        let head = Head(self.word(slot, 0));
        let rights = head.rights();
        if !head.is(kind::ENDPOINT) || !rights.has(Rights::WRITE) || !rights.may_call() {
            return None;
        }
        let at = self.word(slot, words::OBJECT);
        if self.word(at, endpoint::STATE) != RECEIVERS || self.word(at, endpoint::CANCELLING) != 0 {
            return None;
        }
        let peer = self.word(at, HEAD);
        let reply = self.word(peer, domain::REPLY);
        if reply == 0 {
            return None;
        }
        let (space, grants) = (self.can_run(peer)?, self.word(peer, domain::MANNER) & Rights::GRANT.word());
        Some(Meeting { peer, badge: self.word(slot, words::DATA), space, endpoint: at, reply, grants })
    }

    /// The Call takes place: the caller waits at the receiver's reply.
    #[inline(always)]
    pub fn call_met(&mut self, caller: u64, meeting: Meeting) {
        let Meeting { peer, endpoint: at, reply, grants, .. } = meeting;
        // The receiver leaves the queue, whose first it is.
        let next = self.word(peer, NEXT);
        self.set_word(at, HEAD, next);
        if next == 0 {
            self.set_word(at, TAIL, 0);
            self.set_word(at, endpoint::STATE, 0);
        } else {
            self.set_word(next, PREVIOUS, 0);
            self.set_word(peer, NEXT, 0);
        }
        self.set_word(peer, domain::REPLY, 0);
        self.set_word(peer, domain::AT, 0);
        self.set_word(peer, domain::STATE, State::Running as u64);
        self.set_word(reply, reply::CALLER, caller);
        self.set_word(reply, reply::RECEIVER, 0);
        self.set_word(caller, domain::AT, reply);
        self.set_word(caller, domain::MANNER, grants);
        self.set_word(caller, domain::STATE, State::Replying as u64);
    }

    /// Whom the answer of a ReplyRecv on the endpoint at `address`, with the reply at `reply_address`, would meet, if nobody sends.
    #[inline(always)]
    pub fn reply_meets(&self, caller: u64, address: u64, reply_address: u64) -> Option<Meeting> {
        let slot = self.simple_slot(caller, address)?;
        let reply_slot = self.simple_slot(caller, reply_address)?;
        let head = Head(self.word(slot, 0));
        let rights = head.rights();
        let is_reply = Head(self.word(reply_slot, 0)).is(kind::REPLY) && reply_address != 0;
        if !head.is(kind::ENDPOINT) || !rights.has(Rights::READ) || !is_reply {
            return None;
        }
        let (at, reply) = (self.word(slot, words::OBJECT), self.word(reply_slot, words::OBJECT));
        let peer = self.word(reply, reply::CALLER);
        let bound = self.word(caller, domain::NOTIFICATION);
        let signalled = bound != 0 && self.word(bound, notification::ACTIVE) != 0;
        if peer == 0 || signalled || self.word(at, endpoint::STATE) == SENDERS {
            return None;
        }
        let (space, grants) = (self.can_run(peer)?, rights.and(Rights::GRANT).word());
        Some(Meeting { peer, badge: 0, space, endpoint: at, reply, grants })
    }

    /// The ReplyRecv takes place: the one who answers joins the receivers.
    #[inline(always)]
    pub fn reply_met(&mut self, caller: u64, meeting: Meeting) {
        let Meeting { peer, endpoint: at, reply, grants, .. } = meeting;
        self.set_word(reply, reply::CALLER, 0);
        self.set_word(peer, domain::AT, 0);
        self.set_word(peer, domain::STATE, State::Running as u64);
        let last = self.word(at, TAIL);
        self.set_word(caller, PREVIOUS, last);
        if last == 0 {
            self.set_word(at, HEAD, caller);
            self.set_word(at, endpoint::STATE, RECEIVERS);
        } else {
            self.set_word(last, NEXT, caller);
        }
        self.set_word(at, TAIL, caller);
        self.set_word(reply, reply::RECEIVER, caller);
        self.set_word(caller, domain::REPLY, reply);
        self.set_word(caller, domain::RECEIVE_INDEX, 0);
        self.set_word(caller, domain::RECEIVE_DEPTH, 0);
        self.set_word(caller, domain::MANNER, grants);
        self.set_word(caller, domain::AT, at);
        self.set_word(caller, domain::STATE, State::Receiving as u64);
    }
}
