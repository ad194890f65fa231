//! Push and pop of one record at a time, beside two queues that trust their peer: `make bench`.
//!
//! One thread does both, so that what is measured is the work of each side and not how a host hands cache lines about. The three take
//! turns in each round, so that what else the machine does hits all alike; the median of the rounds is shown, in nanoseconds for one
//! push and one pop. Each hands over the same bytes by value: the queues move an array, the ring copies one in and one out.

use ipc::{StreamReader, StreamWriter};
use std::hint::black_box;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

const ROUNDS: usize = 31;

/// Nanoseconds of one `turn`.
fn time(turns: u32, mut turn: impl FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..turns {
        turn();
    }
    start.elapsed().as_nanos() as f64 / f64::from(turns)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

#[repr(align(8))]
#[derive(Clone, Copy)]
struct Bytes<const N: usize>([u8; N]);

/// Ring, rtrb, heapless.
fn compare<const N: usize>() -> [f64; 3] {
    let turns = 20_000_000 / (N as u32 + 200);
    let words: Vec<AtomicU64> = (0..(4096 + 65536) / 8).map(|_| AtomicU64::new(0)).collect();
    let position = AtomicU64::new(0);
    let mut writer = StreamWriter::new(&words, &position).expect("a ring");
    let mut reader = StreamReader::new(&words, &position).expect("a ring");
    let (mut producer, mut consumer) = rtrb::RingBuffer::<Bytes<N>>::new(16);
    let mut queue = Box::new(heapless::spsc::Queue::<Bytes<N>, 16>::new());
    let (mut enqueue, mut dequeue) = queue.split();
    let (mut input, mut out) = (Bytes([7; N]), Bytes([0; N]));
    let mut times = [const { Vec::new() }; 3];
    for _ in 0..ROUNDS {
        times[0].push(time(turns, || {
            assert!(writer.write(&black_box(&mut input).0).is_ok());
            assert!(reader.read(&mut black_box(&mut out).0) == Ok(Some(N)));
            black_box(&out);
        }));
        times[1].push(time(turns, || {
            assert!(producer.push(*black_box(&mut input)).is_ok());
            black_box(&consumer.pop().expect("a record"));
        }));
        times[2].push(time(turns, || {
            assert!(enqueue.enqueue(*black_box(&mut input)).is_ok());
            black_box(&dequeue.dequeue().expect("a record"));
        }));
    }
    times.map(median)
}

fn main() {
    println!("bytes    ring ns    rtrb ns    heapless ns    ring/rtrb throughput");
    let rows = [
        (16, compare::<16>()),
        (64, compare::<64>()),
        (256, compare::<256>()),
        (1024, compare::<1024>()),
        (4096, compare::<4096>()),
    ];
    for (bytes, [ring, rtrb, heapless]) in rows {
        println!("{bytes:5} {ring:10.1} {rtrb:10.1} {heapless:14.1} {:12.2}", rtrb / ring);
        if bytes == 64 {
            println!("ring_host_ratio_to_rtrb_64 {:.3}", rtrb / ring);
        }
    }
}
