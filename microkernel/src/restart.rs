//! A service that begins anew: its memory as at boot, other secrets.
//!
//! Provisional, as [`crate::plan`] is. It takes as long as zeroing the partition takes, with interrupts masked.

use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::{STATE_EL0, Saved};
use crate::ready::note;
use crate::{memory, root, shared, traps};
use abi::bootinfo::{BOOTINFO_IPA, BootInfo};
use abi::handover::{Domain, ENTROPY};
use abi::manifest::Range;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use core::mem::offset_of;

/// Restarts the domain at `at`, dead or alive. A kernel is not restarted: its EL1 state would have to go, and others wait for its votes.
pub fn service(core: &mut Core, at: u64) {
    let Saved { kernel, index, .. } = *core.saved(at);
    let Some(domain) = usize::try_from(index).ok().and_then(|index| index.checked_sub(1)) else { return };
    if kernel != 0 {
        return;
    }
    let given = core.plan.given;
    let Some(partition) = given.domains.get(domain) else { return };
    load(partition);
    // Its page tells it that it is not the first, and gives it secrets that its predecessor never had.
    let page = partition.boot_page;
    let mut restarts = [0; 8];
    memory::read(page + offset_of!(BootInfo, restarts) as u64, &mut restarts);
    let restarts = u64::from_le_bytes(restarts) + 1;
    memory::write(page + offset_of!(BootInfo, restarts) as u64, &restarts.to_le_bytes());
    if partition.is(ENTROPY) {
        let entropy = secret(&given.secret, domain as u64, restarts);
        memory::write(page + offset_of!(BootInfo, entropy) as u64, &entropy);
    }
    shared::take_word(domain);
    core.store.suspend(at);
    let controls = root::controls(partition, false);
    let saved = core.saved_mut(at);
    saved.frame = Default::default();
    (saved.frame.pc, saved.frame.state, saved.frame.x[0]) = (partition.entry, STATE_EL0, BOOTINFO_IPA);
    (saved.controls, saved.hold, saved.pending, saved.buffer, saved.text) = (controls, 0, 0, 0, 0);
    core.store.resume(at);
    core.store.memory.note(note::NEWS);
    shared::set_running(domain);
    traps::tell_of_change(core);
}

/// Zeroes a domain's memory and puts its image there. What the root task built lies as it does here, in order from the start of the
/// partition's memory.
fn load(domain: &Domain) {
    memory::zero(domain.memory);
    for s in domain.image.iter() {
        memory::write(s.to, memory::fixed(Range { base: s.from, size: s.size }));
    }
    registers::publish_code();
}

/// What domain `domain` gets at its restart number `restarts`: a block of ChaCha20's stream `domain` under EL2's own key.
fn secret(key: &[u8; 32], domain: u64, restarts: u64) -> [u8; 32] {
    let mut stream = ChaCha20Rng::from_seed(*key);
    stream.set_stream(domain);
    stream.set_block_pos(restarts);
    let mut secret = [0; 32];
    stream.fill_bytes(&mut secret);
    secret
}
