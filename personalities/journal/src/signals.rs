//! Signals: who has which pending, and what becomes of them when a thread looks (`docs/turn-rule.md`, "Signals").

use crate::process::{Place, Progress, Thing, Wanted};
use crate::state::{State, Wake};
use alloc::vec::Vec;

#[allow(missing_docs)]
pub mod number {
    pub const SIGHUP: u8 = 1;
    pub const SIGINT: u8 = 2;
    pub const SIGKILL: u8 = 9;
    pub const SIGSEGV: u8 = 11;
    pub const SIGPIPE: u8 = 13;
    pub const SIGALRM: u8 = 14;
    pub const SIGCHLD: u8 = 17;
    pub const SIGCONT: u8 = 18;
    pub const SIGSTOP: u8 = 19;
    pub const SIGTSTP: u8 = 20;
    pub const SIGTTIN: u8 = 21;
    pub const SIGTTOU: u8 = 22;
    pub const SIGURG: u8 = 23;
    pub const SIGWINCH: u8 = 28;
}
use number::*;

/// SA_NOCLDSTOP, SA_ONSTACK, SA_RESTART, SA_NODEFER, SA_RESETHAND, SA_RESTORER.
pub const NOCLDSTOP: u64 = 1;
#[allow(missing_docs)]
pub const NOCLDWAIT: u64 = 2;
#[allow(missing_docs)]
pub const ONSTACK: u64 = 0x0800_0000;
#[allow(missing_docs)]
pub const RESTART: u64 = 0x1000_0000;
#[allow(missing_docs)]
pub const NODEFER: u64 = 0x4000_0000;
#[allow(missing_docs)]
pub const RESETHAND: u64 = 0x8000_0000;
#[allow(missing_docs)]
pub const RESTORER: u64 = 0x0400_0000;

/// ss_flags: a handler begins without alternate stack, and its return gives it back.
pub const AUTODISARM: u32 = 1 << 31;

/// Handler addresses with a meaning.
pub const DEFAULT: u64 = 0;
#[allow(missing_docs)]
pub const IGNORE: u64 = 1;

/// An action, as rt_sigaction sets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// Handler, [`DEFAULT`] or [`IGNORE`].
    pub handler: u64,
    /// SA_ flags.
    pub flags: u64,
    /// sa_restorer.
    pub restorer: u64,
    /// Blocked while the handler runs.
    pub mask: u64,
}

/// siginfo, as far as it varies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// si_signo.
    pub signal: u8,
    /// si_code.
    pub code: i32,
    /// si_pid or the low half of si_addr, and so on: the bytes behind the header.
    pub fields: [u64; 2],
    /// fault_address of the frame.
    pub far: u64,
}

/// A handler that has begun; its frame may be pushed later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begun {
    /// What it is told.
    pub info: Info,
    /// The action as it was.
    pub action: Action,
    /// The mask that its frame gives back.
    pub mask: u64,
}

/// A process' signals.
#[derive(Clone, Debug)]
pub struct Signals {
    /// Bit n-1: signal n.
    pub pending: u64,
    /// What came with them, by signal.
    pub infos: Vec<Info>,
    /// Blocked.
    pub mask: u64,
    /// To be restored when the call that waits under `mask` ends.
    pub saved: Option<u64>,
    /// By signal - 1.
    pub actions: Vec<Action>,
    /// ss_sp, ss_flags, ss_size as last set; no size: there is none.
    pub alternate: (u64, u32, u64),
}

impl Default for Signals {
    fn default() -> Self {
        Signals {
            pending: 0,
            infos: Vec::new(),
            mask: 0,
            saved: None,
            actions: alloc::vec![Action::default(); 64],
            alternate: (0, 0, 0),
        }
    }
}

/// SIGKILL and SIGSTOP, which nobody blocks.
pub const UNBLOCKABLE: u64 = 1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1);
const STOPS: u64 = 1 << (SIGSTOP - 1) | 1 << (SIGTSTP - 1) | 1 << (SIGTTIN - 1) | 1 << (SIGTTOU - 1);

/// A signal's bit.
pub fn bit(signal: u8) -> u64 {
    1 << (signal - 1)
}

/// What a signal does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Ignored,
    /// Stops the process.
    Stops,
    /// Ends it.
    Ends,
    /// Runs a handler.
    Handled,
}

/// What a look at the pending signals came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// Nothing was there.
    Nothing,
    /// A handler begins.
    Handler,
    /// The process stopped or ended.
    Left,
}

