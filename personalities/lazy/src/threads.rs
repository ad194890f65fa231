//! Threads of one process, and of one memory: "Threads of one memory" in `docs/turn-rule.md`, "Threads" in `docs/linux-abi.md`.
//!
//! A process is found by the serial of any of its threads. Its first thread's entry stays as long as the process does, also when that thread has
//! ended, so the process' own serial finds it too.

use crate::hw::Hardware;
use crate::kernel::Kernel;
use crate::process::{Place, Process, Stand, Thread};
use alloc::vec::Vec;

/// Most entries of a robust list that are looked at (Linux' ROBUST_LIST_LIMIT).
const ROBUST_MAX: usize = 2048;
/// Parts of a futex' value.
const TID: u32 = 0x3fff_ffff;
const OWNER_DIED: u32 = 0x4000_0000;
const WAITERS: u32 = 0x8000_0000;

impl<H: Hardware> Kernel<H> {
    /// The serial of the process of thread `serial`.
    pub fn owner(&self, serial: u64) -> u64 {
        self.threads.get(&serial).map_or(serial, |t| t.process)
    }

    /// The process of thread `serial`.
    pub fn process_of(&self, serial: u64) -> Option<&Process> {
        self.processes.get(&self.owner(serial))
    }

    /// As [`Kernel::process_of`], to change.
    pub fn process_of_mut(&mut self, serial: u64) -> Option<&mut Process> {
        let owner = self.owner(serial);
        self.processes.get_mut(&owner)
    }

    /// The threads of a process that have not ended, ascending.
    pub fn threads_of(&self, process: u64) -> impl Iterator<Item = &Thread> {
        self.threads.values().filter(move |t| t.process == process && t.place != Place::Ended)
    }

    /// Serials of [`Kernel::threads_of`].
    pub fn members(&self, process: u64) -> Vec<u64> {
        self.threads_of(process).map(|t| t.serial).collect()
    }

    /// The thread with number `tid`.
    pub fn by_tid(&self, tid: u32) -> Option<&Thread> {
        self.threads.values().find(|t| t.tid == tid)
    }

    /// Whether a process has more than one thread.
    pub fn has_threads(&self, process: u64) -> bool {
        self.threads.len() > self.processes.len() && self.threads_of(process).nth(1).is_some()
    }

    /// The *sharers* of the memory of thread `serial`, ascending; none if it is no sharer.
    pub fn sharers(&self, serial: u64) -> Vec<u64> {
        // Nobody has more than one thread.
        if self.threads.len() == self.processes.len() {
            return Vec::new();
        }
        let Some(space) = self.process_of(serial).and_then(|p| p.space) else { return Vec::new() };
        let users: Vec<u64> =
            self.processes.values().filter(|p| p.space == Some(space)).map(|p| p.serial).collect();
        if !users.iter().any(|p| self.has_threads(*p)) {
            return Vec::new();
        }
        let within = |t: &&Thread| t.place != Place::Ended && users.contains(&t.process);
        self.threads.values().filter(within).map(|t| t.serial).collect()
    }

    /// Whether user code of `t` may run now: a sharer's only while it holds the turn.
    pub fn may_run(&self, t: &Thread) -> bool {
        let holds = || self.turn.round.front() == Some(&t.serial) && !self.turn.sync_due;
        t.stand == Stand::User
            && match t.place {
                Place::Round => holds() || self.sharers(t.serial).is_empty(),
                Place::Outside { .. } => true,
                _ => false,
            }
    }

    /// Whether another sharer of its memory is outside.
    pub fn is_held_back(&self, serial: u64) -> bool {
        let outside = |s: &u64| {
            *s != serial && self.threads.get(s).is_some_and(|t| matches!(t.place, Place::Outside { .. }))
        };
        self.sharers(serial).iter().any(outside)
    }

    /// A sharer was skipped: the others leave the round, in its order.
    pub fn hold_others(&mut self, skipped: u64) {
        let sharers = self.sharers(skipped);
        let held: Vec<u64> = self.turn.round.iter().copied().filter(|s| sharers.contains(s)).collect();
        for serial in held {
            self.leave_round(serial, Place::Waiting);
            self.hold(serial);
        }
    }

    /// Behind those that are held already.
    pub fn hold(&mut self, serial: u64) {
        let space = self.process_of(serial).and_then(|p| p.space);
        let Some(t) = self.threads.get_mut(&serial).filter(|t| t.place != Place::Held) else { return };
        t.place = Place::Held;
        if let Some(s) = space.and_then(|s| self.memory.spaces.get_mut(s)) {
            s.held.retain(|other| *other != serial);
            s.held.push(serial);
        }
    }

    /// If nobody of memory `space` is outside any more, those that are held go to the end of the round.
    pub fn release_held(&mut self, space: Option<u32>) {
        let Some(s) = space.and_then(|s| self.memory.spaces.get_mut(s)) else { return };
        let held = core::mem::take(&mut s.held);
        let waiting = |s: &u64| self.threads.get(s).is_some_and(|t| t.place == Place::Held);
        let held: Vec<u64> = held.into_iter().filter(waiting).collect();
        let back = held.first().is_some_and(|s| self.is_held_back(*s));
        for serial in &held {
            if !back {
                self.to_round(*serial);
            }
        }
        if back && let Some(s) = space.and_then(|s| self.memory.spaces.get_mut(s)) {
            s.held = held;
        }
    }

    /// Nothing waits for it, it waits for nothing, and it is no sharer any more. What a blocked open held is closed by the caller.
    fn retire(&mut self, serial: u64) {
        self.leave_queues(serial);
        self.leave_round(serial, Place::Ended);
        if self.fp_owner == Some(serial) {
            self.fp_owner = None;
        }
    }

