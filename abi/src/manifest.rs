//! The manifest of partitions and channels, typed: `/tetrarch` of the device tree as plain structs, or one line that names the
//! node, what is wrong with it, and what to do. The schema is `docs/manifest.md`.
//!
//! All checks are here, so that what builds the partitions (EL2) performs and cannot fail half-way, and so that the host's
//! tools refuse the same trees with the same words. An unknown property is a mistake rather than ignored: a misspelt
//! `entropy` would otherwise start a domain without its secret.

use crate::bootinfo::{
    CHANNEL_STRIDE, CHANNELS_MAX, DEVICES_MAX, DOMAINS_MAX, MODULES_MAX, NAME_MAX, Name, RunParameters, name_from,
    name_str,
};
use core::fmt;
use fdt::{Fdt, node::FdtNode};
use heapless::{String, Vec};

/// The value of `/tetrarch/compatible`.
pub const COMPATIBLE: &str = "tetrarch,manifest-1";
/// Alignment of a domain's memory, bytes: a block of stage 2.
pub const MEMORY_ALIGN: u64 = 2 << 20;
/// Largest domain memory, bytes: what lies between [`crate::bootinfo::MEMORY_IPA`] and [`crate::bootinfo::MODULE_IPA`].
pub const MEMORY_SIZE_MAX: u64 = crate::bootinfo::MODULE_IPA - crate::bootinfo::MEMORY_IPA;

/// Physical addresses `base .. base + size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// First address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
}

impl Range {
    /// First address behind the range, saturating.
    pub fn end(&self) -> u64 {
        self.base.saturating_add(self.size)
    }

    /// Whether both have an address in common.
    pub fn overlaps(&self, other: &Range) -> bool {
        self.base < other.end() && other.base < self.end()
    }

    /// Whether `other` lies wholly in this range.
    pub fn contains(&self, other: &Range) -> bool {
        other.base >= self.base && other.end() <= self.end()
    }
}

/// A range that no partition may touch, and what is there.
pub type Reserved<'a> = (&'a str, Range);

/// What runs in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DomainKind {
    /// A flat domain at EL0.
    Service,
    /// A kernel at EL1, which votes.
    Personality,
}

/// A device frame of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Node name without the unit address.
    pub name: Name,
    /// Its registers.
    pub frame: Range,
    /// Its interrupt; 0 for none.
    pub intid: u32,
}

/// One partition.
#[derive(Clone, Debug)]
pub struct Domain {
    /// Its name.
    pub name: Name,
    /// What it is.
    pub kind: DomainKind,
    /// Its entry in the bundle.
    pub image: Name,
    /// The core it runs on (`reg` of a node in `/cpus`).
    pub core: u32,
    /// Its memory.
    pub memory: Range,
    /// Its devices.
    pub devices: Vec<Device, DEVICES_MAX>,
    /// Bundle modules that it reads.
    pub modules: Vec<Name, MODULES_MAX>,
    /// It gets secret random bytes.
    pub entropy: bool,
    /// It may inject faults and turn the machine off.
    pub manages: bool,
}

impl Domain {
    /// The name as text.
    pub fn name(&self) -> &str {
        name_str(&self.name)
    }
}

/// How a channel flows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelKind {
    /// Any number of readers; the writer never waits.
    Broadcast,
    /// One reader with back pressure.
    Stream,
}

/// One channel.
#[derive(Clone, Copy, Debug)]
pub struct Channel {
    /// Its name.
    pub name: Name,
    /// How it flows.
    pub kind: ChannelKind,
    /// Its pages.
    pub frames: Range,
    /// Domain that writes.
    pub writer: usize,
    /// Bit d set: domain d reads.
    pub readers: u32,
}

impl Channel {
    /// Whether domain `d` reads.
    pub fn reads(&self, d: usize) -> bool {
        d < DOMAINS_MAX && self.readers >> d & 1 == 1
    }
}

/// The whole manifest.
#[derive(Clone, Debug)]
pub struct Manifest {
    /// Numbers of the run; `voters` are the personalities.
    pub run: RunParameters,
    /// Partitions that are not disabled, by index.
    pub domains: Vec<Domain, DOMAINS_MAX>,
    /// Where channels lie.
    pub channel_memory: Range,
    /// Channels whose writer is not disabled, by index.
    pub channels: Vec<Channel, CHANNELS_MAX>,
}

