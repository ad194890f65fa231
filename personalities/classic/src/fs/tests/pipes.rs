//! Pipes, FIFOs and poll.

use crate::fs::linux::*;
use crate::fs::testing::*;
use crate::fs::*;
use abi::linux::nr;

const KEY: u64 = (1 << 48) + 1;

/// ppoll of one descriptor for `events`, without waiting.
fn poll(w: &mut World, fd: i64, events: u16) -> u16 {
    let entry = [&(fd as u32).to_le_bytes()[..], &events.to_le_bytes(), &[0; 2], &[0; 16]].concat();
    crate::user::UserMemory::write(&mut w.memory, OUT, &entry).unwrap();
    w.call(nr::ppoll, &[OUT, 1, OUT + 8]);
    let b = w.out(8);
    u16::from_le_bytes([b[6], b[7]])
}

#[test]
fn ends_are_seen_by_poll() {
    let mut w = World::new();
    let (r, wr) = w.pipe();
    assert_eq!((poll(&mut w, r, 1), poll(&mut w, wr, 4)), (0, 4));
    w.write(wr, b"x");
    assert_eq!(poll(&mut w, r, 1), 1);
    w.call(nr::close, &[wr as u64]);
    assert_eq!(poll(&mut w, r, 1), 0x11);
    assert_eq!(poll(&mut w, 99, 1), 0x20);
    assert_eq!(poll(&mut w, -1, 1), 0);
}

#[test]
fn a_write_without_readers_is_a_broken_pipe() {
    let mut w = World::new();
    let (r, wr) = w.pipe();
    w.call(nr::close, &[r as u64]);
    assert_eq!(w.drain().2, [WaitKey::PipeWrite(KEY)]);
    assert_eq!(w.write(wr, b"x"), -32);
    assert_eq!(w.drain().1, [(SignalTarget::Caller, SIGPIPE)]);
    assert_eq!(poll(&mut w, wr, 4), 0xc);
    assert_eq!(w.write(wr, b""), 0);
}

#[test]
fn small_writes_are_whole_or_wait() {
    let mut w = World::new();
    let (r, wr) = w.pipe();
    w.memory.write(OUT, &[1; 65536]).unwrap();
    assert_eq!(w.call(nr::write, &[wr as u64, OUT, 65000]), 65000);
    assert_eq!(poll(&mut w, wr, 4), 0);
    w.drain();
    let wait = Outcome::Block { on: vec![WaitKey::PipeWrite(KEY)], deadline_us: None };
    assert_eq!(w.outcome(nr::write, &[wr as u64, OUT, 4096]), wait);
    assert_eq!((w.p.progress.done, w.drain().2), (0, vec![]));
    assert_eq!(w.fs.interrupt(1, &w.p.progress), None);
    assert_eq!(w.call(nr::fcntl, &[wr as u64, 4, u64::from(O_NONBLOCK)]), 0);
    assert_eq!(w.call(nr::write, &[wr as u64, OUT, 4096]), -11);
    assert_eq!(w.call(nr::write, &[wr as u64, OUT, 5000]), 536);
    assert_eq!(w.call(nr::ioctl, &[r as u64, 0x541b, OUT]), 0);
    assert_eq!(w.out(4), 65536u32.to_le_bytes());
}

