//! Clocks, sleeps, timers, futexes.

use super::{Args, Outcome, done, ok};
use crate::errno::*;
use crate::process::{Thing, Wait};
use crate::state::State;
use abi::linux::nr;
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

const ABSOLUTE: u64 = 1;

fn timespec(us: u64) -> Vec<u8> {
    [us / 1_000_000, us % 1_000_000 * 1000].map(u64::to_le_bytes).concat()
}

fn timeval(us: u64) -> [u64; 2] {
    [us / 1_000_000, us % 1_000_000]
}

impl State {
    /// Calls on time; none: not one of them.
    pub fn time_call(&mut self, s: u64, number: u64, a: &Args) -> Option<Result<Outcome>> {
        Some(match number {
            nr::clock_gettime => self.clock_gettime(s, a[0] as i32, a[1]),
            nr::clock_getres => self.clock_getres(s, a[0] as i32, a[1]),
            nr::gettimeofday => self.gettimeofday(s, a[0], a[1]),
            nr::nanosleep => self.sleep(s, a[0], false, false),
            nr::clock_nanosleep => self.clock_nanosleep(s, a),
            nr::times => self.times(s, a[0]),
            nr::setitimer => self.setitimer(s, a[0], a[1], a[2]),
            nr::getitimer => self.getitimer(s, a[0], a[1]),
            _ => return None,
        })
    }

    fn read_clock(&self, s: u64, id: i32) -> Result<u64> {
        match id {
            0 | 5 | 8 | 11 => Ok(self.clock()),
            1 | 4 | 6 | 7 | 9 => Ok(self.monotonic()),
            2 | 3 => Ok(self.process(s).calls),
            _ => Err(EINVAL),
        }
    }

    fn clock_gettime(&mut self, s: u64, id: i32, at: u64) -> Result<Outcome> {
        let us = self.read_clock(s, id)?;
        self.space(s).put(at, &timespec(us))?;
        ok()
    }

    fn clock_getres(&mut self, s: u64, id: i32, at: u64) -> Result<Outcome> {
        self.read_clock(s, id)?;
        if at != 0 {
            self.space(s).put(at, &timespec(1))?;
        }
        ok()
    }

    fn gettimeofday(&mut self, s: u64, at: u64, zone: u64) -> Result<Outcome> {
        let now = timeval(self.clock()).map(u64::to_le_bytes).concat();
        if at != 0 {
            self.space(s).put(at, &now)?;
        }
        if zone != 0 {
            self.space(s).put(zone, &[0; 8])?;
        }
        ok()
    }

    fn get_timespec(&mut self, s: u64, at: u64) -> Result<u64> {
        let (seconds, ns) = (self.space(s).get_u64(at)? as i64, self.space(s).get_u64(at + 8)? as i64);
        if seconds < 0 || !(0..1_000_000_000).contains(&ns) {
            return Err(EINVAL);
        }
        Ok((seconds as u64).saturating_mul(1_000_000).saturating_add((ns as u64).div_ceil(1000)))
    }

    fn clock_nanosleep(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let (id, flags) = (a[0] as i32, a[1] as u32);
        match id {
            0 | 1 | 7 | 8 | 9 | 11 => {}
            2..=6 => return Err(EOPNOTSUPP),
            // Linux looks at the time before it asks whose clock that would be.
            ..0 => return self.get_timespec(s, a[2]).and(Err(EINVAL)),
            _ => return Err(EINVAL),
        }
        if matches!(id, 8 | 9) {
            self.get_timespec(s, a[2])?;
            if flags & !(ABSOLUTE as u32) != 0 {
                return Err(EINVAL);
            }
        }
        self.sleep(s, a[2], flags & ABSOLUTE as u32 != 0, matches!(id, 1 | 7 | 9))
    }

    fn sleep(&mut self, s: u64, at: u64, absolute: bool, monotonic: bool) -> Result<Outcome> {
        let now = self.clock();
        let deadline = match self.progress(s).deadline {
            Some(d) => d,
            None => {
                let span = self.get_timespec(s, at)?;
                let base = match (absolute, monotonic) {
                    (true, true) => self.birth.time_us - 1_000_000,
                    (true, false) => 0,
                    _ => now,
                };
                base.saturating_add(span).min(NO_DEADLINE - 1)
            }
        };
        self.progress(s).deadline = Some(deadline);
        if deadline <= now {
            return ok();
        }
        Ok(Outcome::Wait(Wait { things: Vec::new(), deadline }))
    }

