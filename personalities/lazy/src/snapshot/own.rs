//! A process' own part of a snapshot: registers, what it changes without a call, and its memory.

use super::{GivenUp, Taking, trimmed};
use crate::files::content::{Content, Piece};
use crate::files::names::Entry;
use crate::hw::{Hardware, PAGE};
use crate::kernel::Kernel;
use crate::memory::map::{Kind as MapKind, Mapping};
use crate::memory::object::Source;
use crate::memory::space::Space;
use crate::process::{Continuation, Place, Stand};
use abi::snapshot::{self as record, Kind, Private, Record};
use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// A part of one mapping that is of one kind.
struct Part<'a> {
    /// Its path is written when it is known where it ends.
    mapping: record::Mapping<'static>,
    /// Of a file.
    entry: Option<&'a Rc<Entry>>,
    object: u32,
    /// The object's page at its start.
    index: u64,
}

impl Part<'_> {
    fn pages(&self) -> u64 {
        (self.mapping.end - self.mapping.start) / PAGE as u64
    }

    /// Whether `next` goes on with what this is.
    fn joins(&self, next: &Part<'_>) -> bool {
        let (a, b) = (&self.mapping, &next.mapping);
        let goes_on = match a.kind {
            Kind::File | Kind::Beyond => a.offset.wrapping_add(a.end - a.start) == b.offset,
            _ => true,
        };
        a.end == b.start
            && (a.rights, a.charged, a.shared, a.kind, a.inode, self.entry)
                == (b.rights, b.charged, b.shared, b.kind, b.inode, next.entry)
            && goes_on
    }
}

impl<H: Hardware> Kernel<H> {
    /// Of a process that waits, is stopped, or stands before its call.
    pub(super) fn write_own(&self, w: &mut Taking, serial: u64) -> Result<(), GivenUp> {
        let (Some(p), Some(t)) = (self.processes.get(&serial), self.threads.get(&serial)) else {
            return Err(GivenUp);
        };
        let space = p.space.and_then(|s| self.memory.spaces.get(s)).ok_or(GivenUp)?;
        // While it waits in vfork its memory is its child's, which changes it without a call.
        let lent = matches!(t.continuation, Some(Continuation::Vfork(..))) && t.place == Place::Waiting;
        let r = &t.registers;
        let words = r.x.iter().chain([&r.sp, &r.pc]);
        let registers: Vec<u8> = words.flat_map(|x| x.to_le_bytes()).collect();
        let vectors: Vec<u8> = t.fp.v.iter().flat_map(|v| v.to_le_bytes()).collect();
        let private = Private {
            serial,
            registers: &registers,
            flags: (r.pstate & 0xf000_0000) as u32,
            at_call: t.stand == Stand::Call,
            thread_pointer: r.tls,
            vectors: trimmed(&vectors),
            fpsr: t.fp.fpsr as u32,
            fpcr: t.fp.fpcr as u32,
            alternate_stack: [t.alt.base, t.alt.flags.into(), t.alt.size],
            clear_child_tid: t.clear_child_tid,
            robust_list: t.robust_list,
            random_used: p.random,
            layout: if lent { 0 } else { space.exec },
            break_start: if lent { 0 } else { space.break_start },
            break_end: if lent { 0 } else { space.break_at },
        };
        w.put(&self.memory.physical.hw, &Record::Private(private))?;
        if lent { Ok(()) } else { self.write_space(w, space) }
    }

    fn write_space(&self, w: &mut Taking, space: &Space) -> Result<(), GivenUp> {
        let mut parts = Vec::new();
        for m in space.map.0.values() {
            self.parts_of(m, &mut parts);
        }
        for run in parts.chunk_by(Part::joins) {
            let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
            let path = first.entry.map_or(Ok(Vec::new()), |e| e.text()).map_err(|_| GivenUp)?;
            let whole = record::Mapping { end: last.mapping.end, path: &path, ..first.mapping };
            w.put(&self.memory.physical.hw, &Record::Mapping(whole))?;
            run.iter().filter(|p| p.mapping.kind != Kind::Beyond).try_for_each(|p| self.write_pages(w, p))?;
        }
        Ok(())
    }

