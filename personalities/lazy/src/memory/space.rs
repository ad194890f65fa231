//! Address spaces: charging, faults, fork, and what mmap and its kin do to them.

use super::Memory;
use super::map::{Kind, Map, Mapping, Rights};
use super::object::{Found, Source};
use super::tables::{Leaf, Tables};
use crate::hw::{Access, Frame, Hardware};
use abi::layout::{Layout, PAGE, STACK_MAX};
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// An address space.
pub struct Space {
    /// Its mappings.
    pub map: Map,
    /// Its page tables; none until something runs in it.
    pub tables: Option<Tables>,
    /// Pages it is charged for, a multiple of CHARGE_PAGES.
    pub charge: u64,
    /// Where the break began.
    pub break_start: u64,
    /// Where it is.
    pub break_at: u64,
    /// The number of its exec.
    pub exec: u64,
    /// The places drawn at its exec.
    pub layout: Layout,
    /// Processes that run in it (two during vfork).
    pub users: u32,
    /// Threads that are held while another is outside, in their order.
    pub held: Vec<u64>,
}

/// Where the signal trampoline lies in every space.
pub const TRAMPOLINE: u64 = abi::layout::TASK_SIZE - 8 * PAGE;

/// Why memory cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It needs a further chunk of charge: a call, and this is none.
    NeedsTurn,
    /// The agreed limit, or this kernel's own.
    NoMemory,
}

/// What became of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The page is there.
    Frame(Frame),
    /// A further chunk of charge is needed, and this is no call.
    NeedsTurn,
    /// Nothing is mapped there: SEGV_MAPERR.
    NoMapping,
    /// The mapping does not allow it: SEGV_ACCERR.
    NoRight,
    /// Beyond the end of a file: BUS_ADRERR.
    Beyond,
    /// This kernel has no frame left.
    NoMemory,
}

/// `pages` in whole chunks.
pub fn chunks(pages: u64) -> u64 {
    pages.next_multiple_of(CHARGE_PAGES)
}

impl<H: Hardware> Memory<H> {
    /// A space without mappings, charged `charge` pages (already counted by the caller).
    pub fn new_space(&mut self, exec: u64, layout: Layout, charge: u64) -> u32 {
        self.spaces.insert(Space {
            map: Map::default(),
            tables: None,
            charge,
            break_start: 0,
            break_at: 0,
            exec,
            layout,
            users: 1,
            held: Vec::new(),
        })
    }

    /// One process less runs in `id`; the last one takes everything with it.
    pub fn release_space(&mut self, id: u32) {
        let Some(s) = self.spaces.get_mut(id) else { return };
        s.users = s.users.saturating_sub(1);
        if s.users > 0 {
            return;
        }
        let Some(s) = self.spaces.remove(id) else { return };
        self.charged = self.charged.saturating_sub(s.charge);
        for m in s.map.0.into_values() {
            self.release_object(m.object);
        }
        if let Some(t) = s.tables {
            t.destroy(&mut self.physical);
        }
    }

    /// Makes sure that space `id` is charged for `pages`; a further chunk only if `in_call`.
    pub fn charge(&mut self, id: u32, pages: u64, in_call: bool) -> Result<(), Refused> {
        let Some(s) = self.spaces.get_mut(id) else { return Err(Refused::NoMemory) };
        let wanted = chunks(pages);
        if wanted <= s.charge {
            return Ok(());
        }
        if !in_call {
            return Err(Refused::NeedsTurn);
        }
        let more = wanted - s.charge;
        if self.charged + more > MEMORY_PAGES {
            return Err(Refused::NoMemory);
        }
        self.charged += more;
        s.charge = wanted;
        Ok(())
    }

    /// A copy of space `id` that shares all pages until one of the two writes; the caller has charged for it.
    pub fn fork_space(&mut self, id: u32) -> Option<u32> {
        let s = self.spaces.get_mut(id)?;
        for m in s.map.0.values_mut() {
            m.needs_copy = true;
        }
        let map = s.map.clone();
        let child = Space {
            map,
            tables: None,
            charge: s.charge,
            break_start: s.break_start,
            break_at: s.break_at,
            exec: s.exec,
            layout: s.layout,
            users: 1,
            held: Vec::new(),
        };
        let tables = s.tables;
        let objects: Vec<u32> = child.map.0.values().map(|m| m.object).collect();
        objects.into_iter().for_each(|o| self.share_object(o));
        if let Some(t) = tables {
            t.write_protect(&mut self.physical, 0, abi::layout::TASK_SIZE);
        }
        Some(self.spaces.insert(child))
    }

    /// The tables of space `id`, made when first needed.
    pub fn tables(&mut self, id: u32) -> Option<Tables> {
        if let Some(t) = self.spaces.get(id)?.tables {
            return Some(t);
        }
        // A slot's number names at most one space at a time; 0 is the kernel's.
        let made = Tables::new(&mut self.physical, id as u16 + 1).ok();
        self.spaces.get_mut(id)?.tables = made;
        made
    }

