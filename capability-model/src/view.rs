//! What the invariants look at: all slots of a store, who descends from whom, what tables hold, what a domain reaches. Host only.

use crate::cap::{Cap, Leased, Remains};
use crate::derivation::is_parent;
use crate::layout::{CORES_MAX, HELD_MAX, IRQS_MAX, LEASES_MAX, asked, domain, export, gate, import};
use crate::memory::{Memory, Slot};
use crate::rights::Rights;
use crate::space::DESCRIPTOR_ADDRESS;
use crate::store::{Node, Store, bit};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// All slots that hold something, with the parent of each.
#[derive(Debug)]
pub struct View<'a, M> {
    /// The store that is looked at.
    pub store: &'a Store<M>,
    /// Slots in use.
    pub nodes: BTreeMap<Slot, Node>,
    /// The nearest ancestor of each slot that has one.
    pub parents: BTreeMap<Slot, Slot>,
    /// Where tables lie that the boot filled without capabilities.
    pub fixed: core::ops::Range<u64>,
}

impl<'a, M: Memory> View<'a, M> {
    /// Everything that can be reached from the store's tables and `roots`.
    pub fn of(store: &'a Store<M>, roots: &[Slot]) -> View<'a, M> {
        let mut nodes = BTreeMap::new();
        let mut todo: Vec<Slot> = roots.to_vec();
        todo.extend((0..IRQS_MAX).map(|n| Slot(store.tables.irq(n))));
        todo.extend([Slot(store.tables.root()), Slot(store.reap.first)]);
        for peer in 0..CORES_MAX {
            todo.push(Slot(store.tables.asked(peer) + asked::NOTIFICATION));
            for index in 0..LEASES_MAX {
                let record = store.tables.export(peer, index);
                todo.extend([export::ORPHAN_SLOT, export::NOTIFICATION].map(|o| Slot(record + o)));
                // A gate can hold all that leads to it, and its seats be elsewhere; then only its loans are known here.
                if bit(store.exported, peer, index) {
                    todo.push(Slot(store.word(record, export::SLOT)));
                }
                todo.push(Slot(store.tables.import(peer, index) + import::SLOT));
            }
        }
        while let Some(slot) = todo.pop() {
            if slot.0 == 0 || store.word(slot.0, 0) == 0 || nodes.contains_key(&slot) {
                continue;
            }
            let node = store.node(slot);
            nodes.insert(slot, node);
            todo.extend([Slot(node.previous), Slot(node.next)]);
            todo.extend(inside(&node.cap));
            if let Cap::Zombie { next, .. } = node.cap {
                todo.push(Slot(next));
            }
        }
        let parents = parents(&nodes);
        View { store, nodes, parents, fixed: 0..0 }
    }

    pub(crate) fn domains(&self) -> BTreeSet<u64> {
        let domain = |node: &Node| if let Cap::Domain { at } = node.cap { Some(at) } else { None };
        self.nodes.values().filter_map(domain).collect()
    }
}

/// Slots inside an object.
pub fn inside(cap: &Cap) -> Vec<Slot> {
    match *cap {
        Cap::CNode { at, radix, .. } | Cap::Zombie { at, what: Remains::CNode, radix, .. } => {
            (0..=1 << radix).map(|i| Slot(at).plus(i)).collect()
        }
        Cap::Domain { at } => [domain::CSPACE, domain::SPACE, domain::FAULT].map(|o| Slot(at + o)).to_vec(),
        Cap::Gate { at } | Cap::Seat { at, .. } | Cap::Zombie { at, what: Remains::Gate, .. } => {
            (0..HELD_MAX as u64).map(|i| Slot(at + gate::HELD).plus(i)).collect()
        }
        Cap::Lease { base, what: Leased::Seat, .. } => {
            (0..HELD_MAX as u64).map(|i| Slot(base + gate::HELD).plus(i)).collect()
        }
        _ => Vec::new(),
    }
}

/// Heads of lists in order, each followed through.
pub(crate) fn lists(nodes: &BTreeMap<Slot, Node>) -> Vec<Vec<Slot>> {
    let heads = nodes.iter().filter(|(_, node)| node.previous == 0).map(|(slot, _)| *slot);
    heads
        .map(|head| {
            let follow = |slot: &Slot| nodes.get(slot).map(|n| Slot(n.next)).filter(|next| next.0 != 0);
            core::iter::successors(Some(head), follow).take(nodes.len() + 1).collect()
        })
        .collect()
}

fn parents(nodes: &BTreeMap<Slot, Node>) -> BTreeMap<Slot, Slot> {
    let mut parents = BTreeMap::new();
    for list in lists(nodes) {
        let mut above: Vec<(Slot, Node)> = Vec::new();
        for slot in list {
            let Some(node) = nodes.get(&slot) else { break };
            while above.last().is_some_and(|(_, top)| !is_parent(top, node)) {
                above.pop();
            }
            if let Some((parent, _)) = above.last() {
                parents.insert(slot, *parent);
            }
            above.push((slot, *node));
        }
    }
    parents
}

/// All descriptors of a space: address, level of the entry, descriptor.
pub fn dump<M: Memory>(store: &Store<M>, root: u64) -> Vec<(u64, u8, u64)> {
    dump_with_tables(store, root)
        .into_iter()
        .map(|(_, at, level, descriptor)| (at, level, descriptor))
        .collect()
}

/// The same with the table that each lies in, first.
pub fn dump_with_tables<M: Memory>(store: &Store<M>, root: u64) -> Vec<(u64, u64, u8, u64)> {
    let mut found = Vec::new();
    let mut todo = std::vec![(root, 1u8, 0u64)];
    while let Some((table, level, ipa)) = todo.pop() {
        for i in 0..512 {
            let descriptor = store.word(table, i);
            if descriptor & 1 == 0 {
                continue;
            }
            let at = ipa | i << (12 + 9 * (3 - level as u32));
            found.push((table, at, level, descriptor));
            if level < 3 && descriptor & 2 != 0 {
                todo.push((descriptor & DESCRIPTOR_ADDRESS, level + 1, at));
            }
        }
    }
    found
}

/// What a domain's capabilities reach: memory and objects with the rights to them. The closure that authority is confined to.
pub fn authority<M: Memory>(store: &Store<M>, at: u64) -> BTreeMap<(u64, u64), Rights> {
    let mut reach = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut todo = inside(&Cap::Domain { at });
    while let Some(slot) = todo.pop() {
        let cap = store.cap(slot);
        if !seen.insert(slot) || cap == Cap::Null {
            continue;
        }
        if let Some(region) = cap.region() {
            let rights: &mut Rights = reach.entry(region).or_default();
            *rights = rights.or(cap.rights());
        }
        todo.extend(inside(&cap));
    }
    reach
}

/// The CNode that a store's first domain begins with.
pub fn first_cnode<M: Memory>(store: &Store<M>) -> Option<Slot> {
    match store.cap(Slot(store.tables.root())) {
        Cap::CNode { at, .. } => Some(Slot(at)),
        _ => None,
    }
}