    /// A file's mapping falls into what lies within the file and what lies beyond its end.
    fn parts_of<'a>(&self, m: &'a Mapping, parts: &mut Vec<Part<'a>>) {
        let (kind, inode, offset, entry) = match &m.kind {
            MapKind::Anonymous => (Kind::Anonymous, 0, 0, None),
            MapKind::Heap => (Kind::Heap, 0, 0, None),
            MapKind::Stack => (Kind::Stack, 0, 0, None),
            MapKind::File(inode, entry) => (Kind::File, *inode, m.offset * PAGE as u64, Some(entry)),
        };
        let mut whole = record::Mapping {
            start: m.start,
            end: m.end,
            rights: m.rights.bits(),
            charged: m.charged,
            shared: m.shared,
            kind,
            inode,
            offset,
            path: &[],
        };
        let (object, mut index) = (m.object, m.offset);
        if kind == Kind::File {
            let within = self.file_pages(object).saturating_sub(m.offset).min(m.pages());
            let border = m.start + within * PAGE as u64;
            if within > 0 {
                parts.push(Part { mapping: record::Mapping { end: border, ..whole }, entry, object, index });
            }
            if border == m.end {
                return;
            }
            index += within;
            let offset = offset + (border - m.start);
            whole = record::Mapping { start: border, kind: Kind::Beyond, offset, ..whole };
        }
        parts.push(Part { mapping: whole, entry, object, index });
    }

    /// Pages of the file behind `object`.
    fn file_pages(&self, object: u32) -> u64 {
        self.file_behind(object).map_or(u64::MAX, |c| c.size.div_ceil(PAGE as u64))
    }

    fn file_behind(&self, object: u32) -> Option<&Content> {
        let mut at = object;
        loop {
            match &self.memory.objects.get(at)?.source {
                Source::Shadow(of) => at = *of,
                Source::File(c) => return Some(c),
                Source::Zero => return None,
            }
        }
    }

    /// The pages whose bytes are not what the mapping gives by itself.
    fn write_pages(&self, w: &mut Taking, part: &Part<'_>) -> Result<(), GivenUp> {
        let of_file = part.mapping.kind == Kind::File;
        let member = self.files.member(part.mapping.inode).filter(|_| of_file);
        for index in self.candidates(part, member.as_ref()) {
            let (mut bytes, mut base) = ([0; PAGE], [0; PAGE]);
            self.memory.page_bytes(part.object, index, &mut bytes);
            if let Some(member) = &member {
                member.read_page(&self.memory.physical, index, &mut base);
            }
            if bytes != base {
                let at = part.mapping.start + (index - part.index) * PAGE as u64;
                let page = record::Page { at, bytes: trimmed(&bytes) };
                w.put(&self.memory.physical.hw, &Record::MemoryPage(page))?;
            }
        }
        Ok(())
    }

    /// Pages that could differ: what the objects hold, and of a file that is not the image's as it was, all that either has.
    fn candidates(&self, part: &Part<'_>, member: Option<&Content>) -> BTreeSet<u64> {
        let (from, to) = (part.index, part.index + part.pages());
        let mut found = BTreeSet::new();
        let mut at = part.object;
        while let Some(o) = self.memory.objects.get(at) {
            o.pages.visit(from, to, &mut |start, n, _| found.extend(start..start + n));
            match &o.source {
                Source::Shadow(of) => at = *of,
                Source::File(c) if member.is_none_or(|m| !same(c, m)) => {
                    for content in [Some(c), member].into_iter().flatten() {
                        content.tree.visit(from, to, &mut |start, n, _| found.extend(start..start + n));
                    }
                    break;
                }
                _ => break,
            }
        }
        found
    }
}

/// Whether `c` is still what the image's `member` is.
fn same(c: &Content, member: &Content) -> bool {
    let mut same = c.size == member.size && c.pages == member.pages;
    c.tree.visit(0, u64::MAX, &mut |at, _, piece| {
        same &= matches!(piece, Piece::Image(_)) && member.tree.get(at) == Some(*piece);
    });
    same
}
