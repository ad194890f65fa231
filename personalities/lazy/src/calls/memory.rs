//! mmap and its kin. Each checks everything, charges, and only then changes the space: a step that needs a further chunk of charge outside a call
//! stops before it, and is made again as a call ("Memory" in `docs/linux-abi.md`).

use super::*;
use crate::files::Body;
use crate::files::names::Entry;
use crate::memory::map::{Kind as MapKind, LIMIT, Mapping, Rights};
use crate::memory::object::Source;
use crate::memory::space::{Refused, Space};
use crate::open::{Kind, Name};
use abi::layout::{MMAP_MIN, PAGE, TASK_SIZE};
use alloc::rc::Rc;

/// Mappings of a space at most, as Linux' vm.max_map_count.
const MAPPINGS_MAX: usize = 65530;

pub(super) fn align(length: u64) -> Option<u64> {
    length.checked_next_multiple_of(PAGE)
}

/// Whether a mapping is shared, by its type, which it must have.
fn is_shared(flags: u64, of_file: bool) -> Result<bool> {
    match flags & 0xf {
        1 => Ok(true),
        2 => Ok(false),
        // MAP_SHARED_VALIDATE asks a file.
        3 if of_file => Ok(true),
        _ => Err(EINVAL),
    }
}

impl<H: Hardware> Kernel<H> {
    pub(super) fn space_of(&self, id: u32) -> Result<&Space> {
        self.memory.spaces.get(id).ok_or(ESRCH)
    }

    /// Charges the space for `pages` in all.
    fn charge(&mut self, id: u32, pages: u64) -> Result<()> {
        match self.memory.charge(id, pages, self.memory.in_call) {
            Ok(()) => Ok(()),
            Err(Refused::NoMemory) => Err(ENOMEM),
            Err(Refused::NeedsTurn) => {
                self.memory.wants_turn = true;
                Err(ENOMEM)
            }
        }
    }

    pub(super) fn sys_brk(&mut self, serial: u64, wanted: u64) -> CallResult {
        let id = self.space(serial)?;
        let s = self.space_of(id)?;
        let (start, old) = (s.break_start, s.break_at);
        if wanted < start || wanted > LIMIT {
            return done(old);
        }
        let (old_end, new_end) = (old.next_multiple_of(PAGE), wanted.next_multiple_of(PAGE));
        if new_end < old_end {
            self.memory.unmap(id, new_end, old_end);
        } else if new_end > old_end {
            if !s.map.is_free(old_end, new_end) {
                return done(old);
            }
            let pages = s.map.charged() + (new_end - old_end) / PAGE;
            if self.charge(id, pages).is_err() {
                return done(old);
            }
            self.grow_heap(id, old_end, new_end);
        }
        if let Some(s) = self.memory.spaces.get_mut(id) {
            s.break_at = wanted;
        }
        done(wanted)
    }

    /// The break's mapping grows if it can, else a further one is put behind it.
    fn grow_heap(&mut self, id: u32, start: u64, end: u64) {
        let rights = Rights::READ | Rights::WRITE;
        let Some(s) = self.memory.spaces.get_mut(id) else { return };
        let below = s
            .map
            .find_mut(start - 1)
            .filter(|m| m.kind == MapKind::Heap && m.rights == rights && m.end == start);
        if let Some(m) = below
            && let Some(o) = self.memory.objects.get(m.object)
            && o.refs == 1
            && matches!(o.source, Source::Zero)
        {
            let mut used = false;
            let index = m.offset + m.pages();
            o.pages.visit(index, index + (end - start) / PAGE, &mut |_, _, _| used = true);
            if !used {
                m.end = end;
                return;
            }
        }
        self.map_zeros(id, start, end, rights, MapKind::Heap);
    }

    fn map_zeros(&mut self, id: u32, start: u64, end: u64, rights: Rights, kind: MapKind) {
        let object = self.memory.object(Source::Zero);
        let charged = rights.contains(Rights::WRITE);
        let m = Mapping {
            start,
            end,
            rights,
            charged,
            object,
            offset: 0,
            needs_copy: false,
            kind,
            shared: false,
        };
        self.memory.insert(id, m);
    }

