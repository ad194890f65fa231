//! What calls look at, in Linux' order, when more than one of their arguments is wrong: tables of arguments and answers.

use super::names::{PATH, Script};
use super::program::check::*;
use super::program::run::{HERE, Run, call, words};
use super::program::{HANDLER, Step};
use abi::linux::nr;
use lazy::process::{Action, Info};

const EOPNOTSUPP: i64 = -95;
const ESPIPE: i64 = -29;
const ENODEV: i64 = -19;
const ENOTTY: i64 = -25;
const MOST: u64 = i64::MAX as u64;
const MINUS: u64 = -1i64 as u64;
/// Descriptors besides those of `files`: a pipe's ends, and what O_PATH, no access and /dev/null give.
const READ_END: u64 = 8;
const WRITE_END: u64 = 9;
const BY_PATH: u64 = 10;
const NO_ACCESS: u64 = 11;
const NULL: u64 = 12;
const PROC: u64 = 13;
const UNKNOWN: u64 = 99;

/// `files`, and those.
fn more() -> Vec<Step> {
    let mut steps = files();
    let (name, null, proc) = (AREA + 0x1000, AREA + 0x1200, AREA + 0x1240);
    steps.extend([
        super::program::run::text(null, "/dev/null"),
        super::program::run::text(proc, "/proc"),
        call(nr::pipe2, &[AREA, 0o4000]),
        call(nr::openat, &[HERE, name, 0o10000000, 0]),
        call(nr::openat, &[HERE, name, 3, 0]),
        call(nr::openat, &[HERE, null, 2, 0]),
        call(nr::openat, &[HERE, proc, 0o40000, 0]),
    ]);
    steps
}

/// One call with several lists of arguments.
fn table(number: u64, rows: &[(&[u64], i64)]) -> Run {
    check(more(), rows.iter().map(|(a, answer)| (call(number, a), *answer)).collect())
}

#[test]
fn only_what_has_a_way_to_storage_is_synchronized() {
    let rows: &[(&[u64], i64)] = &[
        (&[3], 0),
        (&[5], 0),
        (&[6], 0),
        (&[0], EINVAL),
        (&[7], EINVAL),
        (&[READ_END], EINVAL),
        (&[NULL], EINVAL),
        (&[PROC], EINVAL),
        (&[BY_PATH], EBADF),
        (&[UNKNOWN], EBADF),
    ];
    table(nr::fsync, rows);
    table(nr::fdatasync, rows);
}

#[test]
fn fadvise64_looks_at_the_pipe_the_length_and_the_advice() {
    table(
        nr::fadvise64,
        &[
            (&[3, MINUS, 0, 5], 0),
            (&[3, 0, 0, 6], EINVAL),
            (&[6, 0, MINUS, 0], EINVAL),
            (&[0, 0, MOST, 1 << 32], 0),
            (&[NULL, 0, 0, MINUS], EINVAL),
            (&[READ_END, 0, MINUS, 9], ESPIPE),
            (&[WRITE_END, 0, 0, 0], ESPIPE),
            (&[BY_PATH, 0, MINUS, 9], EBADF),
        ],
    );
}

#[test]
fn fallocate_has_all_of_its_checks() {
    table(
        nr::fallocate,
        &[
            (&[BY_PATH, 0x80, MINUS, 0], EBADF),
            (&[4, 0x80, MINUS, 1], EINVAL),
            (&[4, 0x80, 0, 0], EINVAL),
            (&[3, 0x80, 0, 1], EOPNOTSUPP),
            (&[3, 2, 0, MOST], EOPNOTSUPP),
            (&[4, 0x13, 0, MOST], EOPNOTSUPP),
            (&[4, 4, 0, MOST], EOPNOTSUPP),
            (&[3, 9, 0, 1], EINVAL),
            (&[3, 0x21, 0, 1], EINVAL),
            (&[3, 0x50, 0, 1], EINVAL),
            (&[3, 0x41, 0, 1], EBADF),
            (&[6, 0, 0, 1], EBADF),
            (&[NO_ACCESS, 3, 0, 1], EBADF),
            (&[READ_END, 0, 0, 1], EBADF),
            (&[WRITE_END, 0, 0, 1], ESPIPE),
            (&[NULL, 0, 0, MOST], ENODEV),
            (&[0, 0, 0, 1], ENODEV),
            (&[4, 0, MOST, 1], EFBIG),
            (&[4, 0, 1 << 40, 1], EFBIG),
            (&[4, 3, (1 << 40) - 1, 1], EOPNOTSUPP),
            (&[4, 1 << 32, 0, 1], EOPNOTSUPP),
        ],
    );
}

