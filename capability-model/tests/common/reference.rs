//! A naive model of capabilities in one CNode, written apart from the crate: a tree of numbered nodes with ordered children, maps, and
//! memory as a list of what was given out. It answers what an operation must come to, and what must then be where.

use capability_model::ErrorKind::{self, *};
use std::collections::BTreeMap;

pub type Id = u32;
/// What an operation comes to: fine, or an error and the argument at fault.
pub type Verdict = Result<(), (ErrorKind, u8)>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Thing {
    Untyped {
        base: u64,
        size: u64,
        used: u64,
    },
    /// Kind number and object.
    Badged(u64, u64),
    /// The same, without a badge.
    Plain(u64, u64),
    /// Nothing can be made of it or copied.
    Single(u64, u64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    pub thing: Thing,
    pub badge: u64,
    pub rights: u64,
    /// Whether it may have descendants: it began its object, its badge, or is memory.
    pub begins: bool,
    pub parent: Option<Id>,
    pub children: Vec<Id>,
}

#[derive(Clone, Debug, Default)]
pub struct Reference {
    pub slots: BTreeMap<u64, Id>,
    pub known: BTreeMap<Id, Known>,
    roots: Vec<Id>,
    last: Id,
}

impl Reference {
    pub fn root(&mut self, slot: u64, thing: Thing) {
        self.last += 1;
        let known = Known { thing, badge: 0, rights: 15, begins: true, parent: None, children: Vec::new() };
        self.known.insert(self.last, known);
        self.roots.push(self.last);
        self.slots.insert(slot, self.last);
    }

    fn at(&self, slot: u64, argument: u8) -> Result<Id, (ErrorKind, u8)> {
        self.slots.get(&slot).copied().ok_or((FailedLookup, argument))
    }

    fn vacant(&self, slot: u64) -> Verdict {
        if self.slots.contains_key(&slot) { Err((DeleteFirst, 1)) } else { Ok(()) }
    }

    fn siblings(&mut self, parent: Option<Id>) -> &mut Vec<Id> {
        match parent {
            Some(parent) => &mut self.known.get_mut(&parent).unwrap().children,
            None => &mut self.roots,
        }
    }

    /// A node from another one: its first child, or its next sibling.
    fn add(&mut self, source: Id, slot: u64, mut node: Known, child: bool) {
        self.last += 1;
        let id = self.last;
        node.parent = if child { Some(source) } else { self.known[&source].parent };
        let siblings = self.siblings(node.parent);
        let place = if child { 0 } else { siblings.iter().position(|s| *s == source).unwrap() + 1 };
        siblings.insert(place, id);
        self.known.insert(id, node);
        self.slots.insert(slot, id);
    }

    /// Copy, or Mint with data.
    pub fn copy(&mut self, to: u64, from: u64, rights: u64, data: Option<u64>) -> Verdict {
        self.vacant(to)?;
        let source = self.at(from, 4)?;
        let from = self.known[&source].clone();
        let mut node =
            Known { rights: from.rights & rights, begins: false, children: Vec::new(), ..from.clone() };
        match &mut node.thing {
            Thing::Single(..) => return Err((IllegalOperation, 4)),
            Thing::Untyped { .. } if !from.children.is_empty() => return Err((RevokeFirst, 4)),
            Thing::Untyped { used, .. } => {
                (*used, node.begins, node.rights) = (0, true, 15);
                if data.is_some_and(|data| data != 0) {
                    return Err((InvalidArgument, 7));
                }
                if let Thing::Untyped { size, used, .. } = &mut self.known.get_mut(&source).unwrap().thing {
                    *used = *size;
                }
            }
            Thing::Badged(..) => {
                if let Some(data) = data {
                    if from.badge != 0 {
                        return Err((IllegalOperation, 7));
                    }
                    (node.badge, node.begins) = (data, data != 0);
                }
            }
            Thing::Plain(kind, _) => {
                if *kind != 5 {
                    node.rights = 15;
                }
                // The data of a CNode is its guard, and none of these paths use a guard.
                if data.is_some_and(|data| data != 0) {
                    return Err((InvalidArgument, 7));
                }
            }
        }
        let child = from.begins && (from.badge == 0 || from.badge == node.badge);
        self.add(source, to, node, child);
        Ok(())
    }

    pub fn shift(&mut self, to: u64, from: u64) -> Verdict {
        self.vacant(to)?;
        let id = self.at(from, 4)?;
        self.slots.remove(&from);
        self.slots.insert(to, id);
        Ok(())
    }

    pub fn rotate(&mut self, to: u64, pivot: u64, from: u64) -> Verdict {
        let (pivot_id, from_id) = (self.at(pivot, 4)?, self.at(from, 8)?);
        if pivot == from || pivot == to {
            return Err((IllegalOperation, 4));
        }
        if to != from {
            self.vacant(to)?;
        }
        self.slots.remove(&from);
        self.slots.insert(to, pivot_id);
        self.slots.insert(pivot, from_id);
        Ok(())
    }

    fn remove(&mut self, id: Id) {
        let node = self.known.remove(&id).unwrap();
        self.slots.retain(|_, held| *held != id);
        for child in &node.children {
            self.known.get_mut(child).unwrap().parent = node.parent;
        }
        let siblings = self.siblings(node.parent);
        let place = siblings.iter().position(|s| *s == id).unwrap();
        siblings.splice(place..=place, node.children);
    }

    pub fn delete(&mut self, slot: u64) {
        if let Some(id) = self.slots.get(&slot).copied() {
            self.remove(id);
        }
    }

    pub fn revoke(&mut self, slot: u64) {
        let Some(id) = self.slots.get(&slot).copied() else { return };
        while let Some(child) = self.known[&id].children.first().copied() {
            self.remove(child);
        }
    }

    /// Retype of `count` objects of a kind; sizes are told, as the layout is the crate's own affair.
    pub fn retype(&mut self, from: u64, kind: u64, each: u64, align: u64, to: u64, count: u64) -> Verdict {
        let id = self.at(from, 0)?;
        let node = &self.known[&id];
        let Thing::Untyped { base, size, used } = node.thing else { return Err((IllegalOperation, 0)) };
        if to >= 64 {
            return Err((RangeError, 6));
        }
        if count == 0 || count > 64 || to + count > 64 {
            return Err((RangeError, 7));
        }
        if (to..to + count).any(|slot| self.slots.contains_key(&slot)) {
            return Err((DeleteFirst, 6));
        }
        let used = if node.children.is_empty() { 0 } else { used };
        let start = (base + used).div_ceil(align) * align;
        let stride = each.div_ceil(align) * align;
        if start + stride * count > base + size {
            return Err((NotEnoughMemory, 0));
        }
        let end = start + stride * count - base;
        self.known.get_mut(&id).unwrap().thing = Thing::Untyped { base, size, used: end };
        for i in 0..count {
            let at = start + stride * i;
            let thing = match kind {
                0 => Thing::Untyped { base: at, size: each, used: 0 },
                2 | 3 => Thing::Badged(kind, at),
                6 => Thing::Single(kind, at),
                _ => Thing::Plain(kind, at),
            };
            let rights = if kind == 5 { 3 } else { 15 };
            let node = Known { thing, badge: 0, rights, begins: true, parent: None, children: Vec::new() };
            self.add(id, to + i, node, true);
        }
        Ok(())
    }

    /// The slot of a node's parent.
    pub fn parent_slot(&self, slot: u64) -> Option<u64> {
        let parent = self.known[self.slots.get(&slot)?].parent?;
        self.slots.iter().find(|(_, id)| **id == parent).map(|(slot, _)| *slot)
    }
}
