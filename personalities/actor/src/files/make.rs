//! Names come and go: making, linking, removing.

use super::flags::{AT_EMPTY_PATH, AT_SYMLINK_FOLLOW};
use super::node::{Body, Directory, Node, NodeId, ROOT, Realm, S_IFDIR, S_IFLNK, S_IFMT, realm};
use super::walk::{Follow, Last};
use super::{Dentry, Files};
use crate::error::{Res, e};
use crate::turns::Serial;
use abi::turn::INODES_MAX;
use alloc::rc::{Rc, Weak};
use alloc::vec::Vec;

const S_ISGID: u32 = 0o2000;

/// What is left of a path that was to be new.
struct NewPlace {
    directory: NodeId,
    name: Vec<u8>,
}

impl Files {
    /// The place of a name that must be new. `slash`: whether one may end the path.
    fn new_place(&self, me: Serial, start: NodeId, path: &[u8], slash: bool) -> Res<NewPlace> {
        let parent = self.parent(me, start, path)?;
        let Last::Name(name) = parent.last else { return Err(e::EEXIST) };
        if self.find(parent.directory, &name)?.is_some() {
            return Err(e::EEXIST);
        }
        if parent.slash && !slash {
            return Err(e::ENOENT);
        }
        Ok(NewPlace { directory: parent.directory, name })
    }

    /// A new node under a name that was looked up (so the directory is still there) and is new.
    pub(super) fn make(&mut self, directory: NodeId, name: &[u8], mode: u32, body: Body) -> Res<NodeId> {
        if realm(directory) != Realm::Root {
            return Err(e::EROFS);
        }
        let above = self.node(directory)?;
        let (group, inherits) = (above.gid, above.mode & S_ISGID != 0);
        if self.made >= INODES_MAX {
            return Err(e::ENOSPC);
        }
        let id = self.next_node;
        self.next_node += 1;
        self.made += 1;
        let is_directory = mode & S_IFMT == S_IFDIR;
        let node = Node {
            mode: if inherits && is_directory { mode | S_ISGID } else { mode },
            uid: 0,
            gid: if inherits { group } else { 0 },
            links: u32::from(is_directory),
            times: [self.now; 3],
            body,
            changed: true,
            holds: 0,
        };
        self.nodes.insert(id, node);
        self.add_name(directory, name, id)?;
        Ok(id)
    }

    /// `node` gets a name.
    pub(super) fn add_name(&mut self, directory: NodeId, name: &[u8], id: NodeId) -> Res {
        let (now, own) = (self.now, self.directory(directory)?.dentry.clone());
        let node = self.node_mut(id)?;
        node.links += 1;
        node.changed = true;
        node.times[2] = now;
        let (is_directory, mut dentry) = (node.is_directory(), Weak::new());
        if let Body::Directory(d) = &mut node.body {
            d.parent = directory;
            d.dentry = Dentry::new(own, name);
            dentry = Rc::downgrade(&d.dentry);
        }
        let above = self.node_mut(directory)?;
        above.links += u32::from(is_directory);
        self.entry_changed(directory)?.add(name, id, dentry);
        Ok(())
    }

    /// `node` loses a name; a directory goes altogether.
    pub(super) fn remove_name(&mut self, directory: NodeId, name: &[u8], id: NodeId) -> Res {
        let now = self.now;
        let node = self.node_mut(id)?;
        let is_directory = node.is_directory();
        node.links -= if is_directory { 2.min(node.links) } else { 1 };
        node.changed = true;
        node.times[2] = now;
        let above = self.node_mut(directory)?;
        above.links -= u32::from(is_directory);
        if let Some(dentry) = self.entry_changed(directory)?.remove(name).upgrade() {
            dentry.remove(&self.directory(ROOT)?.dentry);
        }
        Ok(())
    }

    /// A directory whose entries change now.
    pub(super) fn entry_changed(&mut self, directory: NodeId) -> Res<&mut Directory> {
        let now = self.now;
        let above = self.node_mut(directory)?;
        above.changed = true;
        above.times[1] = now;
        above.times[2] = now;
        self.directory_mut(directory)
    }

