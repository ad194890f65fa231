//! What a space says of itself in a snapshot (`docs/snapshot.md`). The way back: `restore`.

use super::{Label, Region, Space};
use crate::files::Files;
use crate::page::{Grant, PAGE, SIZE};
use crate::snapshot::{Out, trimmed};
use abi::snapshot::{Kind, Mapping, Page, Record};
use alloc::vec::Vec;

/// A piece of a region that is a mapping of one kind; its path is made when it is written.
struct Piece<'a> {
    mapping: Mapping<'a>,
    region: (u64, &'a Region),
}

impl Piece<'_> {
    fn label(&self) -> Option<&Label> {
        self.region.1.backing.as_ref().map(|b| &*b.label)
    }
}

/// Where in its file a region's byte at `at` lies.
fn offset(start: u64, region: &Region, at: u64) -> u64 {
    region.backing.as_ref().map_or(0, |b| b.offset + (at - start))
}

impl Space {
    /// The regions as mappings of one kind each.
    fn pieces(&self) -> Vec<Piece<'_>> {
        let mut out = Vec::new();
        for (start, r) in &self.regions {
            let mut add = |from: u64, to: u64, kind: Kind| {
                let inode = r.backing.as_ref().map_or(0, |b| b.label.inode);
                let offset = offset(*start, r, from);
                let (rights, charged, shared) = (r.rights.bits(), r.charged, r.shared);
                let path = &b""[..];
                let mapping =
                    Mapping { start: from, end: to, rights, charged, shared, kind, inode, offset, path };
                out.extend((from < to).then_some(Piece { mapping, region: (*start, r) }));
            };
            match &r.backing {
                None if r.stack => add(*start, r.end, Kind::Stack),
                None if r.heap => add(*start, r.end, Kind::Heap),
                None => add(*start, r.end, Kind::Anonymous),
                Some(b) => {
                    let there = b.source.size().next_multiple_of(PAGE).saturating_sub(b.offset);
                    let border = start.saturating_add(there).min(r.end);
                    add(*start, border, Kind::File);
                    add(border, r.end, Kind::Beyond);
                }
            }
        }
        out
    }

    /// Mappings, each with the pages that are not what it gives by itself.
    pub fn write(&self, files: &Files, out: &mut Out<'_>) {
        let pieces = self.pieces();
        for whole in pieces.chunk_by(is_continued) {
            let (Some(first), Some(last)) = (whole.first(), whole.last()) else { continue };
            let path = first.label().map_or(Vec::new(), |label| label.name.record_text());
            out(&Record::Mapping(Mapping { end: last.mapping.end, path: &path, ..first.mapping }));
            whole.iter().for_each(|piece| self.write_pages(piece, files, out));
        }
    }

    fn write_pages(&self, piece: &Piece<'_>, files: &Files, out: &mut Out<'_>) {
        let m = &piece.mapping;
        let mut page = |at: u64, bytes: &[u8]| out(&Record::MemoryPage(Page { at, bytes: trimmed(bytes) }));
        let (start, region) = piece.region;
        let Some(backing) = region.backing.as_ref() else {
            let pages = self.pages.range(m.start / PAGE..m.end / PAGE);
            let changed = pages.filter(|(_, grant)| grant.bytes().iter().any(|b| *b != 0));
            return changed.for_each(|(number, grant)| page(number * PAGE, grant.bytes()));
        };
        if m.kind == Kind::Beyond {
            return;
        }
        let base = files.image_bytes(m.inode);
        for number in m.start / PAGE..m.end / PAGE {
            let in_file = offset(start, region, number * PAGE);
            let own = self.pages.get(&number).cloned();
            let Some(is) = own.or_else(|| backing.source.page(in_file / PAGE)) else { continue };
            if !is_given(&is, base, in_file) {
                page(number * PAGE, is.bytes());
            }
        }
    }
}

/// Whether a page's bytes are those of `base` at byte `at`, zeros behind its end.
fn is_given(page: &Grant, base: Option<&[u8]>, at: u64) -> bool {
    let rest = base.and_then(|b| b.get(usize::try_from(at).ok()?..)).unwrap_or(&[]);
    let there = &rest[..rest.len().min(SIZE)];
    let bytes = page.bytes();
    let (head, tail) = bytes.split_at(there.len());
    (core::ptr::eq(head, there) || head == there) && tail.iter().all(|b| *b == 0)
}

/// Whether two pieces that follow each other are of one mapping.
fn is_continued(a: &Piece<'_>, b: &Piece<'_>) -> bool {
    let names = || match (a.label(), b.label()) {
        (Some(a), Some(b)) => a.is_like(b),
        (a, b) => a.is_none() && b.is_none(),
    };
    let (a, b) = (&a.mapping, &b.mapping);
    let of_file = matches!(a.kind, Kind::File | Kind::Beyond);
    let origin = |m: &Mapping<'_>| (m.rights, m.charged, m.shared, m.kind, m.inode);
    let goes_on = if of_file { a.offset.checked_add(b.start - a.start) } else { Some(a.offset) };
    a.end == b.start && origin(a) == origin(b) && goes_on == Some(b.offset) && names()
}
