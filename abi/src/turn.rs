//! The turn rule's numbers and its table of calls. The rule itself: `docs/turn-rule.md`; its executable model: `tests/turn-model`.

use crate::linux::{name, nr};

/// A turn ends after so many calls of one thread (Q).
pub const CALLS_PER_TURN: u64 = 8;
/// A sync point comes at the first end of a turn with so many calls since the last one (C).
pub const CALLS_PER_SYNC: u64 = 16;
/// Terminal output takes effect in slices of so many bytes, each a call of its own.
pub const TTY_SLICE: usize = 4096;
/// The program's clock advances so much for each call, microseconds.
pub const CLOCK_PER_CALL_US: u64 = 1;

/// Instructions within which the outermost place of a loop is looked for, and within which the thread must come back to it.
pub const OUTERMOST_STEPS: u32 = 8192;

/// Processes (zombies included) at a time; beyond: EAGAIN.
pub const PROCESSES_MAX: usize = 128;
/// First pid that is never given.
pub const PID_MAX: u32 = 32768;
/// Descriptors of a process (RLIMIT_NOFILE, soft and hard).
pub const FDS_MAX: usize = 256;
/// Open file descriptions in all; beyond: ENFILE.
pub const OPEN_FILES_MAX: usize = 2048;
/// Pipes in all; beyond: ENFILE.
pub const PIPES_MAX: usize = 128;
/// Bytes a pipe holds.
pub const PIPE_CAPACITY: usize = 65536;
/// A write of at most so many bytes into a pipe is atomic.
pub const PIPE_BUF: usize = 4096;
/// Pages that all processes together may be charged for; beyond: ENOMEM.
pub const MEMORY_PAGES: u64 = 24576;
/// A process is charged in chunks of so many pages.
pub const CHARGE_PAGES: u64 = 256;
/// Pages that the writable layer of the file system holds; beyond: ENOSPC.
pub const FILE_PAGES: u64 = 12288;
/// Inodes that the writable layer may add; beyond: ENOSPC.
pub const INODES_MAX: u64 = 4096;
/// Bytes of argv and envp together, with their zero bytes and pointers; beyond: E2BIG.
pub const ARGUMENTS_MAX: usize = 128 * 1024;
/// Bytes the terminal's input queue holds; what comes when it is full is lost.
pub const TTY_INPUT_MAX: usize = 4096;

/// How a system call takes part in the turn rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Takes effect at once, whoever holds the turn: it reads and changes only what no other process can see.
    Private,
    /// Waits for its thread's turn.
    Turn,
    /// Private as long as the process stays within the pages it is charged for; a turn when it needs a further chunk.
    Memory,
}

/// The class of system call `number` with arguments `args`. Page faults that grow the stack are [`Class::Memory`];
/// any fault that raises a signal is [`Class::Turn`]. In a process with several threads `sched_yield` is [`Class::Turn`] too. A number that Linux does not know answers ENOSYS at once.
pub fn class(number: u64, args: &[u64; 6]) -> Class {
    match number {
        nr::getpid | nr::gettid | nr::getuid | nr::geteuid | nr::getgid | nr::getegid => Class::Private,
        nr::set_tid_address | nr::set_robust_list | nr::rseq | nr::sigaltstack => Class::Private,
        nr::getrandom | nr::uname | nr::sched_getaffinity | nr::sched_yield => Class::Private,
        nr::munmap | nr::madvise | nr::getgroups => Class::Private,
        nr::brk | nr::mremap | nr::mprotect => Class::Memory,
        nr::mmap if args[3] & MAP_ANONYMOUS != 0 => Class::Memory,
        _ if name(number).is_none() => Class::Private,
        _ => Class::Turn,
    }
}

const MAP_ANONYMOUS: u64 = 0x20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mmap_of_a_file_takes_a_turn_and_anonymous_memory_does_not() {
        let mmap = nr::mmap;
        assert_eq!(class(mmap, &[0, 4096, 3, 0x22, u64::MAX, 0]), Class::Memory);
        assert_eq!(class(mmap, &[0, 4096, 3, 0x02, 3, 0]), Class::Turn);
    }

    #[test]
    fn unknown_numbers_are_private() {
        for n in [u64::MAX, 9999, 1 << 32, 250] {
            assert_eq!(class(n, &[0; 6]), Class::Private);
        }
    }
}
