//! Capability invocations (`abi::capability`): words out of registers, the model's decision, and what it means for registers and queues.

use crate::core_local::Core;
use crate::domain::{Frame, pending};
use crate::ready::note;
use crate::{fast, mail, memory, traps};
use abi::capability::{ABORTED, BUFFER_WORDS, DONE, ERROR_BASE, IN_PROGRESS, INVOKE};
use abi::capability::{MESSAGE, MESSAGE_WITH_CAPABILITY, SIGNAL, WIDE, label};
use capability_model::domain::Ending;
use capability_model::error::{Error, Transfer};
use capability_model::invoke::{Short, WORDS};
use capability_model::{Label, Outcome, Rights, Status};

/// Bits of x1 that count words of the message buffer.
const COUNT: u64 = 0x7f;

/// Whether the registers of the invocation are a message.
fn is_message(label: u64) -> bool {
    (label::SEND..=label::REPLY_RECV).contains(&label)
}

/// The words of an invocation as the model takes them.
fn words(frame: &Frame, label: u64) -> [u64; WORDS] {
    let x = &frame.x;
    match label {
        label::SEND | label::NB_SEND | label::CALL => [x[0], label, x[13], 0, 0, 0, 0, 0, 0, 0, 0, 0],
        label::RECV | label::NB_RECV => [x[0], label, x[13], x[15], x[16], 0, 0, 0, 0, 0, 0, 0],
        label::REPLY_RECV => [x[0], label, x[13], x[15], x[16], x[14], 0, 0, 0, 0, 0, 0],
        _ => [x[0], label, x[1], x[2], x[3], x[4], x[5], x[6], x[7], x[9], x[10], x[11]],
    }
}

/// A call of the current domain that [`fast`] leaves over; afterwards whoever runs next is at TPIDR_EL2.
#[inline(never)]
pub fn call(core: &mut Core) {
    let caller = core.current();
    let x = &core.saved(caller).frame.x;
    let (address, label) = (x[0], x[8].wrapping_sub(INVOKE));
    match core.store.invoke_at(caller, label, address, memory::frame_address(caller).wrapping_add(8)) {
        Short::Done => core.saved_mut(caller).frame.x[0] = DONE as u64,
        Short::Again => again(core, caller),
        Short::Long => return long(core, caller, label),
        Short::Refused(error) => refuse(core, caller, error),
    }
    let saved = core.saved_mut(caller);
    saved.exits = saved.exits.wrapping_add(1);
    if label == label::DELETE {
        mail::send(core);
    }
    if !core.goes_on() {
        settle(core);
    }
}

/// Somebody else may have to run.
#[inline(never)]
fn settle(core: &mut Core) {
    if !fast::gives_way(core) {
        core.dispatch();
    }
}

/// The same of what is not short; what is no invocation goes to `calls`.
#[inline(never)]
fn long(core: &mut Core, caller: u64, label: u64) {
    if Label::from_number(label).is_none() {
        return traps::from_lower(core, 0);
    }
    let saved = core.saved_mut(caller);
    saved.exits = saved.exits.wrapping_add(1);
    let words = words(&saved.frame, label);
    match core.store.invoke_long(caller, &words) {
        Ok(outcome) => took_effect(core, caller, label, outcome),
        Err(error) => refuse(core, caller, error),
    }
    mail::send(core);
    if !core.goes_on() {
        core.dispatch();
    }
}

fn refuse(core: &mut Core, caller: u64, error: Error) {
    let x = &mut core.saved_mut(caller).frame.x;
    x[0] = (ERROR_BASE as u64).wrapping_sub(error.word() & 0xff);
    x[13] = error.word() >> 8;
}

/// The same call again; interrupts are taken before.
fn again(core: &mut Core, caller: u64) {
    let frame = &mut core.saved_mut(caller).frame;
    frame.pc = frame.pc.wrapping_sub(4);
}

