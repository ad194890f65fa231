//! What will happen in a run, drawn from its seed; each misfortune by itself, so that a failing run can be shrunk to those that matter.

use crate::rng::Rng;
use consensus::Ticks;
use std::fmt;

/// What a faulty replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Will {
    /// Two of it, with the same keys and unlike inputs, each seen by a part of the others.
    Equivocate,
    /// Falsifies digests, and seals them properly.
    FalseDigest,
    /// Falsifies views, numbers, epochs.
    FalseNumbers,
    /// Messages in others' names, and with wrong authenticators.
    Forge,
    /// Sends old messages again: its own, and signed ones of others.
    Replay,
    /// Says nothing of some kinds.
    Withhold,
    /// Says some things to some only.
    Select,
    /// View changes that hide or invent claims; view changes and new views out of turn.
    LieInViewChange,
    /// Checkpoints of states that are none; false states and certificates.
    LieInCheckpoint,
    /// Proposes what nobody sent, times that are wrong, entries without reason.
    ProposeNonsense,
    /// Its ring holds garbage; what it holds changes between two readers.
    CorruptRing,
    /// Proposes nothing that one origin sent.
    Starve,
}

/// All wills.
pub const WILLS: [Will; 12] = [
    Will::Equivocate,
    Will::FalseDigest,
    Will::FalseNumbers,
    Will::Forge,
    Will::Replay,
    Will::Withhold,
    Will::Select,
    Will::LieInViewChange,
    Will::LieInCheckpoint,
    Will::ProposeNonsense,
    Will::CorruptRing,
    Will::Starve,
];

/// One misfortune; `Display` tells it in full.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "`Display` says what each field is")]
pub enum Misfortune {
    /// Replica `who` is faulty in this way.
    Evil { who: u8, will: Will },
    /// Messages are lost, so many in a thousand.
    Loss(u64),
    /// Messages come twice.
    Duplicates(u64),
    /// From `from` to `to` the replicas in `side` (a bit each) and the others do not hear each other.
    Partition { from: Ticks, to: Ticks, side: u8 },
    /// Everything from and to `who` takes `delay` longer.
    Slow { who: u8, from: Ticks, to: Ticks, delay: Ticks },
    /// Replica `who` stops, and goes on with all that it knew.
    Pause { who: u8, from: Ticks, to: Ticks },
    /// Replica `who` forgets everything and is restarted with new keys.
    Restart { who: u8, at: Ticks },
    /// `who`'s clock is off.
    Clock { who: u8, ahead: Ticks },
    /// `who`'s reader of `origin`'s ring is lapped and misses records from then on, so many in a thousand.
    Overrun { who: u8, per_mille: u64 },
}

impl fmt::Display for Misfortune {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Misfortune::Evil { who, will } => write!(f, "replica {who} is faulty: {will:?}"),
            Misfortune::Loss(p) => write!(f, "{p} of 1000 messages are lost"),
            Misfortune::Duplicates(p) => write!(f, "{p} of 1000 messages come twice"),
            Misfortune::Partition { from, to, side } => {
                write!(f, "from {from} to {to} µs the replicas {side:04b} (bits) are cut off from the others")
            }
            Misfortune::Slow { who, from, to, delay } => {
                write!(f, "from {from} to {to} µs replica {who} is {delay} µs slower")
            }
            Misfortune::Pause { who, from, to } => {
                write!(f, "replica {who} stands still from {from} to {to} µs")
            }
            Misfortune::Restart { who, at } => {
                write!(f, "at {at} µs replica {who} forgets everything and gets new keys")
            }
            Misfortune::Clock { who, ahead } => write!(f, "replica {who}'s clock is {ahead} µs ahead"),
            Misfortune::Overrun { who, per_mille } => {
                write!(f, "replica {who} misses {per_mille} of 1000 input records")
            }
        }
    }
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Everything else comes from here.
    pub seed: u64,
    /// What goes wrong.
    pub misfortunes: Vec<Misfortune>,
    /// Inputs of each of two origins.
    pub inputs: u64,
    /// Sync points.
    pub syncs: u64,
    /// From here on nothing new goes wrong (but the faulty replica stays as it is).
    pub calm: Ticks,
    /// By then everything must be done.
    pub end: Ticks,
}

