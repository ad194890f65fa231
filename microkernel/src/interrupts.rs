//! Interrupts of one core, taken one after the other by polling: also those that end EL2's own sleep.

use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::{STATE_EL1, hold};
use crate::gic::{Gic, SGI_KNOCK, Taken};
use crate::plan::Plan;
use crate::ready::note;
use crate::{mail, restart, shared};
use abi::bootinfo::DOMAINS_MAX;
use abi::handover::KERNEL;
use abi::hypercall::{Inject, NOTIFY_IRQ};

/// Where an injected crash continues: no device, no memory, in no domain's plan (bootinfo.rs).
const NOWHERE: u64 = 0x0dea_d000;

/// This core's interrupt controller, with everything on that its domains need.
pub fn start(plan: &Plan, core: usize) -> Gic {
    let board = &plan.given.board;
    let private = [SGI_KNOCK, board.timer.hypervisor_intid, board.gic.maintenance, board.timer.virtual_intid];
    let kernel = plan.on_core(core).any(|(_, d)| d.is(KERNEL));
    let enabled = if kernel { &private[..] } else { &private[..2] };
    let gic = Gic::start(&board.gic, enabled, board.timer.virtual_intid);
    for (_, domain) in plan.on_core(core) {
        domain.interrupts.iter().filter(|i| **i != 0).for_each(|&i| gic.claim_device(i));
    }
    gic
}

/// Serves all pending interrupts.
pub fn serve(core: &mut Core) {
    while let Some(taken) = core.gic.take() {
        one(core, taken);
    }
}

fn one(core: &mut Core, taken: Taken) {
    let board = &core.plan.given.board;
    match taken.intid() {
        SGI_KNOCK => {
            core.gic.end(taken);
            knocked(core);
        }
        i if i == board.timer.hypervisor_intid => {
            registers::alarm(u64::MAX);
            core.gic.end(taken);
            core.alarm_fired();
        }
        i if i == board.timer.virtual_intid => {
            // It stays active until the guest has ended it (`Gic::maintain`).
            core.gic.drop_priority(taken);
            core.gic.timer_to_guest();
        }
        i if i == board.gic.maintenance => {
            core.gic.maintain();
            core.gic.end(taken);
        }
        i => {
            core.gic.mask(i);
            core.gic.end(taken);
            let owner = core.plan.on_core(core.id).find(|(_, d)| d.has_interrupt(i));
            match owner.map(|(domain, _)| domain) {
                Some(domain) => notify(core, domain, 1 << NOTIFY_IRQ),
                // Nobody is bound: it stays masked.
                None => _ = core.store.interrupt(i as u16),
            }
        }
    }
}

/// Sets bits of a domain's word, on whatever core it is, and sees to it that it finds out.
pub fn notify(core: &mut Core, domain: usize, bits: u64) {
    let Some(target) = core.plan.given.domains.get(domain).map(|d| d.core as usize) else { return };
    let was_empty = shared::ring(domain, bits);
    if target == core.id {
        if was_empty {
            rung(core, domain);
        }
    } else if was_empty {
        core.gic.knock(target);
    }
}

/// A word of a domain on this core is no longer empty. Those who wait are woken by `dispatch`.
fn rung(core: &mut Core, domain: usize) {
    let kernel = core.plan.given.domains.get(domain).is_some_and(|d| d.is(KERNEL));
    core.store.memory.note(note::NEWS);
    let Some(at) = core.domain_of(domain).filter(|_| kernel) else { return };
    if core.saved(at).hold & (hold::WAITS | hold::DEAD) == 0 {
        if core.store.memory.loaded == at {
            core.gic.doorbell_to_guest();
        } else {
            core.saved_mut(at).interrupts.ring();
        }
    }
}

fn knocked(core: &mut Core) {
    let post = shared::take_post(core.id);
    if post & shared::ON_DEMAND != 0 {
        on_demand(core);
    }
    for i in 0..DOMAINS_MAX {
        let Some(&at) = core.domains.get(i) else { break };
        let domain = core.saved(at).index as usize - 1;
        if shared::has_word(domain) {
            rung(core, domain);
        }
    }
    if post & !shared::ON_DEMAND != 0 {
        mail::receive(core, post);
    }
    restart::begin(core);
}

/// Does to the domains of this core what was asked of it.
fn on_demand(core: &mut Core) {
    let mail = Inject::ALL.map(|kind| (kind, shared::take_mail(core.id, kind)));
    for i in 0..DOMAINS_MAX {
        let Some(&at) = core.domains.get(i) else { break };
        let domain = core.saved(at).index as usize - 1;
        for (kind, _) in mail.iter().filter(|(_, domains)| domains >> domain & 1 == 1) {
            inject(core, at, *kind);
        }
    }
}

/// Causes a fault in the domain at `at` of this core.
pub fn inject(core: &mut Core, at: u64, kind: Inject) {
    let saved = core.saved(at);
    if saved.hold & hold::DEAD != 0 {
        return;
    }
    defmt::warn!("on demand in domain {=u64}: {=u64}", saved.index, kind as u64);
    match kind {
        Inject::Hang => core.keep(at, hold::DEAD),
        Inject::Pause => core.keep(at, hold::PAUSED),
        Inject::Resume => core.release(at, hold::PAUSED),
        Inject::Corrupt => restart::corrupt(core, at),
        Inject::Crash => {
            core.release(at, hold::WAITS | hold::ASLEEP);
            let saved = core.saved_mut(at);
            let (kernel, frame) = (saved.is_kernel(), &mut saved.frame);
            frame.pc = NOWHERE;
            if kernel {
                // Whatever program it ran: it is the kernel that goes astray.
                frame.state = STATE_EL1;
                core.watch();
            }
        }
    }
}
