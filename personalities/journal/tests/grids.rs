//! Calls with arguments that programs seldom give, as Linux 6.1 answers them: which of several errors is told, and that what is well asked is done.

#[macro_use]
mod board;

use abi::linux::nr;
use board::DATA;
use board::script::{BAD, Call, HERE, OUT, SYNC, data, place, run, shows};
use journal::machine::User;

const ENOENT: i64 = -2;
const ESRCH: i64 = -3;
const EBADF: i64 = -9;
const EPERM: i64 = -1;
const EFAULT: i64 = -14;
const EEXIST: i64 = -17;
const ENODEV: i64 = -19;
const EINVAL: i64 = -22;
const EISDIR: i64 = -21;
const ENOTTY: i64 = -25;
const EFBIG: i64 = -27;
const ESPIPE: i64 = -29;
const EOPNOTSUPP: i64 = -95;

const MINUS: u64 = -1i64 as u64;
const LARGEST: u64 = i64::MAX as u64;
const SIZE_MAX: u64 = 1 << 40;

const PATHS: &[&str] = &["/f", "/", "/dev/null", "/dev", "/proc", "/proc/version", "", "/f/", "/new"];
/// Pairs and quads of words.
const WORDS: u64 = DATA + 0x400;
const NEGATIVE_TIME: u64 = WORDS;
const LATE_TIME: u64 = WORDS + 0x10;
/// Masks and their sizes: bad and 8, none and 7, one of 7 bytes.
const BAD_MASK: u64 = WORDS + 0x20;
const NO_MASK: u64 = WORDS + 0x30;
const SHORT_MASK: u64 = WORDS + 0x40;
/// Limits: soft above hard, soft 4.
const CROSSED: u64 = WORDS + 0x50;
const LOW: u64 = WORDS + 0x60;
/// Record locks of 32 bytes: of nobody, of process 5, of no type.
const LOCK: u64 = WORDS + 0x80;
const LOCK_OF_5: u64 = WORDS + 0xa0;
const NO_LOCK: u64 = WORDS + 0xc0;
/// A page behind which there is nothing.
const PAGE: u64 = 0x20_0000;
const PAGE_END: u64 = PAGE + 4096;

const RW: u64 = 3;
const DIR: u64 = 4;
const PIPE: u64 = 5;
const PIPE_END: u64 = 6;
const AT_PATH: u64 = 7;
const NULL: u64 = 8;
const TEXT: u64 = 9;
const RO: u64 = 10;
const PROC: u64 = 11;
const NEITHER: u64 = 12;
const DEV: u64 = 13;
const TTY: u64 = 0;

const fn at(path: &str) -> u64 {
    place(PATHS, path)
}
const fn open(path: &str, flags: u64, x0: i64) -> Call {
    (nr::openat, [HERE, at(path), flags, 0o644, 0, 0], x0)
}

/// All kinds of open files.
const OPEN: &[Call] = &[
    open("/f", 0o102, 3),
    open("/", 0, 4),
    (nr::pipe2, [OUT, 0o4000, 0, 0, 0, 0], 0),
    open("/f", 0o10000000, 7),
    open("/dev/null", 2, 8),
    open("/proc/version", 0, 9),
    open("/f", 0, 10),
    open("/proc", 0, 11),
    open("/f", 3, 12),
    open("/dev", 0, 13),
    SYNC,
];

fn words() -> Vec<u8> {
    let mut data = data(PATHS);
    let lock = |kind: u64, pid: u64| [kind, 0, 0, pid];
    let mut put = |at: u64, words: &[u64]| {
        for (i, word) in words.iter().enumerate() {
            data[(at - DATA) as usize + 8 * i..][..8].copy_from_slice(&word.to_le_bytes());
        }
    };
    put(NEGATIVE_TIME, &[MINUS, 0, 0, 1_000_000_000]);
    put(BAD_MASK, &[BAD, 8, 0, 7, WORDS, 7, 5, 4, 4, 256]);
    put(LOCK, &[lock(1, 0), lock(1, 5), lock(7, 0)].concat());
    data
}

