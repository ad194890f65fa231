//! ppoll and pselect6 with no time to wait, as Linux 6.1 has them: what is pending and let through by the call's own mask is handled as in a wait. Each
//! line is a call and what x0 is then; what is pending is written to the terminal.

#[macro_use]
mod board;

use abi::linux::nr;
use board::script::bits;
use board::{Board, DATA, image, kernel, quiet_log};
use journal::machine::User;

const USR1: u64 = 10;
const USR2: u64 = 12;
const CHLD: u64 = 17;
const CONT: u64 = 18;
const TSTP: u64 = 20;
const EINTR: i64 = -4;

/// Where the calls of process 1, of its children (each so far behind the one before) and of the handler stand.
const FIRST: u64 = DATA;
const CHILDREN: u64 = DATA + 0x10_0000;
const APART: u64 = 0x1_0000;
const HANDLER: u64 = DATA + 0x20_0000;

const MARK: u64 = DATA + 0x8;
/// Actions: ignore, a handler.
const IGN: u64 = DATA + 0x40;
const HANDLE: u64 = DATA + 0x60;
/// No time.
const NOW: u64 = DATA + 0xa0;
/// Sets of signals, and so far behind them what pselect6 takes in their place.
const NONE: u64 = DATA + 0x100;
const ALL: u64 = DATA + 0x110;
const SETS: u64 = 0x100;
/// A row of ppoll: the terminal, if it can be written. The same for pselect6.
const ROW: u64 = DATA + 0x300;
const WRITABLE: u64 = DATA + 0x310;
const OUT: u64 = DATA + 0x800;

type Call = (u64, [u64; 6], i64);

const fn act(signal: u64, action: u64) -> Call {
    (nr::rt_sigaction, [signal, action, 0, 8, 0, 0], 0)
}
const fn send(pid: u64, signal: u64) -> Call {
    (nr::kill, [pid, signal, 0, 0, 0, 0], 0)
}
const BLOCK: Call = (nr::rt_sigprocmask, [0, ALL, 0, 8, 0, 0], 0);
const LOOK: Call = (nr::rt_sigpending, [OUT, 8, 0, 0, 0, 0], 0);
const SAY: Call = (nr::write, [1, OUT, 8, 0, 0, 0], 8);
const FORK: Call = (nr::clone, [CHLD, 0, 0, 0, 0, 0], 0);

/// Of nothing, under this mask (0: none of its own).
const fn poll(mask: u64, x0: i64) -> Call {
    (nr::ppoll, [0, 0, NOW, mask, 8, 0], x0)
}
const fn select(mask: u64, x0: i64) -> Call {
    (nr::pselect6, [0, 0, 0, 0, NOW, if mask == 0 { 0 } else { mask + SETS }], x0)
}
/// Of the terminal, which can be written.
const POLL_READY: Call = (nr::ppoll, [ROW, 1, NOW, NONE, 8, 0], 1);
const SELECT_READY: Call = (nr::pselect6, [2, 0, WRITABLE, 0, NOW, NONE + SETS], 1);

/// The same with either call, for process `pid` in which `USR1` is ignored and `USR2` has a handler.
const fn looks(pid: u64, calls: [Call; 6]) -> [Call; 20] {
    let [none, dropped, kept, closed, ready, interrupted] = calls;
    [
        none,
        // What is ignored.
        send(pid, USR1),
        kept,
        closed,
        LOOK,
        SAY,
        dropped,
        LOOK,
        SAY,
        // What has a handler; under the process' own mask it is blocked still.
        send(pid, USR1),
        send(pid, USR2),
        kept,
        closed,
        ready,
        LOOK,
        SAY,
        interrupted,
        LOOK,
        SAY,
        dropped,
    ]
}
const POLLS: [Call; 6] =
    [poll(NONE, 0), poll(NONE, 0), poll(0, 0), poll(ALL, 0), POLL_READY, poll(NONE, EINTR)];
const SELECTS: [Call; 6] =
    [select(NONE, 0), select(NONE, 0), select(0, 0), select(ALL, 0), SELECT_READY, select(NONE, EINTR)];
/// What is said of it; `None`: the handler's mark.
const SAID: [Option<&[u64]>; 5] = [Some(&[USR1]), Some(&[]), Some(&[USR1, USR2]), None, Some(&[])];

const EXIT: Call = (nr::exit_group, [5, 0, 0, 0, 0, 0], 0);
const STATUS: Call = (nr::write, [1, OUT, 4, 0, 0, 0], 4);
const fn wait(pid: u64) -> Call {
    (nr::wait4, [pid, OUT, 2, 0, 0, 0], pid as i64)
}