/// A node's path, cut at 64 bytes.
pub type Path = String<64>;

/// A mistake: where, and what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestError {
    /// The node.
    pub node: Path,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What can be wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// The node is absent.
    MissingNode,
    /// `compatible` is not [`COMPATIBLE`].
    Incompatible,
    /// No property of this name belongs here.
    UnknownProperty(Path),
    /// No node of this name belongs here.
    UnknownNode(Path),
    /// A property is absent.
    MissingProperty(&'static str),
    /// A property has another type; what it should be.
    BadValue(&'static str, &'static str),
    /// A name is longer than [`NAME_MAX`] or empty.
    BadName(Path),
    /// Two nodes have this name.
    DuplicateName,
    /// More of these than this.
    TooMany(&'static str, usize),
    /// `/cpus` has no such core.
    NoSuchCore(u32),
    /// A personality shares its core with this partition.
    SharedCore(u32, Path),
    /// Memory starts or ends off a 2 MiB boundary, or is empty, or larger than [`MEMORY_SIZE_MAX`].
    Unaligned(Range),
    /// Memory is not RAM of this machine.
    NotRam(Range),
    /// Memory overlaps this.
    Overlap(Range, Path),
    /// No partition has this name.
    NoSuchPartition(&'static str, Path),
    /// A channel's writer is also its reader.
    ReadsItself(Path),
    /// A stream with other than one reader.
    StreamReaders(usize),
    /// Channel size is not a multiple of 4096, below 8192, or above 16 MiB.
    ChannelSize(u64),
    /// Channels do not fit into `channels/memory`.
    ChannelMemory(u64),
    /// A phandle that names no device with one `reg`.
    BadDevice,
    /// The device belongs to this partition already.
    DeviceTaken(Path),
    /// Devices or entropy where they cannot be.
    ServicesOnly(&'static str),
    /// Quorum against number of voters.
    Quorum(u32, u32),
    /// `entropy` without `/chosen/rng-seed`.
    NoSeed,
}

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "manifest: {}: ", self.node)?;
        match &self.problem {
            Problem::MissingNode => write!(f, "the node is missing; add it (docs/manifest.md)"),
            Problem::Incompatible => write!(f, "compatible is not \"{COMPATIBLE}\"; write it, or use a matching EL2"),
            Problem::UnknownProperty(p) => write!(f, "property `{p}` is unknown here; remove it or correct its spelling"),
            Problem::UnknownNode(n) => write!(f, "node `{n}` is unknown here; remove it or correct its spelling"),
            Problem::MissingProperty(p) => write!(f, "property `{p}` is missing; add it"),
            Problem::BadValue(p, want) => write!(f, "property `{p}` has a bad value; write {want}"),
            Problem::BadName(n) => write!(f, "`{n}` is no name of 1 to {NAME_MAX} bytes; choose another"),
            Problem::DuplicateName => write!(f, "a second node of this name; rename one"),
            Problem::TooMany(what, max) => write!(f, "more than {max} {what}; remove some"),
            Problem::NoSuchCore(c) => write!(f, "core {c} is not in /cpus; choose one that is"),
            Problem::SharedCore(c, p) => {
                write!(f, "core {c} is shared with `{p}`, but a personality has its core alone; choose another")
            }
            Problem::Unaligned(r) => write!(
                f,
                "memory {:#x}+{:#x} is not 1 to {} blocks of 2 MiB; align address and size",
                r.base,
                r.size,
                MEMORY_SIZE_MAX / MEMORY_ALIGN
            ),
            Problem::NotRam(r) => {
                write!(f, "memory {:#x}+{:#x} is not RAM of this machine; choose within /memory", r.base, r.size)
            }
            Problem::Overlap(r, what) => {
                write!(f, "memory {:#x}+{:#x} overlaps `{what}`; move one of them", r.base, r.size)
            }
            Problem::NoSuchPartition(p, n) => write!(f, "{p} `{n}` is no partition; correct the name"),
            Problem::ReadsItself(n) => write!(f, "`{n}` would read what it writes; remove it from readers"),
            Problem::StreamReaders(n) => write!(f, "a stream has one reader, not {n}; make it broadcast or split it"),
            Problem::ChannelSize(s) => {
                write!(f, "size {s:#x} is no multiple of 0x1000 from 0x2000 to {CHANNEL_STRIDE:#x}; change it")
            }
            Problem::ChannelMemory(n) => {
                write!(f, "channels/memory is {n:#x} bytes short of this channel; enlarge it or shrink channels")
            }
            Problem::BadDevice => write!(f, "`devices` holds a phandle that is no node with one reg of whole pages; correct it"),
            Problem::DeviceTaken(p) => write!(f, "a device of it belongs to `{p}` already; a device has one owner"),
            Problem::ServicesOnly(p) => write!(f, "`{p}` is for services only; remove it"),
            Problem::Quorum(q, v) => write!(f, "quorum {q} with {v} voters; choose 1 to {v}"),
            Problem::NoSeed => write!(f, "entropy wanted, but /chosen/rng-seed has no 32 bytes; add a seed to the tree"),
        }
    }
}

