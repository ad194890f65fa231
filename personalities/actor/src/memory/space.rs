//! One address space: regions say what may be touched and what lies there, pages are the grants that exist already. Translation tables
//! are no part of it; they are a cache that the machine makes of it.

use crate::files::Dentry;
use crate::page::{Grant, PAGE};
use abi::layout::{Layout, STACK_MAX, TASK_SIZE};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::vec::Vec;
use bitflags::bitflags;

bitflags! {
    /// What a program may do with a region: ELF's PF_ flags.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    pub struct Rights: u8 {
        /// PF_X.
        const EXECUTE = 1;
        /// PF_W.
        const WRITE = 2;
        /// PF_R.
        const READ = 4;
    }
}

/// What is about to be done to a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// A load.
    Read,
    /// A store.
    Write,
    /// An instruction fetch.
    Execute,
}

/// A file's contents as they were at one moment.
#[derive(Clone)]
pub enum Source {
    /// A member of the root image.
    Still(&'static [u8]),
    /// Pages by number; those that are missing are zero.
    Pages { size: u64, pages: Rc<BTreeMap<u64, Grant>> },
}

impl Source {
    pub fn size(&self) -> u64 {
        match self {
            Source::Still(bytes) => bytes.len() as u64,
            Source::Pages { size, .. } => *size,
        }
    }

    /// Page number `n`, which begins below the end.
    pub fn page(&self, n: u64) -> Option<Grant> {
        match self {
            Source::Still(bytes) => {
                let rest = bytes.get((n * PAGE) as usize..)?;
                Grant::of_image(&rest[..rest.len().min(PAGE as usize)])
            }
            Source::Pages { pages, .. } => Some(pages.get(&n).cloned().unwrap_or_else(Grant::zero)),
        }
    }

    /// Bytes from `at` on, as many as there are.
    pub fn read(&self, at: u64, out: &mut [u8]) -> usize {
        let n = (out.len() as u64).min(self.size().saturating_sub(at)) as usize;
        if n == 0 {
            return 0;
        }
        match self {
            Source::Still(bytes) => out[..n].copy_from_slice(&bytes[at as usize..at as usize + n]),
            Source::Pages { pages, .. } => {
                let mut done = 0;
                while done < n {
                    let (page, from) = ((at + done as u64) / PAGE, ((at + done as u64) % PAGE) as usize);
                    let len = (PAGE as usize - from).min(n - done);
                    match pages.get(&page) {
                        Some(g) => out[done..done + len].copy_from_slice(&g.bytes()[from..from + len]),
                        None => out[done..done + len].fill(0),
                    }
                    done += len;
                }
            }
        }
        n
    }

