//! madvise: MADV_DONTNEED makes private pages zero, or the file's again; all other advice that Linux 6.1 knows is taken and has no effect. All finds holes.

use super::memory::align;
use super::*;
use crate::memory::map::{Kind as MapKind, Mapping};
use crate::memory::object::Source;
use abi::layout::PAGE;
use alloc::collections::BTreeMap;

const DONTNEED: u32 = 4;

/// Whether Linux 6.1 has such advice: NORMAL to DONTNEED, FREE to COLLAPSE, HWPOISON and SOFT_OFFLINE.
fn is_known(advice: u32) -> bool {
    matches!(advice, 0..=DONTNEED | 8..=25 | 100 | 101)
}

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_madvise(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [start, length, advice, ..] = *a;
        // An int.
        let advice = advice as u32;
        if !is_known(advice) || start % PAGE != 0 {
            return Err(EINVAL);
        }
        let end = align(length).and_then(|l| start.checked_add(l)).ok_or(EINVAL)?;
        if end == start {
            return done(0);
        }
        let id = self.space(serial)?;
        if advice != DONTNEED {
            return if self.space_of(id)?.map.is_whole(start, end) { done(0) } else { Err(ENOMEM) };
        }
        let within = self.space_of(id)?.map.within(start, end).map(|m| m.object);
        let users = self.memory.users_in(id, within.collect());
        let (mut at, mut hole) = (start, false);
        while at < end
            && let Some(m) = self.space_of(id)?.map.next(at).filter(|m| m.start < end)
        {
            hole |= m.start > at;
            let (from, to) = (m.start.max(at), m.end.min(end));
            if !self.zero_in_place(id, from, to, &users) {
                self.room_to_cut(id, from, to)?;
                self.begin_anew(id, from, to)?;
            }
            at = to;
        }
        if hole || at < end { Err(ENOMEM) } else { done(0) }
    }

    /// Takes the pages of [from, to), which one mapping holds, out of its object, where nobody else sees them and nothing lies behind it; whether that was so. The
    /// mapping stays whole: programs give pages back one by one, and for long.
    fn zero_in_place(&mut self, id: u32, from: u64, to: u64, users: &BTreeMap<u32, u32>) -> bool {
        let Some(s) = self.memory.spaces.get(id) else { return false };
        let (Some(m), tables) = (s.map.find(from), s.tables) else { return false };
        let (object, index) = (m.object, m.index(from));
        let Some(o) = self.memory.objects.get_mut(object) else { return false };
        if !matches!(o.source, Source::Zero) || users.get(&object) != Some(&o.refs) {
            return false;
        }
        let physical = &mut self.memory.physical;
        o.pages.clear(index, (to - from) / PAGE, &mut |_, _, f| physical.release(f));
        if let Some(t) = tables {
            t.unmap(physical, from, to);
        }
        true
    }

    /// Gives [from, to), which one mapping holds, an object as it was before anybody wrote.
    fn begin_anew(&mut self, id: u32, from: u64, to: u64) -> Result<()> {
        let object = self.space_of(id)?.map.find(from).map(|m| m.object);
        if object.is_some_and(|o| self.memory.file_weight(o) > self.memory.physical.hw.heap_room()) {
            return Err(ENOMEM);
        }
        for m in self.memory.take(id, from, to) {
            let object = self.fresh_object(m.object);
            let offset = if matches!(m.kind, MapKind::File(..) | MapKind::Stack) { m.offset } else { 0 };
            let needs_copy = matches!(m.kind, MapKind::File(..));
            self.memory.release_object(m.object);
            self.memory.insert(id, Mapping { object, offset, needs_copy, ..m });
        }
        Ok(())
    }

    /// Zeros, or the file's.
    pub(super) fn fresh_object(&mut self, object: u32) -> u32 {
        let mut at = object;
        loop {
            match self.memory.objects.get(at).map(|o| &o.source) {
                Some(Source::Shadow(of)) => at = *of,
                Some(Source::File(c)) => {
                    let snapshot = c.snapshot(&mut self.memory.physical);
                    return self.memory.object(Source::File(snapshot));
                }
                _ => return self.memory.object(Source::Zero),
            }
        }
    }
}
