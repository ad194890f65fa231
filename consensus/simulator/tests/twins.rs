//! Twins (Bano et al., "Twins: BFT systems made robust", OPODIS 2021): one replica runs twice with one identity, and every round has a leader and a
//! partition; all choices are enumerated, so nothing of the adversary's art is left to chance.

use consensus::ReplicaId;
use consensus::auth::Null;
use consensus::replica::{Channel, Config, Note, Output, Replica};
use consensus::requests::Requests;
use std::time::Instant;

type Node = Replica<Null, Requests<1, 8, 64>, 4, 1024>;

/// Five instances: 0 and its twin 4, and the correct replicas 1, 2, 3.
const TWIN: usize = 4;
/// Who is with replica 0; the others are with its twin. Sides that differ only in which twin is which are the same.
const SIDES: [u8; 8] = [0b000, 0b001, 0b010, 0b100, 0b011, 0b101, 0b110, 0b111];
/// Leaders: the twins, or replica 1. Replicas 2 and 3 are like 1 up to their names, which the sides go through.
const LEADERS: [ReplicaId; 2] = [0, 1];

#[derive(Default)]
struct Out {
    said: Vec<Vec<u8>>,
    delivered: Vec<(u64, u8)>,
}

impl Output for Out {
    fn broadcast(&mut self, record: &[u8]) {
        self.said.push(record.to_vec());
    }
    fn send(&mut self, _: ReplicaId, record: &[u8]) {
        self.said.push(record.to_vec());
    }
    fn deliver(&mut self, sequence: u64, _: Channel, record: &[u8]) {
        self.delivered.push((sequence, record[0]));
    }
    fn note(&mut self, _: Note) {}
}

struct Run {
    nodes: Vec<Box<Node>>,
    logs: Vec<Vec<(u64, u8)>>,
    queue: Vec<(usize, Vec<u8>)>,
}

impl Run {
    fn new(leaders: &[ReplicaId]) -> Self {
        let mut table = [1; 8];
        table[..leaders.len()].copy_from_slice(leaders);
        let nodes = (0..5usize)
            .map(|i| {
                let id = (i % 4) as u8;
                let config = Config { timeout: 1 << 40, status_every: 1, leaders: table, ..Config::new(id) };
                let keys = Null::new(Null::identity(id, 0), &Null::members());
                Box::new(Node::new(config, keys, &Null::members(), Requests::default()))
            })
            .collect();
        Run { nodes, logs: vec![Vec::new(); 5], queue: Vec::new() }
    }

    fn act(&mut self, i: usize, act: impl FnOnce(&mut Node, &mut Out)) {
        let mut out = Out::default();
        act(&mut self.nodes[i], &mut out);
        self.logs[i].extend(out.delivered);
        self.queue.extend(out.said.into_iter().map(|r| (i, r)));
    }

    /// One round: who is with 0 hears 0 and each other, who is with the twin the twin. Then all leave the view.
    fn round(&mut self, k: u64, side: u8) -> bool {
        let with_zero = |i: usize| i == 0 || i != TWIN && side >> (i - 1) & 1 == 1;
        for i in 0..5 {
            // The twins are told unlike things, so they propose unlike things.
            let input = [if i == TWIN { b'A' } else { b'a' } + k as u8];
            self.act(i, |n, out| {
                let _ = n.application().push(0, k + 1, &input, 0);
                n.poll(2 * k + 1, out);
            });
        }
        for pause in [false, true] {
            let mut steps = 0;
            while !self.queue.is_empty() && steps < 400 {
                let (from, record) = self.queue.remove(0);
                steps += 1;
                for i in (0..5).filter(|i| *i != from && with_zero(*i) == with_zero(from)) {
                    let sender = (from % 4) as u8;
                    self.act(i, |n, out| n.on_message(sender, &record, 2 * k + 1, out));
                }
            }
            self.queue.clear();
            if !pause {
                for i in 0..5 {
                    self.act(i, |n, out| n.start_view_change(k + 1, 2 * k + 1, out));
                }
            }
        }
        self.agree()
    }

    /// What two correct replicas executed as the same number is the same; a replica that took over a state has not executed what is in it. And none
    /// executed anything twice.
    fn agree(&self) -> bool {
        let of = |log: &[(u64, u8)], n: u64| {
            log.iter().filter(|(k, _)| *k == n).map(|(_, b)| *b).collect::<Vec<_>>()
        };
        let same = |a: &[(u64, u8)], b: &[(u64, u8)]| {
            a.iter().all(|(n, _)| of(b, *n).is_empty() || of(a, *n) == of(b, *n))
        };
        let rising = |log: &[(u64, u8)]| log.windows(2).all(|w| w[0].0 <= w[1].0 && w[0].1 != w[1].1);
        let l = &self.logs;
        same(&l[1], &l[2]) && same(&l[2], &l[3]) && same(&l[1], &l[3]) && l[1..4].iter().all(|l| rising(l))
    }
}

/// All choices of leader and side in `rounds` rounds: runs, and how many executed something at a correct replica.
fn enumerate(rounds: u32) -> (u64, u64) {
    let choices = (SIDES.len() * LEADERS.len()) as u64;
    let (mut runs, mut live) = (0, 0);
    for mut code in 0..choices.pow(rounds) {
        let mut leaders = Vec::new();
        let mut sides = Vec::new();
        for _ in 0..rounds {
            let choice = (code % choices) as usize;
            code /= choices;
            leaders.push(LEADERS[choice % 2]);
            sides.push(SIDES[choice / 2]);
        }
        let mut run = Run::new(&leaders);
        for (k, side) in (0..).zip(&sides) {
            assert!(run.round(k, *side), "leaders {leaders:?}, sides {sides:?}: {:?}", run.logs);
        }
        runs += 1;
        live += u64::from(run.logs[1..4].iter().any(|l| !l.is_empty()));
    }
    (runs, live)
}

#[test]
fn all_leaders_and_partitions() {
    let long = std::env::var("LONG").is_ok_and(|l| !l.is_empty());
    let most = if cfg!(debug_assertions) {
        2
    } else if long {
        5
    } else {
        3
    };
    for rounds in 1..=most {
        let start = Instant::now();
        let (runs, live) = enumerate(rounds);
        assert!(live > 0);
        println!(
            "| twins of replica 0, {rounds} rounds | {runs} runs | {live} executed something | {} leaders, 8 sides a round | {:.0} s | safe |",
            LEADERS.len(),
            start.elapsed().as_secs_f64()
        );
    }
}
