//! The writable layer as a snapshot has it: inodes over the image's members, then a look whether the tree holds together.

use super::super::content::{Content, Pages};
use super::super::dir::Dir;
use super::super::inode::{Body, Inode, Meta};
use super::super::linux::*;
use super::super::tree::{ROOT, Tree};
use super::super::{Fs, Ino};
use super::from_ns;
use crate::snapshot::{NUMBER_MAX, Wrong};
use abi::snapshot as form;
use abi::turn::{FILE_PAGES, INODES_MAX};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// The inodes of a snapshot as they come, one after the other.
#[derive(Default)]
pub(crate) struct Inodes {
    /// Each with how the image has it, to see what was changed.
    all: BTreeMap<Ino, Option<Inode>>,
    last: Ino,
}

impl Fs {
    /// The next inode; entries or pages of it come next.
    pub(crate) fn begin_inode(&mut self, inodes: &mut Inodes, r: &form::Inode<'_>) -> Result<(), Wrong> {
        if r.number <= inodes.last || r.number >= self.tree.next {
            return Err("an inode's number is out of order, or not below the next one's");
        }
        inodes.last = r.number;
        let member = self.tree.original(r.number).copied();
        let body = match r.mode & S_IFMT {
            S_IFREG if r.from_image => {
                let data = member.map_or(&[][..], |o| o.data);
                if data.len() as u64 != r.size || member.is_none() {
                    return Err("a file that is no member of the image, or of another size");
                }
                Body::Regular(Content::Image(data))
            }
            S_IFREG if r.size <= FILE_SIZE_MAX => {
                Body::Regular(Content::Own { size: r.size, pages: Pages::default() })
            }
            S_IFDIR if r.next_sequence < NUMBER_MAX => Body::Directory(Dir::begin(r.parent, r.next_sequence)),
            S_IFLNK if !r.target.is_empty() && r.target.len() < PATH_MAX && !r.target.contains(&0) => {
                Body::Link(r.target.to_vec())
            }
            S_IFIFO => Body::Fifo,
            S_IFSOCK => Body::Socket,
            S_IFCHR | S_IFBLK => Body::Device(r.device),
            _ => return Err("an inode that no file can have"),
        };
        let was = self.tree.take(r.number);
        if was.as_ref().is_some_and(|w| w.meta.mode & S_IFMT != r.mode & S_IFMT) || r.mode > 0o177777 {
            return Err("a member of the image that became another kind of file");
        }
        let [atime, mtime, ctime] = [r.accessed_ns, r.modified_ns, r.changed_ns].map(from_ns);
        let links = if r.mode & S_IFMT == S_IFDIR { r.links.min(1) } else { r.links };
        let inode = Inode {
            meta: Meta { mode: r.mode, uid: r.uid, gid: r.gid, atime, mtime, ctime },
            links,
            holds: 0,
            body,
            changed: true,
            made: was.is_none(),
        };
        self.tree.put(r.number, inode);
        inodes.all.insert(r.number, was);
        Ok(())
    }

    /// An entry of the last inode.
    pub(crate) fn begin_entry(&mut self, inodes: &Inodes, e: &form::DirectoryEntry<'_>) -> Result<(), Wrong> {
        let dir =
            self.tree.get_mut(inodes.last).and_then(Inode::dir_mut).ok_or("an entry of no directory")?;
        let bad = e.name.is_empty() || e.name.len() > NAME_MAX || matches!(e.name, b"." | b"..");
        if bad || e.name.iter().any(|b| matches!(b, 0 | b'/')) {
            return Err("a name that no file can have");
        }
        if dir.begin_entry(e.sequence, e.name, e.inode) {
            Ok(())
        } else {
            Err("an entry out of order, or there twice")
        }
    }

    /// A page of the last inode.
    pub(crate) fn begin_file_page(&mut self, inodes: &Inodes, page: &form::Page<'_>) -> Result<(), Wrong> {
        if self.tree.pages >= FILE_PAGES {
            return Err("more pages of files than there can be");
        }
        self.tree.pages += 1;
        let body = self.tree.get_mut(inodes.last).map(|inode| &mut inode.body);
        let Some(Body::Regular(content)) = body else { return Err("a page of no file") };
        let fits = content.begin_page(page.at, page.bytes);
        if fits { Ok(()) } else { Err("a page out of order, or beyond its file's end") }
    }

