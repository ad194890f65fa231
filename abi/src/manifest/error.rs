//! What can be wrong with a manifest, in one line each: which node, what is wrong, what to do.

use super::{COMPATIBLE, MEMORY_ALIGN, MEMORY_SIZE_MAX, Range};
use crate::bootinfo::{CHANNELS_SIZE, NAME_MAX};
use core::fmt;
use heapless::String;

/// A node's path, cut at 48 bytes.
pub type Path = String<48>;
/// What was found instead, cut at 24 bytes.
pub type Found = String<24>;

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
    UnknownProperty(Found),
    /// No node of this name belongs here.
    UnknownNode(Found),
    /// A property is absent.
    MissingProperty(&'static str),
    /// A property has another type; what it should be.
    BadValue(&'static str, &'static str),
    /// A name is longer than [`NAME_MAX`] or empty.
    BadName(Found),
    /// Two nodes have this name.
    DuplicateName,
    /// More of these than this.
    TooMany(&'static str, usize),
    /// `/cpus` has no such core.
    NoSuchCore(u32),
    /// Memory starts or ends off a 2 MiB boundary, or is empty, or larger than [`MEMORY_SIZE_MAX`].
    Unaligned(Range),
    /// Memory is not RAM of this machine.
    NotRam(Range),
    /// Memory overlaps this.
    Overlap(Range, Found),
    /// No partition has this name.
    NoSuchPartition(&'static str, Found),
    /// A channel's writer is also its reader.
    ReadsItself(Found),
    /// A stream with other than one reader.
    StreamReaders(usize),
    /// Channel size is not a multiple of 4096, below 8192, or above what all channels have together.
    ChannelSize(u64),
    /// Channels do not fit into `channels/memory`.
    ChannelMemory(u64),
    /// A phandle that names no device with one `reg`.
    BadDevice,
    /// The device belongs to this partition already.
    DeviceTaken(Found),
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
            Problem::Incompatible => {
                write!(f, "compatible is not \"{COMPATIBLE}\"; write it, or use a matching EL2")
            }
            Problem::UnknownProperty(p) => {
                write!(f, "property `{p}` is unknown here; remove it or correct its spelling")
            }
            Problem::UnknownNode(n) => {
                write!(f, "node `{n}` is unknown here; remove it or correct its spelling")
            }
            Problem::MissingProperty(p) => write!(f, "property `{p}` is missing; add it"),
            Problem::BadValue(p, want) => write!(f, "property `{p}` has a bad value; write {want}"),
            Problem::BadName(n) => write!(f, "`{n}` is no name of 1 to {NAME_MAX} bytes; choose another"),
            Problem::DuplicateName => write!(f, "a second node of this name; rename one"),
            Problem::TooMany(what, max) => write!(f, "more than {max} {what}; remove some"),
            Problem::NoSuchCore(c) => write!(f, "core {c} is not in /cpus; choose one that is"),
            Problem::Unaligned(r) => write!(
                f,
                "memory {:#x}+{:#x} is not 1 to {} blocks of 2 MiB; align address and size",
                r.base,
                r.size,
                MEMORY_SIZE_MAX / MEMORY_ALIGN
            ),
            Problem::NotRam(r) => {
                write!(
                    f,
                    "memory {:#x}+{:#x} is not RAM of this machine; choose within /memory",
                    r.base, r.size
                )
            }
            Problem::Overlap(r, what) => {
                write!(f, "memory {:#x}+{:#x} overlaps `{what}`; move one of them", r.base, r.size)
            }
            Problem::NoSuchPartition(p, n) => write!(f, "{p} `{n}` is no partition; correct the name"),
            Problem::ReadsItself(n) => write!(f, "`{n}` would read what it writes; remove it from readers"),
            Problem::StreamReaders(n) => {
                write!(f, "a stream has one reader, not {n}; make it broadcast or split it")
            }
            Problem::ChannelSize(s) => {
                write!(f, "size {s:#x} is no multiple of 0x1000 from 0x2000 to {CHANNELS_SIZE:#x}; change it")
            }
            Problem::ChannelMemory(n) => {
                write!(
                    f,
                    "channels/memory is {n:#x} bytes short of this channel; enlarge it or shrink channels"
                )
            }
            Problem::BadDevice => {
                write!(f, "`devices` holds a phandle that is no node with one reg of whole pages; correct it")
            }
            Problem::DeviceTaken(p) => {
                write!(f, "a device of it belongs to `{p}` already; a device has one owner")
            }
            Problem::ServicesOnly(p) => write!(f, "`{p}` is for services only; remove it"),
            Problem::Quorum(q, v) => write!(f, "quorum {q} with {v} voters; choose 1 to {v}"),
            Problem::NoSeed => {
                write!(f, "entropy wanted, but /chosen/rng-seed has no 32 bytes; add a seed to the tree")
            }
        }
    }
}
