//! What single calls answer where kernels were found to differ from Linux 6.1: each line is a call and what x0 is then.

mod board;

use abi::linux::nr;
use board::{Board, DATA, image, kernel, quiet_log};
use journal::machine::User;

/// Nothing is mapped there.
const BAD: u64 = 0x1000;
const HERE: u64 = -100i64 as u64;
const OUT: u64 = DATA + 0x800;
/// struct flock: unlock, read with a start below 0, write that ends above 2^63, read before the start, no type.
const LOCKS: u64 = DATA + 0x100;
const PATH: u64 = DATA + 0x40;
const DIRECTORY: u64 = DATA + 0x48;
/// Two words each: an action (4 words), a mask, an alternate stack, limits, a timer.
const ACTION: u64 = DATA + 0x200;
const STACK: u64 = DATA + 0x240;
const LIMITS: u64 = DATA + 0x260;
const TIMER: u64 = DATA + 0x280;
/// Two times each: the second's nanoseconds are too many; both are to stay.
const BAD_TIMES: u64 = DATA + 0x2a0;
const NO_TIMES: u64 = DATA + 0x2c0;
/// 9 ns; 7 s and 5 ns.
const TIMES: u64 = DATA + 0x300;

const SLASH: u64 = DATA + 0x60;
const FIFO: u64 = DATA + 0x68;
const GROUP: u64 = DATA + 0x70;
const MADE: u64 = DATA + 0x78;
const LINK: u64 = DATA + 0x80;
const VERSION: u64 = DATA + 0x88;
/// A part that lies nowhere, and one that is too long.
const VECTORS: u64 = DATA + 0x2e0;
const NULL: u64 = DATA + 0xa0;
const ZERO: u64 = DATA + 0xb0;
/// Vectors that are too long: 4 bytes, then a part that lies nowhere; three such parts; one, then a part beyond all; that, then no length.
const LONG: u64 = DATA + 0x340;
const DEVICES: u64 = DATA + 0xd0;
const CWD: u64 = DATA + 0xc0;
/// A name of 256 bytes behind a slash.
const OVERLONG: u64 = DATA + 0x400;
const MISSING: u64 = DATA + 0x50;
const ENOENT: i64 = -2;
const ENOTDIR: i64 = -20;
const EISDIR: i64 = -21;
const EROFS: i64 = -30;
const EPIPE: i64 = -32;
const EBADF: i64 = -9;
const ECHILD: i64 = -10;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const EACCES: i64 = -13;
const EBUSY: i64 = -16;
const EXDEV: i64 = -18;
const ENAMETOOLONG: i64 = -36;
const EOVERFLOW: i64 = -75;
const ESRCH: i64 = -3;
const ENOMEM: i64 = -12;

