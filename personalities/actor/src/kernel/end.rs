//! The end of a process, server by server ("Places" in the turn rule).

use super::{Kernel, OpenEnd};
use crate::machine::{Event, Machine};
use crate::post::Note;
use crate::process::{Info, sig};
use crate::turns::{Serial, Thing};
use abi::vote::EffectKind;

impl<M: Machine> Kernel<M> {
    /// A process ends with a wait status.
    pub(crate) fn end(&mut self, me: Serial, status: i32) {
        let Ok(p) = self.processes.get(me) else { return };
        let (pid, session) = (p.pid, p.sid);
        self.machine.tell(Event::Ended { pid, status });
        if pid == 1 {
            self.effect(EffectKind::Exit, &status.to_le_bytes());
            self.over = true;
        }
        if self.fp_in == Some(me) {
            self.fp_in = None;
        }
        self.turns.forget(me);
        self.post.send(Note::Wake(Thing::Vfork(me)));
        self.leave_memory(me);
        for (pipe, reads, writes) in self.files.end(me).into_iter().flatten() {
            self.pipe_closed(pipe, reads, writes);
        }
        if self.terminal.session == Some(session) && pid == session {
            self.give_terminal_up();
        }
        for gone in self.processes.end(me, status, &mut self.post) {
            self.files.forget(gone);
        }
    }

    /// The session has no terminal any more.
    pub(crate) fn give_terminal_up(&mut self) {
        let foreground = self.terminal.foreground;
        for signal in [sig::SIGHUP, sig::SIGCONT] {
            for member in self.processes.members(foreground) {
                self.processes.generate(member, Info::kernel(signal), &mut self.post);
            }
        }
        self.terminal.session = None;
        self.terminal.foreground = 0;
    }

    /// A thread leaves its memory; the last owner gives it back.
    pub(crate) fn leave_memory(&mut self, me: Serial) {
        if let Some(t) = self.threads.remove(&me)
            && !t.guest
        {
            self.memory.release(t.space);
        }
    }

    /// An end of a pipe is closed; a FIFO whose pipe has gone has none.
    pub(crate) fn pipe_closed(&mut self, pipe: u64, reads: bool, writes: bool) {
        if self.pipes.close(pipe, reads, writes, &mut self.post) {
            self.files.pipe_gone(pipe);
        }
    }

    /// An open that waited for its other end does so no longer.
    pub(crate) fn drop_open_end(&mut self, end: OpenEnd) {
        self.pipe_closed(end.pipe, end.reads, !end.reads);
    }

    pub(crate) fn release_open_end(&mut self, me: Serial) {
        if let Some(end) = self.threads.get_mut(&me).and_then(|t| t.again.open_end.take()) {
            self.drop_open_end(end);
        }
    }
}
