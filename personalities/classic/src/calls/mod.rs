//! The table of system calls: number to handler. What is not in it and not a file call is ENOSYS, reported once a number.

mod file;
mod identity;
mod ids;
mod info;
mod memory;
mod process;
mod signals;
mod threads;
mod time;

use crate::errno::{EFAULT, ENAMETOOLONG, ENOSYS, Errno};
use crate::fs::Fs;
use crate::kernel::Kernel;
use crate::machine::Machine;
use crate::space::MemoryError;
use crate::turns::{Key, Serial};
use crate::user::UserMemory;
use abi::linux::nr;
use alloc::vec::Vec;

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// With this in x0.
    Result(i64),
    /// The registers are as they shall be (exec, sigreturn, exit, a repaired fault).
    NoResult,
    /// It did a slice and wants to be made again at once.
    Again,
    /// It has nothing, and no time to wait: signals come first, then it is made again in the same step.
    Expired,
    /// It did nothing but cause a signal, which comes first; then it is made again from its start.
    Restart,
    /// It waits.
    Block {
        /// For any of these.
        keys: Vec<Key>,
        /// Or until then.
        deadline_us: Option<u64>,
    },
    /// It needs a further chunk of memory, and it is not its thread's turn.
    NeedsTurn,
}

/// A call being made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    /// By which thread.
    pub serial: Serial,
    /// Of which process.
    pub process: Serial,
    /// x0 to x5.
    pub args: [u64; 6],
    /// Its number.
    pub number: u64,
}

impl Call {
    /// An argument that Linux takes as an int.
    pub fn int(&self, index: usize) -> i32 {
        self.args[index] as i32
    }
}

/// A handler by what it can answer.
enum Row<M: Machine> {
    Plain(fn(&mut Kernel<M>, &Call) -> Result<i64, Errno>),
    Memory(fn(&mut Kernel<M>, &Call) -> Result<i64, MemoryError>),
    Full(fn(&mut Kernel<M>, &Call) -> Result<Ended, Errno>),
}

fn row<M: Machine>(number: u64) -> Option<Row<M>> {
    use Row::{Full, Memory, Plain};
    Some(match number {
        nr::brk => Memory(memory::brk),
        nr::mmap => Memory(memory::mmap),
        nr::munmap => Memory(memory::munmap),
        nr::mprotect => Memory(memory::mprotect),
        nr::mremap => Memory(memory::mremap),
        nr::madvise => Memory(memory::madvise),
        nr::msync | nr::mlock | nr::munlock | nr::mlock2 => Plain(info::zero),

        nr::clone => Full(process::clone),
        nr::execve => Full(process::execve),
        nr::exit => Full(threads::exit),
        nr::exit_group => Full(process::exit_group),
        nr::wait4 => Full(process::wait4),
        nr::getrusage => Plain(process::getrusage),
        nr::times => Plain(process::times),
        nr::prlimit64 => Plain(process::prlimit64),
        nr::futex => Full(threads::futex),

        nr::getpid => Plain(identity::getpid),
        nr::gettid => Plain(identity::gettid),
        nr::getppid => Plain(identity::getppid),
        nr::getuid | nr::geteuid | nr::getgid | nr::getegid => Plain(info::zero),
        nr::getgroups => Plain(ids::getgroups),
        nr::setresuid | nr::setresgid => Plain(ids::set_three),
        nr::getresuid | nr::getresgid => Plain(ids::get_three),
        nr::getpgid => Plain(identity::getpgid),
        nr::setpgid => Plain(identity::setpgid),
        nr::getsid => Plain(identity::getsid),
        nr::setsid => Plain(identity::setsid),
        nr::getpriority => Plain(identity::getpriority),
        nr::setpriority => Plain(identity::setpriority),
        nr::set_tid_address => Plain(identity::set_tid_address),
        nr::set_robust_list => Plain(threads::set_robust_list),
        nr::get_robust_list => Plain(threads::get_robust_list),
        nr::prctl => Plain(identity::prctl),

        nr::kill => Plain(signals::kill),
        nr::tkill => Plain(signals::tkill),
        nr::tgkill => Plain(signals::tgkill),
        nr::rt_sigaction => Plain(signals::rt_sigaction),
        nr::rt_sigprocmask => Plain(signals::rt_sigprocmask),
        nr::rt_sigpending => Plain(signals::rt_sigpending),
        nr::rt_sigsuspend => Full(signals::rt_sigsuspend),
        nr::rt_sigreturn => Full(signals::rt_sigreturn),
        nr::sigaltstack => Plain(signals::sigaltstack),

        nr::clock_gettime => Plain(time::clock_gettime),
        nr::clock_getres => Plain(time::clock_getres),
        nr::gettimeofday => Plain(time::gettimeofday),
        nr::nanosleep => Full(time::nanosleep),
        nr::clock_nanosleep => Full(time::clock_nanosleep),
        nr::setitimer => Plain(time::setitimer),
        nr::getitimer => Plain(time::getitimer),

        nr::uname => Plain(info::uname),
        nr::sysinfo => Plain(info::sysinfo),
        nr::getrandom => Plain(info::getrandom),
        nr::sched_getaffinity => Plain(info::sched_getaffinity),
        nr::sched_yield | nr::syslog | nr::sched_getscheduler => Plain(info::zero),
        nr::sched_get_priority_max | nr::sched_get_priority_min => Plain(info::sched_priority_bound),
        _ => return None,
    })
}

