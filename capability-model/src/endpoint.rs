//! Endpoints and replies: who waits, who meets whom. The words of a message are the microkernel's to copy: it is told by
//! [`Transfer`]s. At most one capability goes along.

use crate::domain::{Ending, State};
use crate::error::{Error, ErrorKind, Outcome, Status, Transfer};
use crate::faults::Fault;
use crate::layout::{HEAD, NEXT, PREVIOUS, TAIL, domain, endpoint, notification, reply};
use crate::memory::{Memory, Slot};
use crate::plan::{Patience, Receive, Send};
use crate::rights::Rights;
use crate::store::{STEPS_PER_ENTRY, Store};
use crate::words::{self, kind};

pub(crate) const SENDERS: u64 = 1;
pub(crate) const RECEIVERS: u64 = 2;
/// Bits of a waiting domain's manner.
const CALLS: u64 = 16;
const GRANTS: u64 = Rights::GRANT.word();

impl<M: Memory> Store<M> {
    /// Send, NBSend, Call on an endpoint capability. `sends`: address of a capability to pass, 0 for none.
    pub(crate) fn decode_send(
        &self,
        slot: Slot,
        patience: Patience,
        calls: bool,
        sends: u64,
    ) -> Result<Send, Error> {
        let (head, at, badge) = (self.head(slot), self.object(slot), self.word(slot.0, words::DATA));
        let rights = head.rights();
        if !head.is(kind::ENDPOINT) || !rights.has(Rights::WRITE) || calls && !rights.may_call() {
            return Err(ErrorKind::InvalidCapability.of(0));
        }
        if sends != 0 && !rights.has(Rights::GRANT) {
            return Err(ErrorKind::InvalidCapability.of(1));
        }
        let receiver = self.word(at, HEAD);
        if calls && self.word(at, endpoint::STATE) == RECEIVERS && self.word(receiver, domain::REPLY) == 0 {
            // Nobody could ever answer.
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        let manner = rights.and(Rights::GRANT).word() | if calls { CALLS } else { 0 };
        Ok(Send { at, badge, manner, patience, sends })
    }

    /// Recv and NBRecv. `reply`: address of a reply where a caller shall wait, 0 for none.
    pub(crate) fn decode_receive(
        &self,
        caller: u64,
        slot: Slot,
        patience: Patience,
        [reply, index, depth]: [u64; 3],
    ) -> Result<Receive, Error> {
        let (at, rights) = (self.object(slot), self.head(slot).rights());
        if !rights.has(Rights::READ) {
            return Err(ErrorKind::InvalidCapability.of(0));
        }
        if depth > 64 {
            return Err(ErrorKind::RangeError.of(3));
        }
        let reply = match reply {
            0 => 0,
            address => self.object(self.lookup_kind(caller, address, 1, kind::REPLY, Rights::NONE)?),
        };
        Ok(Receive { at, reply, patience, index, depth, manner: rights.and(Rights::GRANT).word() })
    }

    /// Whether a reply cannot be received with: somebody else does, or a caller waits there who is not answered now.
    pub(crate) fn reply_is_busy(&self, at: u64, answered: bool) -> bool {
        at != 0 && (self.word(at, reply::RECEIVER) != 0 || !answered && self.word(at, reply::CALLER) != 0)
    }

    pub(crate) fn send(&mut self, caller: u64, send: Send) -> Outcome {
        let Send { at, badge, manner, patience, sends } = send;
        if self.word(at, endpoint::STATE) == RECEIVERS {
            let receiver = self.word(at, HEAD);
            let answer = self.word(receiver, domain::REPLY);
            self.set_word(caller, domain::SENDS, sends);
            self.leave(receiver);
            let transfer = self.deliver(caller, receiver, badge);
            let status = if manner & CALLS != 0 {
                self.await_reply(caller, answer, self.word(receiver, domain::MANNER) & GRANTS)
            } else {
                Status::Done
            };
            return Outcome { status, transfers: [Some(transfer), None] };
        }
        if patience == Patience::Try {
            return Status::Done.into();
        }
        self.set_word(caller, domain::BADGE, badge);
        self.set_word(caller, domain::MANNER, manner);
        self.set_word(caller, domain::SENDS, sends);
        self.wait_at(caller, at, State::Sending);
        self.set_word(at, endpoint::STATE, SENDERS);
        Status::Blocked.into()
    }

    pub(crate) fn receive(&mut self, caller: u64, receive: Receive) -> Outcome {
        let Receive { at, reply, patience, index, depth, manner } = receive;
        let bound = self.word(caller, domain::NOTIFICATION);
        if bound != 0 && self.word(bound, notification::ACTIVE) != 0 {
            return Status::Word(self.take_word(bound)).into();
        }
        let sent = self.word(at, endpoint::STATE) == SENDERS;
        if !sent && patience == Patience::Try {
            return Status::Word(0).into();
        }
        self.set_word(caller, domain::REPLY, reply);
        self.set_word(caller, domain::RECEIVE_INDEX, index);
        self.set_word(caller, domain::RECEIVE_DEPTH, depth);
        self.set_word(caller, domain::MANNER, manner);
        if sent {
            return self.receive_first(caller, at, reply, manner);
        }
        if reply != 0 {
            self.set_word(reply, reply::RECEIVER, caller);
        }
        self.wait_at(caller, at, State::Receiving);
        self.set_word(at, endpoint::STATE, RECEIVERS);
        Status::Blocked.into()
    }

    fn receive_first(&mut self, caller: u64, at: u64, reply: u64, manner: u64) -> Outcome {
        let sender = self.word(at, HEAD);
        let badge = self.word(sender, domain::BADGE);
        let calls = self.word(sender, domain::MANNER) & CALLS != 0;
        self.leave(sender);
        let transfer = self.deliver(sender, caller, badge);
        match (calls, reply) {
            (false, _) => self.wake(sender, Ending::Fine),
            (true, 0) => self.wake(sender, Ending::Aborted),
            (true, reply) => {
                self.await_reply(sender, reply, manner & GRANTS);
            }
        }
        Outcome { status: Status::Word(badge), transfers: [Some(transfer), None] }
    }

    /// `caller` waits at a reply. `grants`: whether the answer may bring a capability.
    fn await_reply(&mut self, caller: u64, at: u64, grants: u64) -> Status {
        self.set_word(at, reply::CALLER, caller);
        self.set_word(at, reply::RECEIVER, 0);
        self.set_word(caller, domain::AT, at);
        self.set_word(caller, domain::MANNER, grants);
        self.set_word(caller, domain::STATE, State::Replying as u64);
        Status::Blocked
    }

    /// Answers whoever waits at a reply; nobody is fine.
    pub(crate) fn answer(&mut self, caller: u64, at: u64, sends: u64) -> Option<Transfer> {
        let waiting = self.word(at, reply::CALLER);
        if waiting == 0 {
            return None;
        }
        let granted = self.word(waiting, domain::MANNER) & GRANTS != 0;
        self.set_word(caller, domain::SENDS, if granted { sends } else { 0 });
        self.leave(waiting);
        Some(self.deliver(caller, waiting, 0))
    }

    pub(crate) fn end_reply(&mut self, at: u64) {
        let (waiting, receiver) = (self.word(at, reply::CALLER), self.word(at, reply::RECEIVER));
        if waiting != 0 {
            self.abort(waiting);
        }
        if receiver != 0 {
            self.set_word(receiver, domain::REPLY, 0);
            self.set_word(at, reply::RECEIVER, 0);
        }
    }

    /// The message of `from` reaches `to`, which goes on.
    fn deliver(&mut self, from: u64, to: u64, badge: u64) -> Transfer {
        let sends = self.word(from, domain::SENDS);
        let passed = sends != 0 && self.pass(from, to, sends);
        self.wake(to, Ending::Fine);
        self.set_word(to, domain::RESULT_BADGE, badge);
        self.set_word(to, domain::RESULT_CAP, passed as u64);
        self.set_word(from, domain::SENDS, 0);
        Transfer { from, to, badge }
    }

    /// Passes a copy of a capability into the slot that the receiver named. If either side is not as it should be, the message
    /// goes without it, and says so: a sender must not learn of the receiver's CSpace by errors.
    fn pass(&mut self, from: u64, to: u64, address: u64) -> bool {
        let Some(source) = self.lookup(from, address) else { return false };
        let (index, depth) = (self.word(to, domain::RECEIVE_INDEX), self.word(to, domain::RECEIVE_DEPTH));
        let Ok(slot) = self.lookup_empty(Slot(to + domain::CSPACE), index, depth, 1) else { return false };
        let Ok(cap) = self.derive(source, 1) else { return false };
        if slot == source {
            return false;
        }
        self.insert(source, slot, cap);
        true
    }

    /// The domain joins those that wait at `at`.
    pub(crate) fn wait_at(&mut self, caller: u64, at: u64, state: State) {
        self.set_word(caller, domain::AT, at);
        self.set_word(caller, domain::STATE, state as u64);
        self.enqueue(at, caller);
    }

    /// The domain no longer waits at an endpoint.
    pub(crate) fn leave_endpoint(&mut self, at: u64, item: u64) {
        if self.word(at, endpoint::CANCELLING) != 0 {
            self.cancel_passes(at, item);
        }
        if self.seeded(Fault::DomainStaysQueued) && self.word(item, NEXT) != 0 {
            return;
        }
        self.dequeue(at, item);
        if self.word(at, HEAD) == 0 {
            self.set_word(at, endpoint::STATE, 0);
        }
    }

    /// A cancellation that has a place in the queue goes on behind or before the one that leaves.
    fn cancel_passes(&mut self, at: u64, item: u64) {
        let last = self.word(at, endpoint::CANCEL_LAST) == item;
        if self.word(at, endpoint::CANCEL_NEXT) == item {
            let next = if last { 0 } else { self.word(item, NEXT) };
            self.set_word(at, endpoint::CANCEL_NEXT, next);
        } else if last {
            self.set_word(at, endpoint::CANCEL_LAST, self.word(item, PREVIOUS));
        }
    }

    pub(crate) fn begin_cancel(&mut self, at: u64, badge: u64) {
        let senders = self.word(at, endpoint::STATE) == SENDERS;
        let (first, last) = if senders { (self.word(at, HEAD), self.word(at, TAIL)) } else { (0, 0) };
        self.set_word(at, endpoint::CANCEL_NEXT, first);
        self.set_word(at, endpoint::CANCEL_LAST, last);
        self.set_word(at, endpoint::CANCEL_BADGE, badge);
        self.set_word(at, endpoint::CANCELLING, 1);
    }

    /// Looks at a bounded number of senders. True at the end.
    pub(crate) fn cancel_steps(&mut self, at: u64) -> bool {
        let badge = self.word(at, endpoint::CANCEL_BADGE);
        for _ in 0..STEPS_PER_ENTRY {
            let sender = self.word(at, endpoint::CANCEL_NEXT);
            if sender == 0 {
                break;
            }
            let last = self.word(at, endpoint::CANCEL_LAST) == sender;
            self.set_word(at, endpoint::CANCEL_NEXT, if last { 0 } else { self.word(sender, NEXT) });
            if self.word(sender, domain::BADGE) == badge || self.seeded(Fault::CancelIgnoresBadge) {
                self.abort(sender);
            }
        }
        let finished = self.word(at, endpoint::CANCEL_NEXT) == 0;
        if finished {
            self.set_word(at, endpoint::CANCELLING, 0);
        }
        finished
    }
}
