//! Resource limits and usage.

use super::{Outcome, ok};
use crate::errno::*;
use crate::state::State;
use abi::turn::{CHARGE_PAGES, FDS_MAX, MEMORY_PAGES};
use alloc::vec::Vec;

/// RLIMIT_NOFILE.
pub const NOFILE: u32 = 7;
const INFINITY: u64 = u64::MAX;

/// What a limit is at the start: soft, hard.
pub fn default(resource: u32) -> (u64, u64) {
    match resource {
        3 => (abi::layout::STACK_MAX, INFINITY),
        4 => (0, INFINITY),
        6 => (128, 128),
        NOFILE => (256, 256),
        _ => (INFINITY, INFINITY),
    }
}

impl State {
    /// Descriptors of a process are below it.
    pub fn fd_limit(&self, s: u64) -> u64 {
        let most = FDS_MAX as u64;
        self.process(s).limits.get(&NOFILE).map_or(most, |l| l.0.min(most))
    }

    /// prlimit64.
    pub fn prlimit(&mut self, s: u64, pid: u32, resource: u32, new: u64, old: u64) -> Result<Outcome> {
        let mut wanted = None;
        if new != 0 {
            wanted = Some((self.space(s).get_u64(new)?, self.space(s).get_u64(new.wrapping_add(8))?));
        }
        let who = if pid == 0 { s } else { self.by_pid(pid).ok_or(ESRCH)?.serial };
        if resource >= 16 {
            return Err(EINVAL);
        }
        let now = self.process(who).limits.get(&resource).copied().unwrap_or(default(resource));
        if let Some((soft, hard)) = wanted {
            if soft > hard {
                return Err(EINVAL);
            }
            if hard > now.1 || resource == NOFILE && hard > 256 {
                return Err(EPERM);
            }
            self.process_mut(who).limits.insert_mut(resource, (soft, hard));
        }
        if old != 0 {
            self.space(s).put(old, &[now.0.to_le_bytes(), now.1.to_le_bytes()].concat())?;
        }
        ok()
    }

    /// `struct rusage` of so many calls.
    pub fn rusage(calls: u64) -> Vec<u8> {
        let mut out = alloc::vec![0; 144];
        out[16..24].copy_from_slice(&(calls / 1_000_000).to_le_bytes());
        out[24..32].copy_from_slice(&(calls % 1_000_000).to_le_bytes());
        out
    }

    /// getrusage.
    pub fn getrusage(&mut self, s: u64, who: i32, at: u64) -> Result<Outcome> {
        let calls = match who {
            0 | 1 => self.process(s).calls,
            -1 => self.process(s).child_calls,
            _ => return Err(EINVAL),
        };
        self.space(s).put(at, &State::rusage(calls))?;
        ok()
    }

    /// sysinfo.
    pub fn sysinfo(&mut self, s: u64, at: u64) -> Result<Outcome> {
        let mut out = alloc::vec![0u8; 112];
        let up = (self.monotonic() - 1_000_000) / 1_000_000;
        let free = MEMORY_PAGES - self.chunks() * CHARGE_PAGES;
        out[..8].copy_from_slice(&up.to_le_bytes());
        out[32..40].copy_from_slice(&MEMORY_PAGES.to_le_bytes());
        out[40..48].copy_from_slice(&free.to_le_bytes());
        out[80..82].copy_from_slice(&(self.processes.size() as u16).to_le_bytes());
        out[104..108].copy_from_slice(&4096u32.to_le_bytes());
        self.space(s).put(at, &out)?;
        ok()
    }
}
