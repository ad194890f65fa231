//! The state digest's part about files.

use super::file::{FileId, Kind, Open};
use super::inode::Body;
use super::{FdTable, Fs, Ino};
use abi::digest::Encoder;
use alloc::vec::Vec;

/// The number of an open file description: by first appearance in the walk over processes and descriptors.
pub(super) fn number_of(numbering: &mut Vec<u64>, file: FileId) -> usize {
    let id = file as u64;
    numbering.iter().position(|n| *n == id).unwrap_or_else(|| {
        numbering.push(id);
        numbering.len() - 1
    })
}

impl Fs {
    pub(super) fn digest_table(&self, fds: &FdTable, numbering: &mut Vec<u64>, e: &mut Encoder) {
        for (fd, slot) in fds.iter() {
            let number = number_of(numbering, slot.file);
            e.u64(fd as u64).u64(u64::from(slot.cloexec)).u64(number as u64);
        }
    }

    /// Kind of an open file description as the digest numbers it.
    pub(super) fn digest_kind(&self, open: &Open) -> u64 {
        self.digest_kind_of(open.node, &open.kind)
    }

    /// The same of what is not open yet.
    pub(super) fn digest_kind_of(&self, node: Ino, kind: &Kind) -> u64 {
        match kind {
            Kind::Regular => 0,
            Kind::Directory => 1,
            Kind::Pipe { write: false, .. } => 2,
            Kind::Pipe { .. } => 3,
            Kind::Tty => 4,
            Kind::Null | Kind::Zero | Kind::Full | Kind::Random => 5,
            Kind::Text(_) => 6,
            Kind::Path => u64::from(self.is_dir(node)),
        }
    }

    fn digest_opens(&self, numbering: &[u64], e: &mut Encoder) {
        let mut pipes = Vec::new();
        for open in numbering.iter().filter_map(|id| self.files.get(*id as usize)) {
            let node = if let Kind::Pipe { pipe, .. } = open.kind {
                if !pipes.contains(&pipe) {
                    pipes.push(pipe);
                }
                0
            } else {
                open.node
            };
            let offset = if matches!(open.kind, Kind::Pipe { .. } | Kind::Tty) { 0 } else { open.offset };
            e.u64(self.digest_kind(open)).u64(node).u64(u64::from(open.flags)).u64(offset);
        }
        for pipe in pipes.iter().filter_map(|id| self.pipes.get(id)) {
            let bytes: Vec<u8> = pipe.bytes.iter().copied().collect();
            e.bytes(&bytes);
        }
    }

    pub(super) fn digest_all(&mut self, numbering: &[u64], e: &mut Encoder) {
        self.digest_opens(numbering, e);
        let tty = &self.tty;
        e.bytes(&tty.modes)
            .u64(u64::from(tty.size[0]))
            .u64(u64::from(tty.size[1]))
            .u64(u64::from(tty.foreground));
        e.bytes(&tty.queued());
        e.u64(self.tree.next);
        for (ino, inode) in self.tree.inodes_mut().filter(|(_, inode)| inode.changed) {
            e.u64(ino).u64(u64::from(inode.meta.mode)).u64(u64::from(inode.nlink())).u64(inode.size());
            match &mut inode.body {
                Body::Regular(content) => {
                    e.raw(&content.digest());
                }
                Body::Directory(dir) => {
                    e.u64(dir.len() as u64);
                    for (seq, name, ino) in dir.entries(0) {
                        e.u64(seq).u64(ino).bytes(name);
                    }
                }
                Body::Link(target) => {
                    e.bytes(target);
                }
                Body::Device(rdev) => {
                    e.u64(*rdev);
                }
                Body::Fifo | Body::Socket => (),
            }
        }
    }
}
