//! Process groups and sessions, and the targets of kill(2).

use super::Processes;
use crate::error::{Res, e};
use crate::turns::Serial;
use alloc::vec::Vec;

impl Processes {
    /// Members of a group that have not ended, in ascending order.
    pub fn members(&self, pgid: u32) -> Vec<Serial> {
        self.all.values().filter(|p| p.pgid == pgid && p.ended.is_none()).map(|p| p.serial).collect()
    }

    /// The session of a group that has members.
    pub fn session_of_group(&self, pgid: u32) -> Option<u32> {
        self.all.values().find(|p| p.pgid == pgid).map(|p| p.sid)
    }

    /// setpgid(2).
    pub fn set_group(&mut self, me: Serial, pid: i32, pgid: i32) -> Res {
        let own = self.get(me)?;
        let (my_pid, my_session) = (own.pid, own.sid);
        // As Linux: a negative pid without a group names itself as the group, and that is refused before anybody is looked for.
        let pid = if pid == 0 { my_pid as i32 } else { pid };
        let pgid = u32::try_from(if pgid == 0 { pid } else { pgid }).map_err(|_| e::EINVAL)?;
        let pid = u32::try_from(pid).map_err(|_| e::ESRCH)?;
        let p = self.by_pid(pid)?;
        if p.parent == me {
            if p.sid != my_session {
                return Err(e::EPERM);
            }
            if p.has_execed {
                return Err(e::EACCES);
            }
        } else if p.serial != me {
            return Err(e::ESRCH);
        }
        let elsewhere = pgid != pid && self.session_of_group(pgid) != Some(my_session);
        if p.sid == p.pid || elsewhere {
            return Err(e::EPERM);
        }
        let serial = p.serial;
        self.get_mut(serial)?.pgid = pgid;
        Ok(())
    }

    /// setsid(2).
    pub fn set_session(&mut self, me: Serial) -> Res<u32> {
        let pid = self.get(me)?.pid;
        if self.all.values().any(|p| p.pgid == pid) {
            return Err(e::EPERM);
        }
        let p = self.get_mut(me)?;
        (p.pgid, p.sid) = (pid, pid);
        Ok(pid)
    }

    /// Whom kill(2) with this pid means.
    pub fn targets(&self, me: Serial, pid: i32) -> Res<Vec<Serial>> {
        let own = self.get(me)?;
        let group = |pgid: u32| -> Vec<Serial> {
            self.all.values().filter(|p| p.pgid == pgid).map(|p| p.serial).collect()
        };
        let found = match pid {
            1.. => return self.by_pid(pid as u32).map(|p| alloc::vec![p.serial]),
            0 => group(own.pgid),
            -1 => self.all.values().filter(|p| p.pid > 1 && p.serial != me).map(|p| p.serial).collect(),
            i32::MIN => Vec::new(),
            _ => group(pid.unsigned_abs()),
        };
        if found.is_empty() { Err(e::ESRCH) } else { Ok(found) }
    }
}