#[test]
fn fifo_openers_meet() {
    let mut w = World::new();
    assert_eq!(w.at(nr::mknodat, "/tmp/f", &[u64::from(S_IFIFO | 0o644), 0]), 0);
    assert_eq!(w.open("/tmp/f", O_WRONLY | O_NONBLOCK), -6);
    let path = w.text(0, b"/tmp/f");
    let wait = Outcome::Block { on: vec![WaitKey::FifoOpen(10)], deadline_us: None };
    assert_eq!(w.outcome(nr::openat, &[AT, path, 0, 0]), wait);
    assert_eq!(w.outcome(nr::openat, &[AT, path, 0, 0]), wait);
    w.drain();
    let mut child = w.fork(2);
    w.swap(&mut child);
    let wr = w.open("/tmp/f", O_WRONLY);
    assert_eq!((wr, w.drain().2), (3, vec![WaitKey::FifoOpen(10)]));
    assert_eq!(w.write(wr, b"hi"), 2);
    w.call(nr::close, &[wr as u64]);
    w.swap(&mut child);
    // The writer has come and gone; the open succeeds all the same.
    let r = w.open("/tmp/f", 0);
    assert_eq!(w.read(r, 9).unwrap(), b"hi");
    assert_eq!(w.read(r, 9).unwrap(), b"");
    assert_eq!(poll(&mut w, r, 1), 0x10);
}

#[test]
fn an_opener_that_gives_up_is_no_end() {
    let mut w = World::new();
    w.at(nr::mknodat, "/tmp/f", &[u64::from(S_IFIFO | 0o644), 0]);
    let path = w.text(0, b"/tmp/f");
    assert!(matches!(w.outcome(nr::openat, &[AT, path, 0, 0]), Outcome::Block { .. }));
    assert_eq!(w.fs.interrupt(1, &w.p.progress), None);
    assert_eq!(w.open("/tmp/f", O_WRONLY | O_NONBLOCK), -6);
    assert_eq!(w.open("/tmp/f", O_RDWR), 3);
}

#[test]
fn polls_end_at_their_deadline() {
    let mut w = World::new();
    let (r, _) = w.pipe();
    let mut times = [0; 16];
    times[8..].copy_from_slice(&5_000_000u64.to_le_bytes());
    w.memory.write(OUT + 64, &times).unwrap();
    w.memory.write(OUT, &[1 << r, 0, 0, 0, 0, 0, 0, 0]).unwrap();
    let args = [8, OUT, 0, 0, OUT + 64, 0];
    let until = BOOT_US + 1 + 5000;
    let wait = Outcome::Block { on: vec![WaitKey::PipeRead(KEY)], deadline_us: Some(until) };
    assert_eq!(w.outcome(nr::pselect6, &args), wait);
    w.now_us += 100;
    assert_eq!(w.outcome(nr::pselect6, &args), wait);
    w.now_us = until;
    assert_eq!(w.call(nr::pselect6, &args), 0);
    assert_eq!(w.out(8), [0; 8]);
}

#[test]
fn sendfile_fills_a_pipe_once() {
    let mut w = World::new();
    let (r, wr) = w.pipe();
    let file = w.open("/tmp/a", O_CREAT | O_RDWR);
    w.memory.write(OUT, &[3; 70000]).unwrap();
    assert_eq!(w.call(nr::write, &[file as u64, OUT, 70000]), 70000);
    w.drain();
    w.memory.write(OUT, &1u64.to_le_bytes()).unwrap();
    assert_eq!(w.call(nr::sendfile, &[wr as u64, file as u64, OUT, 1 << 20]), 65536);
    assert_eq!((w.out(8), w.drain().2), (65537u64.to_le_bytes().to_vec(), vec![WaitKey::PipeRead(KEY)]));
    assert!(matches!(w.outcome(nr::sendfile, &[wr as u64, file as u64, OUT, 9]), Outcome::Block { .. }));
    w.p.progress = Progress::default();
    w.call(nr::close, &[r as u64]);
    assert_eq!(w.call(nr::sendfile, &[wr as u64, file as u64, OUT, 9]), -32);
    // To the terminal it goes in slices, each an effect.
    w.call(nr::lseek, &[file as u64, 60000, 0]);
    w.drain();
    assert_eq!(w.call(nr::sendfile, &[1, file as u64, 0, 1 << 20]), 10000);
    assert_eq!(w.drain().0.iter().map(|(_, b)| b.len()).collect::<Vec<_>>(), [4096, 4096, 1808]);
    assert_eq!(w.call(nr::lseek, &[file as u64, 0, 1]), 70000);
}
