//! A service that begins anew: its memory as at boot, other secrets.
//!
//! Provisional, as [`crate::plan`] is. It takes as long as zeroing the partition takes, with interrupts masked.

use crate::core_local::Core;
use crate::domain::{STATE_EL0, Saved};
use crate::{image, memory, shared, traps};
use abi::bootinfo::{BOOTINFO_IPA, BootInfo};
use core::mem::offset_of;

/// Restarts the domain at `at`, dead or alive. A kernel is not restarted: its EL1 state would have to go, and others wait for its votes.
pub fn service(core: &mut Core, at: u64) {
    let Saved { kernel, index, .. } = *core.saved(at);
    let Some(domain) = usize::try_from(index).ok().and_then(|index| index.checked_sub(1)) else { return };
    if kernel != 0 {
        return;
    }
    let plan = core.plan;
    let (start, partition) = (&plan.domains[domain], &plan.manifest.domains[domain]);
    image::load(partition, &start.image);
    // Its page tells it that it is not the first, and gives it secrets that its predecessor never had.
    let mut restarts = [0; 8];
    memory::read(start.page + offset_of!(BootInfo, restarts) as u64, &mut restarts);
    let restarts = u64::from_le_bytes(restarts) + 1;
    memory::write(start.page + offset_of!(BootInfo, restarts) as u64, &restarts.to_le_bytes());
    if partition.entropy {
        let mut hasher = blake3::Hasher::new_derive_key("tetrarch 2026 entropy of a restarted domain");
        hasher.update(&plan.secret).update(&(domain as u64).to_le_bytes()).update(&restarts.to_le_bytes());
        memory::write(start.page + offset_of!(BootInfo, entropy) as u64, hasher.finalize().as_bytes());
    }
    shared::take_word(domain);
    core.store.suspend(at);
    let controls = start.controls(false);
    let saved = core.saved_mut(at);
    saved.frame = Default::default();
    saved.float = Default::default();
    (saved.frame.pc, saved.frame.state, saved.frame.x[0]) = (start.entry, STATE_EL0, BOOTINFO_IPA);
    (saved.controls, saved.hold, saved.pending, saved.buffer, saved.text) = (controls, 0, 0, 0, 0);
    core.store.resume(at);
    core.news = true;
    shared::set_running(domain);
    traps::tell_of_change(core);
}