impl Signals {
    /// Action of a signal.
    pub fn action(&self, signal: u8) -> Action {
        self.actions.get(usize::from(signal) - 1).copied().unwrap_or_default()
    }

    /// What the action does, for any process but the first.
    pub fn effect(&self, signal: u8) -> Effect {
        match self.action(signal).handler {
            IGNORE => Effect::Ignored,
            DEFAULT if bit(signal) & STOPS != 0 => Effect::Stops,
            DEFAULT if [SIGCHLD, SIGCONT, SIGURG, SIGWINCH].contains(&signal) => Effect::Ignored,
            DEFAULT => Effect::Ends,
            _ => Effect::Handled,
        }
    }

    /// Takes the next unblocked one.
    pub fn take(&mut self) -> Option<Info> {
        let ready = self.pending & !self.mask;
        let signal = if ready & bit(SIGKILL) != 0 { SIGKILL } else { ready.trailing_zeros() as u8 + 1 };
        if ready == 0 {
            return None;
        }
        self.pending &= !bit(signal);
        let at = self.infos.iter().position(|i| i.signal == signal);
        Some(at.map_or(Info { signal, ..Info::default() }, |i| self.infos.remove(i)))
    }

    /// A handler begins: what it blocks is blocked from now on.
    pub fn begin(&mut self, info: Info) -> Begun {
        let action = self.action(info.signal);
        let mask = self.saved.take().unwrap_or(self.mask);
        let own = if action.flags & NODEFER != 0 { 0 } else { bit(info.signal) };
        self.mask = (self.mask | action.mask | own) & !UNBLOCKABLE;
        if action.flags & RESETHAND != 0
            && let Some(a) = self.actions.get_mut(usize::from(info.signal) - 1)
        {
            a.handler = DEFAULT;
        }
        Begun { info, action, mask }
    }

    /// Forgets pending ones.
    pub fn forget(&mut self, set: u64) {
        self.pending &= !set;
        self.infos.retain(|i| bit(i.signal) & set == 0);
    }
}

impl State {
    /// The effect of `signal` on `serial`: process 1 ignores what would take its default action.
    pub fn effect_on(&self, serial: u64, signal: u8) -> Effect {
        let p = self.process(serial);
        match p.signals.effect(signal) {
            Effect::Ends | Effect::Stops if p.pid == 1 => Effect::Ignored,
            e => e,
        }
    }

    /// Generates a signal.
    pub fn signal(&mut self, serial: u64, info: Info) {
        let signal = info.signal;
        let p = self.process_mut(serial);
        if p.is_zombie() {
            return;
        }
        if signal == SIGCONT || signal == SIGKILL {
            p.signals.forget(STOPS);
        }
        if signal == SIGCONT
            && let Place::Stopped(_) = p.place
        {
            self.resume(serial);
        }
        if bit(signal) & STOPS != 0 {
            self.process_mut(serial).signals.forget(bit(SIGCONT));
        }
        let p = self.process_mut(serial);
        let stopped = matches!(p.place, Place::Stopped(_));
        let blocked = p.signals.mask & bit(signal) != 0;
        // What is blocked is kept: its action may change before it is let through.
        if p.signals.effect(signal) == Effect::Ignored && !blocked && p.pid != 1 && !stopped {
            return;
        }
        if p.signals.pending & bit(signal) == 0 {
            p.signals.pending |= bit(signal);
            p.signals.infos.push(info);
        }
        let wakes = !blocked && self.effect_on(serial, signal) != Effect::Ignored && !self.in_vfork(serial);
        match self.process(serial).place {
            Place::Waiting(_) if wakes => self.wakes.push(Wake::Thread(serial)),
            Place::Stopped(_) if signal == SIGKILL => self.wakes.push(Wake::Enter(serial)),
            Place::Outside(..) if !blocked => self.look_outside(serial),
            _ => {}
        }
    }

    /// Whether it waits for a vfork child.
    pub fn in_vfork(&self, serial: u64) -> bool {
        matches!(&self.process(serial).wanted, Wanted::Call { progress: Progress { child: Some(_), .. }, .. })
    }

    /// A stopped process goes on.
    fn resume(&mut self, serial: u64) {
        self.wakes.push(Wake::Enter(serial));
        self.process_mut(serial).news = Some(0xffff);
        self.tell_parent(serial, 6, i32::from(SIGCONT));
    }