impl Plan {
    /// The run of `seed`. At most one replica is faulty at a time: a liar, or one after the other is restarted.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed, 1);
        let calm = 150_000 + rng.below(150_000);
        let mut plan = Plan {
            seed,
            misfortunes: Vec::new(),
            inputs: 8 + rng.below(25),
            syncs: 8 + rng.below(20),
            calm,
            end: calm + 3_000_000,
        };
        plan.add_network(&mut rng);
        if rng.chance(250) {
            plan.add_storm(&mut rng);
            return plan;
        }
        match rng.below(10) {
            // Input that one replica missed needs the three others.
            0 => plan
                .misfortunes
                .push(Misfortune::Overrun { who: rng.below(4) as u8, per_mille: rng.below(200) }),
            1 | 2 => plan.add_restarts(&mut rng),
            _ => {
                // Often the first primary.
                let who = if rng.chance(400) { 0 } else { rng.below(4) as u8 };
                for _ in 0..1 + rng.below(3) {
                    let will = *rng.pick(&WILLS);
                    plan.misfortunes.push(Misfortune::Evil { who, will });
                }
                if rng.chance(150) {
                    plan.misfortunes.push(Misfortune::Restart { who, at: calm / 2 + rng.below(calm / 2) });
                }
            }
        }
        plan
    }

    fn window(&self, rng: &mut Rng) -> (Ticks, Ticks) {
        let from = rng.below(self.calm * 3 / 4);
        (from, (from + 3_000 + rng.below(90_000)).min(self.calm))
    }

    fn add_network(&mut self, rng: &mut Rng) {
        if rng.chance(500) {
            self.misfortunes.push(Misfortune::Loss(1 + rng.below(150)));
        }
        if rng.chance(300) {
            self.misfortunes.push(Misfortune::Duplicates(1 + rng.below(200)));
        }
        for _ in 0..rng.below(4) {
            let (from, to) = self.window(rng);
            self.misfortunes.push(Misfortune::Partition { from, to, side: 1 + rng.below(14) as u8 });
        }
        for _ in 0..rng.below(3) {
            let (from, to) = self.window(rng);
            let (who, delay) = (rng.below(4) as u8, rng.below(30_000));
            self.misfortunes.push(Misfortune::Slow { who, from, to, delay });
        }
        for _ in 0..rng.below(3) {
            let (from, to) = self.window(rng);
            self.misfortunes.push(Misfortune::Pause { who: rng.below(4) as u8, from, to });
        }
        if rng.chance(200) {
            self.misfortunes.push(Misfortune::Clock { who: rng.below(4) as u8, ahead: rng.below(900) });
        }
    }

    /// One view change after the other, and somebody who lies in them.
    fn add_storm(&mut self, rng: &mut Rng) {
        for _ in 0..6 + rng.below(8) {
            let (from, to) = self.window(rng);
            let one = 1 << rng.below(4);
            let side = if rng.chance(500) { one } else { 1 + rng.below(14) as u8 };
            self.misfortunes.push(Misfortune::Partition { from, to, side });
        }
        for _ in 0..rng.below(6) {
            let (from, to) = self.window(rng);
            self.misfortunes.push(Misfortune::Slow {
                who: rng.below(4) as u8,
                from,
                to,
                delay: rng.below(40_000),
            });
        }
        self.misfortunes.push(Misfortune::Loss(100 + rng.below(250)));
        let who = rng.below(4) as u8;
        let wills =
            [Will::LieInViewChange, Will::Equivocate, Will::Replay, Will::Select, Will::LieInCheckpoint];
        for will in wills {
            if rng.chance(450) {
                self.misfortunes.push(Misfortune::Evil { who, will });
            }
        }
    }

    fn add_restarts(&mut self, rng: &mut Rng) {
        let mut at = 10_000 + rng.below(50_000);
        for _ in 0..1 + rng.below(2) {
            self.misfortunes.push(Misfortune::Restart { who: rng.below(4) as u8, at });
            // The next only after the first has long been back: two at a time would be two faults.
            at += 1_200_000;
        }
        if at > 1_500_000 {
            self.calm = at;
            self.end = at + 3_000_000;
        }
    }
}
