//! ppoll and pselect6.

use super::*;
use crate::open::{Kind, OpenFile};
use crate::process::Stand;
use crate::signal::{Looked, When};
use abi::turn::PIPE_BUF;

const POLLIN: u16 = 1;
const POLLPRI: u16 = 2;
const POLLOUT: u16 = 4;
const POLLERR: u16 = 8;
const POLLHUP: u16 = 0x10;
const POLLNVAL: u16 = 0x20;
const POLLRDNORM: u16 = 0x40;
const POLLRDBAND: u16 = 0x80;
const POLLWRNORM: u16 = 0x100;
const POLLWRBAND: u16 = 0x200;
const READS: u16 = POLLIN | POLLRDNORM;
const WRITES: u16 = POLLOUT | POLLWRNORM;

impl<H: Hardware> Kernel<H> {
    /// What a file is ready for.
    fn ready(&self, f: &OpenFile) -> u16 {
        if let Some((p, reads, writes)) = f.pipe() {
            let Some(pipe) = self.pipes.get(p) else { return POLLERR };
            let mut events = 0;
            if reads {
                if !pipe.data.is_empty() {
                    events |= READS;
                }
                let quiet = f.quiet_hangup.is_some_and(|seen| pipe.writers_seen == seen);
                if pipe.writers == 0 && !quiet {
                    events |= POLLHUP;
                }
            }
            if writes {
                if pipe.room() >= PIPE_BUF {
                    events |= WRITES;
                }
                if pipe.readers == 0 {
                    events |= POLLERR;
                }
            }
            return events;
        }
        match f.kind {
            Kind::Terminal => WRITES | if self.terminal.readable() { READS } else { 0 },
            _ => READS | WRITES,
        }
    }

    /// What a file's readiness can be waited for by.
    pub fn keys(&self, f: &OpenFile, keys: &mut Vec<Key>) {
        let mut add = |k| {
            if !keys.contains(&k) {
                keys.push(k);
            }
        };
        if let Some((p, reads, writes)) = f.pipe() {
            if reads {
                add(Key::Readers(p));
            }
            if writes {
                add(Key::Writers(p));
            }
        } else if f.kind == Kind::Terminal {
            add(Key::Terminal);
        }
    }

    /// The descriptors that a ppoll or pselect6 asks for, in the order of its list.
    pub fn polled(&mut self, serial: u64, number: u64, a: &[u64; 6]) -> Result<Vec<u64>> {
        let space = self.space(serial)?;
        if number == nr::ppoll {
            let count = (a[1] as u32).min(256);
            let mut list = alloc::vec![0; count as usize * 8];
            self.memory.read(space, a[0], &mut list)?;
            let fds = list.chunks_exact(8).map(|e| i32::from_le_bytes([e[0], e[1], e[2], e[3]]));
            return Ok(fds.filter(|fd| *fd >= 0).map(|fd| fd as u64).collect());
        }
        let sets = self.sets(space, a)?;
        Ok(wanted(&sets, (a[0] as u32 as usize).min(256)).into_iter().map(|fd| fd as u64).collect())
    }

    /// The three sets of a pselect6.
    fn sets(&mut self, space: u32, a: &[u64; 6]) -> Result<[Vec<u8>; 3]> {
        let bytes = (a[0] as u32 as usize).min(256).div_ceil(64) * 8;
        let mut sets = [alloc::vec![0u8; bytes], alloc::vec![0; bytes], alloc::vec![0; bytes]];
        for (set, address) in sets.iter_mut().zip([a[1], a[2], a[3]]) {
            if address != 0 {
                self.memory.read(space, address, set)?;
            }
        }
        Ok(sets)
    }

    /// A timespec as µs, rounded up; `None`: none given.
    fn timeout(&mut self, space: u32, address: u64) -> Result<Option<u64>> {
        if address == 0 {
            return Ok(None);
        }
        let (s, ns) =
            (self.memory.read_u64(space, address)?, self.memory.read_u64(space, address.wrapping_add(8))?);
        if (s as i64) < 0 || ns >= 1_000_000_000 {
            return Err(EINVAL);
        }
        Ok(Some(s.saturating_mul(1_000_000).saturating_add(ns.div_ceil(1000)).min(1 << 62)))
    }

