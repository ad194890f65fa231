//! ppoll and pselect6 that a signal ends, as Linux 6.1 has them: ppoll has written all revents, pselect6 none of its sets.

#[macro_use]
mod board;

use abi::linux::nr;
use board::DATA;
use board::script::{ANY, Call, HERE, OUT, SYNC, data, run, shows_bytes};
use journal::machine::User;

const EINTR: i64 = -4;
const EFAULT: i64 = -14;
const ALARM: u64 = 14;
const USR1: u64 = 10;
const PAGE: u64 = 4096;

/// An action: the handler, and SA_RESTART, which these calls do not mind. A timer of 1.5 s; times of 9 s and of none.
const ACTION: u64 = DATA + 0x100;
const TIMER: u64 = DATA + 0x120;
const LONG: u64 = DATA + 0x140;
const NOW: u64 = DATA + 0x150;
/// Rows: the pipe's reading end, no descriptor, the pipe again; revents that were there before.
const ROWS: u64 = DATA + 0x160;
/// Sets: the pipe. Signals: none; ALARM and USR1.
const SET: u64 = DATA + 0x180;
const NONE: u64 = DATA + 0x190;
const BOTH: u64 = DATA + 0x198;
const PIPE: u64 = DATA + 0x1a0;
/// Where rows cannot be written.
const FIXED: u64 = 0x30_0000;

const SAY: Call = (nr::write, [1, ROWS, 24, 0, 0, 0], 24);
const SAY_SET: Call = (nr::write, [1, SET, 8, 0, 0, 0], 8);
const ARM: Call = (nr::setitimer, [0, TIMER, 0, 0, 0, 0], 0);
const RAISE: Call = (nr::kill, [1, USR1, 0, 0, 0, 0], 0);
/// In place of what the call before wrote there.
const DIRTY: Call = (nr::pread64, [3, ROWS, 24, 0, 0, 0], 24);
const fn mask(how: u64) -> Call {
    (nr::rt_sigprocmask, [how, BOTH, 0, 8, 0, 0], 0)
}
const fn poll(rows: u64, timeout: u64, mask: u64, x0: i64) -> Call {
    (nr::ppoll, [rows, 3, timeout, mask, 8, 0], x0)
}
const PENDING: Call = (nr::rt_sigpending, [OUT, 8, 0, 0, 0, 0], 0);
const SAY_PENDING: Call = (nr::write, [1, OUT, 8, 0, 0, 0], 8);

const CALLS: &[Call] = &[
    // A file with the rows as they were.
    (nr::openat, [HERE, DATA, 0o102, 0o644, 0, 0], 3),
    (nr::write, [3, ROWS, 24, 0, 0, 0], 24),
    (nr::pipe2, [PIPE, 0, 0, 0, 0, 0], 0),
    (nr::rt_sigaction, [ALARM, ACTION, 0, 8, 0, 0], 0),
    (nr::rt_sigaction, [USR1, ACTION, 0, 8, 0, 0], 0),
    // While it waits, without and with a timeout; the timer comes when a snapshot was taken.
    ARM,
    poll(ROWS, 0, 0, EINTR),
    SAY,
    DIRTY,
    ARM,
    poll(ROWS, LONG, NONE, EINTR),
    SAY,
    DIRTY,
    // What is pending when it begins, let through by its mask, with and without time.
    mask(0),
    RAISE,
    poll(ROWS, LONG, NONE, EINTR),
    SAY,
    DIRTY,
    RAISE,
    poll(ROWS, NOW, NONE, EINTR),
    SAY,
    DIRTY,
    mask(1),
    ARM,
    (nr::pselect6, [5, SET, 0, 0, LONG, 0], EINTR),
    SAY_SET,
    // Rows that cannot be written, and nothing in them is ready; the mask comes back first, so that the signal stays.
    (nr::mmap, [FIXED, PAGE, 3, 0x32, u64::MAX, 0], FIXED as i64),
    (nr::pread64, [3, FIXED, 24, 0, 0, 0], 24),
    (nr::mprotect, [FIXED, PAGE, 1, 0, 0, 0], 0),
    ARM,
    poll(FIXED, 0, 0, EFAULT),
    mask(0),
    ARM,
    poll(FIXED, LONG, NONE, EFAULT),
    PENDING,
    SAY_PENDING,
    RAISE,
    poll(FIXED, LONG, NONE, EFAULT),
    poll(FIXED, NOW, NONE, EFAULT),
    PENDING,
    SAY_PENDING,
    (nr::write, [1, FIXED, 24, 0, 0, 0], 24),
    SYNC,
    (nr::exit_group, [7, 0, 0, 0, 0, 0], ANY),
    // The handler.
    (nr::rt_sigreturn, [0; 6], 0),
];

fn rows() -> Vec<u8> {
    [(4, 1), (-1, 1), (4, 0u16)]
        .iter()
        .flat_map(|(fd, events): &(i32, u16)| {
            [&fd.to_le_bytes()[..], &events.to_le_bytes(), &0x5555u16.to_le_bytes()].concat()
        })
        .collect()
}

fn place(address: u64) -> usize {
    (address - DATA) as usize
}

#[test]
fn what_a_signal_ends_has_written_revents() {
    let mut data = data(&["/f"]);
    let mut put = |at: u64, words: &[u64]| {
        for (i, w) in words.iter().enumerate() {
            data[place(at) + 8 * i..][..8].copy_from_slice(&w.to_le_bytes());
        }
    };
    put(ACTION, &[DATA + 4 * (CALLS.len() as u64 - 1), 0x1000_0000]);
    put(TIMER, &[0, 0, 1, 500_000]);
    put(LONG, &[9, 0]);
    put(SET, &[1 << 4]);
    put(BOTH, &[1 << (ALARM - 1) | 1 << (USR1 - 1)]);
    data[place(ROWS)..][..24].copy_from_slice(&rows());
    let mut cleared = rows();
    cleared.chunks_mut(8).for_each(|row| row[6..].fill(0));
    let said = shows_bytes(&data, 6, |u: &mut User| run(u, CALLS));
    let set = (1u64 << 4).to_le_bytes().to_vec();
    let pending = |signals: &[u64]| signals.iter().fold(0u64, |s, n| s | 1 << (n - 1)).to_le_bytes().to_vec();
    let mut wanted = vec![cleared; 4];
    wanted.extend([set, pending(&[ALARM]), pending(&[ALARM, USR1]), rows()]);
    assert_eq!(said, wanted);
}
