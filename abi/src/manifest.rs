//! The manifest of partitions and channels, typed: `/tetrarch` of the device tree as plain structs, or one line that names the
//! node, what is wrong with it, and what to do. The schema is `docs/manifest.md`.
//!
//! All checks are here, so that what builds the partitions (EL2) performs and cannot fail half-way, and so that the host's
//! tools refuse the same trees with the same words. An unknown property is a mistake rather than ignored: a misspelt
//! `entropy` would otherwise start a domain without its secret.

mod error;
mod parse;
mod reader;

pub use error::{Found, ManifestError, Path, Problem};
pub use parse::{fixed_seed, seed};

use crate::bootinfo::{
    CHANNEL_IPA, CHANNELS_MAX, DEVICES_MAX, DOMAINS_MAX, MODULES_MAX, Name, RunParameters, name_str,
};
use heapless::Vec;

/// The value of `/tetrarch/compatible`.
pub const COMPATIBLE: &str = "tetrarch,manifest-1";
/// Alignment of a domain's memory, bytes: a block of stage 2.
pub const MEMORY_ALIGN: u64 = 2 << 20;
/// Largest domain memory, bytes: what lies between [`crate::bootinfo::MEMORY_IPA`] and [`crate::bootinfo::MODULE_IPA`].
pub const MEMORY_SIZE_MAX: u64 = crate::bootinfo::MODULE_IPA - crate::bootinfo::MEMORY_IPA;

/// Physical addresses `base .. base + size`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
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
    /// It builds the other partitions (`capability::root`), and they start when it says so.
    pub builds: bool,
    /// A kernel that neither runs nor votes at first.
    pub cold: bool,
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
    /// Numbers of the run; `voters` are the personalities but for those that are `cold`.
    pub run: RunParameters,
    /// Partitions that are not disabled, by index.
    pub domains: Vec<Domain, DOMAINS_MAX>,
    /// Where channels lie.
    pub channel_memory: Range,
    /// Channels whose writer is not disabled, by index.
    pub channels: Vec<Channel, CHANNELS_MAX>,
}

impl Manifest {
    /// Where those who write or read `channel` find it: channels lie there as they lie in memory.
    pub fn channel_ipa(&self, channel: &Channel) -> u64 {
        CHANNEL_IPA + (channel.frames.base - self.channel_memory.base)
    }

    /// The index of the partition `name`.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.domains.iter().position(|d| d.name() == name)
    }
}

#[cfg(test)]
mod test;