#[test]
fn flock_looks_at_its_operation_before_its_descriptor() {
    table(
        nr::flock,
        &[
            (&[UNKNOWN, 0], EINVAL),
            (&[UNKNOWN, 32], 0),
            (&[BY_PATH, MINUS], 0),
            (&[BY_PATH, 12], EBADF),
            (&[3, 3], EINVAL),
            (&[3, 6], 0),
            (&[READ_END, 1 << 32 | 1], 0),
            (&[NO_ACCESS, 1], EBADF),
            (&[NO_ACCESS, 8], 0),
        ],
    );
}

#[test]
fn fcntl_takes_a_command_and_a_descriptor_of_32_bits_and_signals_that_there_are() {
    const SETSIG: u64 = 10;
    table(
        nr::fcntl,
        &[
            (&[3, SETSIG, 64], 0),
            (&[3, SETSIG, 65], EINVAL),
            (&[3, SETSIG, 1 << 32], EINVAL),
            (&[BY_PATH, SETSIG, 65], EBADF),
            (&[3, 0, 1 << 32], 14),
            (&[BY_PATH, 1030, 1 << 32 | 20], 20),
            (&[3, 0, 256], EINVAL),
            (&[3, 0, MINUS], EINVAL),
            (&[20, 1 << 32 | 1], 1),
        ],
    );
}

#[test]
fn sleeps_by_other_clocks() {
    let zero = AREA + 0x100;
    let bad = AREA + 0x200;
    let sleep = |clock: u64, flags: u64, time: u64| call(nr::clock_nanosleep, &[clock, flags, time, 0]);
    let mut script = vec![(words(bad, &[0, 1_000_000_000]), 0)];
    for clock in 3..7 {
        script.extend([0, 1, 2].map(|flags| (sleep(clock, flags, NOWHERE), EOPNOTSUPP)));
    }
    for clock in [8, 9] {
        script.push((sleep(clock, 0, zero), 0));
        script.push((sleep(clock, 1, zero), 0));
        script.push((sleep(clock, 2, zero), EINVAL));
        script.push((sleep(clock, 2, NOWHERE), EFAULT));
        script.push((sleep(clock, 1 << 32, zero), 0));
    }
    script.extend([
        (sleep(1, 2, zero), 0),
        (sleep(MINUS, 0, NOWHERE), EFAULT),
        (sleep(MINUS, 0, bad), EINVAL),
        (sleep(MINUS, 0, zero), EINVAL),
        (sleep(10, 0, NOWHERE), EINVAL),
    ]);
    check(vec![], script);
}

#[test]
fn limits_timers_and_groups_look_at_what_is_given_first() {
    let (wrong, early) = (AREA + 0x100, AREA + 0x140);
    let limit = |a: &[u64]| call(nr::prlimit64, a);
    let timer = |a: &[u64]| call(nr::setitimer, a);
    check(
        vec![words(wrong, &[257, 256]), words(early, &[0, 0, 0, MINUS])],
        vec![
            (limit(&[99, 16, NOWHERE, 0]), EFAULT),
            (limit(&[99, 16, wrong, 0]), ESRCH),
            (limit(&[MINUS, MINUS, 0, 0]), ESRCH),
            (limit(&[0, 16, wrong, NOWHERE]), EINVAL),
            (limit(&[0, 7, wrong, NOWHERE]), EINVAL),
            (timer(&[3, NOWHERE, 0]), EFAULT),
            (timer(&[1, NOWHERE, 0]), EFAULT),
            (timer(&[1, early, 0]), EINVAL),
            (timer(&[3, AREA, NOWHERE]), EINVAL),
            (timer(&[1 << 32, AREA, 0]), 0),
            (call(nr::getgroups, &[MINUS, 0]), EINVAL),
            (call(nr::getgroups, &[1 << 31, NOWHERE]), EINVAL),
            (call(nr::getgroups, &[64, NOWHERE]), 0),
        ],
    );
}

