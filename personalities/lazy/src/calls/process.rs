//! clone, execve, exit, wait4; groups and sessions.

use super::*;
use crate::exec::Request;
use crate::hw::{Event, FpState};
use crate::process::{AltStack, Process, Thread};
use crate::sched::Entity;
use abi::turn::{MEMORY_PAGES, PID_MAX, PROCESSES_MAX};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;

const CLONE_VM: u64 = 0x100;
const CLONE_VFORK: u64 = 0x4000;
const CLONE_THREAD: u64 = 0x1_0000;
const CLONE_PARENT_SETTID: u64 = 0x10_0000;
const CLONE_CHILD_CLEARTID: u64 = 0x20_0000;
const CLONE_CHILD_SETTID: u64 = 0x100_0000;
const SIGCHLD: u64 = 17;

impl<H: Hardware> Kernel<H> {
    /// "Smallest unused number above the last given."
    pub fn new_pid(&self) -> Option<u32> {
        let used = |n: u32| {
            self.processes.values().any(|p| p.pid == n || p.group == n || p.session == n)
                || self.by_tid(n).is_some()
        };
        let after = (self.last_pid + 1..PID_MAX).find(|n| !used(*n));
        after.or_else(|| (2..=self.last_pid).find(|n| !used(*n)))
    }

    pub(super) fn sys_clone(&mut self, serial: u64, a: &[u64; 6], from: Option<Continuation>) -> CallResult {
        if let Some(Continuation::Vfork(_, pid)) = from {
            return done(pid.into());
        }
        let [flags, stack, parent_tid, _, child_tid, _] = *a;
        if flags & CLONE_THREAD != 0 {
            return self.clone_thread(serial, a);
        }
        let vfork = flags & !0xff == CLONE_VM | CLONE_VFORK;
        let fork = flags & !(0xff | CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID) == 0;
        if flags & 0xff != SIGCHLD || !(vfork || fork) {
            return Err(EINVAL);
        }
        if self.threads.len() >= PROCESSES_MAX {
            return Err(EAGAIN);
        }
        let space = self.space(serial)?;
        let charge = self.memory.spaces.get(space).map_or(0, |s| s.charge);
        let borrowed = self.process(serial)?.borrowed;
        let charge = if vfork { 0 } else { charge };
        if self.memory.charged + charge > MEMORY_PAGES {
            return Err(ENOMEM);
        }
        // A copy of many mappings is more than the reserve of this kernel's heap has room for.
        let weight = self.memory.spaces.get(space).map_or(0, |s| s.map.weight());
        if !vfork && weight > self.memory.physical.hw.heap_room() {
            return Err(ENOMEM);
        }
        let pid = self.new_pid().ok_or(EAGAIN)?;
        let child_space = if vfork {
            if let Some(s) = self.memory.spaces.get_mut(space) {
                s.users += 1;
            }
            space
        } else {
            self.memory.charged += charge;
            self.memory.fork_space(space).ok_or(ENOMEM)?
        };
        let _ = borrowed;
        self.last_serial += 1;
        self.last_pid = pid;
        let child = self.last_serial;
        self.copy_process(serial, child, pid, child_space, vfork)?;
        self.copy_thread(serial, child, pid, stack)?;
        if flags & CLONE_CHILD_CLEARTID != 0
            && let Some(t) = self.threads.get_mut(&child)
        {
            t.clear_child_tid = child_tid;
        }
        if flags & CLONE_PARENT_SETTID != 0 {
            let _ = self.put(serial, parent_tid, &pid.to_le_bytes());
        }
        if flags & CLONE_CHILD_SETTID != 0 {
            let _ = self.put(child, child_tid, &pid.to_le_bytes());
        }
        self.turn.round.push_back(child);
        if vfork {
            self.process_mut(child)?.vfork_parent = Some(serial);
            return wait_for(Key::Vfork(child), Continuation::Vfork(child, pid));
        }
        done(pid.into())
    }

