//! Touching a program's memory: for its own faults, and for calls that copy. A copy goes through the regions, never through the program's
//! addresses, so nothing a program passes can make the kernel fault.

use super::{Access, Growth, Memory, Refusal, Region, Rights, Space, SpaceId};
use crate::error::{Res, e};
use crate::page::{Grant, PAGE};
use abi::layout::TASK_SIZE;
use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use alloc::vec::Vec;

/// The kernel's trampoline, in every process and no mapping of it: what a handler without SA_RESTORER returns to.
pub const TRAMPOLINE: u64 = TASK_SIZE - 8 * PAGE;

/// Why a page cannot be touched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trouble {
    /// Nothing is mapped there.
    Nothing,
    /// Something is, but not for this.
    Denied,
    /// A file's page beyond its end.
    Beyond,
    /// The stack would grow into a further chunk of charge, outside its turn.
    Turn,
    /// No page is left (the kernel's own limit).
    NoPage,
}

/// A page as the machine may map it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mapping {
    pub page: u64,
    pub rights: Rights,
}

fn allowed(rights: Rights, access: Access) -> bool {
    match access {
        // As arm64 without enhanced PAN: what may be written or executed may be read.
        Access::Read => !rights.is_empty(),
        Access::Write => rights.contains(Rights::WRITE),
        Access::Execute => rights.contains(Rights::EXECUTE),
    }
}

/// What lies at a page that nobody has touched yet.
fn first_grant(regions: &BTreeMap<u64, Region>, page: u64) -> Result<Grant, Trouble> {
    let (start, region) = regions.range(..=page).next_back().ok_or(Trouble::Nothing)?;
    let Some(b) = &region.backing else { return Ok(Grant::zero()) };
    let at = b.offset + (page - start);
    if at >= b.source.size() {
        return Err(Trouble::Beyond);
    }
    b.source.page(at / PAGE).ok_or(Trouble::NoPage)
}

impl Memory {
    /// Makes the page at `address` exist so that `access` to it succeeds; the grant.
    fn touch(
        &mut self,
        id: SpaceId,
        address: u64,
        access: Access,
        growth: Growth,
    ) -> Result<&mut Grant, Trouble> {
        if address >= TASK_SIZE {
            return Err(Trouble::Nothing);
        }
        let page = address / PAGE * PAGE;
        let space = self.spaces.get(&id).ok_or(Trouble::Nothing)?;
        let known = space.at(address).map(|(_, r)| r.rights);
        let rights = match known {
            Some(rights) => rights,
            None => {
                let start = space.grows_to(address).ok_or(Trouble::Nothing)?;
                let pages = space.charged() + (start - page) / PAGE;
                match self.afford(id, pages, growth) {
                    Ok(()) => {}
                    Err(Refusal::Turn) => {
                        self.refused = true;
                        return Err(Trouble::Turn);
                    }
                    Err(Refusal::Errno(_)) => return Err(Trouble::Nothing),
                }
                let space = self.spaces.get_mut(&id).ok_or(Trouble::Nothing)?;
                space.grow_stack(start, page);
                space.at(address).map(|(_, r)| r.rights).ok_or(Trouble::Nothing)?
            }
        };
        if !allowed(rights, access) {
            return Err(Trouble::Denied);
        }
        let Space { regions, pages, stale, .. } = self.spaces.get_mut(&id).ok_or(Trouble::Nothing)?;
        let grant = match pages.entry(page / PAGE) {
            Entry::Occupied(there) => there.into_mut(),
            Entry::Vacant(free) => {
                let grant = first_grant(regions, page)?;
                // What is only read and never changes is not kept: a program could read any number of pages that nobody is charged for.
                if matches!(grant, Grant::Still(_)) && access != Access::Write {
                    return Ok(self.still.insert(grant));
                }
                free.insert(grant)
            }
        };
        if access == Access::Write && !grant.is_own() {
            grant.write().ok_or(Trouble::NoPage)?;
            stale.push((page, page + PAGE));
        }
        Ok(grant)
    }

    /// A program's fault: what to map there, or why not.
    pub fn fault(
        &mut self,
        id: SpaceId,
        address: u64,
        access: Access,
        growth: Growth,
    ) -> Result<Mapping, Trouble> {
        if address / PAGE == TRAMPOLINE / PAGE && access != Access::Write {
            return Ok(Mapping { page: crate::page::trampoline(), rights: Rights::READ | Rights::EXECUTE });
        }
        let grant = self.touch(id, address, access, growth)?;
        let (page, own) = (grant.address(), grant.is_own());
        let mut rights =
            self.spaces.get(&id).and_then(|s| s.at(address)).map_or(Rights::empty(), |(_, r)| r.rights);
        if !own {
            rights.remove(Rights::WRITE);
        }
        Ok(Mapping { page, rights })
    }

    fn copying(&self) -> Growth {
        if self.outside_turn { Growth::Private } else { Growth::Turn }
    }

