//! Signals: generating, and what a thread finds when it looks ("Signals" in the turn rule).

use super::{Process, Processes};
use crate::bytes::Out;
use crate::post::{Note, Post};
use crate::turns::{Serial, Thing};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Signal numbers.
#[allow(missing_docs)] // each is the signal of that name
pub mod sig {
    pub const SIGHUP: u8 = 1;
    pub const SIGILL: u8 = 4;
    pub const SIGTRAP: u8 = 5;
    pub const SIGBUS: u8 = 7;
    pub const SIGKILL: u8 = 9;
    pub const SIGSEGV: u8 = 11;
    pub const SIGPIPE: u8 = 13;
    pub const SIGALRM: u8 = 14;
    pub const SIGCHLD: u8 = 17;
    pub const SIGCONT: u8 = 18;
    pub const SIGSTOP: u8 = 19;
    pub const SIGTTIN: u8 = 21;
    pub const SIGTTOU: u8 = 22;
    pub const SIGURG: u8 = 23;
    pub const SIGWINCH: u8 = 28;
    pub const LAST: u8 = 64;
}
use sig::*;

const SIG_DFL: u64 = 0;
const SIG_IGN: u64 = 1;
pub const SA_NOCLDSTOP: u64 = 1;
pub const SA_NOCLDWAIT: u64 = 2;
pub const SA_RESTORER: u64 = 0x0400_0000;
pub const SA_ONSTACK: u64 = 0x0800_0000;
pub const SA_RESTART: u64 = 0x1000_0000;
pub const SA_NODEFER: u64 = 0x4000_0000;
pub const SA_RESETHAND: u64 = 0x8000_0000;
/// Flags that Linux keeps: the others read as zero.
const SA_KNOWN: u64 = SA_NOCLDSTOP
    | SA_NOCLDWAIT
    | 4
    | 0x800
    | SA_RESTORER
    | SA_ONSTACK
    | SA_RESTART
    | SA_NODEFER
    | SA_RESETHAND;

/// What can never be blocked.
pub const UNBLOCKABLE: u64 = bit(SIGKILL) | bit(SIGSTOP);
const STOPS: u64 = bit(SIGSTOP) | bit(20) | bit(SIGTTIN) | bit(SIGTTOU);

/// A signal's bit in a mask.
pub const fn bit(signal: u8) -> u64 {
    1 << (signal - 1)
}

pub fn default_is_ignore(signal: u8) -> bool {
    matches!(signal, SIGCHLD | SIGCONT | SIGURG | SIGWINCH)
}

pub fn default_is_stop(signal: u8) -> bool {
    STOPS & bit(signal) != 0
}

/// The part of a siginfo that depends on its kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Payload {
    Nothing,
    Sender { pid: u32 },
    Child { pid: u32, status: i32 },
    Address(u64),
}

/// A siginfo.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Info {
    pub signal: u8,
    pub code: i32,
    pub payload: Payload,
}

const SI_USER: i32 = 0;
pub const SI_KERNEL: i32 = 0x80;
pub const CLD_EXITED: i32 = 1;
pub const CLD_KILLED: i32 = 2;
pub const CLD_STOPPED: i32 = 5;
pub const CLD_CONTINUED: i32 = 6;

impl Info {
    pub fn kernel(signal: u8) -> Info {
        Info { signal, code: SI_KERNEL, payload: Payload::Nothing }
    }

    pub fn user(signal: u8, pid: u32) -> Info {
        Info { signal, code: SI_USER, payload: Payload::Sender { pid } }
    }

    /// `siginfo_t`, 128 bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Out::default();
        out.u32(self.signal.into()).u32(0).u32(self.code as u32).u32(0);
        match self.payload {
            Payload::Nothing => {}
            Payload::Sender { pid } => _ = out.u32(pid).u32(0),
            Payload::Child { pid, status } => _ = out.u32(pid).u32(0).u32(status as u32),
            Payload::Address(address) => _ = out.u64(address),
        }
        out.to(128);
        out.0
    }
}

/// `struct sigaction` as the kernel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Action {
    pub handler: u64,
    pub flags: u64,
    pub restorer: u64,
    pub mask: u64,
}

/// sigaltstack(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct AltStack {
    pub sp: u64,
    pub flags: u32,
    pub size: u64,
}

/// A process' signals.
#[derive(Clone)]
pub struct Signals {
    pub pending: BTreeMap<u8, Info>,
    /// In force now.
    pub mask: u64,
    /// To come back after a call that waits under a mask of its own.
    pub saved_mask: Option<u64>,
    actions: [Action; 64],
    pub stack: AltStack,
    /// A fault's signal, which nothing ignores.
    forced: Option<u8>,
}

