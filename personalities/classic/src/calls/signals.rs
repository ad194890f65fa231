//! Signal calls.

use super::{Call, Ended};
use crate::deliver::user_info;
use crate::errno::{EINVAL, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::signal::{Action, AltStack, Info, SIGNALS_MAX, SIGSEGV, SigSet, code};
use crate::turns::Serial;
use alloc::vec::Vec;

/// The flags that Linux 6.1 keeps; it clears all others.
const KEPT_FLAGS: u64 =
    0x1 | 0x2 | 0x4 | 0x800 | 0x0400_0000 | 0x0800_0000 | 0x1000_0000 | 0x4000_0000 | 0x8000_0000;

fn signal_of(number: i32) -> Result<u8, Errno> {
    u8::try_from(number).ok().filter(|&s| s <= SIGNALS_MAX).ok_or(EINVAL)
}

fn send<M: Machine>(k: &mut Kernel<M>, c: &Call, targets: &[Serial], signal: u8, code: i32) {
    let pid = k.pid_of(c.process);
    for &serial in targets {
        k.generate(serial, signal, user_info(code, pid));
    }
}

pub(super) fn kill<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let pid = c.int(0);
    let targets: Vec<Serial> = match pid {
        0 => {
            let pgid = k.procs.get(&c.process).map_or(0, |p| p.pgid);
            k.members(pgid)
        }
        -1 => k.procs.keys().copied().filter(|&s| s != 1 && s != c.process).collect(),
        i32::MIN => Vec::new(),
        pid if pid > 0 => k.serial_of(pid).into_iter().collect(),
        pid => k.members(pid.unsigned_abs()),
    };
    if targets.is_empty() {
        return Err(ESRCH);
    }
    // As Linux, which asks for each receiver.
    let signal = signal_of(c.int(1))?;
    send(k, c, &targets, signal, code::SI_USER);
    Ok(0)
}

fn send_to_thread<M: Machine>(
    k: &mut Kernel<M>,
    c: &Call,
    tgid: Option<i32>,
    tid: i32,
    signal: i32,
) -> Result<i64, Errno> {
    if tid <= 0 || tgid.is_some_and(|tgid| tgid <= 0) {
        return Err(EINVAL);
    }
    let target = k.target_of(tgid, tid).ok_or(ESRCH)?;
    let signal = signal_of(signal)?;
    let info = user_info(code::SI_TKILL, k.pid_of(c.process));
    match target {
        Target::Thread(serial) => k.generate_for_thread(serial, signal, info),
        Target::Process(serial) => k.generate(serial, signal, info),
    }
    Ok(0)
}

/// Whom a thread's number means.
enum Target {
    Thread(Serial),
    /// A zombie, or a process whose first thread has ended: the number is in use, and nobody is there.
    Process(Serial),
}

impl<M: Machine> Kernel<M> {
    fn target_of(&self, tgid: Option<i32>, tid: i32) -> Option<Target> {
        let process = self.procs.get(&self.serial_of(tid)?)?;
        if tgid.is_some_and(|tgid| process.pid != tgid as u32) {
            return None;
        }
        Some(self.thread_of_id(tid).map_or(Target::Process(process.serial), Target::Thread))
    }
}

pub(super) fn tkill<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    send_to_thread(k, c, None, c.int(0), c.int(1))
}

pub(super) fn tgkill<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    send_to_thread(k, c, Some(c.int(0)), c.int(1), c.int(2))
}

pub(super) fn rt_sigaction<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let [_, new_at, old_at, size, ..] = c.args;
    if size != 8 {
        return Err(EINVAL);
    }
    let new = if new_at != 0 { Some(Action::from_bytes(&k.read_user(c.serial, new_at)?)) } else { None };
    let signal = signal_of(c.int(0)).ok().filter(|&s| s > 0).ok_or(EINVAL)?;
    if new.is_some() && SigSet::UNBLOCKABLE.has(signal) {
        return Err(EINVAL);
    }
    let room = k.room_for_old(c.serial, old_at, 32)?;
    let p = k.procs.get_mut(&c.process).ok_or(ESRCH)?;
    let old = p.action(signal);
    if let (Some(mut action), Some(slot)) = (new, p.actions.get_mut(usize::from(signal))) {
        action.flags &= KEPT_FLAGS;
        *slot = action;
        if action.is_ignored(signal) {
            k.forget_signals(c.process, SigSet::of(signal));
        }
    }
    room?;
    if old_at != 0 {
        k.write_user(c.serial, old_at, &old.to_bytes())?;
    }
    Ok(0)
}

pub(super) fn rt_sigprocmask<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let [_, new_at, old_at, size, ..] = c.args;
    if size != 8 {
        return Err(EINVAL);
    }
    let old = k.threads.get(&c.serial).ok_or(ESRCH)?.mask;
    let mut mask = old;
    if new_at != 0 {
        let [set] = k.read_words(c.serial, new_at)?;
        match c.int(0) {
            0 => mask.add(SigSet(set)),
            1 => mask.remove(SigSet(set)),
            2 => mask = SigSet(set),
            _ => return Err(EINVAL),
        }
    }
    let room = k.room_for_old(c.serial, old_at, 8)?;
    if let Some(t) = k.threads.get_mut(&c.serial) {
        t.mask = mask.without(SigSet::UNBLOCKABLE);
    }
    room?;
    if old_at != 0 {
        k.write_user(c.serial, old_at, &old.0.to_le_bytes())?;
    }
    Ok(0)
}

pub(super) fn rt_sigpending<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    if c.args[1] > 8 {
        return Err(EINVAL);
    }
    let t = k.threads.get(&c.serial).ok_or(ESRCH)?;
    let p = k.procs.get(&c.process).ok_or(ESRCH)?;
    let set = ((p.pending.set().0 | t.pending.set().0) & t.mask.0).to_le_bytes();
    let n = (c.args[1] as usize).min(set.len());
    k.write_user(c.serial, c.args[0], &set[..n])?;
    Ok(0)
}

pub(super) fn rt_sigsuspend<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    if c.args[1] != 8 {
        return Err(EINVAL);
    }
    if k.threads.get(&c.serial).is_some_and(|t| !t.repeated) {
        let [mask] = k.read_words(c.serial, c.args[0])?;
        k.replace_mask(c.serial, SigSet(mask));
    }
    Ok(Ended::Block { keys: Vec::new(), deadline_us: None })
}

pub(super) fn rt_sigreturn<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    if !k.pop_frame(c.serial) {
        k.force(c.serial, SIGSEGV, Info::kernel());
    }
    Ok(Ended::NoResult)
}

pub(super) fn sigaltstack<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let [new_at, old_at, ..] = c.args;
    let t = k.threads.get(&c.serial).ok_or(ESRCH)?;
    let (mut stack, sp) = (t.altstack, t.registers.sp);
    let old = AltStack { flags: stack.shown_flags(sp), ..stack };
    if new_at != 0 {
        let new = AltStack::from_bytes(&k.read_user(c.serial, new_at)?);
        stack = stack.set(new, sp)?;
    }
    let room = k.room_for_old(c.serial, old_at, 24)?;
    if let Some(t) = k.threads.get_mut(&c.serial) {
        t.altstack = stack;
    }
    room?;
    if old_at != 0 {
        k.write_user(c.serial, old_at, &old.to_bytes())?;
    }
    Ok(0)
}
