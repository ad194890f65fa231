//! A radix tree over extents: 64 slots a node, and a slot at any level may hold one extent for all that it spans. A file of the root
//! image is one slot until somebody writes into it; then only the path to the page written is split.
//!
//! The alternative, one entry a page, would cost a large file its index before anybody looks at it.

use alloc::boxed::Box;

const BITS: u32 = 6;
const FANOUT: usize = 1 << BITS;

/// What a slot may hold.
pub trait Extent: Clone {
    /// The part of this extent that begins `pages` further on.
    fn part(&self, pages: u64) -> Self;
}

enum Slot<T> {
    Empty,
    Extent(T),
    Node(Box<[Slot<T>; FANOUT]>),
}

impl<T: Extent> Clone for Slot<T> {
    fn clone(&self) -> Self {
        match self {
            Slot::Empty => Slot::Empty,
            Slot::Extent(e) => Slot::Extent(e.clone()),
            Slot::Node(n) => Slot::Node(n.clone()),
        }
    }
}

fn span(height: u32) -> u64 {
    1u64.checked_shl(BITS * height).unwrap_or(u64::MAX)
}

fn empty_node<T>() -> Box<[Slot<T>; FANOUT]> {
    Box::new(core::array::from_fn(|_| Slot::Empty))
}

/// The tree. Indices are page numbers.
#[derive(Clone)]
pub struct Radix<T: Extent> {
    root: Slot<T>,
    height: u32,
}

impl<T: Extent> Default for Radix<T> {
    fn default() -> Self {
        Radix { root: Slot::Empty, height: 0 }
    }
}

impl<T: Extent> Radix<T> {
    /// What lies at `index`.
    pub fn get(&self, index: u64) -> Option<T> {
        let (mut slot, mut height) = (&self.root, self.height);
        if index >= span(height) {
            return None;
        }
        let mut index = index;
        loop {
            match slot {
                Slot::Empty => return None,
                Slot::Extent(e) => return Some(e.part(index)),
                Slot::Node(n) => {
                    height -= 1;
                    slot = n.get((index / span(height)) as usize)?;
                    index %= span(height);
                }
            }
        }
    }

    /// Puts `value` at `index`; what lay there.
    pub fn set(&mut self, index: u64, value: T) -> Option<T> {
        let old = self.get(index);
        self.fill(index, 1, value);
        old
    }

    /// Puts the extent `value` over `count` pages from `start` on. What lay there is lost: read it first where it owns something.
    pub fn fill(&mut self, start: u64, count: u64, value: T) {
        let end = start.saturating_add(count);
        while span(self.height) < end {
            let old = core::mem::replace(&mut self.root, Slot::Empty);
            if !matches!(old, Slot::Empty) {
                let mut node = empty_node();
                node[0] = old;
                self.root = Slot::Node(node);
            }
            self.height += 1;
        }
        fill(&mut self.root, self.height, start, end, &mut |at| Some(value.part(at - start)));
    }

    /// Bytes of heap that a copy of its nodes takes.
    pub fn weight(&self) -> usize {
        nodes(&self.root).saturating_mul(size_of::<[Slot<T>; FANOUT]>().next_power_of_two())
    }

    /// Takes `count` pages from `start` on out, telling `gone` of each extent (first index, pages, value).
    pub fn clear(&mut self, start: u64, count: u64, gone: &mut dyn FnMut(u64, u64, T)) {
        let end = start.saturating_add(count).min(span(self.height));
        if start >= end {
            return;
        }
        self.visit(start, end, &mut |at, n, e| gone(at, n, e.clone()));
        fill(&mut self.root, self.height, start, end, &mut |_| None);
    }

    /// All extents between `start` and `end`, cut to them, ascending: (first index, pages, value).
    pub fn visit(&self, start: u64, end: u64, f: &mut dyn FnMut(u64, u64, &T)) {
        visit(&self.root, self.height, 0, start, end, f);
    }
}

fn nodes<T>(s: &Slot<T>) -> usize {
    match s {
        Slot::Node(n) => 1 + n.iter().map(nodes).sum::<usize>(),
        _ => 0,
    }
}

fn visit<T: Extent>(
    s: &Slot<T>,
    height: u32,
    base: u64,
    start: u64,
    end: u64,
    f: &mut dyn FnMut(u64, u64, &T),
) {
    let (from, to) = (start.max(base), end.min(base.saturating_add(span(height))));
    if from >= to {
        return;
    }
    match s {
        Slot::Empty => {}
        Slot::Extent(e) => f(from, to - from, &e.part(from - base)),
        Slot::Node(n) => {
            let child = span(height - 1);
            for (i, s) in n.iter().enumerate() {
                visit(s, height - 1, base + i as u64 * child, start, end, f);
            }
        }
    }
}

/// Sets [start, end), counted from this slot's begin, to what `value` gives for its first index there.
fn fill<T: Extent>(
    s: &mut Slot<T>,
    height: u32,
    start: u64,
    end: u64,
    value: &mut dyn FnMut(u64) -> Option<T>,
) {
    if start == 0 && end >= span(height) {
        *s = value(0).map_or(Slot::Empty, Slot::Extent);
        return;
    }
    if let Slot::Empty | Slot::Extent(_) = s {
        let old = core::mem::replace(s, Slot::Node(empty_node()));
        if let (Slot::Extent(e), Slot::Node(n)) = (old, &mut *s) {
            let child = span(height - 1);
            for (i, slot) in n.iter_mut().enumerate() {
                *slot = Slot::Extent(e.part(i as u64 * child));
            }
        }
    }
    let Slot::Node(n) = s else { return };
    let child = span(height - 1);
    let (first, last) = (start / child, (end - 1) / child);
    for i in first..=last.min(FANOUT as u64 - 1) {
        let base = i * child;
        let (from, to) = (start.saturating_sub(base), (end - base).min(child));
        if let Some(slot) = n.get_mut(i as usize) {
            fill(slot, height - 1, from, to, &mut |at| value(at + base));
        }
    }
    if n.iter().all(|s| matches!(s, Slot::Empty)) {
        *s = Slot::Empty;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use proptest::prelude::*;

    impl Extent for u64 {
        fn part(&self, pages: u64) -> u64 {
            self + pages
        }
    }

    proptest! {
        #[test]
        fn it_is_a_map_of_pages(ops in prop::collection::vec((0u8..3, 0u64..9000, 1u64..300, 0u64..1 << 40), 1..60)) {
            let (mut tree, mut model) = (Radix::default(), BTreeMap::new());
            for (op, at, n, v) in ops {
                match op {
                    0 => {
                        prop_assert_eq!(tree.set(at, v), model.insert(at, v));
                    }
                    1 => {
                        tree.fill(at, n, v);
                        model.extend((0..n).map(|i| (at + i, v + i)));
                    }
                    _ => {
                        let mut gone = BTreeMap::new();
                        tree.clear(at, n, &mut |i, n, v| gone.extend((0..n).map(|k| (i + k, v + k))));
                        let expected: BTreeMap<_, _> = model.range(at..at + n).map(|(k, v)| (*k, *v)).collect();
                        prop_assert_eq!(gone, expected);
                        model.retain(|k, _| *k < at || *k >= at + n);
                    }
                }
                prop_assert_eq!(tree.get(at), model.get(&at).copied());
            }
            let mut all = BTreeMap::new();
            tree.visit(0, u64::MAX, &mut |i, n, v| all.extend((0..n).map(|k| (i + k, v + k))));
            prop_assert_eq!(all, model);
        }
    }
}
