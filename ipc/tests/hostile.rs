//! Rings whose peer writes whatever it likes: no panic, no loop, no answer beyond the caller's buffer.

use abi::ring;
use ipc::{BroadcastReader, BroadcastWriter, StreamReader, StreamWriter};
use proptest::prelude::*;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const BYTES: usize = 4096 + 1024;

fn region() -> Vec<AtomicU64> {
    (0..BYTES / 8).map(|_| AtomicU64::new(0)).collect()
}

/// Words that hurt: header fields and the first words of records, with values near the limits.
fn scribble() -> impl Strategy<Value = (usize, u64)> {
    let place = prop_oneof![Just(0usize), Just(1), Just(2), Just(8), Just(16), 512usize..BYTES / 8];
    let value = prop_oneof![
        any::<u64>(),
        0u64..4096,
        Just(u64::MAX),
        Just(1 << 63),
        Just((1 << 63) - 8),
        Just(ring::MAGIC),
        Just(1024),
        (0u64..2048).prop_map(|p| (p / 8 * 8) << 32 | p),
    ];
    (place, value)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 3 } else { 2000 }))]

    #[test]
    fn any_words_are_survived(scribbles in prop::collection::vec((scribble(), 0u8..6), 1..80)) {
        let (words, position) = (region(), AtomicU64::new(0));
        let mut w = BroadcastWriter::new(&words).unwrap();
        let mut r = BroadcastReader::new(&words).unwrap();
        let mut s = StreamReader::new(&words, &position).unwrap();
        let mut buf = [0; 100];
        for ((place, value), then) in scribbles {
            match then {
                0 => drop(w.write(&value.to_le_bytes())),
                1 => words[place].store(value, Ordering::Relaxed),
                2 => r.skip_to_head(),
                3 => w = BroadcastWriter::new(&words).unwrap(),
                4 => position.store(value, Ordering::Relaxed),
                _ => s = StreamReader::new(&words, &position).unwrap(),
            }
            for _ in 0..20 {
                if let Ok(Some(n)) = r.read(&mut buf) {
                    prop_assert!(n > 0 && n <= buf.len());
                }
                if let Ok(Some(n)) = s.read(&mut buf) {
                    prop_assert!(n > 0 && n <= buf.len());
                }
            }
        }
    }

    /// A stream's reader publishes nonsense: the writer may refuse, and keeps its own ring readable.
    #[test]
    fn any_position_is_survived(positions in prop::collection::vec((any::<u64>(), 0u64..2048), 1..60)) {
        let (words, position) = (region(), AtomicU64::new(0));
        let mut w = StreamWriter::new(&words, &position).unwrap();
        for (wild, near) in positions {
            for p in [wild, near / 8 * 8] {
                position.store(p, Ordering::Relaxed);
                let _ = (w.write(&[1; 50]), w.unread());
            }
        }
    }
}

#[test]
fn a_writer_that_scribbles_while_we_read_is_survived() {
    let (words, position) = (region(), AtomicU64::new(0));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut x = 88172645463325252u64;
            for i in 0..if cfg!(miri) { 500 } else { 400_000u64 } {
                x ^= x << 13;
                x ^= x >> 7;
                x ^= x << 17;
                let places = [0, 1, 2, 8, 16, 512 + (x as usize >> 8) % 128];
                let place = places[(x % 6) as usize];
                let value = if i % 3 == 0 { x } else { x % 2048 };
                words[place].store(value, Ordering::Relaxed);
                if i % 50 == 0 {
                    let _ = BroadcastWriter::new(&words).unwrap().write(&x.to_le_bytes());
                }
            }
            done.store(true, Ordering::Release);
        });
        let mut r = BroadcastReader::new(&words).unwrap();
        let mut s = StreamReader::new(&words, &position).unwrap();
        let mut buf = [0; 100];
        while !done.load(Ordering::Acquire) {
            if !matches!(r.read(&mut buf), Ok(Some(1..=100))) {
                r.skip_to_head();
            }
            if !matches!(s.peek(&mut buf), Ok(Some(1..=100))) {
                s.skip_to_head();
            }
        }
    });
}
