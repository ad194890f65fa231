//! A domain that begins, for the first time or anew: its image where it belongs, its registers as at boot; anew with memory that was zeroed,
//! other secrets, perhaps another image.
//!
//! Its memory is taken back in steps, between which interrupts are served; others who want to run have every second stretch of time. Of its
//! memory EL2 touches what its space maps where the manifest says, page by page: who builds partitions could have made anything else of the
//! rest. One that is to be cold is left there, stopped, with memory that is zero; when it is begun the next time there is nothing to take back.
//! Its channels stay as they are: who writes a ring anew goes on behind its predecessor (`ipc`).

use crate::arch::registers;
use crate::core_local::Core;
use crate::domain::hold;
use crate::hole::{Hole, hole};
use crate::ready::note;
use crate::{boot, memory, shared, traps};
use abi::bootinfo::{BOOTINFO_IPA, BootInfo, COLD_IMAGE, MEMORY_IPA};
use abi::handover::{Domain, ENTROPY, Segment};
use abi::hypercall::CORRUPT_PAGES;
use abi::manifest::Range;
use capability_model::memory::PAGE;
use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use core::mem::offset_of;

/// In place of an image: it stays cold.
pub const COLD: u64 = COLD_IMAGE as u64;
/// Pages scrubbed in one step.
const STEP: u64 = 32;

/// A domain whose memory is being taken back.
#[derive(Clone, Copy, Debug)]
pub struct Restart {
    at: u64,
    index: usize,
    partition: &'static Domain,
    /// Memory below is zero.
    next: u64,
}

/// Whether the domain with place `index - 1` in the manifest can begin anew with kernel `image` of the bundle, or as it is (0).
pub fn fits(index: u64, image: u64) -> bool {
    let find = || {
        let given = boot::plan()?.given;
        let partition = given.domains.get(usize::try_from(index).ok()?.checked_sub(1)?)?;
        let Some(place) = image.checked_sub(1).filter(|_| image != COLD) else { return Some(true) };
        Some(given.designs.get(usize::try_from(place).ok()?)?.fits(partition))
    };
    find().unwrap_or(false)
}

/// Begins to take back the memory of the first of those that are to begin anew; they were stopped. One at a time. Who begins for the first
/// time has memory that nobody used, and nobody is told.
pub fn begin(core: &mut Core) {
    let index = core.store.memory.restarts.trailing_zeros() as usize;
    let (Some(at), Some(partition), None) =
        (core.domain_of(index), core.plan.given.domains.get(index), core.restart)
    else {
        return;
    };
    core.store.memory.restarts &= !(1 << index);
    let mut restart = Restart { at, index, partition, next: partition.memory.base };
    if core.saved(at).hold & hold::NEW != 0 {
        return finish(core, &restart);
    }
    if shared::set_restarting(index) {
        restart.next = partition.memory.end();
    }
    traps::tell_of_change(core);
    core.restart = Some(restart);
    core.restart_again_at(0);
}

/// Whether the page at `page` of `partition`'s memory is mapped where it belongs in the space of the domain at `at`: then it is a frame, whatever
/// else was made of that memory.
fn has(core: &Core, at: u64, partition: &Domain, page: u64) -> bool {
    let ipa = page.wrapping_sub(partition.memory.base).wrapping_add(MEMORY_IPA);
    let space = core.store.domain_space(at);
    space.and_then(|(root, _)| core.store.translate(root, ipa)).is_some_and(|(there, _)| there == page)
}

fn partition(core: &Core, at: u64) -> Option<(usize, &'static Domain)> {
    let index = usize::try_from(core.saved(at).index).ok().and_then(|index| index.checked_sub(1))?;
    Some((index, core.plan.given.domains.get(index)?))
}

/// Flips a bit in each of the first pages of the domain at `at`; which, chance decides.
pub fn corrupt(core: &Core, at: u64) {
    let Some((_, partition)) = partition(core, at) else { return };
    let Range { base, size } = partition.memory;
    let mut chance = registers::now();
    for page in (base..base + size.min(CORRUPT_PAGES * PAGE)).step_by(PAGE as usize) {
        // Knuth's generator; its low bits are the poor ones.
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let byte = page + (chance >> 32) % PAGE;
        let mut value = [0];
        if has(core, at, partition, page) {
            memory::read(byte, &mut value);
            memory::write(byte, &[value[0] ^ 1 << (chance >> 61)]);
        }
    }
    registers::publish_code();
}

