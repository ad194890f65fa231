//! What must hold whatever happens, looked at after each step; and what must have come about in the end.

use abi::log::{Entry, Event};
use consensus::Digest;
use consensus::line::Voters;
use consensus::replica::Channel;
use std::collections::BTreeMap;

/// A snapshot is asked for at every so manieth sync point.
pub(crate) const SNAPSHOT_INTERVAL: u64 = 4;

/// Records that one sequence number brought.
pub type Delivered = Vec<(Channel, Vec<u8>)>;

/// What is known of the run as a whole.
#[derive(Default)]
pub struct Oracle {
    log: BTreeMap<u64, Delivered>,
    states: BTreeMap<u64, Digest>,
    batches: BTreeMap<u64, Digest>,
    checked: u64,
    /// Entries of the log so far.
    entries: u64,
    next_sync: u64,
    time_us: u64,
    /// Epoch of the voters of now.
    pub voters: u64,
    last: [u64; 2],
    decided: BTreeMap<u64, bool>,
    /// Inputs really sent, of each origin.
    pub sent: [u64; 2],
    /// Sync points below are permitted by a correct replica.
    pub permitted: u64,
    /// Calls that a correct replica would skip, or let go.
    pub calls: Vec<u64>,
    /// Voters' epochs that a correct replica asked for.
    pub epochs: Vec<Voters>,
    /// Now, on the best clock.
    pub now_us: u64,
    /// The greatest error of a correct clock, and the slack of the check.
    pub slack_us: u64,
}

/// An input event: its origin and number are in its bytes, so that where it came from shows in the log.
pub fn input(origin: u8, number: u64) -> Vec<u8> {
    let text = [b'a' + origin, (number >> 8) as u8, number as u8];
    postcard::to_slice(&Event::TtyData(&text), &mut [0; 16]).expect("fits").to_vec()
}

/// The run's seed entry.
pub const SEED: [u8; 32] = [7; 32];

impl Oracle {
    /// A correct replica executed number `sequence`, and this came out.
    pub fn executed(&mut self, who: u8, sequence: u64, delivered: Delivered) -> Result<(), String> {
        if let Some(known) = self.log.get(&sequence) {
            if *known != delivered {
                return Err(format!(
                    "AGREEMENT: replica {who} executed {} as number {sequence}, another {}",
                    show(&delivered),
                    show(known)
                ));
            }
            return Ok(());
        }
        self.log.insert(sequence, delivered);
        while let Some(delivered) = self.log.get(&(self.checked + 1)).cloned() {
            self.checked += 1;
            let n = self.checked;
            for (channel, bytes) in delivered {
                self.check(channel, &bytes).map_err(|e| format!("VALIDITY: number {n}: {e}"))?;
            }
        }
        Ok(())
    }

    /// A correct replica says that the state after `sequence` has this digest.
    pub fn state(&mut self, who: u8, sequence: u64, digest: Digest) -> Result<(), String> {
        let known = *self.states.entry(sequence).or_insert(digest);
        if known == digest {
            Ok(())
        } else {
            Err(format!("STATE: replica {who}'s state after {sequence} is unlike another's"))
        }
    }

    /// A correct replica executed the batch of this digest as number `sequence`.
    pub fn batch(&mut self, who: u8, sequence: u64, digest: Digest) -> Result<(), String> {
        let known = *self.batches.entry(sequence).or_insert(digest);
        if known == digest {
            Ok(())
        } else {
            Err(format!("AGREEMENT: replica {who} executed another batch as number {sequence}"))
        }
    }

    /// Whether a correct replica has executed so far.
    pub fn reached(&self, sequence: u64) -> bool {
        sequence == 0 || self.log.contains_key(&sequence)
    }

    /// Numbers executed by somebody correct.
    pub fn decisions(&self) -> u64 {
        self.checked
    }

    /// The next sync point of the log.
    pub fn next_sync(&self) -> u64 {
        self.next_sync
    }

    fn check(&mut self, channel: Channel, bytes: &[u8]) -> Result<(), String> {
        if channel == Channel::Voters {
            let voters: Voters = postcard::from_bytes(bytes).map_err(|e| e.to_string())?;
            let asked = self.epochs.contains(&voters) && voters.epoch == self.voters + 1;
            self.voters = voters.epoch;
            return if asked { Ok(()) } else { Err(format!("{voters:?} are not what comes next")) };
        }
        let (number, bytes) = bytes.split_first_chunk().ok_or("an entry without a number")?;
        if u64::from_le_bytes(*number) != self.entries {
            return Err(format!("entry {} instead of {}", u64::from_le_bytes(*number), self.entries));
        }
        self.entries += 1;
        match postcard::from_bytes::<Entry>(bytes).map_err(|e| e.to_string())? {
            Entry::Boot(b) => {
                if self.next_sync != 0 || b.seed != SEED {
                    return Err("a second Boot, or one with a seed of another run".into());
                }
                self.next_sync = 1;
                self.clock(b.time_us)
            }
            Entry::Sync(s) => {
                if s.s != self.next_sync || s.s >= self.permitted {
                    return Err(format!(
                        "Sync {} instead of {}, permitted below {}",
                        s.s, self.next_sync, self.permitted
                    ));
                }
                self.next_sync += 1;
                self.clock(s.time_us)?;
                let asks = s.events().any(|event| event == Ok(Event::Snapshot));
                if s.s.is_multiple_of(SNAPSHOT_INTERVAL) && !asks {
                    return Err(format!("Sync {} asks for no snapshot", s.s));
                }
                s.events()
                    .filter(|event| *event != Ok(Event::Snapshot))
                    .try_for_each(|event| self.event(event.map_err(|e| e.to_string())?))
            }
            Entry::Skip { call } => self.decide(call, true),
            Entry::Go { call } => self.decide(call, false),
        }
    }

    fn clock(&mut self, time_us: u64) -> Result<(), String> {
        if time_us < self.time_us {
            return Err(format!("the time falls from {} to {time_us}", self.time_us));
        }
        if time_us > self.now_us + self.slack_us {
            return Err(format!("the time is {time_us}, the clocks say {}", self.now_us));
        }
        self.time_us = time_us;
        Ok(())
    }

    fn event(&mut self, event: Event<'_>) -> Result<(), String> {
        let Event::TtyData([origin, high, low]) = event else {
            return Err(format!("{event:?} was never typed"));
        };
        let (origin, number) = (usize::from(origin - b'a'), u64::from(*high) << 8 | u64::from(*low));
        let Some(last) = self.last.get_mut(origin) else { return Err("no such origin".into()) };
        if number != *last + 1 || number > self.sent[origin] {
            return Err(format!(
                "input {number} of origin {origin} after {last}, {} were sent",
                self.sent[origin]
            ));
        }
        *last = number;
        Ok(())
    }

    fn decide(&mut self, call: u64, skip: bool) -> Result<(), String> {
        if !self.calls.contains(&call) {
            return Err(format!("call {call} was decided, nobody asked"));
        }
        match self.decided.insert(call, skip) {
            None => Ok(()),
            Some(_) => Err(format!("call {call} was decided twice")),
        }
    }
}

fn show(delivered: &Delivered) -> String {
    if delivered.is_empty() {
        return "nothing".into();
    }
    let one = |(channel, bytes): &(Channel, Vec<u8>)| match channel {
        Channel::Log => format!("{:?}", bytes.get(8..).and_then(|b| postcard::from_bytes::<Entry>(b).ok())),
        Channel::Voters => format!("{:?}", postcard::from_bytes::<Voters>(bytes).ok()),
    };
    delivered.iter().map(one).collect::<Vec<_>>().join(" ")
}
