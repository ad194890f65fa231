//! An address space in a snapshot: its mappings, each as large as it can be, and the pages that differ from what the mapping gives by itself.

use super::area::same;
use super::{Area, Kind, MAP_END, Page, Space, check_heap};
use crate::fs::{Entry, Fs, Ino};
use crate::machine::{Machine, PAGE_BYTES, Rights};
use crate::snapshot::{Reader, Writer, Wrong, trimmed};
use abi::layout::PAGE;
use abi::snapshot as form;
use abi::snapshot::Record;
use alloc::vec;
use alloc::vec::Vec;

/// A mapping as the snapshot has it.
#[derive(Clone)]
struct Piece {
    start: u64,
    end: u64,
    rights: Rights,
    charged: bool,
    shared: bool,
    kind: form::Kind,
    inode: Ino,
    offset: u64,
    entry: Option<Entry>,
}

impl Piece {
    fn continues(&self, next: &Piece) -> bool {
        let file = matches!(self.kind, form::Kind::File | form::Kind::Beyond);
        let offset = if file { self.offset + (self.end - self.start) } else { self.offset };
        self.end == next.start
            && (self.rights, self.charged, self.shared) == (next.rights, next.charged, next.shared)
            && (self.kind, self.inode, offset) == (next.kind, next.inode, next.offset)
            && reads_as(&self.entry, &next.entry)
    }
}

/// The pieces of one mapping: of a file, what is there and what lies beyond its end.
fn pieces_of(area: &Area) -> [Option<Piece>; 2] {
    let (kind, inode, offset) = match area.kind {
        Kind::Anonymous => (form::Kind::Anonymous, 0, 0),
        Kind::Heap => (form::Kind::Heap, 0, 0),
        Kind::Stack => (form::Kind::Stack, 0, 0),
        Kind::File { ino, offset, .. } => (form::Kind::File, ino, offset),
    };
    let &Area { start, end, rights, charged, shared, .. } = area;
    let all = Piece { start, end, rights, charged, shared, kind, inode, offset, entry: area.entry.clone() };
    let known = area.known_end();
    if kind != form::Kind::File || known >= end {
        return [Some(all), None];
    }
    let beyond =
        Piece { start: known, kind: form::Kind::Beyond, offset: offset + (known - start), ..all.clone() };
    [(known > start).then_some(Piece { end: known, ..all }), Some(beyond)]
}

fn text_of(entry: &Option<Entry>) -> Vec<u8> {
    entry.as_ref().map_or_else(Vec::new, Entry::text)
}

/// Whether both have one path: of one entry, or of two that were removed one after the other.
fn reads_as(a: &Option<Entry>, b: &Option<Entry>) -> bool {
    same(a, b) || text_of(a) == text_of(b)
}

impl Space {
    /// Writes the mappings and what was changed in them.
    pub(crate) fn put<M: Machine>(&self, m: &M, fs: &Fs, out: &mut Writer) {
        let mut pieces: Vec<Piece> = Vec::new();
        for piece in self.areas.iter().flat_map(pieces_of).flatten() {
            match pieces.last_mut() {
                Some(last) if last.continues(&piece) => last.end = piece.end,
                _ => pieces.push(piece),
            }
        }
        for piece in &pieces {
            out.put(&Record::Mapping(form::Mapping {
                start: piece.start,
                end: piece.end,
                rights: piece.rights.0,
                charged: piece.charged,
                shared: piece.shared,
                kind: piece.kind,
                inode: piece.inode,
                offset: piece.offset,
                path: &text_of(&piece.entry),
            }));
            let first = self.index_from(piece.start);
            for area in self.areas.iter().skip(first).take_while(|a| a.start < piece.end) {
                put_pages(m, fs, out, piece, area);
            }
        }
    }
}

