//! Which calls all kernels of one run offer. A run has a tier ([`crate::log::Program::tier`]): a kernel that has more behaves as if it had not, and one
//! that has less refuses to start, so that a program meets one set of calls on all of them.

use crate::linux::nr;

/// The smallest: a static program that computes and prints.
pub const SMALLEST: u8 = 1;
/// What every whole kernel has: shells, jobs, dynamic linking.
pub const LEAST: u8 = 2;
/// The highest there is: threads, and what Python and make ask for.
pub const MOST: u8 = 3;

/// From which tier on system call `number` is offered; `None`: never. What is not offered answers ENOSYS (at its turn, if its class says so).
pub fn of(number: u64) -> Option<u8> {
    match number {
        nr::write | nr::writev | nr::exit | nr::exit_group | nr::close | nr::ioctl | nr::getcwd => Some(1),
        nr::brk | nr::mmap | nr::munmap | nr::mprotect | nr::madvise | nr::prlimit64 | nr::getrandom => {
            Some(1)
        }
        nr::set_tid_address | nr::set_robust_list | nr::getpid | nr::getppid | nr::gettid | nr::uname => {
            Some(1)
        }
        nr::getuid | nr::geteuid | nr::getgid | nr::getegid | nr::getgroups | nr::readlinkat => Some(1),
        nr::rt_sigaction | nr::rt_sigprocmask | nr::sigaltstack | nr::clock_gettime | nr::prctl => Some(1),
        // Extended attributes: known, and answered as a file system without them does.
        nr::setxattr..=nr::fremovexattr => Some(2),
        nr::dup | nr::dup3 | nr::fcntl | nr::flock | nr::mknodat | nr::mkdirat => Some(2),
        nr::unlinkat
        | nr::symlinkat
        | nr::linkat
        | nr::renameat
        | nr::renameat2
        | nr::statfs
        | nr::fstatfs => Some(2),
        nr::truncate | nr::ftruncate | nr::fallocate | nr::faccessat | nr::faccessat2 | nr::chdir => Some(2),
        nr::fchdir | nr::fchmod | nr::fchmodat | nr::fchownat | nr::fchown | nr::openat => Some(2),
        nr::pipe2 | nr::getdents64 | nr::lseek | nr::read | nr::readv => Some(2),
        nr::pread64 | nr::pwrite64 | nr::sendfile | nr::pselect6 | nr::ppoll => Some(2),
        nr::newfstatat | nr::fstat | nr::statx | nr::sync | nr::fsync | nr::fdatasync | nr::utimensat => {
            Some(2)
        }
        nr::fadvise64 | nr::umask | nr::clone | nr::execve | nr::wait4 => Some(2),
        nr::futex | nr::nanosleep | nr::clock_nanosleep => Some(2),
        nr::getitimer | nr::setitimer | nr::clock_getres | nr::gettimeofday => Some(2),
        nr::syslog | nr::sched_getaffinity | nr::sched_yield | nr::kill | nr::tkill | nr::tgkill => Some(2),
        nr::rt_sigsuspend => Some(2),
        nr::rt_sigpending | nr::rt_sigreturn | nr::setpriority | nr::getpriority | nr::times => Some(2),
        nr::setpgid | nr::getpgid | nr::getsid | nr::setsid => Some(2),
        nr::getrusage => Some(2),
        nr::sysinfo | nr::socket | nr::mremap => Some(2),
        nr::get_robust_list | nr::setresuid | nr::setresgid | nr::getresuid | nr::getresgid => Some(3),
        nr::close_range | nr::copy_file_range | nr::socketpair => Some(3),
        _ => None,
    }
}

/// Whether a run of `tier` offers system call `number`.
pub fn offers(tier: u8, number: u64) -> bool {
    of(number).is_some_and(|t| t <= tier)
}

/// The calls, by name, that a run of `tier` offers and one of `less` does not; besides, the arguments of calls that both offer: `clone` of threads.
pub fn missing(tier: u8, less: u8) -> impl Iterator<Item = &'static str> {
    let calls = (0..512).filter(move |&n| offers(tier, n) && !offers(less, n)).filter_map(crate::linux::name);
    let threads = (tier >= 3 && less < 3).then_some("clone (CLONE_THREAD)");
    threads.into_iter().chain(calls)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn what_is_offered_has_a_name_and_what_nobody_knows_is_not() {
        for n in 0..512 {
            assert!(of(n).is_none() || crate::linux::name(n).is_some(), "{n}");
        }
        assert!(!offers(MOST, 9999) && !offers(MOST, nr::rseq) && offers(LEAST, nr::write));
    }

    #[test]
    fn a_lower_tier_misses_what_is_named() {
        let names: Vec<_> = missing(3, 2).collect();
        assert_eq!(names[0], "clone (CLONE_THREAD)");
        assert!(names.contains(&"close_range") && !names.contains(&"write"));
        assert_eq!(missing(2, 2).count() + missing(2, 3).count(), 0);
    }
}
