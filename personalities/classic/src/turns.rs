//! The turn rule (`docs/turn-rule.md`) as a machine without I/O: the round, its counters, who waits for what, who is outside.
//!
//! It knows threads by serial only. The kernel asks it who may act and tells it what happened; everything that two kernels must
//! agree on about *order* is decided here.

use crate::fs::WaitKey;
use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN, CLOCK_PER_CALL_US};
use abi::vote::NO_DEADLINE;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// A thread's serial number.
pub type Serial = u64;
/// Names a memory that threads share.
pub type Memory = u32;

/// A thing a thread can wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key {
    /// Something behind a descriptor.
    File(WaitKey),
    /// The children of a process.
    Children(Serial),
    /// The exec or end of a vfork child.
    Vfork(Serial),
    /// A word of a memory.
    Futex(Memory, u64),
}

/// A decision of the log about one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// The head leaves the round without making the call.
    Skip,
    /// The head makes the call, whatever was promised.
    Go,
}

/// What a thread waits for.
#[derive(Clone, Debug, Default)]
struct Wait {
    keys: Vec<Key>,
    deadline_us: Option<u64>,
}

/// How the head's call ended, for the round.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It stays in the round.
    Stays,
    /// It stays, and its turn ends (sched_yield).
    Yields,
    /// It waits.
    Waits {
        /// For any of these, in this order.
        keys: Vec<Key>,
        /// Or until then.
        deadline_us: Option<u64>,
    },
    /// It is stopped or gone: in no queue.
    Leaves,
}

/// The state of the turn rule.
#[derive(Debug, Default)]
pub struct Turns {
    round: VecDeque<Serial>,
    made: u64,
    call: u64,
    since: u64,
    base_us: u64,
    boot_us: u64,
    next_sync: u64,
    sync_due: bool,
    waits: BTreeMap<Serial, Wait>,
    queues: BTreeMap<Key, VecDeque<Serial>>,
    outside: BTreeMap<Serial, u64>,
    /// Threads that share a memory with others, and which.
    sharers: BTreeMap<Serial, Memory>,
    /// By memory: sharers that would be in the round, were none of them outside.
    held: BTreeMap<Memory, VecDeque<Serial>>,
    decisions: BTreeMap<u64, Decision>,
}

impl Turns {
    /// Sync point 0 passed at `time_us` with process 1's thread in the round.
    pub fn start(time_us: u64) -> Turns {
        Turns {
            round: VecDeque::from([1]),
            base_us: time_us,
            boot_us: time_us,
            next_sync: 1,
            ..Turns::default()
        }
    }

    /// Sync point `s` passed, as a snapshot has it: nobody waits yet.
    pub fn resume(round: Vec<Serial>, call: u64, (base_us, boot_us): (u64, u64), s: u64) -> Turns {
        let sync_due = round.is_empty();
        Turns { round: round.into(), call, base_us, boot_us, next_sync: s + 1, sync_due, ..Turns::default() }
    }

    /// A thread of a snapshot waits; those that began to wait before it are there.
    pub fn resume_wait(&mut self, serial: Serial, keys: Vec<Key>, deadline_us: Option<u64>) {
        self.wait(serial, keys, deadline_us);
    }

    /// The thread that holds the turn; none while a sync point is due.
    pub fn head(&self) -> Option<Serial> {
        if self.sync_due { None } else { self.round.front().copied() }
    }

    /// Calls made so far: the number of the next call.
    pub fn call(&self) -> u64 {
        self.call
    }

    /// The program's clock, µs since 1970.
    pub fn clock_us(&self) -> u64 {
        self.base_us + CLOCK_PER_CALL_US * self.since
    }

    /// The clock at the last sync point.
    pub fn base_us(&self) -> u64 {
        self.base_us
    }

    /// The clock at Boot.
    pub fn boot_us(&self) -> u64 {
        self.boot_us
    }