const CALLS: &[(u64, [u64; 6], i64)] = &[
    (nr::setpgid, [-1i64 as u64, 0, 0, 0, 0, 0], EINVAL),
    (nr::setpgid, [-1i64 as u64, 5, 0, 0, 0, 0], ESRCH),
    // The new value is set before the old one cannot be handed back.
    (nr::rt_sigaction, [12, ACTION, BAD, 8, 0, 0], EFAULT),
    (nr::rt_sigaction, [12, 0, OUT, 8, 0, 0], 0),
    (nr::rt_sigprocmask, [2, ACTION, BAD, 8, 0, 0], EFAULT),
    (nr::rt_sigprocmask, [0, 0, OUT + 8, 8, 0, 0], 0),
    (nr::sigaltstack, [STACK, BAD, 0, 0, 0, 0], EFAULT),
    (nr::sigaltstack, [0, OUT + 32, 0, 0, 0, 0], 0),
    (nr::prlimit64, [0, 4, LIMITS, BAD, 0, 0], EFAULT),
    (nr::prlimit64, [0, 4, 0, OUT + 56, 0, 0], 0),
    (nr::setitimer, [0, TIMER, BAD, 0, 0, 0], EFAULT),
    (nr::getitimer, [0, OUT + 72, 0, 0, 0, 0], 0),
    (nr::write, [1, OUT, 96, 0, 0, 0], 96),
    (nr::openat, [HERE, PATH, 0o102, 0o644, 0, 0], 3),
    (nr::fcntl, [3, 5, LOCKS, 0, 0, 0], EINVAL),
    (nr::fcntl, [3, 6, LOCKS, 0, 0, 0], 0),
    (nr::fcntl, [3, 5, LOCKS + 32, 0, 0, 0], EINVAL),
    (nr::fcntl, [3, 6, LOCKS + 32, 0, 0, 0], EINVAL),
    (nr::fcntl, [3, 6, LOCKS + 64, 0, 0, 0], EOVERFLOW),
    (nr::fcntl, [3, 6, LOCKS + 96, 0, 0, 0], EINVAL),
    (nr::fcntl, [3, 6, LOCKS + 128, 0, 0, 0], EINVAL),
    (nr::fcntl, [3, 6, BAD, 0, 0, 0], EFAULT),
    (nr::openat, [HERE, DIRECTORY, 0, 0, 0, 0], 4),
    // No bytes of a directory may be sent to a file, but some may not.
    (nr::sendfile, [3, 4, 0, 0, 0, 0], 0),
    (nr::sendfile, [3, 4, 0, 1, 0, 0], EINVAL),
    (nr::sendfile, [3, 0, 0, 0, 0, 0], EINVAL),
    // The old path is walked before the new one is read.
    (nr::renameat, [99, PATH + 1, HERE, BAD, 0, 0], EBADF),
    (nr::renameat, [HERE, PATH, HERE, BAD, 0, 0], EFAULT),
    // The path is walked before what the times say is looked at; that both stay, and that they can be read, before it.
    (nr::utimensat, [HERE, MISSING, BAD_TIMES, 0, 0, 0], ENOENT),
    (nr::utimensat, [99, 0, BAD_TIMES, 0, 0, 0], EBADF),
    (nr::utimensat, [HERE, PATH, BAD_TIMES, 0, 0, 0], EINVAL),
    (nr::utimensat, [HERE, MISSING, BAD, 0, 0, 0], EFAULT),
    (nr::utimensat, [99, BAD, NO_TIMES, 77, 0, 0], 0),
    (nr::utimensat, [99, 0, 0, 0x100, 0, 0], EINVAL),
    // Who is meant is sought before the signal's number is looked at.
    (nr::kill, [12345, 65, 0, 0, 0, 0], ESRCH),
    (nr::kill, [-12345i64 as u64, 65, 0, 0, 0, 0], ESRCH),
    (nr::kill, [-1i64 as u64, 65, 0, 0, 0, 0], ESRCH),
    (nr::kill, [i32::MIN as u64, 65, 0, 0, 0, 0], ESRCH),
    (nr::kill, [0, 65, 0, 0, 0, 0], EINVAL),
    (nr::kill, [1, -1i64 as u64, 0, 0, 0, 0], EINVAL),
    (nr::tkill, [0, 65, 0, 0, 0, 0], EINVAL),
    (nr::tkill, [12345, 65, 0, 0, 0, 0], ESRCH),
    (nr::tkill, [1, 65, 0, 0, 0, 0], EINVAL),
    (nr::tgkill, [0, 1, 0, 0, 0, 0], EINVAL),
    (nr::tgkill, [2, 1, 65, 0, 0, 0], ESRCH),
    (nr::tgkill, [1, 1, 65, 0, 0, 0], EINVAL),
    (nr::tgkill, [1, 1, 0, 0, 0, 0], 0),
    (nr::pipe2, [OUT, 0, 0, 0, 0, 0], 0),
    (nr::fchown, [5, 3, 4, 0, 0, 0], 0),
    (nr::fchmod, [5, 0o640, 0, 0, 0, 0], 0),
    (nr::utimensat, [5, 0, TIMES, 0, 0, 0], 0),
    (nr::fstat, [5, OUT + 0x80, 0, 0, 0, 0], 0),
    (nr::write, [1, OUT + 0x90, 4, 0, 0, 0], 4),
    (nr::write, [1, OUT + 0x98, 8, 0, 0, 0], 8),
    (nr::write, [1, OUT + 0xc8, 24, 0, 0, 0], 24),
    // A pipe without readers is EPIPE whatever is to be sent; SIGPIPE is ignored by process 1.
    (nr::close, [5, 0, 0, 0, 0, 0], 0),
    (nr::sendfile, [6, 4, 0, 3, 0, 0], EPIPE),
    (nr::pipe2, [OUT, 0, 0, 0, 0, 0], 0),
    (nr::sendfile, [7, 4, 0, 3, 0, 0], EINVAL),
    (nr::close, [7, 0, 0, 0, 0, 0], 0),
    // Access mode 3 neither reads nor writes.
    (nr::openat, [HERE, PATH, 3, 0, 0, 0], 7),
    (nr::read, [7, OUT, 4, 0, 0, 0], EBADF),
    (nr::write, [7, OUT, 4, 0, 0, 0], EBADF),
    (nr::ftruncate, [7, 0, 0, 0, 0, 0], EINVAL),
    (nr::mknodat, [HERE, FIFO, 0o10644, 0, 0, 0], 0),
    (nr::openat, [HERE, FIFO, 0o4003, 0, 0, 0], EINVAL),
    // A directory's bytes: the buffer is looked at first.
    (nr::read, [4, u64::MAX, 4, 0, 0, 0], EFAULT),
    (nr::read, [4, OUT, 0, 0, 0, 0], EISDIR),
    (nr::pread64, [4, u64::MAX, 4, 0, 0, 0], EFAULT),
    // All lengths of a vector before any place, and its count in 64 bits.
    (nr::readv, [3, VECTORS, 2, 0, 0, 0], EINVAL),
    (nr::readv, [3, VECTORS, 1, 0, 0, 0], EFAULT),
    (nr::readv, [3, VECTORS, 1 << 32, 0, 0, 0], EINVAL),
    // A vector's sum is cut at MAX_RW_COUNT; where a part lies is looked at by its whole length, and lengths below 0 before.
    (nr::openat, [HERE, NULL, 2, 0, 0, 0], 8),
    (nr::openat, [HERE, ZERO, 2, 0, 0, 0], 9),
    (nr::writev, [3, LONG, 2, 0, 0, 0], 4),
    (nr::lseek, [3, 0, 1, 0, 0, 0], 4),
    (nr::ftruncate, [3, 0, 0, 0, 0, 0], 0),
    (nr::lseek, [3, 0, 0, 0, 0, 0], 0),
    (nr::readv, [9, LONG, 2, 0, 0, 0], 4),
    (nr::readv, [8, LONG + 32, 3, 0, 0, 0], 0),
    (nr::readv, [9, LONG + 32, 3, 0, 0, 0], EFAULT),
    (nr::writev, [8, LONG + 32, 3, 0, 0, 0], 0x7fff_f000),
    (nr::writev, [8, LONG + 80, 2, 0, 0, 0], EFAULT),
    (nr::writev, [8, LONG + 112, 2, 0, 0, 0], EINVAL),
    // A slash behind a name that may be made; a link that must be a directory.
    (nr::openat, [HERE, SLASH, 0o100, 0o644, 0, 0], EISDIR),
    (nr::openat, [HERE, SLASH, 0, 0, 0, 0], ENOTDIR),
    (nr::symlinkat, [DIRECTORY, HERE, LINK, 0, 0, 0], 0),
    (nr::openat, [HERE, LINK, 0o140000, 0, 0, 0], ENOTDIR),
    (nr::faccessat, [HERE, VERSION, 2, 0, 0, 0], EROFS),
    (nr::faccessat, [HERE, VERSION, 7, 0, 0, 0], EACCES),
    // What is made in a directory with S_ISGID.
    (nr::mkdirat, [HERE, GROUP, 0o755, 0, 0, 0], 0),
    (nr::fchownat, [HERE, GROUP, u32::MAX as u64, 7, 0, 0], 0),
    (nr::fchmodat, [HERE, GROUP, 0o2755, 0, 0, 0], 0),
    (nr::mkdirat, [HERE, MADE, 0o700, 0, 0, 0], 0),
    (nr::newfstatat, [HERE, MADE, OUT + 0x100, 0, 0, 0], 0),
    (nr::write, [1, OUT + 0x110, 16, 0, 0, 0], 16),
    // What a link in /proc shows of a working directory that was removed, also when that above it is gone.
    (nr::chdir, [MADE, 0, 0, 0, 0, 0], 0),
    (nr::unlinkat, [HERE, MADE, 0x200, 0, 0, 0], 0),
    (nr::readlinkat, [HERE, CWD, OUT, 99, 0, 0], 14),
    (nr::write, [1, OUT, 14, 0, 0, 0], 14),
    (nr::unlinkat, [HERE, GROUP, 0x200, 0, 0, 0], 0),
    (nr::readlinkat, [HERE, CWD, OUT + 1, 99, 0, 0], 14),
    (nr::write, [1, OUT, 15, 0, 0, 0], 15),
    (nr::getcwd, [OUT, 99, 0, 0, 0, 0], ENOENT),
    // Nor is an overlong name looked up there.
    (nr::mkdirat, [HERE, OVERLONG + 1, 0, 0, 0, 0], ENOENT),
    (nr::unlinkat, [HERE, OVERLONG + 1, 0, 0, 0, 0], ENOENT),
    (nr::openat, [HERE, OVERLONG + 1, 0, 0, 0, 0], ENOENT),
    (nr::renameat, [HERE, OVERLONG + 1, HERE, PATH, 0, 0], ENOENT),
    (nr::renameat, [HERE, PATH, HERE, OVERLONG + 1, 0, 0], ENOENT),
    (nr::chdir, [DIRECTORY, 0, 0, 0, 0, 0], 0),
    // An overlong last name is found where it is looked up: behind the second path, and what stands there.
    (nr::renameat, [HERE, OVERLONG, 99, PATH + 1, 0, 0], EBADF),
    (nr::renameat, [HERE, OVERLONG, HERE, BAD, 0, 0], EFAULT),
    (nr::renameat, [HERE, OVERLONG, HERE, DIRECTORY, 0, 0], EBUSY),
    (nr::renameat, [HERE, OVERLONG, HERE, VERSION, 0, 0], EXDEV),
    (nr::renameat, [HERE, OVERLONG, HERE, PATH, 0, 0], ENAMETOOLONG),
    (nr::renameat, [HERE, MISSING, HERE, OVERLONG, 0, 0], ENOENT),
    (nr::renameat, [HERE, PATH, HERE, OVERLONG, 0, 0], ENAMETOOLONG),
    (nr::unlinkat, [HERE, OVERLONG, 0, 0, 0, 0], ENAMETOOLONG),
    (nr::unlinkat, [8, OVERLONG + 1, 0, 0, 0, 0], ENOTDIR),
    (nr::openat, [HERE, DEVICES, 0, 0, 0, 0], 10),
    (nr::unlinkat, [10, OVERLONG + 1, 0, 0, 0, 0], EROFS),
    (nr::mkdirat, [HERE, OVERLONG, 0, 0, 0, 0], ENAMETOOLONG),
    // Of vfork's two flags one alone is no shape.
    (nr::clone, [0x4011, 0, 0, 0, 0, 0], EINVAL),
    (nr::clone, [0x111, 0, 0, 0, 0, 0], EINVAL),
    // One open file as source and target.
    (nr::write, [3, OUT, 8, 0, 0, 0], 8),
    (nr::lseek, [3, 0, 0, 0, 0, 0], 0),
    (nr::sendfile, [3, 3, 0, 4, 0, 0], 4),
    (nr::lseek, [3, 0, 1, 0, 0, 0], 4),
    // Lengths whose end lies beyond 2^64.
    (nr::mremap, [DATA, u64::MAX - 4095, 4096, 0, 0, 0], EINVAL),
    (nr::mremap, [DATA, u64::MAX - 4095, 4096, 3, 0x7000_0000, 0], EINVAL),
    (nr::mremap, [DATA, 0, 4096, 3, 0x7000_0000, 0], EINVAL),
    (nr::mprotect, [DATA, 0, u64::MAX, 0, 0, 0], 0),
    (nr::mprotect, [DATA, u64::MAX - 4095, u64::MAX, 0, 0, 0], ENOMEM),
    (nr::mprotect, [DATA, 4096, u64::MAX, 0, 0, 0], EINVAL),
    // The advice, of which 32 bits count, the start, the length, holes: 0 is NORMAL, 8 FREE, 3 WILLNEED, 4 DONTNEED; 7 and 26 are none. The
    // program has three pages.
    (nr::madvise, [DATA + 8, 0x7000, 8, 0, 0, 0], EINVAL),
    (nr::madvise, [DATA + 8, 0x3000, 3, 0, 0, 0], EINVAL),
    (nr::madvise, [DATA + 8, 0, 4, 0, 0, 0], EINVAL),
    (nr::madvise, [BAD, 0, 7, 0, 0, 0], EINVAL),
    (nr::madvise, [DATA, 4096, 26, 0, 0, 0], EINVAL),
    (nr::madvise, [DATA, 4096, u32::MAX as u64, 0, 0, 0], EINVAL),
    (nr::madvise, [DATA, 4096, 1 << 32 | 3, 0, 0, 0], 0),
    (nr::madvise, [DATA, u64::MAX - 4094, 8, 0, 0, 0], EINVAL),
    (nr::madvise, [DATA, u64::MAX - 4095, 3, 0, 0, 0], EINVAL),
    (nr::madvise, [u64::MAX - 4095, 4096, 4, 0, 0, 0], EINVAL),
    (nr::madvise, [u64::MAX - 4095, 0, 4, 0, 0, 0], 0),
    (nr::madvise, [BAD, 0, 4, 0, 0, 0], 0),
    (nr::madvise, [BAD, 0, 8, 0, 0, 0], 0),
    (nr::madvise, [BAD, 4096, 4, 0, 0, 0], ENOMEM),
    (nr::madvise, [BAD, 4096, 0, 0, 0, 0], ENOMEM),
    (nr::madvise, [BAD, 4096, 8, 0, 0, 0], ENOMEM),
    (nr::madvise, [BAD, 4096, 25, 0, 0, 0], ENOMEM),
    (nr::madvise, [BAD, 4096, 100, 0, 0, 0], ENOMEM),
    (nr::madvise, [DATA - 4096, 8192, 3, 0, 0, 0], ENOMEM),
    (nr::madvise, [DATA, 0x3000, 3, 0, 0, 0], 0),
    (nr::madvise, [DATA, 0x3001, 3, 0, 0, 0], ENOMEM),
    (nr::madvise, [DATA, 1 << 60, 3, 0, 0, 0], ENOMEM),
    (nr::wait4, [-1i64 as u64, 0, 1 << 28, 0, 0, 0], EINVAL),
];
const FORK: usize = CALLS.len();
/// With a child that has ended.
const PARENT: &[(u64, [u64; 6], i64)] = &[
    (nr::wait4, [-1i64 as u64, 0, 0x8000_0000, 0, 0, 0], ECHILD),
    (nr::wait4, [-1i64 as u64, BAD, 0xe000_0000, 0, 0, 0], EFAULT),
    (nr::wait4, [-1i64 as u64, 0, 0x6000_0000, 0, 0, 0], ECHILD),
];