/// The program: what is open first, then `calls`.
fn script(u: &mut User, calls: &[Call]) -> bool {
    run(u, &[OPEN, calls, &[SYNC]].concat())
}

fn answers(program: fn(&mut User) -> bool) {
    assert!(shows(&words(), 1, program).is_empty());
}

fn ranges(u: &mut User) -> bool {
    let mut calls = Vec::new();
    for (fd, kept) in [
        (TTY, EINVAL),
        (RW, 0),
        (RO, 0),
        (DIR, 0),
        (DEV, 0),
        (PROC, EINVAL),
        (PIPE, EINVAL),
        (PIPE_END, EINVAL),
        (NULL, EINVAL),
        (TEXT, EINVAL),
        (AT_PATH, EBADF),
        (99, EBADF),
    ] {
        calls.extend([nr::fsync, nr::fdatasync].map(|call| (call, [fd, 0, 0, 0, 0, 0], kept)));
        let (fine, wrong) = match fd {
            PIPE | PIPE_END => (ESPIPE, ESPIPE),
            AT_PATH | 99 => (EBADF, EBADF),
            _ => (0, EINVAL),
        };
        for (length, advice, x0) in [(0, 5, fine), (LARGEST, 0, fine), (0, 6, wrong), (MINUS, 0, wrong)] {
            calls.push((nr::fadvise64, [fd, MINUS, length, advice, 0, 0], x0));
        }
    }
    for (fd, mode, offset, length, x0) in [
        (RW, 0, 0, 0, EINVAL),
        (RW, 0x80, MINUS, 1, EINVAL),
        (AT_PATH, 0, 0, 0, EBADF),
        (RO, 0x80, 0, 1, EOPNOTSUPP),
        (RO, 2, 0, 1, EOPNOTSUPP),
        (RO, 0x13, 0, 1, EOPNOTSUPP),
        (RO, 9, 0, 1, EINVAL),
        (RO, 0x21, 0, 1, EINVAL),
        (RO, 0x48, 0, 1, EINVAL),
        (RO, 0x41, 0, 1, EBADF),
        (DIR, 0, 0, 1, EBADF),
        (PIPE, 0, 0, 1, EBADF),
        (PIPE_END, 0, 0, 1, ESPIPE),
        (NULL, 3, 0, 1, ENODEV),
        (RW, 0, SIZE_MAX - 1, 2, EFBIG),
        (RW, 1, LARGEST, LARGEST, EFBIG),
        (RW, 0, SIZE_MAX - 1, 1, EOPNOTSUPP),
    ] {
        calls.push((nr::fallocate, [fd, mode, offset, length, 0, 0], x0));
    }
    script(u, &calls)
}

#[test]
fn ranges_are_looked_at_as_by_linux() {
    answers(ranges);
}

fn positions(u: &mut User) -> bool {
    let pread = |fd, count, offset, x0| (nr::pread64, [fd, OUT, count, offset, 0, 0], x0);
    script(
        u,
        &[
            pread(RW, 3, LARGEST, EINVAL),
            pread(DIR, 3, LARGEST, EINVAL),
            pread(DIR, 3, LARGEST - 3, EISDIR),
            pread(NULL, 3, LARGEST, EINVAL),
            pread(NULL, 3, LARGEST - 3, 0),
            pread(TEXT, 3, LARGEST, EINVAL),
            pread(PIPE, 3, LARGEST, ESPIPE),
            (nr::pread64, [NULL, u64::MAX, 3, LARGEST, 0, 0], EFAULT),
            (nr::pwrite64, [RW, OUT, 3, LARGEST, 0, 0], EINVAL),
            (nr::pwrite64, [NULL, OUT, 3, LARGEST, 0, 0], EINVAL),
            (nr::pwrite64, [NULL, OUT, 3, LARGEST - 3, 0, 0], 3),
            (nr::pwrite64, [RW, OUT, 3, SIZE_MAX, 0, 0], EFBIG),
            (nr::lseek, [RW, SIZE_MAX, 0, 0, 0, 0], SIZE_MAX as i64),
            (nr::lseek, [RW, 1, 1, 0, 0, 0], EINVAL),
            (nr::lseek, [RW, LARGEST, 0, 0, 0, 0], EINVAL),
            (nr::lseek, [RW, 0, 1, 0, 0, 0], SIZE_MAX as i64),
            // What is left of a text, which has no size.
            (nr::lseek, [TEXT, 7, 0, 0, 0, 0], 7),
            (nr::ioctl, [TEXT, 0x541b, OUT, 0, 0, 0], 0),
            (nr::ioctl, [TEXT, 0x541b, BAD, 0, 0, 0], EFAULT),
            (nr::write, [1, OUT, 4, 0, 0, 0], 4),
            (nr::ioctl, [TTY, 0x5411, OUT, 0, 0, 0], 0),
            (nr::write, [1, OUT, 4, 0, 0, 0], 4),
            (nr::ioctl, [TTY, 0x5424, BAD, 0, 0, 0], EFAULT),
            (nr::ioctl, [TTY, 0x80045440, OUT, 0, 0, 0], 0),
            (nr::ioctl, [NULL, 0x80045440, OUT, 0, 0, 0], ENOTTY),
        ],
    )
}

