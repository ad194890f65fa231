//! Snapshots that no correct kernel wrote: refused with a line, or begun with; nothing else.

use super::machine::Crash;
use super::names::names;
use super::{fifos, files, pipes, signals, terminal, vforks};
use abi::snapshot::records;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;

/// A few snapshots of each program, with the case that they are of.
fn snapshots() -> &'static Vec<(usize, Vec<u8>)> {
    static ALL: OnceLock<Vec<(usize, Vec<u8>)>> = OnceLock::new();
    ALL.get_or_init(|| {
        let cases = cases();
        let of = |i: usize| [2, 4, 5, 7, 9].map(|s| (i, cases[i].run(Some(s), None, 20_000).1));
        (0..cases.len()).flat_map(of).filter(|(_, bytes)| !bytes.is_empty()).collect()
    })
}

fn cases() -> [super::Case; 7] {
    [pipes(), files(), signals(), vforks(), terminal(), fifos(), names()]
}

/// Begins and runs a while. What it says if it refuses.
fn begin(case: usize, bytes: &[u8]) -> Option<String> {
    let ran = catch_unwind(AssertUnwindSafe(|| cases()[case].run(None, Some(bytes), 300)));
    let Crash(text) = match ran.err()?.downcast::<Crash>() {
        Ok(crash) => *crash,
        // No crash with a line, but a panic of the code's own.
        Err(panic) => resume_unwind(panic),
    };
    assert!(text.starts_with("snapshot: record ") || text.starts_with("log: "), "{text}");
    Some(text)
}

/// Crashes are no news here.
fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !info.payload().is::<Crash>() {
                others(info);
            }
        }));
    });
}

#[test]
fn what_is_cut_off_or_out_of_order_is_refused() {
    quiet();
    for (case, bytes) in snapshots().iter().step_by(3) {
        let all: Vec<&[u8]> = records(bytes).map(Result::unwrap).collect();
        let joined = |list: &[&[u8]]| -> Vec<u8> {
            list.iter().flat_map(|r| [&(r.len() as u32).to_le_bytes()[..], r].concat()).collect()
        };
        assert_eq!(begin(*case, &joined(&all)), None);
        for i in (0..all.len()).step_by(all.len() / 12 + 1) {
            assert!(begin(*case, &joined(&all[..i])).is_some(), "ends before record {i}");
            let without = [&all[..i], &all[i + 1..]].concat();
            assert!(begin(*case, &joined(&without)).is_some(), "without record {i}");
        }
        assert!(begin(*case, &bytes[..bytes.len() - 1]).is_some());
        assert!(begin(*case, &[&bytes[..], &[1, 0, 0, 0, 0]].concat()).is_some());
    }
}

proptest! {
    // PROPTEST_CASES can ask for more.
    #![proptest_config(ProptestConfig::with_cases(ProptestConfig::default().cases.max(1500)))]

    /// Whatever bytes are changed, records exchanged or written twice.
    #[test]
    fn damage_is_refused_or_harmless(
        which in any::<prop::sample::Index>(),
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..4),
        moved in proptest::option::of((any::<prop::sample::Index>(), any::<prop::sample::Index>())),
    ) {
        quiet();
        let (case, bytes) = which.get(snapshots());
        let mut all: Vec<Vec<u8>> = records(bytes).map(|r| r.unwrap().to_vec()).collect();
        for (record, byte, value) in flips {
            // Short records hold the numbers; pages are long and hold anything.
            let short: Vec<usize> = (0..all.len()).filter(|i| (1..400).contains(&all[*i].len())).collect();
            let record = &mut all[*record.get(&short)];
            let at = byte.index(record.len());
            record[at] = value;
        }
        if let Some((from, to)) = moved {
            let record = from.get(&all).clone();
            all.insert(to.index(all.len()), record);
        }
        let bytes: Vec<u8> = all.iter().flat_map(|r| [&(r.len() as u32).to_le_bytes()[..], r].concat()).collect();
        begin(*case, &bytes);
    }
}
