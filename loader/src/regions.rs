//! What each domain sees, as mappings for the microkernel to make.

use crate::image;
use crate::plan::{Found, PlanError, push};
use abi::bootinfo::*;
use abi::bundle::Entry;
use abi::handover::{Area, List, REGIONS_MAX, Region, Rights};
use abi::manifest::{ChannelKind, Domain, DomainKind, Range};

const PAGE: u64 = 4096;

/// The mappings of all domains.
type Regions = List<Region, REGIONS_MAX>;

fn map<'a>(
    regions: &mut Regions,
    index: usize,
    ipa: u64,
    at: Range,
    rights: Rights,
) -> Result<(), PlanError<'a>> {
    if at.size == 0 {
        return Ok(());
    }
    push(regions, Region { domain: index as u32, rights: rights as u32, ipa, at })
}

/// What every domain sees besides its memory: boot page, positions, channels, devices or the virtual interrupt controller. (The table of
/// domain states is the microkernel's own.)
pub fn common<'a>(area: &mut Area, found: &Found<'a>, index: usize) -> Result<(), PlanError<'a>> {
    let manifest = found.manifest;
    let domain = &manifest.domains[index];
    let Area { handover, boot, positions } = area;
    let regions = &mut handover.regions;
    let position = |d: usize| Range { base: &raw const positions[d] as u64, size: PAGE };
    let boot = Range { base: &raw const boot[index] as u64, size: PAGE };
    map(regions, index, BOOTINFO_IPA, boot, Rights::Read)?;
    map(regions, index, POSITION_IPA, position(index), Rights::ReadWrite)?;
    for (i, c) in manifest.channels.iter().enumerate() {
        let ipa = manifest.channel_ipa(c);
        if c.writer == index {
            map(regions, index, ipa, c.frames, Rights::ReadWrite)?;
            let reader = (0..manifest.domains.len()).find(|&d| c.reads(d));
            if let (ChannelKind::Stream, Some(reader)) = (c.kind, reader) {
                map(regions, index, PEER_POSITION_IPA + i as u64 * PAGE, position(reader), Rights::Read)?;
            }
        } else if c.reads(index) {
            map(regions, index, ipa, c.frames, Rights::Read)?;
        }
    }
    if domain.kind == DomainKind::Personality {
        let at = Range { base: found.board.gic.virtual_cpu, size: 2 * PAGE };
        map(regions, index, CPU_INTERFACE_IPA, at, Rights::Device)?;
    }
    for (i, d) in domain.devices.iter().enumerate() {
        map(regions, index, DEVICE_IPA + i as u64 * DEVICE_STRIDE, d.frame, Rights::Device)?;
    }
    Ok(())
}

/// Rights of an image's segment by ELF's flags; writable and executable at once was refused.
fn rights_of(flags: u64) -> Rights {
    match (flags & 2 != 0, flags & 1 != 0) {
        (true, _) => Rights::ReadWrite,
        (false, true) => Rights::ReadExecute,
        (false, false) => Rights::Read,
    }
}

/// A kernel has all rights on its memory; a service W xor X by segment, and no execution elsewhere.
pub fn memory<'a>(
    regions: &mut Regions,
    domain: &Domain,
    index: usize,
    image: &Entry<'_>,
) -> Result<(), PlanError<'a>> {
    let Range { base, size } = domain.memory;
    if domain.kind == DomainKind::Personality {
        return map(regions, index, MEMORY_IPA, domain.memory, Rights::All);
    }
    let part = |from: u64, to: u64| Range { base: base + (from - MEMORY_IPA), size: to - from };
    for s in image::segments(image) {
        let end = (s.ipa + s.memory_size).next_multiple_of(PAGE);
        // A gap between segments is nobody's: it stays unmapped and catches strays.
        map(regions, index, s.ipa, part(s.ipa, end), rights_of(s.flags))?;
    }
    let rest = image::end(image);
    map(regions, index, rest, part(rest, MEMORY_IPA + size), Rights::ReadWrite)
}

/// Modules are read where the bundle lies. One that the bundle lacks is left out. A kernel runs programs straight from its root image, so there
/// they may be executed; its stage 1 says by whom.
pub fn modules<'a>(
    regions: &mut Regions,
    found: &Found<'a>,
    index: usize,
    info: &mut BootInfo,
) -> Result<(), PlanError<'a>> {
    let domain = &found.manifest.domains[index];
    let initrd = found.board.initrd;
    let rights = match domain.kind {
        DomainKind::Personality => Rights::ReadExecute,
        DomainKind::Service => Rights::Read,
    };
    let mut ipa = MODULE_IPA;
    let find = |name: &Name| {
        let m = found.bundle.find(name_str(name))?;
        Some((*name, Range { base: initrd.base + m.offset as u64, size: m.data.len() as u64 }))
    };
    // Who builds others has the whole bundle.
    let whole = domain.builds.then(|| Some((name_from("bundle")?, initrd))).flatten();
    let mapped = domain.modules.iter().filter_map(find).chain(whole);
    for (row, (name, at)) in info.modules.iter_mut().zip(mapped) {
        let size = at.size.next_multiple_of(PAGE);
        if ipa + size > MODULE_IPA + (1 << 30) {
            return Err(PlanError::ModuleSize(domain.name()));
        }
        map(regions, index, ipa, Range { base: at.base, size }, rights)?;
        *row = ModuleInfo { name, ipa, size: at.size };
        ipa += size;
    }
    Ok(())
}
