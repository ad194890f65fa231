//! Snapshots are taken here (`docs/snapshot.md`): what the kernel holds at the sync point, a process' own part where it waits or at its next call.

use super::Kernel;
use crate::machine::{Event, Machine};
use crate::snapshot::{Out, Taking, View};
use crate::turns::Serial;
use abi::vote::Vote;
use alloc::vec::Vec;

impl<M: Machine> Kernel<M> {
    /// What a snapshot speaks of, beside the machine that takes it down.
    fn view(&mut self) -> (View<'_>, &mut M) {
        let view = View {
            turns: &self.turns,
            processes: &self.processes,
            threads: &self.threads,
            memory: &self.memory,
            files: &self.files,
            pipes: &self.pipes,
            terminal: &self.terminal,
            boot: &self.boot,
            effects: self.speech.effects,
            execs: self.execs,
        };
        (view, &mut self.machine)
    }

    fn write(&mut self, taking: &mut Taking, part: impl FnOnce(&View<'_>, &mut Out<'_>)) {
        self.settle_fp();
        let (view, machine) = self.view();
        part(&view, &mut |record| taking.put(machine, record));
    }

    /// All of sync point `s` is done but the report of it, and a snapshot is wanted.
    pub(super) fn take_snapshot(&mut self, s: u64) {
        self.taking = None;
        let (calls, effects) = (self.turns.calls(), self.speech.effects);
        let (view, machine) = self.view();
        if !machine.keeps_snapshots() || !view.is_agreed() {
            return;
        }
        let standing: Vec<Serial> = view.standing().collect();
        let mut taking = Taking::new(s, calls, effects, self.turns.round().collect());
        self.write(&mut taking, |view, out| {
            view.held(s, out);
            standing.into_iter().for_each(|serial| view.private(serial, out));
        });
        self.go_on_taking(taking);
    }

    /// The head is about to make its first call since the sync point of a snapshot.
    pub(super) fn take_private(&mut self, me: Serial) {
        if self.taking.as_ref().is_none_or(|t| t.left.front() != Some(&me)) {
            return;
        }
        let Some(mut taking) = self.taking.take() else { return };
        taking.left.pop_front();
        self.write(&mut taking, |view, out| view.private(me, out));
        self.go_on_taking(taking);
    }

    fn go_on_taking(&mut self, taking: Taking) {
        if let Some(what) = taking.spoilt() {
            self.machine.tell(Event::NoSnapshot { s: taking.s, what });
        } else if taking.left.is_empty() {
            self.end_taking(taking);
        } else {
            self.machine.ring_snapshot();
            self.taking = Some(taking);
        }
    }

    fn end_taking(&mut self, mut taking: Taking) {
        let root = taking.end(&mut self.machine);
        self.machine.ring_snapshot();
        let Taking { s, calls: call, effects, .. } = taking;
        self.machine.post(&Vote::Snapshot { s, call, effects, root });
    }

    /// The head is skipped: what it would have told of itself is lost.
    pub(super) fn lose_private(&mut self, me: Serial) {
        self.taking.take_if(|t| t.left.contains(&me));
    }

    /// Writes the snapshot that the kernel has begun with: every process stands where its part was taken.
    pub(super) fn write_again(&mut self, s: u64) {
        if !self.machine.keeps_snapshots() {
            return;
        }
        let (calls, effects) = (self.turns.calls(), self.speech.effects);
        let mut taking = Taking::new(s, calls, effects, Default::default());
        self.write(&mut taking, |view, out| {
            view.held(s, out);
            let standing: Vec<Serial> = view.standing().collect();
            standing.into_iter().chain(view.turns.round()).for_each(|serial| view.private(serial, out));
        });
        self.go_on_taking(taking);
    }
}