    /// All threads of a process, but `but`, end at once: which those are. [`Kernel::forget_threads`] does the rest.
    pub fn retire_threads(&mut self, process: u64, but: Option<u64>) -> Vec<u64> {
        let gone: Vec<u64> = self.members(process).into_iter().filter(|s| Some(*s) != but).collect();
        gone.iter().for_each(|s| self.retire(*s));
        gone
    }

    /// What blocked opens of ended threads held is closed; their calls stay counted.
    pub fn forget_threads(&mut self, gone: Vec<u64>) {
        for serial in gone {
            let opening = self.threads.get_mut(&serial).and_then(|t| t.continuation.take());
            self.close_opener(opening);
            if self.owner(serial) != serial {
                self.forget_thread(serial);
            }
        }
    }

    fn forget_thread(&mut self, serial: u64) {
        let Some(t) = self.threads.remove(&serial) else { return };
        if let Some(p) = self.processes.get_mut(&t.process) {
            p.gone_calls += t.calls;
        }
    }

    /// Calls that a process made: of all its threads, gone ones too.
    pub fn calls_of(&self, process: u64) -> u64 {
        let gone = self.processes.get(&process).map_or(0, |p| p.gone_calls);
        gone + self.threads.values().filter(|t| t.process == process).map(|t| t.calls).sum::<u64>()
    }

    /// exit: the thread ends, and with the last one the process.
    pub fn exit_thread(&mut self, serial: u64, status: i32) {
        let process = self.owner(serial);
        if !self.has_threads(process) {
            return self.end_process(process, status);
        }
        let space = self.process_of(serial).and_then(|p| p.space);
        if let Some(space) = space {
            // A list that cannot be read ends where it cannot.
            let _ = self.walk_robust_list(serial, space);
            let address = self.threads.get(&serial).map_or(0, |t| t.clear_child_tid);
            if address != 0 {
                let _ = self.memory.write(space, address, &[0; 4]);
                self.wake_futex(space, address, 1, u32::MAX);
            }
        }
        self.retire(serial);
        if serial != process {
            self.forget_thread(serial);
        }
        self.join_sets(process);
    }

    /// Linux' `exit_robust_list`.
    fn walk_robust_list(&mut self, serial: u64, space: u32) -> crate::errno::Result<()> {
        let Some((head, tid)) = self.threads.get(&serial).map(|t| (t.robust_list, t.tid)) else {
            return Ok(());
        };
        if head == 0 {
            return Ok(());
        }
        let first = self.memory.read_u64(space, head)?;
        let offset = self.memory.read_u64(space, head.wrapping_add(8))?;
        let pending = self.memory.read_u64(space, head.wrapping_add(16))?;
        let (mut entry, mut count) = (first, 0);
        while entry & !1 != head && count < ROBUST_MAX {
            let next = self.memory.read_u64(space, entry & !1);
            if entry & !1 != pending & !1 {
                self.owner_died(space, (entry & !1).wrapping_add(offset), tid, entry & 1 != 0, false)?;
            }
            entry = next?;
            count += 1;
        }
        if pending & !1 != 0 {
            self.owner_died(space, (pending & !1).wrapping_add(offset), tid, pending & 1 != 0, true)?;
        }
        Ok(())
    }

    /// Linux' `handle_futex_death`. `inherits`: a futex with priority inheritance, which is not woken here.
    fn owner_died(
        &mut self,
        space: u32,
        address: u64,
        tid: u32,
        inherits: bool,
        pending: bool,
    ) -> crate::errno::Result<()> {
        if !address.is_multiple_of(4) {
            return Err(crate::errno::EINVAL);
        }
        let value = self.memory.read_u32(space, address)?;
        if pending && !inherits && value & TID == 0 {
            self.wake_futex(space, address, 1, u32::MAX);
            return Ok(());
        }
        if value & TID != tid {
            return Ok(());
        }
        self.memory.write(space, address, &(value & WAITERS | OWNER_DIED).to_le_bytes())?;
        if !inherits && value & WAITERS != 0 {
            self.wake_futex(space, address, 1, u32::MAX);
        }
        Ok(())
    }

    /// The caller of execve becomes its process' only thread, with the process' serial, which is returned.
    pub fn become_only(&mut self, serial: u64) -> u64 {
        let process = self.owner(serial);
        let gone = self.retire_threads(process, Some(serial));
        self.forget_threads(gone);
        if serial != process {
            self.forget_thread(process);
            if self.fp_owner == Some(serial) {
                self.fp_owner = Some(process);
            }
            self.turn.round.iter_mut().filter(|s| **s == serial).for_each(|s| *s = process);
            let pid = self.processes.get(&process).map_or(0, |p| p.pid);
            if let Some(t) = self.threads.remove(&serial) {
                self.threads.insert(process, Thread { serial: process, tid: pid, ..t });
            }
        }
        self.join_sets(process);
        process
    }

    /// What is pending for the one thread that is left is pending for the process.
    fn join_sets(&mut self, process: u64) {
        if self.has_threads(process) {
            return;
        }
        let Some(last) = self.members(process).first().copied() else { return };
        let (Some(t), Some(p)) = (self.threads.get_mut(&last), self.processes.get_mut(&process)) else {
            return;
        };
        p.pending |= core::mem::take(&mut t.pending);
        for (signal, info) in core::mem::take(&mut t.infos) {
            p.infos.entry(signal).or_insert(info);
        }
    }
}
