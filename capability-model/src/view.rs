//! What the invariants look at: all slots of a store, who descends from whom, what tables hold, what a domain reaches. Host only.

use crate::cap::{Cap, Leased, Mapping, Remains};
use crate::derivation::Kin;
use crate::layout::{CORES_MAX, HELD_MAX, IRQS_MAX, LEASES_MAX, Tables, asked, domain, export, gate, import};
use crate::lease::CALLED_BACK;
use crate::memory::{Memory, Slot};
use crate::rights::Rights;
use crate::space::DESCRIPTOR_ADDRESS;
use crate::store::{Graves, Store, bit};
use crate::words::{self, Head, frame_size, kind, remains};
use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

/// A slot's content and its place in the derivation tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Node {
    /// The capability.
    pub cap: Cap,
    /// Neighbours in the list that is the tree in preorder; 0 for none.
    pub previous: u64,
    /// See `previous`.
    pub next: u64,
    /// Whether it can have descendants.
    pub revocable: bool,
    /// Whether it began its badge.
    pub first_badged: bool,
    /// Number of the beginning of its badge, 0 for none: two beginnings of one badge are two families.
    pub origin: u64,
}

impl<M: Memory> Store<M> {
    /// The store that lies at `at` of a memory that is looked at from outside, as far as the invariants look at it.
    pub fn read_from(memory: M, at: u64) -> Store<M> {
        use core::mem::offset_of;
        let mut store = Store::new(memory, 0, 0);
        let word = |offset: usize| store.memory.read((at + offset as u64) & !7) >> (offset as u64 % 8 * 8);
        let core = word(offset_of!(Store<M>, core)) as u8;
        let tables = Tables(word(offset_of!(Store<M>, tables)));
        let graves = offset_of!(Store<M>, reap);
        let reap = Graves { first: word(graves), last: word(graves + 8) };
        let utilisation = word(offset_of!(Store<M>, utilisation));
        let vmids = core::array::from_fn(|i| word(offset_of!(Store<M>, vmids) + i * 8));
        let exports = offset_of!(Store<M>, exported);
        let exported = u128::from(word(exports)) | u128::from(word(exports + 8)) << 64;
        let gates_parked = word(offset_of!(Store<M>, gates_parked)) & 1 == 1;
        (store.core, store.tables, store.reap, store.utilisation) = (core, tables, reap, utilisation);
        (store.vmids, store.exported, store.gates_parked) = (vmids, exported, gates_parked);
        store
    }

    /// The capability in a slot.
    #[inline]
    pub fn cap(&self, slot: Slot) -> Cap {
        let word = |i| self.word(slot.0, i);
        if word(0) == 0 {
            return Cap::Null;
        }
        decode([word(0), word(1), word(2), word(3), word(4)])
    }

    /// A slot's capability and links.
    pub fn node(&self, slot: Slot) -> Node {
        let head = self.head(slot);
        Node {
            cap: self.cap(slot),
            previous: self.word(slot.0, words::PREVIOUS),
            next: self.word(slot.0, words::NEXT),
            revocable: head.is_revocable(),
            first_badged: head.is_first_badged(),
            origin: self.word(slot.0, words::ORIGIN),
        }
    }

    /// The root table of the space that a mapping means, if it still is that one.
    pub fn live(&self, mapping: Mapping) -> Option<u64> {
        self.live_root(words::who(mapping.vmid, mapping.generation))
    }

    /// Leases that were called back and are not back yet.
    pub fn called_back(&self) -> u32 {
        let all = (0..CORES_MAX).flat_map(|peer| (0..LEASES_MAX).map(move |index| (peer, index)));
        let phase = |peer, index| self.word(self.tables.export(peer, index), export::PHASE);
        all.filter(|(peer, index)| bit(self.exported, *peer, *index) && phase(*peer, *index) == CALLED_BACK)
            .count() as u32
    }
}

