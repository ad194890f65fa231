//! Rings between correct parties: what is written is read, in order, round the end, across threads.

use abi::ring;
use ipc::{BroadcastReader, BroadcastWriter, ReadError, StreamReader, StreamWriter, WriteError};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

fn region(bytes: usize) -> Vec<AtomicU64> {
    (0..bytes / 8).map(|_| AtomicU64::new(0)).collect()
}

/// A record that shows where it belongs and whether it is whole.
fn record(i: u64, len: usize) -> Vec<u8> {
    let mut r: Vec<u8> = (0..len.max(8)).map(|k| (i as u8).wrapping_mul(31).wrapping_add(k as u8)).collect();
    r[..8].copy_from_slice(&i.to_le_bytes());
    r
}

fn check(r: &[u8]) -> u64 {
    let i = u64::from_le_bytes(r[..8].try_into().unwrap());
    assert_eq!(r, record(i, r.len()), "a torn record");
    i
}

#[test]
fn a_ring_without_a_writer_is_empty_and_a_small_region_is_none() {
    let words = region(8192);
    let mut buf = [0; 64];
    assert_eq!(BroadcastReader::new(&words).unwrap().read(&mut buf), Ok(None));
    assert!(BroadcastReader::new(&words[..512]).is_none());
    assert!(BroadcastWriter::<AtomicU64>::new(&[]).is_none());
}

#[test]
fn a_lapped_reader_is_told_and_goes_on_at_the_head() {
    let words = region(8192);
    let mut w = BroadcastWriter::new(&words).unwrap();
    let mut r = BroadcastReader::new(&words).unwrap();
    let mut buf = [0; 64];
    for i in 0..200 {
        w.write(&record(i, 40)).unwrap();
    }
    assert_eq!(r.read(&mut buf), Err(ReadError::Overrun));
    assert_eq!(r.read(&mut buf), Err(ReadError::Overrun));
    r.skip_to_head();
    assert_eq!(r.read(&mut buf), Ok(None));
    w.write(&record(7, 40)).unwrap();
    assert_eq!(r.read(&mut buf), Ok(Some(40)));
    assert_eq!(check(&buf[..40]), 7);
}

#[test]
fn lengths_that_cannot_be_are_refused() {
    let words = region(8192);
    let mut w = BroadcastWriter::new(&words).unwrap();
    assert_eq!(w.write(&[]), Err(WriteError::BadLength));
    assert_eq!(w.write(&[0; 4089]), Err(WriteError::BadLength));
    assert_eq!(w.write(&[0; 4088]), Ok(()));
    let words = region(1 << 20);
    let mut w = BroadcastWriter::new(&words).unwrap();
    assert_eq!(w.write(&vec![0; ring::RECORD_MAX + 1]), Err(WriteError::BadLength));
    assert_eq!(w.write(&vec![0; ring::RECORD_MAX]), Ok(()));
}

#[test]
fn a_record_longer_than_the_buffer_is_passed_over() {
    let words = region(8192);
    let mut w = BroadcastWriter::new(&words).unwrap();
    let mut r = BroadcastReader::new(&words).unwrap();
    w.write(&record(1, 100)).unwrap();
    w.write(&record(2, 20)).unwrap();
    let mut buf = [0; 64];
    assert_eq!(r.read(&mut buf), Err(ReadError::TooLong(100)));
    assert_eq!(r.read(&mut buf), Ok(Some(20)));
}

#[test]
fn a_new_writer_goes_on_in_a_new_epoch() {
    let words = region(8192);
    let mut buf = [0; 64];
    let mut r = BroadcastReader::new(&words).unwrap();
    BroadcastWriter::new(&words).unwrap().write(&record(1, 20)).unwrap();
    assert_eq!(r.read(&mut buf), Ok(Some(20)));
    BroadcastWriter::new(&words).unwrap().write(&record(2, 20)).unwrap();
    assert_eq!(r.read(&mut buf), Err(ReadError::NewEpoch));
    assert_eq!(r.read(&mut buf), Ok(Some(20)));
    assert_eq!(check(&buf[..20]), 2);
}

