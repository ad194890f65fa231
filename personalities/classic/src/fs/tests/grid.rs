//! Calls asked with all combinations of some arguments, with what Linux 6.1 says to them.

use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;

const ENOENT: i64 = -2;
const EBADF: i64 = -9;
const EFAULT: i64 = -14;
const ENODEV: i64 = -19;
const ENOTDIR: i64 = -20;
const EISDIR: i64 = -21;
const EINVAL: i64 = -22;
const EFBIG: i64 = -27;
const ESPIPE: i64 = -29;
const ENAMETOOLONG: i64 = -36;
const EOPNOTSUPP: i64 = -95;
const NO_FILE: u64 = 99;
/// No memory lies there.
const NOWHERE: u64 = 8;

/// A mode that is good at all, and what a regular file that is open for writing says to it.
const MODES: [(u64, i64); 15] = [
    (0, EOPNOTSUPP),
    (1, EOPNOTSUPP),
    (2, EOPNOTSUPP),
    (3, EOPNOTSUPP),
    (4, EOPNOTSUPP),
    (8, EOPNOTSUPP),
    (9, EINVAL),
    (0x10, EOPNOTSUPP),
    (0x13, EOPNOTSUPP),
    (0x20, EOPNOTSUPP),
    (0x21, EINVAL),
    (0x41, EOPNOTSUPP),
    (0x43, EINVAL),
    (0x48, EINVAL),
    (0x80, EOPNOTSUPP),
];

#[test]
fn fallocate_looks_at_range_mode_descriptor_and_kind_in_this_order() {
    let mut w = World::new();
    let file = w.open("/tmp/f", O_CREAT | O_RDWR) as u64;
    let read_only = w.open("/etc/passwd", 0) as u64;
    let dir = w.open("/tmp", 0) as u64;
    let null = w.open("/dev/null", O_RDWR) as u64;
    let (_, pipe) = w.pipe();
    const MAX: u64 = i64::MAX as u64;
    for (mode, of_file) in MODES {
        // A mode that Linux does not know, or not so, is found before how the file is open.
        let known = !matches!(mode, 2 | 4 | 0x13 | 0x80) && of_file != EINVAL;
        let or = |other: i64| if known { other } else { of_file };
        let mut ask = |fd: u64, at: u64, len: u64| w.call(nr::fallocate, &[fd, mode, at, len]);
        assert_eq!(ask(file, 0, 4096), of_file, "{mode:#x}");
        assert_eq!(ask(file, 0, MAX), or(EFBIG), "{mode:#x}");
        assert_eq!(ask(file, MAX, 4096), or(EFBIG), "{mode:#x}");
        assert_eq!(ask(file, 0, 0), EINVAL, "{mode:#x}");
        assert_eq!(ask(read_only, 0, 4096), or(EBADF), "{mode:#x}");
        assert_eq!(ask(dir, 0, 4096), or(EBADF), "{mode:#x}");
        assert_eq!(ask(pipe as u64, 0, 4096), or(ESPIPE), "{mode:#x}");
        assert_eq!(ask(null, 0, 4096), or(ENODEV), "{mode:#x}");
        assert_eq!(ask(NO_FILE, 0, 0), EBADF, "{mode:#x}");
    }
}

#[test]
fn flock_looks_at_the_operation_before_the_descriptor() {
    let mut w = World::new();
    let file = w.open("/etc/passwd", 0) as u64;
    let neither = w.open("/etc/passwd", 3) as u64;
    let path = w.open("/etc/passwd", O_PATH) as u64;
    // Of each operation: for a file, for one that is open for neither reading nor writing, and for what is no file to it.
    let table = [
        (0, EINVAL, EINVAL, EINVAL),
        (1, 0, EBADF, EBADF),
        (2, 0, EBADF, EBADF),
        (4, EINVAL, EINVAL, EINVAL),
        (6, 0, EBADF, EBADF),
        (8, 0, 0, EBADF),
        (9, EINVAL, EINVAL, EINVAL),
        (12, 0, 0, EBADF),
        (32, 0, 0, 0),
        (33, 0, 0, 0),
        (u64::MAX, 0, 0, 0),
    ];
    for (operation, good, of_neither, none) in table {
        let expected = [good, of_neither, none, none];
        let said = [file, neither, path, NO_FILE].map(|fd| w.call(nr::flock, &[fd, operation]));
        assert_eq!(said, expected, "{operation:#x}");
    }
}

#[test]
fn a_listing_takes_no_room_of_two_gibibytes() {
    let mut w = World::new();
    let dir = w.open("/etc", 0) as u64;
    let file = w.open("/etc/passwd", 0) as u64;
    for len in [1 << 31, u64::from(u32::MAX), u64::MAX] {
        assert_eq!(w.call(nr::getdents64, &[dir, OUT, len]), EINVAL);
        assert_eq!(w.call(nr::getdents64, &[dir, NOWHERE, len]), EINVAL);
        assert_eq!(w.call(nr::getdents64, &[file, OUT, len]), ENOTDIR);
        assert_eq!(w.call(nr::getdents64, &[NO_FILE, OUT, len]), EBADF);
    }
    assert!(w.call(nr::getdents64, &[dir, OUT, (1 << 31) - 1]) > 0);
}

