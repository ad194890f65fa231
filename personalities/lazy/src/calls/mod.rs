//! System calls: the table, and what all calls share. Each call is one function; it either is done, has failed, or says what it waits for.

mod advise;
mod attributes;
mod control;
mod copy;
mod dir;
mod fcntl;
mod futex;
mod ids;
mod io;
mod ioctl;
mod memory;
mod misc;
mod name;
mod open;
mod poll;
mod process;
mod rename;
mod send;
mod signals;
mod storage;
mod thread;
mod time;
mod write;

use crate::errno::*;
use crate::hw::{Hardware, Registers};
use crate::kernel::Kernel;
use crate::process::Continuation;
use crate::turn::Key;
use abi::linux::nr;
use alloc::vec::Vec;

/// What a blocked call waits for, and what it goes on from.
pub struct Wait {
    /// Things.
    pub keys: Vec<Key>,
    /// A moment.
    pub deadline: Option<u64>,
    /// From where.
    pub next: Continuation,
}

/// What a call comes to, if it does not fail.
pub enum Outcome {
    /// It is done; x0.
    Done(u64),
    /// The thread waits.
    Block(Wait),
    /// This part is done; the next one is another call of the same thread.
    GoOn(Continuation),
    /// The registers were set by the call itself, or nobody is left to have any.
    Replaced,
}

/// Bytes of a path at most that a call takes or tells: Linux' PATH_MAX without the byte that ends it.
const PATH_LONGEST: usize = 4095;

/// See [`Outcome`].
pub type CallResult = Result<Outcome>;

/// Done, with this result.
pub fn done(value: u64) -> CallResult {
    Ok(Outcome::Done(value))
}

/// Waits for one thing and starts again.
pub fn wait_for(key: Key, next: Continuation) -> CallResult {
    Ok(Outcome::Block(Wait { keys: alloc::vec![key], deadline: None, next }))
}

/// x0 to x5.
pub fn arguments(r: &Registers) -> [u64; 6] {
    let [a, b, c, d, e, f, ..] = r.x;
    [a, b, c, d, e, f]
}

/// Calls that make kernel objects: refused while this kernel's own heap runs short (`docs/limits.md`).
fn makes_objects(number: u64) -> bool {
    matches!(
        number,
        nr::openat
            | nr::mmap
            | nr::mremap
            | nr::mprotect
            | nr::clone
            | nr::execve
            | nr::mkdirat
            | nr::mknodat
            | nr::symlinkat
            | nr::linkat
            | nr::renameat
            | nr::renameat2
            | nr::write
            | nr::writev
            | nr::pwrite64
            | nr::pipe2
            | nr::dup
            | nr::dup3
            | nr::sendfile
            | nr::copy_file_range
            | nr::ppoll
            | nr::fcntl
            | nr::ftruncate
            | nr::truncate
    )
}

impl<H: Hardware> Kernel<H> {
    /// The space of a process.
    pub fn space(&self, serial: u64) -> Result<u32> {
        self.process_of(serial).and_then(|p| p.space).ok_or(ESRCH)
    }

    /// The open file description behind `fd`; O_PATH ones too.
    pub fn any_file(&self, serial: u64, fd: u64) -> Result<u32> {
        let d = self.process_of(serial).and_then(|p| p.descriptor(u64::from(fd as u32)));
        Ok(d.ok_or(EBADF)?.file)
    }

    /// The open file description behind `fd`.
    pub fn file(&self, serial: u64, fd: u64) -> Result<u32> {
        let id = self.any_file(serial, fd)?;
        match self.open.get(id) {
            Some(f) if !f.kind.is_path() => Ok(id),
            _ => Err(EBADF),
        }
    }

    /// A path argument.
    pub fn path(&mut self, serial: u64, address: u64) -> Result<Vec<u8>> {
        let space = self.space(serial)?;
        self.memory.read_string(space, address, PATH_LONGEST + 1)?.ok_or(ENAMETOOLONG)
    }

    /// Writes a struct to the program.
    pub fn put(&mut self, serial: u64, address: u64, bytes: &[u8]) -> Result<()> {
        let space = self.space(serial)?;
        self.memory.write(space, address, bytes)
    }

    /// A call of class Private or Memory, at once. `None`: the registers are set already.
    pub fn private_call(&mut self, serial: u64, number: u64, args: &[u64; 6]) -> Option<u64> {
        match self.dispatch(serial, number, args, None) {
            Ok(Outcome::Done(value)) => Some(value),
            Err(e) => Some(e.value()),
            Ok(_) => None,
        }
    }

