//! The derivation tree, as seL4 keeps it: one list, the tree in preorder, and a rule that says from two capabilities whether one
//! descends from the other. No parent pointers: taking a node out of the middle is O(1) however many children it
//! has, they simply belong to the next capability above. The alternative, explicit parents, makes Delete as long as the
//! number of children.

use crate::cap::Cap;
use crate::faults::Fault;
use crate::memory::{Memory, Slot};
use crate::store::Store;
use crate::words::{self, CLEAN, DATA, FREE, Head, NEXT, OBJECT, ORIGIN, PREVIOUS, kind};

/// What the rule looks at, of one slot.
#[derive(Clone, Copy)]
pub(crate) struct Kin {
    pub head: Head,
    pub object: u64,
    pub data: u64,
    pub origin: u64,
}

impl Kin {
    /// Whether both stand for one object.
    #[inline(always)]
    pub(crate) fn is_same(self, other: Kin) -> bool {
        self.object == other.object && self.head.same_identity(other.head)
    }

    /// Whether `self` stands for memory or time that `child` is a part of.
    #[inline(always)]
    pub(crate) fn is_divided_into(self, child: Kin) -> bool {
        match self.head.kind() {
            // Sizes and addresses are far from the end of u64.
            kind::UNTYPED => child.head.bytes(child.data).is_some_and(|bytes| {
                child.object >= self.object && child.object + bytes <= self.object + self.data
            }),
            kind::CORE => child.head.is(kind::SCHED_CONTEXT),
            _ => false,
        }
    }

    /// Whether `self`, standing before `child` in the list, is its ancestor.
    #[inline(always)]
    pub(crate) fn is_above(self, child: Kin) -> bool {
        if !self.head.is_revocable() {
            return false;
        }
        if !self.is_same(child) {
            return self.is_divided_into(child);
        }
        // A badged capability is above what was copied from it only. seL4 compares badges, so that the copies of one beginning
        // of a badge can come under another when theirs is deleted.
        let badged = self.head.has_badge() && self.data != 0;
        !badged || child.origin == self.origin && !child.head.is_first_badged()
    }
}

/// What a capability has of its own when it is copied or moved: its head, with fewer rights or another guard's length, and its
/// badge or guard. The rest is that of the slot that it comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Altered {
    pub head: Head,
    pub data: u64,
}

impl<M: Memory> Store<M> {
    /// What is in a slot, as it is.
    #[inline(always)]
    pub(crate) fn altered(&self, slot: Slot) -> Altered {
        Altered { head: self.head(slot), data: self.word(slot.0, DATA) }
    }

    #[inline(always)]
    fn kin(&self, slot: Slot) -> Kin {
        let word = |i| self.word(slot.0, i);
        Kin { head: self.head(slot), object: word(OBJECT), data: word(DATA), origin: word(ORIGIN) }
    }

    /// Puts a capability derived from the one in `source` into the empty slot `slot`, below it in the tree.
    pub(crate) fn insert(&mut self, source: Slot, slot: Slot, cap: Altered) {
        let Altered { head, data } = cap;
        // It can have descendants of its own if a badge begins, or memory is divided further.
        let rebadged = head.has_badge() && data != self.word(source.0, DATA);
        let begins = rebadged || head.is(kind::UNTYPED) || self.seeded(Fault::CopyGetsRevocable);
        if head.is(kind::UNTYPED) {
            // A copy of memory may use all of it: nothing is left here until it is gone, and nothing is known to be clean.
            self.set_word(source.0, FREE, data);
            self.set_word(source.0, CLEAN, data);
        }
        let mut origin = self.word(source.0, ORIGIN);
        if begins && head.has_badge() && data != 0 {
            self.origins += 1;
            origin = self.origins;
        }
        let object = self.word(source.0, OBJECT);
        self.link_here(source, slot, head.marked(begins, begins), [object, data, 0, 0], origin);
    }

    /// Puts an original into the empty slot `slot`, behind `parent`.
    #[inline(always)]
    pub(crate) fn insert_original(&mut self, parent: Slot, slot: Slot, [head, rest @ ..]: [u64; 5]) {
        self.link_here(parent, slot, Head(head).marked(true, true), rest, 0);
    }

    /// Puts something that can have no descendants below `parent`.
    #[inline(always)]
    pub(crate) fn insert_leaf(&mut self, parent: Slot, slot: Slot, cap: Cap) {
        let [head, rest @ ..] = words::encode(&cap);
        self.link(parent, slot, Head(head), rest, 0);
    }

    /// [`Store::link_here`], once.
    #[inline(never)]
    fn link(&mut self, after: Slot, slot: Slot, head: Head, words: [u64; 4], origin: u64) {
        self.link_here(after, slot, head, words, origin);
    }