    /// All inodes are there: what no name leads to and nobody wrote was removed; the rest must hold together.
    pub(crate) fn end_inodes(&mut self, inodes: Inodes) -> Result<(), Wrong> {
        let names = self.tree.connect()?;
        for ino in self.tree.numbers() {
            let (listed, named) = (inodes.all.contains_key(&ino), names.get(&ino).copied().unwrap_or(0));
            if !listed && named == 0 && ino != ROOT {
                self.tree.take(ino);
                continue;
            }
            let Some(inode) = self.tree.get(ino) else { continue };
            if let Some(dir) = inode.dir().filter(|_| inode.links == 0) {
                dir.entry.remove();
            }
            let wanted = if inode.is_dir() { named.max((ino == ROOT).into()) } else { named };
            if inode.links != wanted {
                return Err("an inode has not so many names");
            }
            if inode.links == 0 && inode.dir().is_some_and(|d| d.len() > 0) {
                return Err("a directory without a name has entries");
            }
        }
        self.tree.made =
            self.tree.numbers().into_iter().filter(|i| self.tree.original(*i).is_none()).count() as u64;
        if self.tree.made > INODES_MAX {
            return Err("more inodes than there can be");
        }
        for (ino, was) in inodes.all {
            if let (Some(was), Some(inode)) = (was, self.tree.get_mut(ino)) {
                inode.changed = differs(&was, inode);
            }
        }
        self.tree.check_parents()
    }
}

/// Whether anything but times is not as in the image.
fn differs(was: &Inode, now: &Inode) -> bool {
    let same = match (&was.body, &now.body) {
        (Body::Regular(a), Body::Regular(b)) => a.own_pages().is_none() && b.own_pages().is_none(),
        (Body::Directory(a), Body::Directory(b)) => {
            a.next_sequence() == b.next_sequence() && a.entries(0).eq(b.entries(0))
        }
        (Body::Link(a), Body::Link(b)) => a == b,
        _ => was.rdev() == now.rdev(),
    };
    let key = |i: &Inode| (i.meta.mode, i.meta.uid, i.meta.gid, i.links);
    !same || key(was) != key(now)
}

impl Tree {
    /// Counts names, and lets each directory know where it lies. Every directory has one name at most.
    fn connect(&mut self) -> Result<BTreeMap<Ino, u32>, Wrong> {
        let mut names: BTreeMap<Ino, u32> = BTreeMap::new();
        let mut dirs = Vec::from([ROOT]);
        let mut seen = BTreeSet::from([ROOT]);
        while let Some(dir) = dirs.pop() {
            let list = self.get(dir).and_then(Inode::dir).map(|d| d.entries(0));
            let list: Vec<(Vec<u8>, Ino)> =
                list.into_iter().flatten().map(|(_, n, i)| (n.to_vec(), i)).collect();
            let mut subdirectories = 0;
            for (name, ino) in list {
                *names.entry(ino).or_default() += 1;
                let above = self.entry_of(dir).cloned().unwrap_or_default();
                let inode = self.get_mut(ino).ok_or("an entry of an inode that is not there")?;
                let Some(d) = inode.dir_mut() else { continue };
                if !seen.insert(ino) {
                    return Err("a directory with two names");
                }
                d.parent = dir;
                d.entry.put(&above, &name);
                subdirectories += 1;
                dirs.push(ino);
            }
            if let Some(d) = self.get_mut(dir).and_then(Inode::dir_mut) {
                d.subdirectories = subdirectories;
            }
        }
        Ok(names)
    }

    /// Whoever goes up from a directory comes to the root, or to one that is gone.
    fn check_parents(&self) -> Result<(), Wrong> {
        let numbers = self.numbers();
        for &ino in &numbers {
            let (mut at, mut steps) = (ino, 0);
            while let Some(d) = self.get(at).and_then(Inode::dir).filter(|_| at != ROOT) {
                (at, steps) = (d.parent, steps + 1);
                if steps > numbers.len() {
                    return Err("directories that lie in each other");
                }
            }
        }
        Ok(())
    }

    /// Whether all that has no name is held.
    pub fn check_held(&self) -> Result<(), Wrong> {
        let lost = |ino: &Ino| self.get(*ino).is_some_and(|i| i.links == 0 && i.holds == 0);
        if self.numbers().iter().any(lost) { Err("an inode without names that nobody holds") } else { Ok(()) }
    }
}
