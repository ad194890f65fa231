//! The memory server: grants regions of address spaces, counts what is charged, copies for calls. It holds all that is mapped; what the machine
//! has in its translation tables is a cache of it, and may be thrown away at any time.

mod calls;
mod copy;
mod describe;
pub mod elf;
mod restore;
mod snapshot;
mod space;
#[cfg(test)]
mod test;

use crate::error::{Errno, Res, e};
use crate::page::PAGE;
use abi::turn::{CHARGE_PAGES, MEMORY_PAGES};
use alloc::collections::BTreeMap;
pub use calls::{MapFile, MapRequest, Remap};
pub use copy::{TRAMPOLINE, Trouble};
pub use restore::Ground;
pub use space::{Access, Backing, Label, Region, Rights, Source, Space};

/// Names an address space; never used again.
pub type SpaceId = u64;

/// Why a request was not carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The call's answer.
    Errno(Errno),
    /// It needs a further chunk of charge, and that takes a turn.
    Turn,
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Refusal {
        Refusal::Errno(errno)
    }
}

/// Whether a request may take a further chunk of charge: only in its thread's turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Growth {
    Private,
    Turn,
}

/// The server's state.
#[derive(Default)]
pub struct Memory {
    spaces: BTreeMap<SpaceId, Space>,
    next: SpaceId,
    /// Pages charged in all.
    charged: u64,
    /// A call is carried out that takes no turn, and whether it turned out to need one.
    outside_turn: bool,
    refused: bool,
    /// The page that was read last, if nobody keeps it.
    still: Option<crate::page::Grant>,
    /// Spaces that are gone and that the machine has not forgotten yet.
    gone: alloc::vec::Vec<SpaceId>,
}

/// Regions of a space, and of all spaces: this kernel's own bound on what nobody is charged for.
const REGIONS_MAX: usize = 8192;
const REGIONS_IN_ALL: usize = 150_000;

/// `pages` in whole chunks.
pub fn chunks(pages: u64) -> u64 {
    pages.next_multiple_of(CHARGE_PAGES)
}

/// `address` up to the next border of pages.
pub fn page_up(address: u64) -> Option<u64> {
    address.checked_next_multiple_of(PAGE)
}

impl Memory {
    /// A space that the caller knows to exist.
    pub fn space(&self, id: SpaceId) -> Option<&Space> {
        self.spaces.get(&id)
    }

    fn get(&mut self, id: SpaceId) -> Res<&mut Space> {
        self.spaces.get_mut(&id).ok_or(e::EFAULT)
    }

    /// Pages charged in all.
    pub fn charged(&self) -> u64 {
        self.charged
    }

    /// Whether a space may get further regions.
    fn room_for_regions(&self, id: SpaceId) -> Res {
        let own = self.spaces.get(&id).map_or(0, |s| s.regions.len());
        let all = || self.spaces.values().map(|s| s.regions.len()).sum::<usize>();
        if own >= REGIONS_MAX || own > 256 && all() > REGIONS_IN_ALL { Err(e::ENOMEM) } else { Ok(()) }
    }

    /// Makes the charge of a space fit `pages` pages.
    fn afford(&mut self, id: SpaceId, pages: u64, growth: Growth) -> Result<(), Refusal> {
        let (want, total) = (chunks(pages), self.charged);
        let space = self.get(id)?;
        if want <= space.charge {
            return Ok(());
        }
        if growth == Growth::Private {
            return Err(Refusal::Turn);
        }
        if total - space.charge + want > MEMORY_PAGES {
            return Err(e::ENOMEM.into());
        }
        let before = core::mem::replace(&mut space.charge, want);
        self.charged = total - before + want;
        Ok(())
    }

    /// Takes a finished space in, charged as its regions say and for at least `least` pages.
    pub fn admit(&mut self, mut space: Space, least: u64) -> Res<SpaceId> {
        let want = chunks(space.charged().max(least));
        if self.charged + want > MEMORY_PAGES {
            return Err(e::ENOMEM);
        }
        self.charged += want;
        space.charge = want;
        self.next += 1;
        self.spaces.insert(self.next, space);
        Ok(self.next)
    }

    /// A copy of a space for a forked child, charged as the parent is.
    pub fn fork(&mut self, id: SpaceId) -> Res<SpaceId> {
        let total = self.charged;
        self.room_for_regions(id)?;
        let parent = self.get(id)?;
        let charge = parent.charge;
        if total + charge > MEMORY_PAGES || !crate::page::room_for(parent.pages.len() / 256 + 64) {
            return Err(e::ENOMEM);
        }
        let mut child = parent.snapshot();
        child.charge = charge;
        self.charged += charge;
        self.next += 1;
        self.spaces.insert(self.next, child);
        Ok(self.next)
    }

    /// A space nobody uses any more.
    pub fn release(&mut self, id: SpaceId) {
        if let Some(space) = self.spaces.remove(&id) {
            self.charged -= space.charge;
            self.gone.push(id);
        }
    }

    /// What the machine's tables must forget: whole spaces.
    pub fn take_gone(&mut self) -> alloc::vec::Vec<SpaceId> {
        core::mem::take(&mut self.gone)
    }

    /// What the machine's tables must forget of a space.
    pub fn take_stale(&mut self, id: SpaceId) -> alloc::vec::Vec<(u64, u64)> {
        self.spaces.get_mut(&id).map(|s| core::mem::take(&mut s.stale)).unwrap_or_default()
    }
}
