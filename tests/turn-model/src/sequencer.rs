//! The sequencer's side of the rule, for `n` kernels that are all alive: when an entry may be issued, and what becomes of promises.

use crate::{Entry, Event, Vote};
use std::collections::{BTreeMap, BTreeSet};

/// Makes the log out of inputs and votes. When it does something is the caller's choice; what it then may do is fixed here.
#[derive(Clone, Debug)]
pub struct Sequencer {
    kernels: usize,
    /// Per kernel: sync points passed, with (runnable, deadline).
    passed: Vec<Vec<(bool, Option<u64>)>>,
    /// Per kernel: calls known to be made.
    made: Vec<u64>,
    promises: BTreeMap<u64, BTreeSet<usize>>,
    decided: BTreeSet<u64>,
    rejoins: BTreeMap<(u64, u64), BTreeSet<usize>>,
    rejoined: BTreeSet<(u64, u64)>,
    inputs: Vec<Event>,
    issued: u64,
    /// Everything issued.
    pub log: Vec<Entry>,
}

impl Sequencer {
    /// For `kernels` voters.
    pub fn new(kernels: usize) -> Sequencer {
        Sequencer {
            kernels,
            passed: vec![Vec::new(); kernels],
            made: vec![0; kernels],
            promises: BTreeMap::new(),
            decided: BTreeSet::new(),
            rejoins: BTreeMap::new(),
            rejoined: BTreeSet::new(),
            inputs: Vec::new(),
            issued: 0,
            log: Vec::new(),
        }
    }

    /// Input arrives.
    pub fn input(&mut self, event: Event) {
        self.inputs.push(event);
    }

    /// Kernel `k` says something.
    pub fn hear(&mut self, k: usize, vote: Vote) {
        match vote {
            Vote::Passed { s, call, runnable, deadline_us } => {
                assert_eq!(s, self.passed[k].len() as u64, "sync points are passed in order");
                self.passed[k].push((runnable, deadline_us));
                self.made[k] = self.made[k].max(call);
            }
            Vote::Stuck(call) => {
                self.made[k] = self.made[k].max(call);
                self.promises.entry(call).or_default().insert(k);
            }
            Vote::Rejoin(thread, call) => {
                self.rejoins.entry((thread, call)).or_default().insert(k);
            }
        }
    }

    /// Decides about promises where the rule allows: Go once anyone made the call, Skip once all have promised.
    pub fn decide(&mut self) {
        for (&call, by) in &self.promises {
            if self.decided.contains(&call) {
                continue;
            }
            if self.made.iter().any(|&made| made > call) {
                self.log.push(Entry::Go(call));
            } else if by.len() == self.kernels {
                self.log.push(Entry::Skip(call));
            } else {
                continue;
            }
            self.decided.insert(call);
        }
    }

    /// Issues the next sync entry if it may, at wall clock `time_us`; whether it did.
    pub fn issue(&mut self, time_us: u64) -> bool {
        let next = self.issued + 1;
        let flow = next.saturating_sub(2);
        if self.passed.iter().any(|p| p.len() as u64 <= flow) {
            return false;
        }
        let state = |s: u64| self.passed.iter().find_map(|p| p.get(s as usize).copied());
        let running = [flow, next - 1].into_iter().filter_map(state).any(|(runnable, _)| runnable);
        let due = state(next - 1).is_some_and(|(_, d)| d.is_some_and(|d| d <= time_us));
        let rejoins: Vec<_> = self
            .rejoins
            .iter()
            .filter(|(k, by)| by.len() == self.kernels && !self.rejoined.contains(k))
            .map(|(&k, _)| k)
            .collect();
        if !running && !due && rejoins.is_empty() && self.inputs.is_empty() {
            return false;
        }
        let mut events = std::mem::take(&mut self.inputs);
        events.extend(rejoins.iter().map(|&(thread, call)| Event::Rejoin(thread, call)));
        self.rejoined.extend(rejoins);
        self.log.push(Entry::Sync { time_us, events });
        self.issued = next;
        true
    }
}
