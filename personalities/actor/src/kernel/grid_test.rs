//! Tables of arguments and what Linux 6.1 answers: calls whose checks stand in an order of their own, and what few programs ask.

use super::linux_test::answer;
use super::names_test::{mkdir, open, path, remove};
use super::test::{DATA, Fake, kernel};
use super::*;
use abi::linux::nr;

const EBADF: i64 = -9;
const EEXIST: i64 = -17;
const EFAULT: i64 = -14;
const EFBIG: i64 = -27;
const EINVAL: i64 = -22;
const EISDIR: i64 = -21;
const ENAMETOOLONG: i64 = -36;
const ENODEV: i64 = -19;
const ENOENT: i64 = -2;
const ENOTDIR: i64 = -20;
const ENOTTY: i64 = -25;
const EOPNOTSUPP: i64 = -95;
const EROFS: i64 = -30;
const ESPIPE: i64 = -29;

const AT_CWD: i64 = -100;
const MAX: i64 = i64::MAX;
/// Memory that is not there, and memory that is.
const NOWHERE: i64 = 8;
const OUT: i64 = DATA as i64 + 0x800;
const O_WRONLY: i64 = 1;
const O_RDWR: i64 = 2;
const O_CREAT: i64 = 0o100;
const O_DIRECTORY: i64 = 0o40000;
const O_PATH: i64 = 0o10000000;
const TMPFILE: i64 = 0o20000000;

/// Puts words into memory at `at`.
fn words(k: &mut Kernel<Fake>, at: i64, words: &[i64]) -> i64 {
    k.put(at as u64, &words.iter().flat_map(|w| w.to_le_bytes()).collect::<Vec<_>>());
    at
}

/// Each call's arguments and its answer.
fn table(k: &mut Kernel<Fake>, number: u64, rows: &[(&[i64], i64)]) {
    for (arguments, expected) in rows {
        assert_eq!(answer(k, number, arguments), *expected, "{number} {arguments:?}");
    }
}

/// A file of five bytes open for both, one open for reading, a directory, /dev/null, a text of /proc, and a place.
fn opened(k: &mut Kernel<Fake>) -> [i64; 6] {
    let file = open(k, "/f", O_RDWR | O_CREAT);
    assert_eq!(answer(k, nr::write, &[file, OUT, 5]), 5);
    mkdir(k, "/d");
    let paths = [("/f", 0), ("/d", 0), ("/dev/null", O_RDWR), ("/proc/self/stat", 0), ("/f", O_PATH)];
    let [only, directory, null, text, place] = paths.map(|(path, flags)| open(k, path, flags));
    [file, only, directory, null, text, place]
}

#[test]
fn pselect6_reads_the_pair_then_the_timeout_then_the_mask_then_looks_at_n_and_the_sets() {
    let mut k = kernel();
    let zero = words(&mut k, OUT, &[0, 0]);
    let wrong = words(&mut k, OUT + 0x10, &[0, 1_000_000_000]);
    let pair = |k: &mut Kernel<Fake>, at: i64, mask, size| words(k, OUT + at, &[mask, size]);
    let short = pair(&mut k, 0x20, zero, 7);
    let bad = pair(&mut k, 0x30, NOWHERE, 8);
    let good = pair(&mut k, 0x40, zero, 8);
    let none = pair(&mut k, 0x50, 0, 7);
    table(
        &mut k,
        nr::pselect6,
        &[
            (&[-1, NOWHERE, 0, 0, wrong, NOWHERE], EFAULT),
            (&[-1, NOWHERE, 0, 0, NOWHERE, short], EFAULT),
            (&[-1, NOWHERE, 0, 0, wrong, bad], EINVAL),
            (&[-1, NOWHERE, 0, 0, zero, bad], EFAULT),
            (&[-1, NOWHERE, 0, 0, zero, short], EINVAL),
            (&[-1, NOWHERE, 0, 0, zero, good], EINVAL),
            (&[1, NOWHERE, 0, 0, zero, none], EFAULT),
            (&[0, NOWHERE, 0, 0, zero, none], 0),
        ],
    );
}

