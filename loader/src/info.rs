//! The page that a domain starts with.

use crate::plan::{Found, is_built_above};
use abi::bootinfo::*;
use abi::manifest::{ChannelKind, Manifest, Range};

const NO_CHANNEL: ChannelInfo =
    ChannelInfo { name: [0; NAME_MAX], ipa: 0, size: 0, role: ROLE_NONE, stream: 0, writer: 0, reserved: 0 };
const NO_DEVICE: DeviceInfo = DeviceInfo { name: [0; NAME_MAX], ipa: 0, size: 0, intid: 0, reserved: 0 };

/// That of domain `index`, whose image ends at `image_end`; the modules are still to come.
pub fn of(found: &Found<'_>, index: usize, image_end: u64, free: &[MemoryInfo]) -> BootInfo {
    let manifest = found.manifest;
    let domain = &manifest.domains[index];
    let mut info = BootInfo {
        magic: BOOTINFO_MAGIC,
        domain: index as u32,
        domains: manifest.domains.len() as u32,
        name: domain.name,
        memory_size: domain.memory.size,
        image_end,
        counter_hz: found.hz,
        run: manifest.run,
        entropy: [0; 32],
        restarts: 0,
        domain_names: [[0; NAME_MAX]; DOMAINS_MAX],
        channels: [NO_CHANNEL; CHANNELS_MAX],
        modules: [ModuleInfo { name: [0; NAME_MAX], ipa: 0, size: 0 }; MODULES_MAX],
        devices: [NO_DEVICE; DEVICES_MAX],
        untyped: [MemoryInfo::default(); UNTYPED_MAX],
        partitions: [PartitionInfo::default(); DOMAINS_MAX],
    };
    if domain.entropy {
        let mut hasher = blake3::Hasher::new_derive_key("tetrarch 2026 entropy of a domain");
        hasher.update(found.secret).update(&(index as u64).to_le_bytes());
        info.entropy = *hasher.finalize().as_bytes();
    }
    info.domain_names.iter_mut().zip(&manifest.domains).for_each(|(n, d)| *n = d.name);
    channels(&mut info, manifest, index);
    for (i, (row, d)) in info.devices.iter_mut().zip(&domain.devices).enumerate() {
        let ipa = DEVICE_IPA + i as u64 * DEVICE_STRIDE;
        *row = DeviceInfo { name: d.name, ipa, size: d.frame.size, intid: d.intid, reserved: 0 };
    }
    if domain.manages {
        info.untyped.iter_mut().zip(free).for_each(|(row, range)| *row = *range);
        // Whoever builds them: it seals each on its core.
        info.partitions.iter_mut().zip(partitions(manifest)).for_each(|(row, part)| *row = part);
    }
    info
}

fn channels(info: &mut BootInfo, manifest: &Manifest, index: usize) {
    for (row, c) in info.channels.iter_mut().zip(&manifest.channels) {
        let role = if c.writer == index {
            ROLE_WRITER
        } else if c.reads(index) {
            ROLE_READER
        } else {
            ROLE_NONE
        };
        // A channel that is not this domain's still has its name and writer, but no address.
        let (ipa, size) = if role == ROLE_NONE { (0, 0) } else { (manifest.channel_ipa(c), c.frames.size) };
        let stream = u32::from(c.kind == ChannelKind::Stream);
        *row = ChannelInfo { name: c.name, ipa, size, role, stream, writer: c.writer as u32, reserved: 0 };
    }
}

/// What the root task must know of the partitions.
fn partitions(manifest: &Manifest) -> impl Iterator<Item = PartitionInfo> + '_ {
    manifest.domains.iter().map(|d| {
        let Range { base, size } = d.memory;
        let memory =
            if is_built_above(manifest, d) { MemoryInfo { base, size } } else { MemoryInfo::default() };
        PartitionInfo { image: d.image, memory, core: d.core, mib: (size >> 20) as u32 }
    })
}
