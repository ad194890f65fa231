//! What was decided at boot and never changes: what the loader found, and for each domain its object and its space. Built by the boot core
//! before the others start. Memory of partitions that the root task builds is not in it, but what else they see.
//!
//! The loader is believed about what belongs to whom; what could harm EL2 itself is checked.

use crate::arch::entry;
use crate::hole::{Hole, hole};
use crate::root::Pages;
use crate::stage2::{NoTables, Space};
use crate::{shared, tables};
use abi::bootinfo::{CHANNEL_IPA, DOMAINS_MAX, MEMORY_IPA, STATUS_IPA};
use abi::handover::{COLD, CORES_MAX, Domain, Handover, Region, Rights};
use abi::manifest::Range;
use heapless::Vec;

/// Everything fixed.
pub struct Plan {
    /// What the loader said.
    pub given: &'static Handover,
    /// By domain.
    pub places: Vec<Place, DOMAINS_MAX>,
    /// By core.
    pub stores: [Pages; CORES_MAX],
}

/// A domain in memory.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Its page, the Domain object.
    pub at: u64,
    /// Root of its stage-2 tables.
    pub root: u64,
}

impl From<NoTables> for &'static str {
    fn from(_: NoTables) -> Self {
        "too many mappings for the pages of tables; enlarge tables::PAGES"
    }
}

const PAGE: u64 = 4096;
/// What EL2 maps, and can therefore give away.
const MAPPED: Range = Range { base: 0, size: 1 << 32 };

impl Plan {
    /// Checks, and builds every domain's space; or why not.
    pub fn build(given: &'static Handover) -> Result<Plan, &'static str> {
        check(given)?;
        let mut stores = [Pages::default(); CORES_MAX];
        for (_, pages) in (0..).zip(&mut stores).filter(|(core, _)| given.board.cores.contains(core)) {
            *pages = Pages::allocate().ok_or(NoTables)?;
        }
        let mut places = Vec::new();
        for index in 0..given.domains.len() {
            let space = Space::new()?;
            space.map(STATUS_IPA, shared::status_address(), PAGE, Rights::Read)?;
            if hole(Hole::Page) {
                space.map(0x6000_0000, shared::status_address(), PAGE, Rights::Read)?;
            }
            for region in given.regions.iter().filter(|r| r.domain as usize == index) {
                space.map(region.ipa, region.at.base, region.at.size, rights(region).ok_or(NoTables)?)?;
            }
            let at = tables::allocate().ok_or(NoTables)?.address();
            places.push(Place { at, root: space.root() }).map_err(|_| NoTables)?;
            shared::set_begun(index, 0, given.domains.get(index).is_some_and(|d| d.is(COLD)));
        }
        Ok(Plan { given, places, stores })
    }

    /// The domains of core `core`.
    pub fn on_core(&self, core: usize) -> impl Iterator<Item = (usize, &'static Domain)> {
        self.given.domains.iter().enumerate().filter(move |(_, d)| d.core as usize == core)
    }
}

fn rights(region: &Region) -> Option<Rights> {
    let of_a_channel = (CHANNEL_IPA..MEMORY_IPA).contains(&region.ipa);
    if hole(Hole::Channel) && of_a_channel {
        Some(Rights::ReadWrite)
    } else {
        Rights::from_number(region.rights)
    }
}

/// Whether nothing in `given` leads EL2 out of its tables or anybody into its memory; or what does.
fn check(given: &Handover) -> Result<(), &'static str> {
    let board = &given.board;
    let [start, .., end] = entry::image();
    let image = Range { base: start, size: end - start };
    let is_ram = |r: &Range| board.memory.iter().any(|ram| ram.contains(r)) && !r.overlaps(&image);
    let is_core = |core: u64| core < CORES_MAX as u64 && board.cores.contains(&core);
    let wrong = |what: bool, text: &'static str| if what { Err(text) } else { Ok(()) };
    wrong(!board.cores.iter().all(|&core| is_core(core)), "the loader names a core that cannot be")?;
    let gic = [board.gic.distributor, board.gic.cpu, board.gic.hypervisor];
    let is_device = |&base: &u64| {
        let at = Range { base, size: 2 * PAGE };
        MAPPED.contains(&at) && !board.memory.iter().any(|ram| ram.overlaps(&at))
    };
    wrong(!gic.iter().all(is_device), "the loader puts the interrupt controller into RAM")?;
    let harmless = |d: &Domain| {
        let fits = |s: &abi::handover::Segment| {
            let (from, to) = (Range { base: s.from, size: s.size }, Range { base: s.to, size: s.size });
            is_ram(&from) && !from.overlaps(&d.memory) && d.memory.contains(&to)
        };
        is_core(d.core.into()) && is_ram(&d.memory) && d.image.iter().all(fits)
    };
    wrong(!given.domains.iter().all(harmless), "the loader gives a domain memory that is not RAM")?;
    let designs = given.designs.iter().flat_map(|d| d.image.iter());
    let mut from = designs.map(|s| Range { base: s.from, size: s.size });
    let is_apart = |r: &Range| is_ram(r) && !given.domains.iter().any(|d| d.memory.overlaps(r));
    wrong(!from.all(|r| is_apart(&r)), "the loader takes a kernel's image from a domain's memory")?;
    wrong(!given.regions.iter().all(|r| is_harmless(r, &image)), "the loader gives a domain EL2's memory")?;
    wrong(!given.free.iter().all(is_ram), "the loader gives away memory that is not free")
}

/// Whether a mapping holds in a table, and leaves EL2's image alone but for the pages that are meant to be seen.
#[unsafe(link_section = ".start")]
#[allow(unsafe_code)] // Where it stands, and nothing else.
fn is_harmless(region: &Region, image: &Range) -> bool {
    let Region { ipa, at, .. } = *region;
    let [boot, positions] = entry::pages_below();
    let whole = (ipa | at.base | at.size).is_multiple_of(PAGE) && MAPPED.contains(&at);
    let inside = ipa.checked_add(at.size).is_some_and(|end| end <= 1 << 39);
    let read_only = Rights::from_number(region.rights) == Some(Rights::Read);
    let seen = positions.contains(&at) || read_only && boot.contains(&at);
    whole && inside && Rights::from_number(region.rights).is_some() && (seen || !at.overlaps(image))
}
