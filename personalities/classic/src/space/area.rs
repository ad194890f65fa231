//! One mapping of a program and its pages.

use crate::fs::{Entry, Ino};
use crate::machine::{Frame, Machine, OutOfFrames, PAGE_BYTES, Rights, Shown};
use abi::layout::PAGE;
use alloc::vec::Vec;

/// What stands behind one page.
#[derive(Clone, Copy, Debug)]
pub enum Page {
    /// Nothing yet: it reads as zero.
    Untouched,
    /// A frame of its own.
    Frame(Frame),
    /// A page of the root image.
    Image(&'static [u8]),
    /// Beyond the end of its file: SIGBUS.
    Beyond,
}

/// What a mapping is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Memory from mmap, or a program's zeroed data.
    Anonymous,
    /// The break, as long as it stays where brk made it.
    Heap,
    /// The stack: grows downwards.
    Stack,
    /// A file, privately.
    File {
        /// Which.
        ino: Ino,
        /// The byte of the file at the mapping's start, page-aligned.
        offset: u64,
        /// Its size when it was mapped: what lies beyond is never there.
        size: u64,
    },
}

/// A file's bytes, for mapping.
pub trait FileSource {
    /// Page `page` of the file in the root image, if its bytes can never change.
    fn image_page(&self, ino: Ino, page: u64) -> Option<&'static [u8]>;
    /// Copies bytes of a file; returns how many there were.
    fn read(&self, ino: Ino, offset: u64, out: &mut [u8]) -> usize;
}

/// Whether page tables can show these bytes.
fn is_page(bytes: &[u8]) -> bool {
    bytes.len() == PAGE_BYTES && bytes.as_ptr().addr().is_multiple_of(PAGE_BYTES)
}

/// A mapping.
#[derive(Debug)]
pub struct Area {
    /// First address.
    pub start: u64,
    /// First address after it.
    pub end: u64,
    /// Rights as the program asked.
    pub rights: Rights,
    /// It is or was writable: all its pages count.
    pub charged: bool,
    /// It was asked for with MAP_SHARED (read-only, so as private as others).
    pub shared: bool,
    /// What it is.
    pub kind: Kind,
    /// Of a file: by which entry what was mapped was opened.
    pub entry: Option<Entry>,
    /// One for each page from the start; what is missing at the end is untouched (so a reservation costs nothing) or, of a file,
    /// beyond its end.
    pub pages: Vec<Page>,
}

impl Area {
    /// An anonymous mapping without pages.
    pub fn new(start: u64, end: u64, rights: Rights, kind: Kind) -> Area {
        Area {
            start,
            end,
            rights,
            charged: rights.has(Rights::WRITE),
            shared: false,
            kind,
            entry: None,
            pages: Vec::new(),
        }
    }

    /// Number of pages.
    pub fn len(&self) -> u64 {
        (self.end - self.start) / PAGE
    }

    /// Whether it has no pages at all (never, in a space).
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// Pages that count against the process.
    pub fn charged_pages(&self) -> u64 {
        if self.charged { self.len() } else { 0 }
    }

    /// What stands behind the page that holds `address`.
    pub fn page(&self, address: u64) -> Page {
        let index = (address.saturating_sub(self.start) / PAGE) as usize;
        let missing = if self.is_file() { Page::Beyond } else { Page::Untouched };
        self.pages.get(index).copied().unwrap_or(missing)
    }

    fn is_file(&self) -> bool {
        matches!(self.kind, Kind::File { .. })
    }

    /// First address after the pages that `pages` knows.
    pub fn known_end(&self) -> u64 {
        self.start + self.pages.len() as u64 * PAGE
    }

    /// Cuts the part from `at` (page-aligned, inside) off into a mapping of its own.
    pub fn split_off(&mut self, at: u64) -> Area {
        let index = ((at - self.start) / PAGE) as usize;
        let pages = if self.pages.len() <= index { Vec::new() } else { self.pages.split_off(index) };
        let kind = match self.kind {
            Kind::File { ino, offset, size } => Kind::File { ino, offset: offset + (at - self.start), size },
            other => other,
        };
        let tail = Area { start: at, end: self.end, kind, pages, entry: self.entry.clone(), ..*self };
        self.end = at;
        tail
    }

