//! Clocks, sleeps, timers. "Clock" in `docs/turn-rule.md`.

use super::*;

const SECOND: u64 = 1_000_000;

/// A timespec.
fn timespec(us: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&(us / SECOND).to_le_bytes());
    out[8..].copy_from_slice(&(us % SECOND * 1000).to_le_bytes());
    out
}

/// A timeval.
fn timeval(us: u64) -> [u8; 16] {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&(us / SECOND).to_le_bytes());
    out[8..].copy_from_slice(&(us % SECOND).to_le_bytes());
    out
}

impl<H: Hardware> Kernel<H> {
    /// A monotonic clock's value.
    fn monotonic(&self) -> u64 {
        (self.clock() + SECOND).saturating_sub(self.boot_us)
    }

    pub(super) fn sys_clock_gettime(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let us = match a[0] as i32 {
            0 | 5 | 8 | 11 => self.clock(),
            1 | 4 | 6 | 7 | 9 => self.monotonic(),
            2 => self.calls_of(self.owner(serial)),
            3 => self.threads.get(&serial).map_or(0, |t| t.calls),
            _ => return Err(EINVAL),
        };
        self.put(serial, a[1], &timespec(us))?;
        done(0)
    }

    pub(super) fn sys_clock_getres(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if !matches!(a[0] as i32, 0..=9 | 11) {
            return Err(EINVAL);
        }
        if a[1] != 0 {
            self.put(serial, a[1], &timespec(1))?;
        }
        done(0)
    }

    pub(super) fn sys_gettimeofday(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        if a[0] != 0 {
            let now = timeval(self.clock());
            self.put(serial, a[0], &now)?;
        }
        if a[1] != 0 {
            self.put(serial, a[1], &[0; 8])?;
        }
        done(0)
    }

    pub(super) fn sys_times(&mut self, serial: u64, address: u64) -> CallResult {
        if address != 0 {
            let own = self.calls_of(self.owner(serial)) / 10_000;
            let children = self.process(serial)?.child_calls / 10_000;
            let bytes: Vec<u8> = [0, own, 0, children].iter().flat_map(|v| v.to_le_bytes()).collect();
            self.put(serial, address, &bytes)?;
        }
        done(self.monotonic() / 10_000)
    }

    pub(super) fn sys_sleep(
        &mut self,
        serial: u64,
        clock: u64,
        flags: u32,
        address: u64,
        from: Option<Continuation>,
    ) -> CallResult {
        const ABSOLUTE: u32 = 1;
        let clock = clock as i32;
        let offset = match clock {
            0 | 2 | 8 | 11 => 0,
            1 | 7 | 9 => self.boot_us.saturating_sub(SECOND),
            3..=6 => return Err(EOPNOTSUPP),
            // Linux would look for a process or a file that keeps such a clock once it has the time.
            ..0 => {
                self.sleep_argument(serial, address)?;
                return Err(EINVAL);
            }
            _ => return Err(EINVAL),
        };
        let until = match from {
            Some(Continuation::Until(until)) => until,
            _ => {
                let us = self.sleep_argument(serial, address)?;
                // The ALARM clocks know no other flag.
                if matches!(clock, 8 | 9) && flags & !ABSOLUTE != 0 {
                    return Err(EINVAL);
                }
                if flags & ABSOLUTE != 0 {
                    us.saturating_add(offset)
                } else {
                    self.clock().saturating_add(us)
                }
            }
        };
        if until <= self.clock() {
            return done(0);
        }
        Ok(Outcome::Block(Wait { keys: Vec::new(), deadline: Some(until), next: Continuation::Until(until) }))
    }

    /// A timespec as µs, rounded up.
    fn sleep_argument(&mut self, serial: u64, address: u64) -> Result<u64> {
        let space = self.space(serial)?;
        let s = self.memory.read_u64(space, address)?;
        let ns = self.memory.read_u64(space, address.wrapping_add(8))?;
        if (s as i64) < 0 || ns >= 1_000_000_000 {
            return Err(EINVAL);
        }
        Ok(s.saturating_mul(SECOND).saturating_add(ns.div_ceil(1000)).min(1 << 62))
    }

    /// A sleep that a handler ends tells what was left.
    pub fn write_time_left(&mut self, serial: u64, r: &Registers, left: u64) {
        let [clock_or_request, flags, _, remaining, ..] = arguments(r);
        let (address, absolute) = match r.x[8] {
            nr::nanosleep => (flags, false),
            nr::clock_nanosleep => (remaining, flags & 1 != 0),
            _ => return,
        };
        let _ = clock_or_request;
        if address != 0 && !absolute {
            // Linux would answer EFAULT; the handler matters more.
            let _ = self.put(serial, address, &timespec(left));
        }
    }

    pub(super) fn sys_setitimer(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let space = self.space(serial)?;
        let mut words = [0; 4];
        if a[1] != 0 {
            for (i, w) in words.iter_mut().enumerate() {
                *w = self.memory.read_u64(space, a[1].wrapping_add(i as u64 * 8))?;
            }
        }
        let [interval_s, interval_us, value_s, value_us] = words;
        if interval_us >= SECOND || value_us >= SECOND || (interval_s as i64) < 0 || (value_s as i64) < 0 {
            return Err(EINVAL);
        }
        // Which timer is looked at last.
        match a[0] as u32 {
            0 => {}
            1 | 2 => return Err(ENOSYS),
            _ => return Err(EINVAL),
        }
        let total = |s: u64, us: u64| s.saturating_mul(SECOND).saturating_add(us).min(1 << 62);
        let (value, interval) = (total(value_s, value_us), total(interval_s, interval_us));
        let clock = self.clock();
        let old = self.process(serial)?.timer;
        self.process_mut(serial)?.timer = (value > 0).then(|| (clock + value, interval));
        if a[2] != 0 { self.put_timer(serial, a[2], old) } else { done(0) }
    }

    pub(super) fn sys_getitimer(&mut self, serial: u64, a: &[u64; 6]) -> CallResult {
        let timer = match a[0] as u32 {
            0 => self.process(serial)?.timer,
            1 | 2 => None,
            _ => return Err(EINVAL),
        };
        self.put_timer(serial, a[1], timer)
    }

    fn put_timer(&mut self, serial: u64, address: u64, timer: Option<(u64, u64)>) -> CallResult {
        let (left, every) = timer.map_or((0, 0), |(at, every)| (at.saturating_sub(self.clock()), every));
        self.put(serial, address, &[timeval(every), timeval(left)].concat())?;
        done(0)
    }
}