    /// One call. `from`: it was blocked, or goes on.
    pub fn dispatch(
        &mut self,
        serial: u64,
        number: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        if !abi::tier::offers(self.tier, number) {
            self.report_unknown(number);
            return Err(ENOSYS);
        }
        if makes_objects(number) && from.is_none() && self.memory.physical.hw.heap_room() == 0 {
            return Err(ENOMEM);
        }
        match number {
            nr::read => self.sys_read(serial, a[0], &[(a[1], a[2])], None, from),
            nr::write => self.sys_write(serial, a[0], &[(a[1], a[2])], None, from),
            nr::readv => self.sys_vector(serial, a, false, from),
            nr::writev => self.sys_vector(serial, a, true, from),
            nr::pread64 => self.sys_read(serial, a[0], &[(a[1], a[2])], Some(a[3]), from),
            nr::pwrite64 => self.sys_write(serial, a[0], &[(a[1], a[2])], Some(a[3]), from),
            nr::sendfile => self.sys_sendfile(serial, a, from),
            nr::copy_file_range => self.sys_copy_file_range(serial, a),
            nr::lseek => self.sys_lseek(serial, a),
            nr::openat => self.sys_openat(serial, a, from),
            nr::close => self.sys_close(serial, a[0]),
            nr::close_range => self.sys_close_range(serial, a),
            nr::dup => self.sys_dup(serial, a[0]),
            nr::dup3 => self.sys_dup3(serial, a),
            nr::fcntl => self.sys_fcntl(serial, a),
            nr::flock => self.sys_flock(serial, a),
            nr::ioctl => self.sys_ioctl(serial, a),
            nr::pipe2 => self.sys_pipe2(serial, a),
            nr::ppoll => self.sys_ppoll(serial, a, from),
            nr::pselect6 => self.sys_pselect6(serial, a, from),
            nr::getdents64 => self.sys_getdents64(serial, a),
            nr::getcwd => self.sys_getcwd(serial, a),
            nr::chdir => self.sys_chdir(serial, a[0]),
            nr::fchdir => self.sys_fchdir(serial, a[0]),
            _ => self.dispatch_names(serial, number, a, from),
        }
    }

    fn dispatch_names(
        &mut self,
        serial: u64,
        number: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        match number {
            nr::newfstatat => self.sys_newfstatat(serial, a),
            nr::fstat => self.sys_fstat(serial, a),
            nr::statx => self.sys_statx(serial, a),
            nr::statfs => self.sys_statfs(serial, a),
            nr::fstatfs => self.sys_fstatfs(serial, a),
            nr::readlinkat => self.sys_readlinkat(serial, a),
            nr::faccessat => self.sys_faccessat(serial, a, 0),
            nr::faccessat2 => self.sys_faccessat(serial, a, a[3]),
            nr::mkdirat => self.sys_mkdirat(serial, a),
            nr::mknodat => self.sys_mknodat(serial, a),
            nr::symlinkat => self.sys_symlinkat(serial, a),
            nr::linkat => self.sys_linkat(serial, a),
            nr::unlinkat => self.sys_unlinkat(serial, a),
            nr::renameat => self.sys_renameat(serial, a, 0),
            nr::renameat2 => self.sys_renameat(serial, a, a[4]),
            nr::fchmod => self.sys_fchmod(serial, a),
            nr::fchmodat => self.sys_fchmodat(serial, a),
            nr::fchown => self.sys_fchown(serial, a),
            nr::fchownat => self.sys_fchownat(serial, a),
            nr::utimensat => self.sys_utimensat(serial, a),
            nr::ftruncate => self.sys_ftruncate(serial, a),
            nr::truncate => self.sys_truncate(serial, a),
            nr::sync | nr::syslog | nr::sched_yield => done(0),
            nr::fsync | nr::fdatasync => self.sys_fsync(serial, a[0]),
            nr::fadvise64 => self.sys_fadvise64(serial, a),
            nr::fallocate => self.sys_fallocate(serial, a),
            nr::setxattr..=nr::fremovexattr => Err(EOPNOTSUPP),
            nr::umask => self.sys_umask(serial, a[0]),
            _ => self.dispatch_processes(serial, number, a, from),
        }
    }

