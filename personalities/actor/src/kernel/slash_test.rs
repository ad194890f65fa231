//! O_CREAT, and slashes behind the name that is looked up last.

use super::linux_test::answer;
use super::names_test::{mkdir, open, path};
use super::test::{DATA, Fake, kernel};
use super::*;
use abi::linux::nr;

const AT_CWD: i64 = -100;
const ENOENT: i64 = -2;
const EEXIST: i64 = -17;
const ENOTDIR: i64 = -20;
const EISDIR: i64 = -21;
const ENAMETOOLONG: i64 = -36;
const ELOOP: i64 = -40;
const O_RDONLY: i64 = 0;
const O_RDWR: i64 = 2;
const O_CREAT: i64 = 0o100;
const O_EXCL: i64 = 0o200;
const O_NOFOLLOW: i64 = 0o100000;
const O_PATH: i64 = 0o10000000;
const FLAGS: [i64; 7] = [
    O_RDWR | O_CREAT,
    O_RDWR,
    O_RDONLY,
    O_RDONLY | O_CREAT,
    O_RDWR | O_CREAT | O_EXCL,
    O_PATH | O_CREAT,
    O_RDWR | O_CREAT | O_NOFOLLOW,
];

fn link(k: &mut Kernel<Fake>, name: &str, text: &str) {
    let (to, at) = (path(k, 0, text), path(k, 1, name));
    assert_eq!(answer(k, nr::symlinkat, &[to, AT_CWD, at]), 0);
}

/// With a regular file, a device and a directory in `/st`.
fn places() -> Kernel<Fake> {
    let mut k = kernel();
    ["/st", "/st/d"].iter().for_each(|name| mkdir(&mut k, name));
    for (name, kind) in [("/st/r", 0o100666), ("/st/c", 0o020666)] {
        let at = path(&mut k, 0, name);
        assert_eq!(answer(&mut k, nr::mknodat, &[AT_CWD, at, kind, 1 << 8 | 3]), 0);
    }
    k
}

/// What opening by each of [`FLAGS`] gives; 0: a descriptor.
fn opens(k: &mut Kernel<Fake>, name: &str) -> [i64; 7] {
    FLAGS.map(|flags| {
        let fd = open(k, name, flags);
        answer(k, nr::close, &[fd]);
        fd.min(0)
    })
}

/// Entries of `/`, as getdents64 has them.
fn listing(k: &mut Kernel<Fake>) -> Vec<u8> {
    let (fd, at) = (open(k, "/", 0o40000), DATA as i64 + 0x800);
    let length = answer(k, nr::getdents64, &[fd, at, 0x1000]);
    assert!(length > 0 && answer(k, nr::close, &[fd]) == 0);
    k.bytes_in(1, at as u64, length as usize).unwrap()
}

#[test]
fn o_creat_with_a_slash_behind_the_last_name_is_eisdir_whatever_is_there() {
    let mut k = places();
    let by_link = |open, path| [EISDIR, open, path, EISDIR, EEXIST, path, ELOOP];
    let by_name = |open, path| [EISDIR, open, path, EISDIR, EISDIR, path, EISDIR];
    for (i, (text, open, path)) in [
        ("nofile/", ENOENT, ENOENT),
        ("st/r/", ENOTDIR, ENOTDIR),
        ("st/d/", EISDIR, 0),
        ("st/c/", ENOTDIR, ENOTDIR),
        ("st/r///", ENOTDIR, ENOTDIR),
    ]
    .into_iter()
    .enumerate()
    {
        let (first, second) = (format!("/l{i}"), format!("/m{i}"));
        link(&mut k, &first, text);
        link(&mut k, &second, &first);
        let before = listing(&mut k);
        assert_eq!(opens(&mut k, text), by_name(open, path), "{text}");
        assert_eq!(opens(&mut k, &first), by_link(open, path), "link to {text}");
        assert_eq!(opens(&mut k, &second), by_link(open, path), "link to a link to {text}");
        assert_eq!(listing(&mut k), before, "{text}");
    }
}

#[test]
fn a_slash_behind_a_link_in_a_link_counts_though_none_follows() {
    let mut k = places();
    for (name, inner, text) in [("/a", "/ai", "st/r"), ("/b", "/bi", "st/d"), ("/c", "/ci", "nofile")] {
        link(&mut k, inner, text);
        link(&mut k, name, &format!("{inner}/"));
    }
    let expected = |open, path| [EISDIR, open, path, EISDIR, EEXIST, path, ELOOP];
    assert_eq!(opens(&mut k, "/a"), expected(ENOTDIR, ENOTDIR));
    assert_eq!(opens(&mut k, "/b"), expected(EISDIR, 0));
    assert_eq!(opens(&mut k, "/c"), expected(ENOENT, ENOENT));
    // For others that follow links, too.
    let at = path(&mut k, 0, "/a");
    assert_eq!(answer(&mut k, nr::newfstatat, &[AT_CWD, at, DATA as i64 + 0x800, 0]), ENOTDIR);
    assert_eq!(answer(&mut k, nr::truncate, &[at, 0]), ENOTDIR);
}

#[test]
fn the_slash_is_found_behind_the_walk_to_the_last_name_and_before_that_name() {
    let mut k = places();
    let long = "n".repeat(256);
    for (i, (text, expected)) in [
        ("nodir/nofile/", ENOENT),
        ("st/r/nofile/", ENOTDIR),
        (&format!("{long}/"), EISDIR),
        (&long, ENAMETOOLONG),
        // No names: directories that are there.
        ("/", EISDIR),
        ("st/d/./", EISDIR),
        ("st/r/./", ENOTDIR),
        ("st/d/..//", EISDIR),
        ("st/c", 0),
        ("st/new", 0),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("/l{i}");
        link(&mut k, &name, text);
        assert_eq!(open(&mut k, &name, O_RDWR | O_CREAT).min(0), expected, "{text}");
    }
    // The last of 40 links has the slash; one more is not followed.
    (0..40).for_each(|i| link(&mut k, &format!("/c{i}"), &format!("/c{}", i + 1)));
    link(&mut k, "/c40", "st/r/");
    assert_eq!(open(&mut k, "/c1", O_RDWR | O_CREAT), EISDIR);
    assert_eq!(open(&mut k, "/c0", O_RDWR | O_CREAT), ELOOP);
}
