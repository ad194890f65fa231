//! Cores and scheduling contexts: time, shared out as memory is.
//!
//! Neither is ever copied: shares add up because each is in one slot, as in seL4 memory adds up because Untypeds do not overlap.
//! A context's state lies in its slot; the domain that runs on it knows the slot, and Move keeps that so.

use crate::cap::Cap;
use crate::domain::State;
use crate::error::{Error, ErrorKind};
use crate::faults::Fault;
use crate::layout::domain;
use crate::memory::{Memory, Slot};
use crate::plan::Plan;
use crate::rights::Rights;
use crate::store::{Store, UTILISATION_ONE};
use crate::words::{self, kind};

/// Longest period, microseconds.
pub const PERIOD_MAX_US: u64 = 1 << 40;

/// The share of a core that a budget in a period is, rounded up.
pub const fn share(budget_us: u64, period_us: u64) -> u64 {
    match period_us {
        0 => 0,
        period => (budget_us * UTILISATION_ONE).div_ceil(period),
    }
}

/// Budget and period, checked; `argument` is the budget.
fn checked(budget_us: u64, period_us: u64, argument: u8) -> Result<u64, Error> {
    if period_us == 0 || period_us > PERIOD_MAX_US {
        return Err(ErrorKind::RangeError.of(argument + 1));
    }
    if budget_us == 0 || budget_us > period_us {
        return Err(ErrorKind::RangeError.of(argument));
    }
    Ok(share(budget_us, period_us))
}

impl<M: Memory> Store<M> {
    /// The share of the context in a slot.
    pub(crate) fn share_of(&self, slot: Slot) -> u64 {
        share(self.word(slot.0, words::DATA), self.word(slot.0, words::PERIOD))
    }

    /// Carve: budget, period, destination root, index, depth.
    pub(crate) fn decode_carve(&self, caller: u64, core: Slot, args: [u64; 5]) -> Result<Plan, Error> {
        let [budget_us, period_us, root, index, depth] = args;
        let root = self.lookup_full(caller, root, 3)?;
        let slot = self.lookup_empty(root, index, depth, 4)?;
        self.plan_carve(core, budget_us, period_us, slot)
    }

    /// The same with the slot found; gates come in here.
    pub(crate) fn plan_carve(
        &self,
        core: Slot,
        budget_us: u64,
        period_us: u64,
        slot: Slot,
    ) -> Result<Plan, Error> {
        let head = self.head(core);
        if !head.is(kind::CORE) || head.small() != self.core {
            return Err(ErrorKind::InvalidCapability.of(0));
        }
        let share = checked(budget_us, period_us, 1)?;
        if self.utilisation + share > UTILISATION_ONE && !self.seeded(Fault::CoreOvercommits) {
            return Err(ErrorKind::NotEnoughMemory.of(0));
        }
        Ok(Plan::Carve { core, slot, budget_us, period_us })
    }

    pub(crate) fn carve(&mut self, core: Slot, slot: Slot, budget_us: u64, period_us: u64) {
        self.utilisation += share(budget_us, period_us);
        self.insert_leaf(core, slot, Cap::SchedContext { budget_us, period_us, domain: 0 });
    }

    /// Configure of a context: a share no larger than it has. More is the core's holder's to give.
    pub(crate) fn decode_reshare(&self, slot: Slot, budget_us: u64, period_us: u64) -> Result<Plan, Error> {
        let share = checked(budget_us, period_us, 1)?;
        if share > self.share_of(slot) {
            return Err(ErrorKind::RangeError.of(1));
        }
        Ok(Plan::Reshare { slot, budget_us, period_us })
    }

    pub(crate) fn reshare(&mut self, slot: Slot, budget_us: u64, period_us: u64) {
        self.return_share(slot);
        self.utilisation += share(budget_us, period_us);
        self.set_word(slot.0, words::DATA, budget_us);
        self.set_word(slot.0, words::PERIOD, period_us);
    }

    /// The share of the context in a slot can be given out again.
    pub(crate) fn return_share(&mut self, slot: Slot) {
        self.utilisation = self.utilisation.saturating_sub(self.share_of(slot));
    }

    /// Bind of a context: the address of a domain. One context runs one domain.
    pub(crate) fn decode_bind_context(&self, caller: u64, slot: Slot, address: u64) -> Result<Plan, Error> {
        let at = self.object(self.lookup_kind(caller, address, 1, kind::DOMAIN, Rights::NONE)?);
        if self.object(slot) != 0 {
            return Err(ErrorKind::IllegalOperation.of(0));
        }
        if self.word(at, domain::CONTEXT) != 0 {
            return Err(ErrorKind::IllegalOperation.of(1));
        }
        Ok(Plan::BindContext { slot, at })
    }

    pub(crate) fn bind_context(&mut self, slot: Slot, at: u64) {
        self.set_word(slot.0, words::OBJECT, at);
        self.set_word(at, domain::CONTEXT, slot.0);
        if self.domain_state(at) == State::Running {
            self.memory.woken(at);
        }
    }

    /// Budget and period of the context that a domain runs on, microseconds.
    pub fn domain_time(&self, at: u64) -> Option<(u64, u64)> {
        let slot = self.word(at, domain::CONTEXT);
        (slot != 0).then(|| (self.word(slot, words::DATA), self.word(slot, words::PERIOD)))
    }

    /// The domain runs on no context any more.
    pub(crate) fn unbind_context(&mut self, at: u64) {
        let slot = self.word(at, domain::CONTEXT);
        if slot != 0 {
            self.set_word(slot, words::OBJECT, 0);
            self.set_word(at, domain::CONTEXT, 0);
        }
    }
}
