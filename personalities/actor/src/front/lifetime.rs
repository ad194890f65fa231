//! Calls about processes: clone, exec, exit, wait, ids and groups.

use super::Arguments;
use crate::bytes::Out as Bytes;
use crate::error::{Res, e};
use crate::kernel::{Again, DONE, Flow, Kernel, Out, Restart, Thread, Want};
use crate::machine::Machine;
use crate::process::{Usage, Waited};
use crate::turns::{Serial, Thing};
use abi::linux::nr;
use linux_raw_sys::general as linux;

const SIGCHLD: u64 = 17;
const FORK: u64 =
    (linux::CLONE_CHILD_SETTID | linux::CLONE_CHILD_CLEARTID | linux::CLONE_PARENT_SETTID) as u64;
const VFORK: u64 = (linux::CLONE_VM | linux::CLONE_VFORK) as u64;

/// `struct rusage` of so many calls: user time 0, system time 1 µs for each.
pub fn rusage(usage: Usage) -> alloc::vec::Vec<u8> {
    let mut out = Bytes::default();
    out.u64(0).u64(0).u64(usage.calls / 1_000_000).u64(usage.calls % 1_000_000).to(144);
    out.0
}

impl<M: Machine> Kernel<M> {
    pub(super) fn lifetime_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        let id = |r: Res<u32>| r.map(|id| Flow::Done(id.into()));
        Some(match number {
            nr::clone => self.clone_call(me, a),
            nr::execve => self.execve(me, a),
            nr::exit | nr::exit_group => {
                self.end(me, (a.int(0) & 0xff) << 8);
                Ok(Flow::Gone)
            }
            nr::wait4 => self.wait4(me, a),
            nr::getpid | nr::gettid => id(self.processes.get(me).map(|p| p.pid)),
            nr::set_tid_address => id(self.processes.get_mut(me).map(|p| {
                p.clear_child_tid = a.0[0];
                p.pid
            })),
            nr::getppid => id(self.processes.get(me).map(|p| self.parent_pid(p.parent))),
            nr::getuid | nr::geteuid | nr::getgid | nr::getegid => DONE,
            nr::getgroups if a.int(0) < 0 => Err(e::EINVAL),
            nr::getgroups => DONE,
            nr::getpgid => id(self.of_pid(me, a.int(0)).and_then(|s| Ok(self.processes.get(s)?.pgid))),
            nr::getsid => id(self.of_pid(me, a.int(0)).and_then(|s| Ok(self.processes.get(s)?.sid))),
            nr::setpgid => self.processes.set_group(me, a.int(0), a.int(1)).map(|()| Flow::Done(0)),
            nr::setsid => id(self.processes.set_session(me)),
            nr::getpriority => self.getpriority(me, a),
            nr::setpriority => self.setpriority(me, a),
            nr::getrusage => self.getrusage(me, a),
            nr::prlimit64 => self.prlimit(me, a),
            nr::prctl => self.prctl(me, a),
            _ => return None,
        })
    }

    /// The process that a pid names; 0: the caller's own.
    fn of_pid(&self, me: Serial, pid: i32) -> Res<Serial> {
        match pid {
            0 => Ok(me),
            _ => Ok(self.processes.by_pid(u32::try_from(pid).map_err(|_| e::ESRCH)?)?.serial),
        }
    }

    fn clone_call(&mut self, me: Serial, a: Arguments) -> Out {
        if let Some((_, pid)) = self.thread(me)?.again.vfork {
            return Ok(Flow::Done(pid.into()));
        }
        let (flags, stack) = (a.0[0], a.0[1]);
        let vfork = flags & VFORK == VFORK;
        let shape = if vfork { flags & !VFORK } else { flags };
        if shape & !FORK != SIGCHLD {
            return Err(e::EINVAL);
        }
        self.processes.room()?;
        let parent_space = self.space_of(me)?;
        let space = if vfork { parent_space } else { self.memory.fork(parent_space)? };
        let now = self.now_us();
        let (child, pid) = match self.processes.fork(me, now) {
            Ok(ids) => ids,
            Err(errno) => {
                if !vfork {
                    self.memory.release(space);
                }
                return Err(errno);
            }
        };
        self.files.fork(me, child, pid);
        self.settle_fp();
        let mut user = self.thread(me)?.user.clone();
        user.x[0] = 0;
        if stack != 0 {
            user.sp = stack;
        }
        let (want, again) = (Want::Run, Again::default());
        let thread = Thread::new(user, space, vfork, want, again);
        self.threads.insert(child, thread);
        // As Linux: an id that cannot be written is lost.
        if flags & u64::from(linux::CLONE_PARENT_SETTID) != 0 {
            let _ = self.bytes_out(me, a.0[2], &pid.to_le_bytes());
        }
        if flags & u64::from(linux::CLONE_CHILD_SETTID) != 0 {
            let _ = self.bytes_out(child, a.0[4], &pid.to_le_bytes());
        }
        if flags & u64::from(linux::CLONE_CHILD_CLEARTID) != 0 {
            self.processes.get_mut(child)?.clear_child_tid = a.0[4];
        }
        self.turns.enter(child);
        if !vfork {
            return Ok(Flow::Done(pid.into()));
        }
        self.thread(me)?.again.vfork = Some((child, pid));
        let things = alloc::vec![Thing::Vfork(child)];
        Ok(Flow::Block { things, deadline_us: None, restart: Restart::Never })
    }

    fn wait4(&mut self, me: Serial, a: Arguments) -> Out {
        match self.processes.wait(me, a.int(0), a.uint(2))? {
            Waited::Nothing => DONE,
            Waited::Blocks => Ok(super::input::block(Thing::Children(me))),
            Waited::Child { pid, status, usage, gone } => {
                if gone {
                    self.files.forget(pid);
                }
                if a.0[1] != 0 {
                    self.bytes_out(me, a.0[1], &status.to_le_bytes())?;
                }
                if a.0[3] != 0 {
                    self.bytes_out(me, a.0[3], &rusage(usage))?;
                }
                Ok(Flow::Done(pid.into()))
            }
        }
    }

    fn getrusage(&mut self, me: Serial, a: Arguments) -> Out {
        let p = self.processes.get(me)?;
        let calls = match a.int(0) {
            0 | 1 => p.calls,
            -1 => p.children_calls,
            _ => return Err(e::EINVAL),
        };
        self.give(me, a.0[1], &rusage(Usage { calls }))
    }

    /// Processes that a priority call means.
    fn of_priority(&self, me: Serial, a: Arguments) -> Res<alloc::vec::Vec<Serial>> {
        let own = self.processes.get(me)?;
        let who = a.uint(1);
        let group = if who == 0 { own.pgid } else { who };
        let found: alloc::vec::Vec<Serial> = match a.uint(0) {
            0 => self.of_pid(me, a.int(1)).into_iter().collect(),
            1 => self.processes.iter().filter(|p| p.pgid == group).map(|p| p.serial).collect(),
            2 if who == 0 => self.processes.iter().map(|p| p.serial).collect(),
            2 => Default::default(),
            _ => return Err(e::EINVAL),
        };
        if found.is_empty() { Err(e::ESRCH) } else { Ok(found) }
    }

    fn getpriority(&mut self, me: Serial, a: Arguments) -> Out {
        let nice = |s| self.processes.get(s).map_or(0, |p| p.nice);
        let lowest = self.of_priority(me, a)?.into_iter().map(nice).min().unwrap_or(0);
        Ok(Flow::Done((20 - lowest) as u64))
    }

    fn setpriority(&mut self, me: Serial, a: Arguments) -> Out {
        for serial in self.of_priority(me, a)? {
            self.processes.get_mut(serial)?.nice = a.int(2).clamp(-20, 19);
        }
        DONE
    }

    fn prlimit(&mut self, me: Serial, a: Arguments) -> Out {
        let (resource, new_at, old_at) = (a.uint(1) as usize, a.0[2], a.0[3]);
        let new = match new_at {
            0 => None,
            at => {
                let raw = self.bytes_in(me, at, 16)?;
                Some((crate::bytes::u64_at(&raw, 0), crate::bytes::u64_at(&raw, 8)))
            }
        };
        let target = self.of_pid(me, a.int(0))?;
        let p = self.processes.get_mut(target)?;
        let old = *p.limits.get(resource).ok_or(e::EINVAL)?;
        if let Some((soft, hard)) = new {
            if soft > hard {
                return Err(e::EINVAL);
            }
            if resource == crate::process::RLIMIT_NOFILE {
                if hard > old.1 {
                    return Err(e::EPERM);
                }
                self.files.table_mut(target)?.limit = soft;
            }
            self.processes.get_mut(target)?.limits[resource] = (soft, hard);
        }
        if old_at != 0 {
            let mut out = Bytes::default();
            out.u64(old.0).u64(old.1);
            self.bytes_out(me, old_at, &out.0)?;
        }
        DONE
    }

    fn prctl(&mut self, me: Serial, a: Arguments) -> Out {
        use linux_raw_sys::prctl as pr;
        let (at, rest) = (a.0[1], [a.0[2], a.0[3], a.0[4]]);
        let unused = rest == [0; 3];
        match a.uint(0) {
            pr::PR_SET_NAME => {
                let space = self.space_of(me)?;
                let mut name = match self.memory.string(space, at, 15) {
                    Ok(Some(name)) => name,
                    Ok(None) => self.bytes_in(me, at, 15)?,
                    Err(errno) => return Err(errno),
                };
                name.truncate(15);
                self.processes.get_mut(me)?.name = name;
                DONE
            }
            pr::PR_GET_NAME => {
                let mut name = self.processes.get(me)?.name.clone();
                name.resize(16, 0);
                self.give(me, at, &name)
            }
            pr::PR_SET_PDEATHSIG if at > 64 => Err(e::EINVAL),
            pr::PR_SET_PDEATHSIG => {
                self.processes.get_mut(me)?.death_signal = at;
                DONE
            }
            pr::PR_GET_PDEATHSIG => {
                let signal = self.processes.get(me)?.death_signal as u32;
                self.give(me, at, &signal.to_le_bytes())
            }
            pr::PR_GET_DUMPABLE => Ok(Flow::Done(self.processes.get(me)?.dumpable)),
            pr::PR_SET_DUMPABLE if at > 1 => Err(e::EINVAL),
            pr::PR_SET_DUMPABLE => {
                self.processes.get_mut(me)?.dumpable = at;
                DONE
            }
            pr::PR_CAPBSET_READ if at > 40 => Err(e::EINVAL),
            pr::PR_CAPBSET_READ => Ok(Flow::Done(1)),
            pr::PR_SET_NO_NEW_PRIVS if at == 1 && unused => {
                self.processes.get_mut(me)?.no_new_privs = true;
                DONE
            }
            pr::PR_GET_NO_NEW_PRIVS if at == 0 && unused => {
                Ok(Flow::Done(self.processes.get(me)?.no_new_privs.into()))
            }
            _ => Err(e::EINVAL),
        }
    }
}
