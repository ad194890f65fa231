//! The end of a process, as far as ids go ("Places" in the turn rule).

use super::signals::{CLD_EXITED, CLD_KILLED, SA_NOCLDWAIT};
use super::{Info, Payload, Processes, sig};
use crate::post::Post;
use crate::turns::Serial;
use alloc::vec::Vec;

impl Processes {
    /// The children, in ascending order.
    fn children(&self, of: Serial) -> Vec<Serial> {
        self.all.values().filter(|p| p.parent == of).map(|p| p.serial).collect()
    }

    /// Whether a group has nobody whose parent stands in the session but outside the group; `without` does not count.
    pub fn is_orphaned(&self, pgid: u32, without: Option<Serial>) -> bool {
        !self.all.values().any(|p| {
            let counts = p.pgid == pgid && p.ended.is_none() && Some(p.serial) != without;
            let parent = self.all.get(&p.parent);
            counts && parent.is_some_and(|q| q.pgid != pgid && q.sid == p.sid)
        })
    }

    fn hang_up_orphans(&mut self, pgid: u32, without: Option<Serial>, post: &mut Post) {
        let stopped = self.all.values().any(|p| p.pgid == pgid && p.stopped.is_some());
        if stopped && self.is_orphaned(pgid, without) {
            for signal in [sig::SIGHUP, sig::SIGCONT] {
                self.members(pgid).into_iter().for_each(|m| self.generate(m, Info::kernel(signal), post));
            }
        }
    }

    /// A process has ended: it becomes a zombie or goes at once. The pids that became free of it and of zombies whose parent it was.
    pub fn end(&mut self, serial: Serial, status: i32, post: &mut Post) -> Vec<u32> {
        let mut gone = Vec::new();
        let Some(p) = self.all.get_mut(&serial) else { return gone };
        p.ended = Some(status);
        p.stopped = None;
        p.signals.pending.clear();
        let (group, session, parent) = (p.pgid, p.sid, p.parent);
        for child in self.children(serial) {
            let Some(c) = self.all.get_mut(&child) else { continue };
            c.parent = 1;
            let (child_group, child_session, ended) = (c.pgid, c.sid, c.ended.is_some());
            if ended {
                gone.extend(self.report_end(child, post));
            }
            if child_group != group && child_session == session {
                self.hang_up_orphans(child_group, None, post);
            }
        }
        let parent_elsewhere = self.all.get(&parent).is_some_and(|q| q.pgid != group && q.sid == session);
        if parent_elsewhere {
            self.hang_up_orphans(group, Some(serial), post);
        }
        gone.extend(self.report_end(serial, post));
        gone
    }

    /// Tells a zombie's parent; a parent that does not want to know makes it go at once.
    fn report_end(&mut self, serial: Serial, post: &mut Post) -> Option<u32> {
        let p = self.all.get(&serial)?;
        let (status, parent, pid) = (p.ended?, p.parent, p.pid);
        let by_signal = status & 0x7f;
        let (code, shown) =
            if by_signal == 0 { (CLD_EXITED, status >> 8 & 0xff) } else { (CLD_KILLED, by_signal) };
        let payload = Payload::Child { pid, status: shown };
        let action = self.all.get(&parent).map(|q| q.signals.action(sig::SIGCHLD)).unwrap_or_default();
        let unwanted = action.handler == 1 || action.flags & SA_NOCLDWAIT != 0;
        self.tell_parent(parent, Info { signal: sig::SIGCHLD, code, payload }, post);
        if unwanted && parent != 0 {
            self.all.remove(&serial);
            return Some(pid);
        }
        None
    }
}
