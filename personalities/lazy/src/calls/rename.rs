//! renameat, and walks that stop before the last component.

use super::name::read_only;
use super::*;
use crate::files::walk::{Last, Node, Walked};
use crate::files::{S_IFDIR, S_IFMT, device, procfs};

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_renameat(&mut self, serial: u64, a: &[u64; 6], flags: u64) -> CallResult {
        const NOREPLACE: u64 = 1;
        if flags & !NOREPLACE != 0 {
            return Err(EINVAL);
        }
        // The old path is walked before the new one's pointer is followed.
        let old = self.path(serial, a[1])?;
        let from = self.walk_to_parent(serial, a[0], &old)?;
        let new = self.path(serial, a[3])?;
        let to = self.walk_to_parent(serial, a[2], &new)?;
        if (from.dir >= device::DEV || to.dir >= device::DEV)
            && self.file_system(from.dir) != self.file_system(to.dir)
        {
            return Err(EXDEV);
        }
        let keeps = flags & NOREPLACE != 0;
        let Some(old_name) = from.name() else { return Err(EBUSY) };
        let Some(new_name) = to.name() else { return Err(if keeps { EEXIST } else { EBUSY }) };
        read_only(from.dir)?;
        let from = self.look_last(from.clone())?;
        let Node::Inode(source) = from.found()? else { return Err(EPERM) };
        let to = self.look_last(to.clone())?;
        if to.node.is_none() && self.files.inode(to.dir)?.nlink == 0 {
            return Err(ENOENT);
        }
        if to.node.is_some() && keeps {
            return Err(EEXIST);
        }
        let directory = self.mode_of(source)? & S_IFMT == S_IFDIR;
        if !directory && (from.slash || to.slash) {
            return Err(ENOTDIR);
        }
        if matches!(source, device::DEV | procfs::PROC)
            || matches!(to.node, Some(Node::Inode(device::DEV | procfs::PROC)))
        {
            return Err(EBUSY);
        }
        if directory && self.is_below(to.dir, source) {
            return Err(EINVAL);
        }
        let now = self.now();
        if let Some(Node::Inode(target)) = to.node {
            if self.is_below(from.dir, target) && target != source {
                return Err(ENOTEMPTY);
            }
            if target == source {
                return done(0);
            }
            let target_is_directory = self.mode_of(target)? & S_IFMT == S_IFDIR;
            match (directory, target_is_directory) {
                (true, false) => return Err(ENOTDIR),
                (false, true) => return Err(EISDIR),
                (true, true) if !self.files.directory(target)?.entries.is_empty() => return Err(ENOTEMPTY),
                _ => {}
            }
            self.files.unlink(&mut self.memory.physical, to.dir, new_name_of(&to), now)?;
        }
        let (old_name, new_name) = (old_name.to_vec(), new_name.to_vec());
        self.files.rename((from.dir, &old_name), (to.dir, &new_name), now)?;
        done(0)
    }

    pub(super) fn file_system(&self, dir: u64) -> u64 {
        self.stat_inode(dir).map_or(0, |s| s.dev)
    }

    /// Whether `dir` is `above`, or lies below it.
    pub(super) fn is_below(&self, dir: u64, above: u64) -> bool {
        let mut at = dir;
        loop {
            if at == above {
                return true;
            }
            if at == crate::files::ROOT {
                return false;
            }
            at = self.above(at);
        }
    }

    /// Walks to the directory of the last component only.
    pub(super) fn walk_to_parent(&self, serial: u64, dirfd: u64, path: &[u8]) -> Result<Walked> {
        if path.is_empty() {
            return Err(ENOENT);
        }
        let slashes = path.iter().rev().take_while(|b| **b == b'/').count();
        let bare = path.get(..path.len() - slashes).unwrap_or(&[]);
        let start = bare.iter().rposition(|b| *b == b'/').map_or(0, |n| n + 1);
        let (above, name) = bare.split_at(start);
        let last = match name {
            b"" => Last::Root,
            b"." => Last::Dot,
            b".." => Last::DotDot,
            n => Last::Name(n.to_vec()),
        };
        let dir = if above.is_empty() {
            self.base(serial, dirfd, path)?
        } else {
            match self.walk(serial, dirfd, above, true)?.found()? {
                Node::Inode(i) => i,
                Node::Open(f) => self.open.get(f).ok_or(ENOENT)?.inode,
            }
        };
        if !self.is_directory(dir) {
            return Err(ENOTDIR);
        }
        Ok(Walked { dir, last, node: None, slash: slashes > 0 })
    }

    pub(super) fn look_last(&self, mut w: Walked) -> Result<Walked> {
        if let Some(name) = w.name() {
            w.node = match self.lookup(w.dir, name) {
                Ok(i) => Some(Node::Inode(i)),
                Err(ENOENT) => None,
                Err(e) => return Err(e),
            };
        }
        Ok(w)
    }
}

fn new_name_of(w: &Walked) -> &[u8] {
    w.name().unwrap_or(b"")
}