impl Default for Signals {
    fn default() -> Signals {
        let stack = AltStack::default();
        let actions = [Action::default(); 64];
        Signals { pending: BTreeMap::new(), mask: 0, saved_mask: None, actions, stack, forced: None }
    }
}

impl Signals {
    pub fn action(&self, signal: u8) -> Action {
        self.actions[usize::from(signal - 1)]
    }

    /// Sets an action as sigaction(2) does; pending signals that it ignores go.
    pub fn set_action(&mut self, signal: u8, mut action: Action) {
        action.mask &= !UNBLOCKABLE;
        action.flags &= SA_KNOWN;
        self.actions[usize::from(signal - 1)] = action;
        let ignored = action.handler == SIG_IGN || action.handler == SIG_DFL && default_is_ignore(signal);
        if ignored {
            self.pending.remove(&signal);
        }
    }

    pub fn ignores(&self, signal: u8) -> bool {
        let handler = self.action(signal).handler;
        handler == SIG_IGN || handler == SIG_DFL && default_is_ignore(signal)
    }

    /// Whether the mask in force holds a signal back.
    pub fn blocks(&self, signal: u8) -> bool {
        self.mask & !UNBLOCKABLE & bit(signal) != 0
    }

    pub fn has_handler(&self, signal: u8) -> bool {
        self.action(signal).handler > SIG_IGN
    }

    /// Signals whose handler is `handler`, as a mask.
    fn with(&self, matches: impl Fn(u64) -> bool) -> u64 {
        (1..=LAST).filter(|s| matches(self.action(*s).handler)).map(bit).sum()
    }

    /// The mask while a handler runs comes into force; the one that its frame keeps.
    pub fn enter_handler(&mut self, signal: u8, action: &Action) -> u64 {
        let now = self.mask;
        self.mask |= action.mask | if action.flags & SA_NODEFER == 0 { bit(signal) } else { 0 };
        self.mask &= !UNBLOCKABLE;
        self.saved_mask.take().unwrap_or(now)
    }

    pub fn ignored_set(&self) -> u64 {
        self.with(|h| h == SIG_IGN)
    }

    pub fn caught_set(&self) -> u64 {
        self.with(|h| h > SIG_IGN)
    }

    pub fn pending_set(&self) -> u64 {
        self.pending.keys().map(|s| bit(*s)).sum()
    }

    /// Handlers become default, ignored stay; the alternate stack is forgotten.
    pub fn exec(&mut self) {
        for a in &mut self.actions {
            *a =
                Action { handler: if a.handler == SIG_IGN { SIG_IGN } else { SIG_DFL }, ..Action::default() };
        }
        self.stack = AltStack::default();
    }
}

/// What a signal does to the thread that takes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Delivery {
    Handler(Info, Action),
    Stop(u8),
    /// The process ends with this wait status.
    End(i32),
}

impl Process {
    /// Process 1 ignores what it has no handler for.
    pub fn ignores(&self, signal: u8) -> bool {
        self.signals.ignores(signal) || self.pid == 1 && !self.signals.has_handler(signal)
    }

    /// Whether a signal is pending that would end a wait.
    pub fn is_disturbed(&self) -> bool {
        let s = &self.signals;
        s.pending.keys().any(|n| !s.blocks(*n) && !self.ignores(*n))
    }

    /// Before it waits: of what the mask lets through, pending signals that are ignored go, as if they were taken.
    pub fn drop_ignored(&mut self) {
        let mut pending = core::mem::take(&mut self.signals.pending);
        pending.retain(|n, _| self.signals.blocks(*n) || !self.ignores(*n));
        self.signals.pending = pending;
    }

    /// The next signal to take: unblocked, SIGKILL first, then the lowest number.
    fn next(&self) -> Option<u8> {
        if self.signals.pending.contains_key(&SIGKILL) {
            return Some(SIGKILL);
        }
        self.signals.pending.keys().copied().find(|n| !self.signals.blocks(*n))
    }
}

