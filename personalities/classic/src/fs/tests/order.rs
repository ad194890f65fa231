//! The order of checks, and what the state digest leaves out.

use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;

#[test]
fn vectors_come_before_how_the_file_is_open() {
    let mut w = World::new();
    let written = w.open("/tmp/w", O_CREAT | O_WRONLY) as u64;
    assert_eq!(w.call(nr::readv, &[written, 8, 1]), -14);
    assert_eq!(w.call(nr::readv, &[written, OUT, 1025]), -22);
    assert_eq!(w.call(nr::readv, &[written, OUT, 0]), -9);
    assert_eq!(w.call(nr::readv, &[99, 8, 1]), -9);
    let dir = w.open("/tmp", 0) as u64;
    assert_eq!(w.call(nr::readv, &[dir, OUT, 0]), 0);
    assert_eq!(w.call(nr::read, &[dir, OUT, 0]), -21);
    let neither = w.open("/tmp/w", 3) as u64;
    assert_eq!(w.call(nr::read, &[neither, OUT, 1]), -9);
    assert_eq!(w.call(nr::write, &[neither, OUT, 1]), -9);
}

#[test]
fn ranges_and_whences_come_before_what_the_file_is() {
    let mut w = World::new();
    let (r, _) = w.pipe();
    assert_eq!(w.call(nr::lseek, &[r as u64, 0, 5]), -22);
    assert_eq!(w.call(nr::lseek, &[r as u64, 0, 4]), -29);
    let fd = w.open("/etc/passwd", 0) as u64;
    assert_eq!(w.call(nr::lseek, &[fd, 5, 0]), 5);
    assert_eq!(w.call(nr::sendfile, &[99, fd, 0, i64::MAX as u64]), -22);
    assert_eq!(w.call(nr::sendfile, &[99, fd, 0, i64::MAX as u64 - 5]), -9);
    assert_eq!(w.call(nr::read, &[fd, u64::MAX, 1]), -14);
    assert_eq!(w.open("/tmp/new/", O_CREAT), -21);
    assert_eq!(w.open("/etc/passwd/", O_CREAT), -21);
    assert_eq!(w.open("/etc/", O_CREAT), -21);
}

#[test]
fn a_removed_directory_has_no_names_before_a_slash_is_looked_at() {
    let mut w = World::new();
    w.open("/tmp/file", O_CREAT);
    assert_eq!(w.at(nr::mkdirat, "/tmp/gone", &[0o755]), 0);
    let gone = w.open("/tmp/gone", 0) as u64;
    assert_eq!(w.at(nr::unlinkat, "/tmp/gone", &[0x200]), 0);
    let (from, to, elsewhere) =
        (w.text(1, b"/tmp/file\0"), w.text(2, b"name/\0"), w.text(3, b"/tmp/name/\0"));
    assert_eq!(w.call(nr::renameat, &[0, from, gone, to]), -2);
    assert_eq!(w.call(nr::renameat, &[0, from, 0, elsewhere]), -20);
}

#[test]
fn times_are_no_change_in_the_digest() {
    let mut w = World::new();
    let digest = |w: &mut World| {
        let mut e = abi::digest::Encoder::new("state");
        w.fs.digest_rest(&[], &mut e);
        e.finish()
    };
    let before = digest(&mut w);
    for (path, flags) in [("/bin/sh", 0x100), ("/etc/passwd", 0), ("/etc", 0)] {
        assert_eq!(w.at(nr::utimensat, path, &[0, flags]), 0, "{path}");
        assert_eq!(digest(&mut w), before, "{path}");
    }
}

/// `struct flock`.
fn lock(w: &mut World, fd: i64, command: u64, (kind, whence): (u16, u16), range: [i64; 2], pid: u64) -> i64 {
    let words = [u64::from(kind) | u64::from(whence) << 16, range[0] as u64, range[1] as u64, pid];
    let at = w.text(3, &words.map(u64::to_le_bytes).concat());
    w.call(nr::fcntl, &[fd as u64, command, at])
}

