//! Four replicas on one thread, and one on each of four threads over real rings: `make bench-consensus`.
//!
//! The figure on one thread is the CPU time of all four together, from input to execution at each of them. Over rings it is the time
//! from a client's write to the first and to the third delivery, in a host where four threads and a client share what cores there are.

use consensus::auth::{Authenticator, Identity, Members, Secret, Signed, Vector};
use consensus::replica::{Channel, Config, Note, Output, Replica};
use consensus::requests::Requests;
use consensus::{REPLICAS, ReplicaId};
use ipc::{BroadcastReader, BroadcastWriter, ReadError};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

type Node<A> = Replica<A, Requests<1, 256, 65536>, 64, 8192>;
const REQUEST: [u8; 64] = [7; 64];

fn secret(id: u8) -> Secret {
    Secret::new(&[id + 1; 32])
}

fn members() -> Members {
    [0, 1, 2, 3].map(|id| secret(id).identity())
}

fn vector(id: u8, members: &Members) -> Vector {
    Vector::new(id, secret(id), 0, members)
}

fn signed(id: u8, members: &Members) -> Signed {
    Signed::new(secret(id), members)
}

/// Messages on their way, in buffers that are used again.
#[derive(Default)]
struct Bus {
    sent: VecDeque<(ReplicaId, Vec<u8>)>,
    spare: Vec<Vec<u8>>,
    sender: ReplicaId,
    delivered: u64,
}

impl Output for Bus {
    fn broadcast(&mut self, record: &[u8]) {
        let mut buffer = self.spare.pop().unwrap_or_default();
        buffer.clear();
        buffer.extend_from_slice(record);
        self.sent.push_back((self.sender, buffer));
    }
    fn send(&mut self, _: ReplicaId, record: &[u8]) {
        self.broadcast(record);
    }
    fn deliver(&mut self, _: u64, _: Channel, record: &[u8]) {
        black_box(record);
        self.delivered += 1;
    }
    fn note(&mut self, note: Note) {
        assert!(matches!(note, Note::Stable { .. }), "{note}");
    }
}

/// Microseconds of CPU for one request, all four replicas together, when `burst` come at once.
fn one_thread<A: Authenticator>(keys: fn(u8, &Members) -> A, burst: u64, requests: u64) -> f64 {
    let members: [Identity; REPLICAS] = members();
    let config = |id| Config { timeout: u64::MAX / 4096, status_every: u64::MAX / 4, ..Config::new(id) };
    let mut nodes: Vec<Box<Node<A>>> = (0..4)
        .map(|id| Box::new(Node::new(config(id), keys(id, &members), &members, Requests::default())))
        .collect();
    let mut bus = Bus::default();
    let (mut number, mut start) = (0, Instant::now());
    let warm = requests / 10 / burst * burst;
    while number < requests + warm {
        if number == warm {
            start = Instant::now();
        }
        for (id, node) in nodes.iter_mut().enumerate() {
            for k in 1..=burst {
                node.application().push(0, number + k, &REQUEST, 0).expect("room");
            }
            bus.sender = id as u8;
            node.poll(1, &mut bus);
        }
        number += burst;
        while let Some((from, record)) = bus.sent.pop_front() {
            for (id, node) in nodes.iter_mut().enumerate().filter(|(id, _)| *id != usize::from(from)) {
                bus.sender = id as u8;
                node.on_message(from, &record, 1, &mut bus);
            }
            bus.spare.push(record);
        }
    }
    assert_eq!(bus.delivered, 4 * number);
    start.elapsed().as_secs_f64() * 1e6 / requests as f64
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

struct Ring<'a> {
    writer: BroadcastWriter<'a>,
    delivered: &'a AtomicU64,
}

impl Output for Ring<'_> {
    fn broadcast(&mut self, record: &[u8]) {
        self.writer.write(record).expect("shorter than the ring");
    }
    fn send(&mut self, _: ReplicaId, record: &[u8]) {
        self.broadcast(record);
    }
    fn deliver(&mut self, _: u64, _: Channel, _: &[u8]) {
        self.delivered.fetch_add(1, Ordering::Release);
    }
    fn note(&mut self, _: Note) {}
}

fn words(bytes: usize) -> Vec<AtomicU64> {
    (0..(4096 + bytes) / 8).map(|_| AtomicU64::new(0)).collect()
}

