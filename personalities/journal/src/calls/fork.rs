//! clone in its two shapes, and execve.

use super::{Args, Outcome, done};
use crate::errno::*;
use crate::exec::Arguments;
use crate::process::{Place, Process, Thing, Wait, Wanted};
use crate::records::Record;
use crate::signals::Signals;
use crate::state::{State, Wake};
use abi::turn::{ARGUMENTS_MAX, CHARGE_PAGES, MEMORY_PAGES, PID_MAX, PROCESSES_MAX};
use alloc::vec::Vec;

const SIGCHLD: u64 = 17;
const VM: u64 = 0x100;
const VFORK: u64 = 0x4000;
const PARENT_SETTID: u64 = 0x10_0000;
const CHILD_CLEARTID: u64 = 0x20_0000;
const CHILD_SETTID: u64 = 0x100_0000;

impl State {
    /// The next pid.
    pub fn next_pid(&mut self) -> u32 {
        let mut pid = self.last_pid;
        loop {
            pid = if pid + 1 >= PID_MAX { 2 } else { pid + 1 };
            let used = |p: &Process| p.pid == pid || p.group == pid || p.session == pid;
            if !self.processes.values().any(used) {
                self.last_pid = pid;
                return pid;
            }
        }
    }

    /// A child holds what its parent holds.
    fn inherit(&mut self, child: &Process) {
        for fd in child.fds.values() {
            if let Some(o) = self.opens.get_mut(&fd.open) {
                o.references += 1;
            }
        }
        if let crate::fs::node::Node::File(cwd) = child.cwd {
            self.files.hold(cwd);
        }
    }

    /// clone.
    pub fn clone_call(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        if let Some((_, pid)) = self.progress(s).child {
            return done(pid);
        }
        let [flags, stack, parent_tid, _, child_tid, _] = *a;
        let ids = PARENT_SETTID | CHILD_CLEARTID | CHILD_SETTID;
        let shape = flags & !ids;
        let vfork = shape == VM | VFORK | SIGCHLD;
        if !vfork && shape != SIGCHLD {
            return Err(EINVAL);
        }
        if self.processes.size() >= PROCESSES_MAX {
            return Err(EAGAIN);
        }
        let old = self.process(s).space;
        if !vfork && (self.chunks() + self.space(s).chunks) * CHARGE_PAGES > MEMORY_PAGES {
            return Err(ENOMEM);
        }
        let serial = self.last_serial + 1;
        self.last_serial = serial;
        let pid = self.next_pid();
        let mut child = self.process(s).clone();
        (child.serial, child.pid, child.parent) = (serial, pid, s);
        (child.place, child.wanted) =
            (Place::Waiting(Wait { things: Vec::new(), deadline: u64::MAX }), Wanted::Nothing);
        (child.calls, child.child_calls, child.random, child.started) = (0, 0, 0, self.clock());
        (child.vfork, child.execed, child.timer, child.news) = (vfork, false, (0, 0), None);
        (child.clear_tid, child.robust, child.digest_due) = (0, 0, None);
        child.controls[0] = 0;
        let mine = child.signals;
        child.signals = Signals { pending: 0, infos: Vec::new(), saved: None, ..mine };
        child.user.x[0] = 0;
        if stack != 0 {
            child.user.sp = stack;
        }
        if flags & CHILD_CLEARTID != 0 {
            child.clear_tid = child_tid;
        }
        let mut spaces = None;
        if !vfork {
            let number = self.next_space;
            self.next_space += 1;
            let copy = self.space(s).clone();
            self.spaces.insert_mut(number, copy);
            child.space = number;
            spaces = Some((old, number));
        }
        self.inherit(&child);
        self.processes.insert_mut(serial, child);
        if flags & PARENT_SETTID != 0 {
            let _ = self.space(s).put(parent_tid, &pid.to_le_bytes());
        }
        if flags & CHILD_SETTID != 0 {
            let _ = self.space(serial).put(child_tid, &pid.to_le_bytes());
        }
        self.records.push(Record::Forked { parent: s, child: serial, spaces });
        self.wakes.push(Wake::Enter(serial));
        if vfork {
            self.progress(s).child = Some((serial, pid));
            return Ok(Outcome::Wait(Wait::on(Thing::Vfork(s))));
        }
        done(pid)
    }

    fn strings_at(&mut self, s: u64, at: u64, room: &mut usize) -> Result<Vec<Vec<u8>>> {
        let mut out = Vec::new();
        if at == 0 {
            return Ok(out);
        }
        loop {
            let string = self.space(s).get_u64(at.wrapping_add(8 * out.len() as u64))?;
            if string == 0 {
                return Ok(out);
            }
            let text = self.space(s).string(string, *room, E2BIG)?;
            *room = room.checked_sub(text.len() + 9).ok_or(E2BIG)?;
            out.push(text);
        }
    }

    /// execve.
    pub fn execve(&mut self, s: u64, path: u64, argv: u64, env: u64) -> Result<Outcome> {
        let path = self.path_argument(s, path)?;
        let mut room = ARGUMENTS_MAX;
        let argv = self.strings_at(s, argv, &mut room)?;
        let env = self.strings_at(s, env, &mut room)?;
        self.execute(s, &path, Arguments { argv, env })?;
        Ok(Outcome::Jump)
    }
}
