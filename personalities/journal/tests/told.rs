//! What links of /proc and getcwd tell, as Linux 6.1 does: of a process that has ended nothing, and no text of more than 4095 bytes.

#[macro_use]
mod board;

use abi::linux::nr;
use board::DATA;
use board::script::{BAD, Call, HERE, OUT, SYNC, data, place, run, shows};
use journal::machine::User;

const ENOENT: i64 = -2;
const EFAULT: i64 = -14;
const ERANGE: i64 = -34;
const ENAMETOOLONG: i64 = -36;

const PATHS: &[&str] = &[
    "",
    ".",
    "..",
    "/prog",
    "/proc/self/fd/3",
    "/proc/self/fd/4",
    "/proc/self/cwd",
    "/proc/self/exe",
    "/proc/self/maps",
    "/proc/2/exe",
    "/proc/2/cwd",
    "/proc/2/cwd/prog",
];
const CREAT: u64 = 0o102;
const NOFOLLOW: u64 = 0o100000;
const O_PATH: u64 = 0o10000000;
const REMOVE_DIRECTORY: u64 = 0x200;

const fn at(path: &str) -> u64 {
    place(PATHS, path)
}
const fn open(path: u64, flags: u64, x0: i64) -> Call {
    (nr::openat, [HERE, path, flags, 0o644, 0, 0], x0)
}
const fn close(fd: u64) -> Call {
    (nr::close, [fd, 0, 0, 0, 0, 0], 0)
}
const fn enter(path: u64, x0: i64) -> Call {
    (nr::chdir, [path, 0, 0, 0, 0, 0], x0)
}
const fn make_directory(path: u64) -> Call {
    (nr::mkdirat, [HERE, path, 0o755, 0, 0, 0], 0)
}
const fn remove(path: u64, flags: u64) -> Call {
    (nr::unlinkat, [HERE, path, flags, 0, 0, 0], 0)
}
const fn rename(from: u64, to: u64) -> Call {
    (nr::renameat, [HERE, from, HERE, to, 0, 0], 0)
}
const fn read_link(path: &str, x0: i64) -> Call {
    (nr::readlinkat, [HERE, at(path), OUT, 8000, 0, 0], x0)
}
const fn stat(path: &str, flags: u64, x0: i64) -> Call {
    (nr::newfstatat, [HERE, at(path), OUT, flags, 0, 0], x0)
}
const fn getcwd(out: u64, size: u64, x0: i64) -> Call {
    (nr::getcwd, [out, size, 0, 0, 0, 0], x0)
}

const CHILD: &[Call] = &[(nr::clone, [17, 0, 0, 0, 0, 0], 2), SYNC];
const ZOMBIE: &[Call] = &[
    stat("/proc/2/exe", 0x100, 0),
    stat("/proc/2/cwd", 0x100, 0),
    read_link("/proc/2/exe", ENOENT),
    read_link("/proc/2/cwd", ENOENT),
    stat("/proc/2/exe", 0, ENOENT),
    stat("/proc/2/cwd", 0, ENOENT),
    open(at("/proc/2/exe"), 0, ENOENT),
    open(at("/proc/2/exe"), CREAT, ENOENT),
    open(at("/proc/2/cwd"), 0, ENOENT),
    open(at("/proc/2/cwd/prog"), 0, ENOENT),
    open(at("/proc/2/exe"), O_PATH | NOFOLLOW, 3),
    (nr::readlinkat, [3, at(""), OUT, 99, 0, 0], ENOENT),
    close(3),
    (nr::execve, [at("/proc/2/exe"), 0, 0, 0, 0, 0], ENOENT),
    enter(at("/proc/2/cwd"), ENOENT),
    SYNC,
];
const REAPED: &[Call] = &[(nr::wait4, [2, 0, 0, 0, 0, 0], 2), stat("/proc/2/exe", 0x100, ENOENT)];

