//! The entry: words from registers become a checked plan, and the plan is performed.

use crate::domain::State;
use crate::error::{Error, ErrorKind, Outcome, Status};
use crate::layout::{domain, export};
use crate::memory::{Memory, Slot};
use crate::plan::{Message, Patience, Plan};
use crate::rights::Rights;
use crate::store::Store;
use crate::words::{self, kind};

/// Words of an invocation: address of the invoked capability, label, ten arguments.
pub const WORDS: usize = 12;
/// Words behind address and label, and of what [`Store::invoke_at`] knows.
pub(crate) const ARGUMENTS: usize = WORDS - 2;
/// See [`ARGUMENTS`].
pub(crate) const SHORT: usize = 7;

/// Defines [`Label`].
macro_rules! labels {
    ($count:literal: $($name:ident $number:literal),*) => {
        /// What is asked for; the numbers are the ABI.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u64)]
        #[allow(missing_docs)] // docs/capabilities.md has the table with the arguments of each.
        pub enum Label { $($name = $number),* }

        impl Label {
            /// All labels, in order of their numbers, which begin with 1.
            pub const ALL: [Label; $count] = [$(Label::$name),*];

            /// The label with this number.
            pub fn from_number(number: u64) -> Option<Label> {
                match number { $($number => Some(Label::$name),)* _ => None }
            }
        }
    };
}

labels! {
    36: Copy 1, Mint 2, Move 3, Mutate 4, Rotate 5, Delete 6, Revoke 7, CancelBadgedSends 8, Retype 9, Map 10, Unmap 11,
    Send 12, NBSend 13, Call 14, Recv 15, NBRecv 16, ReplyRecv 17, Signal 18, Wait 19, Poll 20, Bind 21, Unbind 22,
    Configure 23, Resume 24, Suspend 25, Acknowledge 26, Carve 27, Lease 28, Seat 29, Seal 30, Endorse 31, Inspect 32, Remote 33,
    Serve 34, WriteRegisters 35, Restart 36
}

/// How far one of the short invocations got, in two registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// See [`Status::Done`].
    Done,
    /// See [`Status::Again`].
    Again,
    /// It is none of these, and nothing was done.
    Long,
    /// Nothing was done.
    Refused(Error),
}

impl From<Result<Status, Error>> for Short {
    #[inline(always)]
    fn from(answer: Result<Status, Error>) -> Short {
        match answer {
            Ok(Status::Again) => Short::Again,
            // A short one does not wait, and has no answer.
            Ok(_) => Short::Done,
            Err(error) => Short::Refused(error),
        }
    }
}

impl<M: Memory> Store<M> {
    /// An invocation by the running domain `caller`: its whole effect (or a bounded part, see [`crate::error::Status::Again`]), or
    /// an error and no change.
    pub fn invoke(&mut self, caller: u64, words: [u64; WORDS]) -> Result<Outcome, Error> {
        let [address, label, args @ ..] = words;
        match self.invoke_short(caller, label, address, |_, i| args.get(i as usize).copied().unwrap_or(0)) {
            Short::Done => Ok(Status::Done.into()),
            Short::Again => Ok(Status::Again.into()),
            Short::Long => self.invoke_long(caller, &words),
            Short::Refused(error) => Err(error),
        }
    }

    /// [`Store::invoke_short`] with words that lie in memory: `arguments` is the address of the first behind the label.
    #[inline(never)]
    pub fn invoke_at(&mut self, caller: u64, label: u64, address: u64, arguments: u64) -> Short {
        self.invoke_short(caller, label, address, |store, i| store.word(arguments, i))
    }

    /// The invocations that have to be fast: each is performed where it was decoded, so that no plan is ever laid down. `arg` reads
    /// arguments. Each has a function of its own, so that it saves no registers for the others.
    #[inline(always)]
    pub fn invoke_short(
        &mut self,
        caller: u64,
        label: u64,
        address: u64,
        arg: impl Fn(&Self, u64) -> u64 + Copy,
    ) -> Short {
        const COPY: u64 = Label::Copy as u64;
        const MUTATE: u64 = Label::Mutate as u64;
        const DELETE: u64 = Label::Delete as u64;
        const RETYPE: u64 = Label::Retype as u64;
        const MAP: u64 = Label::Map as u64;
        const UNMAP: u64 = Label::Unmap as u64;
        const SIGNAL: u64 = Label::Signal as u64;
        // As bits. Copy, Mint, Move and Mutate follow each other.
        const SHORTS: u64 = 0b1111 << COPY | 1 << DELETE | 1 << RETYPE | 1 << MAP | 1 << UNMAP | 1 << SIGNAL;
        if label > 63 || SHORTS >> label & 1 == 0 {
            return Short::Long;
        }
        let slot = match self.lookup_full_here(caller, address, 0) {
            Ok(slot) => slot,
            Err(error) => return Short::Refused(error),
        };
        let head = self.head(slot);
        match (label, head.kind()) {
            (COPY..=MUTATE, kind::CNODE) => self.put(caller, slot, label, arg),
            (DELETE, kind::CNODE) => self.delete_in(slot, arg),
            (RETYPE, kind::UNTYPED) => self.retype_short(caller, slot, arg),
            (MAP, kind::FRAME | kind::PAGE_TABLE) => self.map_short(caller, slot, arg),
            (UNMAP, kind::FRAME | kind::PAGE_TABLE) => {
                self.unmap(slot);
                Short::Done
            }
            (SIGNAL, kind::NOTIFICATION) if head.rights().has(Rights::WRITE) => {
                self.signal(self.object(slot), self.word(slot.0, words::DATA));
                Short::Done
            }
            _ => Short::Long,
        }
    }

