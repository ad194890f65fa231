//! The self-monitoring record (`abi::monitor`): written in place, read by debuggers.

use super::{Kernel, Want};
use crate::machine::Machine;
use crate::turns::{Place, Serial};
use abi::monitor::{CallRow, Counter, Monitor, State, THREADS_MAX, ThreadRow};

const COUNTERS: [Counter; 6] = [
    Counter::Private,
    Counter::Repaired,
    Counter::Switches,
    Counter::Interrupts,
    Counter::Effects,
    Counter::Frames,
];

/// What is counted, and what was written last.
#[derive(Default)]
pub(super) struct Watch {
    counters: [u64; 6],
    /// Calls and sync points when the table was written last.
    written: Option<(u64, u64)>,
    /// Sync point, or interrupts, when the threads' rows were.
    rows_written: (u64, u64),
    number: u16,
    rows: usize,
}

impl Watch {
    pub fn add(&mut self, counter: Counter) {
        self.counters[counter as usize] += 1;
    }
}

impl<M: Machine> Kernel<M> {
    /// Notes which call is about to be made.
    pub(super) fn watch_call(&mut self, me: Serial) {
        let wanted = self.threads.get(&me).filter(|t| t.want == Want::Call).map(|t| t.user.x[8]);
        self.watch.number = wanted.and_then(|n| u16::try_from(n).ok()).unwrap_or(u16::MAX);
    }

    /// Notes what came of it.
    pub(super) fn watch_result(&mut self, call: u64, serial: Serial) {
        let result = self.threads.get(&serial).map_or(0, |t| t.user.x[0]);
        if let Some(m) = self.machine.monitor() {
            m.add_call(CallRow { call, serial, number: self.watch.number, result });
        }
    }

    /// Brings the table up to date, if calls were made since.
    pub(super) fn watch_progress(&mut self) {
        let now = (self.turns.calls(), self.turns.next_sync());
        let Some(m) = self.machine.monitor().filter(|_| self.watch.written != Some(now)) else { return };
        if self.watch.written.replace(now).is_none() {
            m.begin();
        }
        m.set_progress(now.0, now.1, self.turns.head().unwrap_or(0));
        self.watch.counters[Counter::Effects as usize] = self.speech.effects;
        self.watch.counters[Counter::Frames as usize] = self.memory.charged();
        COUNTERS.iter().for_each(|c| m.count(*c, self.watch.counters[*c as usize]));
        let rows_now = (now.1, self.watch.counters[Counter::Interrupts as usize]);
        if core::mem::replace(&mut self.watch.rows_written, rows_now) != rows_now {
            self.watch_threads(m);
        }
    }

    /// Brings the rows of the threads up to date.
    fn watch_threads(&mut self, m: Monitor<'_>) {
        let mut rows = 0;
        for p in self.processes.iter().take(THREADS_MAX) {
            let thread = self.threads.get(&p.serial);
            let state = match (self.turns.place(p.serial), thread.map(|t| t.want)) {
                (None, _) | (_, None) => State::Zombie,
                (Some(Place::Stopped), _) => State::Stopped,
                (Some(Place::Waiting { .. }), _) => State::Waits,
                (Some(Place::Outside { .. }), _) => State::Outside,
                (Some(Place::Round), Some(Want::Run)) => State::Runs,
                (Some(Place::Round), Some(_)) => State::Wants,
            };
            let number = thread.filter(|t| t.want == Want::Call).map(|t| t.user.x[8]);
            let mut name = [0; 8];
            name.iter_mut().zip(&p.name).for_each(|(to, from)| *to = *from);
            let row = ThreadRow {
                serial: p.serial,
                pid: p.pid,
                state: state as u8,
                number: number.and_then(|n| u16::try_from(n).ok()).unwrap_or(u16::MAX),
                pc: thread.map_or(0, |t| t.user.pc),
                sp: thread.map_or(0, |t| t.user.sp),
                name,
            };
            m.set_thread(rows, row);
            rows += 1;
        }
        (rows..self.watch.rows.min(THREADS_MAX)).for_each(|i| m.set_thread(i, ThreadRow::default()));
        self.watch.rows = rows;
    }
}
