//! Dentries, as on Linux: what is open has a name that is followed while directory entries are renamed and removed (`docs/linux-abi.md`, "Names of what is
//! open"). Each directory has its own; any other entry has one as long as something that was opened by it holds it. Only this server changes one.

use super::Files;
use super::node::{Body, NodeId, ROOT, Realm, realm};
use super::walk::{PATH_MAX, Spot};
use crate::error::{Res, e};
use abi::snapshot::RECORD_MAX;
use abi::turn::INODES_MAX;
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use core::cell::RefCell;

/// What the text of an entry that was removed ends with.
const DELETED: &[u8] = b" (deleted)";
/// Removed entries that may hang below each other, as many as one tree has. Each removed tree may be below another, which is removed in its turn, so what
/// lies at the end would hold, and its last close free, any number of them.
const CHAIN_MAX: usize = INODES_MAX as usize;

/// A directory entry, of which something open may speak.
#[derive(Debug)]
pub struct Dentry(RefCell<Entry>);

#[derive(Debug)]
struct Entry {
    /// The directory that it is in, or was when it was removed; `None`: the root, or nobody knows.
    above: Option<Rc<Dentry>>,
    name: Vec<u8>,
    removed: bool,
    /// The most removed entries that have hung below each other below it.
    below: usize,
}

impl Dentry {
    fn of(above: Option<Rc<Dentry>>, name: &[u8], removed: bool) -> Rc<Dentry> {
        Rc::new(Dentry(RefCell::new(Entry { above, name: name.to_vec(), removed, below: 0 })))
    }

    /// Of an entry that is there.
    pub fn new(above: Rc<Dentry>, name: &[u8]) -> Rc<Dentry> {
        Dentry::of(Some(above), name, false)
    }

    /// The root's.
    pub fn root() -> Rc<Dentry> {
        Dentry::of(None, b"", false)
    }

    /// Of something removed whose name nobody knows.
    pub fn unknown() -> Rc<Dentry> {
        Dentry::of(None, b"", true)
    }

    fn is_unknown(&self) -> bool {
        let entry = self.0.borrow();
        entry.above.is_none() && entry.removed
    }

    /// The entry is elsewhere now.
    pub fn rename(&self, above: Rc<Dentry>, name: &[u8]) {
        let mut entry = self.0.borrow_mut();
        entry.above = Some(above);
        entry.name = name.to_vec();
    }

    /// The entry is removed; it stays so. With too many below it, it has its text of now for a name and hangs below the `root`.
    pub fn remove(&self, root: &Rc<Dentry>) {
        let is_last = self.0.borrow().below >= CHAIN_MAX;
        let text = if is_last { self.text(usize::MAX).ok() } else { None };
        let mut entry = self.0.borrow_mut();
        entry.removed = true;
        if let Some(text) = text {
            entry.name = text[1..].to_vec();
            entry.above = Some(root.clone());
        } else if let Some(above) = &entry.above {
            let mut above = above.0.borrow_mut();
            above.below = above.below.max(entry.below + 1);
        }
    }

    /// Its text as it is now. ENOENT: nobody knows it; ENAMETOOLONG: it is longer than `most` bytes.
    pub fn text(&self, most: usize) -> Res<Vec<u8>> {
        // From its end to its beginning.
        let mut text = Vec::new();
        let mut next = {
            let entry = self.0.borrow();
            match (&entry.above, entry.removed) {
                (None, true) => return Err(e::ENOENT),
                (None, false) => return Ok(b"/".to_vec()),
                (_, removed) => text.extend(DELETED.iter().rev().filter(|_| removed)),
            }
            text.extend(entry.name.iter().rev());
            entry.above.clone()
        };
        while let Some(dentry) = next {
            text.push(b'/');
            let entry = dentry.0.borrow();
            text.extend(entry.name.iter().rev());
            if text.len() > most {
                return Err(e::ENAMETOOLONG);
            }
            next = entry.above.clone();
        }
        text.reverse();
        Ok(text)
    }

    /// Its text as a record of a snapshot has it: empty if nobody knows it, and longer than a record can be if it is that.
    pub fn record_text(&self) -> Vec<u8> {
        match self.text(RECORD_MAX) {
            Err(e::ENAMETOOLONG) => alloc::vec![b'/'; RECORD_MAX + 1],
            text => text.unwrap_or_default(),
        }
    }

    /// Whether both have the same text, which must fit a record if they are two.
    pub fn is_like(&self, other: &Dentry) -> bool {
        core::ptr::eq(self, other)
            || self.text(RECORD_MAX).is_ok_and(|text| other.text(RECORD_MAX).is_ok_and(|o| o == text))
    }
}

impl Drop for Dentry {
    /// One after the other: each may be the last that holds the one above it, and no stack holds as many frames.
    fn drop(&mut self) {
        let mut next = self.0.get_mut().above.take();
        while let Some(above) = next {
            next = Rc::into_inner(above).and_then(|mut last| last.0.get_mut().above.take());
        }
    }
}

/// Dentries of removed entries that a snapshot told of, by the directory above and what follows in the text: what has one text has one dentry.
pub type Told = BTreeMap<(NodeId, Vec<u8>), Rc<Dentry>>;

