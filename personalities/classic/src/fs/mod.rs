//! Files, descriptors, pipes, the terminal, /dev and /proc: all that is reached through a descriptor or a path. Pure: no page
//! tables, no interrupts; tested on the host.
//!
//! The rest of the kernel calls [`Fs::syscall`] in the caller's turn and acts on the [`Outcome`]; then it drains [`Fs::effects`],
//! [`Fs::signals`] and [`Fs::wakeups`], in this order.

use crate::errno::Errno;
use crate::user::UserMemory;
use abi::vote::EffectKind;
use alloc::vec::Vec;

/// Number of an inode.
pub type Ino = u64;

/// A thing a thread can wait for. Threads wait in FIFO order per key (see `docs/turn-rule.md`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum WaitKey {
    /// Readers of a pipe (its number is unique for ever).
    PipeRead(u64),
    /// Writers of a pipe.
    PipeWrite(u64),
    /// Openers of a FIFO that wait for the other end.
    FifoOpen(Ino),
    /// Readers of the terminal.
    TtyRead,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Result for x0 (negative: an errno).
    Done(i64),
    /// The thread waits for any of `on` (in this order) or until `deadline_us` on the program's clock; then the call is made again with
    /// the same [`Progress`]. `on` empty and no deadline: until a signal.
    Block {
        /// What it waits for.
        on: Vec<WaitKey>,
        /// Until when, µs.
        deadline_us: Option<u64>,
    },
    /// The call did a slice of its work and wants to be made again as the thread's next call, without waiting (terminal output).
    Again,
}

/// What a call that is made repeatedly remembers; starts as default, kept by the kernel in the thread until the call is done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes done so far.
    pub done: u64,
    /// Deadline fixed when the call was first made, µs.
    pub deadline_us: Option<u64>,
}

/// Who signals go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalTarget {
    /// The calling thread's process.
    Caller,
    /// A process group.
    Group(u32),
}

/// One row of the process table, for /proc and for the terminal's rules. The kernel hands in fresh rows with every call.
#[derive(Clone, Debug, Default)]
pub struct ProcessRow {
    /// Pid, parent, group, session.
    pub pid: u32,
    /// Parent's pid.
    pub ppid: u32,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// 'R', 'S', 'T' or 'Z'.
    pub state: u8,
    /// Name (comm).
    pub comm: Vec<u8>,
    /// Arguments, NUL-ended each.
    pub cmdline: Vec<u8>,
    /// Path of the executable, absolute.
    pub exe: Vec<u8>,
    /// Pages charged.
    pub charged_pages: u64,
    /// Calls made.
    pub calls: u64,
    /// Nice value.
    pub nice: i8,
    /// Clock at its start, µs since Boot.
    pub start_us: u64,
    /// Text of /proc/PID/maps.
    pub maps: Vec<u8>,
    /// Descriptors and what they show (/proc/PID/fd).
    pub fds: Vec<(u32, Vec<u8>)>,
    /// Path of the working directory.
    pub cwd: Vec<u8>,
}

/// What file calls must know of the rest of the kernel. Built for each call.
pub trait System {
    /// The process table, ascending pids. Only called for /proc.
    fn processes(&self) -> Vec<ProcessRow>;
    /// Threads in the round, serials given, last pid given (for /proc).
    fn counts(&self) -> (u64, u64, u32);
    /// Whether process group `pgid` exists in session `sid`.
    fn group_in_session(&self, pgid: u32, sid: u32) -> bool;
    /// Whether the caller's group is orphaned.
    fn caller_group_orphaned(&self) -> bool;
    /// Whether the caller ignores or blocks `signal`.
    fn caller_ignores_or_blocks(&self, signal: u8) -> bool;
}

/// The caller of a file call.
pub struct Caller<'a> {
    /// Its descriptors.
    pub fds: &'a mut FdTable,
    /// Its working directory; changed by chdir and fchdir.
    pub cwd: &'a mut Ino,
    /// Its umask; changed by umask.
    pub umask: &'a mut u32,
    /// Pid.
    pub pid: u32,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// Serial of its process (names its random stream).
    pub process: u64,
    /// How far its random stream was read; advanced by reads of /dev/urandom.
    pub random_offset: &'a mut u64,
    /// Its signal mask is replaced while ppoll/pselect6 wait: the kernel handles that; `fs` ignores the mask argument.
    pub progress: &'a mut Progress,
    /// The program's clock, µs since 1970.
    pub now_us: u64,
    /// The rest of the kernel.
    pub system: &'a dyn System,
}

/// A process' descriptors.
#[derive(Debug, Default)]
pub struct FdTable {
    // filled in by the implementation
}

