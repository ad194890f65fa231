//! The table from number to handler.

use super::buffer::Buffer;
use super::{Caller, Fs, Outcome, Progress, WaitKey};
use crate::errno::*;
use crate::user::UserMemory;
use abi::linux::nr;
use alloc::vec::Vec;

/// A call being made.
pub struct Call<'a, 'b> {
    /// Who makes it.
    pub caller: &'a mut Caller<'b>,
    /// Its arguments.
    pub args: &'a [u64; 6],
    /// The caller's memory.
    pub user: &'a mut dyn UserMemory,
    /// The memory of a read or write.
    pub buffer: Buffer,
}

impl Call<'_, '_> {
    /// Argument `i` as a descriptor or directory: Linux looks at 32 bits.
    pub fn fd(&self, i: usize) -> i32 {
        self.args[i] as i32
    }
    /// Argument `i`'s lower 32 bits.
    pub fn u32(&self, i: usize) -> u32 {
        self.args[i] as u32
    }
    /// Copies a result to where argument `i` points.
    pub fn put(&mut self, i: usize, bytes: &[u8]) -> Answer {
        self.user.write(self.args[i], bytes)?;
        Ok(0)
    }
    /// A struct at `address`.
    pub fn get<const N: usize>(&mut self, address: u64) -> Result<[u8; N], Errno> {
        let mut out = [0; N];
        self.user.read(address, &mut out)?;
        Ok(out)
    }
}

/// Why a handler has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// It failed.
    Error(Errno),
    /// It is not done.
    Out(Outcome),
}

impl Stop {
    /// Waits for one thing.
    pub fn wait(key: WaitKey) -> Stop {
        Stop::Out(Outcome::Block { on: Vec::from([key]), deadline_us: None })
    }
}

impl From<Errno> for Stop {
    fn from(e: Errno) -> Stop {
        Stop::Error(e)
    }
}

/// What a handler gives.
pub type Answer = Result<i64, Stop>;
type Handler = fn(&mut Fs, &mut Call<'_, '_>) -> Answer;

const HANDLERS: [(u64, Handler); 76] = [
    (nr::setxattr, Fs::xattr_of_path),
    (nr::lsetxattr, Fs::xattr_of_link),
    (nr::fsetxattr, Fs::xattr_of_file),
    (nr::getxattr, Fs::xattr_of_path),
    (nr::lgetxattr, Fs::xattr_of_link),
    (nr::fgetxattr, Fs::xattr_of_file),
    (nr::listxattr, Fs::xattr_of_path),
    (nr::llistxattr, Fs::xattr_of_link),
    (nr::flistxattr, Fs::xattr_of_file),
    (nr::removexattr, Fs::xattr_of_path),
    (nr::lremovexattr, Fs::xattr_of_link),
    (nr::fremovexattr, Fs::xattr_of_file),
    (nr::getcwd, Fs::getcwd),
    (nr::dup, Fs::dup),
    (nr::dup3, Fs::dup3),
    (nr::fcntl, Fs::fcntl),
    (nr::ioctl, Fs::ioctl),
    (nr::flock, Fs::flock),
    (nr::mknodat, Fs::mknodat),
    (nr::mkdirat, Fs::mkdirat),
    (nr::unlinkat, Fs::unlinkat),
    (nr::symlinkat, Fs::symlinkat),
    (nr::linkat, Fs::linkat),
    (nr::renameat, Fs::renameat),
    (nr::statfs, Fs::statfs),
    (nr::fstatfs, Fs::fstatfs),
    (nr::truncate, Fs::truncate),
    (nr::ftruncate, Fs::ftruncate),
    (nr::fallocate, Fs::fallocate),
    (nr::faccessat, Fs::faccessat),
    (nr::chdir, Fs::chdir),
    (nr::fchdir, Fs::fchdir),
    (nr::fchmod, Fs::fchmod),
    (nr::fchmodat, Fs::fchmodat),
    (nr::fchownat, Fs::fchownat),
    (nr::fchown, Fs::fchown),
    (nr::openat, Fs::openat),
    (nr::close, Fs::close),
    (nr::pipe2, Fs::pipe2),
    (nr::getdents64, Fs::getdents64),
    (nr::lseek, Fs::lseek),
    (nr::read, Fs::read),
    (nr::write, Fs::write),
    (nr::readv, Fs::readv),
    (nr::writev, Fs::writev),
    (nr::pread64, Fs::pread64),
    (nr::pwrite64, Fs::pwrite64),
    (nr::sendfile, Fs::sendfile),
    (nr::pselect6, Fs::pselect6),
    (nr::ppoll, Fs::ppoll),
    (nr::readlinkat, Fs::readlinkat),
    (nr::newfstatat, Fs::newfstatat),
    (nr::fstat, Fs::fstat),
    (nr::sync, Fs::sync),
    (nr::fsync, Fs::fsync),
    (nr::fdatasync, Fs::fsync),
    (nr::utimensat, Fs::utimensat),
    (nr::umask, Fs::umask),
    (nr::socket, Fs::socket),
    (nr::socketpair, Fs::socket),
    (nr::bind, Fs::not_a_socket),
    (nr::listen, Fs::not_a_socket),
    (nr::accept, Fs::not_a_socket),
    (nr::connect, Fs::not_a_socket),
    (nr::getsockname, Fs::not_a_socket),
    (nr::getpeername, Fs::not_a_socket),
    (nr::sendto, Fs::not_a_socket),
    (nr::recvfrom, Fs::not_a_socket),
    (nr::setsockopt, Fs::not_a_socket),
    (nr::getsockopt, Fs::not_a_socket),
    (nr::fadvise64, Fs::fadvise64),
    (nr::renameat2, Fs::renameat2),
    (nr::copy_file_range, Fs::copy_file_range),
    (nr::statx, Fs::statx),
    (nr::close_range, Fs::close_range),
    (nr::faccessat2, Fs::faccessat2),
];

/// Numbers up to here have a place in the table.
const NUMBERS: usize = 440;

/// Handlers by number.
static TABLE: [Option<Handler>; NUMBERS] = {
    let mut table: [Option<Handler>; NUMBERS] = [None; NUMBERS];
    let mut i = 0;
    while i < HANDLERS.len() {
        table[HANDLERS[i].0 as usize] = Some(HANDLERS[i].1);
        i += 1;
    }
    table
};

/// The handler of `number`.
pub fn handler(number: u64) -> Option<Handler> {
    *TABLE.get(usize::try_from(number).ok()?)?
}

/// All numbers handled.
#[cfg(test)]
pub fn numbers() -> impl Iterator<Item = u64> {
    HANDLERS.iter().map(|(number, _)| *number)
}

impl Fs {
    pub(super) fn dispatch(
        &mut self,
        caller: &mut Caller<'_>,
        number: u64,
        args: &[u64; 6],
        user: &mut dyn UserMemory,
    ) -> Outcome {
        let Some(handler) = handler(number) else { return Outcome::Done(ENOSYS.to_result()) };
        let mut call = Call { caller, args, user, buffer: Buffer::default() };
        match handler(self, &mut call) {
            Ok(result) => Outcome::Done(result),
            Err(Stop::Error(e)) => Outcome::Done(e.to_result()),
            Err(Stop::Out(outcome)) => outcome,
        }
    }

    pub(super) fn interrupted(&mut self, tid: u32, progress: &Progress) -> Option<i64> {
        self.forget_opener(tid);
        (progress.done > 0).then_some(progress.done as i64)
    }
}