#[test]
fn positions_end_below_2_to_the_63() {
    let said = board::script::shows_bytes(&words(), 1, positions);
    assert_eq!(said, [(-7i32).to_le_bytes(), [0; 4]]);
}

fn locks(u: &mut User) -> bool {
    let flock = |fd, operation, x0| (nr::flock, [fd, operation, 0, 0, 0, 0], x0);
    let fcntl = |fd, command, argument, x0| (nr::fcntl, [fd, command, argument, 0, 0, 0], x0);
    script(
        u,
        &[
            flock(99, 32, 0),
            flock(AT_PATH, MINUS, 0),
            flock(99, 3, EINVAL),
            flock(99, 1, EBADF),
            flock(NEITHER, 5, EBADF),
            flock(NEITHER, 8, 0),
            fcntl(RW, 10, 64, 0),
            fcntl(RW, 10, 65, EINVAL),
            fcntl(AT_PATH, 10, 65, EBADF),
            fcntl(RW, 36, BAD, EFAULT),
            fcntl(RW, 37, BAD, EFAULT),
            fcntl(RW, 37, LOCK, 0),
            fcntl(RW, 38, LOCK, 0),
            fcntl(RW, 37, LOCK_OF_5, EINVAL),
            fcntl(RW, 6, LOCK_OF_5, 0),
            fcntl(RO, 37, LOCK_OF_5, EBADF),
            fcntl(RW, 36, LOCK_OF_5, EINVAL),
            fcntl(RW, 36, NO_LOCK, EINVAL),
            fcntl(RW, 36, LOCK, 0),
            // It found none, and says so by its type.
            fcntl(RW, 36, LOCK, EINVAL),
            fcntl(RW, 0, 1 << 32, 14),
            fcntl(RW, 1030, 1 << 32, 15),
            fcntl(RW, 0, 256, EINVAL),
        ],
    )
}

#[test]
fn locks_and_copies_are_looked_at_as_by_linux() {
    answers(locks);
}

fn times(u: &mut User) -> bool {
    const SOON: u64 = DATA + board::script::DATA_SIZE as u64 - 16;
    let sleep = |clock, flags, time, x0| (nr::clock_nanosleep, [clock, flags, time, 0, 0, 0], x0);
    let mut calls = Vec::new();
    for clock in 3..7 {
        calls.extend([BAD, NEGATIVE_TIME, SOON].map(|time| sleep(clock, 2, time, EOPNOTSUPP)));
    }
    for clock in [8, 9, 1 << 32 | 8] {
        calls.extend([
            sleep(clock, 2, BAD, EFAULT),
            sleep(clock, 2, LATE_TIME, EINVAL),
            sleep(clock, 2, SOON, EINVAL),
            sleep(clock, 0, SOON, 0),
            sleep(clock, 1, SOON, 0),
        ]);
    }
    calls.extend([sleep(MINUS, 0, BAD, EFAULT), sleep(MINUS, 0, SOON, EINVAL), sleep(10, 0, BAD, EINVAL)]);
    let timer = |which, new, x0| (nr::setitimer, [which, new, 0, 0, 0, 0], x0);
    calls.extend([timer(3, BAD, EFAULT), timer(MINUS, 0, EINVAL), timer(0, NEGATIVE_TIME, EINVAL)]);
    // All is read before any of it is looked at.
    calls.extend([
        (nr::mmap, [PAGE, 4096, 3, 0x32, MINUS, 0], PAGE as i64),
        (nr::write, [RW, NEGATIVE_TIME, 16, 0, 0, 0], 16),
        (nr::pread64, [RW, PAGE_END - 16, 16, 0, 0, 0], 16),
        timer(0, PAGE_END - 16, EFAULT),
    ]);
    script(u, &calls)
}

