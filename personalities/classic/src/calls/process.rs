//! clone, execve, exit, wait4, and what is counted of a process.

use super::threads::CLONE_THREAD;
use super::{Call, Ended};
use crate::errno::{E2BIG, EAGAIN, ECHILD, EFAULT, EINVAL, ENOMEM, EPERM, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::{INFINITY, LIMITS, Life, News, Process, SpaceId};
use crate::turns::{Key, Serial};
use abi::turn::{ARGUMENTS_MAX, MEMORY_PAGES, PID_MAX, PROCESSES_MAX};
use alloc::vec::Vec;

const SIGCHLD: u64 = 17;
pub(super) const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
pub(super) const CLONE_PARENT_SETTID: u64 = 0x10_0000;
pub(super) const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
pub(super) const CLONE_CHILD_SETTID: u64 = 0x100_0000;
const CLONE_TIDS: u64 = CLONE_PARENT_SETTID | CLONE_CHILD_CLEARTID | CLONE_CHILD_SETTID;

pub(super) fn clone<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    let t = k.threads.get(&c.serial).ok_or(ESRCH)?;
    if t.repeated {
        // A vfork whose child has gone its way.
        return Ok(Ended::Result(t.progress.done as i64));
    }
    if c.args[0] & CLONE_THREAD != 0 {
        return super::threads::clone(k, c);
    }
    let [flags, stack, parent_tid, _, child_tid, _] = c.args;
    let vfork = match flags & !CLONE_TIDS {
        SIGCHLD => false,
        f if f == SIGCHLD | CLONE_VM | CLONE_VFORK => true,
        _ => return Err(EINVAL),
    };
    if k.tasks() >= PROCESSES_MAX {
        return Err(EAGAIN);
    }
    let pid = k.next_pid().ok_or(EAGAIN)?;
    k.save_fp();
    let space = if vfork { k.share_space(c.process)? } else { k.copy_space(c.process)? };
    let serial = k.last_serial + 1;
    (k.last_serial, k.last_pid) = (serial, pid);
    let now = k.turns.clock_us();
    let parent = k.procs.get(&c.process).ok_or(ESRCH)?;
    let caller = k.threads.get(&c.serial).ok_or(ESRCH)?;
    let fds = k.fs.fork_fds(&parent.fds);
    let mut child = parent.fork(serial, pid, space, fds, now);
    let mut thread = caller.clone_as(serial, serial, pid);
    if stack != 0 {
        thread.registers.sp = stack;
    }
    if flags & CLONE_CHILD_CLEARTID != 0 {
        thread.clear_child_tid = child_tid;
    }
    child.name = caller.name.clone();
    child.vfork_parent = vfork.then_some(c.process);
    k.procs.insert(serial, child);
    k.threads.insert(serial, thread);
    k.note_sharers();
    k.turns.enter(serial);
    // As on Linux, an address that cannot be written is no error here.
    if flags & CLONE_PARENT_SETTID != 0 {
        let _ = k.write_user(c.serial, parent_tid, &pid.to_le_bytes());
    }
    if flags & CLONE_CHILD_SETTID != 0 {
        let _ = k.write_user(serial, child_tid, &pid.to_le_bytes());
    }
    if !vfork {
        return Ok(Ended::Result(i64::from(pid)));
    }
    if let Some(t) = k.threads.get_mut(&c.serial) {
        t.progress.done = u64::from(pid);
        t.vfork_child = Some(serial);
    }
    Ok(Ended::Block { keys: alloc::vec![Key::Vfork(serial)], deadline_us: None })
}

impl<M: Machine> Kernel<M> {
    /// The smallest unused pid above the last given.
    pub(super) fn next_pid(&self) -> Option<u32> {
        let used = |pid: u32| {
            self.procs.values().any(|p| p.pid == pid || p.pgid == pid || p.sid == pid)
                || self.threads.values().any(|t| t.tid == pid)
        };
        (self.last_pid + 1..PID_MAX).chain(2..PID_MAX).find(|&pid| !used(pid))
    }

