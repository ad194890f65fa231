//! The way of a message when nothing stands in it: Call to a waiting receiver, ReplyRecv to a waiting caller, on one core. What is not
//! so is left to `traps`; nothing has changed then.
//!
//! The one who gets the message runs at once, on his own budget, if nobody of a better class wants to; the alarm stays as it is: it was set for
//! those who wait, and when it comes whoever runs gives way.

use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::{Saved, pending};
use crate::memory::{self, Direct};
use abi::capability::{DONE, INVOKE, MESSAGE, WIDE, label};
use abi::hypercall;

const NULL: u64 = hypercall::Call::Null as u64;
const CALL: u64 = INVOKE + label::CALL;
const REPLY_RECV: u64 = INVOKE + label::REPLY_RECV;

/// Exception classes (D13.2.37): SVC of a service, HVC of a kernel.
const SVC: u64 = 0x15;
const HVC: u64 = 0x16;

/// Tries. True if it is done and whoever runs now is at TPIDR_EL2.
#[inline(always)]
pub fn call(core: &mut Core) -> bool {
    let class = registers::syndrome() >> 26;
    if class != SVC && class != HVC {
        return false;
    }
    let caller = core.current();
    let saved = core.saved_mut(caller);
    let x = &mut saved.frame.x;
    match x[8] {
        CALL => {
            let (address, extra) = (x[0], x[1] & 0x7f | x[13]);
            if extra != 0 {
                return false;
            }
            let mask = core.store.memory.ready.mask;
            let met = core.store.call_at_once(caller, address, |memory, to| fits(memory.saved(to), mask));
            let Some(met) = met else { return false };
            switch(core, caller, met);
            true
        }
        REPLY_RECV => {
            let (address, reply, extra) = (x[0], x[13], x[1] & 0x7f | x[14] | x[16]);
            if extra != 0 {
                return false;
            }
            let mask = core.store.memory.ready.mask;
            let met = core
                .store
                .reply_receive_at_once(caller, address, reply, |memory, to| fits(memory.saved(to), mask));
            let Some(met) = met else { return false };
            switch(core, caller, met);
            true
        }
        NULL => {
            x[0] = 0;
            saved.exits = saved.exits.wrapping_add(1);
            true
        }
        _ => false,
    }
}

/// Whether the processor can become that domain's at once.
#[inline(always)]
fn fits(to: &Saved, mask: u64) -> bool {
    let better = mask & ((1 << (to.class & 1)) - 1);
    to.hold == 0 && to.left != 0 && better == 0 && to.pending == pending::RESULT
}

/// The rest of a message of ten words.
fn copy_wide(memory: &mut Direct, from: u64, to: u64) {
    let sent = memory.saved(from).frame.x;
    let x = &mut memory.saved_mut(to).frame.x;
    x[6..8].copy_from_slice(&sent[6..8]);
    x[9..13].copy_from_slice(&sent[9..13]);
}

/// Gives the message and the processor to the domain that was met: its page, the badge, its root table, its VMID.
#[inline(always)]
fn switch(core: &mut Core, from: u64, (to, badge, root, vmid): (u64, u64, u64, u64)) {
    let now = registers::ticks();
    let used = now.wrapping_sub(core.since);
    core.since = now;
    let memory = &mut core.store.memory;
    memory.current = to;
    registers::save_registers_at(memory::frame_address(to));
    let old = memory.saved_mut(from);
    old.left = old.left.saturating_sub(used);
    old.exits = old.exits.wrapping_add(1);
    old.pending = pending::RESULT;
    let kernel = old.kernel;
    let [_, m1, m2, m3, m4, m5, ..] = old.frame.x;
    let new = memory.saved_mut(to);
    new.pending = pending::NOTHING;
    let x = &mut new.frame.x;
    [x[0], x[1], x[2], x[3], x[4], x[5]] = [DONE as u64, m1, m2, m3, m4, m5];
    [x[13], x[14]] = [badge, MESSAGE];
    if m1 & WIDE != 0 {
        copy_wide(memory, from, to);
    }
    let new = memory.saved(to);
    let (thread, kernels) = (new.controls.thread[0], kernel | new.kernel);
    let vttbr = vmid << 48 | root;
    if kernels == 0 {
        let thread = registers::next_service(vttbr, thread);
        memory.saved_mut(from).controls.thread[0] = thread;
    } else {
        memory.saved_mut(from).controls = registers::Controls::now();
        core.load(to, vttbr);
    }
}