    fn same(&self, other: &Source) -> bool {
        match (self, other) {
            (Source::Still(a), Source::Still(b)) => core::ptr::eq(*a, *b),
            (Source::Pages { pages: a, .. }, Source::Pages { pages: b, .. }) => Rc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// A file as far as /proc/PID/maps names it.
pub struct Label {
    /// By which the mapped descriptor was opened; the file server keeps it up to date.
    pub name: Rc<Dentry>,
    pub dev: u64,
    pub inode: u64,
}

impl Label {
    /// Whether both name one file in the same way.
    pub fn is_like(&self, other: &Label) -> bool {
        (self.dev, self.inode) == (other.dev, other.inode) && self.name.is_like(&other.name)
    }
}

/// The file behind a region.
#[derive(Clone)]
pub struct Backing {
    pub source: Source,
    /// Byte of the file at the region's start, page-aligned.
    pub offset: u64,
    pub label: Rc<Label>,
}

/// Neighbouring pages with the same rights and the same origin.
#[derive(Clone)]
pub struct Region {
    pub end: u64,
    pub rights: Rights,
    /// It is or ever was writable and private.
    pub charged: bool,
    /// Grows down on touch.
    pub stack: bool,
    /// Made by brk.
    pub heap: bool,
    /// MAP_SHARED, which is read-only and else as private.
    pub shared: bool,
    pub backing: Option<Backing>,
}

impl Region {
    pub fn plain(end: u64, rights: Rights) -> Region {
        let charged = rights.contains(Rights::WRITE);
        Region { end, rights, charged, stack: false, heap: false, shared: false, backing: None }
    }

    /// The same region as it looks from `by` bytes further up.
    fn shifted(&self, by: u64) -> Region {
        let mut r = self.clone();
        if let Some(b) = &mut r.backing {
            b.offset += by;
        }
        r
    }

    fn continues(&self, start: u64, next: &Region) -> bool {
        let flags = |r: &Region| (r.rights, r.charged, r.stack, r.heap, r.shared);
        let origin = || match (&self.backing, &next.backing) {
            (None, None) => true,
            (Some(a), Some(b)) => {
                let goes_on = a.source.same(&b.source) && a.offset + (self.end - start) == b.offset;
                goes_on && a.label.is_like(&b.label)
            }
            _ => false,
        };
        flags(self) == flags(next) && origin()
    }
}

/// An address space.
pub struct Space {
    pub regions: BTreeMap<u64, Region>,
    /// Pages that exist, by address / PAGE.
    pub pages: BTreeMap<u64, Grant>,
    pub layout: Layout,
    /// The exec that drew the layout, of the system's from 0.
    pub exec: u64,
    pub brk_start: u64,
    pub brk: u64,
    /// Stack pointer at exec: says which region is [stack].
    pub stack_start: u64,
    /// Pages charged, in whole chunks.
    pub charge: u64,
    /// Ranges whose cached translations are out of date.
    pub stale: Vec<(u64, u64)>,
}

impl Space {
    /// Empty, with the layout that exec number `exec` drew.
    pub fn new(layout: Layout, exec: u64) -> Space {
        Space {
            regions: BTreeMap::new(),
            pages: BTreeMap::new(),
            layout,
            exec,
            brk_start: 0,
            brk: 0,
            stack_start: 0,
            charge: 0,
            stale: Vec::new(),
        }
    }

    /// The region at `address`, and its start.
    pub fn at(&self, address: u64) -> Option<(u64, &Region)> {
        self.regions.range(..=address).next_back().filter(|(_, r)| address < r.end).map(|(s, r)| (*s, r))
    }

    /// Whether nothing is mapped in a range.
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.regions.range(..end).next_back().is_none_or(|(_, r)| r.end <= start)
    }

    /// Regions that overlap a range, by start.
    pub fn over(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, &Region)> {
        let first = self.at(start).map_or(start, |(s, _)| s);
        self.regions.range(first..end.max(first)).map(|(s, r)| (*s, r))
    }

    /// Pages of charged regions inside a range.
    pub fn charged_within(&self, start: u64, end: u64) -> u64 {
        if end <= start {
            return 0;
        }
        let pages = |(s, r): (u64, &Region)| (r.end.min(end) - s.max(start)) / PAGE;
        self.over(start, end).filter(|(_, r)| r.charged).map(pages).sum()
    }

    /// Pages of all charged regions.
    pub fn charged(&self) -> u64 {
        self.charged_within(0, TASK_SIZE)
    }

    /// Makes `at` a border of regions.
    fn split(&mut self, at: u64) {
        let Some((start, region)) = self.at(at).filter(|(s, _)| *s < at) else { return };
        let upper = region.shifted(at - start);
        let lower = self.regions.get_mut(&start).map(|r| r.end = at);
        debug_assert!(lower.is_some());
        if let (Some(r), true) = (self.regions.get_mut(&start), upper.stack) {
            r.stack = true;
        }
        self.regions.insert(at, upper);
    }

    /// Takes everything in a range away.
    pub fn carve(&mut self, start: u64, end: u64) {
        // An empty range makes no border: nothing would join the two halves again.
        if start >= end {
            return;
        }
        self.split(start);
        self.split(end);
        let gone: Vec<u64> = self.regions.range(start..end).map(|(s, _)| *s).collect();
        for s in &gone {
            self.regions.remove(s);
        }
        if !gone.is_empty() {
            self.drop_pages(start, end);
        }
    }

    /// Forgets the pages of a range: what lies there is again what its regions say.
    pub fn drop_pages(&mut self, start: u64, end: u64) {
        let mut tail = self.pages.split_off(&(start / PAGE));
        let mut rest = tail.split_off(&end.div_ceil(PAGE));
        self.pages.append(&mut rest);
        self.stale.push((start, end));
    }

    /// Puts a region into a free range.
    pub fn insert(&mut self, start: u64, region: Region) {
        let end = region.end;
        self.regions.insert(start, region);
        self.join(end);
        self.join(start);
    }

    /// Makes one region of the two that meet at `at`, if they are alike.
    fn join(&mut self, at: u64) {
        let Some(upper) = self.regions.get(&at) else { return };
        let Some((start, lower)) = self.regions.range(..at).next_back() else { return };
        if lower.end != at || !lower.continues(*start, upper) {
            return;
        }
        let (start, end) = (*start, upper.end);
        self.regions.remove(&at);
        if let Some(lower) = self.regions.get_mut(&start) {
            lower.end = end;
        }
    }

    /// Changes the regions of a range, which is mapped in whole.
    pub fn alter(&mut self, start: u64, end: u64, change: impl Fn(&mut Region)) {
        self.split(start);
        self.split(end);
        self.regions.range_mut(start..end).for_each(|(_, r)| change(r));
        let mut borders: Vec<u64> = self.regions.range(start..=end).map(|(s, _)| *s).collect();
        borders.reverse();
        borders.into_iter().for_each(|at| self.join(at));
        self.stale.push((start, end));
    }

    /// Where mmap puts `length` bytes: the highest gap below `mmap_top` that fits.
    pub fn gap(&self, length: u64) -> Option<u64> {
        let mut top = self.layout.mmap_top;
        for (start, region) in self.regions.iter().rev() {
            if *start >= top {
                continue;
            }
            if region.end <= top && top - region.end >= length {
                break;
            }
            top = *start;
        }
        let below = self.regions.range(..top).next_back().map_or(0, |(_, r)| r.end);
        let at = top.checked_sub(length)?;
        (at >= below.max(abi::layout::MMAP_MIN)).then_some(at)
    }

    /// The lowest address to which the stack may grow, and its region's start.
    pub fn stack(&self) -> Option<(u64, u64)> {
        let (start, _) = self.regions.iter().find(|(_, r)| r.stack)?;
        Some((self.layout.stack_top - STACK_MAX, *start))
    }

    /// Whether touching `address` makes the stack grow; the stack's start before.
    pub fn grows_to(&self, address: u64) -> Option<u64> {
        let (limit, start) = self.stack()?;
        let page = address / PAGE * PAGE;
        (page >= limit && page < start && self.is_free(page, start)).then_some(start)
    }

    /// The stack begins at `page` from now on.
    pub fn grow_stack(&mut self, start: u64, page: u64) {
        if let Some(region) = self.regions.remove(&start) {
            self.insert(page, region);
        }
    }

    /// A copy that shares all pages until one side writes.
    pub fn snapshot(&mut self) -> Space {
        self.stale.push((0, TASK_SIZE));
        Space {
            regions: self.regions.clone(),
            pages: self.pages.clone(),
            layout: self.layout,
            exec: self.exec,
            brk_start: self.brk_start,
            brk: self.brk,
            stack_start: self.stack_start,
            charge: 0,
            stale: Vec::new(),
        }
    }
}
