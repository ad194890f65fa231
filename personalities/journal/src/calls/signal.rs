//! Calls on signals.

use super::{Args, Outcome, ok};
use crate::errno::*;
use crate::process::Wait;
use crate::signals::{AUTODISARM, Action, Effect, Info, UNBLOCKABLE, bit, number::*};
use crate::state::State;
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

const SI_USER: i32 = 0;
const SI_TKILL: i32 = -6;
const ALTERNATE_MIN: u64 = 5120;
const DISABLE: u32 = 2;
/// SA_ flags that Linux keeps (UAPI_SA_FLAGS).
const KNOWN_FLAGS: u64 = 0xdc00_0807;

impl State {
    fn user_info(&self, s: u64, signal: u8, code: i32) -> Info {
        Info { signal, code, fields: [u64::from(self.process(s).pid), 0], far: 0 }
    }

    /// kill: whom it is for is asked before the number is looked at.
    pub fn kill(&mut self, s: u64, pid: i32, signal: u64) -> Result<Outcome> {
        let signal = signal as u32;
        if pid == i32::MIN {
            return Err(ESRCH);
        }
        let own_group = self.process(s).group;
        let targets: Vec<u64> = self
            .processes
            .values()
            .filter(|p| match pid {
                1.. => p.pid == pid as u32,
                0 => p.group == own_group,
                -1 => p.pid != 1 && p.serial != s,
                _ => p.group == pid.unsigned_abs(),
            })
            .map(|p| p.serial)
            .collect();
        if targets.is_empty() {
            return Err(ESRCH);
        }
        if signal > 64 {
            return Err(EINVAL);
        }
        if signal != 0 {
            let info = self.user_info(s, signal as u8, SI_USER);
            targets.iter().for_each(|t| self.signal(*t, info));
        }
        ok()
    }

    /// tkill, and tgkill if there is a `tgid`, which is looked at before the signal's number.
    pub fn tkill(&mut self, s: u64, tgid: Option<i32>, tid: i32, signal: u64) -> Result<Outcome> {
        let signal = signal as u32;
        if tid <= 0 || tgid.is_some_and(|t| t <= 0) {
            return Err(EINVAL);
        }
        let target = self.by_pid(tid as u32).ok_or(ESRCH)?.serial;
        if tgid.is_some_and(|t| t != tid) {
            return Err(ESRCH);
        }
        if signal > 64 {
            return Err(EINVAL);
        }
        if signal != 0 {
            let info = self.user_info(s, signal as u8, SI_TKILL);
            self.signal(target, info);
        }
        ok()
    }

    /// rt_sigaction.
    pub fn sigaction(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [signal, new, old, size, ..] = *a;
        let signal = signal as u32;
        if size != 8 {
            return Err(EINVAL);
        }
        let mut wanted = None;
        if new != 0 {
            let space = self.space(s);
            wanted = Some(Action {
                handler: space.get_u64(new)?,
                flags: space.get_u64(new + 8)? & KNOWN_FLAGS,
                restorer: space.get_u64(new + 16)?,
                mask: space.get_u64(new + 24)? & !UNBLOCKABLE,
            });
        }
        if !(1..=64).contains(&signal) || wanted.is_some() && UNBLOCKABLE & bit(signal as u8) != 0 {
            return Err(EINVAL);
        }
        let signal = signal as u8;
        let before = self.process(s).signals.action(signal);
        if let Some(action) = wanted {
            let signals = &mut self.process_mut(s).signals;
            if let Some(slot) = signals.actions.get_mut(usize::from(signal) - 1) {
                *slot = action;
            }
            if signals.effect(signal) == Effect::Ignored {
                signals.forget(bit(signal));
            }
        }
        if old != 0 {
            let words = [before.handler, before.flags, before.restorer, before.mask].map(u64::to_le_bytes);
            self.space(s).put(old, &words.concat())?;
        }
        ok()
    }

