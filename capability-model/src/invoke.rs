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
/// Words behind address and label, and of what [`Store::invoke_short`] knows.
pub(crate) const ARGUMENTS: usize = WORDS - 2;
/// See [`ARGUMENTS`].
pub const SHORT: usize = 7;

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

impl<M: Memory> Store<M> {
    /// An invocation by the running domain `caller`: its whole effect (or a bounded part, see [`crate::error::Status::Again`]), or
    /// an error and no change.
    pub fn invoke(&mut self, caller: u64, words: [u64; WORDS]) -> Result<Outcome, Error> {
        let [address, label, a, b, c, d, e, f, g, ..] = words;
        match self.invoke_short(caller, label, [address, a, b, c, d, e, f, g])? {
            Some(status) => Ok(status.into()),
            None => self.invoke_long(caller, &words),
        }
    }

    /// The invocations that have to be fast: their words stay in registers, and each is performed where it was decoded, so that no plan
    /// is ever laid down. None if it is none of these; nothing has changed then, and [`Store::invoke_long`] knows the rest.
    #[inline(always)]
    pub fn invoke_short(
        &mut self,
        caller: u64,
        label: u64,
        [address, args @ ..]: [u64; SHORT + 1],
    ) -> Result<Option<Status>, Error> {
        use Label::*;
        let Some(label @ (Copy | Mint | Move | Mutate | Delete | Retype | Map | Unmap | Signal)) =
            Label::from_number(label)
        else {
            return Ok(None);
        };
        let slot = self.lookup_full(caller, address, 0)?;
        let head = self.head(slot);
        let [a, b, c, d, e, f, g] = args;
        let status = match (label, head.kind()) {
            (Copy | Mint | Move | Mutate, kind::CNODE) => {
                let to = self.lookup_empty(slot, a, b, 1)?;
                let source = self.source(caller, c, d, e, 3)?;
                match label {
                    Copy => self.insert(source, to, self.copied(source, f)?),
                    Mint => self.insert(source, to, self.minted(source, f, g)?),
                    Move => self.transplant(source, to, self.altered(source)),
                    _ => self.transplant(source, to, self.mutated(source, f, 6)?),
                }
                Status::Done
            }
            (Delete, kind::CNODE) => {
                let slot = self.lookup_slot(slot, a, b, 1)?;
                self.delete(slot)
            }
            // By reference: what is too large for registers is copied by a call.
            (Retype, kind::UNTYPED) => match &self.decode_retype(caller, slot, args) {
                Ok(plan) => self.retype(plan),
                Err(error) => return Err(*error),
            },
            (Map, kind::FRAME | kind::PAGE_TABLE) => {
                let map = self.decode_map(caller, slot, [a, b, c])?;
                self.map(slot, head, map);
                Status::Done
            }
            (Unmap, kind::FRAME | kind::PAGE_TABLE) => {
                self.unmap(slot);
                Status::Done
            }
            (Signal, kind::NOTIFICATION) if head.rights().has(Rights::WRITE) => {
                self.signal(self.object(slot), self.word(slot.0, words::DATA));
                Status::Done
            }
            _ => return Ok(None),
        };
        Ok(Some(status))
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
