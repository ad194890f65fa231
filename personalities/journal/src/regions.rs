//! Operations on an address space's map of regions: mmap and its kin, without a word of calls or turns. Each works on a value; a caller that
//! may not keep the result (a limit, a turn that is not his) drops it.

use crate::errno::{EEXIST, EFAULT, EINVAL, ENOMEM, Result};
use crate::fs::opened::Name;
use crate::page::PAGE;
use crate::space::{Backing, Label, MAP_END, Region, Space, WRITE};
use abi::layout::{MMAP_MIN, TASK_SIZE};
use alloc::rc::Rc;
use alloc::vec::Vec;

/// Where a mapping shall lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Anywhere, or here if it is free.
    Hint(u64),
    /// Here, whatever was there.
    Fixed(u64),
    /// Here, if nothing is.
    FixedFree(u64),
}

/// `length` in whole pages, as an address difference; `None`: more than there is.
pub fn round_up(length: u64) -> Option<u64> {
    Some(length.checked_add(PAGE - 1)? & !(PAGE - 1))
}

impl Region {
    /// Whether `next`, which begins at its end, is one mapping with it.
    fn is_continued(&self, start: u64, next: &Region) -> bool {
        let label = |r: &Region| r.label.as_ref().map(|l| (l.inode, l.name.clone()));
        let goes_on = match (&self.backing, &next.backing) {
            (Backing::Anonymous, Backing::Anonymous) | (Backing::Stack, Backing::Stack) => true,
            (Backing::File(a, from), Backing::File(b, to)) => {
                let same = Rc::ptr_eq(a, b) || a.base.is_some() && a.base == b.base && a.size == b.size;
                same && from + (self.end - start) / PAGE == *to
            }
            _ => false,
        };
        let flags = |r: &Region| (r.rights, r.charged, r.shared);
        goes_on && flags(self) == flags(next) && label(self) == label(next)
    }
}

impl Space {
    /// Cuts regions so that `at` is inside none.
    fn split(&mut self, at: u64) {
        let Some((start, r)) = self.region(at) else { return };
        if start == at {
            return;
        }
        let (mut low, mut high) = (r.clone(), r.clone());
        low.end = at;
        if let Backing::File(shot, first) = &r.backing {
            high.backing = Backing::File(shot.clone(), first + (at - start) / PAGE);
        }
        self.regions.insert_mut(start, low);
        self.regions.insert_mut(at, high);
    }

