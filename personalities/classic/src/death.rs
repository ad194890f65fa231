//! How processes end, stop and go on, and who hears of it.

use crate::kernel::Kernel;
use crate::machine::{Machine, Trace};
use crate::process::{Life, News, Process, SpaceId};
use crate::signal::{Info, SIGCHLD, SIGCONT, SIGHUP, code, flags};
use crate::turns::{Key, Serial};
use abi::vote::EffectKind;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// The process of thread `thread` ends by a signal.
    pub(crate) fn end_by_signal(&mut self, thread: Serial, signal: u8) {
        if let Some(process) = self.threads.get(&thread).map(|t| t.process) {
            self.end_process(process, i32::from(signal));
        }
    }

    /// A process ends with wait status `status`. The order is the turn rule's ("Places").
    pub(crate) fn end_process(&mut self, serial: Serial, status: i32) {
        let Some(p) = self.procs.get_mut(&serial) else { return };
        if !p.is_alive() {
            return;
        }
        let pid = p.pid;
        self.m.trace(Trace::Ended { pid, status });
        p.life = Life::Zombie;
        p.status = status;
        p.alarm = None;
        // As on Linux, its memory is gone, and with it what it was called with.
        (p.cmdline, p.exe) = Default::default();
        if serial == 1 {
            self.halt(status);
            return;
        }
        let (space, parent, leads) = (p.space, p.parent, p.sid == p.pid);
        let (sid, pgid) = (p.sid, p.pgid);
        let mut fds = core::mem::take(&mut p.fds);
        for thread in self.threads_of(serial) {
            self.drop_thread(thread);
        }
        self.note_sharers();
        self.turns.wake(Key::Vfork(serial));
        self.release_space(space);
        self.fs.close_all(&mut fds);
        self.drain(serial);
        if leads {
            self.fs.session_ended(sid);
            self.drain(serial);
        }
        self.orphan_children(serial);
        if self.links_to(parent, pgid, sid) {
            self.hang_up_if_orphaned(pgid);
        }
        self.tell_parent_of_end(serial, parent, status);
    }

    /// Process 1 ended, and with it the system.
    fn halt(&mut self, status: i32) {
        self.halted = true;
        let call = self.turns.call();
        if let Err(why) = self.votes.effect(call, EffectKind::Exit, &status.to_le_bytes()) {
            self.m.crash(why);
        }
    }

    fn orphan_children(&mut self, serial: Serial) {
        let children: Vec<Serial> =
            self.procs.values().filter(|p| p.parent == serial).map(|p| p.serial).collect();
        for child in children {
            let Some(p) = self.procs.get_mut(&child) else { continue };
            p.parent = 1;
            let (pgid, sid, zombie, status) = (p.pgid, p.sid, p.life == Life::Zombie, p.status);
            if zombie {
                self.tell_parent_of_end(child, 1, status);
            }
            if self.links_to(serial, pgid, sid) {
                self.hang_up_if_orphaned(pgid);
            }
        }
    }

    /// Whether a child in group `pgid` of session `sid` keeps that group from being orphaned by having this parent. Only the end of such
    /// a link hangs a group's stopped members up.
    fn links_to(&self, parent: Serial, pgid: u32, sid: u32) -> bool {
        self.procs.get(&parent).is_some_and(|p| p.pgid != pgid && p.sid == sid)
    }

    fn tell_parent_of_end(&mut self, serial: Serial, parent: Serial, status: i32) {
        let killed = status & 0x7f;
        let (code, shown) =
            if killed == 0 { (code::CLD_EXITED, status >> 8) } else { (code::CLD_KILLED, killed) };
        if self.procs.get(&parent).is_some_and(|p| p.hears_of_children()) {
            self.generate(parent, SIGCHLD, self.child_info(serial, code, shown));
        }
        if self.procs.get(&parent).is_some_and(|p| p.disowns_children()) {
            self.procs.remove(&serial);
        }
        self.turns.wake(Key::Children(parent));
    }

    fn child_info(&self, serial: Serial, code: i32, status: i32) -> Info {
        let pid = self.procs.get(&serial).map_or(0, |p| p.pid);
        Info { code, pid, status, ..Info::default() }
    }

    /// One user less of a space; the last one's end frees it and its charge.
    pub(crate) fn release_space(&mut self, id: SpaceId) {
        let Some(shared) = self.spaces.get_mut(&id) else { return };
        shared.users -= 1;
        if shared.users == 0
            && let Some(mut gone) = self.spaces.remove(&id)
        {
            self.budget.charged -= gone.space.charge;
            gone.space.free(&mut self.m);
        }
    }

    /// Whether no member of the group has a parent in another group of the same session. (Process 1 is a parent like any other: as a
    /// rule it is the shell.)
    pub(crate) fn is_orphaned(&self, pgid: u32, without: Option<Serial>) -> bool {
        !self.procs.values().filter(|p| p.pgid == pgid && p.is_alive() && Some(p.serial) != without).any(
            |p| {
                self.procs
                    .get(&p.parent)
                    .is_some_and(|parent| parent.pgid != pgid && parent.sid == p.sid && parent.is_alive())
            },
        )
    }

    fn hang_up_if_orphaned(&mut self, pgid: u32) {
        let stopped = self.procs.values().any(|p| p.pgid == pgid && p.life == Life::Stopped);
        if stopped && self.is_orphaned(pgid, None) {
            self.generate_group(pgid, SIGHUP, Info::kernel());
            self.generate_group(pgid, SIGCONT, Info::kernel());
        }
    }

    /// A process stops; the parent hears of it.
    pub(crate) fn stop_process(&mut self, serial: Serial, signal: u8) {
        let Some(p) = self.procs.get_mut(&serial) else { return };
        p.life = Life::Stopped;
        p.news = News::Stopped(signal);
        let parent = p.parent;
        for thread in self.threads_of(serial) {
            if !self.turns.waits_for_vfork(thread) {
                self.retire(thread);
            }
        }
        self.tell_parent(serial, parent, code::CLD_STOPPED, i32::from(signal));
    }

    /// SIGCONT for a stopped process: it goes on at once.
    pub(crate) fn continue_process(&mut self, serial: Serial) {
        self.revive(serial);
        let Some(p) = self.procs.get_mut(&serial) else { return };
        p.news = News::Continued;
        let parent = p.parent;
        self.tell_parent(serial, parent, code::CLD_CONTINUED, i32::from(SIGCONT));
    }

    fn tell_parent(&mut self, serial: Serial, parent: Serial, code: i32, status: i32) {
        let told = |p: &Process| p.hears_of_children() && p.action(SIGCHLD).flags & flags::NOCLDSTOP == 0;
        if self.procs.get(&parent).is_some_and(told) {
            self.generate(parent, SIGCHLD, self.child_info(serial, code, status));
        }
        self.turns.wake(Key::Children(parent));
    }
}
