//! Accesses that the tables do not know: from the map of regions to an entry, or to a signal.

use super::Kernel;
use crate::faults::Fault;
use crate::machine::Machine;
use crate::page::PAGE;
use crate::process::Wanted;
use crate::shadow::Rights;
use crate::space::{EXECUTE, TRAMPOLINE, Trouble, WRITE};
use abi::layout::TASK_SIZE;
use abi::monitor::Counter;

/// Ranges longer than that are flushed with the whole space.
const FLUSH_PAGES: u64 = 8;

impl<M: Machine> Kernel<M> {
    /// Forgets translations that a change of the space made wrong.
    pub(super) fn refresh(&mut self, space: u64) {
        let Some(s) = self.state().spaces.get_mut(&space) else { return };
        if s.stale.is_empty() {
            return;
        }
        let stale = core::mem::take(&mut s.stale);
        let Some(tables) = self.shadows.get(&space).cloned() else { return };
        let asid = tables.borrow().asid;
        for (start, end) in stale {
            if start >= end {
                continue;
            }
            tables.borrow_mut().forget(start, end);
            if (end - start) / PAGE > FLUSH_PAGES {
                self.machine.flush(asid, None);
            } else {
                (start..end).step_by(PAGE as usize).for_each(|va| self.machine.flush(asid, Some(va)));
            }
        }
    }

    /// The tables with which a thread runs; `None`: no frames.
    pub(super) fn tables(&mut self, serial: u64) -> Option<u64> {
        let space = self.state().process(serial).space;
        let tables = self.shadow(space)?;
        self.refresh(space);
        let base = tables.borrow().base();
        Some(base)
    }

    /// An access that trapped.
    pub(super) fn access(&mut self, serial: u64, va: u64, want: u8) {
        let page_at = va & !(PAGE - 1);
        if page_at == TRAMPOLINE && want != WRITE {
            let page = self.trampoline.number();
            self.map(serial, va, page, Rights { write: false, execute: true });
            return;
        }
        match self.resolve(serial, va, want) {
            Ok(Some((page, rights))) => {
                self.counts[Counter::Repaired as usize] += 1;
                self.map(serial, va, page, rights);
            }
            Ok(None) => self.want(serial, Wanted::Growth(va)),
            Err(trouble) => self.want(serial, Wanted::Fault(Fault::of(trouble, va))),
        }
    }

    /// Page and rights for an access; `None`: the stack needs a chunk first.
    pub(super) fn resolve(
        &mut self,
        serial: u64,
        va: u64,
        want: u8,
    ) -> Result<Option<(u32, Rights)>, Trouble> {
        if va >= TASK_SIZE {
            return Err(Trouble::Unmapped);
        }
        let space = self.state().space(serial);
        space.allowed(va, want)?;
        if space.growth(va).is_some() {
            return Ok(None);
        }
        space.touch(va);
        let rights = space.region(va).map_or(0, |(_, r)| r.rights);
        let execute = rights & EXECUTE != 0;
        if want == WRITE {
            let page = space.own(va)?;
            return Ok(Some((page.number(), Rights { write: true, execute })));
        }
        let page = space.page(va)?;
        Ok(Some((self.number_of(page), Rights { write: false, execute })))
    }

    fn map(&mut self, serial: u64, va: u64, page: u32, rights: Rights) {
        let space = self.state().process(serial).space;
        self.refresh(space);
        if rights.execute {
            self.machine.sync_code(page);
        }
        let Some(tables) = self.shadow(space) else { return self.out_of_frames(serial) };
        let mapped = tables.borrow_mut().map(va, page, rights);
        let asid = tables.borrow().asid;
        self.machine.flush(asid, Some(va & !(PAGE - 1)));
        if mapped.is_none() {
            self.out_of_frames(serial);
        }
    }

    /// No frame is left: tables of others are thrown away; if there are none, the process ends at its next call.
    pub(super) fn out_of_frames(&mut self, serial: u64) {
        let own = self.state().process(serial).space;
        let other = self.shadows.keys().copied().find(|s| *s != own);
        match other {
            Some(space) => self.drop_tables(space),
            None => self.want(serial, Wanted::Fault(Fault::of(Trouble::NoFrame, 0))),
        }
    }
}
