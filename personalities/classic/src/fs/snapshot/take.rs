//! Files written into a snapshot.

use super::super::digest::number_of;
use super::super::file::{FIFO, Kind, PIPE};
use super::super::inode::{Body, Inode};
use super::super::tty::Item;
use super::super::{FdTable, Fs, Ino};
use super::to_ns;
use crate::snapshot::{Writer, trimmed};
use abi::snapshot as form;
use abi::snapshot::Record;
use alloc::vec::Vec;

impl Fs {
    /// Writes the terminal.
    pub(crate) fn put_terminal(&self, out: &mut Writer) {
        let tty = &self.tty;
        let (queue, mut ends) = (tty.queued(), Vec::new());
        let (mut before, mut last) = (0u32, 0);
        for item in tty.items() {
            match item {
                Item::Byte(byte) => (before, last) = (before + 1, byte),
                // A line that '\n' ends needs no mark: the byte is one.
                Item::LineEnd if last == b'\n' => {}
                Item::LineEnd | Item::Eof => ends.extend_from_slice(&before.to_le_bytes()),
            }
        }
        let [rows, columns, x_pixels, y_pixels] = tty.size;
        out.put(&Record::Terminal(form::Terminal {
            modes: &tty.modes,
            rows,
            columns,
            x_pixels,
            y_pixels,
            session: tty.session.unwrap_or(0),
            foreground: tty.foreground,
            queue: &queue,
            ends: &ends,
        }));
    }

    /// Writes a process' descriptors; `numbering` collects open file descriptions over processes.
    pub(crate) fn put_descriptors(&self, fds: &FdTable, numbering: &mut Vec<u64>, out: &mut Writer) {
        for (fd, slot) in fds.iter() {
            let file = number_of(numbering, slot.file) as u32;
            out.put(&Record::Descriptor(form::Descriptor {
                number: fd as u32,
                flags: slot.cloexec.into(),
                file,
            }));
        }
    }

    /// Writes open file descriptions, pipes and the writable layer.
    pub(crate) fn put_files(&self, numbering: &[u64], out: &mut Writer) {
        for (number, id) in (0..).zip(numbering) {
            self.put_open(number, *id as usize, out);
        }
        for (&key, pipe) in &self.pipes {
            let fifo = key & FIFO != 0;
            let made = pipe.meta.mtime;
            let made_us = if fifo { 0 } else { made.sec as u64 * 1_000_000 + u64::from(made.nsec / 1000) };
            out.put(&Record::Pipe(form::Pipe { number: key & !(FIFO | PIPE), fifo, made_us }));
            let bytes: Vec<u8> = pipe.bytes.iter().copied().collect();
            out.put_bytes(&bytes, Record::PipeData);
        }
        for (ino, inode) in self.tree.written() {
            put_inode(ino, inode, out);
        }
    }

    fn put_open(&self, number: u32, id: usize, out: &mut Writer) {
        let Some(open) = self.files.get(id) else { return };
        let mut before_writers = false;
        if let Kind::Pipe { pipe, read: true, seen, .. } = open.kind {
            before_writers = self.pipes.get(&pipe).is_some_and(|p| p.writers_ever == seen);
        }
        out.put(&Record::OpenFile(form::OpenFile {
            number,
            kind: self.digest_kind(open) as u8,
            inode: open.node & !PIPE,
            flags: open.flags,
            offset: if matches!(open.kind, Kind::Pipe { .. } | Kind::Tty) { 0 } else { open.offset },
            before_writers,
            path: &self.show_file(open),
        }));
        if let Kind::Text(text) = &open.kind {
            out.put_bytes(text, Record::Text);
        }
    }

    /// Whether a process is in the middle of opening a FIFO whose other end has come.
    pub(crate) fn other_end_came(&self, pid: u32) -> bool {
        self.pipes.values().any(|pipe| pipe.met(pid))
    }
}

fn put_inode(number: Ino, inode: &Inode, out: &mut Writer) {
    let (target, next_sequence, parent) = match &inode.body {
        Body::Link(target) => (&target[..], 0, 0),
        Body::Directory(dir) => (&[][..], dir.next_sequence(), dir.parent),
        _ => (&[][..], 0, 0),
    };
    let pages = if let Body::Regular(content) = &inode.body { content.own_pages() } else { None };
    out.put(&Record::Inode(form::Inode {
        number,
        mode: inode.meta.mode,
        uid: inode.meta.uid,
        gid: inode.meta.gid,
        links: inode.nlink(),
        size: inode.size(),
        device: inode.rdev(),
        accessed_ns: to_ns(inode.meta.atime),
        modified_ns: to_ns(inode.meta.mtime),
        changed_ns: to_ns(inode.meta.ctime),
        target,
        from_image: matches!(inode.body, Body::Regular(_)) && pages.is_none(),
        next_sequence,
        parent,
    }));
    if let Some(dir) = inode.dir() {
        for (sequence, name, inode) in dir.entries(0) {
            out.put(&Record::Entry(form::DirectoryEntry { sequence, inode, name }));
        }
    }
    for (at, bytes) in pages.into_iter().flat_map(|pages| pages.iter()) {
        out.put(&Record::FilePage(form::Page { at, bytes: trimmed(bytes) }));
    }
}
