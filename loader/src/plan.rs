//! What the microkernel is told: board, domains, channels, mappings, free memory; and what is ready before it begins: channels, boot pages,
//! and memory and image of the root task. In a manifest in which nobody builds, of all domains.

use crate::{console, image, info, memory, regions};
use abi::bootinfo::{DOMAINS_MAX, MemoryInfo, UNTYPED_MAX};
use abi::bundle::{Bundle, Kind};
use abi::handover::{self, Area, DESIGNS_MAX, Design, Handover, Psci};
use abi::manifest::{Domain, DomainKind, Manifest, Range, Reserved};
use abi::ring;
use board::Board;
use core::fmt;
use heapless::Vec;

/// What boot found.
pub struct Found<'a> {
    /// The machine.
    pub board: &'a Board,
    /// The partitions.
    pub manifest: &'a Manifest,
    /// The images.
    pub bundle: &'a Bundle<'static>,
    /// What secrets are made of.
    pub secret: &'a [u8; 64],
    /// Frequency of the counter, Hz.
    pub hz: u64,
}

/// Why there is no plan.
#[derive(Debug)]
pub enum PlanError<'a> {
    /// The bundle has no image for this partition.
    NoImage(&'a str, &'a str),
    /// The image is of the other kind.
    WrongKind(&'a str),
    /// A segment or the entry is outside the partition's memory, or writable and executable in a service.
    BadImage(&'a str),
    /// Modules are larger than the space for them.
    ModuleSize(&'a str),
    /// A list of the handover is full.
    Full,
}

impl fmt::Display for PlanError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoImage(d, i) => {
                write!(f, "partition {d}: the bundle has no image `{i}`; add it to the bundle")
            }
            Self::WrongKind(d) => {
                write!(f, "partition {d}: its image is of another kind (EL0 or EL1) than the partition")
            }
            Self::BadImage(d) => write!(
                f,
                "partition {d}: its image does not fit its memory, or has a writable executable segment"
            ),
            Self::ModuleSize(d) => write!(f, "partition {d}: its modules are larger than 1 GiB"),
            Self::Full => write!(f, "the manifest is larger than abi::handover has room for"),
        }
    }
}

/// A row for which there is always room, as the limits of the manifest are those of the handover.
pub fn push<'a, T, const N: usize>(list: &mut handover::List<T, N>, row: T) -> Result<(), PlanError<'a>> {
    list.push(row).map_err(|_| PlanError::Full)
}

