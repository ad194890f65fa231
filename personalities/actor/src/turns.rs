//! The turn server: the round, who waits for what, call numbers, sync points and the clock (`docs/turn-rule.md`; its section names stand in
//! comments). It knows threads by serial, and nothing of what they do.

use crate::pipes::PipeId;
use abi::turn::{CALLS_PER_SYNC, CALLS_PER_TURN, CLOCK_PER_CALL_US};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

/// Names a thread, and a process by its first thread.
pub type Serial = u64;

/// What can be waited for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Thing {
    /// Bytes in a pipe, or its last writer's end.
    Readers(PipeId),
    /// Room in a pipe, or its last reader's end.
    Writers(PipeId),
    /// The other end of a FIFO.
    Open(PipeId),
    /// The terminal's input.
    Terminal,
    /// The children of a process.
    Children(Serial),
    /// The exec or end of a child that shares its parent's memory.
    Vfork(Serial),
}

/// Where a thread stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    Round,
    /// In a call that blocked, until one of these, a signal or the deadline.
    Waiting {
        things: Vec<Thing>,
        deadline_us: Option<u64>,
    },
    Stopped,
    /// Skipped at this call; whether it has asked to rejoin.
    Outside {
        call: u64,
        asked: bool,
    },
}

/// The server's state.
pub struct Turns {
    round: VecDeque<Serial>,
    places: BTreeMap<Serial, Place>,
    queues: BTreeMap<Thing, VecDeque<Serial>>,
    calls: u64,
    in_turn: u64,
    since: u64,
    base_us: u64,
    boot_us: u64,
    /// Number of the next sync point.
    next_sync: u64,
    sync_due: bool,
}

impl Turns {
    /// At sync point 0.
    pub fn new(boot_us: u64) -> Turns {
        Turns {
            round: VecDeque::new(),
            places: BTreeMap::new(),
            queues: BTreeMap::new(),
            calls: 0,
            in_turn: 0,
            since: 0,
            base_us: boot_us,
            boot_us,
            next_sync: 1,
            sync_due: false,
        }
    }

    /// Behind sync point `s`, with the round as it was there.
    pub fn restore(boot_us: u64, base_us: u64, s: u64, calls: u64, round: &[Serial]) -> Turns {
        let mut turns = Turns { base_us, calls, next_sync: s + 1, ..Turns::new(boot_us) };
        round.iter().for_each(|serial| turns.enter(*serial));
        turns.sync_due = round.is_empty();
        turns
    }

    /// Who holds the turn.
    pub fn head(&self) -> Option<Serial> {
        self.round.front().copied()
    }

    pub fn round(&self) -> impl Iterator<Item = Serial> {
        self.round.iter().copied()
    }

    pub fn round_length(&self) -> u64 {
        self.round.len() as u64
    }

    pub fn place(&self, serial: Serial) -> Option<&Place> {
        self.places.get(&serial)
    }

    pub fn outside(&self) -> impl Iterator<Item = Serial> {
        self.places.iter().filter(|(_, p)| matches!(p, Place::Outside { .. })).map(|(s, _)| *s)
    }

    /// Number of the next call.
    pub fn calls(&self) -> u64 {
        self.calls
    }

    pub fn next_sync(&self) -> u64 {
        self.next_sync
    }

    pub fn base_us(&self) -> u64 {
        self.base_us
    }

    pub fn boot_us(&self) -> u64 {
        self.boot_us
    }

    /// "Clock": microseconds since 1970, for the call that is made.
    pub fn clock_us(&self) -> u64 {
        self.base_us + CLOCK_PER_CALL_US * self.since
    }

    /// Whether an entry must be taken before another call.
    pub fn sync_due(&self) -> bool {
        self.sync_due
    }

    /// A thread enters the round at its end: new, woken, continued or back from outside.
    pub fn enter(&mut self, serial: Serial) {
        if self.places.get(&serial) == Some(&Place::Round) {
            return;
        }
        self.leave_queues(serial);
        self.places.insert(serial, Place::Round);
        self.round.push_back(serial);
    }

    fn leave_queues(&mut self, serial: Serial) {
        self.queues.values_mut().for_each(|q| q.retain(|s| *s != serial));
        self.queues.retain(|_, q| !q.is_empty());
    }

    fn leave_round(&mut self, serial: Serial) {
        self.round.retain(|s| *s != serial);
    }

    /// A thread blocks: it stands in the FIFO of each thing, in order.
    pub fn wait(&mut self, serial: Serial, things: Vec<Thing>, deadline_us: Option<u64>) {
        self.leave_round(serial);
        for (i, thing) in things.iter().enumerate() {
            if !things[..i].contains(thing) {
                self.queues.entry(*thing).or_default().push_back(serial);
            }
        }
        self.places.insert(serial, Place::Waiting { things, deadline_us });
    }

    /// A thread stops.
    pub fn stop(&mut self, serial: Serial) {
        self.leave_round(serial);
        self.leave_queues(serial);
        self.places.insert(serial, Place::Stopped);
    }

    /// A thread is gone.
    pub fn forget(&mut self, serial: Serial) {
        self.leave_round(serial);
        self.leave_queues(serial);
        self.places.remove(&serial);
    }

    /// "Places": a wake-up wakes all that wait for a thing, in order.
    pub fn wake(&mut self, thing: Thing) {
        for serial in self.queues.remove(&thing).unwrap_or_default() {
            self.enter(serial);
        }
    }

