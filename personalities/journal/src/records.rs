//! The kernel's own journal: what happened, in order. The state makes records; the shell around it (`kernel.rs`) posts those that concern the
//! outside, and counts the rest.

use abi::vote::EffectKind;
use alloc::vec::Vec;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A call took effect, or what a signal made of it; `number` is `u16::MAX` for a fault.
    Called {
        /// Its number in the system.
        call: u64,
        /// Who.
        serial: u64,
        /// Linux' number.
        number: u16,
        /// x0 afterwards.
        result: u64,
    },
    /// A process was forked; it shares the parent's space (vfork) or has a copy.
    Forked {
        /// Parent.
        parent: u64,
        /// Child.
        child: u64,
        /// The space that was copied and the copy.
        spaces: Option<(u64, u64)>,
    },
    /// A space is no more.
    Dropped(u64),
    /// A process ended.
    Ended {
        /// Who.
        serial: u64,
        /// Its pid.
        pid: u32,
        /// Its wait status.
        status: i32,
    },
    /// An external effect.
    Effect {
        /// The call that caused it.
        call: u64,
        /// Its kind.
        kind: EffectKind,
        /// Its bytes.
        payload: Vec<u8>,
    },
    /// The system ended.
    Halted,
}