    fn copy_process(&mut self, parent: u64, child: u64, pid: u32, space: u32, vfork: bool) -> Result<()> {
        let started = self.clock();
        let p = self.process(parent)?;
        let copy = Process {
            serial: child,
            pid,
            parent: p.serial,
            group: p.group,
            session: p.session,
            execed: false,
            space: Some(space),
            borrowed: vfork,
            vfork_parent: None,
            zombie: false,
            status: 0,
            report: None,
            pending: 0,
            infos: BTreeMap::new(),
            actions: p.actions,
            descriptors: p.descriptors.clone(),
            cwd: p.cwd,
            umask: p.umask,
            cmdline: p.cmdline.clone(),
            exe: p.exe.clone(),
            gone_calls: 0,
            child_calls: 0,
            random: 0,
            nice: p.nice,
            limits: p.limits.clone(),
            prctl: [0, p.prctl[1], p.prctl[2]],
            timer: None,
            unagreed: p.unagreed,
            digest_due: None,
            started,
        };
        for d in copy.descriptors.iter().flatten() {
            if let Some(f) = self.open.get_mut(d.file) {
                f.refs += 1;
            }
        }
        self.files.hold(copy.cwd);
        self.processes.insert(child, copy);
        self.note_of(child, |pid| Event::Forked(pid, parent));
        Ok(())
    }

    fn copy_thread(&mut self, parent: u64, child: u64, pid: u32, stack: u64) -> Result<()> {
        if self.fp_owner == Some(parent) {
            self.save_fp();
        }
        let t = self.threads.get(&parent).ok_or(ESRCH)?;
        let mut registers = t.registers.clone();
        registers.x[0] = 0;
        if stack != 0 {
            registers.sp = stack;
        }
        let fp: Box<FpState> = t.fp.clone();
        let copy = Thread {
            registers,
            fp,
            mask: t.mask,
            alt: if self.process(child)?.borrowed { AltStack::default() } else { t.alt },
            entity: Entity { used: t.entity.used, deadline: t.entity.deadline },
            comm: t.comm.clone(),
            ..Thread::new(child, child, pid)
        };
        self.threads.insert(child, copy);
        Ok(())
    }

    pub(super) fn sys_execve(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let path = self.path(serial, a[0])?;
        self.check_executable(serial, &path)?;
        let mut request = Request { path, argv: Vec::new(), env: Vec::new() };
        request.argv = self.strings(serial, a[1])?;
        request.env = self.strings(serial, a[2])?;
        if !request.fits() {
            return Err(E2BIG);
        }
        self.exec(serial, request)?;
        Ok(Outcome::Replaced)
    }

    /// A list of strings that ends with a null pointer.
    fn strings(&mut self, serial: u64, address: u64) -> Result<Vec<Vec<u8>>> {
        let space = self.space(serial)?;
        let mut out = Vec::new();
        let mut total = 0;
        if address == 0 {
            return Ok(out);
        }
        loop {
            let pointer = self.memory.read_u64(space, address.wrapping_add(out.len() as u64 * 8))?;
            if pointer == 0 {
                return Ok(out);
            }
            let s = self.memory.read_string(space, pointer, abi::turn::ARGUMENTS_MAX)?.ok_or(E2BIG)?;
            total += s.len() + 9;
            if total > abi::turn::ARGUMENTS_MAX {
                return Err(E2BIG);
            }
            out.push(s);
        }
    }

    pub(super) fn sys_exit(&mut self, serial: u64, status: u64) -> CallResult {
        self.exit_thread(serial, ((status & 0xff) << 8) as i32);
        Ok(Outcome::Replaced)
    }

    pub(super) fn sys_exit_group(&mut self, serial: u64, status: u64) -> CallResult {
        self.end_process(serial, ((status & 0xff) << 8) as i32);
        Ok(Outcome::Replaced)
    }

