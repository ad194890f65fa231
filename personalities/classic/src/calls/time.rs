//! Clocks and sleeps: all time is the turn rule's.

use super::{Call, Ended};
use crate::errno::{EINVAL, EOPNOTSUPP, ESRCH, Errno};
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::turns::Serial;
use abi::linux::nr;
use abi::vote::NO_DEADLINE;
use alloc::vec::Vec;

const SECOND_US: u64 = 1_000_000;
const TIMER_ABSTIME: u64 = 1;
const CLOCK_THREAD_CPUTIME_ID: i32 = 3;
const CLOCK_MONOTONIC_COARSE: i32 = 6;
const CLOCK_REALTIME_ALARM: i32 = 8;
const CLOCK_BOOTTIME_ALARM: i32 = 9;

/// What a clock id shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clock {
    /// Since 1970.
    Real,
    /// Since Boot, which is second 1.
    Monotonic,
    /// A microsecond for each call that the process made.
    Process,
    /// A microsecond for each call that the thread made.
    Thread,
}

fn clock_of(id: i32) -> Result<Clock, Errno> {
    match id {
        0 | 5 | 8 | 11 => Ok(Clock::Real),
        1 | 4 | 6 | 7 | 9 => Ok(Clock::Monotonic),
        2 => Ok(Clock::Process),
        3 => Ok(Clock::Thread),
        _ => Err(EINVAL),
    }
}

/// `struct timespec` (or, with 1, `struct timeval`) of a time; `unit`: its fractions of a microsecond.
fn time_bytes(us: u64, unit: u64) -> [u8; 16] {
    let mut b = [0; 16];
    b[..8].copy_from_slice(&(us / SECOND_US).to_le_bytes());
    b[8..].copy_from_slice(&(us % SECOND_US * unit).to_le_bytes());
    b
}

/// Microseconds of seconds and fractions (`per_second` of them), rounded up.
fn micros([seconds, fraction]: [u64; 2], per_second: u64) -> Result<u64, Errno> {
    if seconds > i64::MAX as u64 || fraction >= per_second {
        return Err(EINVAL);
    }
    let us = fraction.div_ceil(per_second / SECOND_US);
    Ok(seconds.saturating_mul(SECOND_US).saturating_add(us))
}

impl<M: Machine> Kernel<M> {
    /// CLOCK_MONOTONIC.
    pub(crate) fn monotonic_us(&self) -> u64 {
        self.turns.clock_us() - self.turns.boot_us() + SECOND_US
    }

    fn read_clock(&self, serial: Serial, clock: Clock) -> u64 {
        match clock {
            Clock::Real => self.turns.clock_us(),
            Clock::Monotonic => self.monotonic_us(),
            Clock::Process => self.process(serial).map_or(0, |p| p.calls),
            Clock::Thread => self.threads.get(&serial).map_or(0, |t| t.calls),
        }
    }

    /// The microseconds of the timespec at `address`, rounded up. EFAULT, EINVAL.
    pub(crate) fn read_timespec(&mut self, serial: Serial, address: u64) -> Result<u64, Errno> {
        micros(self.read_words(serial, address)?, 1_000_000_000)
    }

    /// The deadline that the timespec at `address` means: from now, or absolute on the real or the monotonic clock.
    pub(crate) fn read_deadline(
        &mut self,
        serial: Serial,
        address: u64,
        absolute: bool,
        realtime: bool,
    ) -> Result<u64, Errno> {
        let us = self.read_timespec(serial, address)?;
        let deadline = match (absolute, realtime) {
            (false, _) => us.saturating_add(self.turns.clock_us()),
            (true, true) => us,
            (true, false) => us.saturating_add(self.turns.boot_us()).saturating_sub(SECOND_US),
        };
        Ok(deadline.min(NO_DEADLINE - 1))
    }

    /// A sleep that a handler ended writes the time that is left, if it was relative and somebody wants to know. EFAULT: it cannot be written.
    pub(crate) fn write_remaining(
        &mut self,
        serial: Serial,
        number: u64,
        args: &[u64; 6],
        deadline_us: Option<u64>,
    ) -> Result<(), Errno> {
        let at = match number {
            nr::nanosleep => args[1],
            nr::clock_nanosleep if args[1] & TIMER_ABSTIME == 0 => args[3],
            _ => 0,
        };
        if at == 0 {
            return Ok(());
        }
        let left = deadline_us.unwrap_or(0).saturating_sub(self.turns.clock_us());
        self.write_user(serial, at, &time_bytes(left, 1000))
    }