    /// rt_sigprocmask.
    pub fn sigprocmask(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [how, new, old, size, ..] = *a;
        if size != 8 {
            return Err(EINVAL);
        }
        let before = self.process(s).signals.mask;
        if new != 0 {
            let set = self.space(s).get_u64(new)?;
            let mask = match how as u32 {
                0 => before | set,
                1 => before & !set,
                2 => set,
                _ => return Err(EINVAL),
            };
            self.process_mut(s).signals.mask = mask & !UNBLOCKABLE;
        }
        if old != 0 {
            self.space(s).put(old, &before.to_le_bytes())?;
        }
        ok()
    }

    /// rt_sigpending.
    pub fn sigpending(&mut self, s: u64, at: u64, size: u64) -> Result<Outcome> {
        if size > 8 {
            return Err(EINVAL);
        }
        let signals = &self.process(s).signals;
        let set = signals.pending & signals.mask;
        self.space(s).put(at, &set.to_le_bytes()[..size as usize])?;
        ok()
    }

    /// rt_sigsuspend.
    pub fn sigsuspend(&mut self, s: u64, at: u64, size: u64) -> Result<Outcome> {
        if size != 8 {
            return Err(EINVAL);
        }
        if !self.progress(s).begun {
            let mask = self.space(s).get_u64(at)?;
            self.mask_while(s, mask);
        }
        Ok(Outcome::Wait(Wait { things: Vec::new(), deadline: NO_DEADLINE }))
    }

    /// rt_sigreturn.
    pub fn sigreturn(&mut self, s: u64) -> Result<Outcome> {
        if self.pop_frame(s).is_err() {
            let fault = crate::faults::Fault { signal: SIGSEGV, code: 0x80, address: 0, far: 0 };
            let handled = self.process(s).signals.action(SIGSEGV).handler > crate::signals::IGNORE;
            if !handled {
                self.end(s, i32::from(SIGSEGV));
                return Ok(Outcome::Gone);
            }
            let info = Info { signal: SIGSEGV, code: fault.code, fields: [0, 0], far: 0 };
            self.signal(s, info);
        }
        Ok(Outcome::Jump)
    }

    /// Whether the stack pointer lies in the alternate stack, and that is to be seen.
    pub fn is_on_alternate(&self, s: u64) -> bool {
        let p = self.process(s);
        let (base, flags, size) = p.signals.alternate;
        flags & AUTODISARM == 0 && p.user.sp > base && p.user.sp - base <= size
    }

    /// Sets the alternate stack: base, flags, size. The flags are kept as they are given, for frames to hold.
    pub fn set_alternate(&mut self, s: u64, (base, flags, size): (u64, u32, u64)) -> Result<()> {
        if self.is_on_alternate(s) {
            return Err(EPERM);
        }
        self.process_mut(s).signals.alternate = match flags & !AUTODISARM {
            DISABLE => (0, flags, 0),
            0 | 1 if size < ALTERNATE_MIN => return Err(ENOMEM),
            0 | 1 => (base, flags, size),
            _ => return Err(EINVAL),
        };
        Ok(())
    }

    /// sigaltstack.
    pub fn sigaltstack(&mut self, s: u64, new: u64, old: u64) -> Result<u64> {
        let (base, flags, size) = self.process(s).signals.alternate;
        let on_it = self.is_on_alternate(s);
        if new != 0 {
            let space = self.space(s);
            let wanted = (space.get_u64(new)?, space.get_u32(new + 8)?, space.get_u64(new + 16)?);
            self.set_alternate(s, wanted)?;
        }
        if old != 0 {
            let place = match (on_it, size) {
                (true, _) => 1,
                (false, 0) => DISABLE,
                _ => 0,
            };
            let shown = place | flags & AUTODISARM;
            let mut out = [0; 24];
            out[..8].copy_from_slice(&base.to_le_bytes());
            out[8..12].copy_from_slice(&shown.to_le_bytes());
            out[16..].copy_from_slice(&size.to_le_bytes());
            self.space(s).put(old, &out)?;
        }
        Ok(0)
    }
}
