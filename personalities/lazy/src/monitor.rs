//! What this kernel tells of itself while it runs: the table of `abi::monitor`, if the manifest gives it a channel for one.

use crate::hw::{Event, Hardware};
use crate::kernel::Kernel;
use crate::process::{Place, Process, Stand, Thread};
use abi::monitor::{CallRow, Counter, State, THREADS_MAX, ThreadRow};

/// Neither a system call nor in one.
pub const NO_NUMBER: u16 = u16::MAX;

/// What is counted since the start.
#[derive(Default)]
pub struct Tally {
    /// Private system calls.
    pub private: u64,
    /// Faults that a mapping repaired.
    pub repaired: u64,
    /// Times another thread ran than before.
    pub switches: u64,
    /// Interrupts of user code.
    pub interrupts: u64,
    /// Who ran last.
    pub last: u64,
}

impl Tally {
    /// Thread `serial` is about to run.
    pub fn run(&mut self, serial: u64) {
        if core::mem::replace(&mut self.last, serial) != serial {
            self.switches += 1;
        }
    }
}

fn row(t: &Thread, p: Option<&Process>) -> ThreadRow {
    let state = match t.place {
        _ if p.is_some_and(|p| p.zombie) => State::Zombie,
        Place::Waiting => State::Waits,
        Place::Stopped => State::Stopped,
        Place::Held => State::Waits,
        Place::Ended => State::Zombie,
        Place::Outside { .. } => State::Outside,
        Place::Round if t.stand == Stand::User => State::Runs,
        Place::Round => State::Wants,
    };
    let mut name = [0; 8];
    name.iter_mut().zip(&t.comm).for_each(|(to, from)| *to = *from);
    ThreadRow {
        serial: t.serial,
        pid: p.map_or(0, |p| p.pid),
        state: state as u8,
        number: number(t),
        pc: t.registers.pc,
        sp: t.registers.sp,
        name,
    }
}

/// The call that a thread is in or stands before.
pub fn number(t: &Thread) -> u16 {
    if t.stand == Stand::Call { t.registers.x[8].try_into().unwrap_or(NO_NUMBER) } else { NO_NUMBER }
}

impl<H: Hardware> Kernel<H> {
    /// Logs.
    pub fn note(&mut self, event: Event<'_>) {
        self.memory.physical.hw.note(event);
    }

    /// Logs what is about a process: `event` makes it of its pid.
    pub fn note_of(&mut self, serial: u64, event: impl FnOnce(u32) -> Event<'static>) {
        if let Some(pid) = self.process_of(serial).map(|p| p.pid) {
            self.note(event(pid));
        }
    }

    /// Counts and logs an exec.
    pub fn executes(&mut self, serial: u64, path: &[u8]) {
        self.execs += 1;
        let pid = self.process_of(serial).map_or(0, |p| p.pid);
        self.note(Event::Executes(pid, path));
    }

    /// Brings the table up to date.
    pub fn tell(&self) {
        let Some(monitor) = self.memory.physical.hw.monitor() else { return };
        let head = self.turn.round.front().copied().unwrap_or(0);
        monitor.set_progress(self.turn.call, self.turn.sync, head);
        let pool = self.memory.physical.hw.pool().len();
        let frames = pool.saturating_sub(self.memory.physical.available()) as u64;
        for (counter, value) in [
            (Counter::Private, self.tally.private),
            (Counter::Repaired, self.tally.repaired),
            (Counter::Switches, self.tally.switches),
            (Counter::Interrupts, self.tally.interrupts),
            (Counter::Effects, self.effects),
            (Counter::Frames, frames),
        ] {
            monitor.count(counter, value);
        }
        let rows = self.threads.values().map(|t| row(t, self.processes.get(&t.process)));
        for (i, row) in rows.chain([ThreadRow::default()]).take(THREADS_MAX).enumerate() {
            monitor.set_thread(i, row);
        }
        monitor.begin();
    }

    /// Records the call that was just made; `number` as of before it.
    pub fn tell_call(&self, serial: u64, number: u16) {
        let Some(monitor) = self.memory.physical.hw.monitor() else { return };
        let result = self.threads.get(&serial).map_or(0, |t| t.registers.x[0]);
        monitor.add_call(CallRow { call: self.turn.call, serial, number, result });
    }
}
