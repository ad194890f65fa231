//! What a person, or the verdicts, may want to know of a replica.

use crate::wire::{Kind, Malformed};
use crate::{Digest, ReplicaId};
use core::fmt;

/// Something happened. Displays as one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`Display` says what each means")]
pub enum Note {
    Malformed { from: ReplicaId, error: Malformed },
    Spoofed { from: ReplicaId, as_: ReplicaId },
    BadAuthenticator { sender: ReplicaId, kind: Kind },
    Equivocates { sender: ReplicaId, kind: Kind, view: u64, sequence: u64 },
    InvalidProposal { primary: ReplicaId, view: u64, sequence: u64 },
    BadViewChange { sender: ReplicaId, view: u64 },
    BadNewView { primary: ReplicaId, view: u64 },
    LeavesView { view: u64, wanted: u64 },
    BeganView { view: u64, base: u64, last: u64 },
    Stable { sequence: u64 },
    Diverged { sequence: u64, own: Digest, quorum: Digest },
    Fetches { sequence: u64 },
    Restored { sequence: u64 },
    BadState { sequence: u64 },
    BeganEpoch { epoch: u64, sequence: u64 },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Note::Malformed { from, error } => write!(f, "replica {from}'s ring holds no message: {error:?}"),
            Note::Spoofed { from, as_ } => write!(f, "replica {from} speaks in the name of {as_}"),
            Note::BadAuthenticator { sender, kind } => {
                write!(f, "a {kind:?} of replica {sender} has a wrong authenticator")
            }
            Note::Equivocates { sender, kind, view, sequence } => {
                write!(f, "replica {sender} sent two different {kind:?} for number {sequence} in view {view}")
            }
            Note::InvalidProposal { primary, view, sequence } => {
                write!(
                    f,
                    "primary {primary} of view {view} proposes as number {sequence} what no correct one does"
                )
            }
            Note::BadViewChange { sender, view } => {
                write!(f, "replica {sender}'s change to view {view} cannot be")
            }
            Note::BadNewView { primary, view } => {
                write!(f, "primary {primary} begins view {view} without the right to")
            }
            Note::LeavesView { view, wanted } => write!(f, "leaves view {view} for {wanted}"),
            Note::BeganView { view, base, last } => {
                write!(f, "is in view {view}: state {base}, then {} numbers proposed again", last - base)
            }
            Note::Stable { sequence } => write!(f, "checkpoint {sequence} is stable"),
            Note::Diverged { sequence, .. } => write!(f, "its state after {sequence} is not the quorum's"),
            Note::Fetches { sequence } => write!(f, "is behind and asks for the state after {sequence}"),
            Note::Restored { sequence } => write!(f, "goes on from the state after {sequence}"),
            Note::BadState { sequence } => {
                write!(f, "cannot read the state after {sequence} that others vouch for")
            }
            Note::BeganEpoch { epoch, sequence } => write!(f, "epoch {epoch} begins after {sequence}"),
        }
    }
}