#[test]
fn a_writer_that_finds_no_ring_begins_again_and_its_reader_too() {
    let words = region(8192);
    let mut buf = [0; 64];
    let mut r = BroadcastReader::new(&words).unwrap();
    BroadcastWriter::new(&words).unwrap().write(&record(1, 20)).unwrap();
    assert_eq!(r.read(&mut buf), Ok(Some(20)));
    // The capacity is none, the head is before what was to be read.
    words[2].store(77, Ordering::Relaxed);
    words[ring::OFFSET_HEAD / 8].store(u64::MAX, Ordering::Relaxed);
    assert_eq!(r.read(&mut buf), Err(ReadError::Fault));
    let mut w = BroadcastWriter::new(&words).unwrap();
    assert_eq!((w.position(), r.read(&mut buf)), (0, Err(ReadError::NewEpoch)));
    w.write(&record(2, 20)).unwrap();
    assert_eq!(r.read(&mut buf), Ok(Some(20)));
    assert_eq!(check(&buf[..20]), 2);
}

#[test]
fn the_first_writer_keeps_the_epoch_that_the_system_began() {
    let words = region(8192);
    let header = [(0, ring::MAGIC), (1, 1 << 32 | u64::from(ring::VERSION)), (2, 4096)];
    header.into_iter().for_each(|(at, word)| words[at].store(word, Ordering::Relaxed));
    let mut r = BroadcastReader::new(&words).unwrap();
    let mut buf = [0; 64];
    assert_eq!(r.read(&mut buf), Ok(None));
    BroadcastWriter::new(&words).unwrap().write(&record(1, 20)).unwrap();
    assert_eq!(r.read(&mut buf), Ok(Some(20)));
}

#[test]
fn a_stream_is_full_until_its_reader_takes() {
    let (words, position) = (region(8192), AtomicU64::new(0));
    let mut w = StreamWriter::new(&words, &position).unwrap();
    let mut r = StreamReader::new(&words, &position).unwrap();
    let mut buf = [0; 2048];
    w.write(&[1; 2000]).unwrap();
    w.write(&[2; 2000]).unwrap();
    assert_eq!(w.write(&[3; 100]), Err(WriteError::Full));
    assert_eq!(r.peek(&mut buf), Ok(Some(2000)));
    assert_eq!(w.write(&[3; 100]), Err(WriteError::Full));
    r.take();
    assert_eq!(w.write(&[3; 100]), Ok(()));
    position.store(1 << 40, Ordering::Relaxed);
    assert_eq!(w.write(&[3; 100]), Err(WriteError::PeerFault));
}

#[test]
fn a_stream_reader_that_starts_again_loses_nothing() {
    let (words, position) = (region(8192), AtomicU64::new(0));
    let mut w = StreamWriter::new(&words, &position).unwrap();
    let mut buf = [0; 64];
    for i in 0..40 {
        w.write(&record(i, 30)).unwrap();
        let mut r = StreamReader::new(&words, &position).unwrap();
        let n = r.read(&mut buf).unwrap().unwrap();
        assert_eq!(check(&buf[..n]), i);
    }
    assert_eq!(w.unread(), Ok(0));
}

#[test]
fn broadcast_across_threads_gives_whole_records_in_order() {
    let words = region(4096 + 1024);
    let done = AtomicBool::new(false);
    let mut w = BroadcastWriter::new(&words).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut r = BroadcastReader::new(&words).unwrap();
                let (mut buf, mut last, mut got) = ([0; 256], None, 0u64);
                loop {
                    let finished = done.load(Ordering::Acquire);
                    match r.read(&mut buf) {
                        Ok(Some(n)) => {
                            let i = check(&buf[..n]);
                            assert!(last.is_none_or(|l| i > l));
                            (last, got) = (Some(i), got + 1);
                        }
                        Ok(None) if finished => break,
                        Ok(None) => std::hint::spin_loop(),
                        Err(ReadError::Overrun) => r.skip_to_head(),
                        Err(e) => panic!("{e:?}"),
                    }
                }
                got
            });
        }
        for i in 0..if cfg!(miri) { 300 } else { 300_000u64 } {
            w.write(&record(i, 8 + (i % 200) as usize)).unwrap();
        }
        done.store(true, Ordering::Release);
    });
}