impl Files {
    /// The dentry of an entry.
    fn dentry(&mut self, directory: NodeId, name: &[u8]) -> Option<Rc<Dentry>> {
        self.directory_mut(directory).ok()?.dentry(name)
    }

    /// The dentry by which what a walk found is opened; `None` for directories, which have their own, and what is not in the root file system.
    pub(super) fn opened_by(&mut self, spot: &Spot, node: NodeId) -> Option<Rc<Dentry>> {
        if realm(node) != Realm::Root || self.is_directory(node) {
            return None;
        }
        if spot.dentry.is_some() {
            return spot.dentry.clone();
        }
        match &spot.last {
            super::walk::Last::Name(name) => self.dentry(spot.directory, name),
            _ => None,
        }
    }

    /// The dentry of a node that was opened by `name`; `None`: it is not in the root file system.
    pub fn dentry_of<'a>(&'a self, node: NodeId, name: Option<&'a Rc<Dentry>>) -> Option<&'a Rc<Dentry>> {
        if realm(node) != Realm::Root {
            return None;
        }
        name.or_else(|| self.directory(node).ok().map(|d| &d.dentry))
    }

    /// The path of a node that was opened by `name`; ENAMETOOLONG: it is longer than `PATH_MAX`.
    pub fn path_of(&self, node: NodeId, name: Option<&Rc<Dentry>>) -> Res<Vec<u8>> {
        match realm(node) {
            Realm::Root => self.dentry_of(node, name).ok_or(e::ENOENT)?.text(PATH_MAX),
            _ => Ok(self.virtual_path(node)),
        }
    }

    /// As [`Files::path_of`], for a record of a snapshot.
    pub(super) fn record_path(&self, node: NodeId, name: Option<&Rc<Dentry>>) -> Vec<u8> {
        match realm(node) {
            Realm::Root => self.dentry_of(node, name).map_or(Vec::new(), |d| d.record_text()),
            _ => self.virtual_path(node),
        }
    }

    /// Walks a text of names, none of them a link, as far as directories go: the last of them, and what is left of the text.
    fn descend<'t>(&self, text: &'t [u8]) -> (NodeId, &'t [u8]) {
        let (mut at, mut rest) = (ROOT, text.strip_prefix(b"/").unwrap_or(text));
        while let Some(slash) = rest.iter().position(|b| *b == b'/') {
            let found = self.directory(at).ok().and_then(|d| d.find(&rest[..slash]));
            let Some(next) = found.filter(|next| self.directory(*next).is_ok()) else { break };
            (at, rest) = (next, &rest[slash + 1..]);
        }
        (at, rest)
    }

    /// The dentry that a snapshot's text tells of: that of an entry which leads to what `is_it` knows, and its node; else that of a removed one, and `None`.
    fn told_of(
        &mut self,
        text: &[u8],
        told: &mut Told,
        is_it: impl Fn(&Files, NodeId) -> bool,
    ) -> (Option<NodeId>, Rc<Dentry>) {
        let (directory, rest) = self.descend(text);
        let found = self.directory(directory).ok().and_then(|d| d.find(rest)).filter(|id| is_it(self, *id));
        if let (Some(node), Some(dentry)) = (found, found.and_then(|_| self.dentry(directory, rest))) {
            return (Some(node), dentry);
        }
        let name = rest.strip_suffix(DELETED).unwrap_or(rest);
        let above = self.directory(directory).ok().map(|d| d.dentry.clone()).filter(|_| !name.is_empty());
        let made = || Dentry::of(above, name, true);
        (None, told.entry((directory, name.to_vec())).or_insert_with(made).clone())
    }

    /// The dentry by which a snapshot says that a node was opened or mapped.
    pub fn told_dentry(&mut self, node: NodeId, text: &[u8], told: &mut Told) -> Option<Rc<Dentry>> {
        if realm(node) != Realm::Root {
            return None;
        }
        if !self.is_directory(node) {
            return Some(self.told_of(text, told, |_, id| id == node).1);
        }
        // A directory that is there has its own; of one that was removed the text alone tells it.
        if self.directory(node).is_ok_and(|d| d.dentry.is_unknown()) {
            let dentry = self.told_of(text, told, |_, _| false).1;
            self.directory_mut(node).ok()?.dentry = dentry;
        }
        None
    }

    /// The program that a snapshot's text tells of. `mapped` is the inode that its process' mappings with this text are of: the file, though its name be gone.
    pub(super) fn told_program(
        &mut self,
        text: &[u8],
        mapped: Option<NodeId>,
        told: &mut Told,
    ) -> Option<super::table::Program> {
        if text.is_empty() {
            return None;
        }
        let is_file =
            |f: &Files, id: NodeId| f.nodes.get(&id).is_some_and(|n| matches!(n.body, Body::File(_)));
        let mapped = mapped.filter(|id| is_file(self, *id));
        let is_it = |f: &Files, id: NodeId| mapped.map_or_else(|| is_file(f, id), |m| m == id);
        let (node, dentry) = self.told_of(text, told, is_it);
        Some(super::table::Program { node: node.or(mapped).unwrap_or(super::table::NO_NODE), dentry })
    }
}
