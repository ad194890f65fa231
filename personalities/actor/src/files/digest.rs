//! The file server's part of the state digest (`docs/linux-abi.md`, "State digest").

use super::data::Data;
use super::node::{Body, S_IFLNK};
use super::{Files, HandleId, Target};
use crate::pipes::PipeId;
use crate::turns::Serial;
use abi::digest::{Digest, Encoder};
use alloc::vec::Vec;

/// Handles in the order in which the digest comes across them.
#[derive(Default)]
pub struct Numbering(pub(super) Vec<HandleId>);

impl Numbering {
    pub(super) fn of(&mut self, handle: HandleId) -> u64 {
        let at = self.0.iter().position(|h| *h == handle).unwrap_or_else(|| {
            self.0.push(handle);
            self.0.len() - 1
        });
        at as u64
    }
}

fn file_digest(data: &Data) -> Digest {
    let mut e = Encoder::new("file");
    match data.source() {
        crate::memory::Source::Still(_) => _ = e.u64(0),
        crate::memory::Source::Pages { .. } => {
            e.u64(data.counted());
            for (number, grant) in data.pages() {
                let mut page = Encoder::new("page");
                page.raw(grant.bytes());
                e.u64(number).raw(&page.finish());
            }
        }
    }
    e.finish()
}

impl Files {
    /// Descriptors and working directory of a process.
    pub fn digest_table(&self, me: Serial, numbering: &mut Numbering, e: &mut Encoder) {
        let Some(table) = self.tables.get(&me) else {
            e.u64(0);
            return;
        };
        for (fd, d) in &table.fds {
            e.u64((*fd).into()).u64(d.cloexec.into()).u64(numbering.of(d.handle));
        }
        e.u64(table.cwd);
    }

    /// Handles in their numbering; the pipes they lead to, in order of first appearance.
    pub fn digest_handles(&self, numbering: &Numbering, e: &mut Encoder) -> Vec<PipeId> {
        let mut pipes = Vec::new();
        for h in numbering.0.iter().filter_map(|id| self.handles.get(id)) {
            let (kind, inode, offset) = match &h.target {
                Target::Place | Target::File => (0, h.node, h.offset),
                Target::Directory => (1, h.node, h.offset),
                Target::Pipe { pipe, writes, .. } => {
                    if !pipes.contains(pipe) {
                        pipes.push(*pipe);
                    }
                    (if *writes { 3 } else { 2 }, 0, 0)
                }
                Target::Terminal => (4, h.node, 0),
                Target::Device(_) => (5, h.node, h.offset),
                Target::Text(_) => (6, h.node, h.offset),
            };
            e.u64(kind).u64(inode).u64(h.flags.into()).u64(offset);
        }
        pipes
    }

    /// The writable layer.
    pub fn digest_layer(&self, e: &mut Encoder) {
        e.u64(self.next_node);
        for (id, node) in self.nodes.iter().filter(|(_, n)| n.changed) {
            let size = self.attributes(*id).map_or(0, |a| a.size);
            e.u64(*id).u64(node.mode.into()).u64(node.links.into()).u64(size);
            match &node.body {
                Body::File(data) => _ = e.raw(&file_digest(data)),
                Body::Link(to) => _ = e.bytes(to),
                Body::Device(number) => _ = e.u64(*number),
                Body::Directory(d) => {
                    e.u64(d.entries.len() as u64);
                    for (sequence, (name, inode)) in &d.entries {
                        e.u64(*sequence).u64(*inode).bytes(name);
                    }
                }
                Body::Fifo(_) | Body::Socket => debug_assert!(node.mode & S_IFLNK != S_IFLNK),
            }
        }
    }
}
