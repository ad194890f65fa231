//! An address space as a value: a persistent map of regions and one of the pages that were written. To fork is to take another reference to
//! both; a write then makes a new version of one path. Hardware tables are a shadow of it (`shadow.rs`) and hear of changes by `stale`.

use crate::Map;
use crate::errno::{EFAULT, Errno, Result};
use crate::fs::opened::Name;
use crate::page::{PAGE, PAGE_SIZE, Page, Pool};
use abi::layout::{STACK_MAX, TASK_SIZE};
use abi::turn::CHARGE_PAGES;
use alloc::rc::Rc;
use alloc::vec::Vec;

/// ELF's rights (PF_).
pub const EXECUTE: u8 = 1;
/// To write.
pub const WRITE: u8 = 2;
/// To read.
pub const READ: u8 = 4;
/// The page that returns from signal handlers.
pub const TRAMPOLINE: u64 = TASK_SIZE - 8 * PAGE;
/// Nothing can be mapped from here on.
pub const MAP_END: u64 = TASK_SIZE - 16 * PAGE;

/// A file as it was when it was mapped.
pub struct Shot {
    /// Its pages that are not the image's own.
    pub pages: Map<u64, Page>,
    /// First page in the image and how many, if its data lies there.
    pub base: Option<(u32, u64)>,
    /// Bytes.
    pub size: u64,
}

impl Shot {
    /// Page `index`; none: zero.
    pub fn page(&self, index: u64) -> Option<Page> {
        if let Some(p) = self.pages.get(&index) {
            return Some(p.clone());
        }
        self.base.filter(|b| index < b.1).map(|b| Page::Image(b.0 + index as u32))
    }
}

/// What untouched pages of a region hold.
#[derive(Clone)]
pub enum Backing {
    /// Zeros.
    Anonymous,
    /// Zeros; charged from the lowest touched page on.
    Stack,
    /// A file from page `.1` on.
    File(Rc<Shot>, u64),
}

/// For /proc/PID/maps.
#[derive(Clone)]
pub struct Label {
    /// Device and inode.
    pub inode: u64,
    /// Of the file, or `[heap]`.
    pub name: Name,
}

/// Adjacent pages with one meaning; its start is its key.
#[derive(Clone)]
pub struct Region {
    /// First address beyond it.
    pub end: u64,
    /// PF_ flags.
    pub rights: u8,
    /// Is or was writable and private.
    pub charged: bool,
    /// Of MAP_SHARED (read-only).
    pub shared: bool,
    /// What lies below what was written.
    pub backing: Backing,
    /// Its name.
    pub label: Option<Label>,
}

/// Why an access cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Nothing is mapped there.
    Unmapped,
    /// Not in this way.
    Forbidden,
    /// Beyond the file's end.
    BeyondFile,
    /// Frames ran out.
    NoFrame,
}

/// One address space.
#[derive(Clone)]
pub struct Space {
    /// Regions by start.
    pub regions: Map<u64, Region>,
    /// Pages that were written, by page number.
    pub pages: Map<u64, Page>,
    /// The break's start and the break.
    pub brk: (u64, u64),
    /// Mappings lie below.
    pub mmap_top: u64,
    /// Number of the exec that made it.
    pub exec: u64,
    /// Lowest touched address of the stack, page-aligned.
    pub touched: u64,
    /// The stack grows no deeper, and no piece of it lies there.
    pub deepest: u64,
    /// Chunks that are charged.
    pub chunks: u64,
    /// Ranges whose translations may be wrong now.
    pub stale: Vec<(u64, u64)>,
    pool: Rc<Pool>,
}

impl Space {
    /// Nothing mapped.
    pub fn new(pool: Rc<Pool>) -> Space {
        Space {
            regions: Map::new(),
            pages: Map::new(),
            brk: (0, 0),
            mmap_top: 0,
            exec: 0,
            touched: u64::MAX,
            deepest: 0,
            chunks: 0,
            stale: Vec::new(),
            pool,
        }
    }

    /// The pages' pool.
    pub fn pool(&self) -> &Rc<Pool> {
        &self.pool
    }

    /// The region with `va` in it.
    pub fn region(&self, va: u64) -> Option<(u64, &Region)> {
        let (start, r) = self.regions.range(..=va).next_back()?;
        (va < r.end).then_some((*start, r))
    }

