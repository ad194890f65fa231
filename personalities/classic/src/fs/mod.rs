//! Files, descriptors, pipes, the terminal, /dev and /proc: all that is reached through a descriptor or a path. Pure: no page
//! tables, no interrupts; tested on the host.
//!
//! The rest of the kernel calls [`Fs::syscall`] in the caller's turn and acts on the [`Outcome`]; then it drains [`Fs::effects`],
//! [`Fs::signals`] and [`Fs::wakeups`], in this order.

#![forbid(unsafe_code)]

mod attr;
mod buffer;
mod content;
mod copy;
mod dev;
mod digest;
mod dir;
mod entry;
mod fcntl;
mod file;
mod image;
mod inode;
mod ioctl;
mod linux;
mod names;
mod open;
mod path;
mod pipe;
mod poll;
mod proc;
mod rw;
mod snapshot;
mod stat;
mod syscalls;
mod tree;
mod tty;

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use entry::Entry;
pub(crate) use poll::write_no_revents;

use crate::errno::Errno;
use crate::user::UserMemory;
use abi::turn::FDS_MAX;
use abi::vote::EffectKind;
use alloc::collections::BTreeMap;
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
    /// Nothing of what the call asks for is there, and it has no time to wait. Signals that its own mask lets through come first; if none ends it, it is
    /// made again in the same step with the same [`Progress`], and is done.
    Expired,
    /// The call did nothing but push a signal that stops the caller's group (terminal job control). Like Linux' ERESTARTSYS: the signal
    /// is delivered at the call's end; a handler without SA_RESTART makes it EINTR, otherwise the call is made again from its start,
    /// after the handler or after SIGCONT.
    Restart,
}

/// What a call that is made repeatedly remembers; starts as default, kept by the kernel in the thread until the call is done.
///
/// When a signal ends a call that waits or stands between two slices, the kernel asks [`Fs::interrupt`] for its result.
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
    /// Threads.
    pub threads: u32,
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
    /// The process table, ascending pids, without command lines and without what lies in memory and files. Only called for /proc,
    /// and to tell ESRCH from EPERM in TIOCSPGRP.
    fn processes(&self) -> Vec<ProcessRow>;
    /// The whole row of one process. None: there is none, or it has to be made first, and the call, which must have changed nothing yet,
    /// is made again with it. The caller's own `fds` and `cwd` are not looked at: they are in [`Caller`].
    fn details(&self, pid: u32) -> Option<ProcessRow>;
    /// A process' program and by which entry it was executed; None: it has none, or there is no such process.
    fn exe(&self, pid: u32) -> Option<(Ino, Entry)>;
    /// Pages that all processes are charged for.
    fn charged(&self) -> u64;
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
    /// The thread's number: who stands at a FIFO's door.
    pub tid: u32,
    /// Process group.
    pub pgid: u32,
    /// Session.
    pub sid: u32,
    /// Serial of its process (names its random stream).
    pub process: u64,
    /// How far its random stream was read; advanced by reads of /dev/urandom.
    pub random_offset: &'a mut u64,
    /// Its signal mask is replaced while ppoll/pselect6 wait: the kernel handles that; `fs` asks only whether there is a mask argument.
    pub progress: &'a mut Progress,
    /// The program's clock, µs since 1970.
    pub now_us: u64,
    /// The rest of the kernel.
    pub system: &'a dyn System,
}

/// A process' descriptors, and its hold on its working directory (which lives on while a process stands in it, like an open file).
#[derive(Debug)]
pub struct FdTable {
    /// RLIMIT_NOFILE's soft limit: a new descriptor is below it. Inherited by [`Fs::fork_fds`].
    pub limit: usize,
    slots: Vec<Option<file::Slot>>,
    cwd: Ino,
}

impl Default for FdTable {
    fn default() -> FdTable {
        FdTable { limit: FDS_MAX, slots: Vec::new(), cwd: tree::ROOT }
    }
}

