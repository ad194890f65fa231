//! What the kernel says: effects, promises, and which calls were made.

use super::Kernel;
use crate::machine::Machine;
use abi::digest::{Digest, effect_digest};
use abi::vote::{EffectKind, Vote};
use alloc::vec::Vec;

/// What was said.
#[derive(Default)]
pub struct Speech {
    /// Effects posted.
    pub effects: u64,
    /// All calls below this number are known to be made.
    said: u64,
    /// When the first call that is not was made.
    unsaid_since_us: u64,
    /// The call that was promised not to be made.
    pub promised: Option<u64>,
    /// Fault on demand.
    pub lies: bool,
}

impl Speech {
    /// Of a kernel that begins behind so many calls and effects.
    pub fn begin_at(&mut self, calls: u64, effects: u64) {
        (self.said, self.effects) = (calls, effects);
    }
}

impl<M: Machine> Kernel<M> {
    /// An effect of the call that is made.
    pub(crate) fn effect(&mut self, kind: EffectKind, payload: &[u8]) {
        let (n, call) = (self.speech.effects, self.turns.calls());
        let mut payload: Vec<u8> = payload.to_vec();
        if let Some(first) = payload.first_mut().filter(|_| self.speech.lies) {
            *first = !*first;
        }
        let digest = effect_digest(n, call, kind, &payload);
        self.machine.post(&Vote::Effect { n, call, kind, digest, payload: &payload });
        self.speech.effects += 1;
        self.speech.said = call + 1;
    }

    /// A call was made; `late`: its thread ran long before it.
    pub(super) fn call_made(&mut self, call: u64, late: bool) {
        if self.speech.said == call {
            self.speech.unsaid_since_us = self.machine.now_us();
        }
        if late {
            self.took(call);
        }
    }

    fn took(&mut self, call: u64) {
        if self.speech.said <= call {
            self.machine.post(&Vote::Took { call });
            self.speech.said = call + 1;
        }
    }

    /// No call stays unsaid for too long, nor while the kernel waits.
    pub(super) fn say_calls(&mut self, waiting: bool) {
        let calls = self.turns.calls();
        if self.speech.said >= calls || self.over {
            return;
        }
        if waiting || self.machine.now_us() - self.speech.unsaid_since_us > self.stuck_us / 2 {
            self.took(calls - 1);
        }
    }

    pub(super) fn promise(&mut self) {
        let call = self.turns.calls();
        self.speech.promised = Some(call);
        self.speech.said = call.max(self.speech.said);
        self.machine.post(&Vote::Stuck { call });
    }

    pub(super) fn passed(&mut self, s: u64, state: Option<Digest>, runnable: bool, deadline_us: u64) {
        let (call, effects) = (self.turns.calls(), self.speech.effects);
        self.speech.said = call;
        self.machine.post(&Vote::Passed { s, call, effects, runnable, deadline_us, state });
    }
}
