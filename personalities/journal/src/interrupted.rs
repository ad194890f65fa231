//! What becomes of the call that a signal interrupts.

use crate::process::{Progress, Wanted};
use crate::state::State;

/// Linux does not repeat these under SA_RESTART (signal(7)).
fn never_restarts(number: u64) -> bool {
    use abi::linux::nr;
    [nr::ppoll, nr::pselect6, nr::nanosleep, nr::clock_nanosleep, nr::rt_sigsuspend, nr::epoll_pwait]
        .contains(&number)
}

impl State {
    /// The call that a handler interrupts: not yet made, to be repeated, or over.
    pub(crate) fn settle(&mut self, serial: u64, restarts: bool) {
        let p = self.process_mut(serial);
        if let Wanted::Call { number, progress, .. } = &p.wanted {
            if progress.begun && progress.done > 0 {
                p.user.x[0] = progress.done;
            } else if !progress.begun || (restarts && !never_restarts(*number)) {
                p.user.pc -= 4;
            } else {
                p.user.x[0] = -i64::from(crate::errno::EINTR.0) as u64;
                if let (Some(deadline), args) = (progress.deadline, p.wanted.clone()) {
                    self.write_remaining(serial, &args, deadline);
                }
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
