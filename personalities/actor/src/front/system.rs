//! Calls about the system as a whole, and those that are refused alike by all kernels.

use super::Arguments;
use crate::bytes::Out as Bytes;
use crate::error::e;
use crate::kernel::{DONE, Flow, Kernel, Out, Restart};
use crate::machine::Machine;
use crate::memory::Access;
use crate::page::PAGE;
use crate::turns::Serial;
use abi::linux::nr;
use abi::turn::MEMORY_PAGES;

const UTS_FIELD: usize = 65;
/// Size of `struct robust_list_head`.
const ROBUST_HEAD: u64 = 24;
const GRND_RANDOM: u32 = 2;
const GRND_INSECURE: u32 = 4;

impl<M: Machine> Kernel<M> {
    pub(super) fn system_call(&mut self, me: Serial, number: u64, a: Arguments) -> Option<Out> {
        Some(match number {
            nr::uname => self.uname(me, a.0[0]),
            nr::sysinfo => self.sysinfo(me, a.0[0]),
            nr::getrandom => self.getrandom(me, a),
            nr::sched_getaffinity => self.getaffinity(me, a),
            nr::futex => self.futex(me, a),
            nr::set_robust_list if a.0[1] != ROBUST_HEAD => Err(e::EINVAL),
            nr::set_robust_list => self.processes.get_mut(me).map(|p| {
                p.robust_list = a.0[0];
                Flow::Done(0)
            }),
            nr::sched_yield | nr::syslog => DONE,
            nr::socket => Err(e::EAFNOSUPPORT),
            _ => return None,
        })
    }

    fn uname(&mut self, me: Serial, at: u64) -> Out {
        let mut out = Bytes::default();
        let fields = ["Linux", "tetrarch", "6.1.0", "#1 SMP Tetrarch", "aarch64", "(none)"];
        for (i, field) in fields.iter().enumerate() {
            out.0.extend_from_slice(field.as_bytes());
            out.to((i + 1) * UTS_FIELD);
        }
        self.give(me, at, &out.0)
    }

    fn sysinfo(&mut self, me: Serial, at: u64) -> Out {
        let uptime = (self.now_us() - self.turns.boot_us()) / 1_000_000;
        let mut out = Bytes::default();
        out.u64(uptime).to(32).u64(MEMORY_PAGES).u64(MEMORY_PAGES - self.memory.charged());
        out.to(80).u16(self.processes.count() as u16).to(104).u32(PAGE as u32).to(112);
        self.give(me, at, &out.0)
    }

    fn getrandom(&mut self, me: Serial, a: Arguments) -> Out {
        let flags = a.uint(2);
        if flags > 7 || flags & (GRND_RANDOM | GRND_INSECURE) == GRND_RANDOM | GRND_INSECURE {
            return Err(e::EINVAL);
        }
        let most = if flags & GRND_RANDOM != 0 { 256 } else { u64::MAX };
        let b = super::buffers::Buffers::one(a.0[0], a.0[1].min(most));
        let n = self.reach(me, &b, 0, b.count(), Access::Write)?;
        let mut done = 0;
        while done < n {
            let length = (n - done).min(super::input::CHUNK);
            let bytes = self.random(me, length as usize)?;
            self.scatter(me, &b, done, &bytes)?;
            done += length;
        }
        Ok(Flow::Done(n))
    }

    fn getaffinity(&mut self, me: Serial, a: Arguments) -> Out {
        let pid = a.uint(0);
        if !a.0[1].is_multiple_of(8) || a.uint(1) == 0 {
            return Err(e::EINVAL);
        }
        if pid != 0 {
            self.processes.by_pid(pid)?;
        }
        self.bytes_out(me, a.0[2], &1u64.to_le_bytes())?;
        Ok(Flow::Done(8))
    }

    /// WAIT and WAKE within one process, which has one thread: nobody wakes a wait but a signal or its timeout.
    fn futex(&mut self, me: Serial, a: Arguments) -> Out {
        const WAIT: u32 = 0;
        const WAKE: u32 = 1;
        const WAIT_BITSET: u32 = 9;
        const WAKE_BITSET: u32 = 10;
        const COMMAND: u32 = 0x7f;
        let (at, command, value) = (a.0[0], a.uint(1) & COMMAND, a.uint(2));
        let waits = matches!(command, WAIT | WAIT_BITSET);
        if !waits && !matches!(command, WAKE | WAKE_BITSET) {
            return Err(e::ENOSYS);
        }
        let timeout = if waits && a.0[3] != 0 { Some(self.timespec_us(me, a.0[3])?) } else { None };
        if !at.is_multiple_of(4) || command >= WAIT_BITSET && a.uint(5) == 0 {
            return Err(e::EINVAL);
        }
        if !waits {
            return DONE;
        }
        let now = self.now_us();
        let again = self.thread(me)?.again.deadline_us;
        let deadline_us = again.or(timeout.map(|us| match command {
            WAIT => now.saturating_add(us),
            _ if a.uint(1) & 0x100 != 0 => us,
            _ => self.turns.boot_us().saturating_add(us.saturating_sub(1_000_000)),
        }));
        if again.is_none() {
            let space = self.space_of(me)?;
            if self.memory.half(space, at)? != value {
                return Err(e::EAGAIN);
            }
        }
        if deadline_us.is_some_and(|d| d <= now) {
            return Err(e::ETIMEDOUT);
        }
        Ok(Flow::Block { things: Default::default(), deadline_us, restart: Restart::ByAction })
    }
}
