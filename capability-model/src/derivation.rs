//! The derivation tree, as seL4 keeps it: one list, the tree in preorder, and a rule that says from two capabilities whether one
//! descends from the other. No parent pointers: taking a node out of the middle is O(1) however many children it
//! has, they simply belong to the next capability above. The alternative, explicit parents, makes Delete as long as the
//! number of children.

use crate::cap::Cap;
use crate::faults::Fault;
use crate::memory::{Memory, Slot};
use crate::store::{Node, Store, marks};

/// Whether `child` stands for a part of what `parent` stands for.
pub fn same_region(parent: &Cap, child: &Cap) -> bool {
    match (parent, child) {
        (Cap::Untyped { base, size, .. }, _) => child.region().is_some_and(|(child_base, child_size)| {
            child_base >= *base && child_base + child_size <= base + size
        }),
        (Cap::Core { .. }, Cap::SchedContext { .. }) => true,
        _ => same_object(parent, child),
    }
}

/// Whether both stand for one object.
pub fn same_object(a: &Cap, b: &Cap) -> bool {
    a.identity().is_some() && a.identity() == b.identity()
}

/// Whether `parent`, standing before `child` in the list, is its ancestor.
pub fn is_parent(parent: &Node, child: &Node) -> bool {
    if !parent.revocable || !same_region(&parent.cap, &child.cap) {
        return false;
    }
    match parent.cap.badge() {
        // A badged capability is above what was copied from it only. seL4 compares badges, so that the copies of one beginning
        // of a badge can come under another when theirs is deleted.
        Some(badge) if badge != 0 => child.origin == parent.origin && !child.first_badged,
        _ => true,
    }
}

/// Whether a capability derived from `source` can have descendants of its own: a badge begins, or memory is divided further.
pub(crate) fn begins(source: &Cap, derived: &Cap) -> bool {
    match derived {
        Cap::Untyped { .. } => true,
        _ => derived.badge() != source.badge(),
    }
}

impl<M: Memory> Store<M> {
    /// Puts a capability derived from the one in `source` into the empty slot `slot`, below it in the tree.
    pub(crate) fn insert(&mut self, source: Slot, slot: Slot, cap: Cap) {
        let mut source_cap = self.cap(source);
        let begins = begins(&source_cap, &cap) || self.seeded(Fault::CopyGetsRevocable);
        if let (Cap::Untyped { size, free, clean, .. }, Cap::Untyped { .. }) = (&mut source_cap, &cap) {
            // A copy of memory may use all of it: nothing is left here until it is gone, and nothing is known to be clean.
            (*free, *clean) = (*size, *size);
            self.set_cap(source, source_cap);
        }
        let origin = match cap.badge() {
            Some(badge) if badge != 0 && begins => {
                self.origins += 1;
                self.origins
            }
            _ => self.word(source.0, 7),
        };
        self.link(source, slot, &cap, begins, origin);
    }

    /// Puts an original into the empty slot `slot`, behind `parent`.
    pub(crate) fn insert_original(&mut self, parent: Slot, slot: Slot, cap: Cap) {
        self.link(parent, slot, &cap, true, 0);
    }

    /// Puts something that can have no descendants below `parent`.
    pub(crate) fn insert_leaf(&mut self, parent: Slot, slot: Slot, cap: Cap) {
        self.link(parent, slot, &cap, false, 0);
    }

    /// What begins something (a badge, a division of memory, an object) can have descendants.
    fn link(&mut self, after: Slot, slot: Slot, cap: &Cap, begins: bool, origin: u64) {
        let next = self.word(after.0, 6);
        self.write_slot(slot, cap, marks(begins, begins), [after.0, next, origin]);
        self.set_word(after.0, 6, slot.0);
        if next != 0 {
            self.set_word(next, 5, slot.0);
        }
    }

    /// Takes a slot out of the tree and empties it.
    pub(crate) fn unlink(&mut self, slot: Slot) {
        let (previous, next) = (self.word(slot.0, 5), self.word(slot.0, 6));
        if previous != 0 {
            self.set_word(previous, 6, next);
        }
        if next != 0 {
            self.set_word(next, 5, previous);
        }
        self.clear_slot(slot);
    }

    /// Moves a node to an empty slot, as `cap`; its place in the tree stays.
    pub(crate) fn transplant(&mut self, source: Slot, slot: Slot, cap: Cap) {
        let [previous, next, origin] =
            [self.word(source.0, 5), self.word(source.0, 6), self.word(source.0, 7)];
        self.write_slot(slot, &cap, self.marks_of(source), [previous, next, origin]);
        if previous != 0 {
            self.set_word(previous, 6, slot.0);
        }
        if next != 0 && !self.seeded(Fault::RotateLosesLink) {
            self.set_word(next, 5, slot.0);
        }
        if !self.seeded(Fault::MoveLeavesSource) {
            self.clear_slot(source);
        }
        self.moved(slot, &cap);
    }

    /// Exchanges two nodes, which may be neighbours.
    pub(crate) fn exchange(&mut self, a: Slot, b: Slot, cap_a: Cap, cap_b: Cap) {
        let (node_a, node_b) = (self.node(a), self.node(b));
        let swapped = |link: u64| match link {
            link if link == a.0 => b.0,
            link if link == b.0 => a.0,
            link => link,
        };
        for (slot, node, cap) in [(b, node_a, cap_a), (a, node_b, cap_b)] {
            let (previous, next) = (swapped(node.previous), swapped(node.next));
            self.write_node(slot, Node { cap, previous, next, ..node });
        }
        for (slot, node) in [(b, node_a), (a, node_b)] {
            let (previous, next) = (swapped(node.previous), swapped(node.next));
            if previous != 0 {
                self.set_word(previous, 6, slot.0);
            }
            if next != 0 {
                self.set_word(next, 5, slot.0);
            }
        }
        self.moved(b, &cap_a);
        self.moved(a, &cap_b);
    }

    /// Some capabilities are never copied and are pointed to from elsewhere: the pointer follows.
    fn moved(&mut self, slot: Slot, cap: &Cap) {
        match *cap {
            Cap::SchedContext { domain, .. } if domain != 0 => {
                self.set_word(domain, crate::layout::domain::CONTEXT, slot.0);
            }
            Cap::Lease { peer, index, .. } => self.lease_moved(peer, index, slot),
            _ => {}
        }
    }

    /// Whether anything descends from the capability in `slot`.
    pub fn has_children(&self, slot: Slot) -> bool {
        self.first_child(slot).is_some()
    }

    /// The next slot in the list, if it descends from this one.
    pub(crate) fn first_child(&self, slot: Slot) -> Option<Slot> {
        let next = Slot(self.word(slot.0, 6));
        if next.0 == 0 || !self.is_revocable(slot) {
            return None;
        }
        is_parent(&self.node(slot), &self.node(next)).then_some(next)
    }

    /// Whether no other slot stands for the object. All slots of one object are neighbours in the list.
    pub fn is_final(&self, slot: Slot) -> bool {
        // Whatever stands for one object has the object's address in one word: mostly that word says no.
        let object = self.word(slot.0, 1);
        let other = |link: u64| {
            link != 0 && self.word(link, 1) == object && same_object(&self.cap(slot), &self.cap(Slot(link)))
        };
        !other(self.word(slot.0, 5)) && !other(self.word(slot.0, 6))
    }
}
