//! The way of a message when nothing stands in it: Call to a waiting receiver, ReplyRecv to a waiting caller, on one core. What is not
//! so is left to `invoke` and `traps`; nothing has changed then.
//!
//! The one who gets the message runs at once, on his own budget, if nobody of a better class wants to; the alarm stays as it is: it was set for
//! those who wait, and when it comes whoever runs gives way.

use crate::arch::float::allow;
use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::pending;
use crate::hole::{Hole, hole};
use crate::ready::{BACKGROUND, WOKEN};
use crate::{invoke, memory, traps};
use abi::capability::{DONE, INVOKE, MESSAGE, WIDE, label};
use abi::hypercall;
use capability_model::fast::Meeting;

const NULL: u64 = hypercall::Call::Null as u64;
const CALL: u64 = INVOKE + label::CALL;
const REPLY_RECV: u64 = INVOKE + label::REPLY_RECV;

/// Bits of x1 that count words of the message buffer.
const COUNT: u64 = 0x7f;

/// Exception classes (D13.2.37): SVC of a service, HVC of a kernel.
const SVC: u64 = 0x15;
const HVC: u64 = 0x16;

/// A synchronous exception from below; afterwards whoever runs is at TPIDR_EL2. What is not such a call goes on to where it belongs.
#[inline(always)]
pub fn call(core: &mut Core) {
    let class = registers::syndrome() >> 26;
    if class != SVC && class != HVC {
        return traps::from_lower(core, 0);
    }
    let caller = core.current();
    let x = &core.saved(caller).frame.x;
    let met = match x[8] {
        CALL if x[1] & COUNT | x[13] == 0 => match core.store.call_meets(caller, x[0]) {
            Some(met) if fits(core, met.peer) => {
                core.store.call_met(caller, met);
                met
            }
            _ => return invoke::call(core),
        },
        REPLY_RECV if x[1] & COUNT | x[14] | x[16] == 0 => {
            match core.store.reply_meets(caller, x[0], x[13]) {
                Some(met) if fits(core, met.peer) => {
                    core.store.reply_met(caller, met);
                    met
                }
                _ => return invoke::call(core),
            }
        }
        NULL => {
            let saved = core.saved_mut(caller);
            saved.frame.x[0] = 0;
            saved.exits = saved.exits.wrapping_add(1);
            return;
        }
        number if number < INVOKE => return traps::from_lower(core, 0),
        _ => return invoke::call(core),
    };
    let [_, m1, m2, m3, m4, m5, ..] = core.saved(caller).frame.x;
    give(core, caller, met, [m1, m2, m3, m4, m5]);
    hand_over(core, caller, met.peer, met.space, registers::ticks());
}

/// A fault of the current domain as a message; the words are syndrome and address. True if its handler runs now.
pub fn fault(core: &mut Core, syndrome: u64, address: u64) -> bool {
    let at = core.current();
    let Some(met) = core.store.fault_meets(at).filter(|met| fits(core, met.peer)) else { return false };
    core.store.call_met(at, met);
    let pc = core.frame().pc;
    give(core, at, met, [0, syndrome, pc, address, 0]);
    hand_over_rarely(core, at, met.peer, met.space, registers::ticks());
    core.saved_mut(at).pending = pending::FAULT;
    true
}

/// Whether the processor can become that domain's at once.
#[inline(always)]
fn fits(core: &Core, to: u64) -> bool {
    let to = core.saved(to);
    let better = core.store.memory.ready.mask & to.class;
    to.hold | better == 0 && to.left != 0 && to.pending != pending::NOTHING
}

// A class is the mask of the better queues: 0 has none, 1 has queue 0.
const _: () = assert!(BACKGROUND == 2);