    /// mkdirat(2).
    pub fn make_directory(&mut self, me: Serial, start: NodeId, path: &[u8], mode: u32) -> Res {
        let place = self.new_place(me, start, path, true)?;
        let mode = mode & 0o1777 & !self.table(me)?.umask;
        let body = Body::Directory(Directory::new(place.directory));
        self.make(place.directory, &place.name, S_IFDIR | mode, body).map(|_| ())
    }

    /// mknodat(2) of something whose type the caller has checked.
    pub fn make_node(&mut self, me: Serial, start: NodeId, path: &[u8], mode: u32, body: Body) -> Res {
        let place = self.new_place(me, start, path, false)?;
        let mode = mode & S_IFMT | mode & 0o7777 & !self.table(me)?.umask;
        self.make(place.directory, &place.name, mode, body).map(|_| ())
    }

    /// symlinkat(2).
    pub fn make_link(&mut self, me: Serial, start: NodeId, path: &[u8], to: &[u8]) -> Res {
        let place = self.new_place(me, start, path, false)?;
        self.make(place.directory, &place.name, S_IFLNK | 0o777, Body::Link(to.to_vec())).map(|_| ())
    }

    /// The node that linkat(2) gives a further name.
    pub fn link_source(&self, me: Serial, from: NodeId, old: &[u8], flags: u32) -> Res<NodeId> {
        let follow = if flags & AT_SYMLINK_FOLLOW != 0 { Follow::Yes } else { Follow::No };
        match old.is_empty() && flags & AT_EMPTY_PATH != 0 {
            true => Ok(from),
            false => self.resolve(me, from, old, follow),
        }
    }

    /// linkat(2): the new path starts at `to`.
    pub fn link(&mut self, me: Serial, node: NodeId, (to, new): (NodeId, &[u8])) -> Res {
        let place = self.new_place(me, to, new, false)?;
        if realm(place.directory) != Realm::Root {
            return Err(e::EROFS);
        }
        if realm(node) != Realm::Root {
            return Err(e::EXDEV);
        }
        if self.is_directory(node) {
            return Err(e::EPERM);
        }
        if self.node(node)?.links == 0 {
            return Err(e::ENOENT);
        }
        self.add_name(place.directory, &place.name, node)
    }

    /// unlinkat(2) without AT_REMOVEDIR.
    pub fn unlink(&mut self, me: Serial, start: NodeId, path: &[u8]) -> Res {
        let parent = self.parent(me, start, path)?;
        let Last::Name(name) = parent.last else { return Err(e::EISDIR) };
        if realm(parent.directory) != Realm::Root {
            return Err(e::EROFS);
        }
        let node = self.find(parent.directory, &name)?.ok_or(e::ENOENT)?;
        if self.is_directory(node) {
            return Err(e::EISDIR);
        }
        if parent.slash {
            return Err(e::ENOTDIR);
        }
        self.remove_name(parent.directory, &name, node)?;
        self.bury(node);
        Ok(())
    }

    /// unlinkat(2) with AT_REMOVEDIR.
    pub fn remove_directory(&mut self, me: Serial, start: NodeId, path: &[u8]) -> Res {
        let parent = self.parent(me, start, path)?;
        let name = match parent.last {
            Last::Name(name) => name,
            Last::Up => return Err(e::ENOTEMPTY),
            Last::Here if path.iter().all(|b| *b == b'/') => return Err(e::EBUSY),
            Last::Here => return Err(e::EINVAL),
        };
        if realm(parent.directory) != Realm::Root {
            return Err(e::EROFS);
        }
        let node = self.find(parent.directory, &name)?.ok_or(e::ENOENT)?;
        if realm(node) != Realm::Root || node == ROOT {
            return Err(e::EBUSY);
        }
        if !self.directory(node)?.entries.is_empty() {
            return Err(e::ENOTEMPTY);
        }
        self.remove_name(parent.directory, &name, node)?;
        self.bury(node);
        Ok(())
    }
}