    /// The threads of the round, head first.
    pub fn round(&self) -> impl ExactSizeIterator<Item = Serial> + '_ {
        self.round.iter().copied()
    }

    /// The threads outside, ascending.
    pub fn outside(&self) -> impl ExactSizeIterator<Item = Serial> + '_ {
        self.outside.keys().copied()
    }

    /// The call at which an outside thread was skipped.
    pub fn skipped_at(&self, serial: Serial) -> Option<u64> {
        self.outside.get(&serial).copied()
    }

    /// Whether a thread waits.
    pub fn is_waiting(&self, serial: Serial) -> bool {
        self.waits.contains_key(&serial)
    }

    /// Whether a thread waits for its vfork child.
    pub fn waits_for_vfork(&self, serial: Serial) -> bool {
        self.waits.get(&serial).is_some_and(|w| w.keys.iter().any(|k| matches!(k, Key::Vfork(_))))
    }

    /// Sync points passed.
    pub fn syncs(&self) -> u64 {
        self.next_sync
    }

    /// The number of the sync point that is due, if one is.
    pub fn sync_due(&self) -> Option<u64> {
        self.sync_due.then_some(self.next_sync)
    }

    /// The earliest deadline that a thread waits for, or [`NO_DEADLINE`].
    pub fn earliest_deadline_us(&self) -> u64 {
        self.waits.values().filter_map(|w| w.deadline_us).min().unwrap_or(NO_DEADLINE)
    }

    /// A new, continued or rejoining thread goes to the end of the round; or, while another that shares its memory is outside, behind those who
    /// are held.
    pub fn enter(&mut self, serial: Serial) {
        let was_outside = self.outside.remove(&serial).is_some();
        self.forget_wait(serial);
        let memory = self.sharers.get(&serial).copied();
        match memory.filter(|&memory| self.is_held(memory)) {
            Some(memory) => {
                let held = self.held.entry(memory).or_default();
                if !held.contains(&serial) {
                    held.push_back(serial);
                }
            }
            None if self.round.contains(&serial) => {}
            None => self.round.push_back(serial),
        }
        if was_outside {
            self.release(memory);
        }
    }

    /// Whether a thread that shares `memory` is outside.
    fn is_held(&self, memory: Memory) -> bool {
        self.outside.keys().any(|s| self.sharers.get(s) == Some(&memory))
    }

    /// The held ones of `memory` go to the end of the round, if none that shares it is outside any more.
    fn release(&mut self, memory: Option<Memory>) {
        let Some(memory) = memory.filter(|&memory| !self.is_held(memory)) else { return };
        for serial in self.held.remove(&memory).unwrap_or_default() {
            self.enter(serial);
        }
    }

    /// Who shares a memory with whom, from now on.
    pub fn set_sharers(&mut self, sharers: BTreeMap<Serial, Memory>) {
        self.sharers = sharers;
    }

    /// Whether a thread shares its memory with others: then it runs while it holds the turn, or alone, outside.
    pub fn is_sharer(&self, serial: Serial) -> bool {
        self.sharers.contains_key(&serial)
    }

    /// Whether a thread is held.
    pub fn is_held_back(&self, serial: Serial) -> bool {
        self.held.values().any(|held| held.contains(&serial))
    }

    /// The head goes on under another serial (execve of a thread that is not the first).
    pub fn rename_head(&mut self, serial: Serial) {
        if let Some(head) = self.round.front_mut() {
            *head = serial;
        }
    }

    /// Who waits for `key`, in their order.
    pub fn waiters(&self, key: Key) -> Vec<Serial> {
        self.queues.get(&key).map_or_else(Vec::new, |queue| queue.iter().copied().collect())
    }

    /// Wakes all threads that wait for `key`, in their order.
    pub fn wake(&mut self, key: Key) {
        for serial in self.queues.remove(&key).unwrap_or_default() {
            self.enter(serial);
        }
    }

    /// Wakes one waiting thread (a signal); no effect on others.
    pub fn wake_thread(&mut self, serial: Serial) {
        if self.waits.contains_key(&serial) {
            self.enter(serial);
        }
    }

    /// A thread whose step this is not is gone or stopped: it is in no queue any more.
    pub fn retire(&mut self, serial: Serial) {
        let was_outside = self.outside.remove(&serial).is_some();
        self.forget_wait(serial);
        let is_head = self.round.front() == Some(&serial);
        self.round.retain(|&s| s != serial);
        self.held.values_mut().for_each(|held| held.retain(|&s| s != serial));
        if is_head && !self.sync_due {
            self.end_turn();
        }
        let memory = self.sharers.get(&serial).copied();
        if was_outside {
            self.release(memory);
        }
    }

    /// The head made a call. Call this last, after the wake-ups that the call caused.
    pub fn made_call(&mut self, after: After) {
        self.decisions.remove(&self.call);
        self.call += 1;
        self.since += 1;
        self.made += 1;
        if after == After::Stays && self.made < CALLS_PER_TURN {
            return;
        }
        let head = self.round.pop_front();
        match (head, after) {
            (Some(head), After::Stays | After::Yields) => self.round.push_back(head),
            (Some(head), After::Waits { keys, deadline_us }) => self.wait(head, keys, deadline_us),
            _ => {}
        }
        self.end_turn();
    }

    fn wait(&mut self, serial: Serial, keys: Vec<Key>, deadline_us: Option<u64>) {
        for &key in &keys {
            let queue = self.queues.entry(key).or_default();
            if !queue.contains(&serial) {
                queue.push_back(serial);
            }
        }
        self.waits.insert(serial, Wait { keys, deadline_us });
    }

    fn end_turn(&mut self) {
        self.made = 0;
        self.sync_due = self.since >= CALLS_PER_SYNC || self.round.is_empty();
    }

    /// Out of the queues of everything it waits for.
    fn forget_wait(&mut self, serial: Serial) {
        let Some(wait) = self.waits.remove(&serial) else { return };
        for key in wait.keys {
            if let Some(queue) = self.queues.get_mut(&key) {
                queue.retain(|&s| s != serial);
                if queue.is_empty() {
                    self.queues.remove(&key);
                }
            }
        }
    }

    /// Remembers a decision; one about a call that was made is late and void.
    pub fn decide(&mut self, call: u64, decision: Decision) {
        if call >= self.call {
            self.decisions.entry(call).or_insert(decision);
        }
    }

    /// The decision about the next call, if there is one.
    pub fn decision(&self) -> Option<Decision> {
        self.decisions.get(&self.call).copied()
    }

    /// Begins a skip: the head is outside, and the number of its call used up. What its pending signals do comes next, then
    /// [`Turns::end_skip`].
    pub fn begin_skip(&mut self) -> Option<Serial> {
        let head = self.head()?;
        self.round.pop_front();
        self.outside.insert(head, self.call);
        if let Some(&memory) = self.sharers.get(&head) {
            let sharers = &self.sharers;
            let held = self.held.entry(memory).or_default();
            held.extend(self.round.iter().copied().filter(|s| sharers.get(s) == Some(&memory)));
            self.round.retain(|s| sharers.get(s) != Some(&memory));
        }
        self.decisions.remove(&self.call);
        self.call += 1;
        self.since += 1;
        Some(head)
    }

    /// The skipped thread's turn ends.
    pub fn end_skip(&mut self) {
        self.end_turn();
    }

    /// The entry of the due sync point is taken: the clock moves. Events come next, then [`Turns::pass_deadlines`].
    pub fn begin_sync(&mut self, time_us: u64) {
        self.base_us = time_us.max(self.clock_us());
        self.since = 0;
        self.next_sync += 1;
        self.sync_due = false;
    }

    /// Wakes the threads whose deadline is not after the clock, in the order (deadline, serial).
    pub fn pass_deadlines(&mut self) {
        let now = self.clock_us();
        let mut due: Vec<(u64, Serial)> = self
            .waits
            .iter()
            .filter_map(|(&s, w)| w.deadline_us.filter(|&d| d <= now).map(|d| (d, s)))
            .collect();
        due.sort_unstable();
        for (_, serial) in due {
            self.enter(serial);
        }
    }

    /// The sync point is over: with an empty round the next one is due at once. Says whether the round has a thread.
    pub fn end_sync(&mut self) -> bool {
        self.sync_due = self.round.is_empty();
        !self.sync_due
    }
}

#[cfg(test)]
#[path = "turns_test.rs"]
mod tests;