    /// SIGCHLD, unless the parent asked not to be told, and wait4's wake-up for it. `code`: CLD_.
    pub fn tell_parent(&mut self, serial: u64, code: i32, status: i32) {
        let (parent, pid) = (self.process(serial).parent, self.process(serial).pid);
        if self.processes.get(&parent).is_none() {
            return;
        }
        let action = self.process(parent).signals.action(SIGCHLD);
        let quiet = action.handler == IGNORE || code >= 5 && action.flags & NOCLDSTOP != 0;
        if !quiet {
            let fields = [u64::from(pid), status as u32 as u64];
            self.signal(parent, Info { signal: SIGCHLD, code, fields, far: 0 });
        }
        self.wake(Thing::Children(parent));
    }

    /// To all of a group, by serial.
    pub fn signal_group(&mut self, group: u32, info: Info) -> bool {
        let members: Vec<u64> = self
            .processes
            .values()
            .filter(|p| p.group == group && !p.is_zombie())
            .map(|p| p.serial)
            .collect();
        members.iter().for_each(|s| self.signal(*s, info));
        !members.is_empty()
    }

    /// What is pending and let through by the mask in force, of that what is ignored or all else; in vfork nothing is.
    fn let_through(&self, serial: u64, ignored: bool) -> u64 {
        let s = &self.process(serial).signals;
        let open = s.pending & !s.mask;
        if open == 0 || self.in_vfork(serial) {
            return 0;
        }
        let meant =
            |n: &u8| open & bit(*n) != 0 && (self.effect_on(serial, *n) == Effect::Ignored) == ignored;
        (1..=64).filter(meant).fold(0, |set, n| set | bit(n))
    }

    /// Whether a signal would end the wait of a call, under the mask in force.
    pub fn is_interrupted(&self, serial: u64) -> bool {
        self.let_through(serial, false) != 0
    }

    /// A thread begins to wait: what is ignored and let through, perhaps by a mask of the call's own, is dropped.
    pub fn drop_ignored(&mut self, serial: u64) {
        let ignored = self.let_through(serial, true);
        self.process_mut(serial).signals.forget(ignored);
    }

    /// Looks at the pending signals of a thread. What it stands before becomes EINTR, a repetition or stays, as the action says.
    pub fn look(&mut self, serial: u64) -> Looked {
        let mut looked = Looked::Nothing;
        for begun in self.process_mut(serial).search.take().map(|s| s.begun).unwrap_or_default() {
            looked = self.enter_handler(serial, &begun);
            if looked == Looked::Left {
                return looked;
            }
        }
        while let Some(info) = self.process_mut(serial).signals.take() {
            match self.meet(serial, info) {
                Looked::Nothing => {}
                Looked::Handler => looked = Looked::Handler,
                Looked::Left => return Looked::Left,
            }
        }
        looked
    }

    /// What one signal that was taken does.
    pub fn meet(&mut self, serial: u64, info: Info) -> Looked {
        match self.effect_on(serial, info.signal) {
            Effect::Ignored => Looked::Nothing,
            Effect::Ends => {
                self.end(serial, i32::from(info.signal));
                Looked::Left
            }
            Effect::Stops if info.signal != SIGSTOP && self.is_orphaned(self.process(serial).group) => {
                Looked::Nothing
            }
            Effect::Stops => {
                self.stop(serial, info.signal);
                Looked::Left
            }
            Effect::Handled => {
                let begun = self.process_mut(serial).signals.begin(info);
                self.enter_handler(serial, &begun)
            }
        }
    }

    /// Pushes the frame of a handler; without room the process ends.
    pub fn enter_handler(&mut self, serial: u64, begun: &Begun) -> Looked {
        self.settle(serial, begun.action.flags & RESTART != 0);
        if self.push_frame(serial, begun) {
            return Looked::Handler;
        }
        self.end(serial, i32::from(SIGSEGV));
        Looked::Left
    }

    fn stop(&mut self, serial: u64, signal: u8) {
        let p = self.process_mut(serial);
        p.place = Place::Stopped(signal);
        p.news = Some(i32::from(signal) << 8 | 0x7f);
        self.round.retain(|s| *s != serial);
        self.tell_parent(serial, 5, i32::from(signal));
    }

    /// No member has a parent in another group of the session.
    pub fn is_orphaned(&self, group: u32) -> bool {
        !self.processes.values().any(|p| {
            p.group == group
                && !p.is_zombie()
                && self.processes.get(&p.parent).is_some_and(|q| q.group != group && q.session == p.session)
        })
    }
}
