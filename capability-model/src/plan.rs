//! What decoding ends in: everything looked up and checked. Decoding takes the store by shared reference and performing cannot
//! fail, so "the whole effect, or an error and no change" is held by the types.

use crate::cap::Leased;
use crate::derivation::Altered;
use crate::error::{Outcome, Status};
use crate::layout::{domain, notification};
use crate::memory::{Memory, Registers, Slot};
use crate::store::Store;
use crate::untyped::Kind;

/// Whether the caller waits if it must.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// It waits.
    Wait,
    /// It goes on.
    Try,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Send {
    pub at: u64,
    pub badge: u64,
    pub manner: u64,
    pub patience: Patience,
    pub sends: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Receive {
    pub at: u64,
    pub reply: u64,
    pub patience: Patience,
    pub index: u64,
    pub depth: u64,
    pub manner: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Retype {
    pub untyped: Slot,
    pub kind: Kind,
    pub first: Slot,
    pub count: u64,
    pub start: u64,
    pub stride: u64,
    pub reset: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lend {
    pub source: Slot,
    pub slot: Slot,
    pub peer: u8,
    pub number: u8,
    pub what: Leased,
    pub seat: u8,
    pub base: u64,
    pub size: u64,
    pub to_index: u64,
    pub to_depth: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seal {
    pub at: u64,
    pub first: Slot,
    pub count: u64,
    pub threshold: u64,
    pub seats: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endorse {
    pub at: u64,
    pub seat: u8,
    pub epoch: u64,
    pub sequence: u64,
    pub act: [u64; 5],
    /// The seats that agree, if they are enough.
    pub acts: Option<u64>,
}

/// Where a frame or table shall be mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Map {
    /// Address of the descriptor.
    pub entry: u64,
    pub ipa: u64,
    /// The space, as a slot has it.
    pub who: u64,
    pub how: u64,
}

/// A checked invocation that moves a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    Send(Send),
    Receive(Receive),
    Answer { at: u64, sends: u64 },
    AnswerReceive { receive: Receive, sends: u64 },
}

/// A checked invocation, of those that [`Store::invoke_long`] knows. With `Ask` the words of the invocation go along.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)] // As `Cap`.
pub(crate) enum Plan {
    Insert { source: Slot, slot: Slot, cap: Altered },
    Rotate { slot: Slot, pivot: Slot, source: Slot, pivot_cap: Altered, source_cap: Altered },
    Revoke(Slot),
    CancelBadgedSends { at: u64, badge: u64 },
    Message(Message),
    Wait { at: u64, patience: Patience },
    Configure { at: u64, sources: [Slot; 3] },
    BindNotification { at: u64, notification: u64 },
    UnbindNotification { at: u64 },
    WriteRegisters { at: u64, registers: Registers },
    Resume { at: u64 },
    Suspend { at: u64 },
    Restart { at: u64, image: u64 },
    Acknowledge { number: u16 },
    UnbindIrq { number: u16 },
    Carve { core: Slot, slot: Slot, budget_us: u64, period_us: u64 },
    Reshare { slot: Slot, budget_us: u64, period_us: u64 },
    BindContext { slot: Slot, at: u64 },
    UnbindContext { at: u64 },
    Lend(Lend),
    IssueSeat { source: Slot, slot: Slot, at: u64, number: u8 },
    Seal(Seal),
    Endorse(Endorse),
    EndorseRemotely { peer: u8, index: u8, endorsement: [u64; 7] },
    NewEpoch { at: u64, threshold: u64, seats: u64 },
    Retype(Retype),
    Answered(u64),
    Ask { peer: u8 },
    Remotely(Status),
    UnbindCore(Slot),
    Serve { peer: u8, at: u64 },
}

impl<M: Memory> Store<M> {
    /// Carries out what was checked; a long one in part. What moves messages is for `perform_message`.
    #[inline]
    pub(crate) fn perform(&mut self, caller: u64, plan: &Plan) -> Status {
        match *plan {
            Plan::Insert { source, slot, cap } => self.insert(source, slot, cap),
            Plan::Rotate { slot, pivot, source, pivot_cap, source_cap } => {
                self.rotate(slot, pivot, source, pivot_cap, source_cap);
            }
            Plan::Revoke(slot) => return self.revoke(slot),
            Plan::CancelBadgedSends { at, badge } => return self.cancel_badged_sends(at, badge),
            Plan::Lend(lend) => self.lend(lend),
            Plan::IssueSeat { source, slot, at, number } => self.issue_seat(source, slot, at, number),
            Plan::Seal(seal) => self.seal(seal),
            Plan::Endorse(endorse) => self.endorse(endorse),
            Plan::EndorseRemotely { peer, index, endorsement } => {
                self.endorse_remotely(peer, index, endorsement);
            }
            Plan::NewEpoch { at, threshold, seats } => self.new_epoch(at, threshold, seats),
            Plan::Retype(ref retype) => return self.retype(retype),
            Plan::Answered(word) => return Status::Word(word),
            Plan::Remotely(status) => return status,
            Plan::UnbindCore(slot) => self.empty_slot(slot),
            Plan::Serve { peer, at } => self.serve(peer, at),
            Plan::Wait { at, patience } => return self.wait(caller, at, patience),
            _ => self.perform_for_domains(plan),
        }
        Status::Done
    }

    /// The part about domains, interrupts and time.
    fn perform_for_domains(&mut self, plan: &Plan) {
        match *plan {
            Plan::Configure { at, sources } => self.configure(at, sources),
            Plan::BindNotification { at, notification: bound } => {
                self.set_word(at, domain::NOTIFICATION, bound);
                self.set_word(bound, notification::BOUND, at);
            }
            Plan::UnbindNotification { at } => {
                let bound = self.word(at, domain::NOTIFICATION);
                if bound != 0 {
                    self.unbind(bound);
                }
            }
            Plan::WriteRegisters { at, ref registers } => self.memory.set_registers(at, registers),
            Plan::Resume { at } => self.resume(at),
            Plan::Suspend { at } => self.suspend(at),
            Plan::Restart { at, image } => self.restart(at, image),
            Plan::Acknowledge { number } => self.memory.unmask(number),
            Plan::UnbindIrq { number } => self.empty_slot(Slot(self.tables.irq(number))),
            Plan::Carve { core, slot, budget_us, period_us } => self.carve(core, slot, budget_us, period_us),
            Plan::Reshare { slot, budget_us, period_us } => self.reshare(slot, budget_us, period_us),
            Plan::BindContext { slot, at } => self.bind_context(slot, at),
            Plan::UnbindContext { at } => self.unbind_context(at),
            // The rest was performed by the caller of this function.
            _ => {}
        }
    }

    /// The part that moves messages. Not inlined, so that what it answers with is written once and never copied.
    #[inline(never)]
    pub(crate) fn perform_message(&mut self, caller: u64, message: Message) -> Outcome {
        match message {
            Message::Send(send) => self.send(caller, send),
            Message::Receive(receive) => self.receive(caller, receive),
            Message::Answer { at, sends } => {
                let transfer = self.answer(caller, at, sends);
                Outcome { status: Status::Done, transfers: [transfer, None] }
            }
            Message::AnswerReceive { receive, sends } => {
                let answered = match receive.reply {
                    0 => None,
                    at => self.answer(caller, at, sends),
                };
                let Outcome { status, transfers: [received, _] } = self.receive(caller, receive);
                Outcome { status, transfers: [answered, received] }
            }
        }
    }
}
