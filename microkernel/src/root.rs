//! What a core's capability store begins with, and what the root task is given: on each core the domains there, and the memory of those that it builds.
//!
//! The boot core takes the memory (`Pages::allocate`), each core fills its own. Domains get their time by the same invocations that anybody
//! would make, in the name of the core's first domain: the root task on the core that has it, elsewhere an agent that never runs.

use crate::arch::registers::Controls;
use crate::domain::hold;
use crate::memory::Direct;
use crate::plan::Plan;
use crate::tables;
use abi::bootinfo::{BOOTINFO_IPA, DOMAINS_MAX};
use abi::capability::{label, root};
use abi::handover::{BUILDS, BUILT_ABOVE, COLD, KERNEL, MANAGES, ZEROED};
use abi::manifest::Range;
use capability_model::cap::cnode_size;
use capability_model::layout::{IRQS_MAX, TABLES_SIZE};
use capability_model::memory::{PAGE, SLOT};
use capability_model::{Cap, Slot, Status, Store};
use heapless::Vec;

/// Microseconds in which a domain that EL2 built gets its share of the core. The root task shares out what is left.
const PERIOD_US: u64 = 10_000;

/// Memory of one core's store: its tables, its first CNode, and its agent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pages {
    tables: u64,
    cnode: u64,
    agent: u64,
}

impl Pages {
    /// Boot core only. `None`: no pages are left.
    pub fn allocate() -> Option<Pages> {
        let tables = tables::allocate_many(TABLES_SIZE / PAGE)?;
        let cnode = tables::allocate_many(cnode_size(root::RADIX as u8).div_ceil(PAGE))?;
        Some(Pages { tables, cnode, agent: tables::allocate_many(1)? })
    }
}

/// The store of core `id`, and its domains of the manifest.
pub fn store(id: usize, plan: &Plan, direct: Direct) -> (Store<Direct>, Vec<u64, DOMAINS_MAX>) {
    let pages = plan.stores.get(id).copied().unwrap_or_default();
    let mut store = Store::new(direct, id as u8, pages.tables);
    let slot = |n: u64| Slot(pages.cnode + n * SLOT);
    let guard_bits = 64 - root::RADIX as u8;
    store.install(
        slot(root::CNODE),
        Cap::CNode { at: pages.cnode, radix: root::RADIX as u8, guard: 0, guard_bits },
    );
    store.install(slot(root::CORE), Cap::Core { number: id as u8 });
    store.receive_leases_in(slot(root::CNODE));
    let mut domains = Vec::new();
    let mut first = pages.agent;
    for (index, domain) in plan.on_core(id) {
        let Some(&start) = plan.places.get(index) else { break };
        let kernel = domain.is(KERNEL);
        let saved = store.memory.saved_mut(start.at);
        (saved.kernel, saved.class) = (kernel.into(), kernel.into());
        saved.index = index as u64 + 1;
        // A kernel that is not alone gives its core away when it sleeps.
        saved.controls = if plan.on_core(id).count() == 1 { Controls::KERNEL } else { Controls::LODGED };
        saved.begin(&[domain.entry, 0, BOOTINFO_IPA, 0, 0, 0, 0, 0]);
        let n = index as u64;
        store.install(slot(root::DOMAINS + n), Cap::Domain { at: start.at });
        assert!(store.install_space(slot(root::SPACES + n), start.root), "a VMID for each domain");
        if domain.is(MANAGES) {
            first = start.at;
        }
        if domain.is(BUILT_ABOVE) {
            let Range { base, size } = domain.memory;
            let clean = if domain.is(ZEROED) { size } else { 0 };
            let untyped = Cap::Untyped { base, size, free: 0, clean, device: false };
            store.install(slot(root::MEMORY + n), untyped);
            store.memory.saved_mut(start.at).hold = hold::NEW;
        }
        if domain.is(COLD) {
            store.memory.saved_mut(start.at).hold = hold::DEAD;
        }
        assert!(domains.push(start.at).is_ok(), "no more domains than in the manifest");
    }
    if first == pages.agent {
        let root_task = plan.given.domains.iter().find(|d| d.is(MANAGES));
        root_task.into_iter().for_each(|d| store.serve(d.core as u8, first));
        store.install(slot(root::AGENT), Cap::Domain { at: first });
    } else {
        give_the_rest(&mut store, plan, slot);
    }
    store.configure_boot_domain(first, slot(root::CNODE));
    start(&mut store, plan, first);
    (store, domains)
}

/// Free RAM, the other cores and unused interrupts, for the root task.
fn give_the_rest(store: &mut Store<Direct>, plan: &Plan, slot: impl Fn(u64) -> Slot) {
    for (n, free) in (0..).zip(plan.given.free.iter()) {
        let untyped = Cap::Untyped { base: free.base, size: free.size, free: 0, clean: 0, device: false };
        store.install(slot(root::UNTYPED + n), untyped);
    }
    let own = u64::from(store.core());
    for &core in plan.given.board.cores.iter().filter(|&&core| core != own) {
        store.install(slot(root::OTHER_CORES + core), Cap::Core { number: core as u8 });
    }
    for number in 32..IRQS_MAX {
        if !plan.given.domains.iter().any(|d| d.has_interrupt(number.into())) {
            store.install(slot(root::IRQS + u64::from(number)), Cap::Irq { number });
        }
    }
}

/// Gives each domain its space and an equal share of the core, and lets it run. Where somebody builds the partitions, that is his to do; he
/// himself is started.
fn start(store: &mut Store<Direct>, plan: &Plan, first: u64) {
    let id = usize::from(store.core());
    let budget = PERIOD_US / (plan.on_core(id).count() as u64 + 1);
    let built = plan.given.domains.iter().any(|d| d.is(BUILDS));
    for (n, partition) in plan.on_core(id).filter(|(_, d)| !built || d.is(BUILDS)) {
        let n = n as u64;
        let (domain, space, context) = (root::DOMAINS + n, root::SPACES + n, root::CONTEXTS + n);
        let steps: [&[u64]; 4] = [
            &[domain, label::CONFIGURE, 0, space, 0],
            &[root::CORE, label::CARVE, budget, PERIOD_US, root::CNODE, context, 64],
            &[context, label::BIND, domain],
            &[domain, label::RESUME],
        ];
        // One that is cold is not let run.
        for step in steps.iter().take(if partition.is(COLD) { 3 } else { 4 }) {
            let mut words = [0; capability_model::invoke::WORDS];
            words.iter_mut().zip(*step).for_each(|(word, value)| *word = *value);
            let done = store.invoke_long(first, &words).map(|outcome| outcome.status);
            assert!(done == Ok(Status::Done), "the boot's own invocations succeed");
        }
    }
}