fn path(parts: &[&str]) -> Path {
    let mut p = Path::new();
    for c in parts.iter().flat_map(|s| s.chars()) {
        if p.push(c).is_err() {
            break;
        }
    }
    p
}

/// A node with its path: every check speaks through it.
struct Here<'b, 'a> {
    node: FdtNode<'b, 'a>,
    path: Path,
}

impl<'b, 'a: 'b> Here<'b, 'a> {
    fn fail<T>(&self, problem: Problem) -> Result<T, ManifestError> {
        Err(ManifestError { node: self.path.clone(), problem })
    }

    fn child(&self, node: FdtNode<'b, 'a>) -> Here<'b, 'a> {
        Here { node, path: path(&[&self.path, "/", node.name]) }
    }

    fn need_child(&self, name: &str) -> Result<Here<'b, 'a>, ManifestError> {
        match self.node.children().find(|n| n.name == name) {
            Some(n) => Ok(self.child(n)),
            None => Err(ManifestError { node: path(&[&self.path, "/", name]), problem: Problem::MissingNode }),
        }
    }

    fn only(&self, properties: &[&str]) -> Result<(), ManifestError> {
        // dtc gives a `phandle` to any node that something refers to.
        match self.node.properties().find(|p| p.name != "phandle" && !properties.contains(&p.name)) {
            Some(p) => self.fail(Problem::UnknownProperty(path(&[p.name]))),
            None => Ok(()),
        }
    }

    fn only_nodes(&self, names: &[&str]) -> Result<(), ManifestError> {
        match self.node.children().find(|n| !names.contains(&n.name)) {
            Some(n) => self.fail(Problem::UnknownNode(path(&[n.name]))),
            None => Ok(()),
        }
    }

    fn bytes(&self, name: &'static str) -> Result<&'a [u8], ManifestError> {
        match self.node.property(name) {
            Some(p) => Ok(p.value),
            None => self.fail(Problem::MissingProperty(name)),
        }
    }

    fn u32(&self, name: &'static str) -> Result<u32, ManifestError> {
        match self.bytes(name)?.try_into() {
            Ok(b) => Ok(u32::from_be_bytes(b)),
            Err(_) => self.fail(Problem::BadValue(name, "one cell: <number>")),
        }
    }

    fn range(&self, name: &'static str) -> Result<Range, ManifestError> {
        let b = self.bytes(name)?;
        match (be64(b, 0), be64(b, 8), b.len()) {
            (Some(base), Some(size), 16) => Ok(Range { base, size }),
            _ => self.fail(Problem::BadValue(name, "address and size, two cells each: <0x0 0x50000000 0x0 0x01000000>")),
        }
    }

    fn strings(&self, name: &'static str) -> Result<impl Iterator<Item = &'a str> + use<'a>, ManifestError> {
        let text = self.bytes(name)?.strip_suffix(&[0]).and_then(|b| core::str::from_utf8(b).ok());
        match text {
            Some(t) => Ok(t.split('\0')),
            None => self.fail(Problem::BadValue(name, "strings: \"a\", \"b\"")),
        }
    }

    fn string(&self, name: &'static str) -> Result<&'a str, ManifestError> {
        let mut all = self.strings(name)?;
        match (all.next(), all.next()) {
            (Some(s), None) => Ok(s),
            _ => self.fail(Problem::BadValue(name, "one string")),
        }
    }

    fn name(&self, s: &str) -> Result<Name, ManifestError> {
        match name_from(s) {
            Some(n) if !s.is_empty() => Ok(n),
            _ => self.fail(Problem::BadName(path(&[s]))),
        }
    }

    fn flag(&self, name: &'static str) -> Result<bool, ManifestError> {
        match self.node.property(name) {
            None => Ok(false),
            Some(p) if p.value.is_empty() => Ok(true),
            Some(_) => self.fail(Problem::BadValue(name, "nothing: a flag has no value")),
        }
    }
}

fn be64(b: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(b.get(at..at + 8)?.try_into().ok()?))
}

