//! The spare: a kernel that is held cold (`abi::bootinfo::DomainState::Cold`).

use crate::Manager;
use abi::bootinfo::DomainState;

impl Manager {
    /// Whether EL2 holds `domain` cold.
    pub(crate) fn is_cold(&self, domain: u32) -> bool {
        let status = self.rows.get(domain as usize).and_then(|r| r.status);
        status.is_some_and(|s| s.state == DomainState::Cold as u16)
    }

    /// The kernels that are held cold, a bit a domain.
    pub(crate) fn cold(&self) -> u64 {
        let kernels = (0..self.config.domains).filter(|d| self.voter(*d) && self.is_cold(*d));
        kernels.fold(0, |mask, d| mask | 1u64.checked_shl(d).unwrap_or(0))
    }
}
