//! Touching a page: what a fault, or a copy by the kernel, finds at an address.

use super::{Area, Budget, Kind, MemoryError, Page, Space};
use crate::machine::{Machine, Rights, Shown};
use abi::layout::PAGE;

/// What is at an address for one kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The access is allowed; the page tables show it.
    Fine,
    /// Nothing is mapped there: SIGSEGV, SEGV_MAPERR.
    Nothing,
    /// Something is, without that right: SIGSEGV, SEGV_ACCERR.
    Denied,
    /// It lies beyond its file's end: SIGBUS.
    Beyond,
    /// The stack grows there by a further chunk: a call.
    NeedsTurn,
}

impl Space {
    /// Sees to it that `address` can be accessed with `needs`, growing the stack if that is what it takes.
    pub fn touch<M: Machine>(
        &mut self,
        m: &mut M,
        budget: &mut Budget,
        address: u64,
        needs: Rights,
    ) -> Touch {
        if self.find(address).is_none() {
            match self.grow_stack(m, budget, address) {
                Ok(true) => {}
                Ok(false) | Err(MemoryError::Errno(_)) => return Touch::Nothing,
                Err(MemoryError::NeedsTurn) => return Touch::NeedsTurn,
            }
        }
        let Some(area) = self.find(address) else { return Touch::Nothing };
        let rights = area.rights.effective();
        if !rights.has(needs) {
            return Touch::Denied;
        }
        let page = address & !(PAGE - 1);
        let shown = match area.page(address) {
            Page::Beyond => return Touch::Beyond,
            Page::Untouched => Shown::Zero,
            other => match other.shown(rights) {
                Some(shown) => shown,
                None => return Touch::Denied,
            },
        };
        // Mapping what is mapped already costs little and makes this the one place that repairs a table.
        if m.map(self.tables, page, shown, rights).is_err() {
            return Touch::Nothing;
        }
        Touch::Fine
    }

    /// Grows the stack down to the page of `address`; false: that is no place for a stack.
    fn grow_stack<M: Machine>(
        &mut self,
        m: &mut M,
        budget: &mut Budget,
        address: u64,
    ) -> Result<bool, MemoryError> {
        if address < self.stack_limit() || address >= self.stack_top {
            return Ok(false);
        }
        let Some(index) = self.areas.iter().position(|a| a.kind == Kind::Stack && a.start > address) else {
            return Ok(false);
        };
        let lowest = self.areas[index].start;
        let rights = self.areas[index].rights;
        let start = address & !(PAGE - 1);
        if !self.is_free(start, lowest) {
            return Ok(false);
        }
        let pages = (lowest - start) / PAGE;
        self.charge = budget.raise(self.charge, self.charged_pages() + pages)?;
        let mut area = Area::new(start, lowest, rights, Kind::Stack);
        area.charged = true;
        self.insert(m, area)?;
        Ok(true)
    }
}
