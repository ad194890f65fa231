//! Each kernel alone against a real Linux: random sequences of calls, and calls with all combinations of chosen arguments, give the same answers (R33).

use std::time::Duration;
use system_tests::LIMIT;
use system_tests::voices::{Difference, Manner, differences, said_by_all};
use xtask::kernels::KERNELS;
use xtask::linux;

/// Each in a process and a directory of its own.
const APART: Manner = Manner { calls: 30, together: 1 };
/// One behind the other, with what those before left.
const TOGETHER: Manner = Manner { calls: 30, together: 32 };
/// At most so many differences are looked at closer.
const TOLD: usize = 20;
/// `combinations` takes half a minute on a kernel that has the host to itself.
const COMBINATIONS_LIMIT: Duration = LIMIT.saturating_mul(5);
/// It prints more lines than this.
const COMBINATIONS_LINES: usize = 8_000;

fn told(found: &[Difference]) -> String {
    found.iter().take(TOLD).map(Difference::told).collect()
}

#[test]
fn each_kernel_answers_as_linux_does() {
    for (seeds, manner) in [(1..2_001, APART), (2_001..10_001, TOGETHER)] {
        let found = differences(&KERNELS, seeds, manner, false).unwrap_or_else(|e| panic!("{e:#}"));
        assert!(found.is_empty(), "{} differences\n{}", found.len(), told(&found));
    }
}

/// The lines of `own` that are not Linux', with both.
fn other_lines(theirs: &str, own: &str) -> Vec<String> {
    let (theirs, own): (Vec<&str>, Vec<&str>) = (theirs.lines().collect(), own.lines().collect());
    let line = |of: &[&str], at: usize| of.get(at).map_or("nothing", |line| *line).to_owned();
    (0..theirs.len().max(own.len()))
        .filter(|at| theirs.get(*at) != own.get(*at))
        .map(|at| format!("  linux: {}\n  own:   {}\n", line(&theirs, at), line(&own, at)))
        .collect()
}

#[test]
fn each_kernel_answers_combinations_as_linux_does() {
    let voices: Vec<&str> = KERNELS.iter().copied().chain([linux::NAME]).collect();
    let mut said =
        said_by_all(&voices, "combinations", COMBINATIONS_LIMIT).unwrap_or_else(|e| panic!("{e:#}"));
    let theirs = said.remove(linux::NAME).unwrap_or_default();
    assert!(theirs.lines().count() > COMBINATIONS_LINES, "{} lines of Linux", theirs.lines().count());
    let mut found = String::new();
    for (kernel, own) in said {
        let lines = other_lines(&theirs, &own);
        if !lines.is_empty() {
            let first: String = lines.iter().take(TOLD).map(String::as_str).collect();
            found += &format!("{kernel}: {} lines differ\n{first}", lines.len());
        }
    }
    assert!(found.is_empty(), "{found}");
}

/// SEQUENCES=10000 (from FIRST=1 on), each on Linux and on all kernels; KERNELS="classic lazy": on these; APART=1: each in its own process. What
/// boots of the same images showed before is not shown again.
#[test]
#[ignore = "long; make campaign"]
fn many_sequences() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (first, count) = (number("FIRST", 1), number("SEQUENCES", 10_000));
    let manner = if number("APART", 0) == 0 { TOGETHER } else { APART };
    let asked = std::env::var("KERNELS").unwrap_or_else(|_| KERNELS.join(" "));
    let kernels: Vec<&str> = asked.split_whitespace().collect();
    let found = differences(&kernels, first..first + count, manner, true).unwrap_or_else(|e| panic!("{e:#}"));
    for kernel in kernels {
        let own: Vec<u64> = found.iter().filter(|d| d.kernel == kernel).map(|d| d.seed).collect();
        println!("{kernel}: {} of {count} sequences {manner:?} differ from Linux': {own:?}", own.len());
    }
    print!("{}", told(&found));
    assert!(found.is_empty());
}
