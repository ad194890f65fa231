//! Pipes: what a write without readers brings, and what is opened by the link of an end.

use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, call, text, words};
use abi::linux::nr;
use lazy::process::Info;

const SIGPIPE: u32 = 13;
/// /etc/a is open as 3, a pipe has its ends at 4 and 5.
fn pipe() -> Vec<Step> {
    vec![
        text(AREA + 0x200, "/etc/a"),
        call(nr::openat, &[HERE, AREA + 0x200, 0, 0]),
        call(nr::pipe2, &[AREA, 0]),
    ]
}

/// Linux' `send_sig(SIGPIPE, current, 0)`: SI_USER.
#[test]
fn a_write_without_readers_is_a_signal_from_the_writer() {
    let vector = AREA + 0x300;
    let writes = [
        call(nr::write, &[5, AREA, 7]),
        call(nr::writev, &[5, vector, 1]),
        call(nr::sendfile, &[5, 3, 0, 4]),
    ];
    for write in writes {
        let blocked = words(AREA + 0x400, &[1 << (SIGPIPE - 1)]);
        let child = vec![blocked, call(nr::rt_sigprocmask, &[0, AREA + 0x400, 0, 8]), write];
        let rest = call(nr::ppoll, &[0, 0, 0, 0, 8]);
        let child = [child, vec![rest]].concat();
        let setup = [pipe(), vec![words(vector, &[AREA, 7]), call(nr::close, &[4])]].concat();
        let run = check_all(setup, vec![(Step::Fork(17, 1), 2)], child);
        assert_eq!(run.outside.borrow().results.last(), Some(&(1, -32)), "EPIPE");
        let found = run.kernel.processes[&2].infos.get(&SIGPIPE);
        assert_eq!(found, Some(&Info { code: 0, fields: [2, 0, 0], address: None }));
    }
}

const O_TRUNC: u64 = 0o1000;
const O_DIRECTORY: u64 = 0o40000;
const O_NOFOLLOW: u64 = 0o100000;
const O_PATH: u64 = 0o10000000;

/// As Linux 6.1's `do_open`, behind the link: it leads to the pipe itself.
#[test]
fn what_is_opened_by_a_descriptors_link_is_looked_at_as_by_any_name() {
    let (file, end, none, slash) = (AREA + 0x200, AREA + 0x220, AREA + 0x240, AREA + 0x260);
    let open = |path, flags| call(nr::openat, &[HERE, path, flags, 0o600]);
    let shut = |fd| (call(nr::close, &[fd]), 0);
    check(
        pipe(),
        vec![
            (text(file, "/dev/fd/3"), 0),
            (text(end, "/proc/self/fd/4"), 0),
            (text(none, "/dev/fd/9"), 0),
            (text(slash, "/dev/fd/4/"), 0),
            (open(end, O_DIRECTORY), ENOTDIR),
            (open(file, O_DIRECTORY), ENOTDIR),
            (open(end, O_PATH | O_DIRECTORY), ENOTDIR),
            (open(file, O_PATH | O_DIRECTORY), ENOTDIR),
            (open(end, 0o300), EEXIST),
            (open(end, 0o200), 6),
            shut(6),
            (open(end, 0o100), 6),
            shut(6),
            (open(end, O_NOFOLLOW), ELOOP),
            (open(end, O_NOFOLLOW | O_TRUNC), ELOOP),
            (open(end, O_NOFOLLOW | O_DIRECTORY), ENOTDIR),
            (open(end, O_NOFOLLOW | O_PATH), 6),
            shut(6),
            (open(end, 3), EINVAL),
            (open(none, 0), ENOENT),
            (open(slash, 0), ENOTDIR),
            (open(slash, 0o100), EISDIR),
            // O_TRUNC says nothing of a pipe; the new end writes, though the link is of one that reads.
            (call(nr::write, &[5, AREA, 3]), 3),
            (open(end, O_TRUNC | 1), 6),
            (call(nr::write, &[6, AREA, 3]), 3),
            (call(nr::read, &[6, AREA + 0x800, 9]), EBADF),
            (call(nr::read, &[4, AREA + 0x800, 9]), 6),
        ],
    );
}

