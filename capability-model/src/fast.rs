//! The two invocations that nearly all messages are, when nothing stands in their way: a Call to a receiver that waits, and a ReplyRecv to
//! a caller that waits while no sender does. One-level CSpaces, no capability to pass, no cancellation.
//!
//! Each does what [`Store::invoke`] would, word for word but for the results that a waiting domain finds in its registers anyway
//! (`tests/objects/fast.rs` holds the two against each other); or nothing, and then `invoke` is asked. The microkernel says by `fits`
//! whether it can switch to the other domain at once.

use crate::cap::Cap;
use crate::domain::State;
use crate::layout::{HEAD, NEXT, PREVIOUS, TAIL, domain, endpoint, notification, reply};
use crate::memory::{Memory, SLOT};
use crate::rights::Rights;
use crate::store::Store;

/// Numbers of capabilities in a slot's first word.
const ENDPOINT: u8 = 3;
const REPLY: u8 = 5;

impl<M: Memory> Store<M> {
    /// The slot at `address` if the caller's CSpace is one CNode with a guard that takes all other bits.
    #[inline(always)]
    fn simple_slot(&self, caller: u64, address: u64) -> Option<u64> {
        let root = caller + domain::CSPACE;
        let (at, radix, guard, guard_bits) =
            Cap::cnode_of(self.word(root, 0), self.word(root, 1), self.word(root, 2))?;
        let whole = radix + guard_bits == u64::BITS && guard == 0 && radix < 32;
        (whole && address >> (radix & 31) == 0).then(|| at + address * SLOT)
    }

    /// A Call on the endpoint at `address`. Answers who received it, the badge that he sees, and root table
    /// and VMID of his space, which he has, as he has time to run.
    #[inline(always)]
    pub fn call_at_once(
        &mut self,
        caller: u64,
        address: u64,
        fits: impl FnOnce(&M, u64) -> bool,
    ) -> Option<(u64, u64, u64, u64)> {
        let slot = self.simple_slot(caller, address)?;
        let head = self.word(slot, 0);
        let rights = Rights::from_word(head >> 8);
        let may_call =
            rights.has(Rights::WRITE) && (rights.has(Rights::GRANT) || rights.has(Rights::GRANT_REPLY));
        if head as u8 != ENDPOINT || !may_call {
            return None;
        }
        let (at, badge) = (self.word(slot, 1), self.word(slot, 2));
        if self.word(at, endpoint::STATE) != crate::endpoint::RECEIVERS
            || self.word(at, endpoint::CANCELLING) != 0
        {
            return None;
        }
        let receiver = self.word(at, HEAD);
        let answer = self.word(receiver, domain::REPLY);
        if answer == 0 || self.word(receiver, domain::CONTEXT) == 0 || !fits(&self.memory, receiver) {
            return None;
        }
        let (root, vmid) = self.domain_space(receiver)?;
        // The receiver leaves the queue, whose first it is.
        let next = self.word(receiver, NEXT);
        self.set_word(at, HEAD, next);
        if next == 0 {
            self.set_word(at, TAIL, 0);
            self.set_word(at, endpoint::STATE, 0);
        } else {
            self.set_word(next, PREVIOUS, 0);
            self.set_word(receiver, NEXT, 0);
        }
        self.set_word(receiver, domain::REPLY, 0);
        self.set_word(receiver, domain::AT, 0);
        self.set_word(receiver, domain::STATE, State::Running as u64);
        // The caller waits at the reply.
        let grants = self.word(receiver, domain::MANNER) & Rights::GRANT.word();
        self.set_word(answer, reply::CALLER, caller);
        self.set_word(answer, reply::RECEIVER, 0);
        self.set_word(caller, domain::AT, answer);
        self.set_word(caller, domain::MANNER, grants);
        self.set_word(caller, domain::STATE, State::Replying as u64);
        Some((receiver, badge, root, vmid))
    }

    /// A ReplyRecv on the endpoint at `address`, with the reply at `reply_address` for the answer and for the next call. Answers
    /// as [`Store::call_at_once`] does.
    #[inline(always)]
    pub fn reply_receive_at_once(
        &mut self,
        caller: u64,
        address: u64,
        reply_address: u64,
        fits: impl FnOnce(&M, u64) -> bool,
    ) -> Option<(u64, u64, u64, u64)> {
        let slot = self.simple_slot(caller, address)?;
        let answer_slot = self.simple_slot(caller, reply_address)?;
        let head = self.word(slot, 0);
        let rights = Rights::from_word(head >> 8);
        if head as u8 != ENDPOINT
            || !rights.has(Rights::READ)
            || self.word(answer_slot, 0) as u8 != REPLY
            || reply_address == 0
        {
            return None;
        }
        let (at, answer) = (self.word(slot, 1), self.word(answer_slot, 1));
        let waiting = self.word(answer, reply::CALLER);
        let bound = self.word(caller, domain::NOTIFICATION);
        let signalled = bound != 0 && self.word(bound, notification::ACTIVE) != 0;
        if waiting == 0 || signalled || self.word(at, endpoint::STATE) == crate::endpoint::SENDERS {
            return None;
        }
        if self.word(waiting, domain::CONTEXT) == 0 || !fits(&self.memory, waiting) {
            return None;
        }
        let (root, vmid) = self.domain_space(waiting)?;
        // The one that waited for the answer goes on.
        self.set_word(answer, reply::CALLER, 0);
        self.set_word(waiting, domain::AT, 0);
        self.set_word(waiting, domain::STATE, State::Running as u64);
        // This one joins the receivers.
        let last = self.word(at, TAIL);
        self.set_word(caller, PREVIOUS, last);
        if last == 0 {
            self.set_word(at, HEAD, caller);
            self.set_word(at, endpoint::STATE, crate::endpoint::RECEIVERS);
        } else {
            self.set_word(last, NEXT, caller);
        }
        self.set_word(at, TAIL, caller);
        self.set_word(answer, reply::RECEIVER, caller);
        self.set_word(caller, domain::REPLY, answer);
        self.set_word(caller, domain::RECEIVE_INDEX, 0);
        self.set_word(caller, domain::RECEIVE_DEPTH, 0);
        self.set_word(caller, domain::MANNER, rights.and(Rights::GRANT).word());
        self.set_word(caller, domain::AT, at);
        self.set_word(caller, domain::STATE, State::Receiving as u64);
        Some((waiting, 0, root, vmid))
    }
}
