//! Taking a snapshot while the program goes on, and beginning with one.

use super::Kernel;
use crate::machine::Machine;
use crate::snapshot::begin::{Refused, state_of};
use abi::snapshot::{RECORD_MAX, Record, Root};
use abi::vote::Vote;
use alloc::collections::VecDeque;

/// A snapshot that is being written.
pub(super) struct Taking {
    s: u64,
    call: u64,
    effects: u64,
    root: Root,
    fits: bool,
    /// Of the round at the sync point those whose own part is missing.
    missing: VecDeque<u64>,
}

/// What writes the next records, up to one that does not fit, of which it tells the operator.
fn sink<'a, M: Machine>(machine: &'a mut M, taking: &'a mut Taking) -> impl FnMut(&Record<'_>) + use<'a, M> {
    let mut buffer = alloc::vec![0; RECORD_MAX];
    move |record| {
        if !taking.fits {
            return;
        }
        taking.fits = match postcard::to_slice(record, &mut buffer) {
            Ok(bytes) => {
                taking.root.push(bytes);
                machine.snapshot(bytes)
            }
            Err(_) => {
                let (s, what) = (taking.s, name(record));
                machine.say(format_args!(
                    "no snapshot of sync point {s}: {what} is longer than a record may be, {RECORD_MAX} bytes"
                ));
                false
            }
        };
    }
}

/// What a record is of that texts, a queue or a round make long.
fn name(record: &Record<'_>) -> &'static str {
    match record {
        Record::Head(_) => "the head, with Boot,",
        Record::Terminal(_) => "the terminal's queue",
        Record::Process(_) => "a process, with its program's path,",
        Record::OpenFile(_) => "an open file, with its path,",
        Record::Mapping(_) => "a mapping, with its path,",
        _ => "a piece",
    }
}

impl<M: Machine> Kernel<M> {
    /// The entry of sync point `s`, which asks for a snapshot, was taken: the kernel-held part, and the own parts of those that stand still.
    pub(super) fn begin_snapshot(&mut self, s: u64) {
        self.taking = None;
        let Some(state) = &self.state else { return };
        if !state.is_whole() || state.halted {
            return;
        }
        let missing = state.round.clone();
        let (call, effects) = (state.call, self.effects);
        let mut taking = Taking { s, call, effects, root: Root::default(), fits: true, missing };
        let mut out = sink(&mut self.machine, &mut taking);
        state.write_held(s, effects, &self.boot, &mut out);
        for serial in state.standing_still() {
            state.write_own(serial, &mut out);
        }
        drop(out);
        self.go_on_with(taking);
    }

    /// `serial` makes a call: its own part, if it is missing.
    pub(super) fn snapshot_before(&mut self, serial: u64) {
        let Some(mut taking) = self.taking.take() else { return };
        if taking.missing.front() == Some(&serial)
            && let Some(state) = &self.state
        {
            taking.missing.pop_front();
            state.write_own(serial, &mut sink(&mut self.machine, &mut taking));
        }
        self.go_on_with(taking);
    }

    /// `serial` is skipped: a snapshot that lacks its part is given up.
    pub(super) fn snapshot_without(&mut self, serial: u64) {
        if self.taking.as_ref().is_some_and(|t| t.missing.contains(&serial)) {
            self.taking = None;
        }
    }

    fn go_on_with(&mut self, mut taking: Taking) {
        if !taking.missing.is_empty() {
            self.taking = taking.fits.then_some(taking);
            return;
        }
        let records = taking.root.records();
        sink(&mut self.machine, &mut taking)(&Record::End(records));
        if taking.fits {
            let Taking { s, call, effects, .. } = taking;
            self.machine.post(&Vote::Snapshot { s, call, effects, root: taking.root.digest() });
        }
    }

    /// Begins with a snapshot, `module`, in place of Boot: it is written again at once, as the first vote.
    pub fn begin(&mut self, module: &[u8]) -> Result<(), Refused> {
        let begun = state_of(module, self.pool.clone(), self.image)?;
        (self.effects, self.from, self.boot) = (begun.effects, begun.s, begun.boot);
        self.state = Some(begun.state);
        self.begin_snapshot(begun.s);
        let round = self.state().round.clone();
        round.into_iter().for_each(|serial| self.snapshot_before(serial));
        Ok(())
    }
}
