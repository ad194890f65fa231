//! What programs ask of their own space: brk, mmap and its kin. Each checks everything, pays, and then cannot fail.

use super::{Backing, Growth, Label, Memory, Refusal, Region, Rights, Source, Space, SpaceId, page_up};
use crate::error::{Res, e};
use crate::page::PAGE;
use abi::layout::{MMAP_MIN, TASK_SIZE};
use alloc::rc::Rc;
use linux_raw_sys::general as linux;

/// Nothing is ever mapped from here on.
const LIMIT: u64 = TASK_SIZE - 16 * PAGE;

/// The file of an mmap.
pub struct MapFile {
    /// Its contents; `None`: it is no regular file.
    pub source: Option<Source>,
    pub readable: bool,
    pub writable: bool,
    pub label: Rc<Label>,
}

/// An mmap with its arguments as given.
pub struct MapRequest {
    pub address: u64,
    pub length: u64,
    pub prot: u64,
    pub flags: u64,
    pub offset: u64,
}

fn rights_of(prot: u64) -> Rights {
    let bit = |from: u32, to: Rights| if prot & u64::from(from) != 0 { to } else { Rights::empty() };
    bit(linux::PROT_READ, Rights::READ)
        | bit(linux::PROT_WRITE, Rights::WRITE)
        | bit(linux::PROT_EXEC, Rights::EXECUTE)
}

/// The place where a mapping of `length` bytes goes.
fn place(space: &Space, request: &MapRequest, length: u64) -> Res<u64> {
    let flags = request.flags as u32;
    let noreplace = flags & linux::MAP_FIXED_NOREPLACE != 0;
    if flags & linux::MAP_FIXED != 0 || noreplace {
        let at = request.address;
        if at > LIMIT - length {
            return Err(e::ENOMEM);
        }
        if !at.is_multiple_of(PAGE) {
            return Err(e::EINVAL);
        }
        if at < MMAP_MIN {
            return Err(e::EPERM);
        }
        if noreplace && !space.is_free(at, at + length) {
            return Err(e::EEXIST);
        }
        return Ok(at);
    }
    let hint = request.address;
    if hint.is_multiple_of(PAGE)
        && hint >= MMAP_MIN
        && hint <= LIMIT - length
        && space.is_free(hint, hint + length)
    {
        return Ok(hint);
    }
    space.gap(length).ok_or(e::ENOMEM)
}

/// Checks of an mmap that come behind those of its place. What is shared and read-only is as private.
fn check_type(request: &MapRequest, rights: Rights, file: Option<&MapFile>) -> Res {
    let shared = match request.flags as u32 & linux::MAP_TYPE {
        linux::MAP_SHARED => true,
        linux::MAP_SHARED_VALIDATE if file.is_some() => true,
        linux::MAP_PRIVATE => false,
        _ => return Err(e::EINVAL),
    };
    let write = shared && rights.contains(Rights::WRITE);
    if let Some(f) = file {
        if !f.readable || write && !f.writable {
            return Err(e::EACCES);
        }
        if f.source.is_none() {
            return Err(e::ENODEV);
        }
    }
    if write { Err(e::ENODEV) } else { Ok(()) }
}

/// Whether Linux 6.1 knows this advice.
fn is_known_advice(advice: u32) -> bool {
    matches!(
        advice,
        linux::MADV_NORMAL..=linux::MADV_DONTNEED
            | linux::MADV_FREE..=linux::MADV_COLLAPSE
            | linux::MADV_HWPOISON
            | linux::MADV_SOFT_OFFLINE
    )
}