#[test]
fn a_zombies_links_are_there_and_lead_nowhere() {
    let calls = |u: &mut User| run(u, &[CHILD, ZOMBIE, ZOMBIE, REAPED].concat());
    assert!(shows(&data(PATHS), 2, calls).is_empty());
}

/// `../` and a name of 255 bytes, the longest.
const BESIDE: u64 = DATA + 0x800;

/// A name of so many bytes.
const fn name(bytes: u64) -> u64 {
    BESIDE + 3 + 255 - bytes
}

const CWD: &str = "/proc/self/cwd";
const EXE: &str = "/proc/self/exe";
const FD: &str = "/proc/self/fd/3";
const AGAIN: &str = "/proc/self/fd/4";

/// The first is made 15 times: in directories whose paths have 256 to 3840 bytes.
const DOWN: &[Call] = &[make_directory(name(255)), enter(name(255), 0)];
const DIRECTORIES: &[Call] = &[
    make_directory(name(254)),
    enter(name(254), 0),
    read_link(CWD, 4095),
    getcwd(OUT, 4096, 4096),
    getcwd(OUT, 4095, ERANGE),
    getcwd(BAD, 4095, ERANGE),
    getcwd(BAD, 4096, EFAULT),
    open(at(CWD), 0, 3),
    read_link(FD, 4095),
    close(3),
    enter(at(".."), 0),
    make_directory(name(255)),
    enter(name(255), 0),
    read_link(CWD, ENAMETOOLONG),
    getcwd(OUT, 8000, ENAMETOOLONG),
    getcwd(BAD, 1, ENAMETOOLONG),
    // It is followed all the same.
    stat(CWD, 0, 0),
    open(at(CWD), 0, 3),
    read_link(FD, ENAMETOOLONG),
    open(at(FD), 0, 4),
    read_link(AGAIN, ENAMETOOLONG),
    enter(at(AGAIN), 0),
    SYNC,
    // That it was removed is said first.
    remove(BESIDE, REMOVE_DIRECTORY),
    getcwd(BAD, 1, ENOENT),
    read_link(CWD, ENAMETOOLONG),
    SYNC,
    enter(at(".."), 0),
    close(3),
    close(4),
];
const FILES: &[Call] = &[
    open(name(244), CREAT, 3),
    open(name(245), CREAT, 4),
    read_link(FD, 4085),
    read_link(AGAIN, 4086),
    remove(name(244), 0),
    remove(name(245), 0),
    read_link(FD, 4095),
    read_link(AGAIN, ENAMETOOLONG),
    SYNC,
    read_link(FD, 4095),
    open(at(AGAIN), 0, 5),
    close(3),
    close(4),
    close(5),
];
/// The line of `maps` ends with the program's name.
const PROGRAM: &[Call] = &[
    remove(name(254), REMOVE_DIRECTORY),
    rename(at("/prog"), name(254)),
    read_link(EXE, 4095),
    rename(name(254), name(255)),
    read_link(EXE, ENAMETOOLONG),
    stat(EXE, 0, 0),
    open(at(EXE), 0, 3),
    close(3),
    SYNC,
    open(at("/proc/self/maps"), 0, 3),
    (nr::read, [3, OUT, 73 + 4097, 0, 0, 0], 73 + 4097),
    (nr::write, [1, OUT + 73 + 3840, 257, 0, 0, 0], 257),
    close(3),
    SYNC,
];

#[test]
fn no_link_and_no_getcwd_tells_more_than_4095_bytes() {
    let calls = |u: &mut User| run(u, &[&DOWN.repeat(15), DIRECTORIES, FILES, PROGRAM].concat());
    let mut data = data(PATHS);
    data[(BESIDE - DATA) as usize..][..3].copy_from_slice(b"../");
    data[(name(255) - DATA) as usize..][..255].fill(b'n');
    assert_eq!(shows(&data, 4, calls).concat(), format!("/{}\n", "n".repeat(255)));
}
