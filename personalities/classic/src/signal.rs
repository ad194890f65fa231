//! Signals as data: sets, actions, what is known of one that is pending, and what Linux does by default.

use crate::errno::{EINVAL, ENOMEM, EPERM, Errno};
use alloc::collections::BTreeMap;

/// SIGHUP.
pub const SIGHUP: u8 = 1;
/// SIGILL.
pub const SIGILL: u8 = 4;
/// SIGTRAP.
pub const SIGTRAP: u8 = 5;
/// SIGBUS.
pub const SIGBUS: u8 = 7;
/// SIGKILL.
pub const SIGKILL: u8 = 9;
/// SIGSEGV.
pub const SIGSEGV: u8 = 11;
/// SIGALRM.
pub const SIGALRM: u8 = 14;
/// SIGCHLD.
pub const SIGCHLD: u8 = 17;
/// SIGCONT.
pub const SIGCONT: u8 = 18;
/// SIGSTOP.
pub const SIGSTOP: u8 = 19;
/// Signals are 1 to this.
pub const SIGNALS_MAX: u8 = 64;

/// A set of signals, bit n-1 for signal n.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SigSet(pub u64);

impl SigSet {
    /// SIGKILL and SIGSTOP: they can be neither blocked nor caught.
    pub const UNBLOCKABLE: SigSet = SigSet(1 << (SIGKILL - 1) | 1 << (SIGSTOP - 1));
    /// SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU.
    pub const STOPS: SigSet = SigSet(0b1111 << (SIGSTOP - 1));

    /// The set of one signal.
    pub fn of(signal: u8) -> SigSet {
        SigSet(1 << (u64::from(signal.clamp(1, SIGNALS_MAX)) - 1))
    }
    /// Whether `signal` is in it.
    pub fn has(self, signal: u8) -> bool {
        self.0 & SigSet::of(signal).0 != 0
    }
    /// Adds.
    pub fn add(&mut self, other: SigSet) {
        self.0 |= other.0;
    }
    /// Takes away.
    pub fn remove(&mut self, other: SigSet) {
        self.0 &= !other.0;
    }
    /// Those of this that are not in `other`.
    pub fn without(self, other: SigSet) -> SigSet {
        SigSet(self.0 & !other.0)
    }
    /// The one that is taken first: SIGKILL, then the lowest number.
    pub fn first(self) -> Option<u8> {
        if self.has(SIGKILL) {
            return Some(SIGKILL);
        }
        (self.0 != 0).then(|| self.0.trailing_zeros() as u8 + 1)
    }
}

/// SIG_DFL.
pub const SIG_DFL: u64 = 0;
/// SIG_IGN.
pub const SIG_IGN: u64 = 1;

/// Flags of an action.
pub mod flags {
    #![allow(missing_docs)] // each is Linux' SA_ flag of that name
    pub const NOCLDSTOP: u64 = 1;
    pub const NOCLDWAIT: u64 = 2;
    pub const RESTORER: u64 = 0x0400_0000;
    pub const ONSTACK: u64 = 0x0800_0000;
    pub const RESTART: u64 = 0x1000_0000;
    pub const NODEFER: u64 = 0x4000_0000;
    pub const RESETHAND: u64 = 0x8000_0000;
}

/// What a process does at a signal: Linux' `struct sigaction` as arm64 lays it out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Action {
    /// SIG_DFL, SIG_IGN or an address.
    pub handler: u64,
    /// SA_ flags.
    pub flags: u64,
    /// Where the handler returns to, with SA_RESTORER.
    pub restorer: u64,
    /// Blocked while it runs.
    pub mask: SigSet,
}

