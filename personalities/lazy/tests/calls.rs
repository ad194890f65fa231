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
const ESRCH: i64 = -3;
const ECHILD: i64 = -10;
const ENOMEM: i64 = -12;
const EFAULT: i64 = -14;
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

/// Nothing is mapped here.
const NOWHERE: u64 = 0x3000_0000;

#[test]
fn wait4_takes_flags_for_clones_and_the_child_though_its_status_cannot_be_written() {
    const CLONE: u64 = 0x8000_0000;
    const ALL: u64 = 0x4000_0000;
    const NO_THREAD: u64 = 0x2000_0000;
    let wait = |pid: u64, status, options| call(nr::wait4, &[pid, status, options, 0]);
    check(
        vec![Step::Fork(17, 1), Step::Fork(17, 1)],
        vec![
            (wait(2, 0, CLONE), ECHILD),
            (wait(2, 0, CLONE | NO_THREAD), ECHILD),
            (wait(2, 0, 0x1000_0000), EINVAL),
            (wait(2, NOWHERE, CLONE | ALL), EFAULT),
            (wait(2, 0, 1), ECHILD),
            (call(nr::wait4, &[3, NOWHERE, NO_THREAD, AREA]), EFAULT),
            (wait(3, 0, 1), ECHILD),
            (call(nr::setpgid, &[-1i64 as u64, 0]), EINVAL),
            (call(nr::setpgid, &[-1i64 as u64, 5]), ESRCH),
        ],
    );
}

#[test]
fn a_new_value_is_set_though_the_old_one_cannot_be_written() {
    let at = |n: u64| AREA + 0x100 * n;
    let run = check(
        vec![words(at(1), &[1, 0, 0, 0]), words(at(2), &[1 << 9]), words(at(3), &[AREA, 0, 0x4000])],
        vec![
            (call(nr::rt_sigaction, &[10, at(1), NOWHERE, 8]), EFAULT),
            (call(nr::rt_sigprocmask, &[0, at(2), NOWHERE, 8]), EFAULT),
            (call(nr::sigaltstack, &[at(3), NOWHERE]), EFAULT),
            (words(at(4), &[20, 30]), 0),
            (call(nr::prlimit64, &[0, 7, at(4), NOWHERE]), EFAULT),
            (words(at(5), &[0, 0, 5, 0]), 0),
            (call(nr::setitimer, &[0, at(5), NOWHERE]), EFAULT),
        ],
    );
    let (p, t) = (&run.kernel.processes[&1], &run.kernel.threads[&1]);
    assert_eq!(p.actions[10].handler, 1);
    assert_eq!(t.mask, 1 << 9);
    assert_eq!((t.alt.base, t.alt.size), (AREA, 0x4000));
    assert_eq!(p.limits[&7], (20, 30));
    assert!(p.timer.is_some());
}

#[test]
fn ranges_of_record_locks_are_looked_at() {
    const MOST: u64 = i64::MAX as u64;
    const BELOW: u64 = -1i64 as u64;
    // F_GETLK, F_SETLK; the type and the origin stand in the first word.
    let (ask, set) = (5, 6);
    let lock = |kind: u64, whence: u64, start, length| words(AREA, &[kind | whence << 16, start, length, 0]);
    let on = |fd, command| call(nr::fcntl, &[fd, command, AREA]);
    check(
        files(),
        vec![
            (lock(2, 0, 0, 0), 0),
            (on(4, ask), EINVAL),
            (on(4, set), 0),
            (lock(0, 0, BELOW, 0), 0),
            (on(4, ask), EINVAL),
            (on(4, set), EINVAL),
            (lock(0, 2, -10i64 as u64, 0), 0),
            (on(3, set), 0),
            (on(4, set), EINVAL),
            (lock(0, 0, 5, -6i64 as u64), 0),
            (on(4, set), EINVAL),
            (lock(0, 0, 5, -5i64 as u64), 0),
            (on(4, set), 0),
            (lock(0, 2, MOST - 9, 0), 0),
            (on(3, set), EOVERFLOW),
            (on(4, set), 0),
            (lock(0, 0, MOST, 2), 0),
            (on(4, set), EOVERFLOW),
            (lock(9, 0, MOST, 1), 0),
            (on(4, set), EINVAL),
            (lock(1, 0, 0, 0), 0),
            (on(3, set), EBADF),
            (on(3, ask), 0),
        ],
    );
}

#[test]
fn orders_of_checks_are_those_of_linux() {
    let protect = |a: &[u64]| call(nr::mprotect, a);
    let name = AREA + 0x1000;
    check(
        files(),
        vec![
            (protect(&[AREA, 0, 0x1000]), 0),
            (protect(&[AREA, u64::MAX, 0x1000]), ENOMEM),
            (protect(&[AREA, 4096, 0x1000]), EINVAL),
            (call(nr::mremap, &[NOWHERE, 0, 4096, 1]), EFAULT),
            (call(nr::mremap, &[NOWHERE, 0, 0, 1]), EINVAL),
            (call(nr::mremap, &[AREA, 0, 4096, 1]), EINVAL),
            (call(nr::mremap, &[AREA, 0, 4096, 3, AREA + 0x10000]), EINVAL),
            (call(nr::mremap, &[AREA + 0x10000, 0, 4096, 1]), EFAULT),
            (call(nr::mremap, &[AREA + 0x11000, 0, 4096, 3, AREA + 0x11000]), EFAULT),
            (call(nr::renameat, &[99, NOWHERE, HERE, NOWHERE]), EFAULT),
            (text(AREA, "a"), 0),
            (call(nr::renameat, &[99, AREA, HERE, NOWHERE]), EBADF),
            (call(nr::renameat, &[HERE, name, HERE, NOWHERE]), EFAULT),
            (call(nr::openat, &[HERE, NOWHERE, 0o40100, 0]), EINVAL),
            (call(nr::openat, &[HERE, NOWHERE, 0o40000, 0]), EFAULT),
        ],
    );
}

/// It took as long as a walk over all addresses takes.
#[test]
fn a_range_may_end_anywhere() {
    check(
        files(),
        vec![(text(AREA, "a"), 0), (call(nr::mprotect, &[AREA, 1 << 63, 3]), ENOMEM), (text(AREA, "b"), 0)],
    );
}

#[test]
fn sendfile_of_no_bytes_asks_for_a_position_only() {
    let send = |to: u64, from: u64, at: u64| call(nr::sendfile, &[to, from, at, 0]);
    check(
        files(),
        vec![
            (call(nr::pipe2, &[AREA, 0o4000]), 0),
            (send(4, 3, 0), 0),
            (send(4, 6, 0), 0),
            (send(4, 7, 0), 0),
            (send(4, 8, 0), EINVAL),
            (send(5, 3, 0), EINVAL),
            (send(9, 3, 0), 0),
            (send(9, 6, 0), EINVAL),
            (call(nr::sendfile, &[4, 6, 0, 1]), EINVAL),
            (call(nr::mmap, &[NOWHERE, 4096, 1, 0x32, u64::MAX, 0]), NOWHERE as i64),
            (send(4, 3, NOWHERE), EFAULT),
        ],
    );
}
