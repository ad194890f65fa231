//! mmap, munmap, mprotect, mremap, brk, madvise on a space. Each checks everything, charges, then acts.

use super::{Area, Budget, FileSource, Kind, MAP_END, MemoryError, Page, Space, check_heap};
use crate::errno::{EEXIST, EFAULT, EINVAL, ENOMEM, EPERM};
use crate::fs::Entry;
use crate::machine::{Machine, PAGE_BYTES, Rights};
use abi::layout::{MMAP_MIN, PAGE, TASK_SIZE};

type Result<T> = core::result::Result<T, MemoryError>;

/// Where a mapping shall go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// There if it is free, else the highest gap. 0: no wish.
    Hint(u64),
    /// There, in place of what is there.
    Fixed(u64),
    /// There, if it is free.
    FixedNoReplace(u64),
}

/// `len` in whole pages; `None` when there is no such number.
fn page_up(len: u64) -> Option<u64> {
    len.checked_next_multiple_of(PAGE)
}

impl Space {
    /// Maps `len` bytes; a file's pages come from `source`.
    pub fn mmap<M: Machine>(
        &mut self,
        m: &mut M,
        budget: &mut Budget,
        place: Place,
        len: u64,
        (rights, kind, shared, entry): (Rights, Kind, bool, Option<Entry>),
        source: &dyn FileSource,
    ) -> Result<u64> {
        let (start, len) = self.choose(place, len)?;
        self.room(m, self.cuts(start, start + len) + 1)?;
        let mut area = Area { shared, entry, ..Area::new(start, start + len, rights, kind) };
        let pages = self.charged_pages() - self.charged_between(start, start + len) + area.charged_pages();
        self.charge = budget.raise(self.charge, pages)?;
        if let Err(e) = area.load(m, source) {
            area.free(m);
            return Err(e.into());
        }
        self.remove(m, start, start + len);
        self.insert(m, area)?;
        Ok(start)
    }

    /// Where a mapping of `len` bytes would go, and its length in whole pages.
    pub fn choose(&self, place: Place, len: u64) -> Result<(u64, u64)> {
        if len == 0 {
            return Err(EINVAL.into());
        }
        let len = page_up(len).filter(|&l| l <= MAP_END).ok_or(ENOMEM)?;
        let (Place::Hint(at) | Place::Fixed(at) | Place::FixedNoReplace(at)) = place;
        let fits = at.checked_add(len).is_some_and(|end| end <= MAP_END);
        if let Place::Hint(_) = place {
            let usable = at >= MMAP_MIN && at.is_multiple_of(PAGE) && fits;
            if usable && self.is_free(at, at + len) {
                return Ok((at, len));
            }
            return Ok((self.place(len).ok_or(ENOMEM)?, len));
        }
        if !fits {
            return Err(ENOMEM.into());
        }
        if !at.is_multiple_of(PAGE) {
            return Err(EINVAL.into());
        }
        if at < MMAP_MIN {
            return Err(EPERM.into());
        }
        if matches!(place, Place::FixedNoReplace(_)) && !self.is_free(at, at + len) {
            return Err(EEXIST.into());
        }
        Ok((at, len))
    }

    /// Takes mappings away; holes are fine.
    pub fn munmap<M: Machine>(&mut self, m: &mut M, start: u64, len: u64) -> Result<()> {
        let end = range(start, len)?;
        if start == end {
            return Err(EINVAL.into());
        }
        self.room(m, self.cuts(start, end))?;
        self.remove(m, start, end);
        Ok(())
    }

    /// Changes rights up to the first hole.
    pub fn mprotect<M: Machine>(
        &mut self,
        m: &mut M,
        budget: &mut Budget,
        start: u64,
        len: u64,
        rights: Rights,
    ) -> Result<()> {
        if !start.is_multiple_of(PAGE) {
            return Err(EINVAL.into());
        }
        let wanted_end = page_up(len).and_then(|l| start.checked_add(l)).ok_or(ENOMEM)?;
        let end = self.mapped_until(start, wanted_end);
        check_heap(m)?;
        self.room(m, self.cuts(start, end))?;
        if rights.has(Rights::WRITE) {
            let new = (end - start) / PAGE - self.charged_between(start, end);
            self.charge = budget.raise(self.charge, self.charged_pages() + new)?;
        }
        self.protect(m, start, end, rights)?;
        if end < wanted_end { Err(ENOMEM.into()) } else { Ok(()) }
    }

