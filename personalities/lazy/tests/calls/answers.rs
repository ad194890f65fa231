//! What calls answer, one by one: scripts of calls, and the results that the manual pages and `docs/linux-abi.md` say.

use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, call, text, words};
use abi::linux::nr;

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
fn utimensat_walks_before_it_looks_at_nanoseconds() {
    const OMIT: u64 = 0x3fff_fffe;
    let set = |fd: u64, path: u64, flags: u64| call(nr::utimensat, &[fd, path, AREA, flags]);
    let (name, missing, version) = (AREA + 0x1000, AREA + 0x100, AREA + 0x10c0);
    check(
        files(),
        vec![
            (text(missing, "none"), 0),
            (words(AREA, &[0, 1_000_000_000, 0, 0]), 0),
            (set(HERE, name, 0), EINVAL),
            (set(HERE, missing, 0), ENOENT),
            (set(HERE, NOWHERE, 0), EFAULT),
            (set(HERE, missing, 1), EINVAL),
            (set(4, 0, 0), EINVAL),
            (set(99, 0, 0), EBADF),
            (set(99, 0, 1), EINVAL),
            // The nanoseconds come before a mount that takes no changes.
            (set(HERE, version, 0), EINVAL),
            (words(AREA, &[0, 5, 0, 0]), 0),
            (set(HERE, version, 0), EROFS),
            (words(AREA, &[0, OMIT, 0, u64::MAX]), 0),
            (set(HERE, missing, 0), ENOENT),
            (set(HERE, name, 0), EINVAL),
            (words(AREA, &[0, OMIT, 0, OMIT]), 0),
            (set(99, NOWHERE, u64::MAX), 0),
        ],
    );
}

#[test]
fn a_signal_number_is_looked_at_when_somebody_receives_it() {
    let minus = |n: i64| -n as u64;
    check(
        vec![Step::Fork(17, 1)],
        vec![
            (call(nr::kill, &[99, 65]), ESRCH),
            (call(nr::kill, &[minus(99), 65]), ESRCH),
            (call(nr::kill, &[minus(1 << 31), 65]), ESRCH),
            (call(nr::kill, &[2, 65]), EINVAL),
            (call(nr::kill, &[minus(1), minus(1)]), EINVAL),
            (call(nr::kill, &[0, minus(1)]), EINVAL),
            (call(nr::tkill, &[0, 65]), EINVAL),
            (call(nr::tkill, &[99, 65]), ESRCH),
            (call(nr::tkill, &[2, 65]), EINVAL),
            (call(nr::tgkill, &[0, 2, 0]), EINVAL),
            (call(nr::tgkill, &[2, 99, 65]), ESRCH),
            (call(nr::tgkill, &[1, 2, 65]), ESRCH),
            (call(nr::tgkill, &[2, 2, 65]), EINVAL),
            (call(nr::wait4, &[2, 0, 0, 0]), 2),
            (call(nr::kill, &[minus(1), 65]), ESRCH),
        ],
    );
}

#[test]
fn renameat2_says_that_a_name_is_there_before_it_asks_what_it_is() {
    let rename = |to: u64, flags: u64| call(nr::renameat2, &[HERE, AREA + 0x1040, HERE, to, flags]);
    let (slash, dot) = (AREA + 0x100, AREA + 0x110);
    check(
        files(),
        vec![
            (text(slash, "/more/"), 0),
            (text(dot, "."), 0),
            (rename(slash, 0), ENOTDIR),
            (rename(slash, 1), EEXIST),
            (rename(dot, 0), EBUSY),
            (rename(dot, 1), EEXIST),
        ],
    );
}

