//! Signals: generated, looked at, handled.

use crate::errno::EINTR;
use crate::fs::Fs;
use crate::kernel::Kernel;
use crate::machine::{Machine, Trace};
use crate::process::{Effect, Life, News, Process, Want};
use crate::sigframe::{SignalFrame, UCONTEXT, places};
use crate::signal::{
    Action, AltStack, Info, SIG_DFL, SIGBUS, SIGCONT, SIGKILL, SIGSEGV, SIGSTOP, SigSet, code, flags,
};
use crate::space::TRAMPOLINE;
use crate::turns::Serial;
use crate::user::UserMemory;
use abi::linux::nr;

/// What a look at the pending signals did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// Nothing that changes the thread's course.
    Nothing,
    /// A handler will run.
    Handler,
    /// The process ended or stopped.
    Left,
}

impl<M: Machine> Kernel<M> {
    /// A signal for a process comes into being.
    pub(crate) fn generate(&mut self, serial: Serial, signal: u8, info: Info) {
        let Some(p) = self.procs.get_mut(&serial) else { return };
        if !p.is_alive() || signal == 0 {
            return;
        }
        let (was_stopped, pid) = (p.life == Life::Stopped, p.pid);
        self.m.trace(Trace::Signal { pid, signal });
        if SigSet::STOPS.has(signal) {
            p.pending.remove(SigSet::of(SIGCONT));
        }
        if signal == SIGCONT {
            p.pending.remove(SigSet::STOPS);
        }
        let effect = p.effect_of(signal);
        let kept = effect != Effect::Ignored || serial == 1 || was_stopped;
        if kept && !p.pending.has(signal) {
            p.pending.add(SigSet::of(signal));
            if let Some(slot) = p.infos.get_mut(usize::from(signal)) {
                *slot = info;
            }
        }
        let blocked = p.mask.has(signal);
        if was_stopped && signal == SIGCONT {
            self.continue_process(serial);
        } else if was_stopped && signal == SIGKILL && serial != 1 {
            self.revive(serial);
        }
        if blocked || effect == Effect::Ignored || was_stopped {
            return;
        }
        if self.turns.skipped_at(serial).is_some() {
            self.act_outside(serial);
        } else if !self.turns.waits_for_vfork(serial) {
            self.turns.wake_thread(serial);
        }
    }

    /// A signal for every member of a group, ascending by serial.
    pub(crate) fn generate_group(&mut self, pgid: u32, signal: u8, info: Info) {
        for serial in self.members(pgid) {
            self.generate(serial, signal, info);
        }
    }

    /// A synchronous fault's signal: blocked or ignored, it kills.
    pub(crate) fn force(&mut self, serial: Serial, signal: u8, info: Info) {
        let Some(p) = self.procs.get_mut(&serial) else { return };
        let action = p.action(signal);
        if p.mask.has(signal) || !action.is_handler() {
            self.end_by_signal(serial, signal);
            return;
        }
        p.pending.add(SigSet::of(signal));
        if let Some(slot) = p.infos.get_mut(usize::from(signal)) {
            *slot = info;
        }
    }

    /// For a thread outside, wherever its user code is: its signals take effect now. Ends and stops leave nothing that kernels could
    /// differ in. A handler begins at the outermost place of the loop, the same on all; how many rounds the loop has made till then is not, so
    /// output goes on being voted, and only the memory is not.
    pub(crate) fn act_outside(&mut self, serial: Serial) {
        while let Some(p) = self.procs.get_mut(&serial) {
            let Some(signal) = p.deliverable().first() else { return };
            let effect = p.effect_of(signal);
            p.pending.remove(SigSet::of(signal));
            let ends = match effect {
                Effect::Ignored => continue,
                Effect::Stops => {
                    if self.stop_unless_orphaned(serial, signal) {
                        self.turns.remove(serial);
                        return;
                    }
                    continue;
                }
                Effect::Ends => Some(signal),
                Effect::Handled => {
                    p.unagreed = true;
                    self.go_outermost(serial);
                    self.interrupt(serial, signal);
                    if self.push_frame(serial, signal) { None } else { Some(SIGSEGV) }
                }
            };
            if let Some(signal) = ends {
                self.end_by_signal(serial, signal);
                self.turns.remove(serial);
                return;
            }
        }
    }