    fn protect<M: Machine>(&mut self, m: &mut M, start: u64, end: u64, rights: Rights) -> Result<()> {
        let mut failed = Ok(());
        let inside = self.borders(start, end);
        for area in &mut self.areas[inside.clone()] {
            area.rights = rights;
            let was = area.charged;
            area.charged |= rights.has(Rights::WRITE);
            if failed.is_ok() && area.charged != was {
                failed = area.fill(m);
            }
            if !area.charged {
                // Zeros that a fault has shown with the old rights.
                m.unmap_range(self.tables, area.start, area.end);
            }
            failed = failed.and_then(|()| Self::show(m, self.tables, area, area.start, area.end));
        }
        inside.rev().for_each(|at| self.join_around(at));
        m.flush(self.tables, rights.has(Rights::EXECUTE));
        Ok(failed?)
    }

    /// Moves the break; an impossible wish leaves it. Returns where it is.
    pub fn set_brk<M: Machine>(&mut self, m: &mut M, budget: &mut Budget, wanted: u64) -> Result<u64> {
        if wanted < self.brk_start || wanted > self.mmap_top {
            return Ok(self.brk);
        }
        let (Some(old), Some(new)) = (page_up(self.brk), page_up(wanted)) else { return Ok(self.brk) };
        if new > old {
            if !self.is_free(old, new) || self.room(m, 1).is_err() {
                return Ok(self.brk);
            }
            match budget.raise(self.charge, self.charged_pages() + (new - old) / PAGE) {
                Ok(charge) => self.charge = charge,
                Err(MemoryError::NeedsTurn) => return Err(MemoryError::NeedsTurn),
                Err(MemoryError::Errno(_)) => return Ok(self.brk),
            }
            let rights = Rights(Rights::READ.0 | Rights::WRITE.0);
            if self.insert(m, Area::new(old, new, rights, Kind::Heap)).is_err() {
                return Ok(self.brk);
            }
        } else if self.room(m, self.cuts(new, old)).is_ok() {
            self.remove(m, new, old);
        } else {
            return Ok(self.brk);
        }
        self.brk = wanted;
        Ok(wanted)
    }

    /// mremap: `target` is the fixed new place, if asked for.
    pub fn mremap<M: Machine>(
        &mut self,
        m: &mut M,
        budget: &mut Budget,
        (old, old_len): (u64, u64),
        new_len: u64,
        (may_move, target): (MayMove, Option<u64>),
        source: &dyn FileSource,
    ) -> Result<u64> {
        // As Linux: lengths too long to be rounded up are none.
        let (old_len, new_len) = (page_up(old_len).unwrap_or(0), page_up(new_len).unwrap_or(0));
        if !old.is_multiple_of(PAGE) || new_len == 0 {
            return Err(EINVAL.into());
        }
        self.find(old).ok_or(EFAULT)?;
        self.room(m, 6)?;
        if let Some(to) = target {
            let fits = to.checked_add(new_len).is_some_and(|end| end <= MAP_END);
            let overlaps = to < old.saturating_add(old_len) && old < to.saturating_add(new_len);
            if !to.is_multiple_of(PAGE) || !fits || overlaps {
                return Err(EINVAL.into());
            }
            return self.move_to(m, budget, (old, old_len), (to, new_len), source);
        }
        if new_len <= old_len {
            return self.cut(m, (old, old_len), new_len).map(|()| old);
        }
        let old_end = self.resizable(old, old_len)?;
        let grown = old.checked_add(new_len).filter(|&end| end <= MAP_END);
        let in_place = self.find(old).is_some_and(|area| area.end == old_end)
            && grown.is_some_and(|end| self.is_free(old_end, end));
        let to = match may_move {
            _ if in_place => old,
            MayMove::Yes => self.place(new_len).ok_or(ENOMEM)?,
            MayMove::No => return Err(ENOMEM.into()),
        };
        self.charge = self.charge_of_growth(budget, old, new_len - old_len, 0)?;
        self.resize(m, to, old, old_end, new_len, source)?;
        Ok(to)
    }

    /// Takes away what lies behind the first `new_len` bytes, mapped or not.
    fn cut<M: Machine>(&mut self, m: &mut M, (old, old_len): (u64, u64), new_len: u64) -> Result<()> {
        if new_len < old_len {
            // As Linux: where both are so long that the sum goes round, so it is.
            let from = old.wrapping_add(new_len);
            self.remove(m, from, range(from, old_len - new_len)?);
        }
        Ok(())
    }

    /// The end of what mremap grows or moves: EFAULT unless one mapping holds all of it.
    fn resizable(&self, old: u64, old_len: u64) -> Result<u64> {
        if old_len == 0 {
            return Err(EINVAL.into());
        }
        let end = self.find(old).ok_or(EFAULT)?.end;
        if old_len <= end - old { Ok(old + old_len) } else { Err(EFAULT.into()) }
    }