    pub(super) fn sys_mmap(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const FIXED: u64 = 0x10;
        const ANONYMOUS: u64 = 0x20;
        const NOREPLACE: u64 = 0x10_0000;
        let [address, length, prot, flags, fd, offset] = *a;
        if offset % PAGE != 0 {
            return Err(EINVAL);
        }
        let file = if flags & ANONYMOUS == 0 { Some(self.file(serial, fd)?) } else { None };
        if length == 0 {
            return Err(EINVAL);
        }
        let length = align(length).filter(|l| *l <= TASK_SIZE).ok_or(ENOMEM)?;
        let rights = Rights::from_prot(prot);
        let fixed = flags & (FIXED | NOREPLACE) != 0;
        let id = self.space(serial)?;
        let s = self.space_of(id)?;
        if s.map.0.len() >= MAPPINGS_MAX {
            return Err(ENOMEM);
        }
        let start = if fixed {
            if address % PAGE != 0 {
                return Err(EINVAL);
            }
            let end = address.checked_add(length).filter(|e| *e <= LIMIT).ok_or(ENOMEM)?;
            if address < MMAP_MIN {
                return Err(EPERM);
            }
            if flags & NOREPLACE != 0 && !s.map.is_free(address, end) {
                return Err(EEXIST);
            }
            address
        } else {
            s.map.place(address, length, s.layout.mmap_top).ok_or(ENOMEM)?
        };
        let end = start + length;
        if file.is_some() && offset.checked_add(length).is_none() {
            return Err(EOVERFLOW);
        }
        let shared = is_shared(flags, file.is_some())?;
        let source = match file {
            Some(f) => Some(self.file_to_map(f)?),
            None => None,
        };
        if shared && rights.contains(Rights::WRITE) {
            return Err(ENODEV);
        }
        let writable = rights.contains(Rights::WRITE);
        let s = self.space_of(id)?;
        let more = if writable { length / PAGE } else { 0 };
        let pages = s.map.charged() - s.map.charged_within(start, end) + more;
        self.charge(id, pages)?;
        self.memory.unmap(id, start, end);
        let (object, kind, needs_copy) = match source {
            Some((inode, entry)) => {
                let Body::File(c) = &self.files.inode(inode)?.body else { return Err(ENODEV) };
                let snapshot = c.snapshot(&mut self.memory.physical);
                (self.memory.object(Source::File(snapshot)), MapKind::File(inode, entry), true)
            }
            None => (self.memory.object(Source::Zero), MapKind::Anonymous, false),
        };
        let offset = if file.is_some() { offset / PAGE } else { 0 };
        self.memory.insert(
            id,
            Mapping { start, end, rights, charged: writable, object, offset, needs_copy, kind, shared },
        );
        done(start)
    }

    /// Whether this kernel's heap holds so many snapshots of a file.
    pub fn room_for_copies(&self, inode: u64, copies: usize) -> Result<()> {
        let weight = match &self.files.inode(inode)?.body {
            Body::File(c) => copies * c.tree.weight(),
            _ => 0,
        };
        if weight > self.memory.physical.hw.heap_room() { Err(ENOMEM) } else { Ok(()) }
    }

    /// The file behind a descriptor, if it can be mapped: inode and entry.
    fn file_to_map(&self, file: u32) -> Result<(u64, Rc<Entry>)> {
        let f = self.open.get(file).ok_or(EBADF)?;
        if !f.readable() {
            return Err(EACCES);
        }
        if f.kind != Kind::File {
            return Err(ENODEV);
        }
        self.room_for_copies(f.inode, 1)?;
        let entry = if let Name::Entry(e) = &f.name { e.clone() } else { Rc::default() };
        Ok((f.inode, entry))
    }

    pub(super) fn sys_munmap(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let (start, id) = (a[0], self.space(serial)?);
        if start % PAGE != 0 || a[1] == 0 {
            return Err(EINVAL);
        }
        let end = align(a[1]).and_then(|l| start.checked_add(l)).filter(|e| *e <= TASK_SIZE).ok_or(EINVAL)?;
        self.room_to_cut(id, start, end)?;
        self.memory.unmap(id, start, end);
        done(0)
    }

    /// Whether the mappings of a space can be cut at both ends of a range: there are not too many, and this kernel's heap holds the parts.
    pub(super) fn room_to_cut(&self, id: u32, start: u64, end: u64) -> Result<()> {
        let map = &self.space_of(id)?.map;
        let cut = [start, end].into_iter().filter(|at| map.find(*at).is_some_and(|m| m.start < *at)).count();
        let full = map.0.len() + cut > MAPPINGS_MAX || self.memory.physical.hw.heap_room() == 0;
        if cut > 0 && full { Err(ENOMEM) } else { Ok(()) }
    }

    pub(super) fn sys_mprotect(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [start, length, prot, ..] = *a;
        if start % PAGE != 0 {
            return Err(EINVAL);
        }
        if length == 0 {
            return done(0);
        }
        let end = align(length).and_then(|l| start.checked_add(l)).filter(|e| *e > start).ok_or(ENOMEM)?;
        if prot & !0xf != 0 {
            return Err(EINVAL);
        }
        let id = self.space(serial)?;
        let rights = Rights::from_prot(prot);
        let s = self.space_of(id)?;
        if s.map.0.len() + 2 > MAPPINGS_MAX {
            return Err(ENOMEM);
        }
        // Up to the first hole.
        let (mut at, mut more) = (start, 0);
        while at < end
            && let Some(m) = s.map.find(at)
        {
            let to = m.end.min(end);
            if rights.contains(Rights::WRITE) && !m.charged {
                more += (to - at) / PAGE;
            }
            at = to;
        }
        let pages = s.map.charged() + more;
        self.charge(id, pages)?;
        if self.memory.protect(id, start, end, rights) { done(0) } else { Err(ENOMEM) }
    }

