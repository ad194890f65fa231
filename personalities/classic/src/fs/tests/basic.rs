//! The paths every program takes.

use crate::fs::linux::*;
use crate::fs::testing::*;
use crate::fs::*;
use abi::linux::nr;

#[test]
fn files_of_the_image_are_read_and_changed() {
    let mut w = World::new();
    assert_eq!(w.cat("/etc/passwd"), b"root:x:0:0::/:/bin/sh\n");
    assert_eq!(w.cat("/bin/../bin/./sh"), [7; 9000]);
    let fd = w.open("etc/passwd", O_RDWR);
    assert_eq!(fd, 3);
    assert_eq!(w.write(fd, b"ROOT"), 4);
    assert_eq!(w.cat("/etc/passwd"), b"ROOT:x:0:0::/:/bin/sh\n");
    assert_eq!(w.open("/nothing", 0), -2);
    assert_eq!(w.open("/etc/passwd/x", 0), -20);
    assert_eq!(w.open("/etc", O_WRONLY), -21);
}

#[test]
fn stat_is_arm64s() {
    let mut w = World::new();
    assert_eq!(w.at(nr::newfstatat, "/etc/passwd", &[OUT, 0]), 0);
    let b = w.out(128);
    let word = |i: usize| u64::from_le_bytes(b[i..i + 8].try_into().unwrap());
    // dev, ino, mode and nlink, size, blksize, blocks, mtime
    assert_eq!([word(0), word(8), word(16)], [1, 7, 1 << 32 | 0o100644]);
    assert_eq!([word(48), word(56), word(64), word(88)], [22, 4096, 8, 1000]);
    assert_eq!(w.at(nr::newfstatat, "/dev/console", &[OUT, 0]), 0);
    let b = w.out(128);
    assert_eq!((b[0], b[32], b[33]), (3, 1, 5));
}

#[test]
fn the_terminal_is_written_in_slices() {
    let mut w = World::new();
    assert_eq!(w.write(1, &[b'x'; 5000]), 5000);
    let (effects, ..) = w.drain();
    assert_eq!(effects.iter().map(|(_, b)| b.len()).collect::<Vec<_>>(), [4096, 904]);
    assert_eq!(w.write(1, b""), 0);
    assert!(w.drain().0.is_empty());
}

#[test]
fn the_terminal_gives_lines() {
    let mut w = World::new();
    assert!(matches!(w.outcome(nr::read, &[0, OUT, 10]), Outcome::Block { .. }));
    w.fs.tty_event(abi::log::Event::TtyLine(b"echo hi\n"));
    w.fs.tty_event(abi::log::Event::TtyLine(b""));
    assert_eq!(w.drain().2, [WaitKey::TtyRead, WaitKey::TtyRead]);
    assert_eq!(w.read(0, 4).unwrap(), b"echo");
    assert_eq!(w.read(0, 4).unwrap(), b" hi\n");
    assert_eq!(w.read(0, 4).unwrap(), b"");
    assert!(matches!(w.outcome(nr::read, &[0, OUT, 10]), Outcome::Block { .. }));
}

#[test]
fn pipes_carry_bytes_and_end() {
    let mut w = World::new();
    let (r, wr) = w.pipe();
    assert_eq!((r, wr), (3, 4));
    let wait = Outcome::Block { on: vec![WaitKey::PipeRead((1 << 48) + 1)], deadline_us: None };
    assert_eq!(w.outcome(nr::read, &[3, OUT, 10]), wait);
    assert_eq!(w.write(wr, b"hello"), 5);
    assert_eq!(w.drain().2, [WaitKey::PipeRead((1 << 48) + 1)]);
    assert_eq!(w.read(r, 3).unwrap(), b"hel");
    assert_eq!(w.call(nr::close, &[4]), 0);
    assert_eq!(w.read(r, 10).unwrap(), b"lo");
    assert_eq!(w.read(r, 10).unwrap(), b"");
}

