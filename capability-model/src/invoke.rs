//! The entry: words from registers become a checked plan, and the plan is performed.

use crate::cap::Cap;
use crate::domain::State;
use crate::error::{Error, ErrorKind, Outcome};
use crate::layout::domain;
use crate::memory::{Memory, Slot};
use crate::plan::{Patience, Plan};
use crate::rights::Rights;
use crate::store::Store;

/// Words of an invocation: address of the invoked capability, label, ten arguments.
pub const WORDS: usize = 12;

/// What is asked for; the numbers are the ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u64)]
#[allow(missing_docs)] // docs/capabilities.md has the table with the arguments of each.
pub enum Label {
    Copy = 1,
    Mint = 2,
    Move = 3,
    Mutate = 4,
    Rotate = 5,
    Delete = 6,
    Revoke = 7,
    CancelBadgedSends = 8,
    Retype = 9,
    Map = 10,
    Unmap = 11,
    Send = 12,
    NBSend = 13,
    Call = 14,
    Recv = 15,
    NBRecv = 16,
    ReplyRecv = 17,
    Signal = 18,
    Wait = 19,
    Poll = 20,
    Bind = 21,
    Unbind = 22,
    Configure = 23,
    Resume = 24,
    Suspend = 25,
    Acknowledge = 26,
    Carve = 27,
    Lease = 28,
    Seat = 29,
    Seal = 30,
    Endorse = 31,
    Inspect = 32,
    Remote = 33,
}

impl Label {
    /// All labels, in order of their numbers, which begin with 1.
    pub const ALL: [Label; 33] = {
        use Label::*;
        [
            Copy,
            Mint,
            Move,
            Mutate,
            Rotate,
            Delete,
            Revoke,
            CancelBadgedSends,
            Retype,
            Map,
            Unmap,
            Send,
            NBSend,
            Call,
            Recv,
            NBRecv,
            ReplyRecv,
            Signal,
            Wait,
            Poll,
            Bind,
            Unbind,
            Configure,
            Resume,
            Suspend,
            Acknowledge,
            Carve,
            Lease,
            Seat,
            Seal,
            Endorse,
            Inspect,
            Remote,
        ]
    };

    /// The label with this number.
    pub fn from_number(number: u64) -> Option<Label> {
        let place = usize::try_from(number.checked_sub(1)?).ok()?;
        Label::ALL.get(place).copied()
    }
}

impl<M: Memory> Store<M> {
    /// An invocation by the running domain `caller`: its whole effect (or a bounded part, see [`crate::error::Status::Again`]), or
    /// an error and no change.
    pub fn invoke(&mut self, caller: u64, words: [u64; WORDS]) -> Result<Outcome, Error> {
        let plan = self.decode(caller, words)?;
        Ok(self.perform(caller, plan))
    }