    /// From now on copies may not take a further chunk of charge.
    pub fn leave_turn(&mut self) {
        (self.outside_turn, self.refused) = (true, false);
    }

    /// Copies may take chunks again; whether one was refused meanwhile.
    pub fn return_to_turn(&mut self) -> bool {
        self.outside_turn = false;
        core::mem::take(&mut self.refused)
    }

    /// How many of the `length` bytes at `address` can be touched, from the first on.
    pub fn reach(&mut self, id: SpaceId, address: u64, length: u64, access: Access) -> u64 {
        let mut done = 0;
        let growth = self.copying();
        while done < length {
            let at = address.wrapping_add(done);
            if at < address || self.touch(id, at, access, growth).is_err() {
                break;
            }
            done += (PAGE - at % PAGE).min(length - done);
        }
        // A call that needs a turn after all has done nothing so far.
        if self.outside_turn && self.refused { 0 } else { done }
    }

    /// Copies in, in whole or not at all.
    pub fn read(&mut self, id: SpaceId, address: u64, out: &mut [u8]) -> Res {
        let mut done = 0;
        self.pieces(id, address, out.len(), |piece| {
            out[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        })
    }

    /// Copies `length` bytes in, behind what `out` holds.
    pub fn append(&mut self, id: SpaceId, address: u64, length: usize, out: &mut Vec<u8>) -> Res {
        self.pieces(id, address, length, |piece| out.extend_from_slice(piece))
    }

    /// The bytes of a range, page by page.
    fn pieces(&mut self, id: SpaceId, address: u64, length: usize, mut take: impl FnMut(&[u8])) -> Res {
        let growth = self.copying();
        let mut done = 0;
        while done < length {
            let at = address.checked_add(done as u64).ok_or(e::EFAULT)?;
            let grant = self.touch(id, at, Access::Read, growth).map_err(|_| e::EFAULT)?;
            let from = (at % PAGE) as usize;
            let n = (PAGE as usize - from).min(length - done);
            take(&grant.bytes()[from..from + n]);
            done += n;
        }
        Ok(())
    }

    /// Copies out, in whole or not at all.
    pub fn write(&mut self, id: SpaceId, address: u64, bytes: &[u8]) -> Res {
        let length = bytes.len() as u64;
        // Within one page the touch that copies says it all.
        let pages = (address % PAGE + length).div_ceil(PAGE);
        if pages > 1 && self.reach(id, address, length, Access::Write) < length {
            return Err(e::EFAULT);
        }
        self.fill(id, address, bytes)
    }

    /// Copies out, to where `reach` has been.
    pub fn fill(&mut self, id: SpaceId, address: u64, bytes: &[u8]) -> Res {
        let growth = self.copying();
        let mut done = 0;
        while done < bytes.len() {
            let at = address.checked_add(done as u64).ok_or(e::EFAULT)?;
            let grant = self.touch(id, at, Access::Write, growth).map_err(|_| e::EFAULT)?;
            let from = (at % PAGE) as usize;
            let n = (PAGE as usize - from).min(bytes.len() - done);
            let page = grant.write().ok_or(e::EFAULT)?;
            page[from..from + n].copy_from_slice(&bytes[done..done + n]);
            done += n;
        }
        Ok(())
    }

    /// `length` bytes.
    pub fn bytes(&mut self, id: SpaceId, address: u64, length: usize) -> Res<Vec<u8>> {
        let mut out = Vec::with_capacity(length);
        self.append(id, address, length, &mut out)?;
        Ok(out)
    }

    /// A number of eight bytes.
    pub fn word(&mut self, id: SpaceId, address: u64) -> Res<u64> {
        let mut out = [0; 8];
        self.read(id, address, &mut out)?;
        Ok(u64::from_le_bytes(out))
    }

    /// A number of four bytes.
    pub fn half(&mut self, id: SpaceId, address: u64) -> Res<u32> {
        let mut out = [0; 4];
        self.read(id, address, &mut out)?;
        Ok(u32::from_le_bytes(out))
    }

    /// A string with at most `max` bytes before its zero byte; `None`: it is longer.
    pub fn string(&mut self, id: SpaceId, address: u64, max: usize) -> Res<Option<Vec<u8>>> {
        let mut out = Vec::new();
        loop {
            let at = address.checked_add(out.len() as u64).ok_or(e::EFAULT)?;
            let growth = self.copying();
            let grant = self.touch(id, at, Access::Read, growth).map_err(|_| e::EFAULT)?;
            let rest = &grant.bytes()[(at % PAGE) as usize..];
            let zero = rest.iter().position(|b| *b == 0);
            out.extend_from_slice(&rest[..zero.unwrap_or(rest.len())]);
            if out.len() > max {
                return Ok(None);
            }
            if zero.is_some() {
                return Ok(Some(out));
            }
        }
    }
}
