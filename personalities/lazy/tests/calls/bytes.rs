//! Calls that move bytes between files, pipes and memory.

use super::program::Step;
use super::program::check::*;
use super::program::run::{HERE, call, text, words};
use abi::linux::nr;

#[test]
fn copy_file_range_copies_and_refuses_as_linux_does() {
    let copy = |a: &[u64]| call(nr::copy_file_range, a);
    let (in_at, out_at) = (AREA + 0x100, AREA + 0x108);
    let run = check(
        files(),
        vec![
            (copy(&[3, 0, 4, 0, 4, 0]), 4),
            (copy(&[3, 0, 4, 0, 100, 0]), 6),
            (copy(&[3, 0, 4, 0, 100, 0]), 0),
            (words(in_at, &[2, 20]), 0),
            (copy(&[3, in_at, 4, out_at, 3, 0]), 3),
            (call(nr::lseek, &[4, 0, 1]), 10),
            (call(nr::lseek, &[4, 0, 2]), 23),
            (copy(&[3, 0, 4, 0, 1, 1]), EINVAL),
            (copy(&[9, 0, 4, 0, 1, 1]), EBADF),
            (copy(&[3, 0, 6, 0, 1, 0]), EISDIR),
            (copy(&[3, 0, 1, 0, 1, 0]), EINVAL),
            (copy(&[3, 0, 5, 0, 1, 0]), EBADF),
            (copy(&[4, 0, 3, 0, 1, 0]), EBADF),
            (copy(&[7, 0, 4, 0, 1, 0]), EXDEV),
            (words(in_at, &[0, 5]), 0),
            (copy(&[4, in_at, 4, out_at, 6, 0]), EINVAL),
            (copy(&[4, in_at, 4, out_at, 5, 0]), 5),
            (words(in_at, &[0, 1 << 40]), 0),
            (copy(&[3, in_at, 4, out_at, 5, 0]), EFBIG),
            (words(in_at, &[u64::MAX, 0]), 0),
            (copy(&[3, in_at, 4, out_at, 5, 0]), EOVERFLOW),
            (copy(&[3, in_at, 4, out_at, 0, 0]), EINVAL),
            (call(nr::pread64, &[4, AREA + 0x200, 30, 0]), 23),
        ],
    );
    let space = run.kernel.processes[&1].space.unwrap();
    let mut memory = run.kernel.memory;
    let mut bytes = [0; 23];
    memory.read(space, AREA + 0x200, &mut bytes).unwrap();
    assert_eq!(bytes[..], [&b"0123401234"[..], &[0; 10], b"234"].concat()[..]);
}

#[test]
fn sendfile_of_no_bytes_asks_for_a_position_only() {
    let send = |to: u64, from: u64, at: u64| call(nr::sendfile, &[to, from, at, 0]);
    check(
        files(),
        vec![
            (call(nr::pipe2, &[AREA, 0o4000]), 0),
            (send(4, 3, 0), 0),
            (send(4, 6, 0), 0),
            (send(4, 7, 0), 0),
            (send(4, 8, 0), EINVAL),
            (send(5, 3, 0), EINVAL),
            (send(9, 3, 0), 0),
            (send(9, 6, 0), EINVAL),
            (call(nr::sendfile, &[4, 6, 0, 1]), EINVAL),
            (call(nr::mmap, &[NOWHERE, 4096, 1, 0x32, u64::MAX, 0]), NOWHERE as i64),
            (send(4, 3, NOWHERE), EFAULT),
        ],
    );
}

/// Linux refuses an output that appends, but for a pipe.
#[test]
fn sendfile_into_a_pipe_that_appends() {
    let send = |to: u64| call(nr::sendfile, &[to, 3, 0, 2]);
    let append = |fd: u64| (call(nr::fcntl, &[fd, 4, 0o2000]), 0);
    check(
        files(),
        vec![(call(nr::pipe2, &[AREA, 0o4000]), 0), append(9), (send(9), 2), append(4), (send(4), EINVAL)],
    );
}

/// A file of holes that was sent to /dev/null took as much of the kernel's heap as it is long.
#[test]
fn a_file_of_holes_is_sent_without_being_held() {
    let (null, end) = (AREA + 0x2000, (1 << 40) - 5);
    check(
        files().into_iter().chain([text(null, "/dev/null")]).collect(),
        vec![
            (call(nr::openat, &[HERE, null, 1, 0]), 8),
            (call(nr::ftruncate, &[4, 1 << 40]), 0),
            (call(nr::sendfile, &[8, 4, 0, 1 << 40]), 0x7fff_f000),
            (words(AREA, &[end]), 0),
            (call(nr::sendfile, &[8, 4, AREA, 1 << 40]), 5),
        ],
    );
}