    pub(super) fn sys_wait4(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        const WNOHANG: u64 = 1;
        const WUNTRACED: u64 = 2;
        const WCONTINUED: u64 = 8;
        const WNOTHREAD: u64 = 0x2000_0000;
        const WALL: u64 = 0x4000_0000;
        const WCLONE: u64 = 0x8000_0000;
        let (which, options) = (a[0] as i32, a[2] & 0xffff_ffff);
        if options & !(WNOHANG | WUNTRACED | WCONTINUED | WNOTHREAD | WALL | WCLONE) != 0 {
            return Err(EINVAL);
        }
        if which == i32::MIN {
            return Err(ESRCH);
        }
        // Of all children SIGCHLD tells: none is a "clone child".
        if options & (WALL | WCLONE) == WCLONE {
            return Err(ECHILD);
        }
        let (own, own_group) = (self.process(serial)?.serial, self.process(serial)?.group);
        let meant = |p: &Process| match which {
            -1 => true,
            0 => p.group == own_group,
            1.. => p.pid == which as u32,
            _ => p.group == which.unsigned_abs(),
        };
        let mut any = false;
        let mut found = None;
        for p in self.processes.values().filter(|p| p.parent == own && meant(p)) {
            any = true;
            let stopped = p.report.is_some_and(|r| r != 0xffff) && options & WUNTRACED != 0;
            let continued = p.report == Some(0xffff) && options & WCONTINUED != 0;
            if p.zombie || stopped || continued {
                found = Some(p.serial);
                break;
            }
        }
        let Some(child) = found else {
            return match any {
                false => Err(ECHILD),
                true if options & WNOHANG != 0 => done(0),
                true => wait_for(Key::Children(own), Continuation::Again),
            };
        };
        let p = self.process(child)?;
        let (pid, zombie) = (p.pid, p.zombie);
        let status = if zombie { p.status } else { p.report.unwrap_or(0) };
        let calls = self.calls_of(child) + p.child_calls;
        // What cannot be written is lost; the child is waited for all the same, as Linux has it.
        if zombie {
            self.reap(child);
            self.process_mut(serial)?.child_calls += calls;
        } else {
            self.process_mut(child)?.report = None;
        }
        if a[1] != 0 {
            self.put(serial, a[1], &status.to_le_bytes())?;
        }
        if a[3] != 0 {
            self.put(serial, a[3], &rusage(calls))?;
        }
        done(pid.into())
    }

    pub(super) fn sys_getrusage(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let calls = match a[0] as i32 {
            0 => self.calls_of(self.owner(serial)),
            1 => self.threads.get(&serial).map_or(0, |t| t.calls),
            -1 => self.process(serial)?.child_calls,
            _ => return Err(EINVAL),
        };
        self.put(serial, a[1], &rusage(calls))?;
        done(0)
    }

    pub(super) fn sys_getppid(&mut self, serial: u64) -> CallResult {
        let parent = self.process(serial)?.parent;
        done(self.processes.get(&parent).map_or(0, |p| p.pid.into()))
    }

    /// The process that a pid argument names; 0: the caller.
    pub(super) fn named(&self, serial: u64, pid: u64) -> Result<&Process> {
        match pid as i32 {
            0 => self.process(serial),
            n => self.by_tid(n as u32).and_then(|t| self.processes.get(&t.process)).ok_or(ESRCH),
        }
    }

    pub(super) fn sys_getpgid(&mut self, serial: u64, pid: u64) -> CallResult {
        done(self.named(serial, pid)?.group.into())
    }

    pub(super) fn sys_getsid(&mut self, serial: u64, pid: u64) -> CallResult {
        done(self.named(serial, pid)?.session.into())
    }

    pub(super) fn sys_setpgid(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let me = self.process(serial)?;
        let (own, own_session, own_pid) = (me.serial, me.session, me.pid);
        let pid = if a[0] as i32 == 0 { own_pid } else { a[0] as u32 };
        let group = if a[1] as i32 == 0 { pid } else { a[1] as u32 };
        if (group as i32) < 0 {
            return Err(EINVAL);
        }
        // A number that is only a thread's names no process.
        let nobody = if self.by_tid(pid).is_some() { EINVAL } else { ESRCH };
        let p = self.by_pid(pid).ok_or(nobody)?;
        let target = p.serial;
        if p.parent == own {
            if p.session != own_session {
                return Err(EPERM);
            }
            if p.execed {
                return Err(EACCES);
            }
        } else if target != own {
            return Err(ESRCH);
        }
        if p.session == p.pid {
            return Err(EPERM);
        }
        if group != pid && !self.processes.values().any(|p| p.group == group && p.session == own_session) {
            return Err(EPERM);
        }
        self.process_mut(target)?.group = group;
        done(0)
    }

    pub(super) fn sys_setsid(&mut self, serial: u64) -> CallResult {
        let pid = self.process(serial)?.pid;
        if self.processes.values().any(|p| p.group == pid) {
            return Err(EPERM);
        }
        let p = self.process_mut(serial)?;
        p.session = pid;
        p.group = pid;
        done(pid.into())
    }
}

/// `struct rusage`: system time, 1 µs for each call.
fn rusage(calls: u64) -> [u8; 144] {
    let mut out = [0; 144];
    out[16..24].copy_from_slice(&(calls / 1_000_000).to_le_bytes());
    out[24..32].copy_from_slice(&(calls % 1_000_000).to_le_bytes());
    out
}