    /// Copy, Mint, Move, Mutate into the CNode in `slot`.
    #[inline(never)]
    fn put(&mut self, caller: u64, slot: Slot, label: u64, arg: impl Fn(&Self, u64) -> u64) -> Short {
        const COPY: u64 = Label::Copy as u64;
        const MINT: u64 = Label::Mint as u64;
        const MOVE: u64 = Label::Move as u64;
        let mut put = || {
            let to = self.lookup_slot_here(slot, arg(self, 0), arg(self, 1), 1)?;
            if !self.is_empty(to) {
                return Err(ErrorKind::DeleteFirst.of(1));
            }
            let root = self.lookup_full_here(caller, arg(self, 2), 3)?;
            let source = self.lookup_slot_here(root, arg(self, 3), arg(self, 4), 4)?;
            if self.is_empty(source) {
                return Err(ErrorKind::FailedLookup.of(4));
            }
            let f = arg(self, 5);
            match label {
                COPY => self.insert(source, to, self.copied(source, f)?),
                MINT => self.insert(source, to, self.minted(source, f, arg(self, 6))?),
                MOVE => self.transplant(source, to, self.altered(source)),
                _ => self.transplant(source, to, self.mutated(source, f, 6)?),
            }
            Ok(Status::Done)
        };
        put().into()
    }

    /// Delete in the CNode in `slot`.
    #[inline(never)]
    fn delete_in(&mut self, slot: Slot, arg: impl Fn(&Self, u64) -> u64) -> Short {
        match self.lookup_slot_here(slot, arg(self, 0), arg(self, 1), 1) {
            Ok(slot) => Ok(self.delete(slot)).into(),
            Err(error) => Short::Refused(error),
        }
    }

    #[inline(never)]
    fn retype_short(&mut self, caller: u64, slot: Slot, arg: impl Fn(&Self, u64) -> u64) -> Short {
        let arg = |i| arg(self, i);
        let args = [arg(0), arg(1), arg(2), arg(3), arg(4), arg(5), arg(6)];
        // By reference: what is too large for registers is copied by a call.
        match &self.decode_retype(caller, slot, args) {
            Ok(plan) => Ok(self.retype(plan)).into(),
            Err(error) => Short::Refused(*error),
        }
    }

    #[inline(never)]
    fn map_short(&mut self, caller: u64, slot: Slot, arg: impl Fn(&Self, u64) -> u64) -> Short {
        match self.decode_map(caller, slot, [arg(self, 0), arg(self, 1), arg(self, 2)]) {
            Ok(map) => {
                self.map(slot, self.head(slot), map);
                Short::Done
            }
            Err(error) => Short::Refused(error),
        }
    }

    /// All others, with the words where the entry saved them. The plan stays where decoding put it: it is large.
    pub fn invoke_long(&mut self, caller: u64, words: &[u64; WORDS]) -> Result<Outcome, Error> {
        match &self.decode(caller, words) {
            Err(error) => Err(*error),
            Ok(Plan::Ask { peer }) => {
                let [_, _, request @ ..] = *words;
                Ok(self.ask(*peer, request).into())
            }
            Ok(Plan::Message(message)) => Ok(self.perform_message(caller, *message)),
            Ok(plan) => Ok(self.perform(caller, plan).into()),
        }
    }

