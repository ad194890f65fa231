//! ppoll and pselect6.

use super::{Args, Outcome, done};
use crate::errno::*;
use crate::process::{Progress, Thing, Wait, Wanted};
use crate::signals::UNBLOCKABLE;
use crate::space::WRITE;
use crate::state::{Leads, Open, State};
use abi::linux::nr;
use abi::turn::FDS_MAX;
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

const IN: u16 = 1;
const OUT: u16 = 4;
const ERR: u16 = 8;
const HUP: u16 = 0x10;
const NVAL: u16 = 0x20;
/// POLLRDNORM and POLLWRNORM come with them.
const READ_NORMAL: u16 = 0x40;
const WRITE_NORMAL: u16 = 0x100;

/// Bytes of so many rows of ppoll.
fn rows_size(count: u64) -> usize {
    (count & 0xffff_ffff).min(FDS_MAX as u64) as usize * 8
}

impl State {
    /// What a descriptor is ready for, and what it may become ready for.
    fn readiness(&self, open: &Open) -> (u16, Vec<Thing>) {
        match &open.leads {
            Leads::Pipe(n, read, write) => {
                let Some(p) = self.pipes.get(n) else { return (ERR, Vec::new()) };
                let (mut ready, mut things) = (0, Vec::new());
                if *read {
                    things.push(Thing::PipeReaders(*n));
                    if !p.bytes.is_empty() {
                        ready |= IN | READ_NORMAL;
                    }
                    if p.writers == 0 && (open.hangup_after == 0 || p.writers_seen >= open.hangup_after) {
                        ready |= HUP;
                    }
                }
                if *write {
                    things.push(Thing::PipeWriters(*n));
                    if p.is_writable() {
                        ready |= OUT | WRITE_NORMAL;
                    }
                    if p.readers == 0 {
                        ready |= ERR;
                    }
                }
                (ready, things)
            }
            Leads::Terminal => {
                let input = if self.tty.is_readable() { IN | READ_NORMAL } else { 0 };
                (input | OUT | WRITE_NORMAL, alloc::vec![Thing::Terminal])
            }
            Leads::Path => (NVAL, Vec::new()),
            _ => (IN | OUT | READ_NORMAL | WRITE_NORMAL, Vec::new()),
        }
    }

    /// A timeout argument as a deadline; null: none.
    fn deadline_at(&mut self, s: u64, at: u64) -> Result<u64> {
        if at == 0 {
            return Ok(NO_DEADLINE);
        }
        let (seconds, nanoseconds) =
            (self.space(s).get_u64(at)? as i64, self.space(s).get_u64(at + 8)? as i64);
        if seconds < 0 || !(0..1_000_000_000).contains(&nanoseconds) {
            return Err(EINVAL);
        }
        let now = self.clock();
        if let Some(d) = self.progress(s).deadline {
            return Ok(d);
        }
        let span =
            (seconds as u64).saturating_mul(1_000_000).saturating_add((nanoseconds as u64).div_ceil(1000));
        let deadline = now.saturating_add(span).min(NO_DEADLINE - 1);
        self.progress(s).deadline = Some(deadline);
        Ok(deadline)
    }

    /// The mask that is in force while a call waits.
    pub fn mask_while(&mut self, s: u64, mask: u64) {
        let p = self.process_mut(s);
        if p.signals.saved.is_none() {
            p.signals.saved = Some(p.signals.mask);
            p.signals.mask = mask & !UNBLOCKABLE;
        }
    }

    fn mask_argument(&mut self, s: u64, at: u64, size: u64) -> Result<Option<u64>> {
        if at == 0 {
            return Ok(None);
        }
        if size != 8 {
            return Err(EINVAL);
        }
        self.space(s).get_u64(at).map(Some)
    }

    /// Nothing is ready: the call waits under `mask`. None: no time is left, so that its result is 0. As Linux' do_poll and core_sys_select it looks
    /// for signals before it says so, and what is ignored is dropped as by a wait.
    fn wait_or_end(
        &mut self,
        s: u64,
        mask: Option<u64>,
        things: Vec<Thing>,
        deadline: u64,
    ) -> Option<Outcome> {
        if let Some(mask) = mask {
            self.mask_while(s, mask);
        }
        if deadline > self.clock() {
            return Some(Outcome::Wait(Wait { things, deadline }));
        }
        if self.is_interrupted(s) {
            return Some(Outcome::Interrupted);
        }
        self.drop_ignored(s);
        None
    }

    /// Writes what is left of a timeout.
    fn put_left(&mut self, s: u64, at: u64, deadline: u64) {
        if at != 0 {
            let left = deadline.saturating_sub(self.clock());
            let words = [left / 1_000_000, left % 1_000_000 * 1000].map(u64::to_le_bytes);
            // Linux ignores a timeout that cannot be written.
            let _ = self.space(s).put(at, &words.concat());
        }
    }

