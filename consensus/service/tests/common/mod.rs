//! One clerk whose every permit is ordered at once: the line without agreement.
#![allow(dead_code, reason = "each test file uses a part")]

use abi::log::{Entry, Program};
use abi::vote::{Verdict, Vote};
use consensus::batch::{Batch, BatchWriter};
use consensus::line::{Recording, Rules, Voters};
use consensus::replica::{Application, Channel, Check, Note, Output};
use replica::Board;
use replica::clerk::{Clerk, Config, Sink, Taken};
use replica::snapshots::Written;
use std::collections::{BTreeMap, VecDeque};

pub const GRACE: u64 = 50_000;
pub const HANG: u64 = 10_000_000;

/// Four voters, three of whom decide.
pub fn config() -> Config {
    Config {
        voters: 0xf0,
        quorum: 3,
        grace_us: GRACE,
        hang_us: HANG,
        start_time_us: 1000,
        seed: [1; 32],
        recorded: None,
    }
}

/// What comes out.
pub trait Log: Sink {
    fn entry(&mut self, entry: &Entry<'_>);
}

/// An encoded program.
pub fn program() -> &'static [u8] {
    let mut buf = [0; 64];
    let program = Program { path: "/p", argv: b"p\0", env: b"", tier: 2 };
    Box::leak(postcard::to_slice(&program, &mut buf).unwrap().to_vec().into_boxed_slice())
}

/// Clerk and line.
pub struct Single {
    clerk: Clerk,
    line: Board<'static>,
    /// Votes of who is ahead.
    held: BTreeMap<u32, VecDeque<Vote<'static>>>,
    inputs: u64,
    next_n: u64,
    /// Voters' epochs that came out.
    pub voters: Vec<Voters>,
}

struct Out<'a, L>(&'a mut L, &'a mut Vec<Voters>);

impl<L: Log> Output for Out<'_, L> {
    fn broadcast(&mut self, _: &[u8]) {}
    fn send(&mut self, _: u8, _: &[u8]) {}
    fn deliver(&mut self, _: u64, channel: Channel, record: &[u8]) {
        match channel {
            Channel::Log => self.0.entry(&postcard::from_bytes(&record[8..]).unwrap()),
            Channel::Voters => self.1.push(postcard::from_bytes(record).unwrap()),
        }
    }
    fn note(&mut self, _: Note) {}
}

impl Single {
    pub fn new(config: Config, program: &'static [u8], recording: Option<&'static [u8]>) -> Self {
        let recording = recording.map(|r| Recording::new(r).unwrap());
        let clerk = Clerk::new(Config { recorded: recording.map(|r| r.last()), ..config }).unwrap();
        let rules = Rules {
            start_time_us: config.start_time_us,
            ahead_us: 0,
            behind_us: 1_000_000,
            digest_interval: 0,
            snapshot_interval: 0,
            program,
        };
        let line = Board::new(rules, Voters::default());
        let line = recording.into_iter().fold(line, |line, r| line.replaying(r));
        let held = BTreeMap::new();
        Single { clerk, line, held, inputs: 0, next_n: 1, voters: vec![] }
    }

    pub fn on_vote(&mut self, voter: u32, vote: &Vote<'_>, now: u64, log: &mut impl Log) {
        let queue = self.held.entry(voter).or_default();
        if queue.is_empty() && self.clerk.on_vote(voter, vote, self.line.next(), now, log) == Taken::Yes {
            return;
        }
        queue.push_back(match *vote {
            Vote::Passed { s, call, effects, runnable, deadline_us, state } => {
                Vote::Passed { s, call, effects, runnable, deadline_us, state }
            }
            Vote::Effect { n, call, kind, digest, .. } => {
                Vote::Effect { n, call, kind, digest, payload: &[] }
            }
            Vote::Stuck { call } => Vote::Stuck { call },
            Vote::Took { call } => Vote::Took { call },
            Vote::Rejoin { thread, call } => Vote::Rejoin { thread, call },
            Vote::Snapshot { s, call, effects, root } => Vote::Snapshot { s, call, effects, root },
            Vote::Memory { s, process, pid, digest } => Vote::Memory { s, process, pid, digest },
        });
    }

    pub fn on_written(&mut self, voter: u32, found: Option<Option<Written>>, log: &mut impl Log) {
        self.clerk.on_written(voter, found, log);
    }

    pub fn on_out(&mut self, voter: u32) {
        self.clerk.on_out(voter);
    }

    pub fn on_replace(&mut self, spare: u32, voter: u32) {
        self.clerk.on_replace(spare, voter);
    }

    pub fn on_verdict(&mut self, verdict: &Verdict) {
        self.clerk.on_verdict(verdict);
    }

    /// `false`: no room now.
    pub fn on_input(&mut self, event: &[u8]) -> bool {
        let taken = self.line.push(0, self.inputs + 1, event, 0).is_ok();
        self.inputs += u64::from(taken);
        taken
    }

    pub fn issued(&self) -> Option<u64> {
        self.line.next().checked_sub(1)
    }

    pub fn wake_at(&self, now: u64) -> Option<u64> {
        self.clerk.wake_at(self.line.next(), now)
    }

    pub fn poll(&mut self, now: u64, log: &mut impl Log) {
        loop {
            for (voter, queue) in &mut self.held {
                while let Some(vote) = queue.front()
                    && self.clerk.on_vote(*voter, vote, self.line.next(), now, log) == Taken::Yes
                {
                    queue.pop_front();
                }
            }
            self.clerk.poll(now, &mut self.line, log);
            let mut space = vec![0; 32 * 1024];
            let mut writer = BatchWriter::new(&mut space, 64);
            self.line.propose(now, &mut writer);
            if writer.is_empty() {
                return;
            }
            let length = writer.length();
            let batch = Batch::parse(&space[..length]).unwrap();
            assert_eq!(self.line.check(now, batch), Check::Valid);
            self.line.execute(self.next_n, batch, &mut Out(log, &mut self.voters));
            self.next_n += 1;
        }
    }
}
