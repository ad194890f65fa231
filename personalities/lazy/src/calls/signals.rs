//! Signal calls.

use super::*;
use crate::frame::{SS_AUTODISARM, SS_DISABLE};
use crate::process::{Action, AltStack, Info};
use crate::signal::{SIGPIPE, SIGSEGV, UNBLOCKABLE, bit, ignores};

impl<H: Hardware> Kernel<H> {
    fn user_info(&self, serial: u64, code: i32) -> Info {
        let pid = self.process_of(serial).map_or(0, |p| p.pid);
        Info { code, fields: [pid, 0, 0], address: None }
    }

    /// A pipe without readers is written to: SIGPIPE, as if the writer had sent it (Linux' `send_sig(SIGPIPE, current, 0)`).
    pub(super) fn broken_pipe(&mut self, serial: u64) {
        let info = self.user_info(serial, 0);
        self.generate(serial, SIGPIPE, info);
    }

    pub(super) fn sys_kill(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let (pid, signal) = (a[0] as i32, a[1] as i32);
        let own = self.process(serial)?;
        let (own_group, own_serial) = (own.group, own.serial);
        let named = self.by_tid(pid as u32).map(|t| t.process);
        let targets: Vec<u64> = self
            .processes
            .values()
            .filter(|p| match pid {
                1.. => Some(p.serial) == named,
                0 => p.group == own_group,
                -1 => p.serial != 1 && p.serial != own_serial,
                _ => p.group == pid.unsigned_abs(),
            })
            .map(|p| p.serial)
            .collect();
        if targets.is_empty() || pid == i32::MIN {
            return Err(ESRCH);
        }
        // As Linux' check_kill_permission: of each receiver, so not before there is one.
        if !(0..=64).contains(&signal) {
            return Err(EINVAL);
        }
        let info = self.user_info(serial, 0);
        if signal != 0 {
            targets.into_iter().for_each(|t| self.generate(t, signal as u32, info));
        }
        done(0)
    }

    pub(super) fn sys_tkill(&mut self, serial: u64, pid: Option<u64>, tid: u64, signal: u64) -> CallResult {
        let (tid, signal) = (tid as i32, signal as i32);
        if tid <= 0 || pid.is_some_and(|pid| pid as i32 <= 0) {
            return Err(EINVAL);
        }
        let target = self.by_tid(tid as u32).ok_or(ESRCH)?.serial;
        if pid.is_some_and(|pid| self.process_of(target).is_none_or(|p| p.pid != pid as u32)) {
            return Err(ESRCH);
        }
        if !(0..=64).contains(&signal) {
            return Err(EINVAL);
        }
        // SI_TKILL
        let info = self.user_info(serial, -6);
        if signal != 0 {
            self.generate_own(target, signal as u32, info);
        }
        done(0)
    }

    pub(super) fn sys_rt_sigaction(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [signal, new, old, size, ..] = *a;
        if size != 8 {
            return Err(EINVAL);
        }
        let space = self.space(serial)?;
        let mut action = None;
        if new != 0 {
            let mut words = [0; 4];
            for (i, w) in words.iter_mut().enumerate() {
                *w = self.memory.read_u64(space, new.wrapping_add(i as u64 * 8))?;
            }
            let [handler, flags, restorer, mask] = words;
            action = Some(Action { handler, flags, restorer, mask: mask & !UNBLOCKABLE });
        }
        let signal = signal as u32;
        if !(1..=64).contains(&signal) || action.is_some() && UNBLOCKABLE & bit(signal) != 0 {
            return Err(EINVAL);
        }
        let p = self.process_mut(serial)?;
        let slot = p.actions.get_mut(signal as usize).ok_or(EINVAL)?;
        let before = *slot;
        if let Some(new) = action {
            *slot = new;
            // What is ignored from now on is no longer pending, blocked or not.
            if ignores(new.handler, signal) {
                self.forget(self.owner(serial), bit(signal));
            }
        }
        if old != 0 {
            let words = [before.handler, before.flags, before.restorer, before.mask];
            let bytes: Vec<u8> = words.iter().flat_map(|w| w.to_le_bytes()).collect();
            self.put(serial, old, &bytes)?;
        }
        done(0)
    }