    #[inline(always)]
    fn link_here(
        &mut self,
        after: Slot,
        slot: Slot,
        head: Head,
        [object, data, b, c]: [u64; 4],
        origin: u64,
    ) {
        let next = self.word(after.0, NEXT);
        self.write_slot(slot, [head.0, object, data, b, c, after.0, next, origin]);
        self.set_word(after.0, NEXT, slot.0);
        self.set_previous(next, slot.0);
    }

    /// What stands behind `slot`, if there is one.
    #[inline(always)]
    fn set_next(&mut self, slot: u64, next: u64) {
        if slot != 0 {
            self.set_word(slot, NEXT, next);
        }
    }

    /// What stands before `slot`, if there is one.
    #[inline(always)]
    fn set_previous(&mut self, slot: u64, previous: u64) {
        if slot != 0 {
            self.set_word(slot, PREVIOUS, previous);
        }
    }

    /// Takes a slot out of the tree and empties it.
    #[inline]
    pub(crate) fn unlink(&mut self, slot: Slot) {
        let (previous, next) = (self.word(slot.0, PREVIOUS), self.word(slot.0, NEXT));
        self.set_next(previous, next);
        self.set_previous(next, previous);
        self.clear_slot(slot);
    }

    /// Moves a node to an empty slot, altered; its place in the tree stays.
    pub(crate) fn transplant(&mut self, source: Slot, slot: Slot, cap: Altered) {
        let [_, object, _, b, c, previous, next, origin] = self.read_slot(source);
        self.write_slot(slot, [cap.head.0, object, cap.data, b, c, previous, next, origin]);
        self.set_next(previous, slot.0);
        if !self.seeded(Fault::RotateLosesLink) {
            self.set_previous(next, slot.0);
        }
        if !self.seeded(Fault::MoveLeavesSource) {
            self.clear_slot(source);
        }
        self.moved(slot, cap.head);
    }

    /// The same with what is there as it is.
    pub(crate) fn transplant_whole(&mut self, source: Slot, slot: Slot) {
        self.transplant(source, slot, self.altered(source));
    }

    /// Exchanges two nodes, which may be neighbours.
    pub(crate) fn exchange(&mut self, a: Slot, b: Slot, cap_a: Altered, cap_b: Altered) {
        let (words_a, words_b) = (self.read_slot(a), self.read_slot(b));
        let swapped = |link: u64| match link {
            link if link == a.0 => b.0,
            link if link == b.0 => a.0,
            link => link,
        };
        for (slot, words, cap) in [(b, words_a, cap_a), (a, words_b, cap_b)] {
            let [_, object, _, b, c, previous, next, origin] = words;
            let (previous, next) = (swapped(previous), swapped(next));
            self.write_slot(slot, [cap.head.0, object, cap.data, b, c, previous, next, origin]);
        }
        for slot in [a, b] {
            self.set_next(self.word(slot.0, PREVIOUS), slot.0);
            self.set_previous(self.word(slot.0, NEXT), slot.0);
        }
        self.moved(b, cap_a.head);
        self.moved(a, cap_b.head);
    }

    /// Some capabilities are never copied and are pointed to from elsewhere: the pointer follows.
    #[inline(always)]
    fn moved(&mut self, slot: Slot, head: Head) {
        match head.kind() {
            kind::SCHED_CONTEXT => {
                let domain = self.word(slot.0, OBJECT);
                if domain != 0 {
                    self.set_word(domain, crate::layout::domain::CONTEXT, slot.0);
                }
            }
            kind::LEASE => self.lease_moved(head.small(), head.more(), slot),
            _ => {}
        }
    }

    /// Whether `parent`, standing before `child` in the list, is its ancestor.
    #[inline(always)]
    pub(crate) fn is_above(&self, parent: Slot, child: Slot) -> bool {
        self.kin(parent).is_above(self.kin(child))
    }

    /// Whether anything descends from the capability in `slot`: the next in the list does, or nothing.
    pub fn has_children(&self, slot: Slot) -> bool {
        let next = self.word(slot.0, NEXT);
        next != 0 && self.is_above(slot, Slot(next))
    }

    /// Whether two slots hold capabilities of one object.
    pub(crate) fn same_object(&self, a: Slot, b: Slot) -> bool {
        self.kin(a).is_same(self.kin(b))
    }

    /// Whether no other slot stands for the object. All slots of one object are neighbours in the list.
    #[inline(always)]
    pub fn is_final(&self, slot: Slot) -> bool {
        let other = |link: u64| link != 0 && self.same_object(slot, Slot(link));
        !other(self.word(slot.0, PREVIOUS)) && !other(self.word(slot.0, NEXT))
    }
}
