//! The mappings of a space: an ordered map of ranges that never overlap. What lies behind them is the objects' business.

use crate::files::names::Entry;
use abi::layout::{MMAP_MIN, PAGE, TASK_SIZE};
use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use bitflags::bitflags;

bitflags! {
    /// What a program asked for; the numbers are ELF's PF_ flags.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u8 {
        /// PF_X.
        const EXECUTE = 1;
        /// PF_W.
        const WRITE = 2;
        /// PF_R.
        const READ = 4;
    }
}

impl Rights {
    /// From mmap's PROT_ bits.
    pub fn from_prot(prot: u64) -> Rights {
        let mut r = Rights::empty();
        r.set(Rights::READ, prot & 1 != 0);
        r.set(Rights::WRITE, prot & 2 != 0);
        r.set(Rights::EXECUTE, prot & 4 != 0);
        r
    }
}

/// What a mapping is, for /proc/PID/maps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Nothing special.
    Anonymous,
    /// The break's.
    Heap,
    /// The stack: grows downwards.
    Stack,
    /// A file's: inode, and the entry by which what is mapped was opened.
    File(u64, Rc<Entry>),
}

/// One mapping.
#[derive(Clone, Debug)]
pub struct Mapping {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Rights.
    pub rights: Rights,
    /// It is or was writable: its pages are charged.
    pub charged: bool,
    /// What lies behind it.
    pub object: u32,
    /// The object's page at `start`.
    pub offset: u64,
    /// The object has other users: the first write puts a shadow before it.
    pub needs_copy: bool,
    /// What it is.
    pub kind: Kind,
    /// MAP_SHARED was asked for (read-only: as private).
    pub shared: bool,
}

impl Mapping {
    /// The object's page at `address`.
    pub fn index(&self, address: u64) -> u64 {
        self.offset + (address - self.start) / PAGE
    }

    /// Whether `next` goes on where this ends, and is to a program the same mapping: Linux keeps the two as one.
    pub fn joins(&self, next: &Mapping) -> bool {
        let goes_on = match &self.kind {
            Kind::File(..) => self.offset + self.pages() == next.offset,
            _ => true,
        };
        self.end == next.start
            && (self.rights, self.charged, self.shared) == (next.rights, next.charged, next.shared)
            && self.kind == next.kind
            && goes_on
    }

    /// Pages.
    pub fn pages(&self) -> u64 {
        (self.end - self.start) / PAGE
    }
}

/// All mappings of a space, by start.
#[derive(Clone, Debug, Default)]
pub struct Map(pub BTreeMap<u64, Mapping>);

impl Map {
    /// The mapping that holds `address`.
    pub fn find(&self, address: u64) -> Option<&Mapping> {
        self.0.range(..=address).next_back().map(|(_, m)| m).filter(|m| address < m.end)
    }

    /// As [`Map::find`], to change.
    pub fn find_mut(&mut self, address: u64) -> Option<&mut Mapping> {
        self.0.range_mut(..=address).next_back().map(|(_, m)| m).filter(|m| address < m.end)
    }

    /// Where the mapping that holds `address` ends, those that it goes on in included.
    pub fn end_of(&self, address: u64) -> Option<u64> {
        let mut last = self.find(address)?;
        while let Some(next) = self.0.get(&last.end).filter(|next| last.joins(next)) {
            last = next;
        }
        Some(last.end)
    }

    /// The lowest mapping that ends above `address`.
    pub fn next(&self, address: u64) -> Option<&Mapping> {
        self.find(address).or_else(|| self.0.range(address..).next().map(|(_, m)| m))
    }

    /// Those of which a part lies in [start, end).
    pub fn within(&self, start: u64, end: u64) -> impl Iterator<Item = &Mapping> {
        let first = self.find(start).map_or(start, |m| m.start);
        self.0.range(first..end.max(first)).map(|(_, m)| m)
    }

    /// Whether nothing lies in [start, end).
    pub fn is_free(&self, start: u64, end: u64) -> bool {
        self.next(start).is_none_or(|m| m.start >= end)
    }

    /// Whether [start, end) has no hole.
    pub fn is_whole(&self, start: u64, end: u64) -> bool {
        let mut at = start;
        for m in self.within(start, end) {
            if m.start > at {
                return false;
            }
            at = m.end;
        }
        at >= end
    }

    /// The start of the highest gap of `length` bytes below `top`.
    pub fn gap(&self, length: u64, top: u64) -> Option<u64> {
        let mut end = top;
        for m in self.0.values().rev() {
            if m.start >= end {
                continue;
            }
            if end.saturating_sub(m.end) >= length && m.end <= end {
                break;
            }
            end = m.start;
        }
        end.checked_sub(length).filter(|s| *s >= MMAP_MIN)
    }

    /// Cuts the mapping that holds `at` in two there; its object, which has one more user now.
    pub fn split(&mut self, at: u64) -> Option<u32> {
        let m = self.find_mut(at).filter(|m| m.start < at)?;
        let mut upper = m.clone();
        upper.offset = m.index(at);
        upper.start = at;
        m.end = at;
        let object = upper.object;
        self.0.insert(at, upper);
        Some(object)
    }

    /// Bytes of the kernel's heap that their lines in /proc/PID/maps take at most. More than `room` are not counted, so it never takes longer than
    /// to write `room` bytes.
    pub fn text_weight(&self, room: usize) -> usize {
        let (mut weight, mut entry, mut length): (_, Option<&Rc<Entry>>, _) = (self.weight(), None, 0);
        for m in self.0.values() {
            let Kind::File(_, e) = &m.kind else { continue };
            if weight > room {
                break;
            }
            if entry.is_none_or(|last| !Rc::ptr_eq(last, e)) {
                (entry, length) = (Some(e), e.length());
            }
            weight = weight.saturating_add(4 * length);
        }
        weight
    }

    /// Bytes of the kernel's heap that a copy takes at most.
    pub fn weight(&self) -> usize {
        self.0.len().saturating_mul(WEIGHT)
    }

    /// Pages that are charged.
    pub fn charged(&self) -> u64 {
        self.0.values().filter(|m| m.charged).map(Mapping::pages).sum()
    }

    /// Charged pages within [start, end).
    pub fn charged_within(&self, start: u64, end: u64) -> u64 {
        let cut = |m: &Mapping| m.end.min(end).saturating_sub(m.start.max(start)) / PAGE;
        self.0.values().filter(|m| m.charged).map(cut).sum()
    }

    /// Where a mapping of `length` bytes goes that asks for `hint`.
    pub fn place(&self, hint: u64, length: u64, top: u64) -> Option<u64> {
        let fits = hint != 0
            && hint.is_multiple_of(PAGE)
            && hint >= MMAP_MIN
            && hint.checked_add(length).is_some_and(|e| e <= LIMIT && self.is_free(hint, e));
        if fits { Some(hint) } else { self.gap(length, top) }
    }
}

/// Bytes of heap that a mapping takes at most: its part of a node of the map, and an object.
pub const WEIGHT: usize = 512;
/// Nothing is mapped from here on.
pub const LIMIT: u64 = TASK_SIZE - 16 * PAGE;