    fn share_space(&mut self, process: Serial) -> Result<SpaceId, Errno> {
        let id = self.procs.get(&process).ok_or(ESRCH)?.space;
        self.spaces.get_mut(&id).ok_or(ESRCH)?.users += 1;
        Ok(id)
    }

    fn copy_space(&mut self, process: Serial) -> Result<SpaceId, Errno> {
        let id = self.procs.get(&process).ok_or(ESRCH)?.space;
        let shared = self.spaces.get(&id).ok_or(ESRCH)?;
        let charge = shared.space.charge;
        if self.budget.charged + charge > MEMORY_PAGES {
            return Err(ENOMEM);
        }
        let copy = shared.space.fork(&mut self.m).map_err(|_| ENOMEM)?;
        self.budget.charged += charge;
        Ok(self.add_space(copy))
    }
}

pub(super) fn execve<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    let path = k.read_string(c.serial, c.args[0], 4096)?;
    let mut room = ARGUMENTS_MAX;
    let argv = read_list(k, c.serial, c.args[1], &mut room)?;
    let env = read_list(k, c.serial, c.args[2], &mut room)?;
    k.exec(c.serial, &path, argv, &env)?;
    Ok(Ended::NoResult)
}

/// Strings of a list that a zero pointer ends; each takes its bytes, its zero byte and its pointer of `room`.
fn read_list<M: Machine>(
    k: &mut Kernel<M>,
    serial: Serial,
    list: u64,
    room: &mut usize,
) -> Result<Vec<Vec<u8>>, Errno> {
    let mut strings = Vec::new();
    if list == 0 {
        return Ok(strings);
    }
    loop {
        let [at] = k.read_words(serial, list.checked_add(strings.len() as u64 * 8).ok_or(EFAULT)?)?;
        if at == 0 {
            return Ok(strings);
        }
        let string = k
            .read_string(serial, at, room.saturating_sub(8))
            .map_err(|e| if e == EFAULT { e } else { E2BIG })?;
        *room = room.checked_sub(string.len() + 1 + 8).ok_or(E2BIG)?;
        strings.push(string);
    }
}

pub(super) fn exit_group<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    k.end_process(c.process, (c.int(0) & 0xff) << 8);
    Ok(Ended::NoResult)
}

const WNOHANG: i32 = 1;
const WUNTRACED: i32 = 2;
const WCONTINUED: i32 = 8;
/// Of the caller's thread alone: children are the process'.
const WNOTHREAD: i32 = 0x2000_0000;
const WALL: i32 = 0x4000_0000;
/// Children whose end is told by another signal than SIGCHLD, or by none: there are none.
const WCLONE: i32 = i32::MIN;

/// Which children `wait4` means.
fn meant(p: &Process, pid: i32, own_group: u32) -> bool {
    match pid {
        -1 => true,
        0 => p.pgid == own_group,
        pid if pid > 0 => i64::from(p.pid) == i64::from(pid),
        pid => i64::from(p.pgid) == -i64::from(pid),
    }
}

/// What `wait4` has to tell of a child.
fn news(p: &Process, options: i32) -> Option<i32> {
    match (p.life, p.news) {
        (Life::Zombie, _) => Some(p.status),
        (_, News::Stopped(signal)) if options & WUNTRACED != 0 => Some(i32::from(signal) << 8 | 0x7f),
        (_, News::Continued) if options & WCONTINUED != 0 => Some(0xffff),
        _ => None,
    }
}

pub(super) fn wait4<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    let (pid, options) = (c.int(0), c.int(2));
    let (status_at, usage_at) = (c.args[1], c.args[3]);
    if options & !(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE) != 0 {
        return Err(EINVAL);
    }
    if pid == i32::MIN {
        return Err(ESRCH);
    }
    let own_group = k.procs.get(&c.process).map_or(0, |p| p.pgid);
    let of_kind = options & (WALL | WCLONE) != WCLONE;
    let is_meant = |p: &&Process| of_kind && p.parent == c.process && meant(p, pid, own_group);
    let mut children = k.procs.values().filter(is_meant).peekable();
    if children.peek().is_none() {
        return Err(ECHILD);
    }
    let Some((child, status)) = children.find_map(|p| news(p, options).map(|status| (p.serial, status)))
    else {
        if options & WNOHANG != 0 {
            return Ok(Ended::Result(0));
        }
        return Ok(Ended::Block { keys: alloc::vec![Key::Children(c.process)], deadline_us: None });
    };
    // As on Linux a child is waited for, and gone, though it cannot be written how it ended.
    let (child_pid, calls) = take_news(k, c.process, child);
    if status_at != 0 {
        k.write_user(c.serial, status_at, &status.to_le_bytes())?;
    }
    if usage_at != 0 {
        k.write_user(c.serial, usage_at, &rusage(calls))?;
    }
    Ok(Ended::Result(i64::from(child_pid)))
}