/// Scrubs some more; at the end the domain runs.
pub fn step(core: &mut Core) {
    let Some(mut restart) = core.restart else { return };
    let began = registers::now();
    let all = restart.partition.memory.end();
    let end = all.min(restart.next + STEP * PAGE);
    if !hole(Hole::Scrub) {
        let pages = (restart.next..end).step_by(PAGE as usize);
        pages.filter(|&page| has(core, restart.at, restart.partition, page)).for_each(registers::scrub);
    }
    let now = registers::now();
    restart.next = end;
    core.restart = (end < all).then_some(restart);
    // Until then others may run.
    core.restart_again_at(if end < all { now + (now - began) } else { u64::MAX });
    if core.restart.is_none() {
        finish(core, &restart);
    }
}

fn finish(core: &mut Core, restart: &Restart) {
    let Restart { at, index, partition, .. } = *restart;
    let given = core.plan.given;
    // Whether it fits was looked at when it was asked for.
    let image = core.saved(at).image as usize;
    let design = image.checked_sub(1).and_then(|place| given.designs.get(place));
    let cold = core.saved(at).hold & hold::COLD != 0;
    match design {
        _ if cold => {}
        Some(design) => copy(core, restart, &design.image, partition.memory.base),
        None => copy(core, restart, &partition.image, 0),
    }
    registers::publish_code();
    let anew = core.saved(at).hold & hold::NEW == 0;
    let restarts = renew_page(core, index, partition, design.map(|d| d.end), anew.into());
    shared::take_word(index);
    if let Some((_, vmid)) = core.store.domain_space(at) {
        registers::forget(vmid as u16, None);
    }
    let saved = core.saved_mut(at);
    saved.begin(&[design.map_or(partition.entry, |d| d.entry), 0, BOOTINFO_IPA, 0, 0, 0, 0, 0]);
    (saved.hold, saved.text) = (if cold { hold::DEAD } else { 0 }, 0);
    if !cold {
        core.store.resume(at);
        core.store.memory.note(note::NEWS);
    }
    if anew {
        shared::set_begun(index, restarts, cold);
        traps::tell_of_change(core);
    }
    // Who had to wait has its turn.
    core.gic.knock(core.id);
}

/// Copies an image into memory that is zero, at `base` and what the segments say. It is cleaned to memory: a kernel begins with its caches off.
fn copy(core: &Core, restart: &Restart, image: &[Segment], base: u64) {
    for s in image {
        let (mut to, end) = (base + s.to, base + s.to + s.size);
        while to < end {
            let page = to & !(PAGE - 1);
            let next = end.min(page + PAGE);
            if has(core, restart.at, restart.partition, page) {
                let from = s.from + (to - base - s.to);
                memory::write(to, memory::fixed(Range { base: from, size: next - to }));
                registers::clean(page);
            }
            to = next;
        }
    }
}

/// Its page tells it how many were before it, one more (`more`) than it told the last, and gives it secrets that its predecessor never had.
/// Answers how many.
fn renew_page(core: &Core, index: usize, partition: &Domain, image_end: Option<u64>, more: u64) -> u64 {
    let page = partition.boot_page;
    let mut restarts = [0; 8];
    memory::read(page + offset_of!(BootInfo, restarts) as u64, &mut restarts);
    let restarts = u64::from_le_bytes(restarts) + more;
    memory::write(page + offset_of!(BootInfo, restarts) as u64, &restarts.to_le_bytes());
    if let Some(end) = image_end {
        memory::write(page + offset_of!(BootInfo, image_end) as u64, &end.to_le_bytes());
    }
    if more != 0 && partition.is(ENTROPY) {
        let entropy = secret(&core.plan.given.secret, index as u64, restarts);
        memory::write(page + offset_of!(BootInfo, entropy) as u64, &entropy);
    }
    restarts
}

/// What domain `domain` gets at its restart number `restarts`: a block of ChaCha20's stream `domain` under EL2's own key.
fn secret(key: &[u8; 32], domain: u64, restarts: u64) -> [u8; 32] {
    let mut stream = ChaCha20Rng::from_seed(*key);
    stream.set_stream(domain);
    stream.set_block_pos(restarts);
    let mut secret = [0; 32];
    // Word by word: `fill_bytes` brings formatted panics along.
    secret.as_chunks_mut().0.iter_mut().for_each(|word| *word = stream.next_u32().to_le_bytes());
    secret
}
