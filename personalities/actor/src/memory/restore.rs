//! Spaces as a snapshot has them (`docs/snapshot.md`). Nothing of it is believed.

use super::{Backing, Label, Memory, REGIONS_MAX, Region, Rights, Source, Space, SpaceId, chunks};
use crate::files::{Dentry, Files, Told};
use crate::page::{Grant, PAGE, SIZE};
use crate::snapshot::read::{MappingPart, PrivatePart};
use crate::snapshot::{Read, Wrong, check};
use abi::layout::{MMAP_MIN, TASK_SIZE, layout};
use abi::snapshot::{Kind, Mapping};
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;

/// Nothing is ever mapped from here on.
const LIMIT: u64 = TASK_SIZE - 16 * PAGE;

/// Sources made so far, by inode and size: mappings of one file are to be one again when they meet.
type Sources = BTreeMap<(u64, u64), Rc<BTreeMap<u64, Grant>>>;

/// What spaces are made from.
pub struct Ground<'a> {
    pub files: &'a mut Files,
    /// Dentries of removed entries so far.
    pub told: &'a mut Told,
    pub seed: [u8; 32],
    /// Execs of the system.
    pub execs: u64,
}

impl Ground<'_> {
    fn label(&mut self, m: &Mapping<'_>) -> Rc<Label> {
        let name = self.files.told_dentry(m.inode, m.path, self.told);
        Rc::new(Label { name: name.unwrap_or_else(Dentry::unknown), dev: 1, inode: m.inode })
    }
}

fn is_of_file(m: &Mapping<'_>) -> bool {
    matches!(m.kind, Kind::File | Kind::Beyond)
}

/// Whether `b` is of the same file as `a` and goes on where `a` ends.
fn goes_on(a: &Mapping<'_>, b: &Mapping<'_>) -> bool {
    let offset = a.offset.checked_add(a.end - a.start);
    a.end == b.start && a.inode == b.inode && a.path == b.path && offset == Some(b.offset)
}

