//! What must always hold, each as a sentence and a predicate that can be run. Host only; the reach of a check is all slots that
//! the store's own tables, the given roots, objects and the derivation list lead to.

use crate::cap::{Cap, Leased, Remains, cnode_size};
use crate::domain::State;
use crate::layout::{
    CORES_MAX, GATE_GRAVE, HEAD, LEASES_MAX, NEXT, PREVIOUS, WAIT_GRAVE, domain, export, gate, import,
    notification, reply,
};
use crate::memory::{Memory, SLOT, Slot};
use crate::rights::Rights;
use crate::space::{DESCRIPTOR_ADDRESS, descriptor_rights};
use crate::store::{Store, UTILISATION_ONE, bit};
use crate::time::share;
use crate::view::{Node, is_parent, lists};
pub use crate::view::{View, authority, dump, dump_with_tables, inside};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::format;
use std::string::String;
use std::vec::Vec;

/// What a predicate answers: the sentence that is broken is the caller's, this is where.
pub type Holds = Result<(), String>;

/// A sentence and its predicate.
pub type Invariant<M> = (&'static str, fn(&View<'_, M>) -> Holds);

/// All invariants of one store.
pub fn all<M: Memory>() -> [Invariant<M>; 11] {
    [
        ("The derivation list is linked both ways and has no other ends.", links),
        (
            "Derivation is a forest in preorder: an ancestor stands above an unbroken run of its descendants.",
            forest,
        ),
        ("Rights never grow down the tree, and nothing leaves its ancestor's memory.", shrinking),
        ("Every page has at most one owner: objects and divisions of memory do not overlap.", ownership),
        (
            "Whoever waits is in exactly the queue that its state names, and whoever is in a queue waits there.",
            queues,
        ),
        ("What is bound is bound both ways.", bindings),
        ("The shares of a core add up to what is accounted, and to at most the core.", utilisation),
        (
            "Stage-2 tables and capabilities agree: no descriptor without its capability, none with more rights.",
            tables,
        ),
        ("An object whose last capability is gone is taken apart: zombies and their queue agree.", zombies),
        ("A loan is known to one Lease, and what was borrowed to one import.", leases),
        ("A gate acts only with at least its threshold of distinct seats.", gates),
    ]
}

/// Checks them all; the first broken sentence and where.
pub fn check<M: Memory>(store: &Store<M>, roots: &[Slot]) -> Holds {
    check_view(&View::of(store, roots))
}

/// The same of a view.
pub fn check_view<M: Memory>(view: &View<'_, M>) -> Holds {
    for (sentence, predicate) in all::<M>() {
        predicate(view).map_err(|place| format!("{sentence} Broken: {place}"))?;
    }
    Ok(())
}

fn demand(holds: bool, place: impl FnOnce() -> String) -> Holds {
    if holds { Ok(()) } else { Err(place()) }
}

fn links<M: Memory>(view: &View<'_, M>) -> Holds {
    for (slot, node) in &view.nodes {
        let back = node.next == 0 || view.nodes.get(&Slot(node.next)).is_some_and(|n| n.previous == slot.0);
        let forth =
            node.previous == 0 || view.nodes.get(&Slot(node.previous)).is_some_and(|n| n.next == slot.0);
        demand(back && forth && node.cap != Cap::Null, || format!("{slot:x?} {node:x?}"))?;
    }
    let listed: usize = lists(&view.nodes).iter().map(Vec::len).sum();
    demand(listed == view.nodes.len(), || format!("{listed} of {} slots listed", view.nodes.len()))
}

fn forest<M: Memory>(view: &View<'_, M>) -> Holds {
    for list in lists(&view.nodes) {
        for (i, slot) in list.iter().enumerate() {
            let Some(node) = view.nodes.get(slot) else { continue };
            let ancestors: BTreeSet<Slot> =
                core::iter::successors(view.parents.get(slot), |s| view.parents.get(s)).copied().collect();
            for earlier in list.iter().take(i) {
                let broken = view.nodes.get(earlier).is_some_and(|e| is_parent(e, node))
                    && !ancestors.contains(earlier);
                demand(!broken, || format!("{slot:x?} is cut off from {earlier:x?}"))?;
            }
            for later in list.iter().skip(i) {
                let alike =
                    view.nodes.get(later).is_some_and(|l| crate::view::same_object(&l.cap, &node.cap));
                if !alike {
                    let again = list.iter().skip(i).skip_while(|s| *s != later).any(|s| {
                        view.nodes.get(s).is_some_and(|l| crate::view::same_object(&l.cap, &node.cap))
                    });
                    demand(!again, || format!("capabilities of {slot:x?}'s object are apart"))?;
                    break;
                }
            }
        }
    }
    Ok(())
}

