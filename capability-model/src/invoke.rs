//! The entry: words from registers become a checked plan, and the plan is performed.

use crate::cap::Cap;
use crate::cnode::Sets;
use crate::domain::State;
use crate::error::{Error, ErrorKind, Outcome, Status};
use crate::layout::domain;
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
        let known = |label: &Label| {
            matches!(label, Copy | Mint | Move | Mutate | Delete | Retype | Map | Unmap | Signal)
        };
        let Some(label) = Label::from_number(label).filter(known) else { return Ok(None) };
        let slot = self.lookup_full(caller, address, 0)?;
        let head = self.head(slot);
        let [a, b, c, ..] = args;
        let status = match (label, head.kind()) {
            (Copy | Mint, kind::CNODE) => {
                let sets = if label == Mint { Sets::Data } else { Sets::Nothing };
                let (source, slot, cap) = self.decode_copy(caller, slot, args, sets)?;
                self.insert(source, slot, cap);
                Status::Done
            }
            (Move | Mutate, kind::CNODE) => {
                let sets = if label == Mutate { Sets::Data } else { Sets::Nothing };
                let (source, slot, cap) = self.decode_move(caller, slot, args, sets)?;
                self.transplant(source, slot, cap);
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
                self.signal(self.word(slot.0, words::OBJECT), self.word(slot.0, words::DATA));
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
        let [address, label, args @ ..] = words;
        let slot = self.lookup_full(caller, *address, 0)?;
        let label = Label::from_number(*label).ok_or(ErrorKind::IllegalOperation.of(0))?;
        match self.cap(slot) {
            Cap::CNode { .. } => self.decode_cnode(caller, slot, label, args),
            Cap::Endpoint { .. } => self.decode_endpoint(caller, &self.cap(slot), label, args),
            cap @ Cap::Notification { .. } => self.decode_notification(&cap, label),
            _ => self.decode_other(caller, slot, label, args),
        }
    }

    fn decode_notification(&self, cap: &Cap, label: Label) -> Result<Plan, Error> {
        match label {
            Label::Signal => Err(ErrorKind::InvalidCapability.of(0)),
            Label::Wait => self.decode_wait(cap, Patience::Wait),
            Label::Poll => self.decode_wait(cap, Patience::Try),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_other(
        &self,
        caller: u64,
        slot: Slot,
        label: Label,
        args: &[u64; ARGUMENTS],
    ) -> Result<Plan, Error> {
        let [a, b, c, d, e, f, g, h, ..] = *args;
        let cap = self.cap(slot);
        match cap {
            Cap::Untyped { .. } | Cap::Frame { .. } | Cap::Seat { .. } if label == Label::Lease => {
                self.decode_lease(caller, slot, [a, b, c, d, e, f])
            }
            Cap::Reply { at } if label == Label::Send => Ok(Plan::Message(Message::Answer { at, sends: a })),
            Cap::Domain { at } if label == Label::WriteRegisters => {
                self.decode_write_registers(at, [a, b, c, d, e, f, g, h])
            }
            Cap::Domain { at } => self.decode_domain(caller, at, label, [a, b, c]),
            Cap::Irq { number } => self.decode_irq(caller, number, label, a),
            Cap::Core { .. } if label == Label::Carve => self.decode_carve(caller, slot, [a, b, c, d, e]),
            Cap::Core { number } => match label {
                Label::Remote => self.decode_remote(number, b),
                Label::Inspect => self.decode_remote_answer(number),
                Label::Bind => self.decode_bind_core(caller, number, a),
                Label::Unbind => self.decode_unbind_core(number),
                Label::Serve => self.decode_serve(caller, number, a, b),
                Label::Lease => self.decode_lease(caller, slot, [a, b, c, d, e, f]),
                _ => Err(ErrorKind::IllegalOperation.of(0)),
            },
            Cap::SchedContext { domain, .. } => match label {
                Label::Configure => self.decode_reshare(slot, a, b),
                Label::Bind => self.decode_bind_context(caller, slot, a),
                Label::Unbind if domain != 0 => Ok(Plan::UnbindContext { at: domain }),
                _ => Err(ErrorKind::IllegalOperation.of(0)),
            },
            Cap::Lease { .. } if label == Label::Bind => self.decode_bind_lease(caller, slot, a),
            Cap::Gate { at } => match label {
                Label::Seat => self.decode_seat(caller, slot, at, [a, b, c, d]),
                Label::Seal => self.decode_seal(caller, at, [a, b, c, d, e, f, g]),
                Label::Inspect => Ok(Plan::Answered(self.inspect_gate(at))),
                _ => Err(ErrorKind::IllegalOperation.of(0)),
            },
            Cap::Seat { at, .. } if label == Label::Inspect => Ok(Plan::Answered(self.inspect_gate(at))),
            Cap::Seat { .. } | Cap::RemoteSeat { .. } if label == Label::Endorse => {
                self.decode_endorse(&cap, [a, b, c, d, e, f, g])
            }
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_cnode(
        &self,
        caller: u64,
        root: Slot,
        label: Label,
        args: &[u64; ARGUMENTS],
    ) -> Result<Plan, Error> {
        let [index, depth, ..] = *args;
        match label {
            Label::Rotate => self.decode_rotate(caller, root, args),
            Label::Revoke => Ok(Plan::Revoke(self.lookup_slot(root, index, depth, 1)?)),
            Label::CancelBadgedSends => self.decode_cancel(self.lookup_slot(root, index, depth, 1)?),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_endpoint(
        &self,
        caller: u64,
        cap: &Cap,
        label: Label,
        args: &[u64; ARGUMENTS],
    ) -> Result<Plan, Error> {
        let [a, b, c, sends, ..] = *args;
        let send = |patience, calls| {
            self.decode_send(cap, patience, calls, a).map(|send| Plan::Message(Message::Send(send)))
        };
        let receive = |patience| self.decode_receive(caller, cap, patience, [a, b, c]);
        match label {
            Label::Send => send(Patience::Wait, false),
            Label::NBSend => send(Patience::Try, false),
            Label::Call => send(Patience::Wait, true),
            Label::Recv | Label::NBRecv => {
                let patience = if label == Label::Recv { Patience::Wait } else { Patience::Try };
                let receive = receive(patience)?;
                if !self.reply_is_free(receive.reply) {
                    // A caller is never dropped silently.
                    return Err(ErrorKind::IllegalOperation.of(1));
                }
                Ok(Plan::Message(Message::Receive(receive)))
            }
            Label::ReplyRecv => {
                let receive = receive(Patience::Wait)?;
                if self.reply_has_receiver(receive.reply) {
                    return Err(ErrorKind::IllegalOperation.of(1));
                }
                Ok(Plan::Message(Message::AnswerReceive { receive, sends }))
            }
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
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

    fn decode_irq(&self, caller: u64, number: u16, label: Label, address: u64) -> Result<Plan, Error> {
        let slot = Slot(self.tables.irq(number));
        match label {
            Label::Acknowledge => Ok(Plan::Acknowledge { number }),
            Label::Unbind => Ok(Plan::UnbindIrq { number }),
            Label::Bind => match self.lookup_cap(caller, address, 1)? {
                (source, Cap::Notification { rights, .. }) if rights.has(Rights::WRITE) => {
                    self.plan_keeping(source, slot)
                }
                _ => Err(ErrorKind::InvalidCapability.of(1)),
            },
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    /// A copy of `source` is to be kept in a slot of the store's own, if nothing is there yet.
    pub(crate) fn plan_keeping(&self, source: Slot, slot: Slot) -> Result<Plan, Error> {
        if !self.is_empty(slot) {
            return Err(ErrorKind::DeleteFirst.of(0));
        }
        Ok(Plan::Insert { source, slot, cap: self.altered(source) })
    }
}
