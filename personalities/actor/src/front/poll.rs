//! ppoll(2) and pselect6(2).

use super::Arguments;
use crate::bytes::{Out as Bytes, u16_at, u32_at, u64_at};
use crate::error::{Res, e};
use crate::files::Target;
use crate::kernel::{Flow, Kernel, Out, Restart};
use crate::machine::Machine;
use crate::process::UNBLOCKABLE;
use crate::turns::{Serial, Thing};
use abi::turn::FDS_MAX;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

const IN: u16 = (linux::POLLIN | linux::POLLRDNORM) as u16;
const OUT: u16 = (linux::POLLOUT | linux::POLLWRNORM) as u16;
const ERR: u16 = linux::POLLERR as u16;
const HUP: u16 = linux::POLLHUP as u16;
const NVAL: u16 = linux::POLLNVAL as u16;
const ALWAYS: u16 = ERR | HUP;
/// What makes select's three sets ready.
const SELECT: [u16; 3] =
    [IN | linux::POLLRDBAND as u16 | HUP | ERR, OUT | linux::POLLWRBAND as u16 | ERR, linux::POLLPRI as u16];

/// A timeout as given: where it stands, and what it says.
struct Timeout {
    at: u64,
    us: Option<u64>,
}

impl<M: Machine> Kernel<M> {
    /// What a descriptor is ready for.
    fn ready(&self, me: Serial, fd: u32) -> Option<u16> {
        let handle = self.files.active(me, fd).ok()?;
        Some(match handle.target {
            Target::Pipe { pipe, reads, writes } => {
                self.pipes.poll(pipe, reads, writes, handle.writers_before)
            }
            Target::Terminal => OUT | if self.terminal.readable() { IN } else { 0 },
            _ => IN | OUT,
        })
    }

    /// The things whose change may make a descriptor ready.
    pub(super) fn things(&self, me: Serial, fd: u32, things: &mut Vec<Thing>) {
        let Ok(handle) = self.files.active(me, fd) else { return };
        let mut add = |thing| {
            if !things.contains(&thing) {
                things.push(thing);
            }
        };
        match handle.target {
            Target::Pipe { pipe, reads, writes } => {
                if reads {
                    add(Thing::Readers(pipe));
                }
                if writes {
                    add(Thing::Writers(pipe));
                }
            }
            Target::Terminal => add(Thing::Terminal),
            _ => {}
        }
    }

    fn timeout(&mut self, me: Serial, at: u64) -> Res<Timeout> {
        let us = if at == 0 { None } else { Some(self.timespec_us(me, at)?) };
        Ok(Timeout { at, us })
    }

    /// The signal mask that the call brings, the first time it is made.
    fn take_mask(&mut self, me: Serial, at: u64, size: u64) -> Res {
        if at == 0 {
            return Ok(());
        }
        if size != 8 {
            return Err(e::EINVAL);
        }
        let space = self.space_of(me)?;
        let mask = self.memory.word(space, at)?;
        let s = &mut self.processes.get_mut(me)?.signals;
        if s.saved_mask.is_none() {
            s.saved_mask = Some(s.mask);
            s.mask = mask & !UNBLOCKABLE;
        }
        Ok(())
    }

    /// Nothing is ready: waits, has been ended by a signal, or says that time is up (`None`).
    fn nothing_ready(
        &mut self,
        me: Serial,
        timeout: &Timeout,
        things: Vec<Thing>,
        restart: Restart,
    ) -> Res<Option<Flow>> {
        let now = self.now_us();
        let again = &mut self.thread(me)?.again;
        let deadline_us = again.deadline_us.or(timeout.us.map(|us| now.saturating_add(us)));
        again.deadline_us = deadline_us;
        if deadline_us.is_none_or(|d| d > now) {
            return Ok(Some(Flow::Block { things, deadline_us, restart }));
        }
        // What the call's own mask lets through is handled as in a wait, though there is none.
        (again.blocked, again.restart) = (true, restart);
        Ok(self.is_disturbed(me).then_some(Flow::Gone))
    }

