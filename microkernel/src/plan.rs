//! What was decided at boot and never changes: board, manifest, and for each domain its space and entry. Built by the boot core
//! before the others start.
//!
//! Provisional: the manager will build partitions by capability invocations; until then this fixed code does.

use crate::arch::registers::Controls;
use crate::hole::{Hole, hole};
use crate::root::{self, Pages};
use crate::stage2::{NoTables, Rights, Space};
use crate::{image, memory};
use crate::{shared, tables};
use abi::bootinfo::*;
use abi::bundle::{Bundle, Entry};
use abi::manifest::{ChannelKind, Domain, DomainKind, Manifest, Range, Reserved};
use abi::ring;
use board::{Board, CORES_MAX};
use core::fmt;
use heapless::Vec;

/// Everything fixed.
pub struct Plan {
    /// The machine.
    pub board: Board,
    /// The partitions.
    pub manifest: Manifest,
    /// By domain.
    pub domains: Vec<DomainPlan, DOMAINS_MAX>,
    /// By core.
    pub stores: [Pages; CORES_MAX],
    /// RAM for the root task.
    pub free: Vec<MemoryInfo, UNTYPED_MAX>,
    /// What the secrets of restarted domains are derived from.
    pub secret: [u8; 32],
    /// The images, of which a restarted domain may get another.
    pub bundle: Bundle<'static>,
}

/// How a domain starts.
#[derive(Clone, Copy, Debug)]
pub struct DomainPlan {
    /// Its page, the Domain object.
    pub at: u64,
    /// Root of its stage-2 tables.
    pub root: u64,
    /// First instruction.
    pub entry: u64,
    /// Address of its boot page.
    pub page: u64,
    /// Its image, in the bundle.
    pub image: Entry<'static>,
    kind: DomainKind,
}

impl DomainPlan {
    /// What of EL1 governs it at the start.
    pub fn controls(&self, alone: bool) -> Controls {
        match (self.kind, alone) {
            (DomainKind::Personality, true) => Controls::KERNEL,
            (DomainKind::Personality, false) => Controls::LODGED,
            (DomainKind::Service, _) => Controls::SERVICE,
        }
    }
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
    /// Too many tables.
    Tables,
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
            Self::Tables => write!(
                f,
                "too many mappings for {} pages of tables; enlarge tables::PAGES",
                tables::usage().1
            ),
        }
    }
}

impl From<NoTables> for PlanError<'_> {
    fn from(_: NoTables) -> Self {
        PlanError::Tables
    }
}

/// Bit mask of the page offset.
const PAGE: u64 = 4096;

impl Plan {
    /// Lays out channels, then builds every domain: memory, image, space, boot page.
    pub fn build<'a>(
        board: Board,
        manifest: &'a Manifest,
        bundle: &Bundle<'static>,
        reserved: &[Reserved<'_>],
        seed: &[u8; 64],
        counter_hz: u64,
    ) -> Result<Plan, PlanError<'a>> {
        start_channels(manifest);
        let mut positions: Vec<u64, DOMAINS_MAX> = Vec::new();
        for _ in &manifest.domains {
            let page = tables::allocate().ok_or(PlanError::Tables)?;
            positions.push(page.address()).map_err(|_| PlanError::Tables)?;
        }
        let mut stores = [Pages::default(); CORES_MAX];
        for &core in &board.cores {
            stores[core as usize] = Pages::allocate().ok_or(PlanError::Tables)?;
        }
        let free = free(&board, manifest, reserved);
        let mut domains = Vec::new();
        for (index, domain) in manifest.domains.iter().enumerate() {
            let image = image::check(domain, bundle)?;
            let image_end = image::end(&image);
            let mut info = boot_info(manifest, index, image_end, counter_hz, seed);
            if domain.manages {
                info.untyped.iter_mut().zip(&free).for_each(|(row, range)| *row = *range);
            }
            if domain.builds {
                info.partitions.iter_mut().zip(partitions(manifest)).for_each(|(row, part)| *row = part);
            }
            let space = Space::new()?;
            map_common(&space, manifest, index, &board, &positions)?;
            if !is_built_above(manifest, domain) {
                if !board.zeroed {
                    memory::zero(domain.memory);
                }
                image::copy(domain, &image);
                map_memory(&space, domain, &image, image_end)?;
            }
            map_modules(&space, domain, bundle, board.initrd, &mut info)?;
            let page = tables::allocate().ok_or(PlanError::Tables)?;
            memory::write_plain(page.address(), &info);
            space.map(BOOTINFO_IPA, page.address(), PAGE, Rights::Read)?;
            let at = tables::allocate().ok_or(PlanError::Tables)?.address();
            let (root, page, entry, kind) = (space.root(), page.address(), image.entry, domain.kind);
            domains.push(DomainPlan { at, root, entry, page, image, kind }).map_err(|_| PlanError::Tables)?;
            shared::set_running(index, 0);
        }
        let secret = blake3::derive_key("tetrarch 2026 restarts", seed);
        Ok(Plan { board, manifest: manifest.clone(), domains, stores, free, secret, bundle: *bundle })
    }

    /// The domains of core `core`.
    pub fn on_core(&self, core: usize) -> impl Iterator<Item = (usize, &Domain)> {
        self.manifest.domains.iter().enumerate().filter(move |(_, d)| d.core as usize == core)
    }
}