impl Memory {
    /// brk(2): the break afterwards.
    pub fn brk(&mut self, id: SpaceId, to: u64, growth: Growth) -> Result<u64, Refusal> {
        let space = self.get(id)?;
        let (start, old) = (space.brk_start, space.brk);
        let (Some(new_end), Some(old_end)) = (page_up(to), page_up(old)) else { return Ok(old) };
        if to < start {
            return Ok(old);
        }
        if new_end > old_end {
            if new_end > LIMIT || !space.is_free(old_end, new_end + PAGE) {
                return Ok(old);
            }
            let pages = space.charged() + (new_end - old_end) / PAGE;
            match self.afford(id, pages, growth) {
                Ok(()) => {}
                Err(Refusal::Turn) => return Err(Refusal::Turn),
                Err(Refusal::Errno(_)) => return Ok(old),
            }
            let mut heap = Region::plain(new_end, Rights::READ | Rights::WRITE);
            heap.heap = true;
            self.get(id)?.insert(old_end, heap);
        } else if new_end < old_end {
            space.carve(new_end, old_end);
        }
        self.get(id)?.brk = to;
        Ok(to)
    }

    /// mmap(2): where it was mapped. `file` is that of the descriptor; `None` for anonymous memory.
    pub fn mmap(
        &mut self,
        id: SpaceId,
        request: &MapRequest,
        file: Option<MapFile>,
        growth: Growth,
    ) -> Result<u64, Refusal> {
        if request.length == 0 {
            return Err(e::EINVAL.into());
        }
        let length = page_up(request.length).filter(|l| *l <= LIMIT).ok_or(e::ENOMEM)?;
        let rights = rights_of(request.prot);
        self.room_for_regions(id)?;
        let space = self.get(id)?;
        let at = place(space, request, length)?;
        if file.is_some() && request.offset.checked_add(length).is_none_or(|end| end > 1 << 63) {
            return Err(e::EOVERFLOW.into());
        }
        check_type(request, rights, file.as_ref())?;
        let mut region = Region::plain(at + length, rights);
        region.shared = request.flags as u32 & linux::MAP_TYPE != linux::MAP_PRIVATE;
        if let Some(MapFile { source: Some(source), label, .. }) = file {
            region.backing = Some(Backing { source, offset: request.offset, label });
        }
        let new = if region.charged { length / PAGE } else { 0 };
        let pages = space.charged() - space.charged_within(at, at + length) + new;
        self.afford(id, pages, growth)?;
        let space = self.get(id)?;
        space.carve(at, at + length);
        space.insert(at, region);
        Ok(at)
    }

    /// munmap(2).
    pub fn munmap(&mut self, id: SpaceId, at: u64, length: u64) -> Res {
        let length = page_up(length).filter(|l| *l > 0 && *l <= TASK_SIZE).ok_or(e::EINVAL)?;
        if !at.is_multiple_of(PAGE) || at > TASK_SIZE - length {
            return Err(e::EINVAL);
        }
        self.room_for_regions(id)?;
        self.get(id)?.carve(at, at + length);
        Ok(())
    }

    /// mprotect(2).
    pub fn mprotect(
        &mut self,
        id: SpaceId,
        at: u64,
        length: u64,
        prot: u64,
        growth: Growth,
    ) -> Result<(), Refusal> {
        let grows = u64::from(linux::PROT_GROWSDOWN | linux::PROT_GROWSUP);
        if !at.is_multiple_of(PAGE) || prot & grows == grows {
            return Err(e::EINVAL.into());
        }
        if length == 0 {
            return Ok(());
        }
        let end = page_up(length).and_then(|l| at.checked_add(l)).filter(|end| *end > at).ok_or(e::ENOMEM)?;
        // The last is PROT_SEM, which does nothing.
        if prot & !grows & !0xf != 0 {
            return Err(e::EINVAL.into());
        }
        let rights = rights_of(prot);
        self.room_for_regions(id)?;
        let space = self.get(id)?;
        let mut reached = at;
        for (start, region) in space.over(at, end) {
            if start > reached {
                break;
            }
            reached = region.end.min(end);
        }
        let writable = rights.contains(Rights::WRITE);
        if writable {
            let pages = space.charged() - space.charged_within(at, reached) + (reached - at) / PAGE;
            self.afford(id, pages, growth)?;
        }
        if reached > at {
            self.get(id)?.alter(at, reached, |r| {
                r.rights = rights;
                r.charged |= writable;
            });
        }
        if reached < end { Err(e::ENOMEM.into()) } else { Ok(()) }
    }

