//! The end of a process. The order of what happens is "Places" in `docs/turn-rule.md`.

use crate::hw::{Event, Hardware};
use crate::kernel::Kernel;
use crate::process::Info;
use crate::signal::*;
use crate::turn::Key;
use abi::vote::EffectKind;
use alloc::vec::Vec;

impl<H: Hardware> Kernel<H> {
    /// Process `serial` ends with `status`, as wait4 gives it.
    pub fn end_process(&mut self, serial: u64, status: i32) {
        let serial = self.owner(serial);
        self.note_of(serial, |pid| Event::Ended(pid, status));
        if serial == 1 {
            self.effect(EffectKind::Exit, &status.to_le_bytes());
            self.ended = true;
            self.turn.round.clear();
            self.threads.clear();
            return;
        }
        let gone = self.retire_threads(serial, None);
        self.release_vfork(serial);
        self.forget_threads(gone);
        self.close_all(serial);
        self.give_terminal_up(serial);
        let Some(p) = self.processes.get_mut(&serial) else { return };
        p.zombie = true;
        p.status = status;
        p.report = None;
        p.pending = 0;
        p.infos.clear();
        p.timer = None;
        let (space, cwd) = (p.space.take(), p.cwd);
        if let Some(s) = space {
            self.memory.release_space(s);
        }
        self.release_held(space);
        self.files.release(&mut self.memory.physical, cwd);
        self.orphans(serial);
        self.finish(serial, status);
    }

    /// The thread that waits in vfork for `serial` goes on.
    pub fn release_vfork(&mut self, serial: u64) {
        let parent = self.processes.get_mut(&serial).and_then(|p| p.vfork_parent.take());
        if parent.is_some() {
            self.wake(Key::Vfork(serial));
        }
    }

    fn give_terminal_up(&mut self, serial: u64) {
        let leads = self.processes.get(&serial).is_some_and(|p| p.session == p.pid);
        if leads && self.processes.get(&serial).is_some_and(|p| p.session == self.terminal.session) {
            self.terminal.session = 0;
            self.terminal.foreground = 0;
        }
    }

    /// Its children pass to process 1.
    fn orphans(&mut self, serial: u64) {
        let children: Vec<u64> =
            self.processes.values().filter(|p| p.parent == serial).map(|p| p.serial).collect();
        let own = self.processes.get(&serial).map_or((0, 0), |p| (p.group, p.session));
        for child in children {
            let Some(p) = self.processes.get_mut(&child) else { continue };
            p.parent = 1;
            let (zombie, group, session, status) = (p.zombie, p.group, p.session, p.status);
            if zombie {
                let (code, status) = reason(status);
                self.tell_parent(child, code, status);
                self.reap_if_unwanted(child);
            }
            if group != own.0 && session == own.1 {
                self.hang_up_if_orphaned(group);
            }
        }
        let parent = self.processes.get(&serial).map_or(0, |p| p.parent);
        let other = self.processes.get(&parent).is_some_and(|q| q.group != own.0 && q.session == own.1);
        if other {
            self.hang_up_if_orphaned(own.0);
        }
    }

    /// A group with stopped members that nobody can continue any more.
    fn hang_up_if_orphaned(&mut self, group: u32) {
        let stopped =
            |p: &crate::process::Process| p.group == group && !p.zombie && self.is_stopped(p.serial);
        if self.processes.values().any(stopped) && self.orphaned(group, None) {
            for signal in [SIGHUP, SIGCONT] {
                self.generate_group(group, signal, Info { code: SI_KERNEL, ..Info::default() });
            }
        }
    }

    fn finish(&mut self, serial: u64, status: i32) {
        let (code, status) = reason(status);
        self.tell_parent(serial, code, status);
        self.reap_if_unwanted(serial);
    }

    /// A parent that ignores SIGCHLD, or said so, gets no zombies.
    fn reap_if_unwanted(&mut self, serial: u64) {
        let Some(parent) = self.processes.get(&serial).map(|p| p.parent) else { return };
        let action = self.processes.get(&parent).map(|p| p.actions[SIGCHLD as usize]);
        if action.is_some_and(|a| a.handler == 1 || a.flags & SA_NOCLDWAIT != 0) {
            self.reap(serial);
        }
    }

    /// Nothing is left of it.
    pub fn reap(&mut self, serial: u64) {
        self.processes.remove(&serial);
        self.threads.remove(&serial);
    }
}

/// si_code and si_status of an end.
fn reason(status: i32) -> (i32, i32) {
    if status & 0x7f == 0 { (CLD_EXITED, status >> 8 & 0xff) } else { (CLD_KILLED, status & 0x7f) }
}