/// What a replica's thread does: reads the client's ring and the others', polls, again.
fn serve(
    id: u8,
    rings: &[Vec<AtomicU64>],
    input: &[AtomicU64],
    delivered: &AtomicU64,
    stop: &AtomicBool,
    zero: Instant,
) {
    let members = members();
    let config = Config { timeout: 2_000_000, status_every: 100_000, ..Config::new(id) };
    let mut node = Box::new(Node::new(config, vector(id, &members), &members, Requests::default()));
    let mut out = Ring { writer: BroadcastWriter::new(&rings[usize::from(id)]).expect("ring"), delivered };
    let others = (0..4u8).filter(|k| *k != id);
    let mut readers: Vec<_> =
        others.map(|k| (k, BroadcastReader::new(&rings[usize::from(k)]).expect("ring"))).collect();
    let mut client = BroadcastReader::new(input).expect("ring");
    let (mut buffer, mut number) = (vec![0; 8192], 0);
    let (mut request, mut waiting) = ([0; 128], None);
    while !stop.load(Ordering::Relaxed) {
        let now = zero.elapsed().as_micros() as u64;
        let mut idle = true;
        // A thread that was not scheduled for long finds more than there is room for: the rest has to wait.
        while let Some(length) = waiting.take().or_else(|| client.read(&mut request).ok().flatten()) {
            if node.application().push(0, number + 1, &request[..length], now).is_err() {
                waiting = Some(length);
                break;
            }
            number += 1;
            idle = false;
        }
        for (from, reader) in &mut readers {
            loop {
                match reader.read(&mut buffer) {
                    Ok(Some(length)) => node.on_message(*from, &buffer[..length], now, &mut out),
                    Ok(None) => break,
                    Err(ReadError::Overrun | ReadError::Fault) => reader.skip_to_head(),
                    Err(ReadError::TooLong(_) | ReadError::NewEpoch) => {}
                }
                idle = false;
            }
        }
        node.poll(now, &mut out);
        if idle {
            std::thread::yield_now();
        }
    }
}

/// Microseconds from a request's write until three replicas have delivered it: p50, p99.
fn over_rings(requests: usize) -> (f64, f64) {
    let rings: Vec<_> = (0..4).map(|_| words(1 << 18)).collect();
    let input = words(1 << 16);
    let delivered: Vec<_> = (0..4).map(|_| AtomicU64::new(0)).collect();
    let (stop, zero) = (AtomicBool::new(false), Instant::now());
    let mut times = std::thread::scope(|scope| {
        for id in 0..4u8 {
            let (rings, input, delivered, stop) = (&rings, &input, &delivered[usize::from(id)], &stop);
            scope.spawn(move || serve(id, rings, input, delivered, stop, zero));
        }
        let mut writer = BroadcastWriter::new(&input).expect("ring");
        let mut times = Vec::new();
        for n in 1..=requests as u64 {
            let start = Instant::now();
            writer.write(&REQUEST).expect("fits");
            while delivered.iter().filter(|d| d.load(Ordering::Acquire) >= n).count() < 3 {
                std::thread::yield_now();
            }
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        stop.store(true, Ordering::Relaxed);
        times
    });
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

fn main() {
    let rounds = 7;
    let figure = |f: &dyn Fn() -> f64| median((0..rounds).map(|_| f()).collect());
    let single = figure(&|| one_thread(vector, 1, 20_000));
    let batched = figure(&|| one_thread(vector, 64, 256_000));
    let single_signed = one_thread(signed, 1, 300);
    let batched_signed = one_thread(signed, 64, 12_800);
    println!("four replicas on one thread, 64 bytes: CPU for one request");
    println!("| | alone | in a batch of 64 |\n|---|---|---|");
    println!("| keyed BLAKE3 | {single:.2} µs | {batched:.3} µs |");
    println!("| Ed25519 | {single_signed:.0} µs | {batched_signed:.1} µs |");
    let (p50, p99) = over_rings(5_000);
    println!("a thread each over rings, three deliveries: p50 {p50:.1} µs, p99 {p99:.1} µs");
    println!("consensus_cpu_us_per_request {single:.3}");
    println!("consensus_requests_per_s_batched {:.0}", 1e6 / batched);
    println!("consensus_latency_p50_us {p50:.1}");
}
