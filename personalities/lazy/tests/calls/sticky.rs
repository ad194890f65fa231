//! openat with O_CREAT of what is there already in a sticky directory that all may write (Linux' `may_create_in_sticky`).

use super::names::{O_PATH, PATH, Script};
use super::program::check::*;
use super::program::run::HERE;
use abi::linux::nr;

const RDWR: u64 = 2;
const CREAT: u64 = 0o100;
const EXCL: u64 = 0o200;
const TRUNC: u64 = 0o1000;
const NONBLOCK: u64 = 0o4000;
const DIRECTORY: u64 = 0o40000;
const NOFOLLOW: u64 = 0o100000;
const NOATIME: u64 = 0o1000000;
const CHARACTER: u64 = 0o20000;
const BLOCK: u64 = 0o60000;
const FIFO: u64 = 0o10000;
const SOCKET: u64 = 0o140000;
const REGULAR: u64 = 0o100000;
const NULL: u64 = 0x103;

trait Sticky {
    fn owned(&mut self, path: &str, uid: u64) -> &mut Self;
    fn mode(&mut self, path: &str, mode: u64) -> &mut Self;
    fn node(&mut self, path: &str, mode: u64, device: u64) -> &mut Self;
    fn symlink(&mut self, to: &str, path: &str) -> &mut Self;
    fn opens(&mut self, path: &str, flags: u64) -> &mut Self;
    fn fails(&mut self, path: &str, flags: u64, error: i64) -> &mut Self;
}

impl Sticky for Script {
    /// Links are not followed.
    fn owned(&mut self, path: &str, uid: u64) -> &mut Self {
        self.on(nr::fchownat, &[HERE, PATH, uid, 0, 0x100], &[path], 0)
    }

    fn mode(&mut self, path: &str, mode: u64) -> &mut Self {
        self.on(nr::fchmodat, &[HERE, PATH, mode], &[path], 0)
    }

    /// Of uid 7.
    fn node(&mut self, path: &str, mode: u64, device: u64) -> &mut Self {
        self.on(nr::mknodat, &[HERE, PATH, mode | 0o666, device], &[path], 0).owned(path, 7)
    }

    /// Of uid 7.
    fn symlink(&mut self, to: &str, path: &str) -> &mut Self {
        self.on(nr::symlinkat, &[PATH, HERE, PATH], &[to, path], 0).owned(path, 7)
    }

    /// And is closed again: /s and /s/c stay open as 3 and 4.
    fn opens(&mut self, path: &str, flags: u64) -> &mut Self {
        self.open(path, flags, 5).on(nr::close, &[5], &[], 0)
    }

    fn fails(&mut self, path: &str, flags: u64, error: i64) -> &mut Self {
        self.open(path, flags, error)
    }
}

/// /s is of uid 5, sticky, for all to write; in it c is a device of uid 7; the caller is uid 0.
fn sticky() -> Script {
    let mut s = Script::default();
    s.mkdir("/s").mode("/s", 0o1777).owned("/s", 5).node("/s/c", CHARACTER, NULL);
    s.mkdir("/o").symlink("/s/c", "/o/to-c").open("/s", DIRECTORY, 3).open("/s/c", RDWR, 4);
    s
}

#[test]
fn a_foreign_device_in_a_sticky_directory_is_not_opened_as_if_it_were_made() {
    let mut s = sticky();
    s.fails("/s/c", RDWR | CREAT, EACCES).fails("/o/to-c", RDWR | CREAT, EACCES);
    for flag in [TRUNC, NOATIME, NOFOLLOW] {
        s.fails("/s/c", RDWR | CREAT | flag, EACCES);
    }
    s.opens("/s/c", RDWR).fails("/s/c", RDWR | CREAT | EXCL, EEXIST).opens("/s/c", CREAT | O_PATH);
    // The directory is where the last name was found.
    s.opens("/proc/self/fd/4", RDWR | CREAT).fails("/proc/self/fd/3/c", RDWR | CREAT, EACCES);
    s.symlink("/proc/self/fd/4", "/s/to-fd").opens("/s/to-fd", RDWR | CREAT);
    s.node("/o/d", CHARACTER, NULL).symlink("/o/d", "/s/to-d").opens("/s/to-d", RDWR | CREAT);
    s.run();
}

#[test]
fn who_owns_it_and_what_the_directory_is_decide() {
    let mut s = sticky();
    for (owner, free) in [(5, true), (0, true), (8, false), (7, false)] {
        s.owned("/s/c", owner);
        if free {
            s.opens("/s/c", RDWR | CREAT)
        } else {
            s.fails("/s/c", RDWR | CREAT, EACCES)
        };
    }
    for (mode, free) in [(0o1770, true), (0o777, true), (0o1772, false), (0o1775, true), (0o1002, false)] {
        s.mode("/s", mode);
        if free {
            s.opens("/s/c", RDWR | CREAT)
        } else {
            s.fails("/s/c", RDWR | CREAT, EACCES)
        };
    }
    s.run();
}

#[test]
fn only_what_is_no_file_directory_or_fifo_is_kept_from_it() {
    let mut s = sticky();
    s.symlink("/s/c", "/s/l").fails("/s/l", RDWR | CREAT | NOFOLLOW, EACCES).fails(
        "/s/l",
        RDWR | NOFOLLOW,
        ELOOP,
    );
    s.owned("/s/l", 0).fails("/s/l", RDWR | CREAT | NOFOLLOW, ELOOP);
    s.node("/s/r", REGULAR, 0).opens("/s/r", RDWR | CREAT).node("/s/p", FIFO, 0).opens("/s/p", RDWR | CREAT);
    s.mkdir("/s/d").owned("/s/d", 7).fails("/s/d", CREAT, EISDIR).fails("/s/d", CREAT | EXCL, EEXIST);
    for (path, kind) in [("/s/b", BLOCK), ("/s/s", SOCKET), ("/s/x", CHARACTER)] {
        s.node(path, kind, 0x5500).fails(path, RDWR, ENXIO).fails(path, RDWR | NONBLOCK | CREAT, EACCES);
        s.owned(path, 5).fails(path, RDWR | CREAT, ENXIO);
    }
    s.opens("/dev/null", RDWR | CREAT);
    s.run();
}