/// Writes the pages of `area` inside `piece` that are not what the mapping gives by itself.
fn put_pages<M: Machine>(m: &M, fs: &Fs, out: &mut Writer, piece: &Piece, area: &Area) {
    let mut at = piece.start.max(area.start);
    let end = piece.end.min(area.known_end());
    while at < end {
        // A page that the image shows is the image's, and one that nobody touched is zero.
        if let Page::Frame(frame) = area.page(at) {
            let bytes = m.frame(frame);
            let given = match piece.kind {
                form::Kind::File => fs.original_page(piece.inode, piece.offset + (at - piece.start)),
                _ => &[],
            };
            let (same, rest) = bytes.split_at(given.len().min(PAGE_BYTES));
            if same != given || rest.iter().any(|&b| b != 0) {
                out.put(&Record::MemoryPage(form::Page { at, bytes: trimmed(bytes) }));
            }
        }
        at += PAGE;
    }
}

/// What a space that is begun with needs to know before its mappings.
pub(crate) struct Bounds<'a> {
    /// Number of the exec that laid it out, and where that put the ends of mappings and stack.
    pub exec: u64,
    /// Mappings are placed below this.
    pub mmap_top: u64,
    /// First address above the stack.
    pub stack_top: u64,
    /// Lowest and present break.
    pub brk: (u64, u64),
    /// Pages charged.
    pub charge: u64,
    /// What the program's link shows.
    pub program: &'a [u8],
}

const NO_MEMORY: Wrong = "there is no memory for its pages";