    /// The time left is written back with a result.
    fn write_left(&mut self, me: Serial, timeout: &Timeout) {
        let Some(us) = timeout.us else { return };
        let now = self.now_us();
        let deadline =
            self.threads.get(&me).and_then(|t| t.again.deadline_us).unwrap_or(now.saturating_add(us));
        let left = deadline.saturating_sub(now);
        let mut out = Bytes::default();
        out.u64(left / 1_000_000).u64(left % 1_000_000 * 1000);
        // As Linux: a result is a result, even if the time cannot be written.
        let _ = self.bytes_out(me, timeout.at, &out.0);
    }

    pub(super) fn ppoll(&mut self, me: Serial, a: Arguments) -> Out {
        let (at, count) = (a.0[0], a.uint(1) as usize);
        let timeout = self.timeout(me, a.0[2])?;
        self.take_mask(me, a.0[3], a.0[4])?;
        let limit = self.files.table(me)?.limit as usize;
        if count > limit.min(FDS_MAX) {
            return Err(e::EINVAL);
        }
        let list = self.bytes_in(me, at, count * 8)?;
        let (mut revents, mut ready, mut things) = (Vec::with_capacity(count), 0, Vec::new());
        for entry in list.chunks(8) {
            let (fd, events) = (u32_at(entry, 0), u16_at(entry, 4));
            let bits = match (fd as i32) < 0 {
                true => 0,
                false => self.ready(me, fd).map_or(NVAL, |bits| bits & (events | ALWAYS)),
            };
            revents.push(bits);
            ready += u64::from(bits != 0);
            if (fd as i32) >= 0 {
                self.things(me, fd, &mut things);
            }
        }
        if ready == 0
            && let Some(flow) = self.nothing_ready(me, &timeout, things, Restart::Unready(at, count))?
        {
            return Ok(flow);
        }
        self.write_revents(me, at, revents)?;
        self.write_left(me, &timeout);
        Ok(Flow::Done(ready))
    }

    /// What ppoll's entries at `at` are ready for, one after the other.
    pub(crate) fn write_revents(
        &mut self,
        me: Serial,
        at: u64,
        revents: impl IntoIterator<Item = u16>,
    ) -> Res {
        let mut entries = revents.into_iter().zip((0u64..).map(|i| at + 8 * i));
        entries.try_for_each(|(bits, entry)| self.bytes_out(me, entry + 6, &bits.to_le_bytes()))
    }

    pub(super) fn pselect(&mut self, me: Serial, a: Arguments) -> Out {
        // As Linux: where the mask stands is read before the timeout, the mask itself behind it.
        let mask = if a.0[5] == 0 { None } else { Some(self.bytes_in(me, a.0[5], 16)?) };
        let timeout = self.timeout(me, a.0[4])?;
        if let Some(pair) = mask {
            self.take_mask(me, u64_at(&pair, 0), u64_at(&pair, 8))?;
        }
        if a.int(0) < 0 {
            return Err(e::EINVAL);
        }
        let n = (a.uint(0) as usize).min(FDS_MAX);
        let bytes = n.div_ceil(64) * 8;
        let mut sets = [None, None, None];
        for (set, at) in sets.iter_mut().zip([a.0[1], a.0[2], a.0[3]]) {
            if at != 0 {
                *set = Some(self.bytes_in(me, at, bytes)?);
            }
        }
        let asked =
            |set: &Option<Vec<u8>>, fd: usize| set.as_ref().is_some_and(|s| s[fd / 8] >> (fd % 8) & 1 != 0);
        let mut out = [alloc::vec![0u8; bytes], alloc::vec![0u8; bytes], alloc::vec![0u8; bytes]];
        let (mut ready, mut things) = (0, Vec::new());
        for fd in (0..n).filter(|fd| sets.iter().any(|s| asked(s, *fd))) {
            let bits = self.ready(me, fd as u32).ok_or(e::EBADF)?;
            self.things(me, fd as u32, &mut things);
            for (i, set) in sets.iter().enumerate() {
                if asked(set, fd) && bits & SELECT[i] != 0 {
                    out[i][fd / 8] |= 1 << (fd % 8);
                    ready += 1;
                }
            }
        }
        if ready == 0
            && let Some(flow) = self.nothing_ready(me, &timeout, things, Restart::Never)?
        {
            return Ok(flow);
        }
        for (i, at) in [a.0[1], a.0[2], a.0[3]].into_iter().enumerate() {
            if at != 0 {
                self.bytes_out(me, at, &out[i])?;
            }
        }
        self.write_left(me, &timeout);
        Ok(Flow::Done(ready))
    }
}