/// Tells the parent: a zombie is gone after that. Returns its pid and the calls it and its children made.
fn take_news<M: Machine>(k: &mut Kernel<M>, parent: Serial, child: Serial) -> (u32, u64) {
    let Some(p) = k.procs.get_mut(&child) else { return (0, 0) };
    let (pid, calls) = (p.pid, p.calls + p.child_calls);
    if p.life != Life::Zombie {
        p.news = News::None;
        return (pid, calls);
    }
    k.procs.remove(&child);
    if let Some(parent) = k.procs.get_mut(&parent) {
        parent.child_calls += calls;
    }
    (pid, calls)
}

const RUSAGE_BYTES: usize = 144;

/// `struct rusage`: no user time, a microsecond of system time for each call.
fn rusage(calls: u64) -> [u8; RUSAGE_BYTES] {
    let mut b = [0; RUSAGE_BYTES];
    b[16..24].copy_from_slice(&(calls / 1_000_000).to_le_bytes());
    b[24..32].copy_from_slice(&(calls % 1_000_000).to_le_bytes());
    b
}

pub(super) fn getrusage<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let p = k.procs.get(&c.process).ok_or(ESRCH)?;
    let calls = match c.int(0) {
        0 => p.calls,
        1 => k.threads.get(&c.serial).ok_or(ESRCH)?.calls,
        -1 => p.child_calls,
        _ => return Err(EINVAL),
    };
    k.write_user(c.serial, c.args[1], &rusage(calls))?;
    Ok(0)
}

pub(super) fn times<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let p = k.procs.get(&c.process).ok_or(ESRCH)?;
    let mut b = [0; 32];
    b[8..16].copy_from_slice(&(p.calls / 10_000).to_le_bytes());
    b[24..32].copy_from_slice(&(p.child_calls / 10_000).to_le_bytes());
    if c.args[0] != 0 {
        k.write_user(c.serial, c.args[0], &b)?;
    }
    Ok((k.monotonic_us() / 10_000) as i64)
}

const RLIMIT_NOFILE: usize = 7;

pub(super) fn prlimit64<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let resource = c.args[1] as u32 as usize;
    let (new_at, old_at) = (c.args[2], c.args[3]);
    let new = if new_at != 0 { Some(k.read_words::<2>(c.serial, new_at)?) } else { None };
    let target = match c.int(0) {
        0 => c.process,
        pid => k.serial_of(pid).ok_or(ESRCH)?,
    };
    if resource >= LIMITS {
        return Err(EINVAL);
    }
    let room = k.room_for_old(c.serial, old_at, 16)?;
    let slot = k.procs.get_mut(&target).and_then(|p| p.limits.get_mut(resource)).ok_or(ESRCH)?;
    let old = *slot;
    if let Some([soft, hard]) = new {
        if soft > hard {
            return Err(EINVAL);
        }
        if hard > old.1 || resource == RLIMIT_NOFILE && hard == INFINITY {
            return Err(EPERM);
        }
        *slot = (soft, hard);
        if resource == RLIMIT_NOFILE
            && let Some(p) = k.procs.get_mut(&target)
        {
            p.fds.limit = soft as usize;
        }
    }
    room?;
    if old_at != 0 {
        let mut b = [0; 16];
        b[..8].copy_from_slice(&old.0.to_le_bytes());
        b[8..].copy_from_slice(&old.1.to_le_bytes());
        k.write_user(c.serial, old_at, &b)?;
    }
    Ok(0)
}
