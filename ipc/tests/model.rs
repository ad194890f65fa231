//! loom: every interleaving, and every value that C11's memory model lets a load see, of a small ring. `make model-ipc`.
//!
//! Bound: one writer and one reader; a data area of four words (32 bytes); three records of one word, so that the third overwrites the
//! first; two calls of the reader; at most [`PREEMPTIONS`] preemptions. Fences and orders are the ring's own.
//! What loom cannot show: a load that is put off until after a later store (load buffering). So the release with which a stream's reader
//! publishes its position has no control here; the argument for it stands in `stream.rs`.
#![cfg(loom)]

use ipc::{BroadcastReader, BroadcastWriter, ReadError, StreamReader, StreamWriter, Word, WriteError};
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU64, fence};
use std::sync::atomic::Ordering;

const PREEMPTIONS: usize = 4;
/// Of the reader.
const CALLS: usize = 3;
const HEADER_WORDS: usize = abi::ring::OFFSET_DATA / 8;
const RECORDS: u64 = 4;

/// A word that loom knows, or one of the header that nobody uses.
enum Modelled {
    Used(AtomicU64),
    Unused,
}

impl Word for Modelled {
    fn load(&self, order: Ordering) -> u64 {
        match self {
            Modelled::Used(word) => word.load(order),
            Modelled::Unused => panic!("the ring has no such word"),
        }
    }

    fn store(&self, value: u64, order: Ordering) {
        match self {
            Modelled::Used(word) => word.store(value, order),
            Modelled::Unused => panic!("the ring has no such word"),
        }
    }

    fn fence(order: Ordering) {
        fence(order);
    }
}

fn used() -> Modelled {
    Modelled::Used(AtomicU64::new(0))
}

fn region() -> Arc<Vec<Modelled>> {
    let word = |i| match i {
        0 | 1 | 2 | 8 | 16 | HEADER_WORDS.. => used(),
        _ => Modelled::Unused,
    };
    Arc::new((0..HEADER_WORDS + 4).map(word).collect())
}

fn record(i: u64) -> [u8; 8] {
    (0x0101_0101_0101_0101 * (i + 1)).to_le_bytes()
}

fn number(bytes: &[u8]) -> u64 {
    (0..RECORDS).find(|i| record(*i) == bytes).expect("a torn record")
}

fn explore(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.check(model);
}

fn broadcast() {
    let words = region();
    let mut writer = BroadcastWriter::new(&words[..]).unwrap();
    let other = words.clone();
    let thread = loom::thread::spawn(move || {
        let mut reader = BroadcastReader::new(&other[..]).unwrap();
        let (mut next, mut out) = (0, [0; 8]);
        for _ in 0..CALLS {
            match reader.read(&mut out) {
                Ok(Some(8)) => {
                    let i = number(&out);
                    assert!(i >= next, "an old record");
                    next = i + 1;
                }
                Ok(None) => {}
                Err(ReadError::Overrun) => reader.skip_to_head(),
                wrong => panic!("{wrong:?} of a correct writer"),
            }
        }
    });
    (0..RECORDS).for_each(|i| writer.write(&record(i)).unwrap());
    thread.join().unwrap();
}

fn stream() {
    let (words, position) = (region(), Arc::new(used()));
    let mut writer = StreamWriter::new(&words[..], &*position).unwrap();
    let (other, own) = (words.clone(), position.clone());
    let thread = loom::thread::spawn(move || {
        let mut reader = StreamReader::new(&other[..], &*own).unwrap();
        // A longer buffer than any record: the reader's other way, whose accesses are in the same order.
        let (mut next, mut out) = (0, [0; 9]);
        for _ in 0..CALLS {
            match reader.read(&mut out) {
                Ok(Some(8)) => {
                    assert_eq!(number(&out[..8]), next, "lost or twice");
                    next += 1;
                }
                Ok(None) => {}
                wrong => panic!("{wrong:?} of a correct writer"),
            }
        }
    });
    let mut i = 0;
    for _ in 0..RECORDS {
        match writer.write(&record(i)) {
            Ok(()) if i + 1 == RECORDS => break,
            Ok(()) => i += 1,
            Err(WriteError::Full) => loom::thread::yield_now(),
            wrong => panic!("{wrong:?} of a correct reader"),
        }
    }
    thread.join().unwrap();
}

/// A successor takes the ring over while a reader is at it: nothing torn, and the change is told at most once.
#[cfg_attr(
    feature = "seeded-bugs",
    allow(dead_code, reason = "finds none of the faults that the others do not")
)]
fn take_over() {
    let words = region();
    BroadcastWriter::new(&words[..]).unwrap().write(&record(0)).unwrap();
    let other = words.clone();
    let thread = loom::thread::spawn(move || {
        let mut reader = BroadcastReader::new(&other[..]).unwrap();
        let (mut next, mut epochs, mut out) = (0, 0, [0; 8]);
        for _ in 0..CALLS {
            match reader.read(&mut out) {
                Ok(Some(8)) => {
                    assert_eq!(number(&out), next);
                    next += 1;
                }
                Ok(None) => {}
                Err(ReadError::NewEpoch) => epochs += 1,
                wrong => panic!("{wrong:?} of correct writers"),
            }
        }
        assert!(epochs <= 1);
    });
    BroadcastWriter::new(&words[..]).unwrap().write(&record(1)).unwrap();
    thread.join().unwrap();
}

#[test]
#[cfg(not(feature = "seeded-bugs"))]
fn no_order_of_accesses_breaks_a_ring() {
    for (name, model) in [("broadcast", broadcast as fn()), ("stream", stream), ("take-over", take_over)] {
        let start = std::time::Instant::now();
        explore(model);
        println!("{name}: exhausted in {:?}", start.elapsed());
    }
}

/// Positive controls: faults of order alone, which no interleaving of whole steps shows.
#[test]
#[cfg(feature = "seeded-bugs")]
fn every_seeded_fault_of_order_is_found() {
    use ipc::seeded::{self, Bug};
    let cases: [(Bug, fn()); 5] = [
        (Bug::HeadRelaxed, broadcast),
        (Bug::NoFenceAfterCopy, broadcast),
        (Bug::NoCheckAfterCopy, broadcast),
        (Bug::NoReserve, broadcast),
        (Bug::HeadBeforeData, stream),
    ];
    for (bug, model) in cases {
        seeded::choose(Some(bug));
        let found = std::panic::catch_unwind(|| explore(model)).is_err();
        println!("{bug:?}: {}", if found { "found" } else { "NOT FOUND" });
        assert!(found, "{bug:?} was not found");
    }
}