    /// Where a region begins as a mapping: room for the stack below its lowest touched page is none.
    pub fn begins(&self, start: u64, r: &Region) -> u64 {
        if matches!(r.backing, Backing::Stack) { self.touched.max(start).min(r.end) } else { start }
    }

    /// The mapping with `va` in it.
    pub fn mapped(&self, va: u64) -> Option<&Region> {
        self.region(va).filter(|(start, r)| self.begins(*start, r) <= va).map(|(_, r)| r)
    }

    /// Pages that the charge rule counts.
    pub fn charged_pages(&self) -> u64 {
        let charged = self.regions.iter().filter(|(_, r)| r.charged);
        charged.map(|(start, r)| (r.end - self.begins(*start, r)) / PAGE).sum()
    }

    /// Chunks that are needed now.
    pub fn chunks_needed(&self) -> u64 {
        self.charged_pages().div_ceil(CHARGE_PAGES)
    }

    /// The page at `va` as it is read; `Ok(None)`: zeros.
    pub fn page(&self, va: u64) -> core::result::Result<Option<Page>, Trouble> {
        let (start, r) = self.region(va).ok_or(Trouble::Unmapped)?;
        if let Some(p) = self.pages.get(&(va / PAGE)) {
            return Ok(Some(p.clone()));
        }
        match &r.backing {
            Backing::File(shot, first) => {
                let index = first + (va - start) / PAGE;
                if index >= shot.size.div_ceil(PAGE) {
                    return Err(Trouble::BeyondFile);
                }
                Ok(shot.page(index))
            }
            _ => Ok(None),
        }
    }

    /// Whether `va` may be accessed so.
    pub fn allowed(&self, va: u64, want: u8) -> core::result::Result<(), Trouble> {
        let (_, r) = self.region(va).ok_or(Trouble::Unmapped)?;
        // A page that can be written or executed can be read (no EPAN).
        let has = if r.rights != 0 { r.rights | READ } else { 0 };
        if has & want == want { Ok(()) } else { Err(Trouble::Forbidden) }
    }

    /// Whether touching `va` moves the stack's lowest page into a chunk that is not charged yet.
    pub fn growth(&self, va: u64) -> Option<u64> {
        let (_, r) = self.region(va)?;
        let page = va & !(PAGE - 1);
        if !matches!(r.backing, Backing::Stack) || page >= self.touched {
            return None;
        }
        let more = (self.touched.min(r.end) - page) / PAGE;
        let needed = (self.charged_pages() + more).div_ceil(CHARGE_PAGES);
        (needed > self.chunks).then_some(needed)
    }

    /// A page of its own at `va`, as it is before it is written; rights were looked at.
    pub fn own(&mut self, va: u64) -> core::result::Result<Page, Trouble> {
        let number = va / PAGE;
        if let Some(p) = self.pages.get_mut(&number) {
            if p.sole().is_some() {
                return Ok(p.clone());
            }
            let copy = self.pool.copy(p).ok_or(Trouble::NoFrame)?;
            *p = Page::Own(copy);
            let page = p.clone();
            self.stale.push((number * PAGE, number * PAGE + PAGE));
            return Ok(page);
        }
        let frame = match self.page(va)? {
            Some(below) => self.pool.copy(&below),
            None => self.pool.frame(),
        };
        let page = Page::Own(frame.ok_or(Trouble::NoFrame)?);
        self.pages.insert_mut(number, page.clone());
        self.stale.push((number * PAGE, number * PAGE + PAGE));
        Ok(page)
    }

    /// Says that `va` was touched: the stack's lowest page.
    pub fn touch(&mut self, va: u64) {
        let page = va & !(PAGE - 1);
        if page < self.touched && self.region(va).is_some_and(|(_, r)| matches!(r.backing, Backing::Stack)) {
            self.touched = page;
            self.chunks = self.chunks.max(self.chunks_needed());
        }
    }