    /// A handler of an unagreed process returns: no call (`docs/turn-rule.md`, "Signals"). Signals that the mask lets through now are found
    /// at the next call, outside at once.
    pub(crate) fn return_unagreed(&mut self, serial: Serial) {
        let outside = self.turns.skipped_at(serial).is_some();
        if self.pop_frame(serial) {
            if outside {
                self.act_outside(serial);
            }
        } else if let Some(p) = self.procs.get_mut(&serial) {
            // A frame that is none ends in a signal, and that is a matter for its turn.
            p.want = Some(Want::Call { number: nr::rt_sigreturn, args: [0; 6] });
        }
    }

    /// Looks at the pending signals of the thread that holds the turn.
    pub(crate) fn deliver(&mut self, serial: Serial) -> Delivered {
        let mut result = Delivered::Nothing;
        loop {
            let Some(p) = self.procs.get_mut(&serial) else { return Delivered::Left };
            if !p.is_alive() {
                return Delivered::Left;
            }
            let Some(signal) = p.deliverable().first() else { return result };
            p.pending.remove(SigSet::of(signal));
            match p.effect_of(signal) {
                Effect::Ignored => {}
                Effect::Ends => {
                    self.end_by_signal(serial, signal);
                    return Delivered::Left;
                }
                Effect::Stops => {
                    if self.stop_unless_orphaned(serial, signal) {
                        return Delivered::Left;
                    }
                }
                Effect::Handled => {
                    self.interrupt(serial, signal);
                    result = Delivered::Handler;
                    if !self.push_frame(serial, signal) {
                        self.end_by_signal(serial, SIGSEGV);
                        return Delivered::Left;
                    }
                }
            }
        }
    }

    /// A stop signal other than SIGSTOP does nothing to an orphaned group.
    fn stop_unless_orphaned(&mut self, serial: Serial, signal: u8) -> bool {
        let orphaned = self.procs.get(&serial).is_some_and(|p| self.is_orphaned(p.pgid, None));
        if signal != SIGSTOP && orphaned {
            return false;
        }
        self.stop_process(serial, signal);
        true
    }

    /// A handler comes between a thread and the call it wants to make: the call ends, or will be made again.
    fn interrupt(&mut self, serial: Serial, signal: u8) {
        let Some(p) = self.procs.get_mut(&serial) else { return };
        let Some(Want::Call { number, args }) = p.want else {
            p.want = None;
            return;
        };
        let restarts = p.action(signal).flags & flags::RESTART != 0;
        let (repeated, progress, pid) = (p.repeated, p.progress, p.pid);
        (p.want, p.repeated) = (None, false);
        p.progress = crate::fs::Progress::default();
        let part = if repeated && Fs::handles(number) { self.fs.interrupt(pid, &progress) } else { None };
        let Some(p) = self.procs.get_mut(&serial) else { return };
        if let Some(part) = part {
            p.registers.x[0] = part as u64;
        } else if !repeated || restarts && !never_restarts(number) {
            p.registers.pc = p.registers.pc.wrapping_sub(4);
        } else {
            p.registers.x[0] = EINTR.to_result() as u64;
            self.write_remaining(serial, number, &args, progress.deadline_us);
        }
    }