    /// The deadline at the first making, and the mask for the time of waiting.
    fn begin_wait(
        &mut self,
        serial: u64,
        timeout: Option<u64>,
        mask: Option<u64>,
        from: Option<Continuation>,
    ) -> Option<u64> {
        if let Some(Continuation::Poll(until)) = from {
            return until;
        }
        if let (Some(mask), Some(t)) = (mask, self.threads.get_mut(&serial)) {
            t.saved_mask = Some(t.mask);
            t.mask = mask & !crate::signal::UNBLOCKABLE;
        }
        timeout.map(|t| self.clock().saturating_add(t))
    }

    /// Nothing is ready at the first making, and the time is over: whether the call gives way to a signal. What its mask lets through and is ignored
    /// is dropped, as when it waits.
    fn gives_way(&mut self, serial: u64, until: Option<u64>, from: Option<Continuation>) -> bool {
        // When it is made again the thread has looked under this mask.
        if from.is_some() {
            return false;
        }
        if let Some(t) = self.threads.get_mut(&serial) {
            t.continuation = Some(Continuation::Poll(until));
        }
        if self.look(serial, When::Before) == Looked::Decided {
            return true;
        }
        if let Some(t) = self.threads.get_mut(&serial) {
            t.continuation = None;
        }
        false
    }

    /// Writes the time left back, as Linux does with a result.
    fn time_left(&mut self, serial: u64, address: u64, until: Option<u64>) {
        if let (true, Some(until)) = (address != 0, until) {
            let left = until.saturating_sub(self.clock());
            let bytes = [(left / 1_000_000).to_le_bytes(), (left % 1_000_000 * 1000).to_le_bytes()].concat();
            // Linux ignores that it cannot be written.
            let _ = self.put(serial, address, &bytes);
        }
    }

    pub(super) fn sys_ppoll(&mut self, serial: u64, a: &[u64; 6], from: Option<Continuation>) -> CallResult {
        let space = self.space(serial)?;
        let timeout = self.timeout(space, a[2])?;
        let mask = self.mask_argument(space, a[3], a[4])?;
        let count = a[1] as u32;
        if u64::from(count) > self.process(serial)?.limits.get(&7).map_or(256, |l| l.0) {
            return Err(EINVAL);
        }
        let mut list = alloc::vec![0; count as usize * 8];
        self.memory.read(space, a[0], &mut list)?;
        let until = self.begin_wait(serial, timeout, mask, from);
        let (mut ready, mut keys) = (0, Vec::new());
        for entry in list.chunks_exact_mut(8) {
            let fd = i32::from_le_bytes([entry[0], entry[1], entry[2], entry[3]]);
            let wanted = u16::from_le_bytes([entry[4], entry[5]]) | POLLERR | POLLHUP;
            let events = match fd {
                ..0 => 0,
                _ => match self.file(serial, fd as u64).ok().and_then(|f| self.open.get(f)) {
                    None => POLLNVAL,
                    Some(f) => {
                        self.keys(f, &mut keys);
                        self.ready(f) & wanted
                    }
                },
            };
            entry[6..8].copy_from_slice(&events.to_le_bytes());
            ready += u64::from(events != 0);
        }
        if ready == 0 && until.is_none_or(|u| u > self.clock()) {
            return Ok(Outcome::Block(Wait { keys, deadline: until, next: Continuation::Poll(until) }));
        }
        if ready == 0 && self.gives_way(serial, until, from) {
            return Ok(Outcome::Replaced);
        }
        let result = self.put(serial, a[0], &list);
        self.time_left(serial, a[2], until);
        result?;
        done(ready)
    }

