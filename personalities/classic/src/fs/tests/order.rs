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
