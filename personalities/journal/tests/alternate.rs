//! The alternate stack's flags: a frame holds them as they were set, sigaltstack tells where sp is, and a handler that begins with
//! SS_AUTODISARM finds none set, till its return gives it back (sigaltstack(2); uc_stack measured on Linux 6.1).

mod board;

use abi::linux::nr;
use board::{Board, DATA, image, kernel, quiet_log};
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
        // uc_stack, behind uc_flags and uc_link.
        HANDLER => (nr::write, [1, u.x[2] + 16, 24, 0]),
        at if at == HANDLER + 4 => (nr::sigaltstack, [0, SAID, 0, 0]),
        at if at == HANDLER + 8 => (nr::write, [1, SAID, 24, 0]),
        at if at == HANDLER + 12 => (nr::rt_sigreturn, [0; 4]),
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

/// What the frame holds, the handler is told and is told behind it, with these flags set.
fn told(flags: u32) -> Vec<Vec<u8>> {
    let mut data = vec![0; 1024];
    data[64..88].copy_from_slice(&stack(STACK.0, flags, STACK.1));
    data[96..104].copy_from_slice(&HANDLER.to_le_bytes());
    data[104..112].copy_from_slice(&0x0800_0000u64.to_le_bytes()); // SA_ONSTACK
    let root = image(&data);
    let board = Board::new(quiet_log(2), program);
    let mut kernel = kernel(&board, &root);
    (0..200).for_each(|_| kernel.step());
    board.put_out().0
}

#[test]
fn a_frame_holds_ss_onstack_as_it_was_set() {
    let (base, size) = STACK;
    assert_eq!(told(1), [stack(base, 1, size), stack(base, 1, size), stack(base, 0, size)]);
}

#[test]
fn a_handler_finds_no_alternate_stack_and_its_return_gives_it_back() {
    let (base, size) = STACK;
    for set in [AUTODISARM, AUTODISARM | 1] {
        assert_eq!(told(set), [stack(base, set, size), stack(0, 2, 0), stack(base, AUTODISARM, size)]);
    }
}

#[test]
fn a_disabled_stack_keeps_autodisarm() {
    let off = stack(0, AUTODISARM | 2, 0);
    assert_eq!(told(AUTODISARM | 2), [off.clone(), stack(0, 2, 0), off]);
}