    /// ppoll.
    pub fn ppoll(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [list, count, timeout, mask, size, _] = *a;
        let deadline = self.deadline_at(s, timeout)?;
        let mask = self.mask_argument(s, mask, size)?;
        // Who waits already was let in by the limit of then.
        if !self.progress(s).begun && count & 0xffff_ffff > self.fd_limit(s) {
            return Err(EINVAL);
        }
        let mut bytes = alloc::vec![0; rows_size(count)];
        self.space(s).get(list, &mut bytes)?;
        let (mut ready, mut things) = (0u64, Vec::new());
        for row in bytes.chunks_exact_mut(8) {
            let fd = i32::from_le_bytes([row[0], row[1], row[2], row[3]]);
            let wanted = u16::from_le_bytes([row[4], row[5]]);
            let mut got = 0;
            if fd >= 0 {
                got = NVAL;
                if let Ok((_, open)) = self.open_of(s, fd as u64) {
                    let (state, waits) = self.readiness(open);
                    got = state & (wanted | ERR | HUP | NVAL);
                    waits.into_iter().for_each(|t| {
                        if !things.contains(&t) {
                            things.push(t)
                        }
                    });
                }
            }
            row[6..8].copy_from_slice(&got.to_le_bytes());
            ready += u64::from(got != 0);
        }
        if ready == 0
            && let Some(outcome) = self.wait_or_end(s, mask, things, deadline)
        {
            return Ok(outcome);
        }
        self.space(s).put(list, &bytes)?;
        self.put_left(s, timeout, deadline);
        done(ready)
    }

    /// A signal ends ppoll: as Linux' do_sys_poll it writes the revents of all rows even then, and they are 0.
    pub fn clear_revents(&mut self, s: u64, list: u64, count: u64) -> Result<()> {
        let mut bytes = alloc::vec![0; rows_size(count)];
        self.space(s).get(list, &mut bytes)?;
        bytes.chunks_exact_mut(8).for_each(|row| row[6..].fill(0));
        self.space(s).put(list, &bytes)
    }

    /// Whether a thread is in a ppoll that has no result, since its rows cannot be written any more: EFAULT, also if a signal would end it. Linux lets
    /// through by the process' own mask then what it does.
    pub fn lacks_revents(&mut self, s: u64) -> bool {
        let Wanted::Call { number: nr::ppoll, args, progress: Progress { begun: true, .. } } =
            self.process(s).wanted
        else {
            return false;
        };
        let size = rows_size(args[1]) as u64;
        self.space(s).reach(args[0], size, WRITE) < size
    }

    /// pselect6.
    pub fn pselect(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [count, reads, writes, excepts, timeout, mask] = *a;
        let (set, size) = match mask {
            0 => (0, 0),
            at => (self.space(s).get_u64(at)?, self.space(s).get_u64(at.wrapping_add(8))?),
        };
        let deadline = self.deadline_at(s, timeout)?;
        let mask = self.mask_argument(s, set, size)?;
        if (count as i32) < 0 {
            return Err(EINVAL);
        }
        let count = (count as usize & 0x7fff_ffff).min(FDS_MAX);
        let bytes = count.div_ceil(64) * 8;
        let mut sets = [alloc::vec![0u8; bytes], alloc::vec![0u8; bytes], alloc::vec![0u8; bytes]];
        for (set, at) in sets.iter_mut().zip([reads, writes, excepts]) {
            if at != 0 {
                self.space(s).get(at, set)?;
            }
        }
        let (mut ready, mut things) = (0u64, Vec::new());
        let mut out = [alloc::vec![0u8; bytes], alloc::vec![0u8; bytes], alloc::vec![0u8; bytes]];
        for fd in 0..count {
            let (byte, bit) = (fd / 8, 1u8 << (fd % 8));
            if !sets.iter().any(|set| set[byte] & bit != 0) {
                continue;
            }
            let (_, open) = self.open_of(s, fd as u64)?;
            let (state, waits) = self.readiness(open);
            waits.into_iter().for_each(|t| {
                if !things.contains(&t) {
                    things.push(t)
                }
            });
            for (i, meaning) in [IN | HUP | ERR, OUT | ERR, 0].into_iter().enumerate() {
                if sets[i][byte] & bit != 0 && state & meaning != 0 {
                    out[i][byte] |= bit;
                    ready += 1;
                }
            }
        }
        if ready == 0
            && let Some(outcome) = self.wait_or_end(s, mask, things, deadline)
        {
            return Ok(outcome);
        }
        for (set, at) in out.iter().zip([reads, writes, excepts]) {
            if at != 0 {
                self.space(s).put(at, set)?;
            }
        }
        self.put_left(s, timeout, deadline);
        done(ready)
    }
}
