//! A service that begins anew: its memory as at boot, other secrets.
//!
//! Provisional, as [`crate::plan`] is. It takes as long as zeroing the partition takes, with interrupts masked.

use crate::core_local::{Core, Task};
use crate::{memory, plan, shared, traps};
use abi::bootinfo::BootInfo;
use abi::manifest::DomainKind;
use core::mem::offset_of;

/// Restarts task `index` of this core, dead or alive. A kernel is not restarted: its EL1 state would have to go, and others wait for its votes.
pub fn service(core: &mut Core, index: usize) {
    let task = &core.tasks[index];
    let (domain, vttbr) = (task.domain, task.vttbr());
    if task.kind != DomainKind::Service {
        return;
    }
    let plan = core.plan;
    let (start, partition) = (&plan.domains[domain], &plan.manifest.domains[domain]);
    plan::load(partition, &start.image);
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
    core.tasks[index] = Task::start(domain, partition.kind, start.entry, vttbr);
    if core.current == Some(index) {
        core.current = None;
    }
    shared::set_running(domain);
    traps::tell_of_change(core);
}