    fn dispatch_processes(
        &mut self,
        serial: u64,
        number: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        match number {
            nr::clone => self.sys_clone(serial, a, from),
            nr::execve => self.sys_execve(serial, a),
            nr::exit => self.sys_exit(serial, a[0]),
            nr::exit_group => self.sys_exit_group(serial, a[0]),
            nr::wait4 => self.sys_wait4(serial, a),
            nr::getpid => done(self.process(serial)?.pid.into()),
            nr::gettid => done(self.threads.get(&serial).ok_or(ESRCH)?.tid.into()),
            nr::get_robust_list => self.sys_get_robust_list(serial, a),
            nr::getppid => self.sys_getppid(serial),
            nr::getuid | nr::geteuid | nr::getgid | nr::getegid => done(0),
            nr::getgroups => self.sys_getgroups(a[0]),
            nr::setresuid | nr::setresgid => self.sys_set_ids(&a[..3]),
            nr::getresuid | nr::getresgid => self.sys_get_ids(serial, &a[..3]),
            nr::getpgid => self.sys_getpgid(serial, a[0]),
            nr::getsid => self.sys_getsid(serial, a[0]),
            nr::setpgid => self.sys_setpgid(serial, a),
            nr::setsid => self.sys_setsid(serial),
            nr::getrusage => self.sys_getrusage(serial, a),
            nr::times => self.sys_times(serial, a[0]),
            nr::getpriority => self.sys_getpriority(serial, a),
            nr::setpriority => self.sys_setpriority(serial, a),
            nr::prlimit64 => self.sys_prlimit64(serial, a),
            nr::prctl => self.sys_prctl(serial, a),
            nr::sysinfo => self.sys_sysinfo(serial, a[0]),
            nr::uname => self.sys_uname(serial, a[0]),
            nr::getrandom => self.sys_getrandom(serial, a),
            nr::sched_getaffinity => self.sys_sched_getaffinity(serial, a),
            nr::set_tid_address => self.sys_set_tid_address(serial, a[0]),
            nr::set_robust_list => self.sys_set_robust_list(serial, a),
            nr::futex => self.sys_futex(serial, a, from),
            nr::socket | nr::socketpair => Err(EAFNOSUPPORT),
            nr::brk => self.sys_brk(serial, a[0]),
            nr::mmap => self.sys_mmap(serial, a),
            nr::munmap => self.sys_munmap(serial, a),
            nr::mprotect => self.sys_mprotect(serial, a),
            nr::mremap => self.sys_mremap(serial, a),
            nr::madvise => self.sys_madvise(serial, a),
            _ => self.dispatch_rest(serial, number, a, from),
        }
    }

    fn dispatch_rest(
        &mut self,
        serial: u64,
        number: u64,
        a: &[u64; 6],
        from: Option<Continuation>,
    ) -> CallResult {
        match number {
            nr::kill => self.sys_kill(serial, a),
            nr::tkill => self.sys_tkill(serial, None, a[0], a[1]),
            nr::tgkill => self.sys_tkill(serial, Some(a[0]), a[1], a[2]),
            nr::rt_sigaction => self.sys_rt_sigaction(serial, a),
            nr::rt_sigprocmask => self.sys_rt_sigprocmask(serial, a),
            nr::rt_sigpending => self.sys_rt_sigpending(serial, a),
            nr::rt_sigsuspend => self.sys_rt_sigsuspend(serial, a, from),
            nr::rt_sigreturn => self.sys_rt_sigreturn(serial),
            nr::sigaltstack => self.sys_sigaltstack(serial, a),
            nr::clock_gettime => self.sys_clock_gettime(serial, a),
            nr::clock_getres => self.sys_clock_getres(serial, a),
            nr::gettimeofday => self.sys_gettimeofday(serial, a),
            nr::nanosleep => self.sys_sleep(serial, 1, 0, a[0], from),
            nr::clock_nanosleep => self.sys_sleep(serial, a[0], a[1] as u32, a[2], from),
            nr::setitimer => self.sys_setitimer(serial, a),
            nr::getitimer => self.sys_getitimer(serial, a),
            _ => Err(ENOSYS),
        }
    }

    /// Tells the operator once of each call that is not here.
    fn report_unknown(&mut self, number: u64) {
        let quiet = matches!(number, nr::rseq | nr::membarrier | nr::clone3);
        // Numbers that Linux does not know are told of as one.
        let known = abi::linux::name(number).map_or(u64::MAX, |_| number);
        if !quiet && self.unknown.insert(known) {
            let name = abi::linux::name(number).unwrap_or("unknown");
            self.memory.physical.hw.say(format_args!("lazy: system call {number} ({name}) is not offered"));
        }
    }
}
