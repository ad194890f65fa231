//! Names: entries of directories, as records of the same log.

use super::{DIRECTORY, Files, Key, TYPE, Value};
use crate::errno::{ENOENT, Result};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// An entry: sequence number, name, inode.
pub type Entry = (u64, Rc<[u8]>, u64);

/// The path of `name` in the directory `path`.
fn below(mut path: Vec<u8>, name: &[u8]) -> Vec<u8> {
    if path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

impl Files {
    /// ENOENT, unless the inode still has a name.
    pub fn lives(&self, inode: u64) -> Result<()> {
        if self.inode(inode).is_some_and(|i| i.links > 0) { Ok(()) } else { Err(ENOENT) }
    }

    /// The inode that has `name` in `dir`.
    pub fn lookup(&self, dir: u64, name: &[u8]) -> Option<u64> {
        let Some(Value::Slot(slot)) = self.store.get(&Key::Name(dir, name.into())) else { return None };
        match self.store.get(&Key::Entry(dir, *slot)) {
            Some(Value::Entry(_, inode)) => Some(*inode),
            _ => None,
        }
    }

    /// The entries of `dir` from sequence number `from` on, in order.
    pub fn entries(&self, dir: u64, from: u64) -> Vec<Entry> {
        let all = self.store.range(&Key::Entry(dir, from), &Key::Entry(dir, u64::MAX));
        all.filter_map(|(k, v)| match (k, v) {
            (Key::Entry(_, slot), Value::Entry(name, inode)) => Some((*slot, name.clone(), *inode)),
            _ => None,
        })
        .collect()
    }

    /// A new entry at the end of `dir`.
    pub fn enter(&mut self, dir: u64, name: &[u8], inode: u64) {
        let slot = self.inode(dir).map_or(0, |d| d.sequence);
        let name: Rc<[u8]> = name.into();
        self.store.put(Key::Entry(dir, slot), Value::Entry(name.clone(), inode));
        self.store.put(Key::Name(dir, name), Value::Slot(slot));
        self.change(dir, |d| d.sequence += 1);
    }

    /// An entry goes.
    pub(super) fn leave(&mut self, dir: u64, name: &[u8]) {
        let key = Key::Name(dir, name.into());
        if let Some(Value::Slot(slot)) = self.store.get(&key) {
            let entry = Key::Entry(dir, *slot);
            self.store.remove(&entry);
            self.store.remove(&key);
        }
    }

    fn modified(&mut self, dir: u64, now: i64) {
        self.change(dir, |d| (d.times[1], d.times[2], d.touched) = (now, now, true));
    }

    /// What is made in a directory with S_ISGID is of its group; a directory has the bit too.
    pub fn inherit(&mut self, dir: u64, inode: u64) {
        const SET_GROUP: u32 = 0o2000;
        let Some((mode, gid)) = self.inode(dir).map(|d| (d.mode, d.gid)) else { return };
        if mode & SET_GROUP != 0 {
            self.change(inode, |i| {
                i.gid = gid;
                i.mode |= if i.mode & TYPE == DIRECTORY { SET_GROUP } else { 0 };
            });
        }
    }

    /// Gives a made inode its first name.
    pub fn name_new(&mut self, dir: u64, name: &[u8], inode: u64, now: i64) {
        if self.is_directory(inode) {
            self.change(inode, |i| (i.links, i.parent) = (2, dir));
            self.change(dir, |d| d.links += 1);
        }
        self.enter(dir, name, inode);
        self.modified(dir, now);
    }

    /// One more name.
    pub fn link(&mut self, dir: u64, name: &[u8], inode: u64, now: i64) {
        self.enter(dir, name, inode);
        self.modified(dir, now);
        self.change(inode, |i| (i.links, i.times[2], i.touched) = (i.links + 1, now, true));
    }

    /// Whether it is a directory.
    pub fn is_directory(&self, inode: u64) -> bool {
        self.inode(inode).is_some_and(|i| i.mode & TYPE == DIRECTORY)
    }

    /// Whether a directory has no entries.
    pub fn is_empty(&self, dir: u64) -> bool {
        self.entries(dir, 0).is_empty()
    }

    /// Removes a name, of a directory or not; all checks were made.
    pub fn unlink(&mut self, dir: u64, name: &[u8], now: i64) {
        let Some(inode) = self.lookup(dir, name) else { return };
        self.name_goes(dir, name, inode);
        self.leave(dir, name);
        if self.is_directory(inode) {
            self.change(dir, |d| d.links -= 1);
            self.change(inode, |i| i.links = 0);
        } else {
            self.change(inode, |i| i.links -= 1);
        }
        self.change(inode, |i| (i.times[2], i.touched) = (now, true));
        self.modified(dir, now);
        self.reap(inode);
    }

    /// Whether `above` is `dir` or a directory above it.
    pub fn is_above(&self, above: u64, dir: u64) -> bool {
        let mut at = dir;
        loop {
            if at == above {
                return true;
            }
            match self.inode(at) {
                Some(i) if i.parent != at && i.parent != 0 => at = i.parent,
                _ => return false,
            }
        }
    }

    /// Renames; all checks were made, and the target is another inode or none.
    pub fn rename(&mut self, from: (u64, &[u8]), to: (u64, &[u8]), now: i64) {
        let Some(inode) = self.lookup(from.0, from.1) else { return };
        if self.lookup(to.0, to.1).is_some() {
            self.unlink(to.0, to.1, now);
        }
        self.name_moves(from, to, inode);
        self.leave(from.0, from.1);
        self.enter(to.0, to.1, inode);
        if self.is_directory(inode) && from.0 != to.0 {
            self.change(from.0, |d| d.links -= 1);
            self.change(to.0, |d| d.links += 1);
            self.change(inode, |i| i.parent = to.0);
        }
        self.modified(from.0, now);
        self.modified(to.0, now);
        self.change(inode, |i| (i.times[2], i.touched) = (now, true));
    }

    /// The directory above one, and its name there; none: it was removed.
    pub(super) fn own_entry(&self, dir: u64) -> Option<(u64, Rc<[u8]>)> {
        let parent = self.inode(dir).filter(|i| i.links > 0)?.parent;
        let name = self.entries(parent, 0).into_iter().find(|(_, _, i)| *i == dir)?.1;
        Some((parent, name))
    }

    /// The path of a directory; none: it was removed.
    pub fn directory_path(&self, dir: u64) -> Option<Vec<u8>> {
        let (mut at, mut parts) = (dir, Vec::new());
        while at != super::ROOT {
            let (parent, name) = self.own_entry(at)?;
            parts.push(name);
            at = parent;
        }
        let path: Vec<u8> = parts.iter().rev().fold(Vec::new(), |path, part| below(path, part));
        Some(if path.is_empty() { b"/".to_vec() } else { path })
    }

    /// All that a snapshot holds: those, and those of which only the times were set.
    pub fn changed(&self) -> impl Iterator<Item = (u64, &super::Inode)> + '_ {
        self.all().filter(|(_, i)| (i.touched || i.dated) && (i.links > 0 || i.held > 0))
    }

    /// All files, by number.
    pub fn all(&self) -> impl Iterator<Item = (u64, &super::Inode)> + '_ {
        self.store.range(&Key::Inode(0), &Key::Inode(u64::MAX)).filter_map(|(k, v)| match (k, v) {
            (Key::Inode(n), Value::Inode(i)) => Some((*n, i)),
            _ => None,
        })
    }

    /// All that were touched and have a name or a holder, by number.
    pub fn touched(&self) -> impl Iterator<Item = (u64, &super::Inode)> + '_ {
        self.all().filter(|(_, i)| i.touched && (i.links > 0 || i.held > 0))
    }
}
