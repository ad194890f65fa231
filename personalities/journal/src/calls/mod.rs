//! System calls: from a number to what it does to the state. A call's outcome is a value; one that blocks says what it waits for.

pub mod directories;
pub mod extents;
pub mod files;
pub mod fork;
pub mod identity;
pub mod ioctl;
pub mod limits;
pub mod locks;
pub mod memory;
pub mod metadata;
pub mod open;
pub mod poll;
pub mod sendfile;
pub mod signal;
pub mod terminal;
pub mod time;
pub mod transfer;
pub mod wait;

use crate::errno::*;
use crate::process::{Progress, Wait, Wanted};
use crate::state::State;
use abi::linux::nr;

/// The highest tier of calls that this kernel offers.
pub const TIER: u8 = 2;

/// What came of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: x0.
    Done(u64),
    /// It waits.
    Wait(Wait),
    /// Part is done; the rest is another call at once.
    Again,
    /// A signal that it caused itself decides.
    Interrupted,
    /// The registers were set by it.
    Jump,
    /// The process is gone.
    Gone,
}

/// Done, with a number.
pub fn done(value: impl TryInto<u64>) -> Result<Outcome> {
    Ok(Outcome::Done(value.try_into().unwrap_or(0)))
}

/// Done: 0.
pub fn ok() -> Result<Outcome> {
    Ok(Outcome::Done(0))
}

type Args = [u64; 6];

/// Calls that make what stays when they have returned, and of which no agreed limit bounds what it costs this kernel's heap.
fn lasts(number: u64) -> bool {
    [nr::clone, nr::execve, nr::openat, nr::mmap, nr::pipe2].contains(&number)
}

/// Calls that make names.
fn names(number: u64) -> bool {
    [nr::linkat, nr::symlinkat, nr::mkdirat, nr::mknodat].contains(&number)
}

impl State {
    /// How far the present call of a thread got.
    pub fn progress(&mut self, serial: u64) -> &mut Progress {
        let p = self.process_mut(serial);
        if !matches!(p.wanted, Wanted::Call { .. }) {
            p.wanted = Wanted::Call { number: u64::MAX, args: [0; 6], progress: Progress::default() };
        }
        match &mut p.wanted {
            Wanted::Call { progress, .. } => progress,
            _ => unreachable!("set above"),
        }
    }

    /// Makes a call whose turn it is.
    pub fn perform(&mut self, serial: u64, number: u64, a: &Args) -> Result<Outcome> {
        match abi::turn::class(number, a) {
            abi::turn::Class::Memory => return self.memory_call(serial, number, a),
            abi::turn::Class::Private => return self.private(serial, number, a).and_then(done),
            abi::turn::Class::Turn => {}
        }
        if !abi::tier::offers(self.birth.tier, number) {
            return Err(ENOSYS);
        }
        if self.pool.is_tight() && lasts(number) || self.pool.is_tight_for_names() && names(number) {
            return Err(ENOMEM);
        }
        if let Some(outcome) = self.file_call(serial, number, a) {
            return outcome;
        }
        if let Some(outcome) = self.process_call(serial, number, a) {
            return outcome;
        }
        self.time_call(serial, number, a).unwrap_or(Err(ENOSYS))
    }

    fn file_call(&mut self, s: u64, number: u64, a: &Args) -> Option<Result<Outcome>> {
        Some(match number {
            nr::read => self.read(s, a[0], a[1], a[2]),
            nr::write => self.write(s, a[0], a[1], a[2]),
            nr::readv => self.readv(s, a[0], a[1], a[2]),
            nr::writev => self.writev(s, a[0], a[1], a[2]),
            nr::pread64 => self.pread(s, a),
            nr::pwrite64 => self.pwrite(s, a),
            nr::sendfile => self.sendfile(s, a),
            nr::openat => self.openat(s, a[0], a[1], a[2] as u32, a[3] as u32),
            nr::close => self.close_fd(s, a[0] as u32).map(|()| Outcome::Done(0)),
            nr::close_range => self.close_range(s, a[0], a[1], a[2]),
            nr::lseek => self.lseek(s, a[0], a[1] as i64, a[2] as u32),
            nr::dup => self.dup(s, a[0]),
            nr::dup3 => self.dup3(s, a[0], a[1], a[2]),
            nr::fcntl => self.fcntl(s, a[0], a[1] as u32, a[2]),
            nr::flock => self.flock(s, a[0], a[1] as u32),
            nr::pipe2 => self.pipe2(s, a[0], a[1] as u32),
            nr::ioctl => self.ioctl(s, a[0], a[1] as u32, a[2]),
            nr::getdents64 => self.getdents(s, a[0], a[1], a[2]),
            nr::ftruncate => self.ftruncate(s, a[0], a[1] as i64),
            nr::truncate => self.truncate(s, a[0], a[1] as i64),
            nr::fsync | nr::fdatasync => self.fsync(s, a[0]),
            nr::fadvise64 => self.fadvise(s, a[0], a[2] as i64, a[3] as u32),
            nr::fallocate => self.fallocate(s, a),
            nr::sync => ok(),
            nr::mmap => self.map_file(s, a),
            nr::ppoll => self.ppoll(s, a),
            nr::pselect6 => self.pselect(s, a),
            _ => return self.name_call(s, number, a),
        })
    }

