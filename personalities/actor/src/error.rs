//! What a call can answer besides a value: Linux' error numbers, and nothing else.

/// An error number of Linux.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub u16);

/// What most handlers answer.
pub type Res<T = ()> = Result<T, Errno>;

macro_rules! errnos {
    ($($name:ident)*) => { $(pub const $name: Errno = Errno(linux_raw_sys::errno::$name as u16);)* };
}

/// The numbers by name.
#[allow(missing_docs)] // each is the error of that name
pub mod e {
    use super::Errno;
    errnos! {
        E2BIG EACCES EAFNOSUPPORT EAGAIN EBADF EBUSY ECHILD EEXIST EFAULT EFBIG EINTR EINVAL EIO EISDIR ELOOP
        EMFILE ENAMETOOLONG ENFILE ENODEV ENOENT ENOEXEC ENOMEM ENOSPC ENOSYS ENOTDIR ENOTEMPTY ENOTTY ENXIO EOPNOTSUPP
        EOVERFLOW EPERM EPIPE EROFS ESPIPE ESRCH ETIMEDOUT EXDEV ERANGE
    }
}

impl Errno {
    /// As a system call returns it in x0.
    pub fn result(self) -> u64 {
        (-i64::from(self.0)) as u64
    }
}
