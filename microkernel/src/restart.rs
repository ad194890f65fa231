//! A domain that begins anew: its memory as at boot, its registers as at boot, other secrets, perhaps another image.
//!
//! Provisional, as [`crate::plan`] is. Its memory is taken back in steps, between which interrupts are served; others who want to run have
//! every second stretch of time. Its channels stay as they are: who writes a ring anew goes on behind its predecessor (`ipc`).

use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::{STATE_EL0, STATE_EL1, Saved, hold};
use crate::{image, memory, shared, traps};
use abi::bootinfo::{BOOTINFO_IPA, BootInfo};
use abi::hypercall::Inject;
use capability_model::memory::PAGE;
use core::mem::offset_of;

/// Pages scrubbed in one step.
const STEP: u64 = 32;

/// A domain whose memory is being taken back.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    at: u64,
    domain: usize,
    /// Memory below is zero.
    next: u64,
    /// Before that time others may run.
    pub due: u64,
}

/// Stops the domain at `at`, dead or alive, and begins to take its memory back. One at a time: another of this core waits in the mailbox.
pub fn begin(core: &mut Core, at: u64) {
    let Some(domain) = usize::try_from(core.saved(at).index).ok().and_then(|index| index.checked_sub(1))
    else {
        return;
    };
    if core.restart.is_some_and(|r| r.at != at) {
        return shared::post(core.id, domain, Inject::Restart);
    }
    core.store.suspend(at);
    core.keep(at, hold::DEAD);
    if core.saved(at).is_kernel() {
        registers::stop_guest_timer();
    }
    shared::set_restarting(domain);
    traps::tell_of_change(core);
    let next = core.plan.manifest.domains[domain].memory.base;
    core.restart = Some(Restart { at, domain, next, due: 0 });
    core.news = true;
}

/// Scrubs some more; at the end the domain runs.
pub fn step(core: &mut Core) {
    let Some(mut restart) = core.restart else { return };
    let began = registers::now();
    let memory = core.plan.manifest.domains[restart.domain].memory;
    let end = memory.end().min(restart.next + STEP * PAGE);
    (restart.next..end).step_by(PAGE as usize).for_each(registers::scrub);
    let now = registers::now();
    (restart.next, restart.due) = (end, now + (now - began));
    core.restart = (end < memory.end()).then_some(restart);
    if core.restart.is_none() {
        finish(core, &restart);
    }
}

fn finish(core: &mut Core, restart: &Restart) {
    let (plan, domain, at) = (core.plan, restart.domain, restart.at);
    let (start, partition) = (&plan.domains[domain], &plan.manifest.domains[domain]);
    // It was checked when it was asked for.
    let other = shared::image(domain).and_then(|index| plan.bundle.entry(index));
    let image = other.unwrap_or(start.image);
    image::copy(partition, &image);
    registers::publish_code();
    let restarts = renew_page(core, domain, image::end(&image));
    shared::take_word(domain);
    let Saved { kernel, .. } = *core.saved(at);
    if kernel != 0 {
        registers::forget_kernel();
        core.gic.forget_guest(plan.board.timer.virtual_intid);
    }
    if let Some((_, vmid)) = core.store.domain_space(at) {
        registers::forget(vmid as u16, None);
    }
    let controls = start.controls(plan.on_core(core.id).count() == 1);
    let saved = core.saved_mut(at);
    saved.frame = Default::default();
    saved.frame.state = if kernel != 0 { STATE_EL1 } else { STATE_EL0 };
    (saved.frame.pc, saved.frame.x[0]) = (image.entry, BOOTINFO_IPA);
    (saved.controls, saved.hold, saved.pending, saved.buffer, saved.text) = (controls, 0, 0, 0, 0);
    core.store.resume(at);
    core.news = true;
    shared::set_running(domain, restarts);
    traps::tell_of_change(core);
    // Who had to wait has its turn.
    core.gic.knock(core.id);
}

/// Its page tells it that it is not the first, and gives it secrets that its predecessor never had. Answers how often it was restarted.
fn renew_page(core: &Core, domain: usize, image_end: u64) -> u64 {
    let (plan, page) = (core.plan, core.plan.domains[domain].page);
    let mut restarts = [0; 8];
    memory::read(page + offset_of!(BootInfo, restarts) as u64, &mut restarts);
    let restarts = u64::from_le_bytes(restarts) + 1;
    memory::write(page + offset_of!(BootInfo, restarts) as u64, &restarts.to_le_bytes());
    memory::write(page + offset_of!(BootInfo, image_end) as u64, &image_end.to_le_bytes());
    if plan.manifest.domains[domain].entropy {
        let mut hasher = blake3::Hasher::new_derive_key("tetrarch 2026 entropy of a restarted domain");
        hasher.update(&plan.secret).update(&(domain as u64).to_le_bytes()).update(&restarts.to_le_bytes());
        memory::write(page + offset_of!(BootInfo, entropy) as u64, hasher.finalize().as_bytes());
    }
    restarts
}
