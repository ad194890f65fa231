//! What becomes of the call that a signal interrupts.

use crate::errno::{EFAULT, EINTR};
use crate::process::{Progress, Wanted};
use crate::signals::Looked;
use crate::state::State;
use abi::linux::nr;

/// Linux does not repeat these under SA_RESTART (signal(7)).
fn never_restarts(number: u64) -> bool {
    [nr::ppoll, nr::pselect6, nr::nanosleep, nr::clock_nanosleep, nr::rt_sigsuspend, nr::epoll_pwait]
        .contains(&number)
}

impl State {
    /// Looks at the signals of a thread that may be in the middle of a call; what that cannot write is its result.
    pub(crate) fn look_in_call(&mut self, head: u64) -> Looked {
        if self.is_interrupted(head) && self.lacks_revents(head) {
            self.done(head, -i64::from(EFAULT.0) as u64);
            return Looked::Left;
        }
        self.look(head)
    }

    /// The call that a handler interrupts: not yet made, to be repeated, or over.
    pub(crate) fn settle(&mut self, serial: u64, restarts: bool) {
        let p = self.process_mut(serial);
        if let Wanted::Call { number, args, progress } = &p.wanted {
            if progress.begun && progress.done > 0 {
                p.user.x[0] = progress.done;
            } else if !progress.begun || (restarts && !never_restarts(*number)) {
                p.user.pc -= 4;
            } else {
                let (number, args, deadline) = (*number, *args, progress.deadline);
                let written = match (number, deadline) {
                    (nr::ppoll, _) => self.clear_revents(serial, args[0], args[1]),
                    (_, Some(deadline)) => self.write_remaining(serial, number, &args, deadline),
                    _ => Ok(()),
                };
                let error = written.err().unwrap_or(EINTR);
                self.process_mut(serial).user.x[0] = -i64::from(error.0) as u64;
            }
        }
        self.abandon(serial);
    }

    /// What the thread stood before is no more.
    pub fn abandon(&mut self, serial: u64) {
        if let Wanted::Call { progress: Progress { opening: Some(o), .. }, .. } = self.process(serial).wanted
        {
            self.close_pipe(o.pipe, o.read, !o.read);
        }
        self.process_mut(serial).wanted = Wanted::Nothing;
    }
}
