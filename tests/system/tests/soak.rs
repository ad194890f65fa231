//! `make soak`: a fault every few seconds for MINUTES, drawn by SEED over kinds, kernels and replicas, in one machine. No byte is wrong, lost or doubled, nobody but
//! the victims is accused, no healthy kernel is told to be late, and memory does not grow.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use system_tests::campaign::{ASH, Campaign, Chance, print};

/// A number of the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .map_or(default, |v| v.parse().unwrap_or_else(|_| panic!("{name}={v}: no number")))
}

/// What programs may still have, as one of them sees it: agreed, so the same on all kernels.
fn agreed_free(c: &mut Campaign) -> String {
    c.s.command("free | awk '/^Mem:/ { print $4 }'").unwrap().trim().to_owned()
}

/// Page frames in use, by slot and design.
fn frames(c: &mut Campaign) -> Vec<(String, u64)> {
    let from = c.s.operator.lines.len();
    c.s.operate("status json").unwrap();
    let of = |k: &str, s: &mut Campaign| {
        let line = s.s.operator_says_since(from, &[&format!(r#""name":"{k}""#)]).unwrap();
        let design = line.split_once(r#""design":""#).and_then(|(_, rest)| rest.split('"').next()).unwrap();
        let counters = s.s.look("counters", k).unwrap();
        let frames = counters.lines().find_map(|l| l.strip_suffix(" frames")).unwrap();
        (design.to_owned(), frames.trim().parse().unwrap())
    };
    ["k1", "k2", "k3", "k4"].map(|k| of(k, c)).into()
}

#[test]
#[ignore = "an hour; make soak"]
fn a_fault_every_few_seconds_changes_no_byte() {
    let (minutes, seed) = (number("MINUTES", 60), number("SEED", 1));
    let (mut c, mut chance) = (Campaign::boot(&ASH), Chance(seed));
    let before = agreed_free(&mut c);
    let (began, mut faults) = (Instant::now(), 0u32);
    let mut used: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while began.elapsed() < Duration::from_secs(minutes * 60) {
        c.any(&mut chance);
        faults += 1;
        for (design, frames) in frames(&mut c) {
            used.entry(design).or_default().push(frames);
        }
        println!("{:>5} s, {faults} faults", began.elapsed().as_secs());
    }
    for (design, frames) in &used {
        let (early, late) = frames.split_at(frames.len() / 2);
        let most = |part: &[u64]| part.iter().max().copied().unwrap_or(0);
        println!(
            "{design}: {} to {} frames; then to {}",
            frames.iter().min().unwrap(),
            most(early),
            most(late)
        );
    }
    println!("{faults} faults in {} s", began.elapsed().as_secs());
    assert_eq!(agreed_free(&mut c), before);
    c.s.state().unwrap();
    let late = std::mem::take(&mut c.late);
    if !late.is_empty() {
        // What came before tells why.
        c.s.operator.lines.iter().for_each(|line| println!("| {line}"));
    }
    print(&c.end());
    // On a host that is busy with other work emulated cores stall, and are late: then this says nothing.
    assert_eq!(late, Vec::<String>::new(), "healthy kernels were told to be late");
}