    /// A handler is about to end the call in which thread `serial` waits. If that is a ppoll, all its revents are written, 0; if they cannot be, the
    /// call has failed by that, under the mask before it: whether this is so.
    pub fn end_poll(&mut self, serial: u64) -> bool {
        let Some(t) = self.threads.get(&serial) else { return false };
        let Some(Continuation::Poll(until)) = t.continuation else { return false };
        if t.stand != Stand::Call || t.registers.x[8] != nr::ppoll {
            return false;
        }
        let a = arguments(&t.registers);
        let Err(error) = self.clear_revents(serial, &a) else { return false };
        self.time_left(serial, a[2], until);
        if let Some(t) = self.threads.get_mut(&serial) {
            t.continuation = None;
            t.registers.x[0] = error.value();
            t.stand = Stand::User;
            t.mask = t.saved_mask.take().unwrap_or(t.mask);
        }
        true
    }

    fn clear_revents(&mut self, serial: u64, a: &[u64; 6]) -> Result<()> {
        let space = self.space(serial)?;
        // More the call has not been let wait for.
        let mut list = alloc::vec![0; (a[1] as u32).min(256) as usize * 8];
        self.memory.read(space, a[0], &mut list)?;
        list.chunks_exact_mut(8).for_each(|entry| entry[6..8].fill(0));
        self.put(serial, a[0], &list)
    }

    pub(super) fn sys_pselect6(
        &mut self,
        serial: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        let space = self.space(serial)?;
        let (mut set_at, mut set_size) = (0, 0);
        if a[5] != 0 {
            set_at = self.memory.read_u64(space, a[5])?;
            set_size = self.memory.read_u64(space, a[5].wrapping_add(8))?;
        }
        let timeout = self.timeout(space, a[4])?;
        let mask = self.mask_argument(space, set_at, set_size)?;
        if (a[0] as i32) < 0 {
            return Err(EINVAL);
        }
        let n = (a[0] as u32 as usize).min(256);
        let bytes = n.div_ceil(64) * 8;
        let sets = self.sets(space, a)?;
        let wanted = wanted(&sets, n);
        if from.is_none() && wanted.iter().any(|fd| self.file(serial, *fd as u64).is_err()) {
            return Err(EBADF);
        }
        let until = self.begin_wait(serial, timeout, mask, from);
        let masks = [READS | POLLRDBAND | POLLHUP | POLLERR, WRITES | POLLWRBAND | POLLERR, POLLPRI];
        let mut out = [alloc::vec![0u8; bytes], alloc::vec![0; bytes], alloc::vec![0; bytes]];
        let (mut ready, mut keys) = (0, Vec::new());
        for fd in wanted {
            let Some(f) = self.file(serial, fd as u64).ok().and_then(|f| self.open.get(f)) else { continue };
            self.keys(f, &mut keys);
            let events = self.ready(f);
            for ((set, out), mask) in sets.iter().zip(&mut out).zip(masks) {
                if has(set, fd) && events & mask != 0 {
                    if let Some(b) = out.get_mut(fd / 8) {
                        *b |= 1 << (fd % 8);
                    }
                    ready += 1;
                }
            }
        }
        if ready == 0 && until.is_none_or(|u| u > self.clock()) {
            return Ok(Outcome::Block(Wait { keys, deadline: until, next: Continuation::Poll(until) }));
        }
        if ready == 0 && self.gives_way(serial, until, from) {
            return Ok(Outcome::Replaced);
        }
        self.time_left(serial, a[4], until);
        for (set, address) in out.iter().zip([a[1], a[2], a[3]]) {
            if address != 0 {
                self.put(serial, address, set)?;
            }
        }
        done(ready)
    }

    /// A mask of ppoll and its kin; `None`: none given.
    fn mask_argument(&mut self, space: u32, address: u64, size: u64) -> Result<Option<u64>> {
        if address == 0 {
            return Ok(None);
        }
        if size != 8 {
            return Err(EINVAL);
        }
        self.memory.read_u64(space, address).map(Some)
    }
}

fn has(set: &[u8], fd: usize) -> bool {
    set.get(fd / 8).is_some_and(|b| b >> (fd % 8) & 1 == 1)
}

/// The descriptors below `n` that one of the sets has.
fn wanted(sets: &[Vec<u8>; 3], n: usize) -> Vec<usize> {
    (0..n).filter(|fd| sets.iter().any(|s| has(s, *fd))).collect()
}
