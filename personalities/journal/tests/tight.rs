//! With little heap left what would make lasting objects is ENOMEM, and the rest goes on: a program can't stop the kernel by what no agreed limit
//! bounds (regions, names, texts of /proc).

mod board;

use abi::linux::nr;
use board::{Board, DATA, image, kernel_with_heap, quiet_log};
use journal::machine::User;

const HERE: u64 = -100i64 as u64;
const ENOMEM: i64 = -12;
const PATH: u64 = DATA + 0x40;
const NEW: u64 = DATA + 0x48;
const NONE: u64 = u64::MAX;

/// Each call, what it answers with 8 MiB left, and what with 24: no processes and mappings in the one case, no names in both.
const CALLS: &[(u64, [u64; 6], [i64; 2])] = &[
    (nr::mmap, [0x5000_0000, 4096, 3, 0x22, NONE, 0], [ENOMEM, 0x5000_0000]),
    // One region becomes two, three; the last page of the second goes.
    (nr::mprotect, [DATA + 0x1000, 4096, 1, 0, 0, 0], [ENOMEM, 0]),
    (nr::munmap, [DATA + 0x2000, 4096, 0, 0, 0, 0], [0, 0]),
    (nr::openat, [HERE, PATH, 0o102, 0o644, 0, 0], [ENOMEM, 3]),
    (nr::linkat, [HERE, PATH, HERE, NEW, 0, 0], [ENOMEM, ENOMEM]),
    (nr::mkdirat, [HERE, NEW, 0o755, 0, 0, 0], [ENOMEM, ENOMEM]),
    (nr::pipe2, [DATA, 0, 0, 0, 0, 0], [ENOMEM, 0]),
    (nr::execve, [NEW, 0, 0, 0, 0, 0], [ENOMEM, -2]),
    (nr::write, [1, PATH, 2, 0, 0, 0], [2, 2]),
];

fn program(u: &mut User, case: usize) -> bool {
    let at = ((u.pc - DATA) / 4) as usize;
    if let Some((number, args, expected)) = at.checked_sub(1).and_then(|last| CALLS.get(last)) {
        assert_eq!(u.x[0] as i64, expected[case], "call {number} of {args:x?}");
    }
    let (number, args) = CALLS.get(at).map_or((nr::exit_group, [7, 0, 0, 0, 0, 0]), |c| (c.0, c.1));
    u.x[8] = number;
    u.x[..6].copy_from_slice(&args);
    u.pc += 4;
    true
}

fn ends_as_expected(heap: u64, run: fn(&mut User) -> bool) {
    let mut data = vec![0; 0x400];
    data[0x40..0x43].copy_from_slice(b"/f\0");
    data[0x48..0x4b].copy_from_slice(b"/g\0");
    let root = image(&data);
    let board = Board::new(quiet_log(9), run);
    let mut kernel = kernel_with_heap(&board, &root, heap);
    (0..200).for_each(|_| kernel.step());
    let (said, exit) = board.put_out();
    assert_eq!(exit.as_deref(), Some(&(7i32 << 8).to_le_bytes()[..]));
    assert_eq!(said, [b"/f"]);
}

#[test]
fn a_kernel_with_little_heap_refuses_what_lasts() {
    ends_as_expected(8 << 20, |u| program(u, 0));
    ends_as_expected(24 << 20, |u| program(u, 1));
}