impl Processes {
    /// A signal is generated for a process.
    pub fn generate(&mut self, serial: Serial, info: Info, post: &mut Post) {
        let signal = info.signal;
        let Some(p) = self.all.get_mut(&serial).filter(|p| p.ended.is_none()) else { return };
        let mut continued = false;
        if signal == SIGCONT {
            p.signals.pending.retain(|n, _| !default_is_stop(*n));
            continued = p.stopped.take().is_some();
        } else if default_is_stop(signal) {
            p.signals.pending.remove(&SIGCONT);
        }
        if continued {
            p.stop_news = false;
            p.continue_news = true;
            let child = Payload::Child { pid: p.pid, status: SIGCONT.into() };
            let parent = p.parent;
            post.send(Note::Enter(serial));
            self.tell_parent(parent, Info { signal: SIGCHLD, code: CLD_CONTINUED, payload: child }, post);
        }
        let Some(p) = self.all.get_mut(&serial) else { return };
        let (ignored, blocked) = (p.ignores(signal), p.signals.blocks(signal));
        // What is blocked is kept though it is ignored: its action may change before it is let through.
        if ignored && !blocked && p.pid != 1 && p.stopped.is_none() {
            return;
        }
        p.signals.pending.entry(signal).or_insert(info);
        if signal == SIGKILL && p.stopped.is_some() && !ignored {
            p.stopped = None;
            post.send(Note::Enter(serial));
        } else if p.stopped.is_none() && !ignored && !blocked {
            post.send(Note::Rouse(serial));
            post.send(Note::Outside(serial));
        }
    }

    /// SIGCHLD, unless the parent has set it to be ignored or does not want to hear of stops; then its waiting ends.
    pub(super) fn tell_parent(&mut self, parent: Serial, info: Info, post: &mut Post) {
        let Some(p) = self.all.get(&parent) else { return };
        let action = p.signals.action(SIGCHLD);
        let about_stop = matches!(info.code, CLD_STOPPED | CLD_CONTINUED);
        let unheard = about_stop && action.flags & SA_NOCLDSTOP != 0;
        if action.handler != SIG_IGN && !unheard {
            self.generate(parent, info, post);
        }
        post.send(Note::Wake(Thing::Children(parent)));
    }

    /// The signal that a thread takes now, if any. Those that are ignored are dropped on the way.
    pub fn take(&mut self, serial: Serial) -> Option<Delivery> {
        loop {
            let p = self.all.get_mut(&serial)?;
            let signal = p.next()?;
            let info = p.signals.pending.remove(&signal)?;
            let forced = p.signals.forced == Some(signal);
            if forced {
                p.signals.forced = None;
            } else if p.ignores(signal) {
                continue;
            }
            let action = p.signals.action(signal);
            if action.handler > SIG_IGN && signal != SIGKILL {
                if action.flags & SA_RESETHAND != 0 {
                    p.signals.actions[usize::from(signal - 1)].handler = SIG_DFL;
                }
                return Some(Delivery::Handler(info, action));
            }
            if default_is_stop(signal) {
                let group = p.pgid;
                if signal != SIGSTOP && self.is_orphaned(group, None) {
                    continue;
                }
                return Some(Delivery::Stop(signal));
            }
            return Some(Delivery::End(signal.into()));
        }
    }

    /// A signal that was taken for its handler stays pending after all, if the mask in force holds it back; whether it does.
    pub fn take_back(&mut self, serial: Serial, info: Info, action: Action) -> bool {
        let Some(s) = self.all.get_mut(&serial).map(|p| &mut p.signals) else { return false };
        let is_blocked = s.blocks(info.signal);
        if is_blocked {
            s.actions[usize::from(info.signal - 1)] = action;
            s.pending.insert(info.signal, info);
        }
        is_blocked
    }

    /// A fault's signal: it is taken whatever the mask says, and kills if it is blocked or ignored.
    pub fn force(&mut self, serial: Serial, info: Info) {
        if let Some(p) = self.all.get_mut(&serial) {
            let s = &mut p.signals;
            let blocked = s.mask & bit(info.signal) != 0;
            if blocked || s.action(info.signal).handler == SIG_IGN {
                s.actions[usize::from(info.signal - 1)] = Action::default();
                s.mask &= !bit(info.signal);
            }
            s.forced = Some(info.signal);
            s.pending.insert(info.signal, info);
        }
    }

    /// A process stops.
    pub fn stop(&mut self, serial: Serial, signal: u8, post: &mut Post) {
        let Some(p) = self.all.get_mut(&serial) else { return };
        p.stopped = Some(signal);
        p.stop_news = true;
        p.continue_news = false;
        let (parent, payload) = (p.parent, Payload::Child { pid: p.pid, status: signal.into() });
        self.tell_parent(parent, Info { signal: SIGCHLD, code: CLD_STOPPED, payload }, post);
    }
}