/// Fills `area`, and the memory that it speaks of.
pub fn build<'a>(area: &mut Area, found: &Found<'a>, reserved: &[Reserved<'_>]) -> Result<(), PlanError<'a>> {
    let Found { board, manifest, bundle, secret, .. } = *found;
    start_channels(manifest);
    area.handover.magic = handover::MAGIC;
    (area.handover.version, area.handover.size) = (handover::VERSION, size_of::<Handover>() as u32);
    area.handover.secret = blake3::derive_key("tetrarch 2026 restarts", secret);
    tell_board(&mut area.handover.board, board)?;
    for c in &manifest.channels {
        let row = handover::Channel { writer: c.writer as u32, readers: c.readers };
        push(&mut area.handover.channels, row)?;
    }
    let free = free(board, manifest, reserved);
    for &MemoryInfo { base, size } in &free {
        push(&mut area.handover.free, Range { base, size })?;
    }
    for (index, domain) in manifest.domains.iter().enumerate() {
        let image = image::check(domain, bundle)?;
        let mut page = info::of(found, index, image::end(&image), &free);
        regions::common(area, found, index)?;
        if !is_built_above(manifest, domain) {
            if !board.zeroed {
                memory::zero(domain.memory);
            }
            if !domain.cold {
                image::copy(domain, &image);
            }
            regions::memory(&mut area.handover.regions, domain, index, &image)?;
        }
        regions::modules(&mut area.handover.regions, found, index, &mut page)?;
        memory::write_info(&mut area.boot[index], &page);
        let mut row = row(manifest, domain, image.entry, &raw const area.boot[index] as u64);
        if board.zeroed && row.is(handover::BUILT_ABOVE) {
            row.flags |= handover::ZEROED;
        }
        for segment in image::physical(domain.memory.base, &image) {
            push(&mut row.image, segment)?;
        }
        push(&mut area.handover.domains, row)?;
    }
    for image in bundle.entries().filter(|e| e.kind == Kind::Kernel).take(DESIGNS_MAX) {
        let mut design =
            Design { entry: image.entry, end: image::end(&image), image: handover::List::default() };
        for segment in image::physical(0, &image) {
            push(&mut design.image, segment)?;
        }
        push(&mut area.handover.designs, design)?;
    }
    Ok(())
}

fn row(manifest: &Manifest, domain: &Domain, entry: u64, boot_page: u64) -> handover::Domain {
    let flags = [
        (domain.kind == DomainKind::Personality, handover::KERNEL),
        (domain.entropy, handover::ENTROPY),
        (domain.manages, handover::MANAGES),
        (domain.builds, handover::BUILDS),
        (is_built_above(manifest, domain), handover::BUILT_ABOVE),
        (domain.cold, handover::COLD),
    ];
    let flags = flags.into_iter().filter(|(is, _)| *is).fold(0, |all, (_, flag)| all | flag);
    let mut interrupts = [0; abi::bootinfo::DEVICES_MAX];
    interrupts.iter_mut().zip(&domain.devices).for_each(|(intid, d)| *intid = d.intid);
    let (name, core, memory) = (domain.name, domain.core, domain.memory);
    let image = handover::List::default();
    handover::Domain { name, core, flags, memory, entry, boot_page, interrupts, image }
}

fn tell_board<'a>(to: &mut handover::Board, board: &Board) -> Result<(), PlanError<'a>> {
    for &range in &board.memory {
        push(&mut to.memory, range)?;
    }
    for &core in &board.cores {
        push(&mut to.cores, core)?;
    }
    (to.release, to.gic, to.timer) = (board.release, board.gic, board.timer);
    to.psci = board.psci.unwrap_or(Psci { cpu_on: 0, system_off: 0 });
    to.power_manager = board.power_manager.unwrap_or(0);
    to.ports = console::ports();
    Ok(())
}

/// Whether the root task builds this partition's memory: if there is one, and it is another's.
pub fn is_built_above(manifest: &Manifest, domain: &Domain) -> bool {
    !domain.builds && manifest.domains.iter().any(|d| d.builds)
}

/// RAM that nothing lies in. Page 0 is firmware's on boards that start cores by a spin table.
fn free(board: &Board, manifest: &Manifest, reserved: &[Reserved<'_>]) -> Vec<MemoryInfo, UNTYPED_MAX> {
    let mut taken: Vec<Range, { DOMAINS_MAX + 8 }> = Vec::new();
    let domains = manifest.domains.iter().map(|d| d.memory);
    let first = Range { base: 0, size: 4096 };
    for range in domains.chain(reserved.iter().map(|r| r.1)).chain([manifest.channel_memory, first]) {
        assert!(taken.push(range).is_ok(), "room for all domains and a few more");
    }
    free_memory(&board.memory, &taken)
}

/// RAM of `ram` outside of everything in `taken`, in whole pages; what is too much for the list is left out.
fn free_memory(ram: &[Range], taken: &[Range]) -> Vec<MemoryInfo, UNTYPED_MAX> {
    const PAGE: u64 = 4096;
    let mut free = Vec::new();
    for range in ram {
        let mut at = range.base.next_multiple_of(PAGE);
        while at < range.end() {
            let next = taken.iter().filter(|t| t.end() > at).min_by_key(|t| t.base);
            let end = next.map_or(range.end(), |t| t.base.clamp(at, range.end())) & !(PAGE - 1);
            if end > at && free.push(MemoryInfo { base: at, size: end - at }).is_err() {
                return free;
            }
            match next {
                Some(t) if t.base < range.end() => at = t.end().next_multiple_of(PAGE),
                _ => break,
            }
        }
    }
    free
}

/// Zeroes channels and writes the headers of their rings.
fn start_channels(manifest: &Manifest) {
    for c in &manifest.channels {
        memory::zero(c.frames);
        let capacity = ring::capacity(c.frames.size as usize).unwrap_or(0) as u64;
        let epoch = 1u64;
        let words = [
            (ring::OFFSET_VERSION_EPOCH, epoch << 32 | u64::from(ring::VERSION)),
            (ring::OFFSET_CAPACITY, capacity),
            // Last: who looks at the memory from outside the machine may do so at any time, and believes a header with this.
            (ring::OFFSET_MAGIC, ring::MAGIC),
        ];
        for (offset, word) in words {
            core::sync::atomic::fence(core::sync::atomic::Ordering::Release);
            memory::write(c.frames.base + offset as u64, &word.to_le_bytes());
        }
    }
}