#[test]
fn stream_across_threads_loses_nothing() {
    const N: u64 = if cfg!(miri) { 100 } else { 200_000 };
    let (words, position) = (region(4096 + 1024), AtomicU64::new(0));
    let mut w = StreamWriter::new(&words, &position).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut r = StreamReader::new(&words, &position).unwrap();
            let (mut buf, mut next) = ([0; 256], 0);
            while next < N {
                match r.read(&mut buf).unwrap() {
                    Some(n) => {
                        assert_eq!(check(&buf[..n]), next);
                        next += 1;
                    }
                    None => std::thread::yield_now(),
                }
            }
        });
        for i in 0..N {
            while w.write(&record(i, 8 + (i % 200) as usize)) == Err(WriteError::Full) {
                std::thread::yield_now();
            }
        }
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 256 }))]

    /// Any mix of writes and reads: a stream is a bounded queue of byte strings.
    #[test]
    fn a_stream_is_a_queue(steps in prop::collection::vec(prop::option::of(1usize..700), 1..300)) {
        let (words, position) = (region(4096 + 2048), AtomicU64::new(0));
        let mut w = StreamWriter::new(&words, &position).unwrap();
        let mut r = StreamReader::new(&words, &position).unwrap();
        let (mut model, mut bytes, mut buf) = (VecDeque::new(), 0, [0; 700]);
        for (i, step) in steps.into_iter().enumerate() {
            if let Some(len) = step {
                let payload = vec![i as u8; len];
                let size = ring::record_size(len);
                let expect = if bytes + size <= 2048 { Ok(()) } else { Err(WriteError::Full) };
                prop_assert_eq!(w.write(&payload), expect);
                if expect.is_ok() {
                    bytes += size;
                    model.push_back(payload);
                }
            } else {
                let got = r.read(&mut buf).unwrap().map(|n| buf[..n].to_vec());
                let expect: Option<Vec<u8>> = model.pop_front();
                bytes -= expect.as_ref().map_or(0, |p| ring::record_size(p.len()));
                prop_assert_eq!(got, expect);
            }
        }
    }

    /// A broadcast reader sees a suffix of what was written before it was lapped, and never anything else.
    #[test]
    fn a_broadcast_keeps_the_newest(lens in prop::collection::vec(8usize..300, 1..200), pause in 1usize..8) {
        let words = region(4096 + 1024);
        let mut w = BroadcastWriter::new(&words).unwrap();
        let mut r = BroadcastReader::new(&words).unwrap();
        let (mut buf, mut next) = ([0; 300], 0);
        for (i, len) in lens.iter().enumerate() {
            w.write(&record(i as u64, *len)).unwrap();
            if i % pause != 0 {
                continue;
            }
            loop {
                match r.read(&mut buf) {
                    Ok(Some(n)) => {
                        prop_assert_eq!(check(&buf[..n]), next);
                        next += 1;
                    }
                    Ok(None) => break,
                    Err(e) => {
                        prop_assert_eq!(e, ReadError::Overrun);
                        r.skip_to_head();
                        next = i as u64 + 1;
                    }
                }
            }
            prop_assert_eq!(next, i as u64 + 1);
        }
    }
}

/// A predecessor that left a `reserve` far beyond its head must not make its successor's records look overwritten.
#[test]
fn a_successor_is_readable_whatever_reserve_it_finds() {
    let words = region(4096 + 256);
    BroadcastWriter::new(&words).unwrap().write(&[1; 8]).unwrap();
    words[ring::OFFSET_RESERVE / 8].store(16 + 60_000, Ordering::Relaxed);
    let mut w = BroadcastWriter::new(&words).unwrap();
    let mut r = BroadcastReader::starting_at(&words, w.position()).unwrap();
    w.write(&record(1, 40)).unwrap();
    let mut buf = [0; 64];
    assert_eq!(r.read(&mut buf), Ok(Some(40)));
}

#[test]
fn the_longest_record_goes_round_the_end() {
    // Miri takes minutes for one of the longest; what it watches is the same in a shorter one.
    let longest = if cfg!(miri) { 1024 } else { ring::RECORD_MAX };
    let (words, position) = (region(4096 + 2 * longest), AtomicU64::new(0));
    let mut w = StreamWriter::new(&words, &position).unwrap();
    let mut r = StreamReader::new(&words, &position).unwrap();
    let mut buf = vec![0; longest];
    for i in 0..if cfg!(miri) { 4 } else { 40 } {
        w.write(&record(i, 1 + i as usize)).unwrap();
        w.write(&record(i, longest)).unwrap();
        assert_eq!(r.read(&mut buf).map(|n| n.map(|n| check(&buf[..n]))), Ok(Some(i)));
        assert_eq!(r.read(&mut buf), Ok(Some(longest)));
        assert_eq!(check(&buf), i);
    }
}