/// Gives the message to the domain that was met.
#[inline(always)]
fn give(core: &mut Core, from: u64, met: Meeting, [m1, m2, m3, m4, m5]: [u64; 5]) {
    let to = met.peer;
    let memory = &mut core.store.memory;
    let old = memory.saved_mut(from);
    old.exits = old.exits.wrapping_add(1);
    old.pending = pending::RESULT;
    let new = memory.saved_mut(to);
    if core::mem::replace(&mut new.pending, pending::NOTHING) == pending::FAULT {
        new.frame.answer_fault(m2);
    } else {
        let x = &mut new.frame.x;
        [x[0], x[1], x[2], x[3], x[4], x[5]] = [DONE as u64, m1, m2, m3, m4, m5];
        (x[13], x[14]) = (met.badge, MESSAGE);
        if m1 & WIDE != 0 || hole(Hole::Message) {
            let [_, _, _, _, _, _, m6, m7, _, m9, m10, m11, m12, ..] = memory.saved(from).frame.x;
            let x = &mut memory.saved_mut(to).frame.x;
            [x[6], x[7], x[9], x[10], x[11], x[12]] = [m6, m7, m9, m10, m11, m12];
        }
    }
}

/// The current domain woke somebody of a better class by an invocation, and nothing else has happened: if he is the only one who wants to run
/// before it, the processor is his. False if that is for `Core::dispatch` to decide; nothing has changed then.
#[inline(always)]
pub fn gives_way(core: &mut Core) -> bool {
    let memory = &core.store.memory;
    let (from, mask) = (memory.current, memory.ready.mask);
    let Some(to) = memory.first(WOKEN) else { return false };
    let (old, new) = (memory.saved(from), memory.saved(to));
    let now = registers::ticks();
    let used = now.wrapping_sub(core.since);
    // Class n is queue n.
    let alone = mask >> WOKEN == 1 && new.next == 0 && mask & ((2 << new.class) - 1) == 0;
    let lives = new.left != 0 && new.hold == 0 && old.left > used;
    if !alone || !lives || new.class >= old.class || !core.store.is_runnable(to) {
        return false;
    }
    let Some(space) = core.store.domain_space(to) else { return false };
    let (queue, left) = (old.class, new.left);
    let memory = &mut core.store.memory;
    memory.dequeue(to);
    memory.enqueue(from, queue);
    invoke::finish(core, to);
    hand_over_rarely(core, from, to, space, now);
    core.slice_begins(now, left);
    true
}

/// [`hand_over`] once for all but the shortest way.
#[inline(never)]
fn hand_over_rarely(core: &mut Core, from: u64, to: u64, space: (u64, u64), now: u64) {
    hand_over(core, from, to, space, now);
}

/// The processor becomes that of `to`, in `space`.
#[inline(always)]
fn hand_over(core: &mut Core, from: u64, to: u64, space: (u64, u64), now: u64) {
    let used = now.wrapping_sub(core.since);
    core.since = now;
    let memory = &mut core.store.memory;
    memory.current = to;
    registers::save_registers_at(memory::frame_address(to));
    let old = memory.saved_mut(from);
    old.left = old.left.saturating_sub(used);
    let kernel = old.kernel;
    let new = memory.saved(to);
    let vttbr = space.1 << 48 | space.0;
    let controls = &new.controls;
    let float = memory.float;
    match (kernel != 0, new.kernel != 0) {
        (false, false) => {
            let thread = registers::next_service(vttbr, controls.thread[0]);
            // As it is for whoever is no owner.
            if float != 0 && (float == from || float == to) {
                allow(float == to);
            }
            memory.saved_mut(from).controls.thread[0] = thread;
        }
        (true, false) => {
            let controls = registers::kernel_to_service(vttbr, controls.thread[0], float == to);
            memory.saved_mut(from).controls = controls;
        }
        (false, true) if memory.loaded == to => {
            let thread = registers::service_to_kernel(vttbr, controls, float == to);
            memory.saved_mut(from).controls.thread[0] = thread;
        }
        (_, true) => {
            memory.saved_mut(from).controls = registers::Controls::now();
            core.load(to, vttbr);
        }
    }
}