#[inline(never)]
fn took_effect(core: &mut Core, caller: u64, label: u64, outcome: Outcome) {
    let received = outcome.transfers.iter().flatten().any(|t| t.to == caller);
    let x = &mut core.saved_mut(caller).frame.x;
    match outcome.status {
        Status::Done => x[0] = DONE as u64,
        Status::Word(word) => {
            (x[0], x[13]) = (DONE as u64, word);
            if is_message(label) && !received {
                x[14] = SIGNAL;
            }
        }
        Status::InProgress => x[0] = IN_PROGRESS as u64,
        Status::Again => again(core, caller),
        Status::Blocked => {
            core.saved_mut(caller).pending = pending::RESULT;
            core.store.memory.note(note::STOPPED);
        }
    }
    outcome.transfers.into_iter().flatten().for_each(|transfer| deliver(core, transfer));
}

/// The current domain faulted: a message goes to its fault endpoint. False if it has none.
pub fn fault(core: &mut Core, syndrome: u64, address: u64) -> bool {
    let at = core.current();
    if !core.store.has_fault_endpoint(at) {
        return false;
    }
    if fast::fault(core, syndrome, address) {
        return true;
    }
    let saved = core.saved_mut(at);
    saved.fault = [syndrome, saved.frame.pc, address];
    saved.pending = pending::FAULT;
    core.store.memory.note(note::STOPPED);
    let outcome = core.store.fault(at);
    outcome.transfers.into_iter().flatten().for_each(|transfer| deliver(core, transfer));
    true
}

/// Copies a message between two domains' registers.
fn deliver(core: &mut Core, Transfer { from, to, badge }: Transfer) {
    let (_, _, capability) = core.store.domain_result(to);
    let source = core.saved(from);
    let faulted = source.pending == pending::FAULT;
    let (sent, fault) = (source.frame.x, source.fault);
    let target = core.saved_mut(to);
    if core::mem::replace(&mut target.pending, pending::NOTHING) == pending::FAULT {
        return target.frame.answer_fault(sent[2]);
    }
    let x = &mut target.frame.x;
    (x[0], x[13]) = (DONE as u64, badge);
    x[14] = if capability { MESSAGE_WITH_CAPABILITY } else { MESSAGE };
    if faulted {
        x[1..6].copy_from_slice(&[0, fault[0], fault[1], fault[2], 0]);
        return;
    }
    x[1..6].copy_from_slice(&sent[1..6]);
    if sent[1] & WIDE != 0 {
        x[6..8].copy_from_slice(&sent[6..8]);
        x[9..13].copy_from_slice(&sent[9..13]);
    }
    if sent[1] & COUNT != 0 {
        let copied = copy_buffer(core, from, to, (sent[1] & COUNT).min(BUFFER_WORDS));
        core.saved_mut(to).frame.x[1] = sent[1] & !COUNT | copied;
    }
}

/// Copies words from one message buffer to another; how many.
fn copy_buffer(core: &Core, from: u64, to: u64, words: u64) -> u64 {
    let find = |domain: u64, right: Rights| {
        let buffer = core.saved(domain).buffer;
        let (root, _) = core.store.domain_space(domain).filter(|_| buffer != 0)?;
        let (address, rights) = core.store.translate(root, buffer)?;
        rights.has(right).then_some(address)
    };
    match (find(from, Rights::READ), find(to, Rights::WRITE)) {
        (Some(from), Some(to)) => {
            memory::copy_words(from, to, words);
            words
        }
        _ => 0,
    }
}

/// Writes the result of a wait that is over into the registers of the domain that waited.
#[inline]
pub fn finish(core: &mut Core, at: u64) {
    let (ending, badge, _) = core.store.domain_result(at);
    let saved = core.saved_mut(at);
    if core::mem::replace(&mut saved.pending, pending::NOTHING) == pending::RESULT {
        let x = &mut saved.frame.x;
        x[0] = if ending == Ending::Fine { DONE as u64 } else { ABORTED as u64 };
        (x[13], x[14]) = (badge, SIGNAL);
    }
}
