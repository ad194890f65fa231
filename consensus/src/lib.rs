//! Byzantine agreement of four replicas on one log, and verdicts on the voters that execute it.
//!
//! The protocol is PBFT (Castro and Liskov, OSDI 1999; with its view change as in ACM TOCS 20(4), 2002). `docs/consensus.md` shows its
//! messages and names each departure. Agreement is separate from execution as in Yin et al. (SOSP 2003): the replicas here order; the
//! personalities execute, vote, and are judged by [`verdict`].
//!
//! Everything is sans-IO: what arrives and the time go in, messages and decisions come out through a trait. There is no heap and no
//! clock, and each array has a fixed bound; so the simulator, the model checker and a board run the same code.
//!
//! | module | what |
//! |---|---|
//! | [`wire`] | the fixed layout of messages |
//! | [`auth`] | who said it: keyed BLAKE3 vectors, Ed25519, nothing (for models) |
//! | [`replica`] | the protocol |
//! | [`batch`], [`inputs`], [`intake`] | what is ordered, and what waits for it |
//! | [`requests`] | the plainest application |
//! | [`line`] | the agreed log's own rules: entries of [`abi::log`] come out |
//! | [`verdict`] | votes, policies, evidence |
#![cfg_attr(not(test), no_std)]
#![cfg_attr(not(target_feature = "neon"), forbid(unsafe_code))]
#![deny(unsafe_code)] // But for NEON's intrinsics, in `auth/lanes.rs`.

pub mod auth;
pub mod batch;
mod digest;
pub mod inputs;
pub mod intake;
pub mod line;
pub mod replica;
pub mod requests;
#[cfg(feature = "seeded-bugs")]
pub mod seeded;
#[cfg(not(feature = "seeded-bugs"))]
#[allow(dead_code, reason = "the faults are only named while none can be chosen")]
mod seeded;
pub mod verdict;
pub mod wire;

pub use abi::digest::Digest;

/// Replicas: 3f + 1.
pub const REPLICAS: usize = 4;
/// Replicas that may be faulty at a time.
pub const FAULTY: usize = 1;
/// Two sets of so many replicas share a correct one.
pub const QUORUM: usize = 2 * FAULTY + 1;
/// Among so many replicas is a correct one.
pub const WEAK: usize = FAULTY + 1;

/// Time, microseconds since any fixed point; handed in, never read.
pub type Ticks = u64;
/// A replica's number, below [`REPLICAS`].
pub type ReplicaId = u8;
