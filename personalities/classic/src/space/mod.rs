//! A program's address space: a sorted array of mappings, their frames, and the page tables filled from them.
//!
//! Tables are filled when a mapping is made, not at the first touch; what is left for a fault is the stack's growth and
//! reservations that only read. The kernel itself reaches a program's bytes through this array and its frames, never through the
//! program's addresses: a bad pointer is a failed look-up, not an exception.

pub mod area;
mod map;
mod snapshot;
#[cfg(test)]
mod tests;
mod touch;
mod user;

pub use area::{Area, FileSource, Kind, Page};
pub use map::{MayMove, Place};
pub(crate) use snapshot::Bounds;
pub use touch::Touch;
pub use user::UserView;

use crate::errno::{ENOMEM, Errno};
use crate::machine::{Machine, OutOfFrames, Rights, Shown, TableId};
use abi::layout::{MMAP_MIN, PAGE, STACK_MAX, TASK_SIZE};
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::vec::Vec;
use core::ops::Range;

/// Where the page of code that returns from signal handlers lies.
pub const TRAMPOLINE: u64 = TASK_SIZE - 8 * PAGE;
/// Programs map nothing from here on.
pub const MAP_END: u64 = TASK_SIZE - 16 * PAGE;

/// Why a step in memory was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryError {
    /// The program gets this.
    Errno(Errno),
    /// It needs a further chunk: the step must wait for its thread's turn.
    NeedsTurn,
}

impl From<Errno> for MemoryError {
    fn from(e: Errno) -> Self {
        MemoryError::Errno(e)
    }
}

impl From<OutOfFrames> for MemoryError {
    fn from(_: OutOfFrames) -> Self {
        MemoryError::Errno(ENOMEM)
    }
}

/// What all processes together are charged for, and whether the step at hand may change it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    /// Pages, a multiple of the chunk.
    pub charged: u64,
    /// The step is its thread's turn.
    pub in_turn: bool,
    /// A step outside a turn met the end of its chunk.
    pub wants_turn: bool,
}

/// Heap that mappings and texts of /proc leave to the rest of the kernel, bytes.
pub(crate) const HEAP_RESERVE: usize = 8 << 20;

/// Mappings of a program, as Linux' `vm.max_map_count`.
pub const MAPPINGS_MAX: usize = 65_530;

/// ENOMEM when the kernel's own tables have no room for more mappings.
pub(crate) fn check_heap<M: Machine>(m: &M) -> Result<(), MemoryError> {
    if m.free_heap() < HEAP_RESERVE { Err(ENOMEM.into()) } else { Ok(()) }
}

/// `pages` in whole chunks.
pub fn chunks(pages: u64) -> u64 {
    pages.next_multiple_of(CHARGE_PAGES)
}

impl Budget {
    /// Raises a process' charge from `have` to at least `pages`; returns the new charge.
    pub fn raise(&mut self, have: u64, pages: u64) -> Result<u64, MemoryError> {
        let want = chunks(pages);
        if want <= have {
            return Ok(have);
        }
        if !self.in_turn {
            self.wants_turn = true;
            return Err(MemoryError::NeedsTurn);
        }
        if self.charged + (want - have) > MEMORY_PAGES {
            return Err(ENOMEM.into());
        }
        self.charged += want - have;
        Ok(want)
    }
}

/// An address space.
#[derive(Debug)]
pub struct Space {
    /// Its page tables.
    pub tables: TableId,
    areas: Vec<Area>,
    /// Mappings are placed below this.
    pub mmap_top: u64,
    /// Where the break starts.
    pub brk_start: u64,
    /// The break.
    pub brk: u64,
    /// First address above the stack.
    pub stack_top: u64,
    /// Pages charged, in whole chunks.
    pub charge: u64,
    /// Number of the exec that laid it out ([`abi::layout::layout`]).
    pub exec: u64,
}

