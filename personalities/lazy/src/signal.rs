//! Signals: how they are generated, and what becomes of them when a thread looks. "Signals" in `docs/turn-rule.md`.

use crate::errno::EINTR;
use crate::hw::{Event, Hardware};
use crate::kernel::Kernel;
use crate::process::{Continuation, Info, Stand};
use crate::turn::Key;
use abi::linux::nr;
use alloc::vec::Vec;

#[allow(missing_docs)] // each is the signal of that name
mod numbers {
    pub const SIGHUP: u32 = 1;
    pub const SIGINT: u32 = 2;
    pub const SIGILL: u32 = 4;
    pub const SIGTRAP: u32 = 5;
    pub const SIGBUS: u32 = 7;
    pub const SIGKILL: u32 = 9;
    pub const SIGSEGV: u32 = 11;
    pub const SIGPIPE: u32 = 13;
    pub const SIGALRM: u32 = 14;
    pub const SIGCHLD: u32 = 17;
    pub const SIGCONT: u32 = 18;
    pub const SIGSTOP: u32 = 19;
    pub const SIGTSTP: u32 = 20;
    pub const SIGTTIN: u32 = 21;
    pub const SIGTTOU: u32 = 22;
    pub const SIGURG: u32 = 23;
    pub const SIGWINCH: u32 = 28;
}
pub use numbers::*;

/// si_code of the kernel's own signals.
pub const SI_KERNEL: i32 = 0x80;
/// SA_ flags.
pub const SA_NOCLDSTOP: u64 = 1;
/// No zombies.
pub const SA_NOCLDWAIT: u64 = 2;
/// The handler gets its information (always does).
pub const SA_RESTORER: u64 = 0x0400_0000;
/// On the alternate stack.
pub const SA_ONSTACK: u64 = 0x0800_0000;
/// Restart calls.
pub const SA_RESTART: u64 = 0x1000_0000;
/// Do not block the signal itself.
pub const SA_NODEFER: u64 = 0x4000_0000;
/// Once only.
pub const SA_RESETHAND: u64 = 0x8000_0000;

/// A signal's bit in a set.
pub fn bit(signal: u32) -> u64 {
    1u64.checked_shl(signal.wrapping_sub(1)).unwrap_or(0)
}

/// Never blocked, never handled.
pub const UNBLOCKABLE: u64 = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1);

/// Whether an action ignores `signal` in any process, explicitly or by default (Linux' `sig_handler_ignored`).
pub fn ignores(handler: u64, signal: u32) -> bool {
    handler == 1 || handler == 0 && matches!(signal, SIGCHLD | SIGCONT | SIGURG | SIGWINCH)
}

/// What a signal does to a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Nothing.
    Ignore,
    /// Ends it.
    End,
    /// Stops it.
    Stop,
    /// Calls a handler.
    Handle,
}

/// What a look at the pending signals came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing that matters.
    Nothing,
    /// A handler, a stop or the end.
    Decided,
}

/// When a thread looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Before its call is done.
    Before,
    /// At the call's end.
    After,
    /// Outside the round: at any moment.
    Outside,
}

impl<H: Hardware> Kernel<H> {
    /// What `signal` does to process `serial`.
    pub fn disposition(&self, serial: u64, signal: u32) -> Disposition {
        let serial = self.owner(serial);
        let Some(p) = self.processes.get(&serial) else { return Disposition::Ignore };
        let handler = p.actions.get(signal as usize).map_or(0, |a| a.handler);
        match (handler, signal) {
            _ if ignores(handler, signal) => Disposition::Ignore,
            (2.., _) => Disposition::Handle,
            _ if serial == 1 => Disposition::Ignore,
            (_, SIGSTOP | SIGTSTP | SIGTTIN | SIGTTOU) => Disposition::Stop,
            _ => Disposition::End,
        }
    }

    /// The kernel's own signal.
    pub fn generate_kernel(&mut self, serial: u64, signal: u32) {
        self.generate(serial, signal, Info { code: SI_KERNEL, ..Info::default() });
    }

    /// To all members of a group, ascending.
    pub fn generate_group(&mut self, group: u32, signal: u32, info: Info) {
        let members: Vec<u64> =
            self.processes.values().filter(|p| p.group == group && !p.zombie).map(|p| p.serial).collect();
        members.into_iter().for_each(|m| self.generate(m, signal, info));
    }

    /// SIGCHLD, unless it is explicitly ignored, and a wake-up for the parent of `serial`. `code`: CLD_.
    pub fn tell_parent(&mut self, serial: u64, code: i32, status: i32) {
        let Some(p) = self.processes.get(&serial) else { return };
        let (parent, pid) = (p.parent, p.pid);
        let action = self.processes.get(&parent).map(|p| p.actions[SIGCHLD as usize]).unwrap_or_default();
        let quiet = matches!(code, CLD_STOPPED | CLD_CONTINUED) && action.flags & SA_NOCLDSTOP != 0;
        if !quiet && action.handler != 1 {
            self.generate(parent, SIGCHLD, Info { code, fields: [pid, 0, status as u32], address: None });
        }
        self.wake(Key::Children(parent));
    }

    /// Whether a signal is pending that the thread feels under its mask.
    pub fn interrupted(&self, serial: u64) -> bool {
        self.next_signal(serial, false).is_some()
    }