/// Whether the root task builds this partition's memory: a service on its own core.
pub fn is_built_above(manifest: &Manifest, domain: &Domain) -> bool {
    let root_task = manifest.domains.iter().find(|d| d.builds);
    let here = root_task.is_some_and(|root| root.core == domain.core);
    here && domain.kind == DomainKind::Service && !domain.builds
}

/// What the root task must know of the partitions.
fn partitions(manifest: &Manifest) -> impl Iterator<Item = PartitionInfo> + '_ {
    manifest.domains.iter().map(|d| {
        let Range { base, size } = d.memory;
        let memory =
            if is_built_above(manifest, d) { MemoryInfo { base, size } } else { MemoryInfo::default() };
        PartitionInfo { image: d.image, memory, core: d.core, reserved: 0 }
    })
}

/// RAM that nothing lies in. Page 0 is firmware's on boards that start cores by a spin table.
fn free(board: &Board, manifest: &Manifest, reserved: &[Reserved<'_>]) -> Vec<MemoryInfo, UNTYPED_MAX> {
    let mut taken: Vec<Range, 32> = Vec::new();
    let domains = manifest.domains.iter().map(|d| d.memory);
    let first = Range { base: 0, size: PAGE };
    for range in domains.chain(reserved.iter().map(|r| r.1)).chain([manifest.channel_memory, first]) {
        assert!(taken.push(range).is_ok(), "room for all domains and a few more");
    }
    root::free_memory(&board.memory, &taken)
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

fn boot_info(
    manifest: &Manifest,
    index: usize,
    image_end: u64,
    counter_hz: u64,
    seed: &[u8; 64],
) -> BootInfo {
    let domain = &manifest.domains[index];
    let no_channel = ChannelInfo {
        name: [0; NAME_MAX],
        ipa: 0,
        size: 0,
        role: ROLE_NONE,
        stream: 0,
        writer: 0,
        reserved: 0,
    };
    let no_device = DeviceInfo { name: [0; NAME_MAX], ipa: 0, size: 0, intid: 0, reserved: 0 };
    let mut info = BootInfo {
        magic: BOOTINFO_MAGIC,
        domain: index as u32,
        domains: manifest.domains.len() as u32,
        name: domain.name,
        memory_size: domain.memory.size,
        image_end,
        counter_hz,
        run: manifest.run,
        entropy: [0; 32],
        restarts: 0,
        domain_names: [[0; NAME_MAX]; DOMAINS_MAX],
        channels: [no_channel; CHANNELS_MAX],
        modules: [ModuleInfo { name: [0; NAME_MAX], ipa: 0, size: 0 }; MODULES_MAX],
        devices: [no_device; DEVICES_MAX],
        untyped: [MemoryInfo::default(); UNTYPED_MAX],
        partitions: [PartitionInfo::default(); DOMAINS_MAX],
    };
    if domain.entropy {
        let mut hasher = blake3::Hasher::new_derive_key("tetrarch 2026 entropy of a domain");
        hasher.update(seed).update(&(index as u64).to_le_bytes());
        info.entropy = *hasher.finalize().as_bytes();
    }
    info.domain_names.iter_mut().zip(&manifest.domains).for_each(|(n, d)| *n = d.name);
    for (i, (row, c)) in info.channels.iter_mut().zip(&manifest.channels).enumerate() {
        let role = if c.writer == index {
            ROLE_WRITER
        } else if c.reads(index) {
            ROLE_READER
        } else {
            ROLE_NONE
        };
        // A channel that is not this domain's still has its name and writer, but no address.
        let (ipa, size) =
            if role == ROLE_NONE { (0, 0) } else { (CHANNEL_IPA + i as u64 * CHANNEL_STRIDE, c.frames.size) };
        let stream = u32::from(c.kind == ChannelKind::Stream);
        *row = ChannelInfo { name: c.name, ipa, size, role, stream, writer: c.writer as u32, reserved: 0 };
    }
    for (i, (row, d)) in info.devices.iter_mut().zip(&domain.devices).enumerate() {
        let ipa = DEVICE_IPA + i as u64 * DEVICE_STRIDE;
        *row = DeviceInfo { name: d.name, ipa, size: d.frame.size, intid: d.intid, reserved: 0 };
    }
    info
}

/// What every domain sees besides its memory: status, positions, channels, devices or the virtual interrupt controller.
fn map_common<'a>(
    space: &Space,
    manifest: &Manifest,
    index: usize,
    board: &Board,
    positions: &[u64],
) -> Result<(), PlanError<'a>> {
    let domain = &manifest.domains[index];
    space.map(STATUS_IPA, shared::status_address(), PAGE, Rights::Read)?;
    if hole(Hole::Page) {
        space.map(0x6000_0000, shared::status_address(), PAGE, Rights::Read)?;
    }
    space.map(POSITION_IPA, positions[index], PAGE, Rights::ReadWrite)?;
    for (i, c) in manifest.channels.iter().enumerate() {
        let ipa = CHANNEL_IPA + i as u64 * CHANNEL_STRIDE;
        if c.writer == index {
            space.map(ipa, c.frames.base, c.frames.size, Rights::ReadWrite)?;
            let reader = (0..manifest.domains.len()).find(|&d| c.reads(d));
            if let (ChannelKind::Stream, Some(reader)) = (c.kind, reader) {
                space.map(PEER_POSITION_IPA + i as u64 * PAGE, positions[reader], PAGE, Rights::Read)?;
            }
        } else if c.reads(index) {
            let rights = if hole(Hole::Channel) { Rights::ReadWrite } else { Rights::Read };
            space.map(ipa, c.frames.base, c.frames.size, rights)?;
        }
    }
    if domain.kind == DomainKind::Personality {
        space.map(CPU_INTERFACE_IPA, board.gic.virtual_cpu, 2 * PAGE, Rights::Device)?;
    }
    for (i, d) in domain.devices.iter().enumerate() {
        space.map(DEVICE_IPA + i as u64 * DEVICE_STRIDE, d.frame.base, d.frame.size, Rights::Device)?;
    }
    Ok(())
}

