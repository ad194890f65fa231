//! Private calls, and who is who: pids, groups, sessions, names.

use super::{Args, Outcome, done, ok};
use crate::errno::*;
use crate::state::State;
use abi::linux::nr;
use alloc::vec::Vec;

impl State {
    /// A private call; an unknown number is ENOSYS.
    pub fn private(&mut self, s: u64, number: u64, a: &Args) -> Result<u64> {
        match number {
            nr::getpid | nr::gettid => Ok(self.process(s).pid.into()),
            nr::getuid | nr::geteuid | nr::getgid | nr::getegid => Ok(0),
            nr::getgroups if (a[0] as i32) < 0 => Err(EINVAL),
            nr::getgroups => Ok(0),
            nr::set_tid_address => {
                self.process_mut(s).clear_tid = a[0];
                Ok(self.process(s).pid.into())
            }
            nr::set_robust_list if a[1] != 24 => Err(EINVAL),
            nr::set_robust_list => {
                self.process_mut(s).robust = a[0];
                Ok(0)
            }
            nr::sigaltstack => self.sigaltstack(s, a[0], a[1]),
            nr::getrandom => self.getrandom(s, a[0], a[1], a[2]),
            nr::uname => self.uname(s, a[0]),
            nr::sched_getaffinity => self.getaffinity(s, a[0] as i32, a[1], a[2]),
            nr::sched_yield => Ok(0),
            nr::munmap => self.munmap(s, a[0], a[1]),
            nr::madvise => self.madvise(s, a[0], a[1], a[2]),
            _ => Err(ENOSYS),
        }
    }

    fn getrandom(&mut self, s: u64, at: u64, count: u64, flags: u64) -> Result<u64> {
        if flags & !7 != 0 || flags & 6 == 6 {
            return Err(EINVAL);
        }
        let most = if flags & 2 != 0 { 256 } else { i32::MAX as u64 };
        let n = self.space(s).reach(at, count.min(most), crate::space::WRITE);
        if n == 0 && count > 0 {
            return Err(EFAULT);
        }
        self.random_to(s, at, n)
    }

    /// Bytes of the process' random stream into its memory.
    pub fn random_to(&mut self, s: u64, at: u64, count: u64) -> Result<u64> {
        let seed = self.birth.seed;
        let mut done = 0;
        while done < count {
            let mut piece = [0; 1024];
            let piece = &mut piece[..(count - done).min(1024) as usize];
            abi::layout::random_bytes(&seed, s, self.process(s).random, piece);
            self.process_mut(s).random += piece.len() as u64;
            self.space(s).put(at + done, piece)?;
            done += piece.len() as u64;
        }
        Ok(done)
    }

    fn uname(&mut self, s: u64, at: u64) -> Result<u64> {
        let mut out = Vec::new();
        for text in ["Linux", "tetrarch", "6.1.0", "#1 SMP Tetrarch", "aarch64", "(none)"] {
            let start = out.len();
            out.extend_from_slice(text.as_bytes());
            out.resize(start + 65, 0);
        }
        self.space(s).put(at, &out).map(|()| 0)
    }

    fn getaffinity(&mut self, s: u64, pid: i32, size: u64, at: u64) -> Result<u64> {
        // Linux counts the bits in 32 bits.
        let size = size as u32;
        if size.wrapping_mul(8) == 0 || !size.is_multiple_of(8) {
            return Err(EINVAL);
        }
        if pid != 0 && pid as u32 != self.process(s).pid && self.by_pid(pid as u32).is_none() {
            return Err(ESRCH);
        }
        self.space(s).put(at, &1u64.to_le_bytes()).map(|()| 8)
    }

    fn pid_or_self(&self, s: u64, pid: i32) -> Result<u64> {
        if pid == 0 {
            return Ok(s);
        }
        self.by_pid(pid as u32).map(|p| p.serial).ok_or(ESRCH)
    }

    /// getpgid.
    pub fn getpgid(&mut self, s: u64, pid: i32) -> Result<Outcome> {
        let who = self.pid_or_self(s, pid)?;
        done(self.process(who).group)
    }