#[test]
fn writes_to_a_full_pipe_wait_and_go_on() {
    let mut w = World::new();
    let (r, wr) = w.pipe();
    w.memory.write(OUT, &[5; 70000]).unwrap();
    assert!(matches!(w.outcome(nr::write, &[wr as u64, OUT, 70000]), Outcome::Block { .. }));
    assert_eq!(w.p.progress.done, 65536);
    let mut child = w.fork(2);
    w.swap(&mut child);
    assert_eq!(w.read(r, 65536).unwrap().len(), 65536);
    w.swap(&mut child);
    w.memory.write(OUT, &[5; 70000]).unwrap();
    assert_eq!(w.call(nr::write, &[wr as u64, OUT, 70000]), 70000);
}

#[test]
fn directories_list_in_order() {
    let mut w = World::new();
    let fd = w.open("/", O_DIRECTORY);
    // Whether an entry fits is asked before the buffer is touched.
    assert_eq!(w.call(nr::getdents64, &[fd as u64, 1, 10]), -22);
    assert_eq!(w.call(nr::getdents64, &[fd as u64, 1, 4096]), -14);
    let n = w.call(nr::getdents64, &[fd as u64, OUT, 4096]);
    let b = w.out(n as usize);
    let (mut at, mut names) = (0, Vec::new());
    while at < b.len() {
        let len = u16::from_le_bytes([b[at + 16], b[at + 17]]) as usize;
        let name: Vec<u8> = b[at + 19..at + len].iter().copied().take_while(|c| *c != 0).collect();
        names.push(String::from_utf8(name).unwrap());
        at += len;
    }
    assert_eq!(names, [".", "..", "bin", "dev", "etc", "proc", "tmp"]);
    assert_eq!(w.call(nr::getdents64, &[fd as u64, OUT, 4096]), 0);
}

#[test]
fn exec_lookups_follow_links_and_want_an_x_bit() {
    let mut w = World::new();
    let mut progress = Progress::default();
    let p = &mut w.p;
    let caller = Caller {
        fds: &mut p.fds,
        cwd: &mut p.cwd,
        umask: &mut p.umask,
        pid: 1,
        tid: 1,
        pgid: 1,
        sid: 1,
        process: 1,
        random_offset: &mut p.random_offset,
        progress: &mut progress,
        now_us: 0,
        system: &w.system,
    };
    let fs = &mut w.fs;
    let sh = fs.open_exec(&caller, AT_FDCWD, b"/bin/sh").unwrap();
    assert_eq!((sh.ino, sh.size, sh.entry.unwrap().text()), (3, 9000, b"/bin/busybox".to_vec()));
    assert_eq!(fs.open_exec(&caller, AT_FDCWD, b"/etc/passwd").err(), Some(crate::errno::EACCES));
    assert_eq!(fs.open_exec(&caller, AT_FDCWD, b"/bin").err(), Some(crate::errno::EACCES));
    assert_eq!(fs.image_page(3, 1), Some(&[7; 4096][..]));
    // The next member's header stands behind the end.
    assert_eq!((fs.image_page(3, 2), fs.image_page(3, 3)), (None, None));
}

#[test]
fn polls_find_and_wait() {
    let mut w = World::new();
    let (r, _) = w.pipe();
    let list = [&(r as u32).to_le_bytes()[..], &1u32.to_le_bytes(), &0u32.to_le_bytes(), &1u32.to_le_bytes()]
        .concat();
    w.memory.write(OUT, &list).unwrap();
    let on = vec![WaitKey::PipeRead((1 << 48) + 1), WaitKey::TtyRead];
    assert_eq!(w.outcome(nr::ppoll, &[OUT, 2, 0]), Outcome::Block { on, deadline_us: None });
    w.fs.tty_event(abi::log::Event::TtyLine(b"x\n"));
    assert_eq!(w.call(nr::ppoll, &[OUT, 2, 0]), 1);
    assert_eq!(w.out(16)[14], 1);
}

#[test]
fn proc_shows_the_caller() {
    let mut w = World::new();
    assert_eq!(w.readlink("/proc/self"), b"1");
    assert_eq!(w.readlink("/proc/self/fd/0"), b"/dev/console");
    assert_eq!(w.cat("/proc/self/comm"), b"init\n");
    assert_eq!(w.cat("/proc/uptime"), b"0.00 0.00\n");
    let stat = String::from_utf8(w.cat("/proc/1/stat")).unwrap();
    assert_eq!(stat.split_whitespace().count(), 52, "{stat}");
}