    fn decode(&self, caller: u64, words: [u64; WORDS]) -> Result<Plan, Error> {
        let [address, label, args @ ..] = words;
        let (slot, cap) = self.lookup_cap(caller, address, 0)?;
        let label = Label::from_number(label).ok_or(ErrorKind::IllegalOperation.of(0))?;
        let [a, b, c, d, e, f, g, ..] = args;
        match cap {
            Cap::CNode { .. } => self.decode_cnode(caller, &cap, label, args),
            Cap::Endpoint { .. } => self.decode_endpoint(caller, &cap, label, [a, b, c, d]),
            Cap::Untyped { .. } if label == Label::Retype => {
                self.decode_retype(caller, slot, [a, b, c, d, e, f, g])
            }
            Cap::Untyped { .. } | Cap::Frame { .. } | Cap::Seat { .. } if label == Label::Lease => {
                self.decode_lease(caller, slot, [a, b, c, d, e, f])
            }
            Cap::Frame { .. } | Cap::PageTable { .. } if label == Label::Map => {
                self.decode_map(caller, slot, [a, b, c])
            }
            Cap::Frame { .. } | Cap::PageTable { .. } if label == Label::Unmap => self.decode_unmap(slot),
            Cap::Notification { .. } => match label {
                Label::Signal => self.decode_signal(&cap),
                Label::Wait => self.decode_wait(&cap, Patience::Wait),
                Label::Poll => self.decode_wait(&cap, Patience::Try),
                _ => Err(ErrorKind::IllegalOperation.of(0)),
            },
            Cap::Reply { at } if label == Label::Send => Ok(Plan::Answer { at, sends: a }),
            Cap::Domain { at } => self.decode_domain(caller, at, label, [a, b, c]),
            Cap::Irq { number } => self.decode_irq(caller, number, label, a),
            Cap::Core { .. } if label == Label::Carve => self.decode_carve(caller, slot, [a, b, c, d, e]),
            Cap::Core { number } => match label {
                Label::Remote => self.decode_remote(number, args),
                Label::Inspect => self.decode_remote_answer(number),
                Label::Bind => self.decode_bind_core(caller, number, a),
                Label::Unbind => self.decode_unbind_core(number),
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

    fn decode_cnode(&self, caller: u64, cap: &Cap, label: Label, args: [u64; 10]) -> Result<Plan, Error> {
        let [index, depth, c, d, e, f, g, ..] = args;
        match label {
            Label::Copy => self.decode_copy(caller, cap, [index, depth, c, d, e, f], None),
            Label::Mint => self.decode_copy(caller, cap, [index, depth, c, d, e, f], Some(g)),
            Label::Move => self.decode_move(caller, cap, [index, depth, c, d, e], None),
            Label::Mutate => self.decode_move(caller, cap, [index, depth, c, d, e], Some(f)),
            Label::Rotate => self.decode_rotate(caller, cap, args),
            Label::Delete => Ok(Plan::Delete(self.lookup_slot(cap, index, depth, 1)?)),
            Label::Revoke => Ok(Plan::Revoke(self.lookup_slot(cap, index, depth, 1)?)),
            Label::CancelBadgedSends => self.decode_cancel(self.lookup_slot(cap, index, depth, 1)?),
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_endpoint(&self, caller: u64, cap: &Cap, label: Label, args: [u64; 4]) -> Result<Plan, Error> {
        let [a, b, c, sends] = args;
        let receive = |patience| self.decode_receive(caller, cap, patience, [a, b, c]);
        match label {
            Label::Send => self.decode_send(cap, Patience::Wait, false, a),
            Label::NBSend => self.decode_send(cap, Patience::Try, false, a),
            Label::Call => self.decode_send(cap, Patience::Wait, true, a),
            Label::Recv | Label::NBRecv => {
                let patience = if label == Label::Recv { Patience::Wait } else { Patience::Try };
                let receive = receive(patience)?;
                if !self.reply_is_free(receive.reply) {
                    // A caller is never dropped silently.
                    return Err(ErrorKind::IllegalOperation.of(1));
                }
                Ok(Plan::Receive(receive))
            }
            Label::ReplyRecv => {
                let receive = receive(Patience::Wait)?;
                if self.reply_has_receiver(receive.reply) {
                    return Err(ErrorKind::IllegalOperation.of(1));
                }
                Ok(Plan::AnswerReceive { receive, sends })
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
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }

    fn decode_irq(&self, caller: u64, number: u16, label: Label, address: u64) -> Result<Plan, Error> {
        let slot = Slot(self.tables.irq(number));
        match label {
            Label::Acknowledge => Ok(Plan::Acknowledge { number }),
            Label::Unbind => Ok(Plan::UnbindIrq { number }),
            Label::Bind => match self.lookup_cap(caller, address, 1)? {
                (source, cap @ Cap::Notification { rights, .. }) if rights.has(Rights::WRITE) => {
                    match self.cap(slot) {
                        Cap::Null => Ok(Plan::Insert { source, slot, cap }),
                        _ => Err(ErrorKind::DeleteFirst.of(0)),
                    }
                }
                _ => Err(ErrorKind::InvalidCapability.of(1)),
            },
            _ => Err(ErrorKind::IllegalOperation.of(0)),
        }
    }
}
