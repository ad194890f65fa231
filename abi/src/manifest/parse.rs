//! From the tree to the structs: every check of `docs/manifest.md`.

use super::error::{ManifestError, Problem};
use super::reader::{Here, be32, be64, path};
use super::*;
use crate::bootinfo::{CHANNELS_SIZE, Iteration, KERNELS_MAX, SparePolicy, name_from};
use fdt::{Fdt, node::FdtNode};

impl Manifest {
    /// Types `/tetrarch` of `tree`. `reserved` is what partitions must leave alone (EL2's image, bundle, tree).
    pub fn parse(tree: &Fdt<'_>, reserved: &[Reserved<'_>]) -> Result<Self, ManifestError> {
        let Some(node) = tree.find_node("/tetrarch") else {
            return Err(ManifestError { node: path(&["/tetrarch"]), problem: Problem::MissingNode });
        };
        let top = Here { node, path: path(&["/tetrarch"]) };
        if top.string("compatible") != Ok(COMPATIBLE) {
            return top.fail(Problem::Incompatible);
        }
        top.only(&["compatible"])?;
        top.only_nodes(&["run", "program", "partitions", "channels"])?;
        let run = parse_run(&top.need_child("run")?)?;
        let partitions = top.need_child("partitions")?;
        let channels = top.need_child("channels")?;
        let mut manifest = Manifest {
            run,
            domains: Vec::new(),
            channel_memory: channels.range("memory")?,
            channels: Vec::new(),
        };
        manifest.parse_partitions(tree, &partitions, reserved)?;
        manifest.parse_channels(tree, &partitions, &channels, reserved)?;
        let voters = manifest.run.voters.count_ones();
        if manifest.run.quorum == QUORUM_BY_NUMBER {
            manifest.run.quorum = quorum_of(voters).max(1);
        }
        if manifest.run.quorum == 0 || (voters > 0 && manifest.run.quorum > voters) {
            return top.need_child("run")?.fail(Problem::Quorum(manifest.run.quorum, voters));
        }
        Ok(manifest)
    }

    fn parse_partitions(
        &mut self,
        tree: &Fdt<'_>,
        here: &Here<'_, '_>,
        reserved: &[Reserved<'_>],
    ) -> Result<(), ManifestError> {
        here.only(&[])?;
        for node in here.node.children() {
            let at = here.child(node);
            let name = at.name(node.name)?;
            let status = if node.property("status").is_some() { at.string("status")? } else { "okay" };
            match status {
                "okay" => {}
                "disabled" => continue,
                _ => return at.fail(Problem::BadValue("status", "\"okay\" or \"disabled\"")),
            }
            let domain = self.parse_domain(tree, &at, name, reserved)?;
            if domain.kind == DomainKind::Personality {
                let bit = 1 << self.domains.len();
                *(if domain.cold { &mut self.run.cold } else { &mut self.run.voters }) |= bit;
            }
            if self.run.kernels().count_ones() > KERNELS_MAX as u32 {
                return here.fail(Problem::TooMany("personalities", KERNELS_MAX));
            }
            if self.domains.push(domain).is_err() {
                return here.fail(Problem::TooMany("partitions", DOMAINS_MAX));
            }
        }
        Ok(())
    }

    fn parse_domain(
        &self,
        tree: &Fdt<'_>,
        at: &Here<'_, '_>,
        name: Name,
        reserved: &[Reserved<'_>],
    ) -> Result<Domain, ManifestError> {
        at.only(&[
            "kind", "image", "core", "memory", "devices", "modules", "entropy", "manages", "builds", "cold",
            "status",
        ])?;
        at.only_nodes(&[])?;
        if self.find(name_str(&name)).is_some() {
            return at.fail(Problem::DuplicateName);
        }
        let kind = match at.string("kind")? {
            "service" => DomainKind::Service,
            "personality" => DomainKind::Personality,
            _ => return at.fail(Problem::BadValue("kind", "\"service\" or \"personality\"")),
        };
        let image = at.name(at.string("image")?)?;
        let core = at.u32("core")?;
        if !tree.cpus().any(|c| c.ids().first() == core as usize) {
            return at.fail(Problem::NoSuchCore(core));
        }
        let memory = at.range("memory")?;
        let whole = memory.base.is_multiple_of(MEMORY_ALIGN) && memory.size.is_multiple_of(MEMORY_ALIGN);
        if !whole || memory.size == 0 || memory.size > MEMORY_SIZE_MAX {
            return at.fail(Problem::Unaligned(memory));
        }
        self.check_memory(tree, at, memory, reserved)?;
        let mut modules = Vec::new();
        if at.node.property("modules").is_some() {
            for m in at.strings("modules")? {
                if modules.push(at.name(m)?).is_err() {
                    return at.fail(Problem::TooMany("modules", MODULES_MAX));
                }
            }
        }
        let entropy = at.flag("entropy")?;
        if entropy && seed(tree).is_none() {
            return at.fail(Problem::NoSeed);
        }
        let manages = at.flag("manages")?;
        if manages && kind != DomainKind::Service {
            return at.fail(Problem::ServicesOnly("manages"));
        }
        let builds = at.flag("builds")?;
        if builds && !manages {
            return at.fail(Problem::BadValue("builds", "together with `manages`"));
        }
        let cold = at.flag("cold")?;
        if cold && kind != DomainKind::Personality {
            return at.fail(Problem::BadValue("cold", "on a personality"));
        }
        let devices = self.parse_devices(tree, at, kind)?;
        Ok(Domain { name, kind, image, core, memory, devices, modules, entropy, manages, builds, cold })
    }

    /// Memory must be RAM and nobody else's.
    fn check_memory(
        &self,
        tree: &Fdt<'_>,
        at: &Here<'_, '_>,
        memory: Range,
        reserved: &[Reserved<'_>],
    ) -> Result<(), ManifestError> {
        if memory.base.checked_add(memory.size).is_none() || !ram(tree).any(|r| r.contains(&memory)) {
            return at.fail(Problem::NotRam(memory));
        }
        let domains = self.domains.iter().map(|d| (d.name(), d.memory));
        match domains.chain(reserved.iter().copied()).find(|(_, r)| r.overlaps(&memory)) {
            Some((what, _)) => at.fail(Problem::Overlap(memory, path(&[what]))),
            None => Ok(()),
        }
    }

    fn parse_devices(
        &self,
        tree: &Fdt<'_>,
        at: &Here<'_, '_>,
        kind: DomainKind,
    ) -> Result<Vec<Device, DEVICES_MAX>, ManifestError> {
        let mut devices = Vec::new();
        let Some(list) = at.node.property("devices") else { return Ok(devices) };
        if kind != DomainKind::Service {
            return at.fail(Problem::ServicesOnly("devices"));
        }
        if list.value.is_empty() || !list.value.len().is_multiple_of(4) {
            return at.fail(Problem::BadValue("devices", "phandles: <&uart1>"));
        }
        for phandle in (0..list.value.len()).step_by(4).filter_map(|i| be32(list.value, i)) {
            let Some(device) = tree.find_phandle(phandle).and_then(device) else {
                return at.fail(Problem::BadDevice);
            };
            if let Some(d) =
                self.domains.iter().find(|d| d.devices.iter().any(|o| o.frame.overlaps(&device.frame)))
            {
                return at.fail(Problem::DeviceTaken(path(&[d.name()])));
            }
            if devices.push(device).is_err() {
                return at.fail(Problem::TooMany("devices", DEVICES_MAX));
            }
        }
        Ok(devices)
    }

    fn parse_channels(
        &mut self,
        tree: &Fdt<'_>,
        partitions: &Here<'_, '_>,
        here: &Here<'_, '_>,
        reserved: &[Reserved<'_>],
    ) -> Result<(), ManifestError> {
        here.only(&["memory"])?;
        let memory = self.channel_memory;
        if !memory.base.is_multiple_of(4096) || !memory.size.is_multiple_of(4096) {
            return here.fail(Problem::BadValue("memory", "whole pages of 4096 bytes"));
        }
        if memory.size > CHANNELS_SIZE {
            return here
                .fail(Problem::BadValue("memory", "at most 512 MiB, which is where domains see them"));
        }
        if memory.size > 0 {
            self.check_memory(tree, here, memory, reserved)?;
        }
        let mut next = memory.base;
        for node in here.node.children() {
            let Some(mut channel) = self.parse_channel(partitions, &here.child(node))? else { continue };
            channel.frames.base = next;
            next = channel.frames.end();
            if next > memory.end() {
                return here.child(node).fail(Problem::ChannelMemory(next - memory.end()));
            }
            if self.channels.push(channel).is_err() {
                return here.fail(Problem::TooMany("channels", CHANNELS_MAX));
            }
        }
        Ok(())
    }

    /// One channel, without its address; `None` when its writer is disabled.
    fn parse_channel(
        &self,
        partitions: &Here<'_, '_>,
        at: &Here<'_, '_>,
    ) -> Result<Option<Channel>, ManifestError> {
        at.only(&["type", "size", "writer", "readers"])?;
        at.only_nodes(&[])?;
        let name = at.name(at.node.name)?;
        let kind = match at.string("type")? {
            "broadcast" => ChannelKind::Broadcast,
            "stream" => ChannelKind::Stream,
            _ => return at.fail(Problem::BadValue("type", "\"broadcast\" or \"stream\"")),
        };
        let size = u64::from(at.u32("size")?);
        if !size.is_multiple_of(4096) || !(8192..=CHANNELS_SIZE).contains(&size) {
            return at.fail(Problem::ChannelSize(size));
        }
        // Some(None): the partition exists, but is disabled.
        let lookup = |role: &'static str, n: &str| match (
            self.find(n),
            partitions.node.children().any(|c| c.name == n),
        ) {
            (Some(d), _) => Ok(Some(d)),
            (None, true) => Ok(None),
            (None, false) => at.fail(Problem::NoSuchPartition(role, path(&[n]))),
        };
        let writer_name = at.string("writer")?;
        let writer = lookup("writer", writer_name)?;
        let (mut readers, mut named) = (0, 0);
        for r in at.strings("readers")? {
            named += 1;
            if r == writer_name {
                return at.fail(Problem::ReadsItself(path(&[r])));
            }
            if let Some(d) = lookup("reader", r)? {
                readers |= 1 << d;
            }
        }
        if kind == ChannelKind::Stream && named != 1 {
            return at.fail(Problem::StreamReaders(named));
        }
        Ok(writer.map(|writer| Channel { name, kind, frames: Range { base: 0, size }, writer, readers }))
    }
}

/// No quorum in the manifest; [`quorum_of`] the voters then.
const QUORUM_BY_NUMBER: u32 = u32::MAX;

/// Without `hang-ms`: more than a busy host takes from an emulated core.
const HANG_MS: u32 = 10_000;

/// What tolerates one liar, of three or more; of fewer all.
const fn quorum_of(voters: u32) -> u32 {
    if voters >= 3 { voters - 1 } else { voters }
}

fn parse_run(at: &Here<'_, '_>) -> Result<RunParameters, ManifestError> {
    at.only(&[
        "quorum",
        "grace-ms",
        "stuck-ms",
        "hang-ms",
        "digest-interval",
        "snapshot-interval",
        "start-time-us",
        "iteration",
        "spare",
    ])?;
    at.only_nodes(&[])?;
    let iteration = match at.node.property("iteration") {
        None => Iteration::default(),
        Some(_) => match Iteration::named(at.string("iteration")?) {
            Some(iteration) => iteration,
            None => {
                return at.fail(Problem::BadValue(
                    "iteration",
                    "\"rotate\", \"re-execute\", \"refresh\" or \"none\"",
                ));
            }
        },
    };
    let spare = match at.node.property("spare") {
        None => SparePolicy::default(),
        Some(_) => match SparePolicy::named(at.string("spare")?) {
            Some(spare) => spare,
            None => {
                return at.fail(Problem::BadValue("spare", "\"after-attempts\", \"first\" or \"manual\""));
            }
        },
    };
    let start_time_us = match at.node.property("start-time-us") {
        None => 0,
        Some(p) => match (be64(p.value, 0), p.value.len()) {
            (Some(us), 8) => us,
            _ => return at.fail(Problem::BadValue("start-time-us", "two cells, or /bits/ 64 <number>")),
        },
    };
    let optional = |name| at.node.property(name).map(|_| at.u32(name)).transpose();
    Ok(RunParameters {
        voters: 0,
        cold: 0,
        quorum: if at.node.property("quorum").is_some() { at.u32("quorum")? } else { QUORUM_BY_NUMBER },
        grace_ms: at.u32("grace-ms")?,
        stuck_ms: at.u32("stuck-ms")?,
        digest_interval: at.u32("digest-interval")?,
        start_time_us,
        iteration: iteration as u32,
        snapshot_interval: optional("snapshot-interval")?.unwrap_or(0),
        hang_ms: optional("hang-ms")?.unwrap_or(HANG_MS),
        spare: spare as u32,
    })
}

/// The ranges of RAM.
fn ram<'t>(tree: &'t Fdt<'_>) -> impl Iterator<Item = Range> + 't {
    let nodes = tree.find_node("/").into_iter().flat_map(|root| root.children());
    nodes
        .filter(|n| n.name == "memory" || n.name.starts_with("memory@"))
        .filter_map(|n| n.reg())
        .flatten()
        .map(|r| Range { base: r.starting_address as u64, size: r.size.unwrap_or(0) as u64 })
}

/// The first 32 bytes of `/chosen/rng-seed`, or of `/chosen/tetrarch,fixed-seed` if there is one: QEMU fills the former afresh at each
/// start, whatever the tree says.
pub fn seed<'a>(tree: &Fdt<'a>) -> Option<&'a [u8]> {
    let chosen = tree.find_node("/chosen")?;
    let seed = fixed_seed(tree).or_else(|| Some(chosen.property("rng-seed")?.value))?;
    seed.get(..32)
}

/// A seed that somebody chose: a run's chance repeats, and its secrets are none.
pub fn fixed_seed<'a>(tree: &Fdt<'a>) -> Option<&'a [u8]> {
    Some(tree.find_node("/chosen")?.property("tetrarch,fixed-seed")?.value)
}

/// The frame and interrupt of a device's node.
fn device(node: FdtNode<'_, '_>) -> Option<Device> {
    let reg = node.reg()?.next()?;
    let frame = Range { base: reg.starting_address as u64, size: reg.size? as u64 };
    let whole = frame.base.is_multiple_of(4096) && frame.size.is_multiple_of(4096) && frame.size > 0;
    if !whole || frame.size > crate::bootinfo::DEVICE_STRIDE {
        return None;
    }
    // GICv2 binding: type 0 is an SPI (INTID number + 32); PPIs belong to cores, not to services.
    let intid = match node.property("interrupts") {
        None => 0,
        Some(p) if be32(p.value, 0) == Some(0) => be32(p.value, 4)?.checked_add(32).filter(|&i| i < 1020)?,
        Some(_) => return None,
    };
    let name = name_from(node.name.split('@').next()?)?;
    Some(Device { name, frame, intid })
}