    /// Whether nothing lies in the range.
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.regions.range(..end).next_back().is_none_or(|(_, r)| r.end <= start)
    }

    /// Whether nothing is mapped in the range: the stack's room is free to mremap.
    fn is_hole(&self, start: u64, end: u64) -> bool {
        let mut below = self.regions.range(..end).rev();
        below.find(|(k, r)| self.begins(**k, r) < end).is_none_or(|(_, r)| r.end <= start)
    }

    /// Makes the regions that end and begin at `at` one if they are alike: neighbours are never one mapping in two pieces, whatever made them.
    fn join(&mut self, at: u64) {
        let Some((start, low)) = self.regions.range(..at).next_back() else { return };
        let Some(high) = self.regions.get(&at) else { return };
        if low.end != at || !low.is_continued(*start, high) {
            return;
        }
        let (start, joined) = (*start, Region { end: high.end, ..low.clone() });
        self.regions.remove_mut(&at);
        self.regions.insert_mut(start, joined);
    }

    /// Forgets what was written in the range.
    fn drop_pages(&mut self, start: u64, end: u64) {
        let gone: Vec<u64> = self.pages.range(start / PAGE..end / PAGE).map(|(k, _)| *k).collect();
        for k in &gone {
            self.pages.remove_mut(k);
        }
        self.stale.push((start, end));
    }

    fn starts(&self, start: u64, end: u64) -> Vec<u64> {
        self.regions.range(start..end).map(|(k, _)| *k).collect()
    }

    /// Unmaps the range (pages).
    pub fn remove(&mut self, start: u64, end: u64) {
        self.clear(start, end);
        self.settle_room();
    }

    /// What the stack may grow into is one region with its lowest piece, as on Linux, where that grows: down to what is mapped below.
    fn settle_room(&mut self) {
        let pieces = self.regions.range(self.deepest..).filter(|(_, r)| matches!(r.backing, Backing::Stack));
        let (room, pieces): (Vec<_>, Vec<_>) =
            pieces.map(|(start, r)| (*start, r.end)).partition(|(_, end)| *end <= self.touched);
        for (start, _) in room {
            self.regions.remove_mut(&start);
        }
        let lowest = pieces.first().and_then(|(start, _)| Some((*start, self.regions.get(start)?.clone())));
        let Some((start, piece)) = lowest else {
            self.touched = u64::MAX;
            return;
        };
        self.touched = self.touched.max(start);
        let below = self.regions.range(..start).next_back().map_or(0, |(_, r)| r.end);
        let low = below.max(self.deepest).min(start);
        if low != start {
            self.regions.remove_mut(&start);
            self.regions.insert_mut(low, piece);
        }
    }

    fn clear(&mut self, start: u64, end: u64) {
        self.split(start);
        self.split(end);
        for s in self.starts(start, end) {
            self.regions.remove_mut(&s);
        }
        self.drop_pages(start, end);
    }

    /// The highest gap below `mmap_top` that fits.
    fn gap(&self, length: u64) -> Result<u64> {
        let mut top = self.mmap_top;
        for (start, r) in self.regions.range(..self.mmap_top).rev() {
            if r.end <= top && top - r.end >= length {
                break;
            }
            top = top.min(*start);
        }
        match top.checked_sub(length) {
            Some(at) if at >= MMAP_MIN => Ok(at),
            _ => Err(ENOMEM),
        }
    }

    /// The address for a mapping of `length` bytes (pages, not 0); nothing is changed.
    pub fn place(&self, place: Place, length: u64) -> Result<u64> {
        match place {
            Place::Hint(hint) => {
                let fits = hint >= MMAP_MIN && hint.checked_add(length).is_some_and(|e| e <= MAP_END);
                if fits && hint.is_multiple_of(PAGE) && self.is_free(hint, hint + length) {
                    Ok(hint)
                } else {
                    self.gap(length)
                }
            }
            Place::Fixed(at) | Place::FixedFree(at) => {
                if at.checked_add(length).is_none_or(|e| e > MAP_END) {
                    return Err(ENOMEM);
                }
                if !at.is_multiple_of(PAGE) {
                    return Err(EINVAL);
                }
                if at < MMAP_MIN {
                    return Err(crate::errno::EPERM);
                }
                if matches!(place, Place::FixedFree(_)) && !self.is_free(at, at + length) {
                    return Err(EEXIST);
                }
                Ok(at)
            }
        }
    }

    /// Maps `length` bytes at `at`, replacing what is there.
    pub fn add(&mut self, at: u64, length: u64, rights: u8, backing: Backing, label: Option<Label>) {
        self.insert(at, length, rights, false, backing, label);
    }

    /// The same, MAP_SHARED.
    pub fn add_shared(&mut self, at: u64, length: u64, rights: u8, backing: Backing, label: Option<Label>) {
        self.insert(at, length, rights, true, backing, label);
    }

    fn insert(
        &mut self,
        at: u64,
        length: u64,
        rights: u8,
        shared: bool,
        backing: Backing,
        label: Option<Label>,
    ) {
        let end = at + length;
        self.clear(at, end);
        self.regions
            .insert_mut(at, Region { end, rights, charged: rights & WRITE != 0, shared, backing, label });
        self.join(at);
        self.join(end);
        self.settle_room();
    }

    /// mprotect: changes up to the first hole, which is ENOMEM.
    pub fn protect(&mut self, start: u64, end: u64, rights: u8) -> Result<()> {
        self.split(start);
        self.split(end);
        let (starts, mut at) = (self.starts(start, end), start);
        for s in &starts {
            if self.regions.get(s).is_none_or(|r| self.begins(*s, r) != at) {
                break;
            }
            let Some(r) = self.regions.get_mut(s) else { break };
            r.rights = rights;
            r.charged |= rights & WRITE != 0;
            at = r.end;
        }
        // Behind a hole, too: what was cut at `end` is as it was.
        for s in starts {
            self.join(s);
        }
        self.join(end);
        self.settle_room();
        self.stale.push((start, end));
        if at < end { Err(ENOMEM) } else { Ok(()) }
    }

    /// brk: the new break, or the old one where that cannot be.
    pub fn set_break(&mut self, want: u64) -> u64 {
        let (start, now) = self.brk;
        if want < start || want > MAP_END {
            return now;
        }
        let (old, new) = (now.next_multiple_of(PAGE), want.next_multiple_of(PAGE));
        if new > old {
            if !self.is_free(old, new) {
                return now;
            }
            let label = Some(Label { inode: 0, name: Name::fixed(b"[heap]") });
            self.add(old, new - old, crate::space::READ | WRITE, Backing::Anonymous, label);
        } else if new < old {
            self.remove(new, old);
        }
        self.brk.1 = want;
        want
    }

    /// Moves the pages and regions of a range to `to`, where nothing is. The names of heap and stack are those of their places: what leaves these has
    /// none, and does not grow.
    fn shift(&mut self, start: u64, end: u64, to: u64) {
        self.split(start);
        self.split(end);
        for s in self.starts(start, end) {
            if let Some(r) = self.regions.get(&s).cloned() {
                self.regions.remove_mut(&s);
                let (backing, label) = match r.backing {
                    Backing::Anonymous | Backing::Stack => (Backing::Anonymous, None),
                    file => (file, r.label),
                };
                let end = r.end - start + to;
                self.regions.insert_mut(s - start + to, Region { end, backing, label, ..r });
            }
        }
        let pages: Vec<_> =
            self.pages.range(start / PAGE..end / PAGE).map(|(k, p)| (*k, p.clone())).collect();
        for (k, p) in pages {
            self.pages.remove_mut(&k);
            self.pages.insert_mut(k - start / PAGE + to / PAGE, p);
        }
        self.stale.push((start, end));
        self.stale.push((to, to + (end - start)));
        self.join(to);
        self.join(to + (end - start));
    }

    /// Unmaps what lies beyond the first `new` of `old` bytes; a range that does not end below TASK_SIZE is EINVAL.
    fn cut_off(&mut self, at: u64, old: u64, new: u64) -> Result<()> {
        let end = at.checked_add(old).filter(|end| *end <= TASK_SIZE).ok_or(EINVAL)?;
        self.remove(at + new, end);
        Ok(())
    }

    /// mremap of what is mapped at `at`; `old` and `new` lengths are whole pages, `new` not 0.
    pub fn remap(&mut self, at: u64, old: u64, new: u64, may_move: bool, to: Option<u64>) -> Result<u64> {
        let mut old = old;
        if let Some(to) = to {
            if !to.is_multiple_of(PAGE) || to.checked_add(new).is_none_or(|e| e > MAP_END) || to < MMAP_MIN {
                return Err(EINVAL);
            }
            // A sum beyond 2^64 wraps, as on Linux; what is to be cut off is looked at again below.
            if at < to + new && to < at.wrapping_add(old) {
                return Err(EINVAL);
            }
            self.remove(to, to + new);
            if new < old {
                self.cut_off(at, old, new)?;
                old = new;
            }
        } else if new <= old {
            if new < old {
                self.cut_off(at, old, new)?;
            }
            return Ok(at);
        }
        let r = self.mapped(at).ok_or(EFAULT)?.clone();
        if old == 0 {
            return Err(EINVAL);
        }
        if at.checked_add(old).is_none_or(|e| e > r.end) {
            return Err(EFAULT);
        }
        if to.is_none()
            && at + old == r.end
            && at.checked_add(new).is_some_and(|e| e <= MAP_END)
            && self.is_hole(r.end, at + new)
        {
            self.extend(at, at + new);
            self.settle_room();
            return Ok(at);
        }
        if to.is_none() && !may_move {
            return Err(ENOMEM);
        }
        let target = match to {
            Some(to) => to,
            None => self.place(Place::Hint(0), new)?,
        };
        self.shift(at, at + old, target);
        if new > old {
            self.extend(target, target + new);
        }
        self.settle_room();
        Ok(target)
    }

    /// The region that holds `at` grows to `end`, where nothing is but room for the stack.
    fn extend(&mut self, at: u64, end: u64) {
        if let Some((start, r)) = self.region(at) {
            let (before, r) = (r.end, Region { end, ..r.clone() });
            self.clear(before, end);
            self.regions.insert_mut(start, r);
        }
        self.join(end);
    }

    /// madvise(DONTNEED).
    pub fn forget(&mut self, start: u64, end: u64) {
        self.drop_pages(start, end);
    }

    /// Whether the range is mapped without a hole.
    pub fn is_whole(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        while at < end {
            match self.mapped(at) {
                Some(r) => at = r.end,
                None => return false,
            }
        }
        true
    }
}