#[test]
fn the_alarm_clocks_are_there_and_sleeps_by_odd_clocks_end_in_linux_order() {
    let mut k = kernel();
    let (zero, wrong) = (words(&mut k, OUT, &[0, 0]), words(&mut k, OUT + 0x10, &[-1, 0]));
    for (clock, same) in [(8, 0), (9, 7), (1 << 32 | 8, 0)] {
        let mut read = |clock, at| {
            assert_eq!(answer(&mut k, nr::clock_gettime, &[clock, at]), 0);
            k.bytes_in(1, at as u64, 16).unwrap()
        };
        assert_eq!(read(clock, OUT + 0x20), read(same, OUT + 0x30), "{clock}");
        table(&mut k, nr::clock_getres, &[(&[clock, 0], 0), (&[clock, NOWHERE], EFAULT)]);
        table(
            &mut k,
            nr::clock_nanosleep,
            &[
                (&[clock, 0, zero, 0], 0),
                (&[clock, 1, zero, 0], 0),
                (&[clock, 2, zero, 0], EINVAL),
                (&[clock, 2, NOWHERE, 0], EFAULT),
                (&[clock, 0, wrong, 0], EINVAL),
            ],
        );
    }
    // Other clocks know no flags.
    table(&mut k, nr::clock_nanosleep, &[(&[0, 2, zero, 0], 0), (&[7, 6, zero, 0], 0)]);
    for clock in 3..7 {
        for at in [zero, wrong, NOWHERE] {
            table(&mut k, nr::clock_nanosleep, &[(&[clock, 2, at, 0], EOPNOTSUPP)]);
        }
    }
    for (clock, at, expected) in [
        (10, NOWHERE, EINVAL),
        (12, NOWHERE, EINVAL),
        (-1, NOWHERE, EFAULT),
        (-1, zero, EINVAL),
        // By a descriptor there is no sleep.
        (-5, NOWHERE, EOPNOTSUPP),
    ] {
        table(&mut k, nr::clock_nanosleep, &[(&[clock, 0, at, 0], expected)]);
    }
}

#[test]
fn an_unnamed_file_is_asked_for_rightly_before_it_is_refused() {
    let mut k = kernel();
    let root = path(&mut k, 0, "/");
    for (flags, expected) in [
        (TMPFILE, EINVAL),
        (TMPFILE | O_RDWR, EINVAL),
        (TMPFILE | O_CREAT | O_RDWR, EINVAL),
        (TMPFILE | O_DIRECTORY, EINVAL),
        (TMPFILE | O_DIRECTORY | O_CREAT | O_RDWR, EINVAL),
        (TMPFILE | O_DIRECTORY | 0o1000, EINVAL),
        (TMPFILE | O_DIRECTORY | O_WRONLY, EOPNOTSUPP),
        (TMPFILE | O_DIRECTORY | O_RDWR, EOPNOTSUPP),
        (TMPFILE | O_DIRECTORY | 3, EOPNOTSUPP),
    ] {
        table(&mut k, nr::openat, &[(&[AT_CWD, root, flags, 0o600], expected)]);
    }
    assert_eq!(answer(&mut k, nr::openat, &[AT_CWD, NOWHERE, TMPFILE | O_RDWR, 0]), EINVAL);
    assert!(answer(&mut k, nr::openat, &[AT_CWD, root, TMPFILE | O_PATH, 0]) > 2);
}

#[test]
fn fallocate_looks_at_the_range_the_mode_how_the_file_is_open_what_it_is_and_how_long_it_becomes() {
    let mut k = kernel();
    let [file, only, directory, null, text, place] = opened(&mut k);
    assert_eq!(answer(&mut k, nr::pipe2, &[OUT, 0]), 0);
    let both = k.bytes_in(1, OUT as u64, 8).unwrap();
    let [reader, writer] = [both[0], both[4]].map(i64::from);
    for mode in [2, 4, 0x12, 0x13, 0x80, 1 << 31] {
        for fd in [file, only, directory, null, text, reader] {
            table(&mut k, nr::fallocate, &[(&[fd, mode, 0, MAX], EOPNOTSUPP)]);
        }
        table(&mut k, nr::fallocate, &[(&[file, mode, 0, 0], EINVAL), (&[place, mode, 0, 0], EBADF)]);
    }
    for mode in [0x9, 0x21, 0x28, 0x60, 0x48] {
        table(&mut k, nr::fallocate, &[(&[only, mode, 0, 1], EINVAL)]);
    }
    for mode in [0, 1, 3, 8, 0x10, 0x11, 0x20, 0x40, 0x41] {
        let rows: [(&[i64], i64); 12] = [
            (&[file, mode, 0, 1 << 40], EOPNOTSUPP),
            (&[file, mode, 1, 1 << 40], EFBIG),
            (&[file, mode, MAX, MAX], EFBIG),
            (&[file, mode, -1, MAX], EINVAL),
            (&[file, mode, 0, -1], EINVAL),
            (&[only, mode, MAX, MAX], EBADF),
            (&[directory, mode, 0, 1], EBADF),
            (&[text, mode, 0, 1], EBADF),
            (&[reader, mode, 0, 1], EBADF),
            (&[writer, mode, MAX, MAX], ESPIPE),
            (&[null, mode, MAX, MAX], ENODEV),
            (&[99, mode, -1, 0], EBADF),
        ];
        table(&mut k, nr::fallocate, &rows);
    }
}

