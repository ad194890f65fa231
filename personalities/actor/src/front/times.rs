//! Calls about time.

use super::Arguments;
use crate::bytes::{Out as Bytes, u64_at};
use crate::error::{Res, e};
use crate::kernel::{DONE, Flow, Kernel, Out, Restart};
use crate::machine::Machine;
use crate::turns::Serial;
use abi::linux::nr;
use linux_raw_sys::general as linux;

const SECOND: u64 = 1_000_000;
const TIMER_ABSTIME: u32 = 1;
/// What a negative clock is of, as Linux takes it apart.
const CLOCK_KIND: u32 = 7;
const CLOCK_OF_DESCRIPTOR: u32 = 3;

/// `struct timespec` or, with `per_us` 1, `struct timeval`.
fn time(us: u64, per_us: u64) -> Bytes {
    let mut out = Bytes::default();
    out.u64(us / SECOND).u64(us % SECOND * per_us);
    out
}

impl<M: Machine> Kernel<M> {
    pub(super) fn time_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::clock_gettime => self.clock_gettime(me, a),
            nr::clock_getres => self.clock_getres(me, a),
            nr::gettimeofday => self.gettimeofday(me, a),
            nr::times => self.times(me, a.0[0]),
            nr::nanosleep => self.sleep(me, a.0[0], a.0[1], None),
            nr::clock_nanosleep => self.clock_nanosleep(me, a),
            nr::getitimer => self.getitimer(me, a.uint(0), a.0[1]),
            nr::setitimer => self.setitimer(me, a),
            _ => return None,
        })
    }

    /// CLOCK_MONOTONIC: Boot is one second.
    fn monotonic_us(&self) -> u64 {
        self.now_us() - self.turns.boot_us() + SECOND
    }

    fn clock_us(&self, me: Serial, clock: u32) -> Res<u64> {
        match clock {
            linux::CLOCK_REALTIME
            | linux::CLOCK_REALTIME_COARSE
            | linux::CLOCK_REALTIME_ALARM
            | linux::CLOCK_TAI => Ok(self.now_us()),
            linux::CLOCK_MONOTONIC
            | linux::CLOCK_MONOTONIC_RAW
            | linux::CLOCK_MONOTONIC_COARSE
            | linux::CLOCK_BOOTTIME
            | linux::CLOCK_BOOTTIME_ALARM => Ok(self.monotonic_us()),
            linux::CLOCK_PROCESS_CPUTIME_ID | linux::CLOCK_THREAD_CPUTIME_ID => {
                Ok(self.processes.get(me)?.calls)
            }
            _ => Err(e::EINVAL),
        }
    }

    fn clock_gettime(&mut self, me: Serial, a: Arguments) -> Out {
        let us = self.clock_us(me, a.uint(0))?;
        self.give(me, a.0[1], &time(us, 1000).0)
    }

    fn clock_getres(&mut self, me: Serial, a: Arguments) -> Out {
        self.clock_us(me, a.uint(0))?;
        if a.0[1] == 0 { DONE } else { self.give(me, a.0[1], &time(1, 1000).0) }
    }

    fn gettimeofday(&mut self, me: Serial, a: Arguments) -> Out {
        let now = self.now_us();
        if a.0[0] != 0 {
            self.bytes_out(me, a.0[0], &time(now, 1).0)?;
        }
        if a.0[1] != 0 {
            self.bytes_out(me, a.0[1], &[0; 8])?;
        }
        DONE
    }

    fn times(&mut self, me: Serial, at: u64) -> Out {
        let p = self.processes.get(me)?;
        let mut out = Bytes::default();
        out.u64(0).u64(p.calls / 10_000).u64(0).u64(p.children_calls / 10_000);
        if at != 0 {
            self.bytes_out(me, at, &out.0)?;
        }
        Ok(Flow::Done(self.monotonic_us() / 10_000))
    }

    /// A timespec in µs, rounded up.
    pub(super) fn timespec_us(&mut self, me: Serial, at: u64) -> Res<u64> {
        let raw = self.bytes_in(me, at, 16)?;
        let (seconds, nanoseconds) = (u64_at(&raw, 0), u64_at(&raw, 8));
        if (seconds as i64) < 0 || nanoseconds >= 1_000_000_000 {
            return Err(e::EINVAL);
        }
        Ok(seconds.saturating_mul(SECOND).saturating_add(nanoseconds.div_ceil(1000)))
    }

    /// A relative sleep, or one until `until` makes a clock's time the program's.
    fn sleep(&mut self, me: Serial, at: u64, left_at: u64, until: Option<fn(&Kernel<M>, u64) -> u64>) -> Out {
        let us = self.timespec_us(me, at)?;
        let now = self.now_us();
        let deadline = match (self.thread(me)?.again.deadline_us, until) {
            (Some(d), _) => d,
            (None, Some(until)) => until(self, us),
            (None, None) => now.saturating_add(us),
        };
        if deadline <= now {
            return DONE;
        }
        let restart = if until.is_some() { Restart::Never } else { Restart::Remaining(left_at) };
        Ok(Flow::Block { things: Default::default(), deadline_us: Some(deadline), restart })
    }

    fn clock_nanosleep(&mut self, me: Serial, a: Arguments) -> Out {
        let (clock, flags) = (a.uint(0), a.uint(1));
        let alarm = matches!(clock, linux::CLOCK_REALTIME_ALARM | linux::CLOCK_BOOTTIME_ALARM);
        let realtime =
            matches!(clock, linux::CLOCK_REALTIME | linux::CLOCK_TAI | linux::CLOCK_REALTIME_ALARM);
        match clock {
            _ if realtime || alarm => {}
            linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME => {}
            // By its bits a clock of a descriptor, or one of a process: neither is there, but a sleep by the latter is looked at first.
            _ if (clock as i32) < 0 && clock & CLOCK_KIND == CLOCK_OF_DESCRIPTOR => {
                return Err(e::EOPNOTSUPP);
            }
            _ if (clock as i32) < 0 => {
                self.timespec_us(me, a.0[2])?;
                return Err(e::EINVAL);
            }
            _ => {
                self.clock_us(me, clock)?;
                return Err(e::EOPNOTSUPP);
            }
        }
        if alarm && flags & !TIMER_ABSTIME != 0 {
            self.timespec_us(me, a.0[2])?;
            return Err(e::EINVAL);
        }
        let until: Option<fn(&Kernel<M>, u64) -> u64> = match (flags & TIMER_ABSTIME != 0, realtime) {
            (false, _) => None,
            (true, true) => Some(|_, us| us),
            (true, false) => Some(|k, us| k.turns.boot_us().saturating_add(us.saturating_sub(SECOND))),
        };
        self.sleep(me, a.0[2], a.0[3], until)
    }

    fn getitimer(&mut self, me: Serial, which: u32, at: u64) -> Out {
        if which != linux::ITIMER_REAL {
            return Err(e::EINVAL);
        }
        let (due, interval) = self.processes.get(me)?.timer_us;
        let left = if due == 0 { 0 } else { due.saturating_sub(self.now_us()).max(1) };
        let mut out = time(interval, 1);
        out.0.extend(time(left, 1).0);
        self.give(me, at, &out.0)
    }

    fn setitimer(&mut self, me: Serial, a: Arguments) -> Out {
        let mut new = (0, 0);
        if a.0[1] != 0 {
            let raw = self.bytes_in(me, a.0[1], 32)?;
            let part = |i: usize| {
                let (seconds, us) = (u64_at(&raw, i), u64_at(&raw, i + 8));
                let valid = (seconds as i64) >= 0 && us < SECOND;
                if valid { Ok(seconds.saturating_mul(SECOND).saturating_add(us)) } else { Err(e::EINVAL) }
            };
            new = (part(16)?, part(0)?);
        }
        if a.uint(0) != linux::ITIMER_REAL {
            return Err(e::EINVAL);
        }
        let now = self.now_us();
        let old = self.processes.get(me)?.timer_us;
        let due = if new.0 == 0 { 0 } else { now.saturating_add(new.0) };
        // As Linux: a timer that is off has no interval.
        self.processes.get_mut(me)?.timer_us = (due, if due == 0 { 0 } else { new.1 });
        if a.0[2] != 0 {
            let left = if old.0 == 0 { 0 } else { old.0.saturating_sub(now).max(1) };
            let mut out = time(old.1, 1);
            out.0.extend(time(left, 1).0);
            self.bytes_out(me, a.0[2], &out.0)?;
        }
        DONE
    }
}
