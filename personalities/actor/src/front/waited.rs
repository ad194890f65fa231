//! What a call waits for, as its arguments say: of calls that wait while a kernel begins with a snapshot.

use super::Arguments;
use super::opening::ends;
use crate::bytes::u32_at;
use crate::error::{Res, e};
use crate::files::Target;
use crate::files::flags::O_NOFOLLOW;
use crate::files::{Follow, node::NodeId};
use crate::kernel::{Kernel, OpenEnd, Restart};
use crate::machine::Machine;
use crate::pipes::PipeId;
use crate::turns::{Serial, Thing};
use abi::linux::nr;
use abi::turn::FDS_MAX;
use alloc::vec::Vec;

const TIMER_ABSTIME: u32 = 1;

/// What is waited for, and what a handler makes of it.
pub type Waited = (Vec<Thing>, Restart);

impl<M: Machine> Kernel<M> {
    /// What the call waits for in whose middle `me` is. `None`: it is no call that can wait so.
    pub(crate) fn waited(&mut self, me: Serial) -> Option<Waited> {
        let t = self.threads.get(&me)?;
        let (number, x) = (t.user.x[8], &t.user.x);
        let a = Arguments([x[0], x[1], x[2], x[3], x[4], x[5]]);
        let open = t.again.open_end.map(|e| e.pipe);
        let child = t.again.vfork.map(|(child, _)| child);
        let by_action = |things| Some((things, Restart::ByAction));
        match number {
            nr::read | nr::readv => by_action(self.ends_of(me, a.fd(0), true)?),
            nr::write | nr::writev | nr::sendfile => by_action(self.ends_of(me, a.fd(0), false)?),
            nr::wait4 => by_action(alloc::vec![Thing::Children(me)]),
            // A FIFO that has no name any more is opened by nobody.
            nr::openat => by_action(open.map(Thing::Open).into_iter().collect()),
            nr::clone => Some((alloc::vec![Thing::Vfork(child?)], Restart::Never)),
            nr::futex | nr::ioctl => by_action(Vec::new()),
            nr::rt_sigsuspend => Some((Vec::new(), Restart::Never)),
            nr::nanosleep => Some((Vec::new(), Restart::Remaining(a.0[1]))),
            nr::clock_nanosleep if a.uint(1) & TIMER_ABSTIME != 0 => Some((Vec::new(), Restart::Never)),
            nr::clock_nanosleep => Some((Vec::new(), Restart::Remaining(a.0[3]))),
            nr::ppoll => {
                let count = (a.uint(1) as usize).min(FDS_MAX);
                Some((self.polled(me, number, a)?, Restart::Unready(a.0[0], count)))
            }
            nr::pselect6 => Some((self.polled(me, number, a)?, Restart::Never)),
            _ => None,
        }
    }

    /// The side of a pipe or the terminal that a transfer waits for.
    fn ends_of(&self, me: Serial, fd: u32, reads: bool) -> Option<Vec<Thing>> {
        match self.files.active(me, fd).ok()?.target {
            Target::Pipe { pipe, .. } if reads => Some(alloc::vec![Thing::Readers(pipe)]),
            Target::Pipe { pipe, .. } => Some(alloc::vec![Thing::Writers(pipe)]),
            Target::Terminal if reads => Some(alloc::vec![Thing::Terminal]),
            // Between two slices.
            Target::Terminal => Some(Vec::new()),
            _ => None,
        }
    }

    fn polled(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Vec<Thing>> {
        let (mut fds, mut things) = (Vec::new(), Vec::new());
        if number == nr::ppoll {
            let count = (a.uint(1) as usize).min(FDS_MAX);
            let list = self.bytes_in(me, a.0[0], count * 8).ok()?;
            fds.extend(list.chunks(8).map(|entry| u32_at(entry, 0)).filter(|fd| (*fd as i32) >= 0));
        } else {
            let n = (a.uint(0) as usize).min(FDS_MAX);
            let mut sets = Vec::new();
            for at in [a.0[1], a.0[2], a.0[3]].into_iter().filter(|at| *at != 0) {
                sets.push(self.bytes_in(me, at, n.div_ceil(64) * 8).ok()?);
            }
            let asked = |fd: &usize| sets.iter().any(|s| s[fd / 8] >> (fd % 8) & 1 != 0);
            fds.extend((0..n).filter(asked).map(|fd| fd as u32));
        }
        fds.into_iter().for_each(|fd| self.things(me, fd, &mut things));
        Some(things)
    }

    /// Of an open of a FIFO in whose middle `me` is: whether it reads, and the FIFO, if its path still leads to one.
    pub(crate) fn opened_fifo(&mut self, me: Serial) -> Option<(bool, Option<NodeId>)> {
        let x = self.threads.get(&me)?.user.x;
        let a = Arguments([x[0], x[1], x[2], x[3], x[4], x[5]]);
        let reads = match ends(a.uint(2)) {
            (true, false) => true,
            (false, true) => false,
            _ => return None,
        };
        (x[8] == nr::openat).then(|| (reads, self.fifo_at(me, a).ok()))
    }

    fn fifo_at(&mut self, me: Serial, a: Arguments) -> Res<NodeId> {
        let path = self.path_in(me, a.0[1])?;
        let follow = if a.uint(2) & O_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
        let start = self.files.base(me, a.int(0), &path)?;
        let node = self.files.resolve(me, start, &path, follow)?;
        self.files.fifo(node).map(|_| node).ok_or(e::ENXIO)
    }

    /// An open in whose middle `me` is holds its end of `pipe` again; `came`: the other end has come.
    pub(crate) fn hold_open_end(&mut self, me: Serial, end: (NodeId, PipeId, bool), came: bool) {
        let (node, pipe, reads) = end;
        self.pipes.open(pipe, reads, !reads, &mut Default::default());
        if let Some(t) = self.threads.get_mut(&me) {
            // Settled when all ends are there (`Kernel::settle_open_ends`).
            let others_seen = if came { u64::MAX } else { 0 };
            t.again.open_end = Some(OpenEnd { pipe, node, reads, others_seen });
        }
    }

    /// All ends of a snapshot are there: who waits for an other end has seen those.
    pub(crate) fn settle_open_ends(&mut self) {
        for t in self.threads.values_mut() {
            if let Some(end) = t.again.open_end.as_mut().filter(|e| e.others_seen == 0) {
                end.others_seen = self.pipes.others(end.pipe, end.reads).0;
            }
        }
    }
}