    /// The charge once the mapping at `old` has `more` bytes more, and `replaced` pages that count are gone.
    fn charge_of_growth(&self, budget: &mut Budget, old: u64, more: u64, replaced: u64) -> Result<u64> {
        if more == 0 || !self.find(old).is_some_and(|area| area.charged) {
            return Ok(self.charge);
        }
        budget.raise(self.charge, self.charged_pages().saturating_sub(replaced) + more / PAGE)
    }

    /// mremap to a fixed place. As in Linux, what was there goes, and what is cut off, before it is known whether the rest can be moved.
    fn move_to<M: Machine>(
        &mut self,
        m: &mut M,
        budget: &mut Budget,
        (old, old_len): (u64, u64),
        (to, new_len): (u64, u64),
        source: &dyn FileSource,
    ) -> Result<u64> {
        let kept = old_len.min(new_len);
        let movable = self.resizable(old, kept).and_then(|end| {
            let replaced = self.charged_between(to, to + new_len);
            let charge = self.charge_of_growth(budget, old, new_len - kept, replaced)?;
            Ok((end, charge))
        });
        if movable == Err(MemoryError::NeedsTurn) {
            return Err(MemoryError::NeedsTurn);
        }
        self.remove(m, to, to + new_len);
        self.cut(m, (old, old_len), kept)?;
        let (end, charge) = movable?;
        self.charge = charge;
        if to < MMAP_MIN {
            return Err(EPERM.into());
        }
        self.resize(m, to, old, end, new_len, source)?;
        Ok(to)
    }

    /// Moves the mapping `old..old_end` to `to` with a new length.
    fn resize<M: Machine>(
        &mut self,
        m: &mut M,
        to: u64,
        old: u64,
        old_end: u64,
        new_len: u64,
        source: &dyn FileSource,
    ) -> Result<()> {
        if old + new_len < old_end {
            self.remove(m, old + new_len, old_end);
        }
        for mut area in self.take(old, old_end) {
            m.unmap_range(self.tables, area.start, area.end);
            // Elsewhere it is no part of the break any more.
            if area.kind == Kind::Heap && to != old {
                area.kind = Kind::Anonymous;
            }
            (area.start, area.end) = (to, to + new_len);
            if let Err(e) = area.load(m, source) {
                area.free(m);
                return Err(e.into());
            }
            self.insert(m, area)?;
        }
        Ok(())
    }

    /// ENOMEM if some of the range is not mapped.
    pub fn check_mapped(&self, start: u64, end: u64) -> Result<()> {
        if self.mapped_until(start, end) < end { Err(ENOMEM.into()) } else { Ok(()) }
    }

    /// The first hole between two addresses, else `end`.
    fn mapped_until(&self, start: u64, end: u64) -> u64 {
        let mut at = start;
        while at < end {
            match self.find(at) {
                Some(area) => at = area.end.min(end),
                None => break,
            }
        }
        at
    }

    /// MADV_DONTNEED from page to page, holes left out: anonymous pages are zero again, a file's are the file's.
    pub fn discard<M: Machine>(&mut self, m: &mut M, start: u64, end: u64, source: &dyn FileSource) {
        for area in self.areas.iter().skip(self.index_from(start)).take_while(|a| a.start < end) {
            Self::reset(m, area, area.start.max(start), area.end.min(end), source);
        }
    }

    fn reset<M: Machine>(m: &mut M, area: &Area, start: u64, end: u64, source: &dyn FileSource) {
        let mut at = start;
        let end = end.min(area.known_end());
        while at < end {
            if let Page::Frame(frame) = area.page(at) {
                let bytes: &mut [u8; PAGE_BYTES] = m.frame_mut(frame);
                bytes.fill(0);
                if let Kind::File { ino, offset, .. } = area.kind {
                    source.read(ino, offset + (at - area.start), bytes);
                }
            }
            at += PAGE;
        }
    }
}

/// Whether mremap may move the mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MayMove {
    /// It may.
    Yes,
    /// It may not.
    No,
}

/// The end of a page-aligned range inside the user's half.
fn range(start: u64, len: u64) -> Result<u64> {
    if !start.is_multiple_of(PAGE) {
        return Err(EINVAL.into());
    }
    let end = page_up(len).and_then(|l| start.checked_add(l));
    Ok(end.filter(|&e| e <= TASK_SIZE).ok_or(EINVAL)?)
}