impl Space {
    /// An empty space of exec number `exec` with the trampoline in place.
    pub fn new<M: Machine>(
        m: &mut M,
        exec: u64,
        mmap_top: u64,
        stack_top: u64,
    ) -> Result<Space, OutOfFrames> {
        let tables = m.new_tables()?;
        let areas = Vec::new();
        let space = Space { tables, areas, mmap_top, brk_start: 0, brk: 0, stack_top, charge: 0, exec };
        let shown = m.map(tables, TRAMPOLINE, Shown::Trampoline, Rights(Rights::READ.0 | Rights::EXECUTE.0));
        if shown.is_err() {
            m.drop_tables(tables);
        }
        shown.map(|()| space)
    }

    /// ENOMEM unless there is room for `more` mappings, in the array too: where it must be laid anew the heap has to hold both for a while.
    fn room<M: Machine>(&mut self, m: &M, more: usize) -> Result<(), MemoryError> {
        if more == 0 {
            return Ok(());
        }
        check_heap(m)?;
        let wanted = self.areas.len() + more;
        if wanted > MAPPINGS_MAX {
            return Err(ENOMEM.into());
        }
        // One beside them: a stack that grows is two for a moment, and does not ask.
        if wanted >= self.areas.capacity() {
            let grown = (2 * wanted * size_of::<Area>()).next_power_of_two();
            if m.free_heap() < HEAP_RESERVE + grown {
                return Err(ENOMEM.into());
            }
        }
        self.areas.try_reserve(more + 1).map_err(|_| ENOMEM.into())
    }

    /// How many mappings there are more when both addresses are borders.
    fn cuts(&self, start: u64, end: u64) -> usize {
        [start, end].into_iter().filter(|&at| self.find(at).is_some_and(|a| a.start < at)).count()
    }

    /// Its mappings, ascending.
    pub fn areas(&self) -> &[Area] {
        &self.areas
    }

    /// Pages that count, all mappings together.
    pub fn charged_pages(&self) -> u64 {
        self.areas.iter().map(Area::charged_pages).sum()
    }

    /// Those of them between two addresses.
    fn charged_between(&self, start: u64, end: u64) -> u64 {
        let inside = |a: &Area| a.end.min(end).saturating_sub(a.start.max(start)) / PAGE;
        self.areas.iter().filter(|a| a.charged).map(inside).sum()
    }

    /// Index of the first mapping that ends after `address`.
    fn index_from(&self, address: u64) -> usize {
        self.areas.partition_point(|a| a.end <= address)
    }

    /// The mapping that holds `address`.
    pub fn find(&self, address: u64) -> Option<&Area> {
        self.areas.get(self.index_from(address)).filter(|a| a.start <= address)
    }