/// How long the file behind a mapping was when it was mapped, in whole pages, as far as it matters.
fn size_behind(all: &[MappingPart<'_>], i: usize) -> u64 {
    let m = &all[i].mapping;
    let end = |m: &Mapping<'_>| m.offset + (m.end - m.start);
    let (before, after) = (i.checked_sub(1).and_then(|b| all.get(b)), all.get(i + 1));
    let cut = |n: &&MappingPart<'_>| n.mapping.kind == Kind::Beyond && goes_on(m, &n.mapping);
    match m.kind {
        Kind::Beyond => {
            let before = before.map(|b| &b.mapping).filter(|b| b.kind == Kind::File && goes_on(b, m));
            before.map_or(0, end)
        }
        _ if after.filter(cut).is_some() => end(m),
        _ => {
            let same = all.iter().map(|p| &p.mapping).filter(|n| n.kind == Kind::File && n.inode == m.inode);
            same.map(end).max().unwrap_or(0)
        }
    }
}

/// What a mapping of a file gives by itself.
fn source(all: &[MappingPart<'_>], i: usize, files: &Files, made: &mut Sources) -> Source {
    let m = &all[i].mapping;
    let base = files.image_bytes(m.inode);
    let whole = |bytes: &[u8]| (bytes.len() as u64).next_multiple_of(PAGE);
    let is_still = |bytes: &&'static [u8]| match m.kind {
        Kind::Beyond => m.offset >= whole(bytes),
        _ => m.offset + (m.end - m.start) <= whole(bytes),
    };
    if let Some(bytes) = base.filter(is_still) {
        return Source::Still(bytes);
    }
    let size = size_behind(all, i);
    let pages = made.entry((m.inode, size)).or_insert_with(|| {
        let pages = base.unwrap_or(&[]).chunks(SIZE).enumerate();
        Rc::new(pages.filter_map(|(n, bytes)| Some((n as u64, Grant::of_image(bytes)?))).collect())
    });
    Source::Pages { size, pages: pages.clone() }
}

fn check_mapping(part: &MappingPart<'_>, last_end: u64) -> Read {
    let (m, at) = (&part.mapping, part.record);
    let aligned = m.start.is_multiple_of(PAGE) && m.end.is_multiple_of(PAGE);
    let inside = m.start >= MMAP_MIN.max(last_end) && m.start < m.end && m.end <= LIMIT;
    check(aligned && inside, at, "a mapping at a place where none can be")?;
    check(m.rights <= 7, at, "rights that none are")?;
    let ends = m.offset.checked_add(m.end - m.start).is_some_and(|end| end <= 1 << 63);
    check(!is_of_file(m) || m.offset.is_multiple_of(PAGE) && ends, at, "an offset that none is")?;
    check(part.pages.is_empty() || m.kind != Kind::Beyond, at, "pages behind the end of a file")
}

impl Space {
    /// The space of a process' own part.
    fn restore(part: &PrivatePart<'_>, ground: &mut Ground<'_>) -> Read<Space> {
        let p = &part.private;
        check(p.layout < ground.execs, part.record, "an address space of an exec that never was")?;
        let mut space = Space::new(layout(&ground.seed, p.layout), p.layout);
        (space.brk_start, space.brk) = (p.break_start, p.break_end);
        check(p.break_start <= p.break_end && p.break_end <= LIMIT, part.record, "a break that none is")?;
        space.stack_start = space.layout.stack_top - 8;
        check(part.mappings.len() <= REGIONS_MAX, part.record, "more mappings than can be")?;
        let (mut sources, mut last_end) = (Sources::new(), 0);
        let mappings = &part.mappings;
        for part in mappings {
            check_mapping(part, last_end)?;
            last_end = part.mapping.end;
        }
        for (i, part) in mappings.iter().enumerate() {
            let m = &part.mapping;
            let below = m.kind != Kind::Stack || m.end <= space.layout.stack_top;
            check(below, part.record, "a stack above its top")?;
            let backing = is_of_file(m).then(|| Backing {
                source: source(mappings, i, ground.files, &mut sources),
                offset: m.offset,
                label: ground.label(m),
            });
            let region = Region {
                end: m.end,
                rights: Rights::from_bits_truncate(m.rights),
                charged: m.charged,
                stack: m.kind == Kind::Stack,
                heap: m.kind == Kind::Heap,
                shared: m.shared,
                backing,
            };
            space.insert(m.start, region);
            space.add_pages(part)?;
        }
        Ok(space)
    }

    fn add_pages(&mut self, part: &MappingPart<'_>) -> Read {
        let m = &part.mapping;
        for (at, page) in &part.pages {
            let inside = (m.start..m.end).contains(&page.at) && page.at.is_multiple_of(PAGE);
            check(inside && page.bytes.len() <= SIZE, *at, "a page outside of its mapping")?;
            let grant = Grant::new(page.bytes).ok_or(Wrong { record: *at, what: "no page is left" })?;
            let old = self.pages.insert(page.at / PAGE, grant);
            check(old.is_none(), *at, "a page for the second time")?;
        }
        Ok(())
    }
}

impl Memory {
    /// Takes in the space of a process' own part, charged with `charge` pages.
    pub fn restore(&mut self, part: &PrivatePart<'_>, charge: u64, ground: &mut Ground<'_>) -> Read<SpaceId> {
        let mut space = Space::restore(part, ground)?;
        let fits = charge.is_multiple_of(CHARGE_PAGES) && charge >= chunks(space.charged());
        let affordable = charge <= MEMORY_PAGES - self.charged.min(MEMORY_PAGES);
        check(fits && affordable, part.record, "a charge that is not right")?;
        space.charge = charge;
        self.charged += charge;
        self.next += 1;
        self.spaces.insert(self.next, space);
        Ok(self.next)
    }
}
