//! Signals that are ignored: kept while they are blocked, dropped when they are let through or their action is set to ignore them
//! (docs/turn-rule.md, "Signals"). Each line is a call and what x0 is then; what is pending is written to the terminal.

#[macro_use]
mod board;

use abi::linux::nr;
use abi::log::{Entry, Event, Sync};
use board::script::bits;
use board::{Board, DATA, image, kernel, quiet_log};
use journal::machine::User;

const INT: u64 = 2;
const USR1: u64 = 10;
const USR2: u64 = 12;
const PIPE: u64 = 13;
const ALRM: u64 = 14;
const CHLD: u64 = 17;
const CONT: u64 = 18;
const TSTP: u64 = 20;
const URG: u64 = 23;
const WINCH: u64 = 28;

/// Where the calls of process 1, of its child and of the handler stand.
const FIRST: u64 = DATA;
const CHILD: u64 = DATA + 0x10_0000;
const HANDLER: u64 = DATA + 0x20_0000;

const OUT: u64 = DATA + 0x800;
const MARK: u64 = DATA + 0x8;
/// Actions of four words: default, ignore, a handler, a handler that blocks SIGURG.
const DFL: u64 = DATA + 0x20;
const IGN: u64 = DATA + 0x40;
const HANDLE: u64 = DATA + 0x60;
const HANDLE_WITHOUT_URG: u64 = DATA + 0x80;
/// 4 µs, as timeouts (what is left is written back) and as a timer.
const SOON: [u64; 3] = [DATA + 0xa0, DATA + 0xb0, DATA + 0xc0];
const TIMER: u64 = DATA + 0xd0;
/// By signal: a set of it alone. Then other sets.
const ONE: u64 = DATA + 0x100;
const NONE: u64 = DATA + 0x300;
const ALL: u64 = DATA + 0x308;
const USRS: u64 = DATA + 0x310;
const BUT_URG_AND_ALRM: u64 = DATA + 0x318;

const BLOCK: u64 = 0;
const UNBLOCK: u64 = 1;
const EINTR: i64 = -4;
const ECHILD: i64 = -10;
const EPIPE: i64 = -32;

type Call = (u64, [u64; 5], i64);

const fn act(signal: u64, action: u64) -> Call {
    (nr::rt_sigaction, [signal, action, 0, 8, 0], 0)
}
const fn mask(how: u64, set: u64) -> Call {
    (nr::rt_sigprocmask, [how, set, 0, 8, 0], 0)
}
const fn send(pid: u64, signal: u64) -> Call {
    (nr::kill, [pid, signal, 0, 0, 0], 0)
}
const fn of(signal: u64) -> u64 {
    ONE + 8 * signal
}
const LOOK: Call = (nr::rt_sigpending, [OUT, 8, 0, 0, 0], 0);
const SAY: Call = (nr::write, [1, OUT, 8, 0, 0], 8);
/// Of a child that ends at once: none of its own numbers is looked at.
const FORK: Call = (nr::clone, [CHLD, 0, 0, 0, 0], 0);
const WAIT: [u64; 5] = [u64::MAX, 0, 0, 0, 0];

const CHILD_CALLS: &[Call] = &[
    mask(BLOCK, ALL),
    act(INT, IGN),
    act(USR1, IGN),
    // For the process, for the thread, for the group (process 1 goes on waiting).
    send(2, USR1),
    (nr::tkill, [2, URG, 0, 0, 0], 0),
    send(0, WINCH),
    LOOK,
    SAY,
    act(USR1, IGN),
    act(WINCH, DFL),
    LOOK,
    SAY,
    // An action that does not ignore it keeps it.
    act(URG, HANDLE),
    LOOK,
    SAY,
    act(URG, DFL),
    LOOK,
    SAY,
    // It is taken under the action that it has then.
    send(2, URG),
    act(URG, HANDLE),
    mask(UNBLOCK, of(URG)),
    LOOK,
    SAY,
    mask(BLOCK, of(URG)),
    act(URG, DFL),
    // Ignored when it is taken: dropped, and the next is taken.
    send(2, USR1),
    act(USR2, HANDLE),
    send(2, USR2),
    mask(UNBLOCK, USRS),
    // Not blocked: dropped at once.
    send(2, USR1),
    mask(BLOCK, USRS),
    LOOK,
    SAY,
    // It neither ends a wait nor wakes anybody; nor does what the terminal sends meanwhile.
    send(2, USR1),
    (nr::ppoll, [0, 0, SOON[0], 0, 0], 0),
    LOOK,
    SAY,
    // A mask of the call's own that lets it through: dropped, and the wait goes on.
    (nr::ppoll, [0, 0, SOON[1], NONE, 8], 0),
    LOOK,
    SAY,
    // Beside one that ends the wait.
    send(2, USR1),
    send(2, USR2),
    (nr::ppoll, [0, 0, SOON[2], NONE, 8], EINTR),
    LOOK,
    SAY,
    // Dropped before the wait, not when a handler ends it that blocks it again.
    act(ALRM, HANDLE_WITHOUT_URG),
    send(2, URG),
    (nr::setitimer, [0, TIMER, 0, 0, 0], 0),
    (nr::rt_sigsuspend, [BUT_URG_AND_ALRM, 8, 0, 0, 0], EINTR),
    LOOK,
    SAY,
    // A child's end.
    FORK,
    (nr::wait4, WAIT, 3),
    LOOK,
    SAY,
    act(CHLD, IGN),
    LOOK,
    SAY,
    FORK,
    (nr::wait4, WAIT, ECHILD),
    LOOK,
    SAY,
    // SIGCONT and signals that stop cancel each other.
    send(2, CONT),
    LOOK,
    SAY,
    send(2, TSTP),
    LOOK,
    SAY,
    send(2, CONT),
    LOOK,
    SAY,
    act(CONT, DFL),
    LOOK,
    SAY,
    act(PIPE, IGN),
    (nr::pipe2, [OUT, 0, 0, 0, 0], 0),
    (nr::close, [3, 0, 0, 0, 0], 0),
    (nr::write, [4, OUT, 8, 0, 0], EPIPE),
    LOOK,
    SAY,
    (nr::exit_group, [5, 0, 0, 0, 0], 0),
];