    /// Whether nothing is mapped between two addresses.
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.areas.get(self.index_from(start)).is_none_or(|a| a.start >= end)
    }

    /// The highest place below `mmap_top` where `len` bytes fit.
    pub fn place(&self, len: u64) -> Option<u64> {
        let mut top = self.mmap_top;
        for area in self.areas.iter().rev() {
            if area.end <= top && top - area.end >= len {
                break;
            }
            top = top.min(area.start);
        }
        top.checked_sub(len).filter(|&at| at >= MMAP_MIN && self.is_free(at, at + len))
    }

    /// Fills the page tables for one mapping's pages between two addresses.
    fn show<M: Machine>(
        m: &mut M,
        tables: TableId,
        area: &Area,
        start: u64,
        end: u64,
    ) -> Result<(), OutOfFrames> {
        let rights = area.rights.effective();
        let end = end.min(area.known_end());
        let mut address = start;
        while address < end {
            match area.page(address).shown(rights) {
                Some(shown) => m.map(tables, address, shown, rights)?,
                None => m.unmap(tables, address),
            }
            address += PAGE;
        }
        Ok(())
    }

    /// Adds a mapping whose place is free; its frames are given back if there is no room for the tables.
    pub fn insert<M: Machine>(&mut self, m: &mut M, mut area: Area) -> Result<(), OutOfFrames> {
        let (start, end) = (area.start, area.end);
        let filled = area.fill(m).and_then(|()| Self::show(m, self.tables, &area, start, end));
        if let Err(e) = filled {
            Self::hide(m, self.tables, &area);
            area.free(m);
            return Err(e);
        }
        m.flush(self.tables, area.rights.has(Rights::EXECUTE));
        let at = self.index_from(start);
        self.areas.insert(at, area);
        self.join_around(at);
        Ok(())
    }

    fn hide<M: Machine>(m: &mut M, tables: TableId, area: &Area) {
        // A reservation may hold pages shown by a fault (zeros); a huge one is walked only over what tables exist, by the machine.
        m.unmap_range(tables, area.start, area.end);
    }

    fn join_around(&mut self, at: usize) {
        for i in [at + 1, at] {
            if i > 0 && i < self.areas.len() && self.areas[i - 1].joins(&self.areas[i]) {
                let next = self.areas.remove(i);
                self.areas[i - 1].join(next);
            }
        }
    }

    /// Makes `at` a border between mappings.
    fn split_at(&mut self, at: u64) {
        let i = self.index_from(at);
        if let Some(area) = self.areas.get_mut(i)
            && area.start < at
        {
            let tail = area.split_off(at);
            self.areas.insert(i + 1, tail);
        }
    }

    /// Takes everything between two addresses away.
    pub fn remove<M: Machine>(&mut self, m: &mut M, start: u64, end: u64) {
        if self.is_free(start, end) {
            return;
        }
        let inside = self.borders(start, end);
        for area in &mut self.areas[inside.clone()] {
            Self::hide(m, self.tables, area);
            area.free(m);
        }
        self.areas.drain(inside);
        m.flush(self.tables, false);
    }

    /// Makes both addresses borders between mappings; which of the array lie between.
    fn borders(&mut self, start: u64, end: u64) -> Range<usize> {
        self.split_at(start);
        self.split_at(end);
        let from = self.index_from(start);
        from..self.areas.partition_point(|a| a.start < end).max(from)
    }

    /// Cuts the mappings between two addresses out, frames and all; the page tables are the caller's matter.
    fn take(&mut self, start: u64, end: u64) -> Vec<Area> {
        let inside = self.borders(start, end);
        self.areas.drain(inside).collect()
    }

    /// Gives all frames and tables back. The charge is the caller's matter.
    pub fn free<M: Machine>(&mut self, m: &mut M) {
        for area in &mut self.areas {
            area.free(m);
        }
        self.areas.clear();
        m.drop_tables(self.tables);
    }

    /// A copy, page by page.
    pub fn fork<M: Machine>(&self, m: &mut M) -> Result<Space, OutOfFrames> {
        let mut child = Space::new(m, self.exec, self.mmap_top, self.stack_top)?;
        (child.brk_start, child.brk, child.charge) = (self.brk_start, self.brk, self.charge);
        let mut room = child.room(m, self.areas.len()).map_err(|_| OutOfFrames);
        for area in &self.areas {
            // Asked for each: what all of them list of their pages can be more than what is free.
            room = room.and_then(|()| check_heap(m).map_err(|_| OutOfFrames));
            if let Err(e) = room.and_then(|()| child.insert_copy(m, area)) {
                child.free(m);
                return Err(e);
            }
        }
        Ok(child)
    }

    fn insert_copy<M: Machine>(&mut self, m: &mut M, area: &Area) -> Result<(), OutOfFrames> {
        let mut copy = Area {
            pages: Vec::with_capacity(area.pages.len()),
            start: area.start,
            end: area.end,
            rights: area.rights,
            charged: area.charged,
            shared: area.shared,
            kind: area.kind,
            entry: area.entry.clone(),
        };
        for page in &area.pages {
            let made = match *page {
                Page::Frame(from) => match m.alloc_frame() {
                    Ok(to) => {
                        m.copy_frame(from, to);
                        Page::Frame(to)
                    }
                    Err(e) => {
                        copy.free(m);
                        return Err(e);
                    }
                },
                other => other,
            };
            copy.pages.push(made);
        }
        self.insert(m, copy)
    }

    /// Lowest address that the stack may grow to.
    fn stack_limit(&self) -> u64 {
        self.stack_top - STACK_MAX
    }
}
