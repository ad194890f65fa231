//! A thread that looks for its outermost place, an instruction at a time.

use super::Kernel;
use crate::faults::Fault;
use crate::machine::{Machine, Trap};
use crate::outermost::store_exclusive;
use crate::process::{Place, Wanted};
use crate::space::{EXECUTE, WRITE};

/// Steps between two looks at the log.
const STEPS: u32 = 256;

impl<M: Machine> Kernel<M> {
    pub(super) fn searches(&self, serial: u64) -> bool {
        let process = self.state.as_ref().and_then(|s| s.processes.get(&serial));
        process.is_some_and(|p| p.search.is_some())
    }

    /// Takes some steps of a thread that searches.
    pub(super) fn step_on(&mut self, serial: u64) {
        for _ in 0..STEPS {
            let place = self.place(serial);
            let mut interrupted = false;
            if !self.store_exclusively(serial) {
                let Some(base) = self.tables(serial) else { return self.out_of_frames(serial) };
                let user = &mut self.state.as_mut().expect("Boot was taken").process_mut(serial).user;
                match self.machine.enter(user, base, super::SLICE_US, true) {
                    Trap::Interrupt => interrupted = true,
                    Trap::Exception(esr, far) => self.exception(serial, esr, far),
                }
            }
            if !self.searches(serial) {
                return;
            }
            let (sp, pc) = self.place(serial);
            if interrupted && (sp, pc) == place {
                return;
            }
            let there = |search: &mut crate::outermost::Search| search.step(sp, pc);
            if self.state().process_mut(serial).search.as_mut().is_some_and(there) {
                return self.enter_handlers(serial);
            }
        }
    }

    fn place(&mut self, serial: u64) -> (u64, u64) {
        let user = &self.state().process(serial).user;
        (user.sp, user.pc)
    }

    /// The place was found.
    fn enter_handlers(&mut self, serial: u64) {
        if let Some(missing) = self.state().enter_handlers(serial) {
            self.want(serial, Wanted::Growth(missing));
        }
        self.state().carry_out_wakes();
        self.drain();
    }

    /// A thread that searches stands before what takes a turn: its handlers begin there.
    pub(super) fn end_search(&mut self, serial: u64) {
        if self.searches(serial) {
            self.state().enter_handlers(serial);
            self.state().carry_out_wakes();
            self.drain();
        }
    }

    /// An outside thread that stands before what takes a turn asks to rejoin, once.
    pub(super) fn ask_to_rejoin(&mut self, serial: u64) {
        let Some(p) = self.state().processes.get_mut(&serial) else { return };
        if let Place::Outside(call, false) = p.place
            && p.wanted != Wanted::Nothing
        {
            p.place = Place::Outside(call, true);
            self.machine.post(&abi::vote::Vote::Rejoin { thread: serial, call });
        }
    }

    /// Carries out a store-exclusive, as a success: the step's own exception would have cleared the monitor. `false`: it is another
    /// instruction, or none that can be fetched.
    fn store_exclusively(&mut self, serial: u64) -> bool {
        let (_, pc) = self.place(serial);
        let space = self.state().space(serial);
        let mut word = [0; 4];
        let fetched = pc % 4 == 0 && space.allowed(pc, EXECUTE).is_ok() && space.get(pc, &mut word).is_ok();
        let Some(store) = store_exclusive(u32::from_le_bytes(word)).filter(|_| fetched) else { return false };
        let user = &self.state().process(serial).user;
        let va = user.x.get(store.base).copied().unwrap_or(user.sp);
        let mut data = alloc::vec::Vec::new();
        for register in [Some(store.data.0), store.data.1].into_iter().flatten() {
            let value = user.x.get(register).copied().unwrap_or(0);
            data.extend_from_slice(&value.to_le_bytes()[..store.size]);
        }
        if !va.is_multiple_of(data.len() as u64) {
            self.want(serial, Wanted::Fault(Fault { signal: 7, code: 1, address: va, far: va }));
            return true;
        }
        match self.resolve(serial, va, WRITE) {
            Ok(Some(_)) => {
                let written = self.state().space(serial).put(va, &data).is_ok();
                let user = &mut self.state().process_mut(serial).user;
                if let Some(status) = user.x.get_mut(store.status) {
                    *status = u64::from(!written);
                }
                user.pc += 4;
            }
            Ok(None) => self.want(serial, Wanted::Growth(va)),
            Err(trouble) => self.want(serial, Wanted::Fault(Fault::of(trouble, va))),
        }
        true
    }
}