    /// A thread looks at its pending signals.
    pub fn look(&mut self, serial: u64, when: When) -> Looked {
        let mut looked = Looked::Nothing;
        while let Some((signal, own)) = self.next_signal(serial, true) {
            let disposition = self.disposition(serial, signal);
            if disposition == Disposition::Handle && when != When::After && self.end_poll(serial) {
                // What is pending is looked at anew, under the mask that holds now.
                looked = Looked::Decided;
                continue;
            }
            let info = self.take_signal(serial, signal, own);
            match disposition {
                Disposition::Ignore => {}
                Disposition::End => {
                    self.end_process(serial, signal as i32);
                    return Looked::Decided;
                }
                Disposition::Stop => {
                    let group = self.process_of(serial).map_or(0, |p| p.group);
                    if signal != SIGSTOP && self.orphaned(group, None) {
                        continue;
                    }
                    self.note_of(serial, |pid| Event::Stops(pid, signal));
                    self.stop_process(serial, signal);
                    return Looked::Decided;
                }
                Disposition::Handle => {
                    let when = if looked == Looked::Nothing { when } else { When::After };
                    looked = Looked::Decided;
                    if !self.handle(serial, signal, info, when) {
                        return Looked::Decided;
                    }
                }
            }
        }
        looked
    }

    /// Begins a handler; whether the process lives on.
    fn handle(&mut self, serial: u64, signal: u32, info: Info, when: When) -> bool {
        let Some(action) = self.process_of(serial).and_then(|p| p.actions.get(signal as usize)).copied()
        else {
            return false;
        };
        self.note_of(serial, |pid| Event::Handles(pid, signal));
        if when != When::After {
            self.leave_call(serial, action.flags & SA_RESTART != 0);
        }
        if self.push_frame(serial, signal, &info, &action) {
            return true;
        }
        // No room for the frame.
        self.end_process(serial, SIGSEGV as i32);
        false
    }

    /// The call before which a thread stands, or in which it waited, gives way to a handler: it is made again, or has failed, or returns
    /// what it did so far.
    fn leave_call(&mut self, serial: u64, restart: bool) {
        let clock = self.clock();
        let Some(t) = self.threads.get_mut(&serial) else { return };
        if core::mem::replace(&mut t.stand, Stand::User) != Stand::Call {
            return;
        }
        let again = match t.continuation.take() {
            None => true,
            Some(Continuation::Written(n)) if n > 0 => {
                t.registers.x[0] = n;
                return;
            }
            Some(Continuation::Until(until)) => {
                let vtime = t.registers.x[8] == nr::read || t.registers.x[8] == nr::readv;
                if vtime {
                    restart
                } else {
                    let registers = t.registers.clone();
                    self.write_time_left(serial, &registers, until.saturating_sub(clock));
                    false
                }
            }
            Some(Continuation::Poll(_) | Continuation::Suspended) => false,
            Some(Continuation::Woken) => {
                t.registers.x[0] = 0;
                return;
            }
            Some(other) => {
                self.close_opener(Some(other));
                restart
            }
        };
        let Some(t) = self.threads.get_mut(&serial) else { return };
        if again {
            t.registers.pc = t.registers.pc.wrapping_sub(4);
        } else {
            t.registers.x[0] = EINTR.value();
        }
    }

    /// Signals of an outside thread take effect at once; a handler makes the process unagreed.
    pub fn outside_signals(&mut self, serial: u64) {
        let in_call = core::mem::replace(&mut self.memory.in_call, false);
        let next = self.next_signal(serial, false);
        if next.is_some_and(|(s, _)| self.disposition(serial, s) == Disposition::Handle)
            && let Some(p) = self.process_of_mut(serial)
        {
            p.unagreed = true;
            self.go_outermost(serial);
        }
        self.look(serial, When::Outside);
        self.memory.in_call = in_call;
    }

    /// The head was skipped: what was pending takes effect.
    pub fn skipped_signals(&mut self, serial: u64) {
        self.outside_signals(serial);
    }

    /// A fault's signal: it cannot be ignored or blocked.
    pub fn force(&mut self, serial: u64, signal: u32, info: Info) {
        let blocked = self.threads.get(&serial).is_some_and(|t| t.mask & bit(signal) != 0);
        if blocked || self.disposition(serial, signal) != Disposition::Handle {
            self.end_process(serial, signal as i32);
        } else {
            self.add_signal(serial, true, signal, info);
        }
    }

    /// Whether no member of `group` has a parent in its session but in another group; `without`: as if this process were gone.
    pub fn orphaned(&self, group: u32, without: Option<u64>) -> bool {
        !self.processes.values().filter(|p| p.group == group && !p.zombie && Some(p.serial) != without).any(
            |p| {
                let parent = self.processes.get(&p.parent).filter(|q| !q.zombie && Some(q.serial) != without);
                parent.is_some_and(|q| q.session == p.session && q.group != group)
            },
        )
    }
}

/// si_code of SIGCHLD.
pub const CLD_EXITED: i32 = 1;
/// By a signal.
pub const CLD_KILLED: i32 = 2;
/// Stopped.
pub const CLD_STOPPED: i32 = 5;
/// Continued.
pub const CLD_CONTINUED: i32 = 6;