#[test]
fn flock_of_what_linux_has_no_more_is_0_before_all_else() {
    let mut k = kernel();
    let [file, .., place] = opened(&mut k);
    for operation in [32, -1, 0xa0, 1 << 32 | 33] {
        table(&mut k, nr::flock, &[(&[file, operation], 0), (&[place, operation], 0), (&[-1, operation], 0)]);
    }
    table(
        &mut k,
        nr::flock,
        &[(&[-1, 16], EINVAL), (&[-1, 2], EBADF), (&[place, 8], EBADF), (&[file, 6], 0)],
    );
}

#[test]
fn a_range_beyond_2_to_the_63_is_none_whatever_is_read() {
    let mut k = kernel();
    let [file, only, directory, null, text, place] = opened(&mut k);
    for fd in [file, only, directory, null, text] {
        for at in [OUT, NOWHERE] {
            table(&mut k, nr::pread64, &[(&[fd, at, 3, MAX], EINVAL), (&[fd, at, 3, MAX - 2], EINVAL)]);
        }
        table(&mut k, nr::pread64, &[(&[fd, -1, 3, MAX], EFAULT)]);
    }
    let vector = words(&mut k, OUT, &[OUT + 0x40, 1, OUT + 0x40, 2, OUT + 0x40, 0]);
    for (number, rows) in [
        (nr::pread64, [([file, OUT, 3, MAX - 3], 0), ([directory, OUT, 3, MAX - 3], EISDIR)]),
        (nr::pread64, [([file, OUT, 0, MAX], 0), ([0, OUT, 3, MAX], ESPIPE)]),
        (nr::pread64, [([place, OUT, 3, MAX], EBADF), ([99, OUT, 3, -1], EINVAL)]),
        (nr::pwrite64, [([file, OUT, 3, MAX], EINVAL), ([file, OUT, 3, MAX - 3], EFBIG)]),
        (nr::pwrite64, [([null, OUT, 3, MAX], EINVAL), ([only, OUT, 3, MAX], EBADF)]),
    ] {
        rows.iter().for_each(|(a, expected)| table(&mut k, number, &[(&a[..], *expected)]));
    }
    // Of a descriptor's own position as well.
    for fd in [directory, text] {
        assert_eq!(answer(&mut k, nr::lseek, &[fd, MAX, 0]), MAX);
        table(&mut k, nr::read, &[(&[fd, OUT + 0x40, 1], EINVAL)]);
        table(&mut k, nr::readv, &[(&[fd, vector, 2], EINVAL), (&[fd, vector + 32, 1], 0)]);
    }
}

#[test]
fn the_signal_at_a_parent_s_end_and_the_terminal_s_odd_numbers_can_be_asked_for() {
    let (get_death, set_death) = (2, 1);
    let (outq, discipline, exclusive, held) = (0x5411, 0x5424, 0x8004_5440, 0x541b);
    let mut k = kernel();
    let asked = |k: &mut Kernel<Fake>, number: u64, arguments: &[i64]| {
        words(k, OUT, &[-1]);
        assert_eq!(answer(k, number, arguments), 0, "{number} {arguments:?}");
        k.memory.word(k.space_of(1).unwrap(), OUT as u64).unwrap() as i64
    };
    assert_eq!(asked(&mut k, nr::prctl, &[get_death, OUT, 1, 1, 1]), -1 << 32);
    assert_eq!(answer(&mut k, nr::prctl, &[set_death, 15]), 0);
    assert_eq!(asked(&mut k, nr::prctl, &[get_death, OUT]), -1 << 32 | 15);
    table(&mut k, nr::prctl, &[(&[get_death, NOWHERE], EFAULT)]);
    let [file, _, directory, null, text, _] = opened(&mut k);
    for command in [outq, discipline, exclusive] {
        assert_eq!(asked(&mut k, nr::ioctl, &[0, command, OUT]), -1 << 32);
        table(&mut k, nr::ioctl, &[(&[0, command, NOWHERE], EFAULT), (&[file, command, OUT], ENOTTY)]);
    }
    // A text of /proc is a regular file without a size.
    assert_eq!(answer(&mut k, nr::lseek, &[text, 3, 0]), 3);
    assert_eq!(asked(&mut k, nr::ioctl, &[text, held, OUT]) as i32, -3);
    table(&mut k, nr::ioctl, &[(&[text, held, NOWHERE], EFAULT), (&[null, held, OUT], ENOTTY)]);
    table(&mut k, nr::ioctl, &[(&[directory, held, OUT], ENOTTY), (&[text, outq, OUT], ENOTTY)]);
}