/// The children, by pid from 2 on: what has the default action ends or stops it.
const CHILD: [&[Call]; 4] = [
    &[BLOCK, send(2, USR1), poll(NONE, 0), EXIT],
    &[BLOCK, send(3, USR2), select(NONE, 0), EXIT],
    // Stopped, it goes on with the call, and then has its own mask again.
    &[(nr::setpgid, [0; 6], 0), BLOCK, send(4, TSTP), poll(NONE, 0), send(4, TSTP), LOOK, SAY, EXIT],
    &[(nr::setpgid, [0; 6], 0), BLOCK, send(5, TSTP), select(NONE, 0), send(5, TSTP), LOOK, SAY, EXIT],
];

/// Process 1 ignores what would take its default action.
const DEFAULT: &[Call] = &[
    BLOCK,
    send(1, USR1),
    send(1, USR2),
    poll(NONE, 0),
    LOOK,
    SAY,
    send(1, USR1),
    select(NONE, 0),
    LOOK,
    SAY,
    act(USR1, IGN),
    act(USR2, HANDLE),
];
const FATES: &[Call] = &[FORK, wait(2), STATUS, FORK, wait(3), STATUS];
const STOPS: &[Call] = &[
    FORK,
    wait(4),
    STATUS,
    send(4, CONT),
    wait(4),
    STATUS,
    FORK,
    wait(5),
    STATUS,
    send(5, CONT),
    wait(5),
    STATUS,
    (nr::exit_group, [7, 0, 0, 0, 0, 0], 0),
];

fn first() -> Vec<Call> {
    [FATES, DEFAULT, &looks(1, POLLS), &looks(1, SELECTS), STOPS].concat()
}

fn program(u: &mut User) -> bool {
    let (base, calls) = match u.pc {
        HANDLER.. => (HANDLER, vec![(nr::write, [1, MARK, 1, 0, 0, 0], 1), (nr::rt_sigreturn, [0; 6], 0)]),
        CHILDREN.. => {
            let child = (u.pc - CHILDREN) / APART;
            (CHILDREN + child * APART, CHILD[child as usize].to_vec())
        }
        _ => (FIRST, first()),
    };
    let at = ((u.pc - base) / 4) as usize;
    let (number, args, _) = calls[at];
    if let Some((last, given, expected)) = at.checked_sub(1).map(|i| calls[i]) {
        if last == nr::clone && u.x[0] == 0 {
            let before = calls[..at - 1].iter().filter(|c| c.0 == nr::clone).count() as u64;
            u.pc = CHILDREN + before * APART;
            return program(u);
        }
        if last != nr::clone {
            assert_eq!(u.x[0] as i64, expected, "call {last} of {given:x?}, before {at}");
        }
    }
    u.x[8] = number;
    u.x[..6].copy_from_slice(&args);
    u.pc += 4;
    true
}

fn data() -> Vec<u8> {
    let mut data = vec![0; 0x400];
    let mut put = |at: u64, words: &[u64]| {
        for (i, w) in words.iter().enumerate() {
            data[(at - DATA) as usize + 8 * i..][..8].copy_from_slice(&w.to_le_bytes());
        }
    };
    put(MARK, &[u64::from(b'h')]);
    put(IGN, &[1]);
    put(HANDLE, &[HANDLER]);
    put(ALL, &[bits(&[USR1, USR2, TSTP])]);
    [NONE, ALL].iter().for_each(|set| put(set + SETS, &[*set, 8]));
    put(ROW, &[4 << 32 | 1]);
    put(WRITABLE, &[2]);
    data
}

#[test]
fn no_time_to_wait_is_time_to_look_at_signals() {
    let root = image(&data());
    let board = Board::new(quiet_log(39), program);
    let mut kernel = kernel(&board, &root);
    (0..4000).for_each(|_| kernel.step());
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]), "{said:?}");
    let status = |status: u64| (status as u32).to_le_bytes().to_vec();
    let pending = |set: &Option<&[u64]>| set.map_or(vec![b'h'], |set| bits(set).to_le_bytes().to_vec());
    let mut wanted = vec![status(USR1), status(USR2), pending(&Some(&[])), pending(&Some(&[]))];
    wanted.extend(SAID.iter().chain(&SAID).map(pending));
    for _ in [POLLS, SELECTS] {
        wanted.extend([status(TSTP << 8 | 0x7f), pending(&Some(&[TSTP])), status(5 << 8)]);
    }
    assert_eq!(said, wanted);
}
