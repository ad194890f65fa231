//! A handler of a thread outside the round begins at the outermost place of its loop, wherever the thread stood, on a kernel that steps a
//! program which is a function of its registers.

#[macro_use]
mod board;

use abi::linux::nr;
use abi::log::{Boot, Entry, Event, Program, Sync};
use abi::vote::{EffectKind, Vote};
use board::{Board, DATA, image, pool};
use journal::kernel::Kernel;
use journal::machine::User;

const SIGINT: u64 = 2;
/// Places: the program's start, its loop, its handler, what comes behind it.
const LOOP: u64 = DATA + 0x100;
const OUTER: u64 = DATA + 0x120;
const HANDLER: u64 = DATA + 0x200;
/// Of the pc and of x3 in a signal frame: siginfo 128, ucontext 176, fault address 8.
const FRAME_PC: u64 = 128 + 176 + 8 + 32 * 8;
const FRAME_X3: u64 = 128 + 176 + 8 + 3 * 8;
/// What the loop stores: a word behind the program's data.
const WORD: u64 = DATA + 0x300;

fn call(u: &mut User, number: u64, args: [u64; 4]) -> bool {
    u.x[8] = number;
    u.x[..4].copy_from_slice(&args);
    u.pc += 4;
    true
}

/// One instruction; `true`: it is a call. At LOOP + 4 stands a real store-exclusive: it fails, as long as nobody carries it out instead.
fn program(u: &mut User) -> bool {
    match u.pc {
        DATA => return call(u, nr::rt_sigaction, [SIGINT, DATA + 64, 0, 8]),
        HANDLER => return call(u, nr::write, [1, u.sp + FRAME_PC, 8, 0]),
        at if at == HANDLER + 4 => return call(u, nr::write, [1, u.sp + FRAME_X3, 8, 0]),
        at if at == HANDLER + 8 => return call(u, nr::write, [1, WORD, 8, 0]),
        at if at == HANDLER + 12 => return call(u, nr::exit_group, [0; 4]),
        at if at == LOOP + 4 => u.x[3] = 1,
        at if at == LOOP + 8 => {
            u.pc = if u.x[3] == 0 { OUTER } else { LOOP };
            u.sp += if u.x[3] == 0 { 64 } else { 0 };
            return false;
        }
        at if at == OUTER + 8 => {
            (u.pc, u.sp, u.x[3]) = (LOOP, u.sp - 64, 9);
            return false;
        }
        at if at == DATA + 4 => {
            (u.pc, u.x[1], u.x[2]) = (LOOP, WORD, 0x5851_f42d_4c95_7f2d);
            return false;
        }
        _ => {}
    }
    u.pc += 4;
    false
}

fn root() -> Vec<u8> {
    let mut d = vec![0; 1024];
    d[64..72].copy_from_slice(&HANDLER.to_le_bytes());
    let at = (LOOP + 4 - DATA) as usize;
    d[at..at + 4].copy_from_slice(&0xc803_fc22u32.to_le_bytes()); // stlxr w3, x2, [x1]
    image(&d)
}

/// Boot, a skip of the loop at call 1, Ctrl-C at sync point 1, the way back at sync point 2.
fn log() -> Vec<Vec<u8>> {
    let program = encoded!(&Program { path: "/prog", argv: b"prog\0", env: b"", tier: abi::tier::LEAST });
    let boot = Boot {
        version: abi::log::VERSION,
        seed: [9; 32],
        time_us: 1_700_000_000_000_000,
        digest_interval: 1,
        rows: 24,
        columns: 80,
        program: &program,
    };
    let signal = encoded!(&Event::TtySignal(SIGINT as u8));
    let rejoin = encoded!(&Event::Rejoin { thread: 1, call: 1 });
    let sync = |s, events| Entry::Sync(Sync { s, time_us: 1_700_000_000_000_000 + s, events });
    let entries =
        [Entry::Boot(boot), Entry::Skip { call: 1 }, sync(1, &signal), sync(2, &rejoin), sync(3, &[])];
    // On this board even a call takes as long as a thread may be silent.
    let goes = (2..9).map(|call| Entry::Go { call });
    entries.into_iter().chain(goes).map(|e| encoded!(&e)).collect()
}

#[test]
fn a_handler_begins_at_the_outermost_place_wherever_the_thread_stood() {
    let root = root();
    // Live, and from a log that says already when the thread rejoins.
    for (live, stuck_us) in [true, false].into_iter().flat_map(|live| (20..40).map(move |us| (live, us))) {
        let mut early = log();
        let late = early.split_off(if live { 3 } else { early.len() });
        let board = Board::new(early, program);
        let mut kernel =
            Kernel::new(board.clone(), pool(&root, 4000), (0, root.len() as u64), stuck_us, 5).unwrap();
        (0..1000).for_each(|_| kernel.step());
        board.log_more(late);
        (0..1000).for_each(|_| kernel.step());
        let (mut effects, mut rejoins) = (Vec::new(), 0);
        for vote in board.votes() {
            match postcard::from_bytes::<Vote<'_>>(&vote).unwrap() {
                Vote::Effect { kind, call, payload, .. } => effects.push((kind, call, payload.to_vec())),
                Vote::Rejoin { thread, call } => {
                    assert_eq!((thread, call), (1, 1));
                    rejoins += 1;
                }
                Vote::Memory { s, .. } => assert_eq!(s, 0, "an unagreed process posts no digest"),
                _ => {}
            }
        }
        let word = |call, value: u64| (EffectKind::TtyOutput, call, value.to_le_bytes().to_vec());
        assert_eq!(rejoins, u32::from(live), "{live} {stuck_us}");
        let wanted = [word(2, OUTER), word(3, 0), word(4, 0x5851_f42d_4c95_7f2d)];
        assert_eq!(effects.get(..3), Some(&wanted[..]), "{live} {stuck_us}");
        assert_eq!(effects.get(3).map(|e| e.0), Some(EffectKind::Exit), "{live} {stuck_us}");
    }
}

/// After its first call it computes without one, with a stack pointer that has no room for a frame below it.
fn without_stack(u: &mut User) -> bool {
    if u.pc == DATA {
        return call(u, nr::rt_sigaction, [SIGINT, DATA + 64, 0, 8]);
    }
    (u.pc, u.sp) = (LOOP, 0x110);
    false
}

#[test]
fn a_handler_whose_frame_would_begin_below_zero_ends_the_process() {
    let root = root();
    let mut early = log();
    let late = early.split_off(3);
    let board = Board::new(early, without_stack);
    let mut kernel = Kernel::new(board.clone(), pool(&root, 4000), (0, root.len() as u64), 30, 5).unwrap();
    (0..1000).for_each(|_| kernel.step());
    board.log_more(late);
    (0..1000).for_each(|_| kernel.step());
    assert_eq!(board.put_out().1.as_deref(), Some(&11i32.to_le_bytes()[..]));
}