/// The file systems.
pub struct Fs {
    /// External effects of the last call, in order.
    pub effects: Vec<(EffectKind, Vec<u8>)>,
    /// Signals of the last call, in order.
    pub signals: Vec<(SignalTarget, u8)>,
    /// Things that became ready in the last call or event, in order.
    pub wakeups: Vec<WaitKey>,
    seed: [u8; 32],
    boot_us: u64,
    image: &'static [u8],
    tree: tree::Tree,
    files: file::Files,
    pipes: BTreeMap<u64, pipe::Pipe>,
    next_pipe: u64,
    tty: tty::Tty,
}

/// An executable file found by [`Fs::open_exec`].
#[derive(Clone, Debug)]
pub struct ExecFile {
    /// Its inode.
    pub ino: Ino,
    /// Its size, bytes.
    pub size: u64,
    /// By which entry it was found, or opened.
    pub entry: Option<Entry>,
}

impl Fs {
    /// The file systems over the root image (cpio newc, members' data page-aligned). `seed` and times are the log's.
    pub fn new(
        image: &'static [u8],
        seed: [u8; 32],
        boot_time_us: u64,
        rows: u16,
        columns: u16,
    ) -> Result<Fs, &'static str> {
        let tree = tree::Tree::new(image, inode::Time::from_us(boot_time_us))?;
        Ok(Fs {
            effects: Vec::new(),
            signals: Vec::new(),
            wakeups: Vec::new(),
            seed,
            boot_us: boot_time_us,
            image,
            tree,
            files: file::Files::default(),
            pipes: BTreeMap::new(),
            next_pipe: 1,
            tty: tty::Tty::new(rows, columns),
        })
    }
    /// Whether system call `number` is handled here.
    pub fn handles(number: u64) -> bool {
        syscalls::handler(number).is_some()
    }
    /// Makes a file call. Handles: openat close close_range read write readv writev pread64 pwrite64 lseek fstat newfstatat statx readlinkat faccessat faccessat2
    /// fcntl dup dup3 pipe2 getdents64 ioctl ppoll pselect6 sendfile mkdirat unlinkat renameat renameat2 symlinkat linkat mknodat fchmod fchmodat fchown
    /// fchownat utimensat statfs fstatfs getcwd chdir fchdir ftruncate truncate fallocate fsync fdatasync sync fadvise64 umask socket connect
    /// socketpair getxattr family (EOPNOTSUPP) flock copy_file_range.
    pub fn syscall(
        &mut self,
        caller: &mut Caller<'_>,
        number: u64,
        args: &[u64; 6],
        user: &mut dyn UserMemory,
    ) -> Outcome {
        self.dispatch(caller, number, args, user)
    }
    /// A file to execute, `path` seen from `cwd`. EACCES, ENOENT, ... as execve.
    pub fn open_exec(&mut self, caller: &Caller<'_>, dirfd: i32, path: &[u8]) -> Result<ExecFile, Errno> {
        self.find_exec(caller, dirfd, path)
    }
    /// The file behind descriptor `fd`, for mmap: ENODEV if it is not regular, EACCES if not open for reading, EBADF.
    pub fn mmap_file(&mut self, fds: &FdTable, fd: i32) -> Result<ExecFile, Errno> {
        self.find_mmap(fds, fd)
    }
    /// Copies bytes of a regular file; returns how many there were.
    pub fn read_inode(&self, ino: Ino, offset: u64, out: &mut [u8]) -> usize {
        match self.tree.get(ino).map(|inode| &inode.body) {
            Some(inode::Body::Regular(content)) => content.read(offset, out),
            _ => 0,
        }
    }
    /// Page `page` of a regular file if it is still the image's own, whole or with zero bytes behind its end inside the image: its bytes never change.
    pub fn image_page(&self, ino: Ino, page: u64) -> Option<&'static [u8]> {
        match self.tree.get(ino).map(|inode| &inode.body) {
            Some(inode::Body::Regular(content)) => content.image_page(self.image, page),
            _ => None,
        }
    }
    /// What /proc/PID/cwd shows for a directory that somebody is in.
    pub fn path_of(&self, dir: Ino) -> Vec<u8> {
        self.path_of_node(dir)
    }
    /// A signal ends the waiting (or the slices) of a call of thread `tid`, or the thread ends in it. Returns the call's result if it
    /// had done a part: this stands in place of EINTR, and of a restart, too. None: the kernel decides between EINTR and restart.
    pub fn interrupt(&mut self, tid: u32, progress: &Progress) -> Option<i64> {
        self.interrupted(tid, progress)
    }
    /// How many bytes of heap the next call may take for names, pages of files and pipes.
    pub fn set_room(&mut self, bytes: usize) {
        self.tree.room = bytes;
    }
    /// Process 1's descriptors: 0, 1, 2 on /dev/console.
    pub fn first_fds(&mut self) -> FdTable {
        let mut fds = FdTable::default();
        let file = self.files.add(dev::CONSOLE, file::Kind::Tty, linux::O_RDWR, None);
        for fd in 0..3 {
            fds.set(fd, file::Slot { file, cloexec: false });
        }
        self.retain(file);
        self.retain(file);
        self.tree.hold(fds.cwd);
        fds
    }
    /// A copy for fork: open file descriptions are shared.
    pub fn fork_fds(&mut self, fds: &FdTable) -> FdTable {
        for (_, slot) in fds.iter() {
            self.retain(slot.file);
        }
        self.tree.hold(fds.cwd);
        FdTable { limit: fds.limit, slots: fds.slots.clone(), cwd: fds.cwd }
    }
    /// Closes those with FD_CLOEXEC, ascending.
    pub fn exec_fds(&mut self, fds: &mut FdTable) {
        let closed: Vec<usize> = fds.iter().filter(|(_, slot)| slot.cloexec).map(|(fd, _)| fd).collect();
        for fd in closed {
            if let Some(slot) = fds.take(fd) {
                self.drop_file(slot.file);
            }
        }
    }
    /// Closes all, ascending.
    pub fn close_all(&mut self, fds: &mut FdTable) {
        for slot in core::mem::take(&mut fds.slots).into_iter().flatten() {
            self.drop_file(slot.file);
        }
        self.tree.release(fds.cwd);
        fds.cwd = tree::ROOT;
    }
    /// What /proc/PID/fd shows, until there is no `room` for so many bytes of text.
    pub fn show_fds(&self, fds: &FdTable, room: impl Fn(usize) -> bool) -> Vec<(u32, Vec<u8>)> {
        self.show_table(fds, room)
    }
    /// Terminal input of the log. Signals and wake-ups are left in the queues.
    pub fn tty_event(&mut self, event: abi::log::Event<'_>) {
        self.handle_tty_event(event)
    }
    /// A session leader ended: the terminal loses its session. Its foreground group's processes get SIGHUP through the queue.
    pub fn session_ended(&mut self, sid: u32) {
        self.end_session(sid)
    }
    /// Process 1 made session 1: the terminal is its controlling terminal.
    pub fn set_session(&mut self, sid: u32, foreground: u32) {
        self.tty.session = Some(sid);
        self.tty.foreground = foreground;
    }
    /// Appends the descriptors of one process to the state digest (`docs/linux-abi.md`, "State digest"); `numbering` collects open file descriptions over processes.
    pub fn digest_fds(&self, fds: &FdTable, numbering: &mut Vec<u64>, e: &mut abi::digest::Encoder) {
        self.digest_table(fds, numbering, e)
    }
    /// Appends open file descriptions (in `numbering`'s order), pipes, terminal and writable layer.
    pub fn digest_rest(&mut self, numbering: &[u64], e: &mut abi::digest::Encoder) {
        self.digest_all(numbering, e)
    }
}
