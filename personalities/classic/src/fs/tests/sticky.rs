//! O_CREAT of what is there where all may make files and only its owner may remove one: Linux' `may_create_in_sticky`, as 6.1 was asked.

use crate::fs::linux::*;
use crate::fs::testing::*;
use abi::linux::nr;

const EACCES: i64 = -13;
const EEXIST: i64 = -17;
const EISDIR: i64 = -21;
const ENXIO: i64 = -6;
const ELOOP: i64 = -40;
/// /dev/null's number.
const NULL: u64 = 0x103;
const CREATE: u32 = O_RDWR | O_CREAT;

impl World {
    fn give(&mut self, path: &str, uid: u64) {
        assert_eq!(self.at(nr::fchownat, path, &[uid, 0, AT_SYMLINK_NOFOLLOW.into()]), 0, "{path}");
    }
    fn set_mode(&mut self, path: &str, mode: u64) {
        assert_eq!(self.at(nr::fchmodat, path, &[mode]), 0, "{path}");
    }
    fn node(&mut self, path: &str, mode: u32, device: u64) {
        assert_eq!(self.at(nr::mknodat, path, &[mode.into(), device]), 0, "{path}");
        self.give(path, 7);
    }
    fn symlink(&mut self, target: &str, path: &str) {
        let (target, path) = (self.text(0, target.as_bytes()), self.text(1, path.as_bytes()));
        assert_eq!(self.call(nr::symlinkat, &[target, AT, path]), 0);
    }
    /// Opens and closes; 0 or the error.
    fn opens(&mut self, path: &str, flags: u32) -> i64 {
        let fd = self.open(path, flags);
        if fd >= 0 { self.call(nr::close, &[fd as u64]) } else { fd }
    }
}

/// /tmp/s, 01777 of user 5; in it, of user 7, a character device c, a block device b without driver, a socket s, a link l to c, a regular file r, a FIFO
/// f and a directory d. /tmp/l leads to c, too.
fn world() -> World {
    let mut w = World::new();
    w.p.umask = 0;
    for dir in ["/tmp/s", "/tmp/s/d"] {
        assert_eq!(w.at(nr::mkdirat, dir, &[0o1777]), 0);
    }
    for (name, mode, device) in
        [("c", S_IFCHR, NULL), ("b", S_IFBLK, NULL), ("s", S_IFSOCK, 0), ("r", S_IFREG, 0), ("f", S_IFIFO, 0)]
    {
        w.node(&format!("/tmp/s/{name}"), mode | 0o666, device);
    }
    for link in ["/tmp/s/l", "/tmp/l"] {
        w.symlink("/tmp/s/c", link);
        w.give(link, 7);
    }
    w.give("/tmp/s/d", 7);
    w.give("/tmp/s", 5);
    w
}

#[test]
fn a_device_of_somebody_else_in_a_sticky_directory_is_not_opened_to_be_made() {
    let mut w = world();
    for more in [0, O_TRUNC, O_NOATIME, O_NOFOLLOW, O_NONBLOCK] {
        assert_eq!([w.opens("/tmp/s/c", O_RDWR | more), w.opens("/tmp/s/c", CREATE | more)], [0, EACCES]);
    }
    // By a link the directory of what it leads to counts.
    assert_eq!(
        [w.opens("/tmp/l", O_RDWR), w.opens("/tmp/l", CREATE), w.opens("/tmp/s/l", CREATE)],
        [0, EACCES, EACCES]
    );
    assert_eq!([O_EXCL, O_PATH].map(|more| w.opens("/tmp/s/c", CREATE | more)), [EEXIST, 0]);
    for (owner, answer) in [(5, 0), (0, 0), (7, EACCES)] {
        w.give("/tmp/s/c", owner);
        assert_eq!(w.opens("/tmp/s/c", CREATE), answer, "{owner}");
    }
    for (mode, answer) in [(0o1770, 0), (0o0777, 0), (0o1775, 0), (0o1772, EACCES), (0o1002, EACCES)] {
        w.set_mode("/tmp/s", mode);
        assert_eq!(w.opens("/tmp/s/c", CREATE), answer, "{mode:o}");
    }
    // /dev is nobody's to make files in.
    assert_eq!(w.opens("/dev/null", CREATE), 0);
}

#[test]
fn what_kind_of_file_it_is_decides() {
    let mut w = world();
    for (name, with, without) in
        [("r", 0, 0), ("f", 0, 0), ("d", EISDIR, EISDIR), ("b", EACCES, ENXIO), ("s", EACCES, ENXIO)]
    {
        let path = format!("/tmp/s/{name}");
        assert_eq!([w.opens(&path, CREATE), w.opens(&path, O_RDWR)], [with, without], "{name}");
    }
    assert_eq!(
        [O_NOFOLLOW | CREATE, O_NOFOLLOW | O_RDWR].map(|flags| w.opens("/tmp/s/l", flags)),
        [EACCES, ELOOP]
    );
    w.give("/tmp/s/l", 0);
    assert_eq!(w.opens("/tmp/s/l", O_NOFOLLOW | CREATE), ELOOP);
}

#[test]
fn links_of_descriptors_count_as_where_they_stand() {
    let mut w = world();
    let (device, dir) = (w.open("/tmp/s/c", O_RDWR), w.open("/tmp/s", O_DIRECTORY));
    assert_eq!(w.opens(&format!("/proc/self/fd/{device}"), CREATE), 0);
    assert_eq!(w.opens(&format!("/proc/self/fd/{dir}/c"), CREATE), EACCES);
    let path = w.text(0, b"/tmp/s");
    assert_eq!(w.call(nr::chdir, &[path]), 0);
    assert_eq!(
        [w.opens("c", CREATE), w.opens("./c", CREATE), w.opens("/proc/self/cwd/c", CREATE)],
        [EACCES; 3]
    );
}