impl Action {
    /// From the 32 bytes of `struct sigaction`.
    pub fn from_bytes(b: &[u8; 32]) -> Action {
        let [handler, flags, restorer, mask] = words(b);
        Action { handler, flags, restorer, mask: SigSet(mask).without(SigSet::UNBLOCKABLE) }
    }
    /// To those bytes.
    pub fn to_bytes(self) -> [u8; 32] {
        let mut b = [0; 32];
        for (to, from) in b.chunks_mut(8).zip([self.handler, self.flags, self.restorer, self.mask.0]) {
            to.copy_from_slice(&from.to_le_bytes());
        }
        b
    }
    /// Whether it ignores `signal`, explicitly or by default. (What is ignored only because the process is process 1 is another matter.)
    pub fn is_ignored(&self, signal: u8) -> bool {
        let by_default = matches!(default_action(signal), Disposition::Ignore | Disposition::Continue);
        self.handler == SIG_IGN || self.handler == SIG_DFL && by_default
    }
    /// Whether it is an address.
    pub fn is_handler(&self) -> bool {
        self.handler > SIG_IGN
    }
}

pub(crate) fn words<const N: usize>(b: &[u8]) -> [u64; N] {
    core::array::from_fn(|i| {
        b.get(i * 8..i * 8 + 8).map_or(0, |c| c.iter().rev().fold(0, |w, &x| w << 8 | u64::from(x)))
    })
}

/// What Linux does with a signal by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// The process ends.
    End,
    /// Nothing.
    Ignore,
    /// The process stops.
    Stop,
    /// A stopped process goes on (nothing else).
    Continue,
}

/// Default action of `signal`.
pub fn default_action(signal: u8) -> Disposition {
    match signal {
        17 | 23 | 28 => Disposition::Ignore,
        18 => Disposition::Continue,
        19..=22 => Disposition::Stop,
        _ => Disposition::End,
    }
}

/// What is known of a pending signal: the parts of `siginfo_t` that this kernel fills.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Info {
    /// si_code.
    pub code: i32,
    /// si_pid, for kill and children.
    pub pid: u32,
    /// si_uid.
    pub uid: u32,
    /// si_status, for children.
    pub status: i32,
    /// si_addr, for faults.
    pub address: u64,
}

/// Signals that came and were not taken yet, each with what is known of its first.
#[derive(Clone, Debug, Default)]
pub struct Pending(BTreeMap<u8, Info>);

impl Pending {
    /// Which they are.
    pub fn set(&self) -> SigSet {
        SigSet(self.0.keys().fold(0, |set, &s| set | SigSet::of(s).0))
    }
    /// One more; of a signal that is there already nothing is added.
    pub fn add(&mut self, signal: u8, info: Info) {
        self.0.entry(signal).or_insert(info);
    }
    /// Takes one.
    pub fn take(&mut self, signal: u8) -> Option<Info> {
        self.0.remove(&signal)
    }
    /// Forgets those of `set`.
    pub fn remove(&mut self, set: SigSet) {
        self.0.retain(|&s, _| !set.has(s));
    }
    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u8, Info)> + '_ {
        self.0.iter().map(|(&s, &info)| (s, info))
    }
}

/// si_code values.
pub mod code {
    #![allow(missing_docs)] // each is Linux' value of that name
    pub const SI_USER: i32 = 0;
    pub const SI_KERNEL: i32 = 0x80;
    pub const SI_TKILL: i32 = -6;
    pub const CLD_EXITED: i32 = 1;
    pub const CLD_KILLED: i32 = 2;
    pub const CLD_STOPPED: i32 = 5;
    pub const CLD_CONTINUED: i32 = 6;
    pub const SEGV_MAPERR: i32 = 1;
    pub const SEGV_ACCERR: i32 = 2;
    pub const BUS_ADRALN: i32 = 1;
    pub const BUS_ADRERR: i32 = 2;
    pub const ILL_ILLOPC: i32 = 1;
    pub const TRAP_BRKPT: i32 = 1;
}