#[test]
fn record_locks_look_at_the_range_as_linux_does() {
    const RDLCK: u16 = 0;
    const UNLCK: u16 = 2;
    let (set, get, get_ofd, set_ofd) = (6, 5, 36, 37);
    let mut w = World::new();
    let dir = w.open("/tmp", 0);
    let fd = w.open("/tmp/w", O_CREAT | O_RDWR);
    assert_eq!(w.write(fd, b"ten bytes."), 10);
    let mut of = |fd, command, how, range| lock(&mut w, fd, command, how, range, 0);
    assert_eq!(of(fd, get, (UNLCK, 0), [0, 0]), -22);
    assert_eq!(of(fd, set, (UNLCK, 0), [0, 0]), 0);
    // Behind the file's start, the position and its end, both 10.
    for (whence, at) in [(0, 0), (1, 10), (2, 10)] {
        assert_eq!(of(fd, get, (RDLCK, whence), [-at, 0]), 0, "{whence}");
        assert_eq!(of(fd, get, (RDLCK, whence), [-at - 1, 0]), -22, "{whence}");
        assert_eq!(of(fd, set, (RDLCK, whence), [3, -at - 3]), 0, "{whence}");
        assert_eq!(of(fd, set, (RDLCK, whence), [3, -at - 4]), -22, "{whence}");
        assert_eq!(of(fd, set, (RDLCK, whence), [i64::MAX - at, 1]), 0, "{whence}");
        assert_eq!(of(fd, set, (RDLCK, whence), [i64::MAX - at, 2]), -75, "{whence}");
    }
    assert_eq!(of(fd, set, (RDLCK, 1), [i64::MAX, 1]), -75);
    assert_eq!(of(fd, set, (RDLCK, 5), [0, 0]), -22);
    assert_eq!(of(dir, get, (RDLCK, 2), [-5, 0]), -22);
    assert_eq!(lock(&mut w, fd, get_ofd, (RDLCK, 0), [0, 0], 7), -22);
    assert_eq!(lock(&mut w, fd, set_ofd, (RDLCK, 0), [0, 0], 7), -22);
    // The range and the type come before how the file is open.
    let reads = w.open("/tmp/w", 0);
    assert_eq!(lock(&mut w, reads, set, (1, 0), [-1, 0], 0), -22);
    assert_eq!(lock(&mut w, reads, set, (3, 0), [0, 0], 0), -22);
    assert_eq!(lock(&mut w, reads, set, (1, 0), [0, 0], 0), -9);
}

#[test]
fn sendfile_of_no_bytes_asks_only_for_a_position() {
    let mut w = World::new();
    let file = w.open("/tmp/w", O_CREAT | O_RDWR) as u64;
    let dir = w.open("/tmp", 0) as u64;
    let (pipe, _) = w.pipe();
    assert_eq!(w.call(nr::sendfile, &[file, dir, 0, 0]), 0);
    assert_eq!(w.call(nr::sendfile, &[file, dir, 0, 1]), -22);
    assert_eq!(w.call(nr::sendfile, &[file, pipe as u64, 0, 0]), -22);
    let end = w.open("/tmp/w", O_WRONLY | O_APPEND) as u64;
    assert_eq!(w.call(nr::sendfile, &[end, dir, 0, 0]), -22);
}

#[test]
fn utimensat_looks_at_the_file_before_the_nanoseconds() {
    let mut w = World::new();
    let fd = w.open("/tmp/w", O_CREAT | O_RDWR) as u64;
    let (bad, omit) = (1_000_000_000, 0x3fff_fffe_u64);
    let times = |w: &mut World, nsec: u64| w.text(3, &[0, nsec, 0, omit].map(u64::to_le_bytes).concat());
    let at = times(&mut w, bad);
    assert_eq!(w.at(nr::utimensat, "/tmp/none", &[at, 0]), -2);
    assert_eq!(w.at(nr::utimensat, "/tmp/none", &[at, 1]), -22);
    assert_eq!(w.call(nr::utimensat, &[99, 0, at, 0]), -9);
    assert_eq!(w.call(nr::utimensat, &[99, 0, at, 1]), -22);
    assert_eq!(w.call(nr::utimensat, &[AT_FDCWD as u64, 8, at, 0]), -14);
    for path in ["/tmp/w", "/dev/null"] {
        assert_eq!(w.at(nr::utimensat, path, &[at, 0]), -22, "{path}");
    }
    assert_eq!(w.call(nr::utimensat, &[fd, 0, at, 0]), -22);
    // Nothing to set: not even the path is looked at.
    let at = times(&mut w, omit);
    assert_eq!(w.at(nr::utimensat, "/tmp/none", &[at, 1]), 0);
}
