//! Self-monitoring (`abi::monitor`): what this kernel counts, and its threads and last calls where a debugger finds them.

use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::process::Life;
use crate::thread::{Thread, Want};
use crate::turns::Serial;
use abi::monitor::{CallRow, Counter, Monitor, State, THREADS_MAX, ThreadRow};
use core::sync::atomic::AtomicU64;

/// No system call.
const NO_CALL: u16 = u16::MAX;

/// What is counted, and where it is told; without a table it is only counted.
pub(crate) struct Watcher {
    table: Option<Monitor<'static>>,
    pub private: u64,
    pub repaired: u64,
    pub switches: u64,
    pub interrupts: u64,
    /// Rows told last time.
    rows: usize,
    /// What had happened by then: calls, sync points, interrupts.
    told: [u64; 3],
}

impl Watcher {
    /// Over the data area of the channel, if there is one.
    pub fn new(data: Option<&'static [AtomicU64]>) -> Watcher {
        let table = data.and_then(Monitor::new);
        table.iter().for_each(Monitor::begin);
        Watcher { table, private: 0, repaired: 0, switches: 0, interrupts: 0, rows: 0, told: [0; 3] }
    }

    /// Call number `call` was made.
    pub fn made(&self, call: u64, serial: Serial, want: Option<Want>, result: u64) {
        if let Some(table) = &self.table {
            table.add_call(CallRow { call, serial, number: number_of(want), result });
        }
    }
}

fn number_of(want: Option<Want>) -> u16 {
    match want {
        Some(Want::Call { number, .. }) => number as u16,
        _ => NO_CALL,
    }
}

impl<M: Machine> Kernel<M> {
    /// Tells how things stand, before user mode: where something has happened that others can see. A private call or a repaired fault is
    /// not worth writing the whole table.
    pub(crate) fn tell_news(&mut self) {
        let now = [self.turns.call(), self.turns.syncs(), self.watcher.interrupts];
        if now != self.watcher.told {
            self.watcher.told = now;
            self.tell();
        }
    }

    /// Tells how things stand.
    pub(crate) fn tell(&mut self) {
        let Some(table) = self.watcher.table else { return };
        let w = &self.watcher;
        table.set_progress(self.turns.call(), self.turns.syncs(), self.turns.head().unwrap_or(0));
        for (counter, value) in [
            (Counter::Private, w.private),
            (Counter::Repaired, w.repaired),
            (Counter::Switches, w.switches),
            (Counter::Interrupts, w.interrupts),
            (Counter::Effects, self.votes.effects()),
            (Counter::Frames, self.m.used_frames()),
        ] {
            table.count(counter, value);
        }
        let zombies = self.procs.values().filter(|p| !p.is_alive()).map(|p| ThreadRow {
            serial: p.serial,
            pid: p.pid,
            state: State::Zombie as u8,
            number: NO_CALL,
            name: short(&p.name),
            ..ThreadRow::default()
        });
        let mut rows = 0;
        for row in self.threads.values().map(|t| self.thread_row(t)).chain(zombies).take(THREADS_MAX) {
            table.set_thread(rows, row);
            rows += 1;
        }
        // The rows of those who have gone.
        (rows..self.watcher.rows).for_each(|i| table.set_thread(i, ThreadRow::default()));
        self.watcher.rows = rows;
    }

    fn thread_row(&self, t: &Thread) -> ThreadRow {
        let process = self.procs.get(&t.process);
        let state = match process.map_or(Life::Zombie, |p| p.life) {
            Life::Zombie => State::Zombie,
            Life::Stopped => State::Stopped,
            Life::Alive if self.turns.is_waiting(t.serial) => State::Waits,
            Life::Alive if self.turns.skipped_at(t.serial).is_some() => State::Outside,
            Life::Alive if t.want.is_some() => State::Wants,
            Life::Alive => State::Runs,
        };
        ThreadRow {
            serial: t.serial,
            pid: t.tid,
            state: state as u8,
            number: number_of(t.want),
            pc: t.registers.pc,
            sp: t.registers.sp,
            name: process.map_or([0; 8], |p| short(&p.name)),
        }
    }
}

fn short(name: &[u8]) -> [u8; 8] {
    let mut short = [0; 8];
    short.iter_mut().zip(name).for_each(|(to, from)| *to = *from);
    short
}
