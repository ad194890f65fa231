//! O_CREAT of what is there in a sticky directory that all may write, as Linux 6.1 has it.

#[macro_use]
mod board;

use abi::linux::nr;
use board::script::{Call, HERE, SYNC, data, place, run, shows};
use journal::machine::User;

const ENXIO: i64 = -6;
const EACCES: i64 = -13;
const EEXIST: i64 = -17;
const EISDIR: i64 = -21;
const ELOOP: i64 = -40;

const PATHS: &[&str] = &[
    "/",
    "/s",
    "/s/c",
    "/s/f",
    "/s/p",
    "/s/d",
    "/s/l",
    "/s/b",
    "/s/u",
    "/o",
    "/o/k",
    "/proc/self/fd/3",
    "/proc/self/fd/4/c",
];

const RDWR: u64 = 2;
/// With O_RDWR.
const CREAT: u64 = 0o102;
const EXCL: u64 = 0o200;
const TRUNC: u64 = 0o1000;
const NOFOLLOW: u64 = 0o100000;
const NOATIME: u64 = 0o1000000;
const O_PATH: u64 = 0o10000000;

const fn at(path: &str) -> u64 {
    place(PATHS, path)
}
const fn open(path: &str, flags: u64, x0: i64) -> Call {
    (nr::openat, [HERE, at(path), flags, 0o644, 0, 0], x0)
}
const fn close(fd: u64) -> Call {
    (nr::close, [fd, 0, 0, 0, 0, 0], 0)
}
const fn make(path: &str, mode: u64, device: u64) -> Call {
    (nr::mknodat, [HERE, at(path), mode, device, 0, 0], 0)
}
const fn make_directory(path: &str) -> Call {
    (nr::mkdirat, [HERE, at(path), 0o755, 0, 0, 0], 0)
}
const fn link(path: &str, target: &str) -> Call {
    (nr::symlinkat, [at(target), HERE, at(path), 0, 0, 0], 0)
}
const fn own(path: &str, uid: u64) -> Call {
    (nr::fchownat, [HERE, at(path), uid, u32::MAX as u64, 0x100, 0], 0)
}
const fn allow(path: &str, mode: u64) -> Call {
    (nr::fchmodat, [HERE, at(path), mode, 0, 0, 0], 0)
}

/// A directory of 5 with what belongs to 7: a device, a file, a FIFO, a directory, a link, a device without driver, a socket.
const MAKE: &[Call] = &[
    make_directory("/s"),
    make_directory("/o"),
    make("/s/c", 0o020666, 0x103),
    make("/s/f", 0o100666, 0),
    make("/s/p", 0o010666, 0),
    make_directory("/s/d"),
    link("/s/l", "/s/f"),
    make("/s/b", 0o060666, 0x4242),
    make("/s/u", 0o140666, 0),
    link("/o/k", "/s/c"),
    own("/s", 5),
    own("/s/c", 7),
    own("/s/f", 7),
    own("/s/p", 7),
    own("/s/d", 7),
    own("/s/l", 7),
    own("/s/b", 7),
    own("/s/u", 7),
    allow("/s", 0o1777),
];

const OPEN: &[Call] = &[
    open("/s/c", CREAT, EACCES),
    open("/s/c", CREAT & !RDWR, EACCES),
    open("/s/c", CREAT | TRUNC, EACCES),
    open("/s/c", CREAT | NOATIME, EACCES),
    open("/s/c", CREAT | NOFOLLOW, EACCES),
    // The directory of the link's target is asked, not the link's.
    open("/o/k", CREAT, EACCES),
    open("/s/c", CREAT | EXCL, EEXIST),
    open("/s/c", RDWR, 3),
    open("/s", 0, 4),
    open("/s/c", O_PATH | CREAT, 5),
    close(5),
    // What is led to directly has no directory in which it was looked up.
    open("/proc/self/fd/3", CREAT, 5),
    close(5),
    open("/proc/self/fd/4/c", CREAT, EACCES),
    SYNC,
    open("/s/f", CREAT, 5),
    close(5),
    open("/s/p", CREAT, 5),
    close(5),
    open("/s/d", CREAT, EISDIR),
    open("/s/l", CREAT | NOFOLLOW, EACCES),
    open("/s/l", NOFOLLOW, ELOOP),
    open("/s/b", CREAT, EACCES),
    open("/s/b", RDWR, ENXIO),
    open("/s/u", CREAT, EACCES),
    open("/s/u", RDWR, ENXIO),
    // Both bits are asked for.
    allow("/s", 0o1770),
    open("/s/c", CREAT, 5),
    close(5),
    open("/s/l", CREAT | NOFOLLOW, ELOOP),
    open("/s/u", CREAT, ENXIO),
    allow("/s", 0o0777),
    open("/s/c", CREAT, 5),
    close(5),
    allow("/s", 0o1772),
    open("/s/c", CREAT, EACCES),
    // The directory's owner, and the caller.
    own("/s/c", 5),
    open("/s/c", CREAT, 5),
    close(5),
    own("/s/c", 0),
    open("/s/c", CREAT, 5),
    close(5),
    own("/s/c", 7),
    open("/s/c", CREAT, EACCES),
    // A link that leads directly, where the root is such a directory.
    own("/", 5),
    allow("/", 0o1777),
    open("/proc/self/fd/3", CREAT, 5),
    close(5),
    open("/o/k", RDWR, 5),
];

#[test]
fn what_is_there_in_a_sticky_directory_is_opened_with_creat_by_its_owner_alone() {
    let said = shows(&data(PATHS), 0, |u: &mut User| run(u, &[MAKE, OPEN].concat()));
    assert!(said.is_empty());
}
