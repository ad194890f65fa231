//! Random arguments at every call: no panic, and memory bounded.

use crate::fs::testing::*;
use crate::fs::*;
use crate::fs::{linux, syscalls};
use proptest::prelude::*;

/// A number that programs (and those who attack) pass: descriptors, pointers, flags, extremes.
fn argument() -> impl Strategy<Value = u64> {
    prop_oneof![
        4 => 0..12u64,
        3 => (0..8u64).prop_map(|i| Memory::BASE + i * 0x2000),
        2 => (0..0x40000u64).prop_map(|i| Memory::BASE + i),
        1 => (Memory::BASE + 0x3fff0)..(Memory::BASE + 0x40010),
        2 => Just(linux::AT_FDCWD as i64 as u64),
        2 => (0..64u32).prop_map(|bit| 1 << bit),
        2 => any::<u32>().prop_map(u64::from),
        1 => any::<u64>(),
        1 => prop_oneof![Just(u64::MAX), Just(i64::MAX as u64), Just(1 << 63), Just(1 << 40), Just((1 << 40) - 1)],
        1 => 0x5401..0x5460u64,
    ]
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "tmp", "etc", "bin", "sh", "proc", "dev", "self", "fd", "0", "3", "tty", "null", "a", "b", "..", ".",
        "", "passwd", "1", "cwd", "zero", "maps",
    ]);
    (any::<bool>(), prop::collection::vec(part, 0..5))
        .prop_map(|(root, parts)| format!("{}{}", if root { "/" } else { "" }, parts.join("/")).into_bytes())
}

fn call() -> impl Strategy<Value = (u64, [u64; 6])> {
    let number = prop::sample::select(syscalls::numbers().collect::<Vec<_>>());
    (number, prop::array::uniform6(argument()))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn nothing_panics(
        paths in prop::collection::vec(path(), 4),
        noise in prop::collection::vec(any::<u8>(), 64),
        calls in prop::collection::vec(call(), 1..120),
    ) {
        let mut w = World::new();
        let mut numbering = Vec::new();
        w.memory.0.chunks_exact_mut(64).skip(1024).for_each(|c| c.copy_from_slice(&noise));
        for (i, path) in paths.iter().enumerate() {
            w.text(i as u64, path);
        }
        for (number, args) in calls {
            let outcome = w.outcome(number, &args);
            match outcome {
                Outcome::Done(n) => prop_assert!(n >= -4095, "{number} {args:x?}: {n}"),
                // The core would wait; here the call is given up.
                _ => {
                    w.fs.interrupt(w.p.pid, &w.p.progress);
                    w.p.progress = Progress::default();
                }
            }
            let (effects, signals, wakeups) = w.drain();
            prop_assert!(effects.len() <= 2 && signals.len() <= 2 && wakeups.len() <= 512);
            prop_assert!(effects.iter().all(|(_, b)| b.len() <= abi::turn::TTY_SLICE));
        }
        let mut e = abi::digest::Encoder::new("state");
        w.fs.digest_fds(&w.p.fds, &mut numbering, &mut e);
        w.fs.digest_rest(&numbering, &mut e);
        prop_assert!(w.fs.tree.pages <= abi::turn::FILE_PAGES);
        w.fs.close_all(&mut w.p.fds);
        prop_assert!(w.fs.pipes.is_empty());
        prop_assert!(w.fs.files.room(abi::turn::OPEN_FILES_MAX).is_ok());
    }
}