const FIRST_CALLS: &[Call] = &[
    FORK,
    (nr::wait4, WAIT, 2),
    mask(BLOCK, ALL),
    send(1, USR1),
    act(USR1, IGN),
    send(1, USR2),
    // Process 1 does not feel it, but this action ignores nothing.
    act(USR2, DFL),
    act(CHLD, DFL),
    LOOK,
    SAY,
    act(USR2, HANDLE),
    mask(UNBLOCK, USRS),
    LOOK,
    SAY,
    act(CHLD, IGN),
    FORK,
    (nr::wait4, WAIT, ECHILD),
    LOOK,
    SAY,
    (nr::exit_group, [7, 0, 0, 0, 0], 0),
];

/// What is pending where it is said (SIGINT, which the terminal sends again and again, left out); `None`: the handler's mark.
const SAID: &[Option<&[u64]>] = &[
    Some(&[USR1, URG, WINCH]),
    Some(&[URG]),
    Some(&[URG]),
    Some(&[]),
    None,
    Some(&[]),
    None,
    Some(&[]),
    Some(&[USR1]),
    Some(&[]),
    None,
    Some(&[]),
    None,
    Some(&[]),
    Some(&[CHLD]),
    Some(&[]),
    Some(&[]),
    Some(&[CONT]),
    Some(&[TSTP]),
    Some(&[CONT]),
    Some(&[]),
    Some(&[PIPE]),
    Some(&[USR2]),
    None,
    Some(&[]),
    Some(&[]),
];

fn program(u: &mut User) -> bool {
    let (base, calls) = match u.pc {
        HANDLER.. => (HANDLER, &[(nr::write, [1, MARK, 1, 0, 0], 1), (nr::rt_sigreturn, [0; 5], 0)][..]),
        CHILD.. => (CHILD, CHILD_CALLS),
        _ => (FIRST, FIRST_CALLS),
    };
    let at = ((u.pc - base) / 4) as usize;
    let (mut number, mut args, _) = calls[at];
    if let Some((last, given, expected)) = at.checked_sub(1).map(|i| calls[i]) {
        if last == nr::clone && u.x[0] == 0 {
            // Process 1's first child has calls of its own; all others end.
            if base == FIRST && at == 1 {
                u.pc = CHILD;
                return program(u);
            }
            (number, args) = (nr::exit_group, [0; 5]);
        } else if last != nr::clone {
            assert_eq!(u.x[0] as i64, expected, "call {last} of {given:x?}, before {at}");
        }
    }
    u.x[8] = number;
    u.x[..5].copy_from_slice(&args);
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
    put(HANDLE_WITHOUT_URG, &[HANDLER, 0, 0, bits(&[URG])]);
    SOON.iter().for_each(|at| put(*at, &[0, 4000]));
    put(TIMER, &[0, 0, 0, 4]);
    (1..=31).for_each(|n| put(of(n), &[bits(&[n])]));
    let all = [INT, USR1, USR2, PIPE, ALRM, CHLD, CONT, TSTP, URG, WINCH];
    put(ALL, &[bits(&all)]);
    put(USRS, &[bits(&[USR1, USR2])]);
    put(BUT_URG_AND_ALRM, &[bits(&all) & !bits(&[URG, ALRM])]);
    data
}

#[test]
fn what_is_ignored_is_kept_while_it_is_blocked() {
    let root = image(&data());
    let event = encoded!(&Event::TtySignal(INT as u8));
    let sync = |s| Entry::Sync(Sync { s, time_us: 1_700_000_000_000_000 + s, events: &event });
    let mut log = quiet_log(0);
    log.extend((1..90).map(|s| encoded!(&sync(s))));
    let board = Board::new(log, program);
    let mut kernel = kernel(&board, &root);
    (0..4000).for_each(|_| kernel.step());
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]), "{} said", said.len());
    let word = |s: &Vec<u8>| <[u8; 8]>::try_from(s.as_slice()).ok().map(u64::from_le_bytes);
    let pending: Vec<Option<u64>> = said.iter().map(word).collect();
    let wanted: Vec<Option<u64>> = SAID.iter().map(|s| s.map(bits)).collect();
    let without_int: Vec<Option<u64>> = pending.iter().map(|s| s.map(|p| p & !bits(&[INT]))).collect();
    assert_eq!(without_int, wanted);
    // The terminal's came while the child waited, and is pending as well.
    assert_eq!(pending[8], Some(bits(&[INT, USR1])));
}