    /// madvise(2), in the order of Linux 6.1: also for no length the advice must be known, and the start one of a page. ENOMEM: there are holes, whatever the
    /// advice; what is mapped is dealt with all the same.
    pub fn madvise(&mut self, id: SpaceId, at: u64, length: u64, advice: u32) -> Res {
        if !is_known_advice(advice) || !at.is_multiple_of(PAGE) {
            return Err(e::EINVAL);
        }
        let end = page_up(length).and_then(|l| at.checked_add(l)).ok_or(e::EINVAL)?;
        if end == at {
            return Ok(());
        }
        let space = self.get(id)?;
        let mapped: u64 = space.over(at, end).map(|(s, r)| r.end.min(end) - s.max(at)).sum();
        if advice == linux::MADV_DONTNEED {
            space.drop_pages(at, end);
        }
        if mapped < end - at { Err(e::ENOMEM) } else { Ok(()) }
    }
}

/// An mremap with its arguments as given.
pub struct Remap {
    pub at: u64,
    pub old: u64,
    pub new: u64,
    pub flags: u64,
    pub to: u64,
}

const MAYMOVE: u64 = linux::MREMAP_MAYMOVE as u64;
const FIXED: u64 = linux::MREMAP_FIXED as u64;
const DONTUNMAP: u64 = linux::MREMAP_DONTUNMAP as u64;

impl Memory {
    /// mremap(2), in the order of Linux 6.1.
    pub fn mremap(&mut self, id: SpaceId, r: &Remap, growth: Growth) -> Result<u64, Refusal> {
        let known = r.flags & !(MAYMOVE | FIXED | DONTUNMAP) == 0;
        let (old, new) = (page_up(r.old).ok_or(e::EINVAL)?, page_up(r.new).ok_or(e::EINVAL)?);
        let moves = r.flags & MAYMOVE != 0;
        if !known || r.flags & (FIXED | DONTUNMAP) != 0 && !moves || !r.at.is_multiple_of(PAGE) || new == 0 {
            return Err(e::EINVAL.into());
        }
        if r.flags & DONTUNMAP != 0 && old != new {
            return Err(e::EINVAL.into());
        }
        let space = self.get(id)?;
        let (_, region) = space.at(r.at).ok_or(e::EFAULT)?;
        let (charged, room) = (region.charged, region.end - r.at);
        if r.flags & (FIXED | DONTUNMAP) != 0 {
            return self.remap_to(id, r, old, new, growth);
        }
        if old >= new {
            let end = r.at.saturating_add(old).min(TASK_SIZE);
            space.carve(r.at.saturating_add(new).min(end), end);
            return Ok(r.at);
        }
        if old == 0 {
            return Err(e::EINVAL.into());
        }
        if old > room {
            return Err(e::EFAULT.into());
        }
        if new > LIMIT {
            return Err(e::ENOMEM.into());
        }
        let pages = space.charged() + if charged { (new - old) / PAGE } else { 0 };
        let in_place = old == room && r.at + new <= LIMIT && space.is_free(r.at + old, r.at + new);
        if in_place {
            self.afford(id, pages, growth)?;
            let space = self.get(id)?;
            let (start, region) = space.at(r.at).ok_or(e::EFAULT)?;
            let mut region = region.clone();
            region.end = r.at + new;
            space.regions.remove(&start);
            space.insert(start, region);
            return Ok(r.at);
        }
        let to = space.gap(new).filter(|_| moves).ok_or(e::ENOMEM)?;
        self.afford(id, pages, growth)?;
        self.shift(id, r.at, old, to, new)?;
        self.get(id)?.carve(r.at, r.at + old);
        Ok(to)
    }