fn shrinking<M: Memory>(view: &View<'_, M>) -> Holds {
    for (child, parent) in &view.parents {
        let (Some(c), Some(p)) = (view.nodes.get(child), view.nodes.get(parent)) else { continue };
        let same_kind = core::mem::discriminant(&c.cap) == core::mem::discriminant(&p.cap);
        demand(!same_kind || p.cap.rights().has(c.cap.rights()), || format!("{p:x?} over {c:x?}"))?;
        if let (Some((base, size)), Some((child_base, child_size))) = (p.cap.region(), c.cap.region()) {
            let within = child_base >= base && child_base + child_size <= base + size;
            demand(within, || format!("{p:x?} over {c:x?}"))?;
        }
        if let (Cap::Untyped { device: true, .. }, Cap::Frame { device: false, .. }) = (&p.cap, &c.cap) {
            return Err(format!("{child:x?} makes normal memory of a device"));
        }
    }
    Ok(())
}

/// Memory of distinct things that stand side by side.
fn disjoint(mut regions: Vec<(u64, u64)>) -> Holds {
    regions.sort_unstable();
    regions.dedup();
    for pair in regions.windows(2) {
        let [(base, size), (next, _)] = pair else { continue };
        demand(base + size <= *next, || format!("{base:x}+{size:x} and {next:x}"))?;
    }
    Ok(())
}

fn ownership<M: Memory>(view: &View<'_, M>) -> Holds {
    let mut below: BTreeMap<Option<Slot>, Vec<(u64, u64)>> = BTreeMap::new();
    let mut objects: BTreeMap<(u64, u64), (u8, u64)> = BTreeMap::new();
    for (slot, node) in &view.nodes {
        let Some(region) = node.cap.region() else { continue };
        let parent = view.parents.get(slot).copied();
        let parent_node = parent.and_then(|p| view.nodes.get(&p));
        if let Some(Cap::Untyped { base, free, .. }) = parent_node.map(|p| p.cap) {
            demand(region.0 + region.1 <= base + free, || format!("{node:x?} was not given out"))?;
        }
        below.entry(parent).or_default().push(region);
        if let Some(identity) = node.cap.identity() {
            let known = *objects.entry(region).or_insert(identity);
            demand(known == identity, || format!("two objects at {region:x?}"))?;
        }
    }
    below.into_values().try_for_each(disjoint)?;
    disjoint(objects.into_keys().collect())
}

/// The members of a queue, checked link by link.
fn members<M: Memory>(store: &Store<M>, queue: u64) -> Result<VecDeque<u64>, String> {
    let mut all = VecDeque::new();
    let mut item = store.word(queue, HEAD);
    while item != 0 {
        let previous = all.back().copied().unwrap_or(0);
        demand(store.word(item, PREVIOUS) == previous, || format!("queue {queue:x} at {item:x}"))?;
        demand(all.len() < 10_000, || format!("queue {queue:x} has no end"))?;
        all.push_back(item);
        item = store.word(item, NEXT);
    }
    let last = all.back().copied().unwrap_or(0);
    demand(store.word(queue, crate::layout::TAIL) == last, || format!("tail of {queue:x}"))?;
    Ok(all)
}

fn queues<M: Memory>(view: &View<'_, M>) -> Holds {
    let store = view.store;
    let mut waiting = BTreeSet::new();
    for node in view.nodes.values() {
        let (at, is_endpoint) = match node.cap {
            Cap::Endpoint { at, .. } | Cap::Zombie { at, what: Remains::Endpoint, .. } => (at, true),
            Cap::Notification { at, .. } | Cap::Zombie { at, what: Remains::Notification, .. } => (at, false),
            Cap::Reply { at } => {
                let caller = store.word(at, reply::CALLER);
                let fine = caller == 0
                    || store.domain_state(caller) == State::Replying && store.word(caller, domain::AT) == at;
                demand(fine, || format!("reply {at:x} and caller {caller:x}"))?;
                let receiver = store.word(at, reply::RECEIVER);
                let fine = receiver == 0
                    || store.domain_state(receiver) == State::Receiving
                        && store.word(receiver, domain::REPLY) == at;
                demand(fine, || format!("reply {at:x} and receiver {receiver:x}"))?;
                continue;
            }
            _ => continue,
        };
        for item in members(store, at)? {
            let state = store.domain_state(item);
            let kind = match state {
                State::Sending => is_endpoint && store.word(at, 0) == 1,
                State::Receiving => is_endpoint && store.word(at, 0) == 2,
                State::Waiting => !is_endpoint,
                _ => false,
            };
            demand(kind && store.word(item, domain::AT) == at, || format!("{item:x} {state:?} at {at:x}"))?;
            waiting.insert(item);
        }
    }
    for at in view.domains() {
        let waits = matches!(store.domain_state(at), State::Sending | State::Receiving | State::Waiting);
        demand(waits == waiting.contains(&at), || format!("{at:x} is {:?}", store.domain_state(at)))?;
    }
    Ok(())
}

