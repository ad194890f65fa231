//! Each kernel alone under what no sane program does: fuzzed calls, hostile programs, more processes, memory and signals than there are. It is there
//! afterwards, and the shell answers.

use system_tests::LIMIT;
use system_tests::voices::said;
use xtask::kernels::KERNELS;

/// Runs fuzzcalls with `jobs`, one after the other, in a shell that must answer afterwards.
fn survives(kernel: &str, jobs: &[String]) -> String {
    let script: String = jobs.iter().map(|job| format!("fuzzcalls {job} || exit 1; ")).collect();
    let text = said(kernel, &format!("{script}echo alive $((6 * 7)) $(ls /etc/passwd)"), 5 * LIMIT)
        .unwrap_or_else(|e| panic!("{kernel}: {e:#}"));
    assert!(text.ends_with("alive 42 /etc/passwd\n"), "{kernel}: {text}");
    assert_eq!(text.matches("fuzzcalls: ").count(), jobs.len(), "{kernel}: {text}");
    text
}

#[test]
fn each_kernel_survives_a_sample() {
    let jobs = ["calls 1 4000", "elfs 1 100", "bomb 5", "hog", "signals 300"].map(str::to_owned);
    for kernel in KERNELS {
        survives(kernel, &jobs);
    }
}

/// A million calls and ten thousand programs, CALLS= and ELFS= others, in boots that end within the limit of a session; then longer storms. KERNEL=: only that one.
#[test]
#[ignore = "long; make campaign"]
fn each_kernel_survives_a_million_calls() {
    let number =
        |name: &str, default: u64| std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default);
    let (calls, elfs) = (number("CALLS", 1_000_000), number("ELFS", 10_000));
    let only = std::env::var("KERNEL").ok();
    for kernel in KERNELS.into_iter().filter(|k| only.as_deref().is_none_or(|o| o == *k)) {
        for seed in 0..calls.div_ceil(CALLS_A_BOOT) {
            print!("{kernel}: {}", survives(kernel, &[format!("calls {} {CALLS_A_BOOT}", seed + 2)]));
        }
        for seed in 0..elfs.div_ceil(ELFS_A_BOOT) {
            print!("{kernel}: {}", survives(kernel, &[format!("elfs {} {ELFS_A_BOOT}", seed + 2)]));
        }
        print!("{kernel}: {}", survives(kernel, &["bomb 50", "hog", "signals 5000"].map(str::to_owned)));
    }
}

const CALLS_A_BOOT: u64 = 20_000;
const ELFS_A_BOOT: u64 = 500;