    /// Whether `next`, which begins where this ends, can be one mapping with it.
    pub fn joins(&self, next: &Area) -> bool {
        self.end == next.start
            && self.rights == next.rights
            && self.charged == next.charged
            && self.shared == next.shared
            && same(&self.entry, &next.entry)
            && self.kind_with(next).is_some()
    }

    /// What both are as one: a file's bytes must go on. One that is cut short has nothing behind the pages that it knows, so a page cannot
    /// follow there.
    fn kind_with(&self, next: &Area) -> Option<Kind> {
        let (Kind::File { ino, offset, size }, Kind::File { ino: other, offset: from, size: later }) =
            (self.kind, next.kind)
        else {
            return (self.kind == next.kind).then_some(self.kind);
        };
        let goes_on = ino == other && offset + (self.end - self.start) == from;
        // What grows does so behind the last page: it keeps what was known of the file there.
        let size = if next.pages.is_empty() { size.min(later) } else { later };
        let whole = next.pages.is_empty() || self.known_end() == self.end;
        (goes_on && whole).then_some(Kind::File { ino, offset, size })
    }

    /// Appends `next`, which [joins](Area::joins).
    pub fn join(&mut self, mut next: Area) {
        self.kind = self.kind_with(&next).unwrap_or(self.kind);
        if !(self.pages.is_empty() && next.pages.is_empty()) {
            self.materialise();
            next.materialise();
            self.pages.append(&mut next.pages);
        }
        self.end = next.end;
    }

    /// One entry for each page of memory from now on.
    fn materialise(&mut self) {
        if !self.is_file() {
            self.pages.resize(self.len() as usize, Page::Untouched);
        }
    }

    /// Loads a file mapping's pages that `pages` lacks, as they are now: a snapshot. The image's own pages are shown as they stand unless the
    /// mapping can be written.
    pub fn load<M: Machine>(&mut self, m: &mut M, source: &dyn FileSource) -> Result<(), OutOfFrames> {
        let Kind::File { ino, offset, size } = self.kind else { return Ok(()) };
        let first = offset / PAGE;
        let inside = size.div_ceil(PAGE).saturating_sub(first).min(self.len());
        for i in self.pages.len() as u64..inside {
            let page = first + i;
            let loaded = match source.image_page(ino, page).filter(|b| !self.charged && is_page(b)) {
                Some(bytes) => Page::Image(bytes),
                None => {
                    let frame = m.alloc_frame()?;
                    source.read(ino, page * PAGE, m.frame_mut(frame));
                    Page::Frame(frame)
                }
            };
            self.pages.push(loaded);
        }
        Ok(())
    }

    /// Gives every page of a charged mapping a frame of its own.
    pub fn fill<M: Machine>(&mut self, m: &mut M) -> Result<(), OutOfFrames> {
        if !self.charged {
            return Ok(());
        }
        self.materialise();
        for slot in &mut self.pages {
            match *slot {
                Page::Untouched => *slot = Page::Frame(m.alloc_frame()?),
                Page::Image(bytes) => {
                    let frame = m.alloc_frame()?;
                    for (to, from) in m.frame_mut(frame).iter_mut().zip(bytes) {
                        *to = *from;
                    }
                    *slot = Page::Frame(frame);
                }
                Page::Frame(_) | Page::Beyond => {}
            }
        }
        Ok(())
    }

    /// Gives all frames back.
    pub fn free<M: Machine>(&mut self, m: &mut M) {
        for page in self.pages.drain(..) {
            if let Page::Frame(frame) = page {
                m.free_frame(frame);
            }
        }
    }
}

/// Whether both are of one entry, or of none.
pub(super) fn same(a: &Option<Entry>, b: &Option<Entry>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.is(b),
        (a, b) => a.is_none() && b.is_none(),
    }
}

impl Page {
    /// A page of the image, if page tables can show it.
    pub fn of_image(bytes: &'static [u8]) -> Option<Page> {
        is_page(bytes).then_some(Page::Image(bytes))
    }

    /// What a page-table entry with `rights` shows for it; `None`: a fault decides.
    pub fn shown(self, rights: Rights) -> Option<Shown> {
        if rights.0 == 0 {
            return None;
        }
        match self {
            Page::Frame(frame) => Some(Shown::Frame(frame)),
            Page::Image(bytes) => Some(Shown::Image(bytes)),
            Page::Untouched | Page::Beyond => None,
        }
    }
}
