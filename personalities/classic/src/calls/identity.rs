//! Pids, groups, sessions, priorities, and what prctl keeps.

use super::Call;
use crate::errno::{EACCES, EINVAL, EPERM, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::Process;
use crate::turns::Serial;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// The process with this pid, or with a thread of this number.
    pub(crate) fn serial_of(&self, pid: i32) -> Option<Serial> {
        let pid = u32::try_from(pid).ok()?;
        let process = self.procs.values().find(|p| p.pid == pid).map(|p| p.serial);
        process.or_else(|| self.threads.values().find(|t| t.tid == pid).map(|t| t.process))
    }

    /// The thread with this number.
    pub(crate) fn thread_of_id(&self, tid: i32) -> Option<Serial> {
        self.threads.values().find(|t| i64::from(t.tid) == i64::from(tid)).map(|t| t.serial)
    }

    fn caller(&self, c: &Call) -> Result<&Process, Errno> {
        self.procs.get(&c.process).ok_or(ESRCH)
    }

    /// The process that an argument means: 0 is the caller.
    fn meant(&self, c: &Call, pid: i32) -> Result<&Process, Errno> {
        let serial = if pid == 0 { c.process } else { self.serial_of(pid).ok_or(ESRCH)? };
        self.procs.get(&serial).ok_or(ESRCH)
    }
}

pub(super) fn getpid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    Ok(k.caller(c)?.pid.into())
}

pub(super) fn getppid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let parent = k.caller(c)?.parent;
    Ok(k.pid_of(parent).into())
}

pub(super) fn getpgid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    Ok(k.meant(c, c.int(0))?.pgid.into())
}

pub(super) fn getsid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    Ok(k.meant(c, c.int(0))?.sid.into())
}

pub(super) fn setpgid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let (pid, pgid) = (c.int(0), c.int(1));
    // Linux' order: a group of 0 is the process' own number, and that one is checked first, whether or not it is anybody's.
    if pgid < 0 || pgid == 0 && pid < 0 {
        return Err(EINVAL);
    }
    let target = k.meant(c, pid)?;
    let caller = k.caller(c)?;
    if pid != 0 && target.pid != pid as u32 {
        return Err(EINVAL);
    }
    if target.parent == c.process {
        if target.sid != caller.sid {
            return Err(EPERM);
        }
        if target.did_exec {
            return Err(EACCES);
        }
    } else if target.serial != c.process {
        return Err(ESRCH);
    }
    if target.sid == target.pid {
        return Err(EPERM);
    }
    let group = if pgid == 0 { target.pid } else { pgid as u32 };
    if group != target.pid && !k.procs.values().any(|p| p.pgid == group && p.sid == caller.sid) {
        return Err(EPERM);
    }
    let serial = target.serial;
    if let Some(p) = k.procs.get_mut(&serial) {
        p.pgid = group;
    }
    Ok(0)
}

pub(super) fn setsid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let pid = k.caller(c)?.pid;
    if k.procs.values().any(|p| p.pgid == pid) {
        return Err(EPERM);
    }
    if let Some(p) = k.procs.get_mut(&c.process) {
        (p.sid, p.pgid) = (pid, pid);
    }
    Ok(pid.into())
}

const PRIO_PROCESS: i32 = 0;
const PRIO_PGRP: i32 = 1;
const PRIO_USER: i32 = 2;

fn priority_targets<M: Machine>(k: &Kernel<M>, c: &Call) -> Result<Vec<Serial>, Errno> {
    let who = c.int(1);
    let found: Vec<Serial> = match c.int(0) {
        PRIO_PROCESS => k.meant(c, who).map(|p| p.serial).into_iter().collect(),
        PRIO_PGRP => {
            let pgid = if who == 0 { k.caller(c)?.pgid } else { who as u32 };
            k.members(pgid)
        }
        PRIO_USER if who == 0 => k.procs.keys().copied().collect(),
        PRIO_USER => Vec::new(),
        _ => return Err(EINVAL),
    };
    if found.is_empty() { Err(ESRCH) } else { Ok(found) }
}

pub(super) fn getpriority<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let targets = priority_targets(k, c)?;
    let nices = targets.iter().filter_map(|s| k.procs.get(s)).map(|p| 20 - i64::from(p.nice));
    nices.max().ok_or(ESRCH)
}

pub(super) fn setpriority<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let nice = c.int(2).clamp(-20, 19) as i8;
    for serial in priority_targets(k, c)? {
        if let Some(p) = k.procs.get_mut(&serial) {
            p.nice = nice;
        }
    }
    Ok(0)
}

pub(super) fn gettid<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    Ok(k.threads.get(&c.serial).ok_or(ESRCH)?.tid.into())
}

pub(super) fn set_tid_address<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    if let Some(t) = k.threads.get_mut(&c.serial) {
        t.clear_child_tid = c.args[0];
    }
    gettid(k, c)
}

const PR_SET_PDEATHSIG: i32 = 1;
const PR_GET_PDEATHSIG: i32 = 2;
const PR_GET_DUMPABLE: i32 = 3;
const PR_SET_DUMPABLE: i32 = 4;
const PR_SET_NAME: i32 = 15;
const PR_GET_NAME: i32 = 16;
const PR_CAPBSET_READ: i32 = 23;
const PR_SET_NO_NEW_PRIVS: i32 = 38;
const PR_GET_NO_NEW_PRIVS: i32 = 39;
/// The last capability of Linux 6.1.
const CAP_LAST: u64 = 40;

pub(super) fn prctl<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let argument = c.args[1];
    let mut stored = k.caller(c)?.stored;
    match c.int(0) {
        PR_SET_PDEATHSIG if argument <= 64 => stored.death_signal = argument as u32,
        PR_GET_PDEATHSIG => {
            k.write_user(c.serial, argument, &stored.death_signal.to_le_bytes())?;
        }
        PR_GET_DUMPABLE => return Ok(stored.dumpable as i64),
        PR_SET_DUMPABLE if argument <= 1 => stored.dumpable = argument,
        PR_SET_NAME => return set_name(k, c),
        PR_GET_NAME => {
            let mut name = [0; 16];
            for (to, from) in name.iter_mut().zip(&k.threads.get(&c.serial).ok_or(ESRCH)?.name) {
                *to = *from;
            }
            k.write_user(c.serial, argument, &name)?;
        }
        PR_CAPBSET_READ if argument <= CAP_LAST => return Ok(1),
        PR_SET_NO_NEW_PRIVS if argument == 1 && c.args[2..5] == [0; 3] => stored.no_new_privs = 1,
        PR_GET_NO_NEW_PRIVS if c.args[1..5] == [0; 4] => return Ok(stored.no_new_privs as i64),
        _ => return Err(EINVAL),
    }
    if let Some(p) = k.procs.get_mut(&c.process) {
        p.stored = stored;
    }
    Ok(0)
}

fn set_name<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    // At most 15 bytes; fewer if a zero byte comes first, and only those need be readable.
    let mut name = Vec::new();
    while name.len() < 15 {
        let [b] = k.read_user(c.serial, c.args[1].wrapping_add(name.len() as u64))?;
        if b == 0 {
            break;
        }
        name.push(b);
    }
    // A process shows its first thread's.
    if let Some(p) = k.procs.get_mut(&c.serial) {
        p.name.clone_from(&name);
    }
    if let Some(t) = k.threads.get_mut(&c.serial) {
        t.name = name;
    }
    Ok(0)
}