    /// Pushes the frame and points the thread at its handler; false: there is no place for the frame.
    fn push_frame(&mut self, serial: Serial, signal: u8) -> bool {
        self.save_fp();
        let Some(p) = self.procs.get(&serial) else { return false };
        let action = p.action(signal);
        let info = p.infos.get(usize::from(signal)).copied().unwrap_or_default();
        let mask = p.saved_mask.unwrap_or(p.mask);
        let frame = SignalFrame { registers: p.registers, fp: *p.fp, mask, altstack: p.altstack };
        let fault = if matches!(signal, SIGSEGV | SIGBUS) && matches!(info.code, 1..=0x7f) {
            info.address
        } else {
            0
        };
        let bytes = frame.to_bytes(&info.to_bytes(signal), fault);
        let Some((at, record)) = places(frame_top(p, &action)) else { return false };
        let [fp, lr] = [p.registers.x[29], p.registers.x[30]];
        let Some(mut view) = self.view(serial) else { return false };
        if view.writable(at, bytes.len() + 16) < bytes.len() + 16 {
            return false;
        }
        view.copy_in(at, &bytes);
        view.copy_in(record, &fp.to_le_bytes());
        view.copy_in(record + 8, &lr.to_le_bytes());
        let Some(p) = self.procs.get_mut(&serial) else { return false };
        enter_handler(p, signal, &action, at, record);
        true
    }

    /// rt_sigreturn: goes back to what the frame at sp says; false: there is none.
    pub(crate) fn pop_frame(&mut self, serial: Serial) -> bool {
        let Some(sp) = self.procs.get(&serial).map(|p| p.registers.sp) else { return false };
        let mut bytes = alloc::vec![0; crate::sigframe::FRAME_BYTES];
        if sp % 16 != 0 || self.view(serial).is_none_or(|mut v| v.read(sp, &mut bytes).is_err()) {
            return false;
        }
        let Some(frame) = SignalFrame::from_bytes(&bytes) else { return false };
        self.save_fp();
        let Some(p) = self.procs.get_mut(&serial) else { return false };
        let tpidr = p.registers.tpidr;
        p.registers = frame.registers;
        p.registers.tpidr = tpidr;
        *p.fp = frame.fp;
        p.mask = frame.mask;
        if let Ok(stack) = p.altstack.set(frame.altstack, p.registers.sp) {
            p.altstack = stack;
        }
        true
    }

    /// A stopped thread goes back to the round.
    pub(crate) fn revive(&mut self, serial: Serial) {
        if let Some(p) = self.procs.get_mut(&serial) {
            p.life = Life::Alive;
            p.news = News::None;
            self.turns.enter(serial);
        }
    }
}

/// Calls that a signal handler always ends with EINTR.
fn never_restarts(number: u64) -> bool {
    matches!(
        number,
        nr::ppoll
            | nr::pselect6
            | nr::nanosleep
            | nr::clock_nanosleep
            | nr::rt_sigsuspend
            | nr::epoll_pwait
            | nr::rt_sigtimedwait
    )
}

fn frame_top(p: &Process, action: &Action) -> u64 {
    let sp = p.registers.sp;
    let stack = p.altstack;
    if action.flags & flags::ONSTACK != 0 && stack.size > 0 && !stack.holds(sp) {
        stack.base.wrapping_add(stack.size)
    } else {
        sp
    }
}

fn enter_handler(p: &mut Process, signal: u8, action: &Action, frame: u64, record: u64) {
    let r = &mut p.registers;
    r.x[0] = u64::from(signal);
    r.x[1] = frame;
    r.x[2] = frame + UCONTEXT;
    r.x[29] = record;
    r.x[30] = if action.flags & flags::RESTORER != 0 { action.restorer } else { TRAMPOLINE };
    r.sp = frame;
    r.pc = action.handler;
    p.saved_mask = None;
    p.mask.add(action.mask);
    if action.flags & flags::NODEFER == 0 {
        p.mask.add(SigSet::of(signal));
    }
    p.mask.remove(SigSet::UNBLOCKABLE);
    if p.altstack.flags & AltStack::AUTODISARM != 0 {
        p.altstack = AltStack::default();
    }
    if action.flags & flags::RESETHAND != 0
        && let Some(slot) = p.actions.get_mut(usize::from(signal))
    {
        slot.handler = SIG_DFL;
    }
}

/// The siginfo of `kill` by a process.
pub(crate) fn user_info(code: i32, pid: u32) -> Info {
    debug_assert!(code == code::SI_USER || code == code::SI_TKILL);
    Info { code, pid, ..Info::default() }
}