    /// Makes the page at `address` of space `id` accessible. `in_call`: the stack may take a further chunk.
    pub fn resolve(&mut self, id: u32, address: u64, access: Access, in_call: bool) -> Resolved {
        let Some(space) = self.spaces.get(id) else { return Resolved::NoMapping };
        if space.map.find(address).is_none() {
            if let Some(frame) =
                self.trampoline.filter(|_| address / PAGE == TRAMPOLINE / PAGE && access != Access::Write)
            {
                return self.enter(id, address, frame, false, Rights::READ | Rights::EXECUTE);
            }
            match self.grow_stack(id, address, in_call) {
                Ok(true) => {}
                Ok(false) => return Resolved::NoMapping,
                Err(Refused::NeedsTurn) => return Resolved::NeedsTurn,
                Err(Refused::NoMemory) => return Resolved::NoMapping,
            }
        }
        let Some(m) = self.spaces.get(id).and_then(|s| s.map.find(address)) else {
            return Resolved::NoMapping;
        };
        let allowed = match access {
            Access::Read => !m.rights.is_empty(),
            Access::Write => m.rights.contains(Rights::WRITE),
            Access::Execute => m.rights.contains(Rights::EXECUTE),
        };
        if !allowed {
            return Resolved::NoRight;
        }
        let (object, index, rights) = (m.object, m.index(address), m.rights);
        if access == Access::Write {
            return self.resolve_write(id, address, rights);
        }
        let (frame, write) = match self.find_page(object, index) {
            // What the object itself holds may be written at once if it is this mapping's alone.
            Found::Own(f) => (
                f,
                rights.contains(Rights::WRITE) && !self.needs_copy(id, address) && !self.physical.shared(f),
            ),
            Found::Behind(f) => (f, false),
            Found::Zero => match self.zero {
                Some(z) => (z, false),
                None => return Resolved::NoMemory,
            },
            Found::Beyond => return Resolved::Beyond,
            Found::NoMemory => return self.squeeze(id, address, access, in_call),
        };
        self.enter(id, address, frame, write, rights)
    }

    fn needs_copy(&self, id: u32, address: u64) -> bool {
        self.spaces.get(id).and_then(|s| s.map.find(address)).is_none_or(|m| m.needs_copy)
    }

    fn resolve_write(&mut self, id: u32, address: u64, rights: Rights) -> Resolved {
        let Some(m) = self.spaces.get_mut(id).and_then(|s| s.map.find_mut(address)) else {
            return Resolved::NoMapping;
        };
        let (mut object, index) = (m.object, m.index(address));
        // A shadow, or the nodes that lead to a page, take heap; no call is there to refuse.
        let (shared, held) =
            self.objects.get(object).map_or((false, false), |o| (o.refs > 1, o.pages.get(index).is_some()));
        if (m.needs_copy && shared || !held) && self.physical.hw.heap_room() == 0 {
            return Resolved::NoMemory;
        }
        if m.needs_copy {
            m.needs_copy = false;
            if self.objects.get(object).is_some_and(|o| o.refs > 1) {
                object = self.object(Source::Shadow(object));
                if let Some(m) = self.spaces.get_mut(id).and_then(|s| s.map.find_mut(address)) {
                    m.object = object;
                }
            }
        }
        self.collapse(object);
        match self.own_page(object, index) {
            Found::Own(f) => self.enter(id, address, f, true, rights),
            Found::Beyond => Resolved::Beyond,
            _ => self.squeeze(id, address, Access::Write, true),
        }
    }

    /// No frame is left: page tables are only a cache, so throw them all away, then try once more.
    fn squeeze(&mut self, id: u32, address: u64, access: Access, in_call: bool) -> Resolved {
        let all: Vec<Tables> = self.spaces.iter().filter_map(|(_, s)| s.tables).collect();
        all.iter().for_each(|t| t.clear(&mut self.physical));
        if self.physical.available() < 8 {
            return Resolved::NoMemory;
        }
        self.resolve(id, address, access, in_call)
    }

    /// Puts `frame` into the page tables.
    fn enter(&mut self, id: u32, address: u64, frame: Frame, write: bool, rights: Rights) -> Resolved {
        let execute = rights.contains(Rights::EXECUTE);
        let Some(tables) = self.tables(id) else { return Resolved::NoMemory };
        if execute {
            self.physical.hw.make_executable(frame);
        }
        match tables.map(&mut self.physical, address & !(PAGE - 1), frame, Leaf { write, execute }) {
            Ok(()) => Resolved::Frame(frame),
            Err(_) => Resolved::NoMemory,
        }
    }