/// Calls that answer ENOSYS on purpose: programs try them and do without.
fn expected_enosys(number: u64) -> bool {
    matches!(number, nr::rseq | nr::membarrier | nr::clone3)
}

impl<M: Machine> Kernel<M> {
    /// Makes a call.
    pub(crate) fn dispatch(&mut self, serial: Serial, number: u64, args: &[u64; 6]) -> Ended {
        let process = self.threads.get(&serial).map_or(0, |t| t.process);
        let call = Call { serial, process, number, args: *args };
        if !abi::tier::offers(self.start.tier, number) {
            return self.not_offered(number);
        }
        if Fs::handles(number) {
            return self.file_call(&call);
        }
        match row::<M>(number) {
            Some(Row::Plain(handler)) => Ended::Result(handler(self, &call).unwrap_or_else(Errno::to_result)),
            Some(Row::Full(handler)) => handler(self, &call).unwrap_or_else(|e| Ended::Result(e.to_result())),
            Some(Row::Memory(handler)) => match handler(self, &call) {
                Ok(value) => Ended::Result(value),
                Err(MemoryError::Errno(e)) => Ended::Result(e.to_result()),
                Err(MemoryError::NeedsTurn) => Ended::NeedsTurn,
            },
            None => self.not_offered(number),
        }
    }

    fn not_offered(&mut self, number: u64) -> Ended {
        if !expected_enosys(number) {
            self.report_unknown(number);
        }
        Ended::Result(ENOSYS.to_result())
    }

    /// Copies `N` bytes from a program.
    pub(crate) fn read_user<const N: usize>(
        &mut self,
        serial: Serial,
        address: u64,
    ) -> Result<[u8; N], Errno> {
        let mut bytes = [0; N];
        self.view(serial).ok_or(EFAULT)?.read(address, &mut bytes)?;
        Ok(bytes)
    }

    /// Copies `N` numbers of 64 bits from a program.
    pub(crate) fn read_words<const N: usize>(
        &mut self,
        serial: Serial,
        address: u64,
    ) -> Result<[u64; N], Errno> {
        let mut words = [0; N];
        for (i, word) in words.iter_mut().enumerate() {
            let at = address.checked_add(i as u64 * 8).ok_or(EFAULT)?;
            *word = u64::from_le_bytes(self.read_user(serial, at)?);
        }
        Ok(words)
    }

    /// Copies bytes to a program.
    pub(crate) fn write_user(&mut self, serial: Serial, address: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.view(serial).ok_or(EFAULT)?.write(address, bytes)
    }

    /// EFAULT unless a program can write `len` bytes at `address`; 0 means that it does not want them.
    pub(crate) fn check_writable(&mut self, serial: Serial, address: u64, len: usize) -> Result<(), Errno> {
        let mut view = self.view(serial).ok_or(EFAULT)?;
        if address == 0 || view.writable(address, len) == len { Ok(()) } else { Err(EFAULT) }
    }

    /// Whether an old value can be handed back, which Linux does last: the call takes effect all the same, and then says EFAULT (the inner result). A step
    /// that has to be made again in its turn ends here, so that it takes effect once.
    pub(crate) fn room_for_old(
        &mut self,
        serial: Serial,
        address: u64,
        len: usize,
    ) -> Result<Result<(), Errno>, Errno> {
        let room = self.check_writable(serial, address, len);
        if self.budget.wants_turn { Err(EFAULT) } else { Ok(room) }
    }

    /// Copies a string of at most `max` bytes (its zero byte included) from a program.
    pub(crate) fn read_string(&mut self, serial: Serial, address: u64, max: usize) -> Result<Vec<u8>, Errno> {
        let mut view = self.view(serial).ok_or(EFAULT)?;
        let mut string = Vec::new();
        while string.len() < max {
            let at = address.checked_add(string.len() as u64).ok_or(EFAULT)?;
            // To the end of the page: what follows need not be there.
            let n = (4096 - (at % 4096) as usize).min(max - string.len());
            let mut chunk = alloc::vec![0; n];
            view.read(at, &mut chunk)?;
            if let Some(end) = chunk.iter().position(|&b| b == 0) {
                chunk.truncate(end);
                string.append(&mut chunk);
                return Ok(string);
            }
            string.append(&mut chunk);
        }
        Err(ENAMETOOLONG)
    }
}