    pub(super) fn sys_rt_sigprocmask(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let [how, new, old, size, ..] = *a;
        if size != 8 {
            return Err(EINVAL);
        }
        let space = self.space(serial)?;
        let before = self.threads.get(&serial).ok_or(ESRCH)?.mask;
        if new != 0 {
            let set = self.memory.read_u64(space, new)? & !UNBLOCKABLE;
            let mask = match how as i32 {
                0 => before | set,
                1 => before & !set,
                2 => set,
                _ => return Err(EINVAL),
            };
            self.threads.get_mut(&serial).ok_or(ESRCH)?.mask = mask;
        }
        if old != 0 {
            self.put(serial, old, &before.to_le_bytes())?;
        }
        done(0)
    }

    pub(super) fn sys_rt_sigpending(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[1] > 8 {
            return Err(EINVAL);
        }
        let t = self.threads.get(&serial).ok_or(ESRCH)?;
        let set = (self.process(serial)?.pending | t.pending) & t.mask;
        let bytes = set.to_le_bytes();
        self.put(serial, a[0], bytes.get(..a[1] as usize).unwrap_or(&[]))?;
        done(0)
    }

    pub(super) fn sys_rt_sigsuspend(
        &mut self,
        serial: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        if from.is_none() {
            if a[1] != 8 {
                return Err(EINVAL);
            }
            let space = self.space(serial)?;
            let mask = self.memory.read_u64(space, a[0])? & !UNBLOCKABLE;
            let t = self.threads.get_mut(&serial).ok_or(ESRCH)?;
            t.saved_mask = Some(t.mask);
            t.mask = mask;
        }
        Ok(Outcome::Block(Wait { keys: Vec::new(), deadline: None, next: Continuation::Suspended }))
    }

    pub(super) fn sys_rt_sigreturn(&mut self, serial: u64) -> CallResult {
        if !self.pop_frame(serial) {
            self.stand_in_user(serial);
            let sp = self.threads.get(&serial).map_or(0, |t| t.registers.sp);
            self.force(
                serial,
                SIGSEGV,
                Info { code: crate::signal::SI_KERNEL, address: Some(sp), ..Info::default() },
            );
        }
        Ok(Outcome::Replaced)
    }

    fn stand_in_user(&mut self, serial: u64) {
        self.stand(serial, crate::process::Stand::User);
    }

    pub(super) fn sys_sigaltstack(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let space = self.space(serial)?;
        let mut new = None;
        if a[0] != 0 {
            let base = self.memory.read_u64(space, a[0])?;
            let flags = self.memory.read_u32(space, a[0].wrapping_add(8))?;
            let size = self.memory.read_u64(space, a[0].wrapping_add(16))?;
            new = Some(AltStack { base, flags, size });
        }
        // The old one's place is written last; a page of it that asks for a turn must be found before anything is set.
        if a[1] != 0 && self.memory.accessible(space, a[1], 24, true) < 24 && self.memory.wants_turn {
            return Err(EFAULT);
        }
        let t = self.threads.get_mut(&serial).ok_or(ESRCH)?;
        let (alt, sp) = (t.alt, t.registers.sp);
        if let Some(new) = new {
            t.set_alternate_stack(new)?;
        }
        if a[1] != 0 {
            let place = if alt.size == 0 { SS_DISABLE } else { alt.holds(sp).into() };
            let flags = place | alt.flags & SS_AUTODISARM;
            let bytes =
                [alt.base.to_le_bytes(), u64::from(flags).to_le_bytes(), alt.size.to_le_bytes()].concat();
            self.put(serial, a[1], &bytes)?;
        }
        done(0)
    }
}
