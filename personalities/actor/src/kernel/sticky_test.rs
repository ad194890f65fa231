//! O_CREAT of what is there already, in directories that are sticky and for all to write.

use super::linux_test::answer;
use super::names_test::{mkdir, open, path};
use super::test::{Fake, kernel};
use super::*;
use abi::linux::nr;

const AT_CWD: i64 = -100;
const NO_FOLLOW: i64 = 0x100;
const ENXIO: i64 = -6;
const EACCES: i64 = -13;
const EEXIST: i64 = -17;
const EISDIR: i64 = -21;
const ELOOP: i64 = -40;
const O_RDWR: i64 = 2;
const O_CREAT: i64 = 0o100;
const O_EXCL: i64 = 0o200;
const O_TRUNC: i64 = 0o1000;
const O_DIRECTORY: i64 = 0o40000;
const O_NOFOLLOW: i64 = 0o100000;
const O_NOATIME: i64 = 0o1000000;
const O_PATH: i64 = 0o10000000;
const MADE: i64 = O_RDWR | O_CREAT;

fn owner(k: &mut Kernel<Fake>, text: &str, uid: i64) {
    let at = path(k, 0, text);
    assert_eq!(answer(k, nr::fchownat, &[AT_CWD, at, uid, uid, NO_FOLLOW]), 0);
}

fn mode(k: &mut Kernel<Fake>, text: &str, mode: i64) {
    let at = path(k, 0, text);
    assert_eq!(answer(k, nr::fchmodat, &[AT_CWD, at, mode]), 0);
}

/// In `/s`, which is sticky, for all to write and uid 5's: one of each kind, uid 7's; links to the device are in `/` and there.
fn sticky() -> Kernel<Fake> {
    let mut k = kernel();
    let null = 1 << 8 | 3;
    ["/s", "/s/d"].iter().for_each(|name| mkdir(&mut k, name));
    for (name, kind) in [("c", 0o020000), ("b", 0o060000), ("k", 0o140000), ("f", 0o100000), ("p", 0o010000)]
    {
        let at = path(&mut k, 0, &format!("/s/{name}"));
        assert_eq!(answer(&mut k, nr::mknodat, &[AT_CWD, at, kind | 0o666, null]), 0);
    }
    for name in ["/s/y", "/y"] {
        let (to, at) = (path(&mut k, 0, "/s/c"), path(&mut k, 1, name));
        assert_eq!(answer(&mut k, nr::symlinkat, &[to, AT_CWD, at]), 0);
    }
    ["/s/c", "/s/b", "/s/k", "/s/f", "/s/p", "/s/y", "/y"].iter().for_each(|name| owner(&mut k, name, 7));
    owner(&mut k, "/s", 5);
    mode(&mut k, "/s", 0o1777);
    k
}

#[test]
fn in_a_sticky_directory_for_all_o_creat_asks_whose_a_device_is() {
    let mut k = sticky();
    for (name, flags, expected) in [
        ("/s/c", MADE, EACCES),
        ("/y", MADE, EACCES),
        ("/s/y", MADE, EACCES),
        ("/s/c", O_CREAT | O_TRUNC, EACCES),
        ("/s/c", MADE | O_NOATIME, EACCES),
        ("/s/c", MADE | O_NOFOLLOW, EACCES),
        ("/s/c", O_RDWR, 0),
        ("/s/c", MADE | O_EXCL, EEXIST),
        ("/s/c", MADE | O_PATH, 0),
        // The link's own owner, in the directory that it is in.
        ("/s/y", MADE | O_NOFOLLOW, EACCES),
        ("/s/y", O_RDWR | O_NOFOLLOW, ELOOP),
        ("/y", MADE | O_NOFOLLOW, ELOOP),
        ("/s/b", O_RDWR, ENXIO),
        ("/s/b", MADE, EACCES),
        ("/s/k", O_RDWR, ENXIO),
        ("/s/k", MADE, EACCES),
        ("/s/f", MADE, 0),
        ("/s/p", MADE, 0),
        ("/s/d", MADE, EISDIR),
        ("/s/new", MADE, 0),
    ] {
        let fd = open(&mut k, name, flags);
        assert_eq!(fd.min(0), expected, "{name} {flags:o}");
        answer(&mut k, nr::close, &[fd]);
    }
}

#[test]
fn o_creat_asks_the_mode_and_the_owner_of_the_directory_in_which_a_device_was_found() {
    let mut k = sticky();
    let made = |k: &mut Kernel<Fake>, name: &str| open(k, name, MADE).min(0);
    for (directory, expected) in
        [(0o1770, 0), (0o1772, EACCES), (0o777, 0), (0o1002, EACCES), (0o1777, EACCES)]
    {
        mode(&mut k, "/s", directory);
        assert_eq!(made(&mut k, "/s/c"), expected, "{directory:o}");
    }
    // By links of descriptors: the device's own is in no such directory, but what the directory's leads to is.
    let (device, directory) = (open(&mut k, "/s/c", O_RDWR), open(&mut k, "/s", O_DIRECTORY));
    assert_eq!(made(&mut k, &format!("/proc/self/fd/{device}")), 0);
    assert_eq!(made(&mut k, &format!("/proc/self/fd/{directory}/c")), EACCES);
    for (uid, expected) in [(5, 0), (0, 0), (7, EACCES)] {
        owner(&mut k, "/s/c", uid);
        assert_eq!(made(&mut k, "/s/c"), expected, "{uid}");
    }
    owner(&mut k, "/s", 7);
    assert_eq!(made(&mut k, "/s/c"), 0);
}
