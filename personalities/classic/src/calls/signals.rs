//! Signal calls.

use super::{Call, Ended};
use crate::deliver::user_info;
use crate::errno::{EINVAL, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::Effect;
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
    let pid = k.pid_of(c.serial);
    for &serial in targets {
        k.generate(serial, signal, user_info(code, pid));
    }
}

pub(super) fn kill<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let pid = c.int(0);
    let signal = signal_of(c.int(1))?;
    let targets: Vec<Serial> = match pid {
        0 => {
            let pgid = k.procs.get(&c.serial).map_or(0, |p| p.pgid);
            k.members(pgid)
        }
        -1 => k.procs.keys().copied().filter(|&s| s != 1 && s != c.serial).collect(),
        i32::MIN => Vec::new(),
        pid if pid > 0 => k.serial_of(pid).into_iter().collect(),
        pid => k.members(pid.unsigned_abs()),
    };
    if targets.is_empty() {
        return Err(ESRCH);
    }
    send(k, c, &targets, signal, code::SI_USER);
    Ok(0)
}

fn send_to_thread<M: Machine>(
    k: &mut Kernel<M>,
    c: &Call,
    tgid: i32,
    tid: i32,
    signal: i32,
) -> Result<i64, Errno> {
    if tid <= 0 || tgid <= 0 {
        return Err(EINVAL);
    }
    let target = k.serial_of(tid).filter(|_| tid == tgid).ok_or(ESRCH)?;
    let signal = signal_of(signal)?;
    send(k, c, &[target], signal, code::SI_TKILL);
    Ok(0)
}

pub(super) fn tkill<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    send_to_thread(k, c, c.int(0), c.int(0), c.int(1))
}

pub(super) fn tgkill<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    send_to_thread(k, c, c.int(0), c.int(1), c.int(2))
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
    k.check_writable(c.serial, old_at, 32)?;
    let p = k.procs.get_mut(&c.serial).ok_or(ESRCH)?;
    let old = p.action(signal);
    if let (Some(mut action), Some(slot)) = (new, p.actions.get_mut(usize::from(signal))) {
        action.flags &= KEPT_FLAGS;
        *slot = action;
        if p.effect_of(signal) == Effect::Ignored {
            p.pending.remove(SigSet::of(signal));
        }
    }
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
    let old = k.procs.get(&c.serial).ok_or(ESRCH)?.mask;
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
    if old_at != 0 {
        k.write_user(c.serial, old_at, &old.0.to_le_bytes())?;
    }
    if let Some(p) = k.procs.get_mut(&c.serial) {
        p.mask = mask.without(SigSet::UNBLOCKABLE);
    }
    Ok(0)
}

pub(super) fn rt_sigpending<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    if c.args[1] > 8 {
        return Err(EINVAL);
    }
    let p = k.procs.get(&c.serial).ok_or(ESRCH)?;
    let set = (p.pending.0 & p.mask.0).to_le_bytes();
    let n = (c.args[1] as usize).min(set.len());
    k.write_user(c.serial, c.args[0], &set[..n])?;
    Ok(0)
}

pub(super) fn rt_sigsuspend<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    if c.args[1] != 8 {
        return Err(EINVAL);
    }
    if k.procs.get(&c.serial).is_some_and(|p| !p.repeated) {
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
    let p = k.procs.get(&c.serial).ok_or(ESRCH)?;
    let (mut stack, sp) = (p.altstack, p.registers.sp);
    let old = AltStack { flags: stack.shown_flags(sp), ..stack };
    if new_at != 0 {
        let new = AltStack::from_bytes(&k.read_user(c.serial, new_at)?);
        stack = stack.set(new, sp)?;
    }
    if old_at != 0 {
        k.write_user(c.serial, old_at, &old.to_bytes())?;
    }
    if let Some(p) = k.procs.get_mut(&c.serial) {
        p.altstack = stack;
    }
    Ok(0)
}