#[test]
fn what_would_end_beyond_the_last_position_is_einval() {
    let read = |fd: u64, at: u64, count: u64, place: u64| call(nr::pread64, &[fd, at, count, place]);
    let write = |fd: u64, at: u64, count: u64, place: u64| call(nr::pwrite64, &[fd, at, count, place]);
    let seek = |fd: u64, to: u64, from: u64| call(nr::lseek, &[fd, to, from]);
    check(
        more(),
        vec![
            (read(3, AREA, 3, MOST), EINVAL),
            (read(3, NOWHERE, 3, MOST), EINVAL),
            (read(3, MINUS, 3, MOST), EFAULT),
            (read(3, AREA, 3, MOST - 3), 0),
            (read(3, AREA, 0, MOST), 0),
            (read(6, AREA, 3, MOST), EINVAL),
            (read(6, AREA, 3, 0), EISDIR),
            (read(NULL, AREA, 3, MOST), EINVAL),
            (read(READ_END, AREA, 3, MOST), ESPIPE),
            (write(4, AREA, 3, MOST), EINVAL),
            (write(4, AREA, 3, MOST - 3), EFBIG),
            (write(NULL, AREA, 3, MOST), EINVAL),
            (write(3, AREA, 3, MOST), EBADF),
            (seek(3, 1, 0), 1),
            (seek(3, MOST, 1), EINVAL),
            (seek(3, MOST, 2), EINVAL),
            (seek(7, 1, 0), 1),
            (seek(7, MOST, 1), EINVAL),
            (seek(7, MOST, 0), MOST as i64),
            (call(nr::read, &[7, AREA, 1]), EINVAL),
            (call(nr::getdents64, &[6, AREA, 1 << 31]), EINVAL),
            (call(nr::getdents64, &[6, AREA, MINUS]), EINVAL),
            (call(nr::getdents64, &[7, AREA, MINUS]), ENOTDIR),
            (call(nr::getdents64, &[6, AREA, 4096]), 72),
            // Nothing that is left lacks room.
            (call(nr::getdents64, &[6, AREA, 1 << 31]), 0),
        ],
    );
}

#[test]
fn an_alternate_stack_may_be_off_while_handlers_run() {
    const OWN: u64 = 1 << 31;
    let set = |base: u64, flags: u64, size: u64, answer: i64| {
        [(words(AREA, &[base, flags, size]), 0), (call(nr::sigaltstack, &[AREA, AREA + 0x100]), answer)]
    };
    let shown = |flags: u64| {
        let script = [set(AREA, flags, 5120, 0).to_vec(), set(0, 2, 0, 0).to_vec()].concat();
        let mut run = check(vec![], script);
        let space = run.kernel.processes[&1].space.expect("it lives");
        run.kernel.memory.read_u64(space, AREA + 0x108)
    };
    assert_eq!([0, 1, OWN, OWN | 1].map(shown), [Ok(0), Ok(0), Ok(OWN), Ok(OWN)]);
    assert_eq!(shown(OWN | 2), Ok(OWN | 2));
    let refused = [
        set(0, 0, 0, 0),
        set(0, 1, 0, ENOMEM),
        set(AREA, OWN, 5119, ENOMEM),
        set(AREA, OWN | 3, 5120, EINVAL),
        set(AREA, OWN | 4, 5120, EINVAL),
    ];
    check(vec![], refused.concat());
}

#[test]
fn an_alternate_stack_that_is_off_in_handlers_comes_back_with_the_frame() {
    const OWN: u64 = 1 << 31;
    const ONSTACK: u64 = 0x0800_0000;
    for (flags, inside) in [(1, (AREA, 1, 0x4000)), (OWN, (0, 2, 0)), (OWN | 1, (0, 2, 0))] {
        let setup = vec![words(AREA + 0x8000, &[AREA, flags, 0x4000])];
        let mut run = check(setup, vec![(call(nr::sigaltstack, &[AREA + 0x8000, 0]), 0)]);
        let alt = |run: &Run| {
            let alt = run.kernel.threads[&1].alt;
            (alt.base, u64::from(alt.flags), alt.size)
        };
        let action = Action { handler: HANDLER, flags: ONSTACK, restorer: 0, mask: 0 };
        let before = run.kernel.threads[&1].registers.sp;
        for _ in 0..2 {
            assert!(run.kernel.push_frame(1, 10, &Info::default(), &action));
            assert_eq!(alt(&run), inside);
            let frame = run.kernel.threads[&1].registers.sp;
            assert!((AREA..AREA + 0x4000).contains(&frame));
            let space = run.kernel.processes[&1].space.expect("it lives");
            // uc_stack, as it was set.
            assert_eq!(run.kernel.memory.read_u64(space, frame + 152), Ok(flags));
            assert!(run.kernel.pop_frame(1));
            assert_eq!((alt(&run), run.kernel.threads[&1].registers.sp), ((AREA, flags, 0x4000), before));
        }
    }
}