    /// A signal ends a thread's waiting, but for one that waits in vfork.
    pub fn rouse(&mut self, serial: Serial) {
        match self.places.get(&serial) {
            Some(Place::Waiting { things, .. }) if !things.iter().any(|t| matches!(t, Thing::Vfork(_))) => {
                self.enter(serial);
            }
            _ => {}
        }
    }

    fn count(&mut self) {
        self.calls += 1;
        self.since += 1;
    }

    /// "Turns", 2 and 3: `serial` has made a call. Its wake-ups have been carried out.
    pub fn made(&mut self, serial: Serial) {
        self.count();
        self.in_turn += 1;
        if self.head() == Some(serial) {
            if self.in_turn < CALLS_PER_TURN {
                return;
            }
            self.round.rotate_left(1);
        }
        self.end_turn();
    }

    fn end_turn(&mut self) {
        self.in_turn = 0;
        self.sync_due = self.since >= CALLS_PER_SYNC || self.round.is_empty();
    }

    /// "Stuck, skip, go": the head goes outside, and uses the call's number up.
    pub fn skip(&mut self) {
        if let Some(head) = self.round.pop_front() {
            self.places.insert(head, Place::Outside { call: self.calls, asked: false });
        }
        self.count();
        self.end_turn();
    }

    /// Whether a thread outside has not asked to rejoin yet: the call it was skipped at. It has from now on.
    pub fn ask_to_rejoin(&mut self, serial: Serial) -> Option<u64> {
        match self.places.get_mut(&serial) {
            Some(Place::Outside { call, asked }) if !*asked => {
                *asked = true;
                Some(*call)
            }
            _ => None,
        }
    }

    /// An entry's rejoin.
    pub fn rejoin(&mut self, serial: Serial, at: u64) {
        if matches!(self.places.get(&serial), Some(Place::Outside { call, .. }) if *call == at) {
            self.enter(serial);
        }
    }

    /// "Sync points": the entry's time is taken.
    pub fn begin_sync(&mut self, time_us: u64) {
        self.base_us = self.clock_us().max(time_us);
        self.since = 0;
    }

    /// Deadlines that have passed wake their threads.
    pub fn deadlines(&mut self) {
        let now = self.base_us;
        let mut due: Vec<(u64, Serial)> = self.deadlines_waiting().filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        due.into_iter().for_each(|(_, serial)| self.enter(serial));
    }

    /// All deadlines that threads wait for.
    pub fn deadlines_waiting(&self) -> impl Iterator<Item = (u64, Serial)> {
        self.places.iter().filter_map(|(s, p)| match p {
            Place::Waiting { deadline_us: Some(at), .. } => Some((*at, *s)),
            _ => None,
        })
    }

    /// The entry is applied; its number.
    pub fn end_sync(&mut self) -> u64 {
        self.next_sync += 1;
        self.sync_due = self.round.is_empty();
        self.next_sync - 1
    }
}

#[cfg(test)]
mod test {
    use super::*;

    fn three() -> Turns {
        let mut t = Turns::new(1_000_000);
        (1..=3).for_each(|s| t.enter(s));
        t
    }

    #[test]
    fn a_turn_ends_after_its_calls_and_behind_whom_it_woke() {
        let mut t = three();
        t.wait(3, alloc::vec![Thing::Terminal], None);
        (1..CALLS_PER_TURN).for_each(|_| t.made(1));
        assert_eq!((t.head(), t.calls()), (Some(1), CALLS_PER_TURN - 1));
        t.wake(Thing::Terminal);
        t.made(1);
        assert_eq!(t.round().collect::<Vec<_>>(), [2, 3, 1]);
        assert!(!t.sync_due());
        (0..CALLS_PER_TURN).for_each(|_| t.made(2));
        assert!(t.sync_due());
    }

    #[test]
    fn who_waits_for_several_things_leaves_all_fifos() {
        let mut t = three();
        t.wait(1, alloc::vec![Thing::Readers(1), Thing::Terminal], Some(5));
        t.wait(2, alloc::vec![Thing::Terminal, Thing::Readers(1)], None);
        t.wake(Thing::Readers(1));
        assert_eq!(t.round().collect::<Vec<_>>(), [3, 1, 2]);
        assert!(t.queues.is_empty());
        assert_eq!(t.deadlines_waiting().count(), 0);
    }

    #[test]
    fn an_empty_round_is_a_sync_point_and_deadlines_pass_there_in_order() {
        let mut t = three();
        (1..=3).for_each(|s| t.wait(s, Vec::new(), Some(1_000_010 - s / 2)));
        t.made(3);
        assert!(t.sync_due() && t.head().is_none());
        t.begin_sync(1_000_009);
        t.deadlines();
        assert_eq!(t.end_sync(), 1);
        assert_eq!(t.round().collect::<Vec<_>>(), [2, 3]);
        assert_eq!(t.clock_us(), 1_000_009);
    }

    #[test]
    fn no_signal_rouses_a_parent_in_vfork() {
        let mut t = three();
        t.wait(1, alloc::vec![Thing::Vfork(2)], None);
        t.rouse(1);
        assert_eq!(t.head(), Some(2));
        t.wake(Thing::Vfork(2));
        assert_eq!(t.round().last(), Some(1));
    }

    #[test]
    fn a_skip_uses_the_number_up() {
        let mut t = three();
        t.skip();
        assert_eq!(
            (t.head(), t.calls(), t.ask_to_rejoin(1), t.ask_to_rejoin(1)),
            (Some(2), 1, Some(0), None)
        );
        t.rejoin(1, 7);
        assert_eq!(t.round_length(), 2);
        t.rejoin(1, 0);
        assert_eq!(t.round().last(), Some(1));
    }
}