fn bindings<M: Memory>(view: &View<'_, M>) -> Holds {
    let (store, domains) = (view.store, view.domains());
    for (slot, node) in &view.nodes {
        match node.cap {
            Cap::Notification { at, .. } => {
                let bound = store.word(at, notification::BOUND);
                let fine =
                    bound == 0 || domains.contains(&bound) && store.word(bound, domain::NOTIFICATION) == at;
                demand(fine, || format!("notification {at:x}"))?;
            }
            Cap::SchedContext { domain: runs, .. } if runs != 0 => {
                let fine = domains.contains(&runs) && store.word(runs, domain::CONTEXT) == slot.0;
                demand(fine, || format!("context {slot:x?}"))?;
            }
            Cap::Domain { at } => {
                let bound = store.word(at, domain::NOTIFICATION);
                let fine = bound == 0 || store.word(bound, notification::BOUND) == at;
                demand(fine, || format!("domain {at:x} and notification {bound:x}"))?;
                let context = store.word(at, domain::CONTEXT);
                let runs = |cap: &Cap| matches!(cap, Cap::SchedContext { domain, .. } if *domain == at);
                let fine = context == 0 || view.nodes.get(&Slot(context)).is_some_and(|n| runs(&n.cap));
                demand(fine, || format!("domain {at:x} and context {context:x}"))?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn utilisation<M: Memory>(view: &View<'_, M>) -> Holds {
    let of = |node: &Node| match node.cap {
        Cap::SchedContext { budget_us, period_us, .. } => share(budget_us, period_us),
        _ => 0,
    };
    let sum: u64 = view.nodes.values().map(of).sum();
    demand(sum == view.store.utilisation && sum <= UTILISATION_ONE, || {
        format!("{sum} of {UTILISATION_ONE}, {} accounted", view.store.utilisation)
    })
}

fn tables<M: Memory>(view: &View<'_, M>) -> Holds {
    let mut used = BTreeSet::from([0]);
    for node in view.nodes.values() {
        let Cap::Space { at, vmid, generation } = node.cap else { continue };
        let entry = view.store.tables.vmid(vmid);
        let known = (view.store.word(entry, 0), view.store.word(entry, 1)) == (at, generation);
        demand(known, || format!("space {at:x} is not VMID {vmid}"))?;
        if used.insert(vmid) {
            for (table, ipa, level, descriptor) in dump_with_tables(view.store, at) {
                let fixed = view.fixed.contains(&table);
                demand(fixed || backed(view, vmid, generation, ipa, level, descriptor), || {
                    format!("VMID {vmid} {ipa:x} level {level}: {descriptor:x}")
                })?;
            }
        }
    }
    let bits: u32 = view.store.vmids.iter().map(|set| set.count_ones()).sum();
    demand(bits as usize == used.len(), || format!("{bits} VMIDs in use, {} known", used.len()))
}

fn backed<M>(view: &View<'_, M>, vmid: u16, generation: u64, ipa: u64, level: u8, descriptor: u64) -> bool {
    let address = descriptor & DESCRIPTOR_ADDRESS;
    let here = |m: Option<crate::cap::Mapping>| {
        m.is_some_and(|m| (m.vmid, m.generation, m.ipa) == (vmid, generation, ipa))
    };
    view.nodes.values().any(|node| match node.cap {
        Cap::Frame { base, rights, mapping, .. } => {
            base == address && here(mapping) && rights.has(descriptor_rights(descriptor))
        }
        Cap::PageTable { at, level: own, mapping } => at == address && own == level + 1 && here(mapping),
        _ => false,
    })
}

fn zombies<M: Memory>(view: &View<'_, M>) -> Holds {
    let mut waiting = BTreeSet::new();
    let mut grave = view.store.reap.first;
    let mut last = 0;
    while grave != 0 {
        let Cap::Zombie { at, what, radix, next, .. } = view.store.cap(Slot(grave)) else {
            return Err(format!("no zombie in {grave:x}"));
        };
        let place = match what {
            Remains::CNode => at + cnode_size(radix) - SLOT,
            Remains::Gate => at + GATE_GRAVE,
            _ => at + WAIT_GRAVE,
        };
        demand(place == grave && waiting.insert(grave), || format!("zombie {grave:x}"))?;
        (last, grave) = (grave, next);
    }
    let all: BTreeSet<u64> =
        view.nodes.iter().filter(|(_, n)| matches!(n.cap, Cap::Zombie { .. })).map(|(s, _)| s.0).collect();
    demand(all == waiting && view.store.reap.last == last, || format!("{all:x?} and {waiting:x?}"))
}

fn leases<M: Memory>(view: &View<'_, M>) -> Holds {
    let store = view.store;
    let mut known = BTreeSet::new();
    for (slot, node) in &view.nodes {
        let Cap::Lease { peer, index, base, .. } = node.cap else { continue };
        let record = store.tables.export(peer, index);
        let fine = bit(store.exported, peer, index)
            && store.word(record, export::SLOT) == slot.0
            && store.word(record, export::BASE) == base
            && known.insert((peer, index));
        demand(fine, || format!("lease {slot:x?} {node:x?}"))?;
    }
    for peer in 0..CORES_MAX {
        for index in 0..LEASES_MAX {
            let used = bit(store.exported, peer, index);
            demand(used == known.contains(&(peer, index)), || format!("export {peer} {index}"))?;
            let record = store.tables.import(peer, index);
            let phase = store.word(record, import::PHASE);
            let has = view.nodes.contains_key(&Slot(record + import::SLOT));
            demand(has == matches!(phase, 1 | 2), || format!("import {peer} {index}: phase {phase}"))?;
        }
    }
    Ok(())
}

fn gates<M: Memory>(view: &View<'_, M>) -> Holds {
    for node in view.nodes.values() {
        let (Cap::Gate { at } | Cap::Seat { at, .. } | Cap::Lease { base: at, what: Leased::Seat, .. }) =
            node.cap
        else {
            continue;
        };
        let word = |i| view.store.word(at, i);
        if word(gate::SEALED) == 0 {
            continue;
        }
        let (threshold, seats) = (word(gate::THRESHOLD), word(gate::SEATS));
        demand(threshold >= 1 && threshold <= seats, || format!("gate {at:x}: {threshold} of {seats}"))?;
        let witness = word(gate::WITNESS).count_ones() as u64;
        demand(witness >= word(gate::WITNESS_THRESHOLD), || format!("gate {at:x} acted on {witness}"))?;
    }
    Ok(())
}

/// "Every page has exactly one owner or is in flight in one lease, on any core; who borrowed to read cannot write." Over
/// several stores: no memory that one may use is another's, except what is shared, and that is read-only there.
pub fn check_across<M: Memory>(views: &[View<'_, M>]) -> Holds {
    let mut owned: Vec<(u64, u64, u8)> = Vec::new();
    let mut lent: BTreeSet<(u64, u8)> = BTreeSet::new();
    let mut borrowed: Vec<(u64, u8, Cap)> = Vec::new();
    for view in views {
        let core = view.store.core;
        let imports: BTreeSet<Slot> = (0..CORES_MAX)
            .flat_map(|p| (0..LEASES_MAX).map(move |i| (p, i)))
            .map(|(p, i)| Slot(view.store.tables.import(p, i) + import::SLOT))
            .collect();
        for (slot, node) in &view.nodes {
            match node.cap {
                Cap::Lease { base, what: Leased::Page | Leased::Block, .. } => {
                    lent.insert((base, core));
                }
                Cap::Lease { .. } => {}
                // A frame without an Untyped above it was borrowed.
                Cap::Frame { base, .. } if imports.contains(slot) || !under_memory(view, *slot) => {
                    borrowed.push((base, core, node.cap));
                }
                // Of what was given out its children speak.
                Cap::Untyped { base, size, free, .. } if view.store.has_children(*slot) => {
                    owned.push((base + free, size - free, core));
                }
                cap => owned.extend(cap.region().map(|(base, size)| (base, size, core))),
            }
        }
    }
    for (i, (base, size, core)) in owned.iter().enumerate() {
        for (other_base, other_size, other) in owned.iter().skip(i + 1) {
            let apart = core == other || base + size <= *other_base || other_base + other_size <= *base;
            demand(apart, || {
                format!("{base:x}+{size:x} on {core} and {other_base:x}+{other_size:x} on {other}")
            })?;
        }
    }
    for (base, core, cap) in borrowed {
        let shared = lent.iter().any(|(known, lender)| *known == base && *lender != core);
        demand(shared && !cap.rights().has(Rights::WRITE), || format!("{cap:x?} on {core}"))?;
    }
    Ok(())
}

fn under_memory<M: Memory>(view: &View<'_, M>, slot: Slot) -> bool {
    core::iter::successors(view.parents.get(&slot), |s| view.parents.get(s))
        .any(|s| view.nodes.get(s).is_some_and(|n| matches!(n.cap, Cap::Untyped { .. })))
}
