//! Directory entries by which something is open, entered, executed or mapped, as Linux' dentries: what links of /proc tell. They follow renames, and
//! are removed for good. Neither digests nor limits know of them.

use super::Ino;
use alloc::collections::BTreeMap;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;
use core::cell::RefCell;

/// Names that nobody holds any more are swept out when there can be so many, or as many as others.
const SWEEP: core::ops::RangeInclusive<usize> = 64..=2048;

/// A directory entry, shared by all who hold it. The default one is the root's.
#[derive(Clone, Debug, Default)]
pub struct Entry(Rc<Held>);

#[derive(Debug, Default)]
struct Held {
    at: RefCell<At>,
}

#[derive(Debug, Default)]
struct At {
    /// That of the directory that it is in, which so lives on though it be removed; none above the root.
    above: Option<Entry>,
    name: Vec<u8>,
    removed: bool,
}

impl Entry {
    /// `name` in the directory that has entry `above`.
    pub fn new(above: &Entry, name: &[u8]) -> Entry {
        let at = At { above: Some(above.clone()), name: name.to_vec(), removed: false };
        Entry(Rc::new(Held { at: RefCell::new(at) }))
    }

    /// It has this name in this directory from now on.
    pub fn put(&self, above: &Entry, name: &[u8]) {
        let mut at = self.0.at.borrow_mut();
        let old = at.above.replace(above.clone());
        at.name = name.to_vec();
        drop(at);
        drop(old);
    }

    /// It is gone; its last place stays.
    pub fn remove(&self) {
        self.0.at.borrow_mut().removed = true;
    }

    /// Whether both are the same entry.
    pub fn is(&self, other: &Entry) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }

    /// Its name, and those of the directories above it, up to the root, which has none.
    fn upwards(&self, mut each: impl FnMut(&[u8])) {
        let mut entry = self.clone();
        loop {
            let above = {
                let at = entry.0.at.borrow();
                let Some(above) = &at.above else { return };
                each(&at.name);
                above.clone()
            };
            entry = above;
        }
    }

    /// Its path, with " (deleted)" behind it if it is gone.
    pub fn text(&self) -> Vec<u8> {
        let mut len = b"/ (deleted)".len();
        self.upwards(|name| len += name.len() + 1);
        // From the end to the beginning, which is known last.
        let mut text = Vec::with_capacity(len);
        self.upwards(|name| {
            text.extend(name.iter().rev());
            text.push(b'/');
        });
        if text.is_empty() {
            text.push(b'/');
        }
        text.reverse();
        if self.0.at.borrow().removed {
            text.extend_from_slice(b" (deleted)");
        }
        text
    }
}

impl Drop for Held {
    /// Step by step: as many directories as there can be may lie above each other.
    fn drop(&mut self) {
        let mut above = self.at.get_mut().above.take();
        while let Some(Entry(held)) = above {
            above = Rc::into_inner(held).and_then(|mut last| last.at.get_mut().above.take());
        }
    }
}

/// The entries of what is no directory, as long as somebody holds them and they are there. (A directory has its own.)
#[derive(Debug, Default)]
pub struct Entries {
    held: BTreeMap<(Ino, Vec<u8>), Weak<Held>>,
    sweep_at: usize,
    /// Removed ones of a snapshot that is being read, by inode and text: equal ones are one.
    pub begun: BTreeMap<(Ino, Vec<u8>), Entry>,
}

impl Entries {
    /// That of `name` in directory `dir`, which has entry `above`.
    pub fn hold(&mut self, dir: Ino, above: &Entry, name: &[u8]) -> Entry {
        let key = (dir, name.to_vec());
        if let Some(held) = self.held.get(&key).and_then(Weak::upgrade) {
            return Entry(held);
        }
        let entry = Entry::new(above, name);
        self.keep(key, &entry);
        entry
    }

    fn keep(&mut self, key: (Ino, Vec<u8>), entry: &Entry) {
        self.held.insert(key, Rc::downgrade(&entry.0));
        if self.held.len() > self.sweep_at {
            self.held.retain(|_, held| held.strong_count() > 0);
            self.sweep_at = self.held.len() + self.held.len().clamp(*SWEEP.start(), *SWEEP.end());
        }
    }

    /// How many names are kept.
    #[cfg(test)]
    pub fn kept(&self) -> usize {
        self.held.len()
    }

    /// That of `name` in `dir` is removed, if somebody holds it.
    pub fn remove(&mut self, dir: Ino, name: &[u8]) {
        if let Some(held) = self.held.remove(&(dir, name.to_vec())).and_then(|held| held.upgrade()) {
            Entry(held).remove();
        }
    }

    /// That of a name goes to another, `to` in a directory that has entry `above`, if somebody holds it.
    pub fn rename(&mut self, (dir, name): (Ino, &[u8]), to: (Ino, &[u8]), above: &Entry) {
        if let Some(held) = self.held.remove(&(dir, name.to_vec())).and_then(|held| held.upgrade()) {
            let entry = Entry(held);
            entry.put(above, to.1);
            self.keep((to.0, to.1.to_vec()), &entry);
        }
    }
}
