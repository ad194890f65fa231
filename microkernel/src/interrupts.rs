//! Interrupts of one core, taken one after the other by polling: also those that end EL2's own sleep.

use crate::arch::registers;
use crate::core_local::{Activity, Core, STATE_EL1, Task};
use crate::gic::{Gic, SGI_KNOCK, Taken};
use crate::plan::Plan;
use crate::{restart, shared};
use abi::hypercall::{Inject, NOTIFY_IRQ};
use abi::manifest::DomainKind;

/// Where an injected crash continues: no device, no memory, in no domain's plan (bootinfo.rs).
const NOWHERE: u64 = 0x0dea_d000;

/// This core's interrupt controller, with everything on that its domains need.
pub fn start(plan: &Plan, core: usize) -> Gic {
    let board = &plan.board;
    let private = [SGI_KNOCK, board.timer.hypervisor_intid, board.gic.maintenance, board.timer.virtual_intid];
    let kernel = plan.on_core(core).any(|(_, d)| d.kind == DomainKind::Personality);
    let enabled = if kernel { &private[..] } else { &private[..2] };
    let gic = Gic::start(&board.gic, enabled);
    for (_, domain) in plan.on_core(core) {
        domain.devices.iter().filter(|d| d.intid != 0).for_each(|d| gic.claim_device(d.intid));
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
    let board = &core.plan.board;
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
            core.gic.timer_to_guest(i);
        }
        i if i == board.gic.maintenance => {
            core.gic.maintain(board.timer.virtual_intid);
            core.gic.end(taken);
        }
        i => {
            core.gic.mask(i);
            core.gic.end(taken);
            let owner = |t: &Task| core.plan.manifest.domains[t.domain].devices.iter().any(|d| d.intid == i);
            if let Some(domain) = core.tasks.iter().find(|t| owner(t)).map(|t| t.domain) {
                notify(core, domain, 1 << NOTIFY_IRQ);
            }
        }
    }
}

/// Sets bits of a domain's word, on whatever core it is, and sees to it that it finds out.
pub fn notify(core: &mut Core, domain: usize, bits: u64) {
    let was_empty = shared::ring(domain, bits);
    let Some(target) = core.plan.manifest.domains.get(domain).map(|d| d.core as usize) else { return };
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
    let kernel = core.plan.manifest.domains.get(domain).is_some_and(|d| d.kind == DomainKind::Personality);
    let running =
        |t: &Task| t.domain == domain && matches!(t.activity, Activity::Runnable | Activity::Asleep);
    if kernel && core.tasks.iter().any(running) {
        core.gic.doorbell_to_guest();
    }
}

fn knocked(core: &mut Core) {
    let mail = Inject::ALL.map(|kind| (kind, shared::take_mail(core.id, kind)));
    for i in 0..core.tasks.len() {
        let domain = core.tasks[i].domain;
        for (kind, _) in mail.iter().filter(|(_, domains)| domains >> domain & 1 == 1) {
            inject(core, i, *kind);
        }
        if shared::has_word(domain) {
            rung(core, domain);
        }
    }
}

/// Causes a fault in task `index` of this core.
pub fn inject(core: &mut Core, index: usize, kind: Inject) {
    if core.tasks[index].activity == Activity::Dead && kind != Inject::Restart {
        return;
    }
    defmt::warn!("on demand in domain {=usize}: {=u64}", core.tasks[index].domain, kind as u64);
    match kind {
        Inject::Hang => core.tasks[index].activity = Activity::Dead,
        Inject::Pause => core.tasks[index].paused = true,
        Inject::Resume => core.tasks[index].paused = false,
        Inject::Restart => restart::service(core, index),
        Inject::Crash => {
            core.tasks[index].activity = Activity::Runnable;
            let kernel = core.tasks[index].kind == DomainKind::Personality;
            let frame = core.frame_of(index);
            frame.pc = NOWHERE;
            if kernel {
                // Whatever program it ran: it is the kernel that goes astray.
                frame.state = STATE_EL1;
                core.watch();
            }
        }
    }
}