#[test]
fn lengths_that_are_negative_in_32_bits_are_none() {
    let mut k = kernel();
    let [file, _, directory, ..] = opened(&mut k);
    for size in [-1, 1 << 31, 0xffff_ffff] {
        table(&mut k, nr::getgroups, &[(&[size, OUT], EINVAL), (&[size, NOWHERE], EINVAL)]);
        table(&mut k, nr::getdents64, &[(&[directory, OUT, size], EINVAL), (&[file, OUT, size], ENOTDIR)]);
    }
    table(&mut k, nr::getgroups, &[(&[1 << 32, 0], 0), (&[i32::MAX.into(), NOWHERE], 0)]);
    assert_eq!(answer(&mut k, nr::getdents64, &[directory, OUT, i32::MAX.into()]), 48);
    // Where nothing is left no length is looked at.
    table(&mut k, nr::getdents64, &[(&[directory, OUT, -1], 0)]);
}

#[test]
fn in_a_removed_directory_no_name_is_too_long() {
    let long = "n".repeat(256);
    let mut k = kernel();
    mkdir(&mut k, "/gone");
    open(&mut k, "/f", O_RDWR | O_CREAT);
    let at = path(&mut k, 0, "/gone");
    assert_eq!(answer(&mut k, nr::chdir, &[at]), 0);
    let all = |k: &mut Kernel<Fake>| {
        let (name, other) = (path(k, 0, &long), path(k, 1, "/f"));
        let [through, slash] = [(2, "/x"), (3, "/")].map(|(n, tail)| path(k, n, &format!("{long}{tail}")));
        let names = [
            (nr::newfstatat, [AT_CWD, name, OUT, 0]),
            (nr::newfstatat, [AT_CWD, through, OUT, 0]),
            (nr::newfstatat, [AT_CWD, slash, OUT, 0]),
            (nr::openat, [AT_CWD, name, 0, 0]),
            (nr::openat, [AT_CWD, name, O_RDWR | O_CREAT, 0]),
            (nr::openat, [AT_CWD, name, O_RDWR | O_CREAT | 0o200, 0]),
            (nr::openat, [AT_CWD, through, O_RDWR | O_CREAT, 0]),
            (nr::mkdirat, [AT_CWD, name, 0, 0]),
            (nr::mkdirat, [AT_CWD, slash, 0, 0]),
            (nr::symlinkat, [other, AT_CWD, name, 0]),
            (nr::mknodat, [AT_CWD, name, 0o10644, 0]),
            (nr::linkat, [AT_CWD, other, AT_CWD, name]),
            (nr::linkat, [AT_CWD, name, AT_CWD, other]),
            (nr::renameat, [AT_CWD, other, AT_CWD, name]),
            (nr::renameat, [AT_CWD, name, AT_CWD, other]),
            (nr::unlinkat, [AT_CWD, name, 0, 0]),
            (nr::unlinkat, [AT_CWD, name, 0x200, 0]),
            (nr::chdir, [name, 0, 0, 0]),
            (nr::readlinkat, [AT_CWD, name, OUT, 8]),
        ];
        names.map(|(number, arguments)| answer(k, number, &arguments))
    };
    assert_eq!(all(&mut k), [ENAMETOOLONG; 19]);
    remove(&mut k, "/gone", 0x200);
    assert_eq!(all(&mut k), [ENOENT; 19]);
    // A slash behind what is to be made comes before, and a link of another file system is not looked at.
    let (slash, device) = (path(&mut k, 0, &format!("{long}/")), path(&mut k, 1, "/dev/null"));
    assert_eq!(answer(&mut k, nr::openat, &[AT_CWD, slash, O_RDWR | O_CREAT, 0]), EISDIR);
    let name = path(&mut k, 0, "name");
    assert_eq!(answer(&mut k, nr::linkat, &[AT_CWD, device, AT_CWD, name, 0]), ENOENT);
    for (name, expected) in [(".", EEXIST), ("..", EEXIST), ("/dev/x", EROFS)] {
        let at = path(&mut k, 0, name);
        assert_eq!(answer(&mut k, nr::mkdirat, &[AT_CWD, at, 0]), expected, "{name}");
        assert!(expected == EROFS || answer(&mut k, nr::newfstatat, &[AT_CWD, at, OUT, 0]) == 0);
    }
}