    /// Lets the stack reach down to `address` if that is where a stack may be.
    fn grow_stack(&mut self, id: u32, address: u64, in_call: bool) -> Result<bool, Refused> {
        let Some(s) = self.spaces.get(id) else { return Ok(false) };
        let page = address & !(PAGE - 1);
        let Some(stack) = s.map.0.range(address..).next().map(|(_, m)| m).filter(|m| m.kind == Kind::Stack)
        else {
            return Ok(false);
        };
        if page < s.layout.stack_top - STACK_MAX {
            return Ok(false);
        }
        let (start, more) = (stack.start, (stack.start - page) / PAGE);
        let pages = if stack.charged { s.map.charged() + more } else { s.map.charged() };
        self.charge(id, pages, in_call)?;
        let Some(s) = self.spaces.get_mut(id) else { return Ok(false) };
        if let Some(mut m) = s.map.0.remove(&start) {
            m.offset -= more;
            m.start = page;
            s.map.0.insert(page, m);
        }
        Ok(true)
    }

    /// Puts a mapping where nothing is.
    pub fn insert(&mut self, id: u32, mapping: Mapping) {
        if let Some(s) = self.spaces.get_mut(id) {
            s.map.0.insert(mapping.start, mapping);
        }
    }

    fn split(&mut self, id: u32, at: u64) {
        if let Some(o) = self.spaces.get_mut(id).and_then(|s| s.map.split(at)) {
            self.share_object(o);
            // Both parts use the object now; for the copy it matters that they are one process'.
        }
    }

    /// Takes everything out of [start, end).
    pub fn unmap(&mut self, id: u32, start: u64, end: u64) {
        let gone = self.take(id, start, end);
        let mut users = self.users_in(id, gone.iter().map(|m| m.object).collect());
        for m in &gone {
            users.entry(m.object).and_modify(|n| *n += 1);
        }
        for m in gone {
            if let Some(n) = users.get_mut(&m.object) {
                self.forget_pages(*n, &m);
                *n -= 1;
            }
            self.release_object(m.object);
        }
    }

    /// How many mappings of space `id` use each of `objects`: one look at all of them, however many objects there are.
    pub fn users_in(&self, id: u32, objects: BTreeSet<u32>) -> BTreeMap<u32, u32> {
        let mut users: BTreeMap<u32, u32> = objects.into_iter().map(|o| (o, 0)).collect();
        if let Some(s) = self.spaces.get(id).filter(|_| !users.is_empty()) {
            for m in s.map.0.values() {
                users.entry(m.object).and_modify(|n| *n += 1);
            }
        }
        users
    }

    /// The pages of a mapping that was taken out, if its object goes on but nobody else can see them; `users`: of this space, that one still among them.
    fn forget_pages(&mut self, users: u32, gone: &Mapping) {
        let Some(o) = self.objects.get_mut(gone.object) else { return };
        if users > 1 && o.refs == users {
            let physical = &mut self.physical;
            o.pages.clear(gone.offset, gone.pages(), &mut |_, _, f| physical.release(f));
        }
    }

    /// As [`Memory::unmap`], but hands the mappings over.
    pub fn take(&mut self, id: u32, start: u64, end: u64) -> Vec<Mapping> {
        self.split(id, start);
        self.split(id, end);
        let Some(s) = self.spaces.get_mut(id) else { return Vec::new() };
        let keys: Vec<u64> = s.map.0.range(start..end).map(|(k, _)| *k).collect();
        let gone = keys.iter().filter_map(|k| s.map.0.remove(k)).collect();
        if let Some(t) = s.tables {
            t.unmap(&mut self.physical, start, end);
        }
        gone
    }

    /// Sets the rights of [start, end) up to the first hole; whether there was none.
    pub fn protect(&mut self, id: u32, start: u64, end: u64, rights: Rights) -> bool {
        self.split(id, start);
        self.split(id, end);
        let Some(s) = self.spaces.get_mut(id) else { return false };
        let mut at = start;
        for (_, m) in s.map.0.range_mut(start..end) {
            if m.start != at {
                break;
            }
            m.rights = rights;
            m.charged |= rights.contains(Rights::WRITE);
            at = m.end;
        }
        let cuts: Vec<u64> = s.map.0.range(start..=at).map(|(k, _)| *k).collect();
        if let Some(t) = s.tables {
            t.unmap(&mut self.physical, start, end);
        }
        cuts.into_iter().for_each(|cut| self.join(id, cut));
        at == end
    }

    /// Makes one mapping again of two parts of one that meet at `at` and differ in nothing: rights that go back and forth leave no pieces behind.
    fn join(&mut self, id: u32, at: u64) {
        let Some(map) = self.spaces.get_mut(id).map(|s| &mut s.map.0) else { return };
        let Some((upper, (_, lower))) = map.get(&at).zip(map.range(..at).next_back()) else { return };
        let goes_on = lower.object == upper.object && lower.offset + lower.pages() == upper.offset;
        if !goes_on || !lower.joins(upper) || lower.needs_copy != upper.needs_copy {
            return;
        }
        let (start, end, object) = (lower.start, upper.end, upper.object);
        map.remove(&at);
        if let Some(m) = map.get_mut(&start) {
            m.end = end;
        }
        self.release_object(object);
    }
}