#[test]
fn terminals_and_texts_of_proc_tell_what_they_hold() {
    const OUTQ: u64 = 0x5411;
    const DISCIPLINE: u64 = 0x5424;
    const ALONE: u64 = 0x8004_5440;
    const FIONREAD: u64 = 0x541b;
    let mut script = vec![];
    for (fd, request) in [(0, OUTQ), (0, DISCIPLINE), (0, ALONE), (7, FIONREAD)] {
        script.push((call(nr::ioctl, &[fd, request, AREA]), 0));
        script.push((call(nr::ioctl, &[fd, request, NOWHERE]), EFAULT));
    }
    for (fd, request) in [(3, OUTQ), (READ_END, DISCIPLINE), (NULL, ALONE), (6, FIONREAD)] {
        script.push((call(nr::ioctl, &[fd, request, NOWHERE]), ENOTTY));
    }
    script.push((call(nr::lseek, &[7, 5, 0]), 5));
    script.push((call(nr::ioctl, &[7, FIONREAD, AREA + 0x100]), 0));
    assert_eq!(bytes_at(check(more(), script), AREA + 0x100, 4), (-5i32).to_le_bytes());
}

#[test]
fn a_nameless_file_is_for_writing_in_a_directory() {
    const TMPFILE: u64 = 0o20000000;
    const DIRECTORY: u64 = 0o40000;
    let open = |flags: u64| call(nr::openat, &[HERE, AREA + 0x1080, flags, 0o600]);
    check(
        more(),
        vec![
            (open(TMPFILE | 2), EINVAL),
            (open(TMPFILE | DIRECTORY), EINVAL),
            (open(TMPFILE | DIRECTORY | 0o1000), EINVAL),
            (open(TMPFILE | DIRECTORY | 1), EOPNOTSUPP),
            (open(TMPFILE | DIRECTORY | 2), EOPNOTSUPP),
            (open(TMPFILE | DIRECTORY | 0o100 | 2), EINVAL),
        ],
    );
}

#[test]
fn pselect6_takes_a_number_of_32_bits() {
    // The sets end where the memory does.
    let (set, time) = (AREA + 0x20000 - 8, AREA + 0x100);
    let select = |n: u64| call(nr::pselect6, &[n, set, 0, 0, time, 0]);
    check(
        vec![],
        vec![
            (select(64), 0),
            (select(1 << 32 | 64), 0),
            (select(65), EFAULT),
            (select(257), EFAULT),
            (select(1 << 31), EINVAL),
        ],
    );
}

#[test]
fn a_removed_directory_has_no_name_however_long() {
    let (long, slash) = ("n".repeat(256), "n".repeat(256) + "/");
    let deep = slash.clone() + "x";
    let mut s = Script::default();
    s.mkdir("/d").on(nr::chdir, &[PATH], &["/d"], 0);
    for (removed, answer) in [(false, ENAMETOOLONG), (true, ENOENT)] {
        if removed {
            s.rmdir("/d");
        }
        for path in [&long, &slash, &deep] {
            s.on(nr::newfstatat, &[HERE, PATH, AREA, 0x100], &[path], answer);
            s.on(nr::mkdirat, &[HERE, PATH, 0o755], &[path], answer);
            s.on(nr::symlinkat, &[PATH, HERE, PATH], &["x", path], answer);
            s.on(nr::mknodat, &[HERE, PATH, 0o10644, 0], &[path], answer);
            s.on(nr::linkat, &[HERE, PATH, HERE, PATH, 0], &["/etc/a", path], answer);
            s.on(nr::renameat, &[HERE, PATH, HERE, PATH], &["/etc/a", path], answer);
            s.on(nr::renameat, &[HERE, PATH, HERE, PATH], &[path, "/x"], answer);
            s.on(nr::unlinkat, &[HERE, PATH, 0], &[path], answer);
            s.on(nr::unlinkat, &[HERE, PATH, 0x200], &[path], answer);
            s.on(nr::chdir, &[PATH], &[path], answer);
            s.on(nr::execve, &[PATH, 0, 0], &[path], answer).open(path, 0, answer).open(path, 0o1002, answer);
        }
        s.open(&long, 0o102, answer).open(&slash, 0o102, EISDIR).open(&deep, 0o102, answer);
        s.open(&long, 0o302, answer).open(&slash, 0o302, EISDIR);
    }
    // The name is looked up before it is asked where it lies.
    s.on(nr::linkat, &[HERE, PATH, HERE, PATH, 0], &["/proc/version", "x"], ENOENT);
    s.on(nr::linkat, &[HERE, PATH, HERE, PATH, 0], &["/proc/version", "/x"], EXDEV);
    s.on(nr::newfstatat, &[HERE, PATH, AREA, 0], &["."], 0);
    s.run();
}