#[test]
fn a_pipe_gives_back_what_went_in_wherever_its_ring_begins() {
    let (from, to, count) = (AREA + 0x4ff8, AREA + 0x10ff0, 5000);
    let bytes: Vec<u8> = (0..30_000u32).map(|n| (n % 251) as u8).collect();
    let fill =
        bytes.chunks(4096).enumerate().map(|(n, b)| Step::Store(AREA + 0x4000 + n as u64 * 4096, b.to_vec()));
    let mut script = vec![(call(nr::pipe2, &[AREA, 0o4000]), 0)];
    // 13 × 5000 bytes fill it but for 536; then each step frees as much as it takes.
    script.extend((0..13).map(|n| (call(nr::write, &[4, from + n, count]), 5000)));
    script.push((call(nr::write, &[4, from, count]), 536));
    for n in 13..20 {
        script.push((call(nr::read, &[3, to, count]), 5000));
        script.push((call(nr::write, &[4, from + n, count]), 5000));
    }
    script.push((call(nr::readv, &[3, AREA + 0x100, 2]), 5000));
    let vector = words(AREA + 0x100, &[to + 0x2000, 1000, to, 4000]);
    let run = check(fill.chain([vector]).collect(), script);
    let space = run.kernel.processes[&1].space.unwrap();
    let mut memory = run.kernel.memory;
    let mut got = [0; 5000];
    memory.read(space, to + 0x2000, &mut got[..1000]).unwrap();
    memory.read(space, to, &mut got[1000..]).unwrap();
    // The eighth write's.
    assert!(got[..] == bytes[0xff8 + 7..][..5000]);
}

#[test]
fn a_file_sent_to_itself_moves_its_position_once() {
    check(
        files(),
        vec![
            (text(AREA, "some bytes"), 0),
            (call(nr::write, &[4, AREA, 10]), 10),
            (call(nr::lseek, &[4, 2, 0]), 2),
            (call(nr::sendfile, &[4, 4, 0, 5]), 5),
            (call(nr::lseek, &[4, 0, 1]), 7),
            (call(nr::dup, &[4]), 8),
            (call(nr::sendfile, &[4, 8, 0, 100]), 3),
            (call(nr::lseek, &[8, 0, 1]), 10),
            (call(nr::lseek, &[4, 0, 2]), 10),
        ],
    );
}

/// Linux cuts the sum, it does not refuse it (`__import_iovec`).
#[test]
fn a_vectors_sum_is_cut_where_linux_cuts_it() {
    let (null, vector) = (AREA + 0x2000, AREA + 0x100);
    let most = abi::layout::TASK_SIZE;
    let parts = |p: &[u64]| words(vector, p);
    let on = |number, fd, count| call(number, &[fd, vector, count]);
    check(
        files().into_iter().chain([text(null, "/dev/null")]).collect(),
        vec![
            (call(nr::openat, &[HERE, null, 2, 0]), 8),
            (parts(&[0, most, 0, most]), 0),
            (on(nr::writev, 8, 2), 0x7fff_f000),
            (on(nr::writev, 8, 1), 0x7fff_f000),
            (on(nr::readv, 8, 2), 0),
            // What is there is read, and what cannot be touched ends it.
            (parts(&[AREA + 0x3000, 4, NOWHERE, 1 << 31, AREA + 0x3000, 1 << 31]), 0),
            (on(nr::readv, 3, 3), 4),
            (parts(&[AREA + 0x3000, 4, AREA + 0x3000, 4, NOWHERE, 1 << 31]), 0),
            (on(nr::readv, 3, 3), 6),
            // A length is refused before any address, and a part behind the cut is looked at too.
            (parts(&[u64::MAX, 1, 0, 1 << 63]), 0),
            (on(nr::writev, 8, 2), EINVAL),
            (parts(&[0, i64::MAX as u64, 0, i64::MAX as u64]), 0),
            (on(nr::writev, 8, 2), EFAULT),
            (parts(&[0, 1 << 31, most, 1]), 0),
            (on(nr::writev, 8, 2), EFAULT),
            (parts(&[0, 1 << 31, most, 0]), 0),
            (on(nr::writev, 8, 2), 0x7fff_f000),
        ],
    );
}