/// One call an instruction; what the one before answered is looked at.
fn program(u: &mut User) -> bool {
    let at = ((u.pc - DATA) / 4) as usize;
    let answered = match at.checked_sub(1) {
        Some(last) if last < FORK => Some(CALLS[last]),
        Some(last) if last > FORK => PARENT.get(last - FORK - 1).copied(),
        _ => None,
    };
    if let Some((number, args, expected)) = answered {
        assert_eq!(u.x[0] as i64, expected, "call {number} of {args:x?}");
    }
    let (number, args) = match at {
        _ if at < FORK => (CALLS[at].0, CALLS[at].1),
        FORK => (nr::clone, [17, 0, 0, 0, 0, 0]),
        _ if at == FORK + 1 && u.x[0] == 0 => (nr::exit_group, [0; 6]),
        _ => PARENT.get(at - FORK - 1).map_or((nr::exit_group, [7, 0, 0, 0, 0, 0]), |c| (c.0, c.1)),
    };
    u.x[8] = number;
    u.x[..6].copy_from_slice(&args);
    u.pc += 4;
    true
}

fn lock(kind: u16, start: i64, length: i64) -> Vec<u8> {
    [u64::from(kind), start as u64, length as u64, 0].map(u64::to_le_bytes).concat()
}

#[test]
fn odd_calls_are_answered_as_by_linux() {
    let mut data = vec![0; 0x600];
    let mut put = |at: u64, bytes: &[u8]| data[(at - DATA) as usize..][..bytes.len()].copy_from_slice(bytes);
    put(PATH, b"/f\0");
    put(DIRECTORY, b"/\0");
    put(MISSING, b"/missing\0");
    for (at, path) in [(SLASH, "/f/\0"), (FIFO, "/p\0"), (GROUP, "/s\0"), (MADE, "/s/d\0"), (LINK, "/k\0")] {
        put(at, path.as_bytes());
    }
    put(VERSION, b"/proc/version\0");
    put(DEVICES, b"/dev\0");
    put(CWD, b"/proc/self/cwd\0");
    put(OVERLONG, &[&b"/"[..], &[b'n'; 256]].concat());
    put(NULL, b"/dev/null\0");
    put(ZERO, b"/dev/zero\0");
    let (beyond, long) = (abi::layout::TASK_SIZE, 1 << 30);
    put(LONG, &[OUT, 4, BAD, 1 << 38, BAD, long, BAD, long, BAD, long].map(u64::to_le_bytes).concat());
    put(LONG + 80, &[BAD, 2 * long, beyond, 4, beyond, 4, BAD, u64::MAX].map(u64::to_le_bytes).concat());
    put(VECTORS, &[u64::MAX, 4, DATA, u64::MAX].map(u64::to_le_bytes).concat());
    let locks = [lock(2, 0, 0), lock(0, -1, 0), lock(1, i64::MAX, 2), lock(0, 3, -4), lock(7, 0, 0)];
    put(LOCKS, &locks.concat());
    put(ACTION, &[0x5000u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    put(STACK, &[0x7000u64, 0, 0x8000].map(u64::to_le_bytes).concat());
    put(LIMITS, &[11u64, 22].map(u64::to_le_bytes).concat());
    put(BAD_TIMES, &[1u64, 5, 2, 1_000_000_000].map(u64::to_le_bytes).concat());
    put(TIMES, &[0u64, 9, 7, 5].map(u64::to_le_bytes).concat());
    put(NO_TIMES, &[0u64, (1 << 30) - 2, 0, (1 << 30) - 2].map(u64::to_le_bytes).concat());
    put(TIMER, &[7u64, 0, 1000, 0].map(u64::to_le_bytes).concat());
    let root = image(&data);
    let board = Board::new(quiet_log(39), program);
    let mut kernel = kernel(&board, &root);
    (0..2000).for_each(|_| kernel.step());
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]));
    let words: Vec<u64> = said[0].chunks(8).map(|w| u64::from_le_bytes(w.try_into().unwrap())).collect();
    // The mask was written over the action's flags; the handler stands before it.
    assert_eq!(words[..2], [0x5000, 0x5000]);
    assert_eq!(words[4..7], [0x7000, 0, 0x8000]);
    assert_eq!(words[7..10], [11, 22, 7]);
    assert!(words[11] > 990, "the timer does not run: {words:?}");
    assert_eq!(said[1], 0o010640u32.to_le_bytes());
    assert_eq!(said[2], [3u32, 4].map(u32::to_le_bytes).concat());
    // Access (0 s, 9 ns), then the seconds of modification.
    assert_eq!(said[3], [0u64, 9, 7].map(u64::to_le_bytes).concat());
    assert_eq!(said[4], [0o042700u32, 2, 0, 7].map(u32::to_le_bytes).concat());
    assert_eq!(said[5], b"/s/d (deleted)");
    assert_eq!(said[6], b"//s/d (deleted)");
}

