//! Signals: generated, looked at, handled.

use crate::errno::{EFAULT, EINTR};
use crate::fs::{Fs, Progress, write_no_revents};
use crate::kernel::Kernel;
use crate::machine::{Machine, Trace};
use crate::process::{Effect, Life, News};
use crate::sigframe::{SignalFrame, UCONTEXT, places};
use crate::signal::{
    Action, AltStack, Info, SIG_DFL, SIGBUS, SIGCONT, SIGKILL, SIGSEGV, SIGSTOP, SigSet, code, flags,
};
use crate::space::TRAMPOLINE;
use crate::thread::{Thread, Want};
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
    pub(crate) fn generate(&mut self, process: Serial, signal: u8, info: Info) {
        self.generate_for(process, None, signal, info);
    }

    /// A signal for one thread comes into being.
    pub(crate) fn generate_for_thread(&mut self, thread: Serial, signal: u8, info: Info) {
        if let Some(process) = self.threads.get(&thread).map(|t| t.process) {
            self.generate_for(process, Some(thread), signal, info);
        }
    }

    fn generate_for(&mut self, process: Serial, thread: Option<Serial>, signal: u8, info: Info) {
        let several = self.has_several(process);
        let Some(p) = self.procs.get_mut(&process) else { return };
        if !p.is_alive() || signal == 0 {
            return;
        }
        let (was_stopped, pid) = (p.life == Life::Stopped, p.pid);
        self.m.trace(Trace::Signal { pid, signal });
        let void = match signal {
            SIGCONT => SigSet::STOPS,
            stop if SigSet::STOPS.has(stop) => SigSet::of(SIGCONT),
            _ => SigSet::default(),
        };
        let effect = p.effect_of(signal);
        // What is blocked is kept though it is ignored: the action may change before it is let through.
        let blocked = self.mask_of_target(process, thread).has(signal);
        let kept = effect != Effect::Ignored || blocked || process == 1 || was_stopped;
        self.forget_signals(process, void);
        if kept {
            let own = thread.filter(|_| several).and_then(|t| self.threads.get_mut(&t));
            match (own, self.procs.get_mut(&process)) {
                (Some(t), _) => t.pending.add(signal, info),
                (None, Some(p)) => p.pending.add(signal, info),
                (None, None) => {}
            }
        }
        if was_stopped && signal == SIGCONT {
            self.continue_process(process);
        } else if was_stopped && signal == SIGKILL && process != 1 {
            self.revive(process);
        }
        if effect == Effect::Ignored || was_stopped {
            return;
        }
        let Some(receiver) = self.receiver(process, thread, signal) else { return };
        let outside = self.threads_of(process).into_iter().any(|s| self.turns.skipped_at(s).is_some());
        match effect {
            // One of its threads makes no calls: it cannot wait for that.
            Effect::Ends if outside => self.end_process(process, i32::from(signal)),
            Effect::Stops if outside && self.stop_unless_orphaned(receiver, signal) => {
                self.forget_signals(process, SigSet::of(signal));
            }
            _ => self.alert(receiver),
        }
    }

    /// What blocks a signal for this thread, or for this process: of a process its first thread decides, also when that has ended.
    fn mask_of_target(&self, process: Serial, thread: Option<Serial>) -> SigSet {
        let thread = self.threads.get(&thread.unwrap_or(process)).map(|t| t.mask);
        thread.or(self.procs.get(&process).map(|p| p.first_mask)).unwrap_or_default()
    }

    /// Forgets pending signals of a process and of its threads.
    pub(crate) fn forget_signals(&mut self, process: Serial, set: SigSet) {
        if let Some(p) = self.procs.get_mut(&process) {
            p.pending.remove(set);
        }
        for t in self.threads.values_mut().filter(|t| t.process == process) {
            t.pending.remove(set);
        }
    }

    /// Who hears of a signal: the first thread of the process that does not block it.
    fn receiver(&self, process: Serial, thread: Option<Serial>, signal: u8) -> Option<Serial> {
        let meant = |t: &&Thread| thread.is_none_or(|s| s == t.serial) && !t.mask.has(signal);
        self.threads.values().filter(|t| t.process == process).find(meant).map(|t| t.serial)
    }

    /// A thread has a signal to look at.
    fn alert(&mut self, serial: Serial) {
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
        let several = self.threads.get(&serial).is_some_and(|t| self.has_several(t.process));
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let Some(p) = self.procs.get_mut(&t.process) else { return };
        if t.mask.has(signal) || !p.action(signal).is_handler() {
            self.end_by_signal(serial, signal);
            return;
        }
        let set = if several { &mut t.pending } else { &mut p.pending };
        set.take(signal);
        set.add(signal, info);
    }

    /// For a thread outside, wherever its user code is: its signals take effect now. Ends and stops leave nothing that kernels could
    /// differ in. A handler begins at the outermost place of the loop, the same on all; how many rounds the loop has made till then is not, so
    /// output goes on being voted, and only the memory is not.
    pub(crate) fn act_outside(&mut self, serial: Serial) {
        while let Some((signal, info, effect)) = self.take_signal(serial) {
            let ends = match effect {
                Effect::Ignored => continue,
                Effect::Stops => {
                    if self.stop_unless_orphaned(serial, signal) {
                        return;
                    }
                    continue;
                }
                Effect::Ends => Some(signal),
                Effect::Handled => {
                    if let Some(p) = self.process_mut(serial) {
                        p.unagreed = true;
                    }
                    self.go_outermost(serial);
                    self.interrupt(serial, signal);
                    if self.push_frame(serial, signal, &info) { None } else { Some(SIGSEGV) }
                }
            };
            if let Some(signal) = ends {
                self.end_by_signal(serial, signal);
                return;
            }
        }
    }

    /// Takes the signal that comes next for a thread, its own before its process', and says what it does.
    fn take_signal(&mut self, serial: Serial) -> Option<(u8, Info, Effect)> {
        let t = self.threads.get_mut(&serial)?;
        let p = self.procs.get_mut(&t.process)?;
        let [own, all] = [&t.pending, &p.pending].map(|pending| pending.set().without(t.mask));
        let kill = Some(SIGKILL).filter(|_| own.has(SIGKILL) || all.has(SIGKILL));
        let signal = kill.or(own.first()).or(all.first())?;
        let info = t.pending.take(signal).or_else(|| p.pending.take(signal))?;
        Some((signal, info, p.effect_of(signal)))
    }

    /// A handler of an unagreed process returns: no call (`docs/turn-rule.md`, "Signals"). Signals that the mask lets through now are found
    /// at the next call, outside at once.
    pub(crate) fn return_unagreed(&mut self, serial: Serial) {
        let outside = self.turns.skipped_at(serial).is_some();
        if self.pop_frame(serial) {
            if outside {
                self.act_outside(serial);
            }
        } else if let Some(t) = self.threads.get_mut(&serial) {
            // A frame that is none ends in a signal, and that is a matter for its turn.
            t.want = Some(Want::Call { number: nr::rt_sigreturn, args: [0; 6] });
        }
    }

    /// Looks at the pending signals of the thread that holds the turn.
    pub(crate) fn deliver(&mut self, serial: Serial) -> Delivered {
        let mut result = Delivered::Nothing;
        loop {
            if !self.threads.contains_key(&serial) {
                return Delivered::Left;
            }
            let Some((signal, info, effect)) = self.take_signal(serial) else { return result };
            match effect {
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
                    if !self.push_frame(serial, signal, &info) {
                        self.end_by_signal(serial, SIGSEGV);
                        return Delivered::Left;
                    }
                }
            }
        }
    }

    /// A stop signal other than SIGSTOP does nothing to an orphaned group.
    fn stop_unless_orphaned(&mut self, serial: Serial, signal: u8) -> bool {
        let Some(p) = self.process(serial) else { return false };
        let process = p.serial;
        if signal != SIGSTOP && self.is_orphaned(p.pgid, None) {
            return false;
        }
        self.stop_process(process, signal);
        true
    }

    /// A handler comes between a thread and the call it wants to make: the call ends, or will be made again.
    fn interrupt(&mut self, serial: Serial, signal: u8) {
        let restarts = self.process(serial).is_some_and(|p| p.action(signal).flags & flags::RESTART != 0);
        let Some(t) = self.threads.get_mut(&serial) else { return };
        let Some(Want::Call { number, args }) = t.want else {
            t.want = None;
            return;
        };
        let (repeated, progress, tid) = (t.repeated, t.progress, t.tid);
        (t.want, t.repeated) = (None, false);
        t.progress = Progress::default();
        let part = if repeated && Fs::handles(number) { self.fs.interrupt(tid, &progress) } else { None };
        let Some(t) = self.threads.get_mut(&serial) else { return };
        if let Some(part) = part {
            t.registers.x[0] = part as u64;
        } else if !repeated || restarts && !never_restarts(number, &progress) {
            t.registers.pc = t.registers.pc.wrapping_sub(4);
        } else {
            let written = if number == nr::ppoll {
                self.view(serial).map_or(Err(EFAULT), |mut view| write_no_revents(&mut view, &args))
            } else {
                self.write_remaining(serial, number, &args, progress.deadline_us)
            };
            if let Some(t) = self.threads.get_mut(&serial) {
                t.registers.x[0] = written.err().unwrap_or(EINTR).to_result() as u64;
            }
        }
    }

    /// Pushes the frame and points the thread at its handler; false: there is no place for the frame.
    fn push_frame(&mut self, serial: Serial, signal: u8, info: &Info) -> bool {
        self.save_fp();
        let Some(action) = self.process(serial).map(|p| p.action(signal)) else { return false };
        let Some(t) = self.threads.get(&serial) else { return false };
        let mask = t.saved_mask.unwrap_or(t.mask);
        let frame = SignalFrame { registers: t.registers, fp: *t.fp, mask, altstack: t.altstack };
        let fault = if matches!(signal, SIGSEGV | SIGBUS) && matches!(info.code, 1..=0x7f) {
            info.address
        } else {
            0
        };
        let bytes = frame.to_bytes(&info.to_bytes(signal), fault);
        let Some((at, record)) = places(frame_top(t, &action)) else { return false };
        let [fp, lr] = [t.registers.x[29], t.registers.x[30]];
        let Some(mut view) = self.view(serial) else { return false };
        if view.writable(at, bytes.len() + 16) < bytes.len() + 16 {
            return false;
        }
        view.copy_in(at, &bytes);
        view.copy_in(record, &fp.to_le_bytes());
        view.copy_in(record + 8, &lr.to_le_bytes());
        let Some(t) = self.threads.get_mut(&serial) else { return false };
        enter_handler(t, signal, &action, at, record);
        if action.flags & flags::RESETHAND != 0
            && let Some(slot) = self.process_mut(serial).and_then(|p| p.actions.get_mut(usize::from(signal)))
        {
            slot.handler = SIG_DFL;
        }
        true
    }

    /// rt_sigreturn: goes back to what the frame at sp says; false: there is none.
    pub(crate) fn pop_frame(&mut self, serial: Serial) -> bool {
        let Some(sp) = self.threads.get(&serial).map(|t| t.registers.sp) else { return false };
        let mut bytes = alloc::vec![0; crate::sigframe::FRAME_BYTES];
        if sp % 16 != 0 || self.view(serial).is_none_or(|mut v| v.read(sp, &mut bytes).is_err()) {
            return false;
        }
        let Some(frame) = SignalFrame::from_bytes(&bytes) else { return false };
        self.save_fp();
        let Some(t) = self.threads.get_mut(&serial) else { return false };
        let tpidr = t.registers.tpidr;
        t.registers = frame.registers;
        t.registers.tpidr = tpidr;
        *t.fp = frame.fp;
        t.mask = frame.mask;
        if let Ok(stack) = t.altstack.set(frame.altstack, t.registers.sp) {
            t.altstack = stack;
        }
        true
    }

    /// A stopped process' threads go back to the round, in their order.
    pub(crate) fn revive(&mut self, process: Serial) {
        if let Some(p) = self.procs.get_mut(&process) {
            p.life = Life::Alive;
            p.news = News::None;
        }
        for serial in self.threads_of(process) {
            if !self.turns.waits_for_vfork(serial) {
                self.turns.enter(serial);
            }
        }
    }
}