    fn sleep(&mut self, c: &Call, at: u64, absolute: bool, realtime: bool) -> Result<Ended, Errno> {
        let t = self.threads.get(&c.serial).ok_or(ESRCH)?;
        let deadline = match t.progress.deadline_us {
            Some(deadline) if t.repeated => deadline,
            _ => self.read_deadline(c.serial, at, absolute, realtime)?,
        };
        if deadline <= self.turns.clock_us() {
            return Ok(Ended::Result(0));
        }
        if let Some(t) = self.threads.get_mut(&c.serial) {
            t.progress.deadline_us = Some(deadline);
        }
        Ok(Ended::Block { keys: Vec::new(), deadline_us: Some(deadline) })
    }
}

pub(super) fn clock_gettime<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let us = k.read_clock(c.serial, clock_of(c.int(0))?);
    k.write_user(c.serial, c.args[1], &time_bytes(us, 1000))?;
    Ok(0)
}

pub(super) fn clock_getres<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    clock_of(c.int(0))?;
    if c.args[1] != 0 {
        k.write_user(c.serial, c.args[1], &time_bytes(1, 1000))?;
    }
    Ok(0)
}

pub(super) fn gettimeofday<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    k.check_writable(c.serial, c.args[0], 16)?;
    k.check_writable(c.serial, c.args[1], 8)?;
    if c.args[0] != 0 {
        let us = k.turns.clock_us();
        k.write_user(c.serial, c.args[0], &time_bytes(us, 1))?;
    }
    if c.args[1] != 0 {
        k.write_user(c.serial, c.args[1], &[0; 8])?;
    }
    Ok(0)
}

pub(super) fn nanosleep<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    k.sleep(c, c.args[0], false, false)
}

pub(super) fn clock_nanosleep<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<Ended, Errno> {
    let id = c.int(0);
    if matches!(id, CLOCK_THREAD_CPUTIME_ID..=CLOCK_MONOTONIC_COARSE) {
        return Err(EOPNOTSUPP);
    }
    if id < 0 {
        // A process' CPU clock by its number: Linux looks at the time before it looks for the process.
        k.read_timespec(c.serial, c.args[2])?;
    }
    let realtime = match clock_of(id)? {
        Clock::Real => true,
        Clock::Monotonic => false,
        Clock::Process | Clock::Thread => return Err(EINVAL),
    };
    let other_flags = c.int(1) & !(TIMER_ABSTIME as i32) != 0;
    if other_flags && matches!(id, CLOCK_REALTIME_ALARM | CLOCK_BOOTTIME_ALARM) {
        k.read_timespec(c.serial, c.args[2])?;
        return Err(EINVAL);
    }
    k.sleep(c, c.args[2], c.args[1] & TIMER_ABSTIME != 0, realtime)
}

fn timer_bytes(alarm: Option<(u64, u64)>, now: u64) -> [u8; 32] {
    let (left, interval) = alarm.map_or((0, 0), |(at, interval)| (at.saturating_sub(now).max(1), interval));
    let mut b = [0; 32];
    b[..16].copy_from_slice(&time_bytes(interval, 1));
    b[16..].copy_from_slice(&time_bytes(left, 1));
    b
}

/// ITIMER_REAL only: the others would count CPU time, which is the number of calls here.
fn check_timer(c: &Call) -> Result<(), Errno> {
    if c.int(0) == 0 { Ok(()) } else { Err(EINVAL) }
}

pub(super) fn setitimer<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    let [_, new_at, old_at, ..] = c.args;
    let words: [u64; 4] = if new_at == 0 { [0; 4] } else { k.read_words(c.serial, new_at)? };
    check_timer(c)?;
    let interval = micros([words[0], words[1]], SECOND_US)?;
    let value = micros([words[2], words[3]], SECOND_US)?;
    let room = k.room_for_old(c.serial, old_at, 32)?;
    let now = k.turns.clock_us();
    let p = k.procs.get_mut(&c.process).ok_or(ESRCH)?;
    let at = value.saturating_add(now).min(NO_DEADLINE - 1);
    // An interval that no clock can reach is one that never comes.
    let interval = interval.min(1 << 60);
    let old = core::mem::replace(&mut p.alarm, (value > 0).then_some((at, interval)));
    room?;
    if old_at != 0 {
        k.write_user(c.serial, old_at, &timer_bytes(old, now))?;
    }
    Ok(0)
}

pub(super) fn getitimer<M: Machine>(k: &mut Kernel<M>, c: &Call) -> Result<i64, Errno> {
    check_timer(c)?;
    let p = k.procs.get(&c.process).ok_or(ESRCH)?;
    let bytes = timer_bytes(p.alarm, k.turns.clock_us());
    k.write_user(c.serial, c.args[1], &bytes)?;
    Ok(0)
}
