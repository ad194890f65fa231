//! Calls about signals.

use super::Arguments;
use crate::bytes::{Out as Bytes, u32_at, u64_at};
use crate::error::e;
use crate::kernel::{DONE, Flow, Kernel, Out, Restart};
use crate::machine::Machine;
use crate::process::{Action, AltStack, Info, Payload, UNBLOCKABLE, sig};
use crate::turns::Serial;
use abi::linux::nr;

const SIG_BLOCK: u32 = 0;
const SIG_UNBLOCK: u32 = 1;
const SIG_SETMASK: u32 = 2;
const SI_TKILL: i32 = -6;
pub const SS_ONSTACK: u32 = 1;
pub const SS_DISABLE: u32 = 2;
pub const SS_AUTODISARM: u32 = 1 << 31;
const MINSIGSTKSZ: u64 = 5120;

/// Whether a stack pointer stands on an alternate stack; never on one that a handler's entry turns off (SS_AUTODISARM).
pub fn on_stack(stack: &AltStack, sp: u64) -> bool {
    stack.flags & SS_AUTODISARM == 0 && sp > stack.sp && sp - stack.sp <= stack.size
}

impl<M: Machine> Kernel<M> {
    pub(super) fn signal_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::rt_sigaction => self.sigaction(me, a),
            nr::rt_sigprocmask => self.sigprocmask(me, a),
            nr::rt_sigpending => self.sigpending(me, a),
            nr::rt_sigsuspend => self.sigsuspend(me, a),
            nr::rt_sigreturn => self.sigreturn(me),
            nr::sigaltstack => self.sigaltstack(me, a),
            nr::kill => self.kill(me, a.int(0), a.0[1]),
            nr::tkill => self.tkill(me, a.int(0), a.0[1]),
            nr::tgkill if a.int(0) <= 0 || a.int(1) <= 0 => Err(e::EINVAL),
            nr::tgkill if a.int(0) != a.int(1) => Err(e::ESRCH),
            nr::tgkill => self.tkill(me, a.int(1), a.0[2]),
            _ => return None,
        })
    }

    fn sigaction(&mut self, me: Serial, a: Arguments) -> Out {
        let (signal, new_at, old_at) = (a.int(0), a.0[1], a.0[2]);
        if a.0[3] != 8 {
            return Err(e::EINVAL);
        }
        let new = match new_at {
            0 => None,
            at => {
                let raw = self.bytes_in(me, at, 32)?;
                let [handler, flags, restorer, mask] = [0, 8, 16, 24].map(|i| u64_at(&raw, i));
                Some(Action { handler, flags, restorer, mask })
            }
        };
        let signal = u8::try_from(signal).ok().filter(|s| (1..=sig::LAST).contains(s)).ok_or(e::EINVAL)?;
        if new.is_some() && matches!(signal, sig::SIGKILL | sig::SIGSTOP) {
            return Err(e::EINVAL);
        }
        let signals = &mut self.processes.get_mut(me)?.signals;
        let old = signals.action(signal);
        if let Some(action) = new {
            signals.set_action(signal, action);
        }
        if old_at != 0 {
            let mut out = Bytes::default();
            out.u64(old.handler).u64(old.flags).u64(old.restorer).u64(old.mask);
            self.bytes_out(me, old_at, &out.0)?;
        }
        DONE
    }

    fn sigprocmask(&mut self, me: Serial, a: Arguments) -> Out {
        let (how, new_at, old_at) = (a.uint(0), a.0[1], a.0[2]);
        if a.0[3] != 8 {
            return Err(e::EINVAL);
        }
        let old = self.processes.get(me)?.signals.mask;
        if new_at != 0 {
            let space = self.space_of(me)?;
            let set = self.memory.word(space, new_at)? & !UNBLOCKABLE;
            let mask = match how {
                SIG_BLOCK => old | set,
                SIG_UNBLOCK => old & !set,
                SIG_SETMASK => set,
                _ => return Err(e::EINVAL),
            };
            self.processes.get_mut(me)?.signals.mask = mask;
        }
        if old_at != 0 {
            self.bytes_out(me, old_at, &old.to_le_bytes())?;
        }
        DONE
    }

    fn sigpending(&mut self, me: Serial, a: Arguments) -> Out {
        if a.0[1] > 8 {
            return Err(e::EINVAL);
        }
        let s = &self.processes.get(me)?.signals;
        let set = (s.pending_set() & s.mask).to_le_bytes();
        self.give(me, a.0[0], &set[..a.0[1] as usize])
    }

    fn sigsuspend(&mut self, me: Serial, a: Arguments) -> Out {
        if a.0[1] != 8 {
            return Err(e::EINVAL);
        }
        let space = self.space_of(me)?;
        let mask = self.memory.word(space, a.0[0])?;
        let s = &mut self.processes.get_mut(me)?.signals;
        if s.saved_mask.is_none() {
            s.saved_mask = Some(s.mask);
            s.mask = mask & !UNBLOCKABLE;
        }
        Ok(Flow::Block { things: Default::default(), deadline_us: None, restart: Restart::Never })
    }

    fn kill(&mut self, me: Serial, pid: i32, signal: u64) -> Out {
        let signal = signal as u32;
        // As Linux 6.1: the number is looked at once it is known that somebody is meant.
        let targets = self.processes.targets(me, pid)?;
        if signal > u32::from(sig::LAST) {
            return Err(e::EINVAL);
        }
        let info = Info::user(signal as u8, self.processes.get(me)?.pid);
        for target in targets {
            if signal != 0 {
                self.processes.generate(target, info, &mut self.post);
            }
        }
        DONE
    }

    fn tkill(&mut self, me: Serial, tid: i32, signal: u64) -> Out {
        if tid <= 0 {
            return Err(e::EINVAL);
        }
        let target = self.processes.by_pid(tid as u32)?.serial;
        if signal as u32 > u32::from(sig::LAST) {
            return Err(e::EINVAL);
        }
        if signal as u32 != 0 {
            let payload = Payload::Sender { pid: self.processes.get(me)?.pid };
            let info = Info { signal: signal as u8, code: SI_TKILL, payload };
            self.processes.generate(target, info, &mut self.post);
        }
        DONE
    }

    fn sigaltstack(&mut self, me: Serial, a: Arguments) -> Out {
        let sp = self.thread(me)?.user.sp;
        let new = match a.0[0] {
            0 => None,
            at => Some(self.bytes_in(me, at, 24)?),
        };
        let old = self.processes.get(me)?.signals.stack;
        if let Some(raw) = new {
            let stack = AltStack { sp: u64_at(&raw, 0), flags: u32_at(&raw, 8), size: u64_at(&raw, 16) };
            self.set_stack(me, stack, sp)?;
        }
        if a.0[1] != 0 {
            let state = match () {
                _ if old.size == 0 => SS_DISABLE,
                _ if on_stack(&old, sp) => SS_ONSTACK,
                _ => 0,
            };
            let mut out = Bytes::default();
            out.u64(old.sp).u32(state | old.flags & SS_AUTODISARM).u32(0).u64(old.size);
            self.bytes_out(me, a.0[1], &out.0)?;
        }
        DONE
    }

    /// Takes an alternate stack, as sigaltstack and rt_sigreturn do.
    pub(super) fn set_stack(&mut self, me: Serial, mut stack: AltStack, sp: u64) -> crate::error::Res {
        let signals = &mut self.processes.get_mut(me)?.signals;
        if on_stack(&signals.stack, sp) {
            return Err(e::EPERM);
        }
        match stack.flags & !SS_AUTODISARM {
            SS_DISABLE => (stack.sp, stack.size) = (0, 0),
            0 | SS_ONSTACK if stack.size < MINSIGSTKSZ => return Err(e::ENOMEM),
            0 | SS_ONSTACK => {}
            _ => return Err(e::EINVAL),
        }
        signals.stack = stack;
        Ok(())
    }
}
