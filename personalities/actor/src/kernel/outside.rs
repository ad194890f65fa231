//! Signals of threads outside the round ("Signals" in the turn rule): those that end or stop take effect at once; a handler begins before a call that
//! waits to rejoin, or at the outermost place of the loop that the thread is in, which is found by single steps.

use super::{Kernel, Want};
use crate::bytes::u32_at;
use crate::machine::{Machine, Trap};
use crate::process::{Action, Delivery, Info};
use crate::turns::{Place, Serial};
use abi::turn::OUTERMOST_STEPS;
use alloc::vec::Vec;

/// A handler that has its place still to come, with the mask that its frame keeps.
type Waiting = (Info, Action, u64);

/// The search for the outermost place.
#[derive(Debug)]
pub(super) struct Stepping {
    handlers: Vec<Waiting>,
    left: u32,
    /// Highest stack pointer and, of its places, the lowest pc.
    best: (u64, u64),
    /// The place is known; the thread has to come to it again.
    found: bool,
}

impl Stepping {
    fn see(&mut self, sp: u64, pc: u64) {
        if sp > self.best.0 || sp == self.best.0 && pc < self.best.1 {
            self.best = (sp, pc);
        }
    }

    /// The thread stands at a place; whether the handler begins here.
    fn arrives(&mut self, sp: u64, pc: u64) -> bool {
        if !self.found {
            self.see(sp, pc);
            if self.left > 0 {
                return false;
            }
            (self.found, self.left) = (true, OUTERMOST_STEPS);
        }
        self.left == 0 || self.best == (sp, pc)
    }
}

impl<M: Machine> Kernel<M> {
    /// Signals of a thread that is outside the round take effect.
    pub(super) fn signal_outside(&mut self, me: Serial) {
        while matches!(self.turns.place(me), Some(Place::Outside { .. })) {
            let Some(delivery) = self.processes.take(me) else { return };
            match delivery {
                Delivery::End(status) => return self.end(me, status),
                Delivery::Stop(signal) => {
                    self.processes.stop(me, signal, &mut self.post);
                    return self.turns.stop(me);
                }
                Delivery::Handler(info, action) => self.handler_outside(me, info, action),
            }
        }
    }

    fn handler_outside(&mut self, me: Serial, info: Info, action: Action) {
        let Ok(p) = self.processes.get_mut(me) else { return };
        p.unagreed = true;
        let old = p.signals.enter_handler(info.signal, &action);
        let Some(t) = self.threads.get_mut(&me) else { return };
        t.digest_due = None;
        let place = (t.user.sp, t.user.pc);
        match &mut t.stepping {
            Some(s) => s.handlers.push((info, action, old)),
            None => {
                let handlers = alloc::vec![(info, action, old)];
                t.stepping = Some(Stepping { handlers, left: OUTERMOST_STEPS, best: place, found: false });
            }
        }
        if t.want != Want::Run {
            self.begin_handlers(me);
        }
    }

    /// The search is over: the handlers begin where the thread stands.
    fn begin_handlers(&mut self, me: Serial) {
        let Some(t) = self.threads.get_mut(&me) else { return };
        let Some(stepping) = t.stepping.take() else { return };
        if t.want == Want::Call {
            t.user.pc -= 4;
        }
        t.want = Want::Run;
        self.memory.leave_turn();
        for (info, action, old) in stepping.handlers {
            self.push_frame(me, info, action, old);
        }
        self.memory.return_to_turn();
    }

    /// After a program ran: one step of a search, if there is one.
    pub(super) fn stepped(&mut self, me: Serial, trap: Trap) {
        let Some(t) = self.threads.get_mut(&me) else { return };
        let Some(s) = &mut t.stepping else { return };
        if trap == Trap::Interrupt {
            return;
        }
        if t.want != Want::Run {
            return self.begin_handlers(me);
        }
        s.left = s.left.saturating_sub(1);
        if s.arrives(t.user.sp, t.user.pc) {
            self.begin_handlers(me);
        }
    }

    /// Whether a thread that steps stands before an rt_sigreturn, where its search ends.
    pub(super) fn search_ends_at(&self, me: Serial, number: u64) -> bool {
        number == abi::linux::nr::rt_sigreturn && self.threads.get(&me).is_some_and(|t| t.stepping.is_some())
    }

    /// Carries out a store-exclusive of a thread that steps, as a success: a step clears the monitor, so it would never succeed.
    pub(super) fn store_exclusive(&mut self, me: Serial) -> bool {
        let Some(t) = self.threads.get_mut(&me).filter(|t| t.stepping.is_some()) else { return false };
        let mut bytes = [0; 4];
        if self.memory.read(t.space, t.user.pc, &mut bytes).is_err() {
            return false;
        }
        let code = u32_at(&bytes, 0);
        // Load/store exclusive with L = 0 and o2 = 0: STXR, STLXR, STXP, STLXP.
        if code & 0x3fc0_0000 != 0x0800_0000 {
            return false;
        }
        let register = |at: u32| (code >> at & 31) as usize;
        let value = |n: usize| if n == 31 { 0 } else { t.user.x[n] };
        let (rt, rn, rt2, rs) = (register(0), register(5), register(10), register(16));
        let size = 1usize << (code >> 30);
        let mut out = value(rt).to_le_bytes()[..size].to_vec();
        if code & 1 << 21 != 0 {
            out.extend_from_slice(&value(rt2).to_le_bytes()[..size]);
        }
        let at = if rn == 31 { t.user.sp } else { t.user.x[rn] };
        if !at.is_multiple_of(out.len() as u64) || self.memory.write(t.space, at, &out).is_err() {
            return false;
        }
        if rs != 31 {
            t.user.x[rs] = 0;
        }
        t.user.pc += 4;
        true
    }
}
