//! wait4.

use super::{Outcome, done};
use crate::errno::*;
use crate::process::{Place, Process, Thing, Wait};
use crate::state::State;
use alloc::vec::Vec;

const NOHANG: u32 = 1;
const UNTRACED: u32 = 2;
const CONTINUED: u32 = 8;
/// __WNOTHREAD, __WALL, __WCLONE.
const NO_THREAD: u32 = 0x2000_0000;
const ALL: u32 = 0x4000_0000;
const CLONE: u32 = 0x8000_0000;
const CONTINUED_STATUS: i32 = 0xffff;

impl State {
    /// wait4.
    pub fn wait4(
        &mut self,
        s: u64,
        pid: i32,
        status_at: u64,
        options: u32,
        usage_at: u64,
    ) -> Result<Outcome> {
        if options & !(NOHANG | UNTRACED | CONTINUED | NO_THREAD | ALL | CLONE) != 0 {
            return Err(EINVAL);
        }
        if pid == i32::MIN {
            return Err(ESRCH);
        }
        let group = self.process(s).group;
        let meant = |p: &Process| match pid {
            1.. => p.pid == pid as u32,
            0 => p.group == group,
            -1 => true,
            _ => p.group == pid.unsigned_abs(),
        };
        let children: Vec<&Process> = self.processes.values().filter(|p| p.parent == s && meant(p)).collect();
        // Of every child SIGCHLD tells: __WCLONE alone asks for the others.
        if children.is_empty() || options & (ALL | CLONE) == CLONE {
            return Err(ECHILD);
        }
        let news = |p: &Process| match p.place {
            Place::Zombie => Some(p.status),
            _ => p.news.filter(|n| {
                let wanted = if *n == CONTINUED_STATUS { CONTINUED } else { UNTRACED };
                options & wanted != 0
            }),
        };
        let Some((child, status)) = children.iter().find_map(|p| Some((p.serial, news(p)?))) else {
            return if options & NOHANG != 0 {
                done(0u64)
            } else {
                Ok(Outcome::Wait(Wait::on(Thing::Children(s))))
            };
        };
        let (pid, ended) = (self.process(child).pid, self.process(child).is_zombie());
        let calls = self.process(child).calls + self.process(child).child_calls;
        if ended {
            self.process_mut(s).child_calls += calls;
            self.processes.remove_mut(&child);
        } else {
            self.process_mut(child).news = None;
        }
        // As Linux: what cannot be written is EFAULT, and the child is gone all the same; the status comes first.
        if status_at != 0 {
            self.space(s).put(status_at, &status.to_le_bytes())?;
        }
        if usage_at != 0 {
            self.space(s).put(usage_at, &State::rusage(if ended { calls } else { 0 }))?;
        }
        done(pid)
    }
}