impl Space {
    /// An address space with the mappings and pages that come next, and which file the program is if it has that mapped. After an error it is not to
    /// be used.
    pub(crate) fn begin<M: Machine>(
        m: &mut M,
        fs: &mut Fs,
        bounds: &Bounds<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<(Space, Option<Ino>), Wrong> {
        let (brk_start, brk) = bounds.brk;
        if brk_start > brk || brk > bounds.mmap_top {
            return Err("a break that cannot be");
        }
        let mut space =
            Space::new(m, bounds.exec, bounds.mmap_top, bounds.stack_top).map_err(|_| NO_MEMORY)?;
        (space.brk_start, space.brk, space.charge) = (brk_start, brk, bounds.charge);
        let mut program = None;
        let (mut end, mut charged, mut last) = (abi::layout::MMAP_MIN, 0, None);
        while let Some(r) = reader.next(|r| if let Record::Mapping(r) = r { Some(r) } else { None })? {
            check(&r, end)?;
            check_heap(m).map_err(|_| NO_MEMORY)?;
            let file = matches!(r.kind, form::Kind::File | form::Kind::Beyond);
            let entry = if file { fs.begin_name(r.inode, r.path) } else { None };
            if file && r.path == bounds.program {
                program.get_or_insert(r.inode);
            }
            end = r.end;
            charged += if r.charged { (r.end - r.start) / PAGE } else { 0 };
            if charged > bounds.charge {
                return Err("mappings that count more pages than the process is charged for");
            }
            match &mut last {
                Some(area) if lies_beyond(area, &r, &entry) => area.end = r.end,
                _ => {
                    let area = Area { entry, ..begin_area(m, fs, &r, reader)? };
                    if let Some(before) = last.replace(area) {
                        space.insert(m, before).map_err(|_| NO_MEMORY)?;
                    }
                }
            }
        }
        if let Some(area) = last {
            space.insert(m, area).map_err(|_| NO_MEMORY)?;
        }
        Ok((space, program))
    }
}

fn check(r: &form::Mapping<'_>, after: u64) -> Result<(), Wrong> {
    let aligned = [r.start, r.end, r.offset].iter().all(|a| a.is_multiple_of(PAGE));
    if !aligned || r.start < after || r.end <= r.start || r.end > MAP_END {
        return Err("a mapping out of order, without pages, or where nothing can be mapped");
    }
    let rights = Rights(r.rights);
    if r.rights > 7 || rights.has(Rights::WRITE) && !r.charged {
        return Err("a mapping whose rights cannot be");
    }
    let fits = r.offset.checked_add(r.end - r.start).is_some_and(|end| end <= i64::MAX as u64);
    let file = matches!(r.kind, form::Kind::File | form::Kind::Beyond);
    if !fits || !file && (r.offset, r.inode) != (0, 0) {
        return Err("a mapping's inode or offset cannot be that");
    }
    Ok(())
}

/// Whether `r` is the part of the file mapping `area` beyond the file's end.
fn lies_beyond(area: &Area, r: &form::Mapping<'_>, entry: &Option<Entry>) -> bool {
    let Kind::File { ino, offset, .. } = area.kind else { return false };
    r.kind == form::Kind::Beyond
        && (area.end, area.rights.0, area.charged, area.shared) == (r.start, r.rights, r.charged, r.shared)
        && (ino, offset + (area.end - area.start)) == (r.inode, r.offset)
        && same(&area.entry, entry)
}

/// A mapping and its pages.
fn begin_area<M: Machine>(
    m: &mut M,
    fs: &Fs,
    r: &form::Mapping<'_>,
    reader: &mut Reader<'_>,
) -> Result<Area, Wrong> {
    let size = match r.kind {
        form::Kind::File => fs.size_of(r.inode).max(r.offset + (r.end - r.start)),
        _ => r.offset,
    };
    let kind = match r.kind {
        form::Kind::Anonymous => Kind::Anonymous,
        form::Kind::Heap => Kind::Heap,
        form::Kind::Stack => Kind::Stack,
        form::Kind::File | form::Kind::Beyond => Kind::File { ino: r.inode, offset: r.offset, size },
    };
    let new = Area::new(r.start, r.end, Rights(r.rights), kind);
    let mut area = Area { charged: r.charged, shared: r.shared, ..new };
    if r.kind == form::Kind::File {
        load_originals(m, fs, &mut area, r)?;
    }
    if r.kind != form::Kind::Beyond {
        area.fill(m).map_err(|_| NO_MEMORY)?;
    }
    while let Some(page) = reader.next(|r| if let Record::MemoryPage(p) = r { Some(p) } else { None })? {
        if !page.at.is_multiple_of(PAGE) || page.at < area.start || page.at >= area.known_end() {
            return Err("a page outside its mapping, or where no page can differ");
        }
        put_page(m, &mut area, &page)?;
    }
    Ok(area)
}

/// The pages of a file mapping as the image's member has them.
fn load_originals<M: Machine>(
    m: &mut M,
    fs: &Fs,
    area: &mut Area,
    r: &form::Mapping<'_>,
) -> Result<(), Wrong> {
    let mut offset = r.offset;
    while offset < r.offset + (r.end - r.start) {
        let shown = fs.shown_page(r.inode, offset).filter(|_| !r.charged).and_then(Page::of_image);
        let page = match shown {
            Some(page) => page,
            None => {
                let frame = m.alloc_frame().map_err(|_| NO_MEMORY)?;
                let bytes = fs.original_page(r.inode, offset);
                m.frame_mut(frame).iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
                Page::Frame(frame)
            }
        };
        area.pages.push(page);
        offset += PAGE;
    }
    Ok(())
}

fn put_page<M: Machine>(m: &mut M, area: &mut Area, page: &form::Page<'_>) -> Result<(), Wrong> {
    let slot =
        area.pages.get_mut(((page.at - area.start) / PAGE) as usize).ok_or("a page outside its mapping")?;
    let frame = match *slot {
        Page::Frame(frame) => frame,
        Page::Image(_) | Page::Untouched | Page::Beyond => {
            let frame = m.alloc_frame().map_err(|_| NO_MEMORY)?;
            *slot = Page::Frame(frame);
            frame
        }
    };
    let mut bytes = vec![0; PAGE_BYTES];
    bytes.get_mut(..page.bytes.len()).ok_or("a page of more than 4096 bytes")?.copy_from_slice(page.bytes);
    m.frame_mut(frame).copy_from_slice(&bytes);
    Ok(())
}
