//! SS_AUTODISARM: a handler that begins on the alternate stack finds none set, and its return gives it back (sigaltstack(2)).

#[macro_use]
mod board;

use abi::linux::nr;
use abi::log::{Boot, Entry, Program, Sync};
use abi::vote::{EffectKind, Vote};
use board::{Board, DATA, image, kernel};
use journal::machine::User;

const AUTODISARM: u32 = 1 << 31;
const HANDLER: u64 = DATA + 0x200;
/// The alternate stack, and where what sigaltstack says of it is written.
const STACK: (u64, u64) = (DATA + 0x800, 0x1800);
const SAID: u64 = DATA + 0x300;

/// One call an instruction.
fn program(u: &mut User) -> bool {
    let (number, args) = match u.pc {
        DATA => (nr::sigaltstack, [DATA + 64, 0, 0, 0]),
        at if at == DATA + 4 => (nr::rt_sigaction, [10, DATA + 96, 0, 8]),
        at if at == DATA + 8 => (nr::kill, [1, 10, 0, 0]),
        at if at == DATA + 12 => (nr::sigaltstack, [0, SAID, 0, 0]),
        at if at == DATA + 16 => (nr::write, [1, SAID, 24, 0]),
        HANDLER => (nr::sigaltstack, [0, SAID, 0, 0]),
        at if at == HANDLER + 4 => (nr::write, [1, SAID, 24, 0]),
        at if at == HANDLER + 8 => {
            assert!((STACK.0..STACK.0 + STACK.1).contains(&u.sp), "not on the alternate stack");
            (nr::rt_sigreturn, [0; 4])
        }
        _ => (nr::exit_group, [0; 4]),
    };
    u.x[8] = number;
    u.x[..4].copy_from_slice(&args);
    u.pc += 4;
    true
}

fn stack(base: u64, flags: u32, size: u64) -> Vec<u8> {
    [base, flags.into(), size].map(u64::to_le_bytes).concat()
}

#[test]
fn a_handler_finds_no_alternate_stack_and_its_return_gives_it_back() {
    let mut data = vec![0; 1024];
    data[64..88].copy_from_slice(&stack(STACK.0, AUTODISARM, STACK.1));
    data[96..104].copy_from_slice(&HANDLER.to_le_bytes());
    data[104..112].copy_from_slice(&0x0800_0000u64.to_le_bytes()); // SA_ONSTACK
    let root = image(&data);
    let program_of = Program { path: "/prog", argv: b"prog\0", env: b"", tier: abi::tier::LEAST };
    let boot = Boot {
        version: abi::log::VERSION,
        seed: [9; 32],
        time_us: 1_700_000_000_000_000,
        digest_interval: 0,
        rows: 24,
        columns: 80,
        program: &encoded!(&program_of),
    };
    let sync = |s| encoded!(&Entry::Sync(Sync { s, time_us: 1_700_000_000_000_000 + s, events: &[] }));
    let log = [encoded!(&Entry::Boot(boot)), sync(1), sync(2)];
    let board = Board::new(log.to_vec(), program);
    let mut kernel = kernel(&board, &root);
    (0..200).for_each(|_| kernel.step());
    let mut said = Vec::new();
    for vote in board.votes() {
        if let Vote::Effect { kind: EffectKind::TtyOutput, payload, .. } =
            postcard::from_bytes(&vote).unwrap()
        {
            said.push(payload.to_vec());
        }
    }
    assert_eq!(said, [stack(0, 2, 0), stack(STACK.0, AUTODISARM, STACK.1)]);
}
