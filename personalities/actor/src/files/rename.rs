//! renameat2(2), in the order of checks of Linux 6.1.

use super::Files;
use super::node::{NodeId, Realm, realm};
use super::walk::{Last, Parent};
use crate::error::{Res, e};

const NOREPLACE: u32 = 1;

impl Files {
    /// Whether `above` is `below`, or a directory on the way to it.
    fn contains(&self, above: NodeId, mut below: NodeId) -> bool {
        loop {
            if above == below {
                return true;
            }
            let up = self.up(below);
            if up == below {
                return false;
            }
            below = up;
        }
    }

    /// Renames what two paths lead to, walked up to their last names. The flags are known ones.
    pub fn rename(&mut self, old: Parent, new: Parent, flags: u32) -> Res {
        let (old_realm, new_realm) = (realm(old.directory), realm(new.directory));
        if old_realm != new_realm {
            return Err(e::EXDEV);
        }
        let noreplace = flags & NOREPLACE != 0;
        let Last::Name(old_name) = old.last else { return Err(e::EBUSY) };
        let Last::Name(new_name) = new.last else {
            return Err(if noreplace { e::EEXIST } else { e::EBUSY });
        };
        if old_realm != Realm::Root {
            return Err(e::EROFS);
        }
        let node = self.find(old.directory, &old_name)?.ok_or(e::ENOENT)?;
        let target = self.find(new.directory, &new_name)?;
        if noreplace && target.is_some() {
            return Err(e::EEXIST);
        }
        let is_directory = self.is_directory(node);
        if !is_directory && (old.slash || new.slash) {
            return Err(e::ENOTDIR);
        }
        if is_directory && self.contains(node, new.directory) {
            return Err(e::EINVAL);
        }
        if target.is_some_and(|t| self.is_directory(t) && self.contains(t, old.directory)) {
            return Err(e::ENOTEMPTY);
        }
        if target == Some(node) {
            return Ok(());
        }
        match target {
            Some(t) if is_directory && !self.is_directory(t) => return Err(e::ENOTDIR),
            Some(t) if !is_directory && self.is_directory(t) => return Err(e::EISDIR),
            _ => {}
        }
        if realm(node) != Realm::Root || target.is_some_and(|t| realm(t) != Realm::Root) {
            return Err(e::EBUSY);
        }
        if let Some(t) = target {
            if is_directory && !self.directory(t)?.entries.is_empty() {
                return Err(e::ENOTEMPTY);
            }
            self.remove_name(new.directory, &new_name, t)?;
            self.bury(t);
        }
        self.move_name(node, (old.directory, &old_name), (new.directory, &new_name))
    }

    fn move_name(&mut self, id: NodeId, old: (NodeId, &[u8]), new: (NodeId, &[u8])) -> Res {
        let now = self.now;
        let dentry = self.entry_changed(old.0)?.remove(old.1);
        let target = self.entry_changed(new.0)?;
        if let Some(dentry) = dentry.upgrade() {
            dentry.rename(target.dentry.clone(), new.1);
        }
        target.add(new.1, id, dentry);
        let node = self.node_mut(id)?;
        node.changed = true;
        node.times[2] = now;
        if let super::node::Body::Directory(d) = &mut node.body {
            d.parent = new.0;
            self.node_mut(old.0)?.links -= 1;
            self.node_mut(new.0)?.links += 1;
        }
        Ok(())
    }
}