#[test]
fn the_end_of_a_listing_is_found_before_its_room() {
    let mut w = World::new();
    for path in ["/etc", "/dev", "/proc"] {
        let dir = w.open(path, 0) as u64;
        for len in [0, 1 << 31, u64::from(u32::MAX)] {
            assert_eq!(w.call(nr::getdents64, &[dir, OUT, len]), EINVAL, "{path} {len}");
        }
        while w.call(nr::getdents64, &[dir, OUT, 64]) > 0 {}
        for len in [0, 1 << 31, u64::from(u32::MAX)] {
            for address in [OUT, NOWHERE] {
                assert_eq!(w.call(nr::getdents64, &[dir, address, len]), 0, "{path} {len}");
            }
        }
    }
}

#[test]
fn texts_of_proc_say_how_much_is_left_of_a_file_of_no_size() {
    const FIONREAD: u64 = 0x541b;
    let mut w = World::new();
    let text = w.open("/proc/uptime", 0) as u64;
    assert_eq!(w.call(nr::ioctl, &[text, FIONREAD, OUT]), 0);
    assert_eq!(w.out(4), 0i32.to_le_bytes());
    assert_eq!(w.call(nr::ioctl, &[text, FIONREAD, NOWHERE]), EFAULT);
    assert_eq!(w.call(nr::read, &[text, OUT, 3]), 3);
    assert_eq!(w.call(nr::ioctl, &[text, FIONREAD, OUT]), 0);
    assert_eq!(w.out(4), (-3i32).to_le_bytes());
}

/// What calls say to a name in a directory: those that look it up or make it, and, last, open with O_CREAT, with and without O_EXCL.
fn said_to(w: &mut World, name: &str) -> Vec<i64> {
    let (name, file, link) = (w.text(1, name.as_bytes()), w.text(2, b"/tmp/f"), w.text(3, b"text"));
    let calls: [(u64, &[u64]); 15] = [
        (nr::newfstatat, &[AT, name, OUT, 0]),
        (nr::newfstatat, &[AT, name, OUT, 0x100]),
        (nr::openat, &[AT, name, 0, 0]),
        (nr::mkdirat, &[AT, name, 0o755]),
        (nr::symlinkat, &[link, AT, name]),
        (nr::mknodat, &[AT, name, 0o010_644, 0]),
        (nr::linkat, &[AT, file, AT, name, 0]),
        (nr::linkat, &[AT, name, AT, file, 0]),
        (nr::renameat, &[AT, file, AT, name]),
        (nr::renameat, &[AT, name, AT, file]),
        (nr::unlinkat, &[AT, name, 0]),
        (nr::chdir, &[name]),
        (nr::truncate, &[name, 0]),
        (nr::openat, &[AT, name, u64::from(O_CREAT | O_RDWR), 0o644]),
        (nr::openat, &[AT, name, u64::from(O_CREAT | O_EXCL | O_RDWR), 0o644]),
    ];
    calls.iter().map(|(number, args)| w.call(*number, args)).collect()
}

#[test]
fn a_removed_directory_has_no_names_however_long_and_a_slash_is_found_first() {
    let mut w = World::new();
    w.open("/tmp/f", O_CREAT);
    assert_eq!(w.at(nr::mkdirat, "/tmp/gone", &[0o755]), 0);
    let path = w.text(0, b"/tmp/gone");
    assert_eq!(w.call(nr::chdir, &[path]), 0);
    let long = "n".repeat(256);
    let names = [long.clone(), format!("{long}/"), format!("{long}/x"), format!("x/{long}")];
    let slashes = [false, true, false, false];
    for removed in [false, true] {
        let error = if removed { ENOENT } else { ENAMETOOLONG };
        for (name, slash) in names.iter().zip(slashes) {
            // The third name's directory is too long itself; that of the fourth is not there.
            let error = if name.starts_with('x') { ENOENT } else { error };
            let mut expected = vec![error; 13];
            expected.resize(15, if slash { EISDIR } else { error });
            assert_eq!(said_to(&mut w, name), expected, "{name} {removed}");
        }
        if !removed {
            assert_eq!(w.at(nr::unlinkat, "/tmp/gone", &[0x200]), 0);
        }
    }
    // A short name too, with a slash; the directory itself and the one above are there.
    let mut expected = vec![ENOENT; 13];
    expected.resize(15, EISDIR);
    assert_eq!(said_to(&mut w, "s/"), expected);
    for name in [".", ".."] {
        assert_eq!(w.at(nr::newfstatat, name, &[OUT, 0]), 0);
    }
    // To another directory by a name that is there.
    let (from, to) = (w.text(1, b"/tmp/f"), w.text(2, b"/tmp/g"));
    assert_eq!(w.call(nr::renameat, &[AT, from, AT, to]), 0);
}