/// Maps a page, shared and read-only, and shows the first line of `maps`.
fn maps_shared(u: &mut User) -> bool {
    let calls = [
        (nr::mmap, [0x20_0000, 4096, 1, 0x31, -1i64 as u64, 0], 0x20_0000),
        (nr::openat, [HERE, PATH, 0, 0, 0, 0], 3),
        (nr::read, [3, OUT, 41, 0, 0, 0], 41),
        (nr::write, [1, OUT, 41, 0, 0, 0], 41),
        (nr::exit_group, [7, 0, 0, 0, 0, 0], 0),
    ];
    let at = ((u.pc - DATA) / 4) as usize;
    if let Some((number, _, expected)) = at.checked_sub(1).map(|last| calls[last]) {
        assert_eq!(u.x[0] as i64, expected, "call {number}");
    }
    (u.x[8], u.pc) = (calls[at].0, u.pc + 4);
    u.x[..6].copy_from_slice(&calls[at].1);
    true
}

#[test]
fn a_shared_mapping_says_so_in_maps() {
    let mut data = vec![0; 0x600];
    data[(PATH - DATA) as usize..][..15].copy_from_slice(b"/proc/self/maps");
    let root = image(&data);
    let board = Board::new(quiet_log(9), maps_shared);
    let mut kernel = kernel(&board, &root);
    (0..200).for_each(|_| kernel.step());
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]));
    assert_eq!(said[0], b"00200000-00201000 r--s 00000000 00:00 0 \n");
}
