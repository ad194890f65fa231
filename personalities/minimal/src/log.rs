//! What comes from the agreed log: sync points and their events, decisions about calls.

use crate::Machine;
use crate::kernel::{Decision, Kernel, Place};
use abi::log::{Entry, Event, Sync};
use abi::turn::TTY_INPUT_MAX;
use abi::vote::{NO_DEADLINE, Vote};

const NOFLSH: u8 = 0x80;
const SIGWINCH: u8 = 28;

impl<M: Machine> Kernel<M> {
    /// Takes the log's next entry (not the first).
    pub fn entry(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        match postcard::from_bytes(bytes) {
            Ok(Entry::Sync(_)) => self.entries.push_back(bytes.into()),
            Ok(Entry::Skip { call }) => {
                self.decisions.insert(call, Decision::Skip);
            }
            Ok(Entry::Go { call }) => {
                self.decisions.insert(call, Decision::Go);
            }
            _ => return Err("the log holds what is no entry"),
        }
        Ok(())
    }

    /// Takes the next sync point's entry, if it is there.
    pub(crate) fn take_sync(&mut self) -> bool {
        let Some(bytes) = self.entries.pop_front() else { return false };
        let Ok(Entry::Sync(sync)) = postcard::from_bytes(&bytes) else { return false };
        (self.base_us, self.since) = (sync.time_us.max(self.clock()), 0);
        self.events(&sync);
        self.sync_due = false;
        let s = self.sync;
        self.sync += 1;
        self.passed(s);
        true
    }

    fn events(&mut self, sync: &Sync<'_>) {
        for event in sync.events().flatten() {
            match event {
                Event::TtyData(bytes) | Event::TtyLine(bytes) => {
                    let room = TTY_INPUT_MAX - self.queue.len();
                    self.queue.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
                }
                Event::TtySignal(signal) => {
                    if self.modes[12] & NOFLSH == 0 {
                        self.queue.clear();
                    }
                    self.signal(signal);
                }
                Event::WindowSize { rows, columns } => {
                    self.size = [rows, columns];
                    self.signal(SIGWINCH);
                }
                Event::Rejoin { thread: 1, call } if self.place == Place::Outside(call, true) => {
                    self.place = Place::Round;
                    self.in_turn = 0;
                }
                Event::Rejoin { .. } | Event::Snapshot => {}
            }
        }
    }

    /// Process 1 gets a signal: by default it ignores all; handlers are not offered.
    fn signal(&mut self, signal: u8) {
        if self.process.actions.get(&signal.into()).is_some_and(|a| a[0] > 1) {
            self.m.say(format_args!("minimal: signal {signal} has a handler, which this kernel cannot call"));
        }
    }

    pub(crate) fn passed(&mut self, s: u64) {
        let due = self.interval != 0 && s.is_multiple_of(self.interval);
        let state = due.then(|| self.state_digest());
        if due {
            self.memory_due = Some(s);
        }
        self.said = self.call;
        self.m.post(&Vote::Passed {
            s,
            call: self.call,
            effects: self.effects,
            runnable: self.place == Place::Round,
            deadline_us: NO_DEADLINE,
            state,
        });
    }
}
