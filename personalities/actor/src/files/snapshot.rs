//! What the file server says in a snapshot (`docs/snapshot.md`). The way back: `restore`.

use super::digest::Numbering;
use super::node::{Body, Node, NodeId, ROOT, Stamp};
use super::{Files, Target};
use crate::memory::Source;
use crate::pipes::{PipeId, Pipes};
use crate::snapshot::{Out, pieces, trimmed};
use crate::turns::Serial;
use abi::snapshot::{Descriptor, DirectoryEntry, Inode, OpenFile, Page, Record};
use alloc::vec::Vec;

impl Files {
    /// The number that the next file gets.
    pub fn next_node(&self) -> NodeId {
        self.next_node
    }

    /// What the root image has of a node: its bytes, if it is a regular file, and its time.
    fn member(&self, node: NodeId) -> Option<(Option<&'static [u8]>, Stamp)> {
        self.members.get(usize::try_from(node.checked_sub(ROOT)?).ok()?).copied()
    }

    /// The bytes that the root image has of a regular file.
    pub fn image_bytes(&self, node: NodeId) -> Option<&'static [u8]> {
        self.member(node)?.0
    }

    /// Whether a node's times are not those that the image gives it.
    fn is_touched(&self, id: NodeId, node: &Node) -> bool {
        self.member(id).is_none_or(|(_, time)| node.times != [time; 3])
    }

    /// Path of a process' program, as its link in /proc shows it; empty if there is none.
    pub fn program(&self, me: Serial) -> Vec<u8> {
        let exe = self.tables.get(&me).and_then(|t| t.exe.as_ref());
        exe.map_or(Vec::new(), |program| program.dentry.record_text())
    }

    /// Descriptors of a process.
    pub fn write_table(&self, me: Serial, numbering: &mut Numbering, out: &mut Out<'_>) {
        for (fd, d) in self.tables.get(&me).iter().flat_map(|t| &t.fds) {
            let (flags, file) = (d.cloexec.into(), numbering.of(d.handle) as u32);
            out(&Record::Descriptor(Descriptor { number: *fd, flags, file }));
        }
    }

    /// Open file descriptions in their numbering.
    pub fn write_handles(&self, numbering: &Numbering, pipes: &Pipes, out: &mut Out<'_>) {
        let handles = numbering.0.iter().filter_map(|id| self.handles.get(id));
        for (number, h) in handles.enumerate() {
            let (kind, inode) = self.kind_of(&h.target, h.node);
            let seen = |pipe| pipes.get(pipe).map(|p| p.writers_seen);
            let (mut before_writers, mut offset) = (false, h.offset);
            if let Target::Pipe { pipe, .. } = h.target {
                (before_writers, offset) = (h.writers_before.is_some() && h.writers_before == seen(pipe), 0);
            }
            let path = self.record_path(h.node, h.name.as_ref());
            let (number, flags, path) = (number as u32, h.flags, &path[..]);
            out(&Record::OpenFile(OpenFile { number, kind, inode, flags, offset, before_writers, path }));
            if let Target::Text(text) = &h.target {
                pieces(text, out, Record::Text);
            }
        }
    }

    /// Kind of an open file description, and the number of what it leads to: of a pipe's own, of all else the inode.
    fn kind_of(&self, target: &Target, node: NodeId) -> (u8, u64) {
        match target {
            Target::Place | Target::File => (0, node),
            Target::Directory => (1, node),
            Target::Pipe { pipe, writes, .. } => {
                (if *writes { 3 } else { 2 }, if self.is_fifo(node) { node } else { *pipe })
            }
            Target::Terminal => (4, node),
            Target::Device(_) => (5, node),
            Target::Text(_) => (6, node),
        }
    }

    pub(super) fn is_fifo(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|n| matches!(n.body, Body::Fifo(_)))
    }

    /// Pipes that open file descriptions lead to: whether of a FIFO, number, and the pipe.
    pub fn open_pipes(&self, numbering: &Numbering) -> impl Iterator<Item = (bool, u64, PipeId)> {
        numbering.0.iter().filter_map(|id| self.handles.get(id)).filter_map(|h| match h.target {
            Target::Pipe { pipe, .. } => {
                let fifo = self.is_fifo(h.node);
                Some((fifo, if fifo { h.node } else { pipe }, pipe))
            }
            _ => None,
        })
    }

    /// The writable layer, and what has other times than in the image.
    pub fn write_layer(&self, out: &mut Out<'_>) {
        let written = |(id, n): &(&NodeId, &Node)| n.changed || self.is_touched(**id, n);
        for (id, node) in self.nodes.iter().filter(written) {
            self.write_node(*id, node, out);
        }
    }

    fn write_node(&self, id: NodeId, node: &Node, out: &mut Out<'_>) {
        let (size, device) = self.attributes(id).map_or((0, 0), |a| (a.size, a.rdev));
        let [accessed, modified, changed] = node.times.map(|t| t.ns());
        let mut record = Inode {
            number: id,
            mode: node.mode,
            uid: node.uid,
            gid: node.gid,
            links: node.links,
            size,
            device,
            accessed_ns: accessed,
            modified_ns: modified,
            changed_ns: changed,
            target: b"",
            from_image: false,
            next_sequence: 0,
            parent: 0,
        };
        match &node.body {
            Body::File(data) => record.from_image = matches!(data.source(), Source::Still(_)),
            Body::Link(to) => record.target = to,
            Body::Directory(d) => (record.next_sequence, record.parent) = (d.next(), d.parent),
            Body::Fifo(_) | Body::Device(_) | Body::Socket => {}
        }
        out(&Record::Inode(record));
        match &node.body {
            Body::Directory(d) => {
                for (sequence, (name, inode)) in &d.entries {
                    let (sequence, inode) = (*sequence, *inode);
                    out(&Record::Entry(DirectoryEntry { sequence, inode, name }));
                }
            }
            Body::File(data) if !record.from_image => {
                for (at, grant) in data.pages() {
                    out(&Record::FilePage(Page { at, bytes: trimmed(grant.bytes()) }));
                }
            }
            _ => {}
        }
    }
}