    fn decode(&self, caller: u64, words: &[u64; WORDS]) -> Result<Plan, Error> {
        use Label::*;
        let [address, label, args @ ..] = words;
        let slot = self.lookup_full(caller, *address, 0)?;
        let label = Label::from_number(*label).ok_or(ErrorKind::IllegalOperation.of(0))?;
        let (head, at) = (self.head(slot), self.object(slot));
        let [a, b, c, d, e, f, g, h, ..] = *args;
        match (head.kind(), label) {
            (kind::CNODE, Rotate) => self.decode_rotate(caller, slot, args),
            (kind::CNODE, Revoke) => Ok(Plan::Revoke(self.lookup_slot(slot, a, b, 1)?)),
            (kind::CNODE, CancelBadgedSends) => self.decode_cancel(self.lookup_slot(slot, a, b, 1)?),
            (kind::ENDPOINT, _) => self.decode_endpoint(caller, slot, label, args),
            (kind::NOTIFICATION, Signal) => Err(ErrorKind::InvalidCapability.of(0)),
            (kind::NOTIFICATION, Wait) => self.decode_wait(slot, Patience::Wait),
            (kind::NOTIFICATION, Poll) => self.decode_wait(slot, Patience::Try),
            (kind::UNTYPED | kind::FRAME | kind::SEAT | kind::CORE, Lease) => {
                self.decode_lease(caller, slot, [a, b, c, d, e, f])
            }
            (kind::REPLY, Send) => Ok(Plan::Message(Message::Answer { at, sends: a })),
            (kind::DOMAIN, WriteRegisters) => self.decode_write_registers(at, [a, b, c, d, e, f, g, h]),
            (kind::DOMAIN, _) => self.decode_domain(caller, at, label, [a, b, c]),
            (kind::IRQ, Acknowledge) => Ok(Plan::Acknowledge { number: at as u16 }),
            (kind::IRQ, Unbind) => Ok(Plan::UnbindIrq { number: at as u16 }),
            (kind::IRQ, Bind) => self.plan_keeping(caller, a, Slot(self.tables.irq(at as u16))),
            (kind::CORE, Carve) => self.decode_carve(caller, slot, [a, b, c, d, e]),
            (kind::CORE, _) => self.decode_core(caller, head.small(), label, a, b),
            (kind::SCHED_CONTEXT, Configure) => self.decode_reshare(slot, a, b),
            (kind::SCHED_CONTEXT, Bind) => self.decode_bind_context(caller, slot, a),
            (kind::SCHED_CONTEXT, Unbind) if at != 0 => Ok(Plan::UnbindContext { at }),
            (kind::LEASE, Bind) => {
                let record = self.tables.export(head.small(), head.more());
                // Signalled when it is back.
                self.plan_keeping(caller, a, Slot(record + export::NOTIFICATION))
            }
            (kind::GATE, Seat) => self.decode_seat(caller, slot, at, [a, b, c, d]),
            (kind::GATE, Seal) => self.decode_seal(caller, at, [a, b, c, d, e, f, g]),
            (kind::GATE | kind::SEAT, Inspect) => Ok(Plan::Answered(self.inspect_gate(at))),
            (kind::SEAT | kind::REMOTE_SEAT, Endorse) => self.decode_endorse(head, at, [a, b, c, d, e, f, g]),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_endpoint(
        &self,
        caller: u64,
        slot: Slot,
        label: Label,
        args: &[u64; ARGUMENTS],
    ) -> Result<Plan, Error> {
        use Label::*;
        let [a, b, c, sends, ..] = *args;
        let patience = if matches!(label, NBSend | NBRecv) { Patience::Try } else { Patience::Wait };
        let message = match label {
            Send | NBSend | Call => Message::Send(self.decode_send(slot, patience, label == Call, a)?),
            Recv | NBRecv | ReplyRecv => {
                let receive = self.decode_receive(caller, slot, patience, [a, b, c])?;
                // A caller is never dropped silently; the one that is there is answered by a ReplyRecv.
                let answers = label == ReplyRecv;
                if self.reply_is_busy(receive.reply, answers) {
                    return Err(ErrorKind::IllegalOperation.of(1));
                }
                if answers { Message::AnswerReceive { receive, sends } } else { Message::Receive(receive) }
            }
            _ => return Err(ErrorKind::IllegalOperation.of(0)),
        };
        Ok(Plan::Message(message))
    }

    fn decode_domain(&self, caller: u64, at: u64, label: Label, args: [u64; 3]) -> Result<Plan, Error> {
        let [notification, ..] = args;
        match label {
            Label::Configure => self.decode_configure(caller, at, args),
            Label::Bind => self.decode_bind(caller, at, notification),
            Label::Unbind if self.word(at, domain::NOTIFICATION) != 0 => Ok(Plan::UnbindNotification { at }),
            Label::Resume if matches!(self.domain_state(at), State::Inactive | State::Running) => {
                Ok(Plan::Resume { at })
            }
            Label::Suspend => Ok(Plan::Suspend { at }),
            Label::Restart if self.memory.can_restart(at, args[0]) => {
                Ok(Plan::Restart { at, image: args[0] })
            }
            Label::Restart => Err(ErrorKind::InvalidArgument.of(1)),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    /// A copy of the notification at `address` (argument 1) is to be kept in a slot of the store's own, if nothing is there yet.
    pub(crate) fn plan_keeping(&self, caller: u64, address: u64, slot: Slot) -> Result<Plan, Error> {
        let source = self.lookup_kind(caller, address, 1, kind::NOTIFICATION, Rights::WRITE)?;
        if !self.is_empty(slot) {
            return Err(ErrorKind::DeleteFirst.of(0));
        }
        Ok(Plan::Insert { source, slot, cap: self.altered(source) })
    }
}