    fn name_call(&mut self, s: u64, number: u64, a: &Args) -> Option<Result<Outcome>> {
        Some(match number {
            nr::newfstatat => self.fstatat(s, a[0], a[1], a[2], a[3] as u32),
            nr::fstat => self.fstat(s, a[0], a[1]),
            nr::statx => self.statx(s, a),
            nr::statfs => self.statfs(s, a[0], a[1]),
            nr::fstatfs => self.fstatfs(s, a[0], a[1]),
            nr::faccessat => self.faccessat(s, a[0], a[1], a[2] as u32, 0),
            nr::faccessat2 => self.faccessat(s, a[0], a[1], a[2] as u32, a[3] as u32),
            nr::readlinkat => self.readlinkat(s, a[0], a[1], a[2], a[3] as i32),
            nr::getcwd => self.getcwd(s, a[0], a[1]),
            nr::chdir => self.chdir(s, a[0]),
            nr::fchdir => self.fchdir(s, a[0]),
            nr::mkdirat => self.mkdirat(s, a[0], a[1], a[2] as u32),
            nr::mknodat => self.mknodat(s, a[0], a[1], a[2] as u32, a[3]),
            nr::unlinkat => self.unlinkat(s, a[0], a[1], a[2] as u32),
            nr::symlinkat => self.symlinkat(s, a[0], a[1], a[2]),
            nr::linkat => self.linkat(s, a),
            nr::renameat => self.renameat(s, a, 0),
            nr::renameat2 => self.renameat(s, a, a[4] as u32),
            nr::fchmod => self.fchmod(s, a[0], a[1] as u32),
            nr::fchmodat => self.fchmodat(s, a[0], a[1], a[2] as u32),
            nr::fchown => self.fchown(s, a[0], a[1] as u32, a[2] as u32),
            nr::fchownat => self.fchownat(s, a[0], a[1], [a[2] as u32, a[3] as u32], a[4] as u32),
            nr::utimensat => self.utimensat(s, a[0], a[1], a[2], a[3] as u32),
            nr::setxattr | nr::lsetxattr | nr::fsetxattr | nr::getxattr | nr::lgetxattr | nr::fgetxattr => {
                Err(EOPNOTSUPP)
            }
            nr::listxattr | nr::llistxattr | nr::flistxattr | nr::removexattr => Err(EOPNOTSUPP),
            nr::lremovexattr | nr::fremovexattr => Err(EOPNOTSUPP),
            _ => return None,
        })
    }

    fn process_call(&mut self, s: u64, number: u64, a: &Args) -> Option<Result<Outcome>> {
        Some(match number {
            nr::clone => self.clone_call(s, a),
            nr::execve => self.execve(s, a[0], a[1], a[2]),
            nr::exit | nr::exit_group => {
                self.end(s, (a[0] as i32 & 0xff) << 8);
                Ok(Outcome::Gone)
            }
            nr::wait4 => self.wait4(s, a[0] as i32, a[1], a[2] as u32, a[3]),
            nr::kill => self.kill(s, a[0] as i32, a[1]),
            nr::tkill => self.tkill(s, None, a[0] as i32, a[1]),
            nr::tgkill => self.tkill(s, Some(a[0] as i32), a[1] as i32, a[2]),
            nr::rt_sigaction => self.sigaction(s, a),
            nr::rt_sigprocmask => self.sigprocmask(s, a),
            nr::rt_sigpending => self.sigpending(s, a[0], a[1]),
            nr::rt_sigsuspend => self.sigsuspend(s, a[0], a[1]),
            nr::rt_sigreturn => self.sigreturn(s),
            nr::getppid => {
                let parent = self.process(s).parent;
                done(self.processes.get(&parent).map_or(0, |p| p.pid))
            }
            nr::getpgid => self.getpgid(s, a[0] as i32),
            nr::getsid => self.getsid(s, a[0] as i32),
            nr::setpgid => self.setpgid(s, a[0] as i32, a[1] as i32),
            nr::setsid => self.setsid(s),
            nr::umask => {
                let p = self.process_mut(s);
                done(core::mem::replace(&mut p.umask, a[0] as u32 & 0o777))
            }
            nr::getpriority => self.getpriority(s, a[0], a[1] as u32),
            nr::setpriority => self.setpriority(s, a[0], a[1] as u32, a[2] as i32),
            nr::prlimit64 => self.prlimit(s, a[0] as u32, a[1] as u32, a[2], a[3]),
            nr::getrlimit => self.prlimit(s, 0, a[0] as u32, 0, a[1]),
            nr::setrlimit => self.prlimit(s, 0, a[0] as u32, a[1], 0),
            nr::prctl => self.prctl(s, a),
            nr::getrusage => self.getrusage(s, a[0] as i32, a[1]),
            nr::sysinfo => self.sysinfo(s, a[0]),
            nr::syslog => ok(),
            nr::socket => Err(EAFNOSUPPORT),
            nr::futex => self.futex(s, a),
            nr::personality => ok(),
            _ => return None,
        })
    }
}