impl Info {
    /// From the kernel or the terminal.
    pub fn kernel() -> Info {
        Info { code: code::SI_KERNEL, ..Info::default() }
    }
    /// The 128 bytes of `siginfo_t` for `signal`.
    pub fn to_bytes(self, signal: u8) -> [u8; 128] {
        let mut b = [0; 128];
        let mut put = |at: usize, bytes: &[u8]| {
            if let Some(to) = b.get_mut(at..at + bytes.len()) {
                to.copy_from_slice(bytes);
            }
        };
        put(0, &i32::from(signal).to_le_bytes());
        put(8, &self.code.to_le_bytes());
        let is_fault =
            matches!(signal, SIGILL | SIGTRAP | SIGBUS | SIGSEGV | 8) && self.code > 0 && self.code < 0x80;
        if is_fault {
            put(16, &self.address.to_le_bytes());
        } else {
            put(16, &self.pid.to_le_bytes());
            put(20, &self.uid.to_le_bytes());
            put(24, &self.status.to_le_bytes());
        }
        b
    }
}

/// The alternate stack: `stack_t`, as last set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AltStack {
    /// Lowest address.
    pub base: u64,
    /// Bytes; 0: there is none.
    pub size: u64,
    /// Flags as set.
    pub flags: u32,
}

impl AltStack {
    /// SS_ONSTACK.
    pub const ONSTACK: u32 = 1;
    /// SS_DISABLE.
    pub const DISABLE: u32 = 2;
    /// SS_AUTODISARM.
    pub const AUTODISARM: u32 = 1 << 31;
    /// The smallest that Linux' arm64 accepts (MINSIGSTKSZ).
    pub const SIZE_MIN: u64 = 5120;

    /// Whether `sp` is on it.
    pub fn holds(&self, sp: u64) -> bool {
        self.flags & Self::AUTODISARM == 0 && sp > self.base && sp - self.base <= self.size
    }
    /// The flags that `sigaltstack` shows with stack pointer `sp`.
    pub fn shown_flags(&self, sp: u64) -> u32 {
        let state = match (self.size, self.holds(sp)) {
            (0, _) => Self::DISABLE,
            (_, true) => Self::ONSTACK,
            (_, false) => 0,
        };
        state | self.flags & Self::AUTODISARM
    }
    /// The 24 bytes of `stack_t`.
    pub fn to_bytes(self) -> [u8; 24] {
        let mut b = [0; 24];
        b[..8].copy_from_slice(&self.base.to_le_bytes());
        b[8..12].copy_from_slice(&self.flags.to_le_bytes());
        b[16..].copy_from_slice(&self.size.to_le_bytes());
        b
    }
    /// From those bytes.
    pub fn from_bytes(b: &[u8; 24]) -> AltStack {
        let [base, flags, size] = words(b);
        AltStack { base, flags: flags as u32, size }
    }
    /// What setting `new` with stack pointer `sp` gives.
    pub fn set(self, new: AltStack, sp: u64) -> Result<AltStack, Errno> {
        if self.holds(sp) {
            return Err(EPERM);
        }
        match new.flags & !Self::AUTODISARM {
            Self::DISABLE => Ok(AltStack { base: 0, size: 0, flags: new.flags }),
            0 | Self::ONSTACK if new.size < Self::SIZE_MIN => Err(ENOMEM),
            0 | Self::ONSTACK => Ok(new),
            _ => Err(EINVAL),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kill_comes_before_the_lowest_number() {
        let mut set = SigSet::of(2);
        set.add(SigSet::of(64));
        assert_eq!(set.first(), Some(2));
        set.add(SigSet::of(SIGKILL));
        assert_eq!(set.first(), Some(SIGKILL));
        assert_eq!(SigSet(0).first(), None);
    }

    #[test]
    fn an_action_survives_its_bytes() {
        let a = Action { handler: 0x40_1234, flags: flags::RESTART, restorer: 7, mask: SigSet::of(2) };
        assert_eq!(Action::from_bytes(&a.to_bytes()), a);
    }

    #[test]
    fn stop_signals_are_the_four() {
        for s in 1..=64 {
            assert_eq!(SigSet::STOPS.has(s), default_action(s) == Disposition::Stop);
        }
    }
}
