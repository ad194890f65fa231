//! futex: a thread waits at (memory, address) as long as a word there has a value. "Threads" in `docs/linux-abi.md`.

use super::*;

const WAIT: u32 = 0;
const WAKE: u32 = 1;
const REQUEUE: u32 = 3;
const CMP_REQUEUE: u32 = 4;
const WAIT_BITSET: u32 = 9;
const WAKE_BITSET: u32 = 10;
const PRIVATE_FLAG: u32 = 128;
const CLOCK_REALTIME: u32 = 256;
const SECOND: u64 = 1_000_000;

/// The command of a futex operation, without its flags.
fn command(op: u64) -> u32 {
    op as u32 & !(PRIVATE_FLAG | CLOCK_REALTIME)
}

impl<H: Hardware> Kernel<H> {
    pub(super) fn sys_futex(&mut self, serial: u64, a: &[u64; 6], from: Option<Continuation>) -> CallResult {
        let [address, op, value, _, second, third] = *a;
        let space = self.space(serial)?;
        let waits = matches!(command(op), WAIT | WAIT_BITSET);
        let until = match from {
            Some(Continuation::Woken) => return done(0),
            Some(Continuation::Futex) => None,
            Some(Continuation::Until(until)) if until <= self.clock() => return Err(ETIMEDOUT),
            Some(Continuation::Until(until)) => Some(until),
            // Linux looks at the timeout before all else.
            _ if waits => self.futex_deadline(space, a)?,
            _ => None,
        };
        if op as u32 & CLOCK_REALTIME != 0 && command(op) != WAIT_BITSET {
            return Err(ENOSYS);
        }
        match command(op) {
            WAIT | WAIT_BITSET => self.wait_futex(space, a, until),
            WAKE | WAKE_BITSET => {
                let bits = if command(op) == WAKE { u32::MAX } else { third as u32 };
                if bits == 0 {
                    return Err(EINVAL);
                }
                self.futex_value(space, address)?;
                done(self.wake_futex(space, address, (value as i32).max(1) as usize, bits))
            }
            REQUEUE | CMP_REQUEUE => {
                let (wake, requeue) = (value as i32, a[3] as i32);
                if wake < 0 || requeue < 0 {
                    return Err(EINVAL);
                }
                let now = self.futex_value(space, address)?;
                self.futex_value(space, second)?;
                if command(op) == CMP_REQUEUE && now != third as u32 {
                    return Err(EAGAIN);
                }
                // Whom Linux would move to the other futex is woken too.
                done(self.wake_futex(space, address, wake as usize + requeue as usize, u32::MAX))
            }
            _ => Err(ENOSYS),
        }
    }

    fn futex_value(&mut self, space: u32, address: u64) -> Result<u32> {
        if !address.is_multiple_of(4) {
            return Err(EINVAL);
        }
        self.memory.read_u32(space, address)
    }

    fn wait_futex(&mut self, space: u32, a: &[u64; 6], until: Option<u64>) -> CallResult {
        if bitset(a) == 0 {
            return Err(EINVAL);
        }
        if self.futex_value(space, a[0])? != a[2] as u32 {
            return Err(EAGAIN);
        }
        if until.is_some_and(|until| until <= self.clock()) {
            return Err(ETIMEDOUT);
        }
        let next = until.map_or(Continuation::Futex, Continuation::Until);
        Ok(Outcome::Block(Wait { keys: alloc::vec![Key::Futex(space, a[0])], deadline: until, next }))
    }

    /// WAIT: relative; WAIT_BITSET: absolute, of one of the two clocks.
    fn futex_deadline(&mut self, space: u32, a: &[u64; 6]) -> Result<Option<u64>> {
        let [_, op, _, timeout, ..] = *a;
        if timeout == 0 {
            return Ok(None);
        }
        let s = self.memory.read_u64(space, timeout)?;
        let ns = self.memory.read_u64(space, timeout.wrapping_add(8))?;
        if (s as i64) < 0 || ns >= 1_000_000_000 {
            return Err(EINVAL);
        }
        let us = s.saturating_mul(SECOND).saturating_add(ns.div_ceil(1000)).min(1 << 62);
        let start = match (command(op), op as u32 & CLOCK_REALTIME != 0) {
            (WAIT, _) => self.clock(),
            (_, true) => 0,
            (_, false) => self.boot_us.saturating_sub(SECOND),
        };
        Ok(Some(start.saturating_add(us)))
    }

    /// Wakes up to `most` of those that wait at `address`, in the order of waiting, whose bits meet `bits`; how many.
    pub fn wake_futex(&mut self, space: u32, address: u64, most: usize, bits: u32) -> u64 {
        let Some(queue) = self.turn.queues.get(&Key::Futex(space, address)) else { return 0 };
        let meets =
            |s: &u64| self.threads.get(s).is_some_and(|t| bitset(&arguments(&t.registers)) & bits != 0);
        let woken: Vec<u64> = queue.iter().copied().filter(meets).take(most).collect();
        for serial in &woken {
            if let Some(t) = self.threads.get_mut(serial) {
                t.continuation = Some(Continuation::Woken);
            }
            self.to_round(*serial);
        }
        woken.len() as u64
    }
}

/// The bits of a wait.
fn bitset(a: &[u64; 6]) -> u32 {
    if command(a[1]) == WAIT { u32::MAX } else { a[5] as u32 }
}
