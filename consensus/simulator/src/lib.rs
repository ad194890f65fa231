//! Whole clusters of the consensus core in one process: virtual time, hostile network, hostile replica; a seed replays all.
//!
//! The idea is FoundationDB's and TigerBeetle's: the code under test does no I/O, so a world can be put round it in which everything that
//! may happen does, often. Safety is checked after each step ([`oracle`]), liveness after the calm. A run that fails is shrunk
//! to the misfortunes it needs and told as a story.
#![forbid(unsafe_code)]

pub mod adversary;
pub mod cluster;
pub mod oracle;
pub mod plan;
pub mod rng;
pub mod shrink;
pub mod world;

use consensus::auth::Null;
use consensus::line::Line;
use consensus::replica::Replica;

/// Sequence numbers in the window: small, so that its edges are met often.
pub const W: usize = 8;
/// Bytes of the longest message.
pub const M: usize = 4096;
/// The application.
pub type Log = Line<'static, 2, 64, 512>;
/// A replica of the simulation.
pub type Node = Replica<Null, Log, W, M>;