impl Cap {
    /// Memory that the capability stands for: base and size.
    pub fn region(&self) -> Option<(u64, u64)> {
        let [head, object, data, ..] = words::encode(self);
        words::Head(head).bytes(data).map(|bytes| (object, bytes))
    }

    /// The rights it carries; kinds without rights carry all.
    pub fn rights(&self) -> Rights {
        match *self {
            Cap::Endpoint { rights, .. } | Cap::Notification { rights, .. } | Cap::Frame { rights, .. } => {
                rights
            }
            _ => Rights::ALL,
        }
    }

    /// The badge, of kinds that have one.
    pub fn badge(&self) -> Option<u64> {
        match *self {
            Cap::Endpoint { badge, .. } | Cap::Notification { badge, .. } => Some(badge),
            _ => None,
        }
    }
}

const fn mapping_of(head: Head, ipa: u64, who: u64) -> Option<Mapping> {
    if head.is_mapped() { Some(Mapping { vmid: who as u16, generation: who >> 16, ipa }) } else { None }
}

/// The capability of these words.
fn decode([head, object, data, b, c]: [u64; 5]) -> Cap {
    let head = Head(head);
    let (rights, device) = (head.rights(), head.is_device());
    let (small, more) = (head.small(), head.more());
    match head.kind() {
        kind::UNTYPED => Cap::Untyped { base: object, size: data, free: b, clean: c, device },
        kind::CNODE => Cap::CNode { at: object, radix: small, guard: data, guard_bits: more },
        kind::ENDPOINT => Cap::Endpoint { at: object, badge: data, rights },
        kind::NOTIFICATION => Cap::Notification { at: object, badge: data, rights },
        kind::REPLY => Cap::Reply { at: object },
        kind::FRAME => {
            let mapping = mapping_of(head, b, c);
            Cap::Frame { base: object, size: frame_size(small), device, rights, mapping }
        }
        kind::PAGE_TABLE => Cap::PageTable { at: object, level: small, mapping: mapping_of(head, b, c) },
        kind::SPACE => Cap::Space { at: object, vmid: data as u16, generation: data >> 16 },
        kind::DOMAIN => Cap::Domain { at: object },
        kind::IRQ => Cap::Irq { number: object as u16 },
        kind::CORE => Cap::Core { number: small },
        kind::SCHED_CONTEXT => Cap::SchedContext { budget_us: data, period_us: b, domain: object },
        kind::LEASE => {
            Cap::Lease { peer: small, index: more, what: Leased::from_word(b), base: object, size: data }
        }
        kind::GATE => Cap::Gate { at: object },
        kind::SEAT => Cap::Seat { at: object, index: small },
        kind::REMOTE_SEAT => Cap::RemoteSeat { peer: small, index: more },
        kind::ZOMBIE => Cap::Zombie { at: object, what: remains(small), radix: more, left: data, next: b },
        _ => Cap::Null,
    }
}

impl Kin {
    /// Of a capability that is in no slot: it has no marks and no origin.
    fn of(cap: &Cap) -> Kin {
        let [head, object, data, ..] = words::encode(cap);
        Kin { head: Head(head), object, data, origin: 0 }
    }
}

/// Whether `child` stands for a part of what `parent` stands for.
pub fn same_region(parent: &Cap, child: &Cap) -> bool {
    let (parent, child) = (Kin::of(parent), Kin::of(child));
    parent.is_same(child) || parent.is_divided_into(child)
}

/// Whether both stand for one object.
pub fn same_object(a: &Cap, b: &Cap) -> bool {
    a.identity().is_some() && a.identity() == b.identity()
}

/// Whether `parent`, standing before `child` in the list, is its ancestor.
pub fn is_parent(parent: &Node, child: &Node) -> bool {
    let kin = |node: &Node| {
        let kin = Kin::of(&node.cap);
        Kin { head: kin.head.marked(node.revocable, node.first_badged), origin: node.origin, ..kin }
    };
    kin(parent).is_above(kin(child))
}

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