    /// How many bytes from `va` on can be accessed so, at most `len`.
    pub fn reach(&self, va: u64, len: u64, want: u8) -> u64 {
        let mut at = va;
        let end = va.saturating_add(len);
        while at < end {
            if at >= TASK_SIZE || self.allowed(at, want).is_err() || self.page(at).is_err() {
                break;
            }
            at = (at & !(PAGE - 1)) + PAGE;
        }
        at.min(end).saturating_sub(va)
    }

    /// Copies in; all or EFAULT.
    pub fn get(&mut self, va: u64, out: &mut [u8]) -> Result<()> {
        if self.reach(va, out.len() as u64, READ) < out.len() as u64 {
            return Err(EFAULT);
        }
        let (mut va, mut rest) = (va, out);
        while !rest.is_empty() {
            let at = (va % PAGE) as usize;
            let n = rest.len().min(PAGE_SIZE - at);
            let (now, later) = rest.split_at_mut(n);
            self.touch(va);
            match self.page(va).map_err(|_| EFAULT)? {
                Some(p) => self.pool.read(&p, at, now),
                None => now.fill(0),
            }
            va += n as u64;
            rest = later;
        }
        Ok(())
    }

    /// Copies out; all or EFAULT.
    pub fn put(&mut self, va: u64, data: &[u8]) -> Result<()> {
        if self.reach(va, data.len() as u64, WRITE) < data.len() as u64 {
            return Err(EFAULT);
        }
        self.put_anyway(va, data)
    }

    /// Copies out of a page, from byte `inside` on (none: zeros); the rights were looked at.
    pub fn put_page(&mut self, va: u64, from: Option<&Page>, inside: usize, length: usize) -> Result<()> {
        let mut done = 0;
        while done < length {
            let at = va + done as u64;
            let (place, left) = ((at % PAGE) as usize, length - done);
            let step = left.min(PAGE_SIZE - place);
            self.touch(at);
            if let Page::Own(frame) = self.own(at).map_err(|_| EFAULT)? {
                frame.fill(place, from, inside + done, step);
            }
            done += step;
        }
        Ok(())
    }

    /// As `put`, whatever the rights say: for the loader.
    pub fn put_anyway(&mut self, va: u64, data: &[u8]) -> Result<()> {
        let (mut va, mut rest) = (va, data);
        while !rest.is_empty() {
            let at = (va % PAGE) as usize;
            let (now, later) = rest.split_at(rest.len().min(PAGE_SIZE - at));
            self.touch(va);
            if let Page::Own(f) = self.own(va).map_err(|_| EFAULT)? {
                f.write(at, now);
            }
            va += now.len() as u64;
            rest = later;
        }
        Ok(())
    }

    /// A number of eight bytes.
    pub fn get_u64(&mut self, va: u64) -> Result<u64> {
        let mut b = [0; 8];
        self.get(va, &mut b)?;
        Ok(u64::from_le_bytes(b))
    }

    /// A number of four bytes.
    pub fn get_u32(&mut self, va: u64) -> Result<u32> {
        let mut b = [0; 4];
        self.get(va, &mut b)?;
        Ok(u32::from_le_bytes(b))
    }

    /// Bytes up to a zero, at most `max` of them; longer: `too_long`.
    pub fn string(&mut self, va: u64, max: usize, too_long: Errno) -> Result<Vec<u8>> {
        let mut out = Vec::new();
        let mut at = va;
        loop {
            let room = (PAGE - at % PAGE) as usize;
            let mut piece = [0; PAGE_SIZE];
            let piece = &mut piece[..room];
            self.get(at, piece)?;
            if let Some(n) = piece.iter().position(|&b| b == 0) {
                out.extend_from_slice(&piece[..n]);
                return if out.len() > max { Err(too_long) } else { Ok(out) };
            }
            out.extend_from_slice(piece);
            if out.len() > max {
                return Err(too_long);
            }
            at += room as u64;
        }
    }

    /// The stack below `top`; its first page is touched at once.
    pub fn add_stack(&mut self, top: u64) {
        let region = Region {
            end: top,
            rights: READ | WRITE,
            charged: true,
            shared: false,
            backing: Backing::Stack,
            label: Some(Label { inode: 0, name: Name::fixed(b"[stack]") }),
        };
        self.regions.insert_mut(top - STACK_MAX, region);
        (self.touched, self.deepest) = (top - PAGE, top - STACK_MAX);
    }
}
