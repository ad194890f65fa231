//! What is opened by the link of a descriptor. Each line is a call and what x0 is then.

mod board;

use abi::linux::nr;
use board::{Board, DATA, image, kernel, quiet_log};
use journal::machine::User;

type Call = (u64, [u64; 5], i64);

const HERE: u64 = -100i64 as u64;
const OUT: u64 = DATA + 0x800;
const SLEEP: u64 = DATA + 0x700;
const POLLED: u64 = DATA + 0x710;
const NONBLOCK: u64 = 0o4000;
const HUP: u64 = 0x10;

/// At [`DATA`], each in 32 bytes.
const PATHS: &[&str] = &["/proc/self/fd/0", "/p"];

/// Where a path stands.
const fn at(path: &str) -> u64 {
    let mut i = 0;
    while !same(PATHS[i], path) {
        i += 1;
    }
    DATA + 32 * i as u64
}

const fn same(a: &str, b: &str) -> bool {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

const fn open(path: &str, flags: u64, fd: i64) -> Call {
    (nr::openat, [HERE, at(path), flags, 0o644, 0], fd)
}

/// Both ends of a pipe, of which the first is opened again without a writer; a FIFO, too, for which that waits for one.
const PIPES: &[Call] = &[
    (nr::pipe2, [OUT, 0, 0, 0, 0], 0),
    (nr::dup3, [3, 0, 0, 0, 0], 0),
    (nr::close, [4, 0, 0, 0, 0], 0),
    open("/proc/self/fd/0", NONBLOCK, 4),
    (nr::ppoll, [POLLED, 1, SLEEP, 0, 0], 1),
    (nr::write, [1, POLLED + 6, 2, 0, 0], 2),
    (nr::close, [4, 0, 0, 0, 0], 0),
    (nr::mknodat, [HERE, at("/p"), 0o010644, 0, 0], 0),
    open("/p", NONBLOCK, 4),
    (nr::ppoll, [POLLED, 1, SLEEP, 0, 0], 0),
    (nr::write, [1, POLLED + 6, 2, 0, 0], 2),
];

fn run(u: &mut User, calls: &[&[Call]]) -> bool {
    let all: Vec<&Call> = calls.iter().copied().flatten().collect();
    let number = ((u.pc - DATA) / 4) as usize;
    if let Some((number, args, expected)) = number.checked_sub(1).and_then(|last| all.get(last)) {
        assert_eq!(u.x[0] as i64, *expected, "call {number} of {args:x?}");
    }
    let (call, args) = all.get(number).map_or((nr::exit_group, [7, 0, 0, 0, 0]), |c| (c.0, c.1));
    u.x[8] = call;
    u.x[..5].copy_from_slice(&args);
    u.pc += 4;
    true
}

fn data() -> Vec<u8> {
    let mut data = vec![0; 0x1000];
    for (i, path) in PATHS.iter().enumerate() {
        data[32 * i..][..path.len()].copy_from_slice(path.as_bytes());
    }
    data[0x708] = 1;
    data[0x710] = 4;
    data
}

/// What was shown on the terminal, as the calls were answered as they should.
fn shown(board: &Board) -> Vec<Vec<u8>> {
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]), "{said:?}");
    said
}

fn shows(log: Vec<Vec<u8>>, program: fn(&mut User) -> bool) -> Board {
    let root = image(&data());
    let board = Board::new(log, program);
    let mut kernel = kernel(&board, &root);
    (0..2000).for_each(|_| kernel.step());
    board
}

#[test]
fn a_pipe_that_is_opened_again_waits_for_no_first_writer() {
    let said = shown(&shows(quiet_log(40), |u| run(u, &[PIPES])));
    assert_eq!(said, [(HUP as u16).to_le_bytes(), [0, 0]]);
}