    /// The forms that name the new place.
    fn remap_to(
        &mut self,
        id: SpaceId,
        r: &Remap,
        old: u64,
        new: u64,
        growth: Growth,
    ) -> Result<u64, Refusal> {
        let fixed = r.flags & FIXED != 0;
        let space = self.get(id)?;
        if fixed {
            let overlap = r.at.saturating_add(old) > r.to && r.to.saturating_add(new) > r.at;
            if !r.to.is_multiple_of(PAGE) || new > TASK_SIZE || r.to > TASK_SIZE - new || overlap {
                return Err(e::EINVAL.into());
            }
        }
        let (_, region) = space.at(r.at).ok_or(e::EFAULT)?;
        let (charged, anonymous) = (region.charged, region.backing.is_none());
        // What is freed on the way counts for nobody, whatever comes of the rest.
        let target = if fixed { (r.to, r.to + new) } else { (0, 0) };
        let cut = (r.at.saturating_add(new.min(old)), r.at.saturating_add(old).min(TASK_SIZE));
        let freed = space.charged_within(target.0, target.1) + space.charged_within(cut.0, cut.1);
        let (old, keep) = (old.min(new), r.flags & DONTUNMAP != 0);
        let grown = if charged { new / PAGE - if keep { 0 } else { old / PAGE } } else { 0 };
        let whole = old <= region.end - r.at;
        if whole && old > 0 {
            let pages = space.charged() - freed + grown;
            if let Err(Refusal::Turn) = self.afford_look(id, pages, growth) {
                return Err(Refusal::Turn);
            }
        }
        let space = self.get(id)?;
        if fixed {
            space.carve(target.0, target.1);
        }
        if cut.1 > cut.0 {
            space.carve(cut.0, cut.1);
        }
        if old == 0 || keep && !anonymous {
            return Err(e::EINVAL.into());
        }
        let (_, region) = space.at(r.at).ok_or(e::EFAULT)?;
        if old > region.end - r.at {
            return Err(e::EFAULT.into());
        }
        let to = match fixed {
            true if r.to > LIMIT - new => return Err(e::ENOMEM.into()),
            true if r.to < MMAP_MIN => return Err(e::EPERM.into()),
            true => r.to,
            false => {
                let hint = r.to / PAGE * PAGE;
                let free = hint >= MMAP_MIN && hint <= LIMIT - new && space.is_free(hint, hint + new);
                if free { hint } else { space.gap(new).ok_or(e::ENOMEM)? }
            }
        };
        let pages = space.charged() + grown;
        self.afford(id, pages, Growth::Turn)?;
        self.shift(id, r.at, old, to, new)?;
        if keep {
            self.get(id)?.drop_pages(r.at, r.at + old);
        } else {
            self.get(id)?.carve(r.at, r.at + old);
        }
        Ok(to)
    }

    /// Whether [`Memory::afford`] would ask for a turn.
    fn afford_look(&mut self, id: SpaceId, pages: u64, growth: Growth) -> Result<(), Refusal> {
        let more = super::chunks(pages) > self.get(id)?.charge;
        if more && growth == Growth::Private { Err(Refusal::Turn) } else { Ok(()) }
    }

    /// Makes a region of `new` bytes at `to` of the first `old` bytes at `at`, with their pages; the old ones keep their region.
    fn shift(&mut self, id: SpaceId, at: u64, old: u64, to: u64, new: u64) -> Res {
        let space = self.get(id)?;
        let (start, region) = space.at(at).ok_or(e::EFAULT)?;
        let mut moved = region.clone();
        moved.end = to + new;
        (moved.stack, moved.heap) = (false, false);
        if let Some(b) = &mut moved.backing {
            b.offset += at - start;
        }
        let numbers = at / PAGE..(at + old) / PAGE;
        let pages: alloc::vec::Vec<_> = space.pages.range(numbers).map(|(n, g)| (*n, g.clone())).collect();
        space.drop_pages(at, at + old);
        space.pages.extend(pages.into_iter().map(|(n, g)| (n - at / PAGE + to / PAGE, g)));
        space.insert(to, moved);
        Ok(())
    }
}
