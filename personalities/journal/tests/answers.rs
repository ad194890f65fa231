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

const EBADF: i64 = -9;
const ECHILD: i64 = -10;
const EFAULT: i64 = -14;
const EINVAL: i64 = -22;
const EOVERFLOW: i64 = -75;
const ESRCH: i64 = -3;

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
    (nr::pipe2, [OUT, 0, 0, 0, 0, 0], 0),
    (nr::fchown, [5, 3, 4, 0, 0, 0], 0),
    (nr::fchmod, [5, 0o640, 0, 0, 0, 0], 0),
    (nr::fstat, [5, OUT + 0x80, 0, 0, 0, 0], 0),
    (nr::write, [1, OUT + 0x90, 4, 0, 0, 0], 4),
    (nr::write, [1, OUT + 0x98, 8, 0, 0, 0], 8),
    (nr::mprotect, [DATA, 0, u64::MAX, 0, 0, 0], 0),
    (nr::mprotect, [DATA, u64::MAX - 4095, u64::MAX, 0, 0, 0], -12),
    (nr::mprotect, [DATA, 4096, u64::MAX, 0, 0, 0], EINVAL),
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
    let mut data = vec![0; 0x400];
    let mut put = |at: u64, bytes: &[u8]| data[(at - DATA) as usize..][..bytes.len()].copy_from_slice(bytes);
    put(PATH, b"/f\0");
    put(DIRECTORY, b"/\0");
    let locks = [lock(2, 0, 0), lock(0, -1, 0), lock(1, i64::MAX, 2), lock(0, 3, -4), lock(7, 0, 0)];
    put(LOCKS, &locks.concat());
    put(ACTION, &[0x5000u64, 0, 0, 0].map(u64::to_le_bytes).concat());
    put(STACK, &[0x7000u64, 0, 0x8000].map(u64::to_le_bytes).concat());
    put(LIMITS, &[11u64, 22].map(u64::to_le_bytes).concat());
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
}