/// Calls that a signal handler always ends with EINTR.
fn never_restarts(number: u64, progress: &Progress) -> bool {
    if number == nr::futex {
        return progress.deadline_us.is_some();
    }
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

fn frame_top(t: &Thread, action: &Action) -> u64 {
    let sp = t.registers.sp;
    let stack = t.altstack;
    if action.flags & flags::ONSTACK != 0 && stack.size > 0 && !stack.holds(sp) {
        stack.base.wrapping_add(stack.size)
    } else {
        sp
    }
}

fn enter_handler(t: &mut Thread, signal: u8, action: &Action, frame: u64, record: u64) {
    let r = &mut t.registers;
    r.x[0] = u64::from(signal);
    r.x[1] = frame;
    r.x[2] = frame + UCONTEXT;
    r.x[29] = record;
    r.x[30] = if action.flags & flags::RESTORER != 0 { action.restorer } else { TRAMPOLINE };
    r.sp = frame;
    r.pc = action.handler;
    t.saved_mask = None;
    t.mask.add(action.mask);
    if action.flags & flags::NODEFER == 0 {
        t.mask.add(SigSet::of(signal));
    }
    t.mask.remove(SigSet::UNBLOCKABLE);
    if t.altstack.flags & AltStack::AUTODISARM != 0 {
        t.altstack = AltStack::default();
    }
}

/// The siginfo of `kill` by a process.
pub(crate) fn user_info(code: i32, pid: u32) -> Info {
    debug_assert!(code == code::SI_USER || code == code::SI_TKILL);
    Info { code, pid, ..Info::default() }
}
