//! What calls answer, one by one: scripts of calls, and the results that the manual pages and `docs/linux-abi.md` say.

mod program;

use abi::linux::nr;
use abi::log::{Entry, Sync};
use program::run::{BOOT_US, HERE, Run, call, encoded, text, words};
use program::{Step, elf, image};

/// Memory of the scripts.
const AREA: u64 = 0x2000_0000;

const EPERM: i64 = -1;
const EBADF: i64 = -9;
const EXDEV: i64 = -18;
const EISDIR: i64 = -21;
const EINVAL: i64 = -22;
const EFBIG: i64 = -27;
const ENOSYS: i64 = -38;
const EOVERFLOW: i64 = -75;

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

/// Makes the calls of `script`, each with the result that it must have.
fn check(setup: Vec<Step>, script: Vec<(Step, i64)>) -> Run {
    let mut steps = vec![call(nr::mmap, &[AREA, 0x20000, 3, 0x32, u64::MAX, 0])];
    let is_call = |s: &Step| !matches!(s, Step::Store(..));
    let setup_calls = 1 + setup.iter().filter(|s| is_call(s)).count();
    steps.extend(setup);
    steps.extend(script.iter().map(|(s, _)| s.clone()));
    // Waits for ever: who ends is gone.
    steps.push(call(nr::ppoll, &[0, 0, 0, 0, 8]));
    let run = Run::from_boot(root_image(), vec![steps, vec![]], log());
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

/// Files 3 (the image's, ten bytes, read-only), 4 (empty, read and write), 5 (append), 6 (/etc), 7 (a text of /proc).
fn files() -> Vec<Step> {
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

#[test]
fn copy_file_range_copies_and_refuses_as_linux_does() {
    let copy = |a: &[u64]| call(nr::copy_file_range, a);
    let (in_at, out_at) = (AREA + 0x100, AREA + 0x108);
    let run = check(
        files(),
        vec![
            (copy(&[3, 0, 4, 0, 4, 0]), 4),
            (copy(&[3, 0, 4, 0, 100, 0]), 6),
            (copy(&[3, 0, 4, 0, 100, 0]), 0),
            (words(in_at, &[2, 20]), 0),
            (copy(&[3, in_at, 4, out_at, 3, 0]), 3),
            (call(nr::lseek, &[4, 0, 1]), 10),
            (call(nr::lseek, &[4, 0, 2]), 23),
            (copy(&[3, 0, 4, 0, 1, 1]), EINVAL),
            (copy(&[9, 0, 4, 0, 1, 1]), EBADF),
            (copy(&[3, 0, 6, 0, 1, 0]), EISDIR),
            (copy(&[3, 0, 1, 0, 1, 0]), EINVAL),
            (copy(&[3, 0, 5, 0, 1, 0]), EBADF),
            (copy(&[4, 0, 3, 0, 1, 0]), EBADF),
            (copy(&[7, 0, 4, 0, 1, 0]), EXDEV),
            (words(in_at, &[0, 5]), 0),
            (copy(&[4, in_at, 4, out_at, 6, 0]), EINVAL),
            (copy(&[4, in_at, 4, out_at, 5, 0]), 5),
            (words(in_at, &[0, 1 << 40]), 0),
            (copy(&[3, in_at, 4, out_at, 5, 0]), EFBIG),
            (words(in_at, &[u64::MAX, 0]), 0),
            (copy(&[3, in_at, 4, out_at, 5, 0]), EOVERFLOW),
            (copy(&[3, in_at, 4, out_at, 0, 0]), EINVAL),
            (call(nr::pread64, &[4, AREA + 0x200, 30, 0]), 23),
        ],
    );
    let space = run.kernel.processes[&1].space.unwrap();
    let mut memory = run.kernel.memory;
    let mut bytes = [0; 23];
    memory.read(space, AREA + 0x200, &mut bytes).unwrap();
    assert_eq!(bytes[..], [&b"0123401234"[..], &[0; 10], b"234"].concat()[..]);
}

#[test]
fn nobody_becomes_another_user() {
    let id = |number, a: &[u64]| call(number, a);
    let same = u64::from(u32::MAX);
    check(
        vec![],
        vec![
            (id(nr::setresuid, &[same, 0, same]), 0),
            (id(nr::setresgid, &[0, 0, 0]), 0),
            (id(nr::setresuid, &[0, 1, 0]), EPERM),
            (id(nr::setresgid, &[same, same, 5]), EPERM),
            (id(nr::setuid, &[0]), ENOSYS),
            (id(nr::set_robust_list, &[AREA, 20]), EINVAL),
            (id(nr::getresuid, &[AREA, AREA + 4, AREA + 8]), 0),
            (Step::Fork(17, 1), 2),
            (call(nr::wait4, &[2, 0, 0, 0]), 2),
        ],
    );
}

#[test]
fn close_range_closes_or_marks() {
    check(
        files(),
        vec![
            (call(nr::close_range, &[5, 4, 0]), EINVAL),
            (call(nr::close_range, &[3, 4, 4]), 0),
            (call(nr::fcntl, &[4, 1]), 1),
            (call(nr::fcntl, &[5, 1]), 0),
            (call(nr::close_range, &[4, u64::from(u32::MAX), 0]), 0),
            (call(nr::fcntl, &[4, 1]), EBADF),
            (call(nr::fcntl, &[7, 1]), EBADF),
            (call(nr::dup, &[3]), 4),
        ],
    );
}
