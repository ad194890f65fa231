//! The state's records, carried out.

use super::Kernel;
use crate::machine::Machine;
use crate::process::{Place, Wanted};
use crate::records::Record;
use crate::shadow::Shadow;
use abi::digest::effect_digest;
use abi::monitor::{CallRow, Counter, State as Doing, ThreadRow};
use abi::vote::{EffectKind, Vote};
use alloc::rc::Rc;
use core::cell::RefCell;

impl<M: Machine> Kernel<M> {
    /// Carries out what the state recorded.
    pub(super) fn drain(&mut self) {
        let records = core::mem::take(&mut self.state().records);
        for record in records {
            match record {
                Record::Called { call, serial, number, result } => {
                    if let Some(m) = self.machine.monitor() {
                        m.add_call(CallRow { call, serial, number, result });
                    }
                }
                Record::Forked { spaces: Some((old, new)), .. } => self.fork_tables(old, new),
                Record::Forked { .. } => {}
                Record::Dropped(space) => self.drop_tables(space),
                Record::Ended { .. } | Record::Halted => {}
                Record::Effect { call, kind, payload } => self.effect(call, kind, payload),
            }
        }
    }

    fn effect(&mut self, call: u64, kind: EffectKind, mut payload: alloc::vec::Vec<u8>) {
        let n = self.effects;
        self.effects += 1;
        if self.lies
            && let Some(first) = payload.first_mut()
        {
            *first = !*first;
        }
        let digest = effect_digest(n, call, kind, &payload);
        self.machine.post(&Vote::Effect { n, call, kind, digest, payload: &payload });
        self.counts[Counter::Effects as usize] = self.effects;
    }

    fn fork_tables(&mut self, old: u64, new: u64) {
        self.refresh(old);
        let Some(parent) = self.shadows.get(&old).cloned() else { return };
        let Some(asid) = self.new_asid() else { return };
        let child = parent.borrow_mut().fork(asid);
        let own = parent.borrow().asid;
        self.machine.flush(own, None);
        match child {
            Some(tables) => self.shadows.insert_mut(new, Rc::new(RefCell::new(tables))),
            None => self.free_asid(asid),
        }
    }

    pub(super) fn drop_tables(&mut self, space: u64) {
        if let Some(tables) = self.shadows.get(&space).cloned() {
            self.shadows.remove_mut(&space);
            self.free_asid(tables.borrow().asid);
        }
    }

    pub(super) fn new_asid(&mut self) -> Option<u16> {
        let free = self.asids.iter().position(|used| !used)?;
        self.asids[free] = true;
        Some(free as u16 + 1)
    }

    fn free_asid(&mut self, asid: u16) {
        self.machine.flush(asid, None);
        if let Some(used) = self.asids.get_mut(usize::from(asid) - 1) {
            *used = false;
        }
    }

    /// The tables of a space, made if there are none.
    pub(super) fn shadow(&mut self, space: u64) -> Option<Rc<RefCell<Shadow>>> {
        if let Some(tables) = self.shadows.get(&space) {
            return Some(tables.clone());
        }
        let asid = self.new_asid()?;
        let Some(tables) = Shadow::new(&self.pool, asid) else {
            self.free_asid(asid);
            return None;
        };
        let tables = Rc::new(RefCell::new(tables));
        self.shadows.insert_mut(space, tables.clone());
        Some(tables)
    }

    /// Tells the monitor where everything stands.
    pub(super) fn tell_monitor(&mut self) {
        let Some(state) = &self.state else { return };
        self.counts[Counter::Frames as usize] = self.pool.used();
        let Some(m) = self.machine.monitor() else { return };
        m.set_progress(state.call, state.sync, state.round.front().copied().unwrap_or(0));
        for counter in [
            Counter::Private,
            Counter::Repaired,
            Counter::Switches,
            Counter::Interrupts,
            Counter::Effects,
            Counter::Frames,
        ] {
            m.count(counter, self.counts[counter as usize]);
        }
        let mut rows = 0;
        for p in state.processes.values().take(abi::monitor::THREADS_MAX) {
            let doing = match (&p.place, &p.wanted) {
                (Place::Zombie, _) => Doing::Zombie,
                (Place::Stopped(_), _) => Doing::Stopped,
                (Place::Waiting(_), _) => Doing::Waits,
                (Place::Outside(..), _) => Doing::Outside,
                (Place::Round, Wanted::Nothing) => Doing::Runs,
                (Place::Round, _) => Doing::Wants,
            };
            let number = match &p.wanted {
                Wanted::Call { number, .. } => *number as u16,
                _ => u16::MAX,
            };
            let mut name = [0; 8];
            name.iter_mut().zip(&p.name).for_each(|(to, from)| *to = *from);
            let (pc, sp) = (p.user.pc, p.user.sp);
            m.set_thread(
                rows,
                ThreadRow { serial: p.serial, pid: p.pid, state: doing as u8, number, pc, sp, name },
            );
            rows += 1;
        }
        if rows < abi::monitor::THREADS_MAX {
            m.set_thread(rows, ThreadRow::default());
        }
    }
}