/// The texts of the links of descriptors, by readlinkat of /dev/fd/N.
#[test]
fn what_is_opened_by_a_link_of_proc_keeps_its_own_name() {
    let (link, given) = (AREA + 0x200, AREA + 0x800);
    let cases = [
        ("/dev/fd/3", 0, "/etc/a"),
        ("/dev/fd/3", O_PATH, "/etc/a"),
        ("/dev/fd/0", 0, "/dev/console"),
        ("/proc/self/exe", 0, "/bin/init"),
        ("/proc/self/cwd", O_PATH, "/"),
        ("/etc/.", O_PATH, "/etc"),
        ("/proc/version", 0, "/proc/version"),
    ];
    for (path, flags, shown) in cases {
        let run = check(
            pipe(),
            vec![
                (text(link, path), 0),
                (call(nr::openat, &[HERE, link, flags, 0]), 6),
                (text(link, "/dev/fd/6"), 0),
                (call(nr::readlinkat, &[HERE, link, given, 100]), shown.len() as i64),
            ],
        );
        let found = bytes_at(run, given, shown.len());
        assert_eq!(found, shown.as_bytes(), "{path}");
    }
}

/// Linux keeps the pipe's inode, but not what the pipe held when its last end was closed.
#[test]
fn o_path_of_a_pipe_holds_what_has_no_end() {
    let (link, stat) = (AREA + 0x200, AREA + 0x800);
    let open = |flags| call(nr::openat, &[HERE, link, flags, 0]);
    let run = check(
        pipe(),
        vec![
            (call(nr::fchmod, &[4, 0o640]), 0),
            (text(link, "/dev/fd/4"), 0),
            (open(O_PATH), 6),
            (call(nr::read, &[6, stat, 1]), EBADF),
            (call(nr::fchmod, &[6, 0o644]), EBADF),
            (call(nr::write, &[5, AREA, 3]), 3),
            (text(link, "/dev/fd/6"), 0),
            (open(0o4000), 7),
            (call(nr::read, &[7, stat, 1]), 1),
            (call(nr::close, &[7]), 0),
            (call(nr::close, &[4]), 0),
            (call(nr::close, &[5]), 0),
            (call(nr::fstat, &[6, stat]), 0),
            (open(2), 4),
            (call(nr::fcntl, &[4, 4, 0o4000]), 0),
            (call(nr::read, &[4, stat + 0x100, 1]), EAGAIN),
            (open(O_PATH), 5),
            (call(nr::close, &[6]), 0),
            (call(nr::close, &[5]), 0),
            (call(nr::fstat, &[4, stat + 0x200]), 0),
            (call(nr::close, &[4]), 0),
        ],
    );
    assert_eq!(run.kernel.pipes.len(), 0);
    let space = run.kernel.processes[&1].space.expect("it lives");
    let mut memory = run.kernel.memory;
    assert_eq!(memory.read_u32(space, stat + 16), Ok(0o10640));
    assert_eq!(memory.read_u64(space, stat), Ok(4));
    assert_eq!(memory.read_u32(space, stat + 0x210), Ok(0o10640));
}

#[test]
fn other_calls_follow_the_link_too() {
    let (end, file, below, stat) = (AREA + 0x220, AREA + 0x240, AREA + 0x260, AREA + 0x800);
    let truncate = |path, size| call(nr::truncate, &[path, size]);
    let run = check(
        pipe(),
        vec![
            (text(end, "/dev/fd/4"), 0),
            (text(file, "/dev/fd/3"), 0),
            (text(below, "/dev/fd/4/x"), 0),
            (call(nr::execve, &[end, 0, 0]), EACCES),
            (call(nr::chdir, &[end]), ENOTDIR),
            (call(nr::renameat, &[HERE, below, HERE, file]), ENOTDIR),
            (call(nr::mkdirat, &[HERE, below, 0o755]), ENOTDIR),
            (truncate(end, 3), EINVAL),
            (truncate(file, 3), 0),
            (call(nr::fstat, &[3, stat]), 0),
            (text(file, "/proc/version"), 0),
            (truncate(file, 1 << 41), EROFS),
        ],
    );
    assert_eq!(bytes_at(run, stat + 48, 8), [3, 0, 0, 0, 0, 0, 0, 0]);
}