#[test]
fn sleeps_and_timers_know_the_clocks_that_linux_knows() {
    answers(times);
}

fn limits(u: &mut User) -> bool {
    let limit = |pid, resource, new, x0| (nr::prlimit64, [pid, resource, new, 0, 0, 0], x0);
    let affinity = |pid, size, x0| (nr::sched_getaffinity, [pid, size, OUT, 0, 0, 0], x0);
    let groups = |size, x0| (nr::getgroups, [size, BAD, 0, 0, 0, 0], x0);
    let select = |count, time, mask, x0| (nr::pselect6, [count, 0, 0, BAD, time, mask], x0);
    let poll = |count, x0| (nr::ppoll, [OUT + 0x800, count, OUT, 0, 0, 0], x0);
    script(
        u,
        &[
            limit(99999, 16, BAD, EFAULT),
            limit(99999, 16, CROSSED, ESRCH),
            limit(MINUS, 16, 0, ESRCH),
            limit(0, 16, BAD, EFAULT),
            limit(0, 16, CROSSED, EINVAL),
            affinity(MINUS, 8, ESRCH),
            affinity(MINUS, 12, EINVAL),
            affinity(0, 1 << 32 | 8, 8),
            affinity(0, 1 << 32, EINVAL),
            groups(MINUS, EINVAL),
            groups(1 << 31, EINVAL),
            groups(0, 0),
            groups(1 << 32, 0),
            select(MINUS, LATE_TIME, BAD, EFAULT),
            select(MINUS, BAD, SHORT_MASK, EFAULT),
            select(MINUS, LATE_TIME, BAD_MASK, EINVAL),
            select(1, OUT, SHORT_MASK, EINVAL),
            select(MINUS, OUT, BAD_MASK, EFAULT),
            select(MINUS, OUT, NO_MASK, EINVAL),
            select(1, OUT, NO_MASK, EFAULT),
            poll(256, 0),
            poll(257, EINVAL),
            limit(0, 7, LOW, 0),
            poll(5, EINVAL),
            poll(4, 0),
        ],
    )
}

#[test]
fn limits_masks_and_counts_are_looked_at_in_linux_order() {
    answers(limits);
}

fn names(u: &mut User) -> bool {
    const EMPTY: u64 = 0x1000;
    const TMPFILE: u64 = 0o20000000;
    let link = |fd, to, x0| (nr::linkat, [fd, at(""), HERE, to, EMPTY, 0], x0);
    let list = |room, x0| (nr::getdents64, [DIR, OUT, room, 0, 0, 0], x0);
    script(
        u,
        &[
            link(HERE, at("/new"), EPERM),
            link(HERE, at("/f"), EEXIST),
            link(HERE, at(""), ENOENT),
            link(HERE, BAD, EFAULT),
            link(99, at("/new"), EBADF),
            link(RW, at("/new"), 0),
            open("/", TMPFILE | 2, EINVAL),
            open("/", TMPFILE | 0o40000, EINVAL),
            open("/", TMPFILE | 0o40102, EINVAL),
            open("/", TMPFILE | 0o40002, EOPNOTSUPP),
            open("/f", TMPFILE | 0o10000002, 14),
            (nr::close, [14, 0, 0, 0, 0, 0], 0),
            list(1 << 31, EINVAL),
            list(MINUS, EINVAL),
            list(1 << 32 | 24, 24),
        ],
    )
}

#[test]
fn names_and_listings_are_looked_at_as_by_linux() {
    answers(names);
}
