//! The limits of the turn rule, and the state digest.

use crate::fs::linux::*;
use crate::fs::testing::*;
use crate::fs::*;
use abi::linux::nr;
use abi::turn::*;

#[test]
fn descriptors_files_and_pipes_end() {
    let mut w = World::new();
    while w.open("/dev/null", 0) >= 0 {}
    assert_eq!(w.open("/dev/null", 0), -24);
    assert_eq!(w.open("/nothing", 0), -24);
    assert_eq!(w.call(nr::fcntl, &[0, 0, FDS_MAX as u64]), -22);
    let mut children: Vec<Process> = (2..12).map(|pid| w.fork(pid)).collect();
    for child in &mut children {
        w.swap(child);
        for fd in 3..FDS_MAX as u64 {
            w.call(nr::close, &[fd]);
        }
        while w.open("/dev/null", 0) >= 0 {}
        w.swap(child);
    }
    let last = children.last_mut().unwrap();
    w.swap(last);
    w.call(nr::close, &[0]);
    assert_eq!(w.open("/dev/null", 0), -23);
    assert_eq!(w.call(nr::pipe2, &[OUT, 0]), -23);
}

#[test]
fn pipes_end_before_files_do() {
    let mut w = World::new();
    let mut child = w.fork(2);
    let mut made = 0;
    for _ in 0..2 {
        w.swap(&mut child);
        while made < PIPES_MAX && w.call(nr::pipe2, &[OUT, 0]) == 0 {
            made += 1;
        }
    }
    assert_eq!(made, PIPES_MAX);
    assert_eq!(w.call(nr::pipe2, &[OUT, 0]), -23);
}

#[test]
fn pages_end_and_come_back() {
    let mut w = World::new();
    let fd = w.open("/tmp/a", O_CREAT | O_RDWR);
    let mut total = 0;
    loop {
        let n = w.call(nr::pwrite64, &[fd as u64, Memory::BASE, 0x30001, total]);
        if n < 0 {
            assert_eq!(n, -28);
            break;
        }
        total += n as u64;
    }
    assert_eq!(total, FILE_PAGES * 4096);
    let sh = w.open("/bin/sh", O_RDWR);
    assert_eq!(w.write(sh, b"x"), -28);
    // A hole costs nothing; what is written there does.
    assert_eq!(w.call(nr::ftruncate, &[fd as u64, 1 << 40]), 0);
    assert_eq!(w.call(nr::pwrite64, &[fd as u64, OUT, 1, 1 << 39]), -28);
    assert_eq!(w.call(nr::pwrite64, &[fd as u64, OUT, 1, 1 << 40]), -27);
    assert_eq!(w.at(nr::unlinkat, "/tmp/a", &[0]), 0);
    assert_eq!(w.write(sh, b"x"), -28);
    assert_eq!(w.call(nr::close, &[fd as u64]), 0);
    assert_eq!(w.write(sh, b"x"), 1);
    assert_eq!(w.fs.tree.pages, 3);
}

#[test]
fn inodes_end() {
    let mut w = World::new();
    for i in 0..INODES_MAX {
        assert_eq!(w.at(nr::mkdirat, &format!("/tmp/{i}"), &[0o777]), 0);
    }
    assert_eq!(w.at(nr::mkdirat, "/tmp/x", &[0o777]), -28);
    assert_eq!(w.at(nr::unlinkat, "/tmp/7", &[0x200]), 0);
    assert_eq!(w.at(nr::mkdirat, "/tmp/x", &[0o777]), 0);
}

#[test]
fn a_heap_without_room_ends_names_pages_and_pipes() {
    let mut w = World::new();
    let fd = w.open("/tmp/a", O_CREAT | O_RDWR);
    let (r, p) = w.pipe();
    assert_eq!(w.write(fd, b"page"), 4);
    w.fs.tree.room = 0;
    let two = |w: &mut World, number: u64, to: &str| {
        let to = w.text(1, to.as_bytes());
        w.at(number, "/tmp/a", &[AT, to, 0])
    };
    for number in [nr::linkat, nr::renameat] {
        assert_eq!(two(&mut w, number, "/tmp/other"), -28);
    }
    assert_eq!(two(&mut w, nr::linkat, "/etc/passwd"), -17);
    assert_eq!(w.at(nr::mkdirat, "/tmp/d", &[0o777]), -28);
    assert_eq!(w.open("/tmp/b", O_CREAT | O_RDWR), -28);
    // Only what grows is refused.
    assert_eq!(w.call(nr::pwrite64, &[fd as u64, OUT, 4096, 0]), 4096);
    assert_eq!(w.call(nr::pwrite64, &[fd as u64, OUT, 1, 4096]), -28);
    assert_eq!(w.write(p, b"x"), -12);
    assert_eq!(w.call(nr::ftruncate, &[fd as u64, 0]), 0);
    // Room for two pages, in one call of four.
    w.fs.tree.room = 2 * 4352;
    assert_eq!(w.call(nr::pwrite64, &[fd as u64, OUT, 4 * 4096, 0]), 2 * 4096);
    w.fs.tree.room = usize::MAX;
    assert_eq!(two(&mut w, nr::linkat, "/tmp/other"), 0);
    assert_eq!((w.write(p, b"x"), w.read(r, 1)), (1, Ok(b"x".to_vec())));
}

fn digest(w: &mut World) -> abi::digest::Digest {
    let (mut e, mut numbering) = (abi::digest::Encoder::new("state"), Vec::new());
    w.fs.digest_fds(&w.p.fds, &mut numbering, &mut e);
    w.fs.digest_rest(&numbering, &mut e);
    e.finish()
}

#[test]
fn the_digest_follows_what_programs_can_see() {
    let mut w = World::new();
    let mut seen = vec![digest(&mut w)];
    assert_eq!(digest(&mut w), seen[0]);
    w.cat("/etc/passwd");
    assert_eq!(digest(&mut w), seen[0]);
    let steps: [&dyn Fn(&mut World) -> i64; 6] = [
        &|w| w.open("/tmp/a", O_CREAT | O_RDWR),
        &|w| w.write(3, b"text"),
        &|w| w.call(nr::lseek, &[3, 0, 0]),
        &|w| w.at(nr::fchmodat, "/etc/passwd", &[0o600]),
        &|w| w.pipe().0,
        &|w| w.write(5, b"held"),
    ];
    for step in steps {
        step(&mut w);
        let d = digest(&mut w);
        assert!(!seen.contains(&d));
        seen.push(d);
    }
}

#[test]
fn a_working_directory_lives_on() {
    let mut w = World::new();
    w.at(nr::mkdirat, "/tmp/d", &[0o777]);
    let path = w.text(0, b"/tmp/d");
    assert_eq!(w.call(nr::chdir, &[path]), 0);
    assert_eq!(w.at(nr::unlinkat, "/tmp/d", &[0x200]), 0);
    assert_eq!(w.call(nr::getcwd, &[OUT, 100]), -2);
    assert_eq!(w.at(nr::newfstatat, ".", &[OUT, 0]), 0);
    assert_eq!(w.open("x", O_CREAT), -2);
    let before = w.fs.tree.made;
    let root = w.text(0, b"..");
    assert_eq!(w.call(nr::chdir, &[root]), 0);
    assert_eq!(w.fs.tree.made, before - 1);
    let n = w.call(nr::getcwd, &[OUT, 100]);
    assert_eq!(w.out(n as usize), b"/tmp\0");
}