/// A kernel has all rights on its memory; a service W xor X by segment, and no execution elsewhere.
fn map_memory<'a>(
    space: &Space,
    domain: &Domain,
    image: &Entry<'_>,
    image_end: u64,
) -> Result<(), PlanError<'a>> {
    let (base, size) = (domain.memory.base, domain.memory.size);
    if domain.kind == DomainKind::Personality {
        return Ok(space.map(MEMORY_IPA, base, size, Rights::All)?);
    }
    let mut at = MEMORY_IPA;
    for s in image.segments.iter().take(image.segment_count) {
        let end = (s.ipa + s.memory_size).next_multiple_of(PAGE);
        // A gap between segments is nobody's: it stays unmapped and catches strays.
        space.map(s.ipa, base + (s.ipa - MEMORY_IPA), end - s.ipa, Rights::of_segment(s.flags))?;
        at = end;
    }
    assert!(at == image_end, "segments are sorted");
    let rest = MEMORY_IPA + size - at;
    Ok(space.map(at, base + (at - MEMORY_IPA), rest, Rights::ReadWrite)?)
}

/// Modules are read where the bundle lies. One that the bundle lacks is left out. A kernel runs programs straight from its root image, so there
/// they may be executed; its stage 1 says by whom.
fn map_modules<'a>(
    space: &Space,
    domain: &'a Domain,
    bundle: &Bundle<'_>,
    initrd: Range,
    info: &mut BootInfo,
) -> Result<(), PlanError<'a>> {
    let rights = match domain.kind {
        DomainKind::Personality => Rights::ReadExecute,
        DomainKind::Service => Rights::Read,
    };
    let mut ipa = MODULE_IPA;
    let find = |name: &Name| {
        let m = bundle.find(name_str(name))?;
        Some((*name, Range { base: initrd.base + m.offset as u64, size: m.data.len() as u64 }))
    };
    // Who builds others has the whole bundle.
    let whole = domain.builds.then(|| Some((name_from("bundle")?, initrd))).flatten();
    let found = domain.modules.iter().filter_map(find).chain(whole);
    for (row, (name, at)) in info.modules.iter_mut().zip(found) {
        let size = at.size.next_multiple_of(PAGE);
        if ipa + size > MODULE_IPA + (1 << 30) {
            return Err(PlanError::ModuleSize(domain.name()));
        }
        space.map(ipa, at.base, size, rights)?;
        *row = ModuleInfo { name, ipa, size: at.size };
        ipa += size;
    }
    Ok(())
}