fn be32(b: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(b.get(at..at + 4)?.try_into().ok()?))
}

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
        let mut manifest =
            Manifest { run, domains: Vec::new(), channel_memory: channels.range("memory")?, channels: Vec::new() };
        manifest.parse_partitions(tree, &partitions, reserved)?;
        manifest.parse_channels(tree, &partitions, &channels, reserved)?;
        let voters = manifest.run.voters.count_ones();
        if manifest.run.quorum == 0 || (voters > 0 && manifest.run.quorum > voters) {
            return top.need_child("run")?.fail(Problem::Quorum(manifest.run.quorum, voters));
        }
        Ok(manifest)
    }

    /// The index of the partition `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.domains.iter().position(|d| d.name() == name)
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
                self.run.voters |= 1 << self.domains.len();
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
        at.only(&["kind", "image", "core", "memory", "devices", "modules", "entropy", "manages", "status"])?;
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
        let personality = DomainKind::Personality;
        let shares = |d: &&Domain| d.core == core && (kind == personality || d.kind == personality);
        if let Some(other) = self.domains.iter().find(shares) {
            return at.fail(Problem::SharedCore(core, path(&[other.name()])));
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
        let devices = self.parse_devices(tree, at, kind)?;
        Ok(Domain { name, kind, image, core, memory, devices, modules, entropy, manages })
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
            if let Some(d) = self.domains.iter().find(|d| d.devices.iter().any(|o| o.frame.overlaps(&device.frame))) {
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
    fn parse_channel(&self, partitions: &Here<'_, '_>, at: &Here<'_, '_>) -> Result<Option<Channel>, ManifestError> {
        at.only(&["type", "size", "writer", "readers"])?;
        at.only_nodes(&[])?;
        let name = at.name(at.node.name)?;
        let kind = match at.string("type")? {
            "broadcast" => ChannelKind::Broadcast,
            "stream" => ChannelKind::Stream,
            _ => return at.fail(Problem::BadValue("type", "\"broadcast\" or \"stream\"")),
        };
        let size = u64::from(at.u32("size")?);
        if !size.is_multiple_of(4096) || !(8192..=CHANNEL_STRIDE).contains(&size) {
            return at.fail(Problem::ChannelSize(size));
        }
        // Some(None): the partition exists, but is disabled.
        let lookup = |role: &'static str, n: &str| match (self.find(n), partitions.node.children().any(|c| c.name == n)) {
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

fn parse_run(at: &Here<'_, '_>) -> Result<RunParameters, ManifestError> {
    at.only(&["quorum", "grace-ms", "stuck-ms", "digest-interval", "start-time-us"])?;
    at.only_nodes(&[])?;
    let start_time_us = match at.node.property("start-time-us") {
        None => 0,
        Some(p) => match (be64(p.value, 0), p.value.len()) {
            (Some(us), 8) => us,
            _ => return at.fail(Problem::BadValue("start-time-us", "two cells, or /bits/ 64 <number>")),
        },
    };
    Ok(RunParameters {
        voters: 0,
        quorum: at.u32("quorum")?,
        grace_ms: at.u32("grace-ms")?,
        stuck_ms: at.u32("stuck-ms")?,
        digest_interval: at.u32("digest-interval")?,
        start_time_us,
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

/// The first 32 bytes of `/chosen/rng-seed`.
pub fn seed<'a>(tree: &Fdt<'a>) -> Option<&'a [u8]> {
    tree.find_node("/chosen")?.property("rng-seed")?.value.get(..32)
}

/// The frame and interrupt of a device's node.
fn device(node: FdtNode<'_, '_>) -> Option<Device> {
    let reg = node.reg()?.next()?;
    let frame = Range { base: reg.starting_address as u64, size: reg.size? as u64 };
    let whole = frame.base.is_multiple_of(4096) && frame.size.is_multiple_of(4096) && frame.size > 0;
    // A service finds the frame at its own address, below the boot page.
    if !whole || frame.end() > crate::bootinfo::BOOTINFO_IPA {
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

#[cfg(test)]
#[path = "manifest_test.rs"]
mod test;