    /// getsid.
    pub fn getsid(&mut self, s: u64, pid: i32) -> Result<Outcome> {
        let who = self.pid_or_self(s, pid)?;
        done(self.process(who).session)
    }

    /// setpgid.
    pub fn setpgid(&mut self, s: u64, pid: i32, group: i32) -> Result<Outcome> {
        // As Linux: no group named is the process' number as it was given, looked at before anybody is sought.
        if group < 0 || group == 0 && pid < 0 {
            return Err(EINVAL);
        }
        let who = self.pid_or_self(s, pid)?;
        let (me, p) = (self.process(s), self.process(who));
        if p.parent == s && who != s {
            if p.session != me.session {
                return Err(EPERM);
            }
            if p.execed {
                return Err(EACCES);
            }
        } else if who != s {
            return Err(ESRCH);
        }
        if p.session == p.pid {
            return Err(EPERM);
        }
        let group = if group == 0 { p.pid } else { group as u32 };
        let session = me.session;
        if group != p.pid && !self.processes.values().any(|q| q.group == group && q.session == session) {
            return Err(EPERM);
        }
        self.process_mut(who).group = group;
        ok()
    }

    /// setsid.
    pub fn setsid(&mut self, s: u64) -> Result<Outcome> {
        let pid = self.process(s).pid;
        if self.processes.values().any(|p| p.group == pid) {
            return Err(EPERM);
        }
        let p = self.process_mut(s);
        (p.group, p.session) = (pid, pid);
        done(pid)
    }

    fn by_priority(&self, s: u64, which: u64, who: u32) -> Result<Vec<u64>> {
        let me = self.process(s);
        let chosen: Vec<u64> = self
            .processes
            .values()
            .filter(|p| match which {
                0 => p.pid == if who == 0 { me.pid } else { who },
                1 => p.group == if who == 0 { me.group } else { who },
                _ => who == 0,
            })
            .map(|p| p.serial)
            .collect();
        if which > 2 {
            return Err(EINVAL);
        }
        if chosen.is_empty() { Err(ESRCH) } else { Ok(chosen) }
    }

    /// getpriority: 20 - nice.
    pub fn getpriority(&mut self, s: u64, which: u64, who: u32) -> Result<Outcome> {
        let chosen = self.by_priority(s, which & 0xffff_ffff, who)?;
        let lowest = chosen.iter().map(|p| self.process(*p).nice).min().unwrap_or(0);
        done(20 - lowest)
    }

    /// setpriority.
    pub fn setpriority(&mut self, s: u64, which: u64, who: u32, nice: i32) -> Result<Outcome> {
        for p in self.by_priority(s, which & 0xffff_ffff, who)? {
            self.process_mut(p).nice = nice.clamp(-20, 19);
        }
        ok()
    }

    /// prctl.
    pub fn prctl(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        match a[0] as u32 {
            1 if a[1] > 64 => Err(EINVAL),
            1 => self.set_control(s, 0, a[1]),
            2 => {
                let signal = self.process(s).controls[0] as u32;
                self.space(s).put(a[1], &signal.to_le_bytes())?;
                ok()
            }
            3 => done(self.process(s).controls[1]),
            4 if a[1] > 1 => Err(EINVAL),
            4 => self.set_control(s, 1, a[1]),
            15 => {
                let mut name = Vec::new();
                for i in 0..15 {
                    let mut b = [0];
                    self.space(s).get(a[1] + i, &mut b)?;
                    if b[0] == 0 {
                        break;
                    }
                    name.push(b[0]);
                }
                self.process_mut(s).name = name;
                ok()
            }
            16 => {
                let mut name = [0; 16];
                let own = &self.process(s).name;
                name[..own.len()].copy_from_slice(own);
                self.space(s).put(a[1], &name)?;
                ok()
            }
            23 if a[1] <= 40 => done(1u64),
            38 if a[1] == 1 && a[2..5] == [0; 3] => self.set_control(s, 2, 1),
            39 if a[1..5] == [0; 4] => done(self.process(s).controls[2]),
            _ => Err(EINVAL),
        }
    }

    fn set_control(&mut self, s: u64, which: usize, value: u64) -> Result<Outcome> {
        self.process_mut(s).controls[which] = value;
        ok()
    }
}