/// The file systems.
pub struct Fs {
    /// External effects of the last call, in order.
    pub effects: Vec<(EffectKind, Vec<u8>)>,
    /// Signals of the last call, in order.
    pub signals: Vec<(SignalTarget, u8)>,
    /// Things that became ready in the last call or event, in order.
    pub wakeups: Vec<WaitKey>,
}

/// An executable file found by [`Fs::open_exec`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecFile {
    /// Its inode.
    pub ino: Ino,
    /// Its size, bytes.
    pub size: u64,
}

#[allow(unused_variables)]
impl Fs {
    /// The file systems over the root image (cpio newc, members' data page-aligned). `seed` and times are the log's.
    pub fn new(
        image: &'static [u8],
        seed: [u8; 32],
        boot_time_us: u64,
        rows: u16,
        columns: u16,
    ) -> Result<Fs, &'static str> {
        todo!()
    }
    /// Whether system call `number` is handled here.
    pub fn handles(number: u64) -> bool {
        todo!()
    }
    /// Makes a file call. Handles: openat close close_range read write readv writev pread64 pwrite64 lseek fstat newfstatat statx readlinkat faccessat faccessat2
    /// fcntl dup dup3 pipe2 getdents64 ioctl ppoll pselect6 sendfile mkdirat unlinkat renameat renameat2 symlinkat linkat mknodat fchmod fchmodat fchown
    /// fchownat utimensat statfs fstatfs getcwd chdir fchdir ftruncate truncate fallocate fsync fdatasync sync fadvise64 umask socket connect
    /// socketpair getxattr family (EOPNOTSUPP) flock.
    pub fn syscall(
        &mut self,
        caller: &mut Caller<'_>,
        number: u64,
        args: &[u64; 6],
        user: &mut dyn UserMemory,
    ) -> Outcome {
        todo!()
    }
    /// A file to execute, `path` seen from `cwd`. EACCES, ENOENT, ... as execve.
    pub fn open_exec(&mut self, caller: &Caller<'_>, dirfd: i32, path: &[u8]) -> Result<ExecFile, Errno> {
        todo!()
    }
    /// The file behind descriptor `fd`, for mmap: ENODEV if it is not regular, EACCES if not open for reading, EBADF.
    pub fn mmap_file(&mut self, fds: &FdTable, fd: i32) -> Result<ExecFile, Errno> {
        todo!()
    }
    /// Copies bytes of a regular file; returns how many there were.
    pub fn read_inode(&self, ino: Ino, offset: u64, out: &mut [u8]) -> usize {
        todo!()
    }
    /// Page `page` of a regular file if it is still the image's own, whole or with zero bytes behind its end inside the image: its bytes never change.
    pub fn image_page(&self, ino: Ino, page: u64) -> Option<&'static [u8]> {
        todo!()
    }
    /// Absolute path of an inode (as /proc/PID/exe shows it).
    pub fn path_of(&self, ino: Ino) -> Vec<u8> {
        todo!()
    }
    /// Process 1's descriptors: 0, 1, 2 on /dev/console.
    pub fn first_fds(&mut self) -> FdTable {
        todo!()
    }
    /// A copy for fork: open file descriptions are shared.
    pub fn fork_fds(&mut self, fds: &FdTable) -> FdTable {
        todo!()
    }
    /// Closes those with FD_CLOEXEC, ascending.
    pub fn exec_fds(&mut self, fds: &mut FdTable) {
        todo!()
    }
    /// Closes all, ascending.
    pub fn close_all(&mut self, fds: &mut FdTable) {
        todo!()
    }
    /// What /proc/PID/fd shows.
    pub fn show_fds(&self, fds: &FdTable) -> Vec<(u32, Vec<u8>)> {
        todo!()
    }
    /// Terminal input of the log. Signals and wake-ups are left in the queues.
    pub fn tty_event(&mut self, event: abi::log::Event<'_>) {
        todo!()
    }
    /// A session leader ended: the terminal loses its session. Its foreground group's processes get SIGHUP through the queue.
    pub fn session_ended(&mut self, sid: u32) {
        todo!()
    }
    /// Process 1 made session 1: the terminal is its controlling terminal.
    pub fn set_session(&mut self, sid: u32, foreground: u32) {
        todo!()
    }
    /// Appends the descriptors of one process to the state digest (`docs/linux-abi.md`, "State digest"); `numbering` collects open file descriptions over processes.
    pub fn digest_fds(&self, fds: &FdTable, numbering: &mut Vec<u64>, e: &mut abi::digest::Encoder) {
        todo!()
    }
    /// Appends open file descriptions (in `numbering`'s order), pipes, terminal and writable layer.
    pub fn digest_rest(&mut self, numbering: &[u64], e: &mut abi::digest::Encoder) {
        todo!()
    }
}