    pub(super) fn sys_mremap(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const MAYMOVE: u64 = 1;
        const FIXED: u64 = 2;
        let [start, old_length, new_length, flags, target, _] = *a;
        let fixed = flags & FIXED != 0;
        if start % PAGE != 0 || flags & !(MAYMOVE | FIXED) != 0 || fixed && flags & MAYMOVE == 0 {
            return Err(EINVAL);
        }
        // Linux rounds a length beyond the last page up to 0, and looks at the new one only.
        let [old, new] = [old_length, new_length].map(|l| align(l).unwrap_or(0));
        if new == 0 {
            return Err(EINVAL);
        }
        let id = self.space(serial)?;
        let s = self.space_of(id)?;
        let m = s.map.find(start).ok_or(EFAULT)?.clone();
        let old_end = start.checked_add(old).ok_or(EINVAL)?;
        if fixed {
            let end = target.checked_add(new).filter(|e| *e <= LIMIT).ok_or(EINVAL)?;
            if target % PAGE != 0 || target < old_end && start < end {
                return Err(EINVAL);
            }
        } else if new <= old {
            self.memory.unmap(id, start + new, old_end);
            return done(start);
        }
        if old == 0 {
            // Linux has freed the new place before; the old one with it, if both begin there.
            if fixed {
                self.memory.unmap(id, target, target + new);
            }
            return Err(if fixed && target == start { EFAULT } else { EINVAL });
        }
        let kept = old.min(new);
        let end = s.map.end_of(start).ok_or(EFAULT)?;
        if start + kept > end {
            // Linux frees the new place and cuts off what is too long before it finds out.
            if fixed {
                self.memory.unmap(id, target, target + new);
                self.memory.unmap(id, start + kept, old_end);
            }
            return Err(EFAULT);
        }
        if new > kept && !self.has_room_for_file(s.map.find(start + kept - 1)) {
            return Err(ENOMEM);
        }
        let more = if m.charged { (new - kept) / PAGE } else { 0 };
        let fewer = s.map.charged_within(start + kept, old_end);
        let replaced = if fixed { s.map.charged_within(target, target + new) } else { 0 };
        let grown = start.saturating_add(new);
        let in_place = !fixed && old_end == end && grown <= LIMIT && s.map.is_free(old_end, grown);
        let to = if fixed {
            target
        } else if in_place {
            start
        } else if flags & MAYMOVE == 0 {
            return Err(ENOMEM);
        } else {
            s.map.gap(new, s.layout.mmap_top).ok_or(ENOMEM)?
        };
        let pages = s.map.charged() + more - fewer - replaced;
        self.charge(id, pages)?;
        if fixed {
            self.memory.unmap(id, target, target + new);
        }
        self.move_mapping(id, (start, old_end), (to, to + new), &m);
        done(to)
    }

    /// Whether the heap holds the file behind a mapping once more: what grows may need it.
    fn has_room_for_file(&self, mapping: Option<&Mapping>) -> bool {
        let weight = mapping.map_or(0, |m| self.memory.file_weight(m.object));
        weight <= self.memory.physical.hw.heap_room()
    }

    fn move_mapping(&mut self, id: u32, from: (u64, u64), to: (u64, u64), m: &Mapping) {
        let kept = (from.1 - from.0).min(to.1 - to.0);
        if from.0 + kept < from.1 {
            self.memory.unmap(id, from.0 + kept, from.1);
        }
        let mut moved = self.memory.take(id, from.0, from.0 + kept);
        for piece in &mut moved {
            piece.end = to.0 + (piece.end - from.0);
            piece.start = to.0 + (piece.start - from.0);
            let leaves_heap = piece.kind == MapKind::Heap && from.0 != to.0;
            if leaves_heap || piece.kind == MapKind::Stack {
                piece.kind = MapKind::Anonymous;
            }
        }
        let Some(last) = moved.last_mut() else { return };
        let mut grows = (to.0 + kept, to.1);
        // A file's mapping grows into the file, zeros as zeros: with their object if that holds nothing there and nobody else uses it, which could see
        // what is written there, or lose it.
        let index = last.offset + last.pages();
        let (mut used, kind, behind) = (matches!(m.kind, MapKind::Stack), last.kind.clone(), last.object);
        if let Some(o) = self.memory.objects.get(last.object) {
            used |= o.refs > 1 || matches!(o.source, Source::Shadow(_));
            o.pages.visit(index, index + (grows.1 - grows.0) / PAGE, &mut |_, _, _| used = true);
        }
        if !used {
            last.end = to.1;
            grows.0 = to.1;
        }
        moved.into_iter().for_each(|piece| self.memory.insert(id, piece));
        if grows.0 < grows.1 {
            let of_file = matches!(kind, MapKind::File(..));
            let object = if of_file { self.fresh_object(behind) } else { self.memory.object(Source::Zero) };
            self.memory.insert(
                id,
                Mapping {
                    start: grows.0,
                    end: grows.1,
                    object,
                    offset: if of_file { index } else { 0 },
                    needs_copy: of_file,
                    kind,
                    ..m.clone()
                },
            );
        }
    }
}