    /// The time left of a sleep that a signal ends.
    pub fn write_remaining(&mut self, s: u64, number: u64, args: &Args, deadline: u64) -> Result<()> {
        let at = match number {
            nr::nanosleep => args[1],
            nr::clock_nanosleep if args[1] & ABSOLUTE == 0 => args[3],
            _ => 0,
        };
        if at == 0 {
            return Ok(());
        }
        let left = deadline.saturating_sub(self.clock());
        self.space(s).put(at, &timespec(left))
    }

    fn times(&mut self, s: u64, at: u64) -> Result<Outcome> {
        if at != 0 {
            let p = self.process(s);
            let words = [0, p.calls / 10_000, 0, p.child_calls / 10_000].map(u64::to_le_bytes);
            self.space(s).put(at, &words.concat())?;
        }
        done(self.monotonic() / 10_000)
    }

    fn timer_words(&self, s: u64) -> Vec<u8> {
        let (next, interval) = self.process(s).timer;
        let left = if next == 0 { 0 } else { next.saturating_sub(self.clock()).max(1) };
        let ([a, b], [c, d]) = (timeval(interval), timeval(left));
        [a, b, c, d].map(u64::to_le_bytes).concat()
    }

    fn getitimer(&mut self, s: u64, which: u64, at: u64) -> Result<Outcome> {
        match which as u32 {
            0 => {
                let words = self.timer_words(s);
                self.space(s).put(at, &words)?;
                ok()
            }
            1 | 2 => {
                self.space(s).put(at, &[0; 32])?;
                ok()
            }
            _ => Err(EINVAL),
        }
    }

    fn setitimer(&mut self, s: u64, which: u64, new: u64, old: u64) -> Result<Outcome> {
        let mut values = [0; 2];
        if new != 0 {
            let mut words = [0; 4];
            for (i, word) in words.iter_mut().enumerate() {
                *word = self.space(s).get_u64(new.wrapping_add(8 * i as u64))? as i64;
            }
            for (v, pair) in values.iter_mut().zip(words.chunks_exact(2)) {
                let (seconds, us) = (pair[0], pair[1]);
                if seconds < 0 || !(0..1_000_000).contains(&us) {
                    return Err(EINVAL);
                }
                *v = (seconds as u64).saturating_mul(1_000_000).saturating_add(us as u64);
            }
        }
        if which as u32 > 2 {
            return Err(EINVAL);
        }
        let before = if which as u32 == 0 { self.timer_words(s) } else { alloc::vec![0; 32] };
        if which as u32 == 0 {
            let now = self.clock();
            let next = if values[1] == 0 { 0 } else { now.saturating_add(values[1]) };
            self.process_mut(s).timer = (next, if next == 0 { 0 } else { values[0] });
        }
        if old != 0 {
            self.space(s).put(old, &before)?;
        }
        ok()
    }

    /// futex: WAIT and WAKE of one process.
    pub fn futex(&mut self, s: u64, a: &Args) -> Result<Outcome> {
        let [at, operation, value, timeout, ..] = *a;
        let operation = operation & 0x7f;
        if !at.is_multiple_of(4) {
            return Err(EINVAL);
        }
        match operation {
            0 | 9 => {
                let begun = self.progress(s).begun;
                let now = self.clock();
                let deadline = match (self.progress(s).deadline, timeout) {
                    (Some(d), _) => d,
                    (None, 0) => NO_DEADLINE,
                    (None, t) => now.saturating_add(self.get_timespec(s, t)?),
                };
                if timeout != 0 {
                    self.progress(s).deadline = Some(deadline);
                }
                if begun && deadline <= now {
                    return Err(ETIMEDOUT);
                }
                if self.space(s).get_u32(at)? != value as u32 {
                    return Err(EAGAIN);
                }
                if deadline <= now {
                    return Err(ETIMEDOUT);
                }
                Ok(Outcome::Wait(Wait { things: alloc::vec![Thing::Futex(at)], deadline }))
            }
            1 | 10 => done(0u64),
            _ => Err(ENOSYS),
        }
    }
}
