//! Scripts of calls, each with the result that it must have.

use super::run::{BOOT_US, HERE, Run, call, encoded, text};
use super::{Step, elf, image};
use abi::linux::nr;
use abi::log::{Entry, Sync};

/// Memory of the scripts.
pub const AREA: u64 = 0x2000_0000;
/// Nothing is mapped here.
pub const NOWHERE: u64 = 0x3000_0000;

pub const EPERM: i64 = -1;
pub const ENOENT: i64 = -2;
pub const ESRCH: i64 = -3;
pub const ENXIO: i64 = -6;
pub const EBADF: i64 = -9;
pub const ECHILD: i64 = -10;
pub const EAGAIN: i64 = -11;
pub const EACCES: i64 = -13;
pub const ENOMEM: i64 = -12;
pub const EFAULT: i64 = -14;
pub const EBUSY: i64 = -16;
pub const EEXIST: i64 = -17;
pub const EXDEV: i64 = -18;
pub const ENOTDIR: i64 = -20;
pub const EISDIR: i64 = -21;
pub const EINVAL: i64 = -22;
pub const EFBIG: i64 = -27;
pub const EROFS: i64 = -30;
pub const ERANGE: i64 = -34;
pub const ENAMETOOLONG: i64 = -36;
pub const ELOOP: i64 = -40;
pub const ENOSYS: i64 = -38;
pub const EOVERFLOW: i64 = -75;

fn root_image() -> &'static [u8] {
    image(&[
        ("bin", 0o40755, vec![]),
        ("bin/init", 0o100755, elf()),
        ("etc", 0o40755, vec![]),
        ("etc/a", 0o100644, b"0123456789".to_vec()),
    ])
}

/// Sync points without anything.
fn log() -> Vec<Vec<u8>> {
    let entry = |s| encoded!(&Entry::Sync(Sync { s, time_us: BOOT_US + s * 1000, events: &[] }));
    (1..100).map(entry).collect()
}

/// Runs these scripts from Boot on.
pub fn booted(scripts: Vec<Vec<Step>>) -> Run {
    Run::from_boot(root_image(), scripts, log())
}

/// Makes the calls of `script`, each with the result that it must have.
pub fn check(setup: Vec<Step>, script: Vec<(Step, i64)>) -> Run {
    check_all(setup, script, vec![])
}

/// The same; what it forks makes the steps `child`.
pub fn check_all(setup: Vec<Step>, script: Vec<(Step, i64)>, child: Vec<Step>) -> Run {
    let mut steps = vec![call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0])];
    let is_call = |s: &Step| !matches!(s, Step::Store(..) | Step::Room(_));
    let setup_calls = 1 + setup.iter().filter(|s| is_call(s)).count();
    steps.extend(setup);
    steps.extend(script.iter().map(|(s, _)| s.clone()));
    // Waits for ever: who ends is gone.
    steps.push(call(nr::ppoll, &[0, 0, 0, 0, 8]));
    let run = booted(vec![steps, child]);
    let outside = run.outside.borrow();
    let results: Vec<i64> =
        outside.results.iter().filter(|r| r.0 == 0).map(|r| r.1).skip(setup_calls).collect();
    let wanted: Vec<_> = script.iter().filter(|(s, _)| is_call(s)).collect();
    for (n, ((step, expected), result)) in wanted.iter().zip(&results).enumerate() {
        assert_eq!(result, expected, "call {n}, {step:x?}");
    }
    assert_eq!(results.len(), wanted.len(), "calls that came back");
    drop(outside);
    run
}

/// The bytes that process 1 has at `at`.
pub fn bytes_at(run: Run, at: u64, count: usize) -> Vec<u8> {
    let space = run.kernel.processes[&1].space.expect("it lives");
    let mut memory = run.kernel.memory;
    let mut word = |n: u64| memory.read_u32(space, at + 4 * n).expect("it is mapped").to_le_bytes();
    (0..count).map(|n| word(n as u64 / 4)[n % 4]).collect()
}

/// Files 3 (the image's, ten bytes, read-only), 4 (empty, read and write), 5 (append), 6 (/etc), 7 (a text of /proc).
pub fn files() -> Vec<Step> {
    let path = |n: u64| AREA + 0x1000 + 64 * n;
    let mut out = Vec::new();
    for (n, name) in ["/etc/a", "/made", "/etc", "/proc/version", "/more"].iter().enumerate() {
        out.push(text(path(n as u64), name));
    }
    out.extend([
        call(nr::openat, &[HERE, path(0), 0, 0]),
        call(nr::openat, &[HERE, path(1), 0o102, 0o600]),
        call(nr::openat, &[HERE, path(4), 0o2101, 0o600]),
        call(nr::openat, &[HERE, path(2), 0o40000, 0]),
        call(nr::openat, &[HERE, path(3), 0, 0]),
    ]);
    out
}