#[test]
fn a_pipe_without_a_name_has_attributes_that_change() {
    let (stat, times) = (AREA + 0x100, AREA + 0x200);
    let run = check(
        vec![call(nr::pipe2, &[AREA, 0]), words(times, &[5, 6, 7, 8])],
        vec![
            (call(nr::fchmod, &[3, 0o6751]), 0),
            (call(nr::fstat, &[4, AREA + 0x300]), 0),
            (call(nr::fchown, &[4, 5, 7]), 0),
            (call(nr::utimensat, &[4, 0, times, 0]), 0),
            (call(nr::fstat, &[3, stat]), 0),
        ],
    );
    let space = run.kernel.processes[&1].space.unwrap();
    let mut memory = run.kernel.memory;
    assert_eq!(memory.read_u32(space, AREA + 0x300 + 16), Ok(0o16751));
    let found = [16, 24, 28].map(|at| memory.read_u32(space, stat + at).unwrap());
    // The set-id bits go with the owner, as of a file.
    assert_eq!(found, [0o10751, 5, 7]);
    let found = [72, 80, 88, 96].map(|at| memory.read_u64(space, stat + at).unwrap());
    assert_eq!(found, [5, 6, 7, 8]);
}

#[test]
fn a_directory_that_was_removed_takes_no_link() {
    let (dir, name, slash) = (AREA + 0x100, AREA + 0x110, AREA + 0x120);
    check(
        files(),
        vec![
            (text(dir, "/d"), 0),
            (text(name, "b"), 0),
            (text(slash, "b/"), 0),
            (call(nr::mkdirat, &[HERE, dir, 0o755]), 0),
            (call(nr::openat, &[HERE, dir, 0o40000, 0]), 8),
            (call(nr::unlinkat, &[HERE, dir, 0x200]), 0),
            (call(nr::linkat, &[HERE, AREA + 0x1040, 8, name, 0]), ENOENT),
            (call(nr::mkdirat, &[8, name, 0o755]), ENOENT),
            (call(nr::renameat, &[HERE, AREA + 0x1040, 8, name]), ENOENT),
            (call(nr::renameat, &[HERE, AREA + 0x1040, 8, slash]), ENOENT),
        ],
    );
}

/// As Linux' `d_path` of what has lost its name.
#[test]
fn links_of_proc_tell_where_a_removed_directory_was() {
    let at = |n: u64| AREA + 0x100 + 0x40 * n;
    let (above, dir, file, moved, link, given) = (at(0), at(1), at(2), at(3), at(4), AREA + 0x800);
    let setup = vec![
        text(above, "/up"),
        text(dir, "/up/d"),
        text(file, "/up/d/f"),
        text(moved, "/new"),
        call(nr::mkdirat, &[HERE, above, 0o755]),
        call(nr::mkdirat, &[HERE, dir, 0o755]),
        call(nr::chdir, &[dir]),
        call(nr::openat, &[HERE, dir, 0o40000, 0]),    // 3
        call(nr::openat, &[HERE, file, 0o102, 0o600]), // 4
        call(nr::unlinkat, &[HERE, file, 0]),
        call(nr::unlinkat, &[HERE, dir, 0x200]),
    ];
    let rename = call(nr::renameat, &[HERE, above, HERE, moved]);
    let remove = call(nr::unlinkat, &[HERE, above, 0x200]);
    let cases = [
        (None, "/proc/self/cwd", "/up/d (deleted)"),
        (None, "/dev/fd/3", "/up/d (deleted)"),
        (None, "/dev/fd/4", "/up/d/f (deleted)"),
        (Some(rename), "/proc/self/cwd", "/new/d (deleted)"),
        (Some(remove), "/dev/fd/3", "/up/d (deleted)"),
    ];
    for (step, path, shown) in cases {
        let mut script = vec![(text(link, path), 0)];
        script.extend(step.map(|s| (s, 0)));
        script.push((call(nr::readlinkat, &[HERE, link, given, 100]), shown.len() as i64));
        script.push((call(nr::getcwd, &[given + 0x100, 100]), ENOENT));
        let run = check(setup.clone(), script);
        assert_eq!(bytes_at(run, given, shown.len()), shown.as_bytes(), "{path}");
    }
}
